"""The claims ledger: every sure theorem of the book, tried on many instances of every family of contexts.

Sure means that one violation beyond rounding would refute it; statements about chance have a room of their own, trials.

The shipped table, icl_lib/data/ledger.csv, is made by (about two minutes)::

    python -m icl_lib.ledger --instances 10000 --seed 0 --out icl_lib/data/ledger.csv

Page of the book: "The claims ledger".
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import NamedTuple

import torch

from . import reports, validate
from .contexts import FAMILIES
from .reports import CELL
from .theorems import THEOREMS, Theorem

BATCH = 25
"""Instances that share n, d, the depth and one call; the last batch of a row may be smaller."""


class Row(NamedTuple):
    """One theorem on one family of contexts.

    instances, violations: counts; a slack that is not a number counts as violated. least_slack: the smallest
    :meth:`Theorem.check`, allowance for rounding included. median_tightness, max_tightness: of
    :meth:`Theorem.tightness` over the instances. rounding_used: the largest share of the allowance that an instance
    needed, above 1 exactly where one is violated.
    """

    theorem: str
    family: str
    seed: int
    instances: int
    violations: int
    least_slack: float
    median_tightness: float
    max_tightness: float
    rounding_used: float


def sure() -> list[Theorem]:
    """Return the theorems of the book that a single violation would refute."""
    return [theorem for theorem in THEOREMS.values() if theorem.kind == "sure"]


def run(
    instances: int,
    seed: int,
    theorems: Iterable[Theorem] | None = None,
    families: Sequence[str] = tuple(FAMILIES),
) -> list[Row]:
    """Return a row for each theorem and family; each theorem gets ``instances``, split evenly over the families.

    theorems: sure ones; all of them, if left out. A row's draws depend on the seed, the theorem's id and the family
    only, so that any row can be made again alone.
    """
    validate.whole("seed", seed)
    validate.whole("instances", instances, len(families))
    share = [instances // len(families) + (k < instances % len(families)) for k in range(len(families))]
    chosen = sure() if theorems is None else list(theorems)
    others = [theorem.id for theorem in chosen if theorem.kind != "sure"]
    if others:
        raise validate.fail("theorems", ", ".join(others), "sure ones (icl_lib.trials runs those about chance)")
    return [_row(t, family, count, seed) for t in chosen for family, count in zip(families, share, strict=True)]


def _row(theorem: Theorem, family: str, instances: int, seed: int) -> Row:
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{theorem.id}/{family}".encode()))
    slack, tightness, used = [], [], []
    for start in range(0, instances, BATCH):
        instance = theorem.instance(generator, min(BATCH, instances - start), family)
        sides = theorem.sides(instance)
        once = replace(theorem, sides=lambda _, sides=sides: sides)  # check and tightness need not compute them again
        slack.append(once.check(instance))
        tightness.append(once.tightness(instance))
        used.append(((sides.smaller - sides.larger) / (theorem.rounding * sides.size)).amax())
    slack, tightness = torch.cat(slack), torch.cat(tightness)
    return Row(
        theorem.id,
        family,
        seed,
        instances,
        violations=int((slack < 0).sum()),
        least_slack=float(slack.amin()),
        median_tightness=float(tightness.median()),
        max_tightness=float(tightness.amax()),
        rounding_used=float(torch.stack(used).amax().clamp_min(0)),
    )


def totals(rows: Iterable[Row]) -> dict[str, Row]:
    """Return one row for each theorem, its families taken together; the median is the median of their medians."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.theorem, []).append(row)
    return {name: _total(group) for name, group in groups.items()}


def _total(group: list[Row]) -> Row:
    column = {field: torch.tensor([getattr(row, field) for row in group]) for field in Row._fields[3:]}
    return Row(
        group[0].theorem,
        "all",
        group[0].seed,
        int(column["instances"].sum()),
        int(column["violations"].sum()),
        float(column["least_slack"].min()),
        float(column["median_tightness"].median()),
        float(column["max_tightness"].max()),
        float(column["rounding_used"].max()),
    )


def shipped() -> list[Row]:
    """Return the rows that come with the library: 10,000 instances of every sure theorem."""
    kinds = {"theorem": str, "family": str, "seed": int, "instances": int, "violations": int}
    return [Row(**entry) for entry in reports.read_csv(reports.shipped_text("ledger.csv"), kinds, float)]


def table(live: Iterable[Row], stored: Iterable[Row]) -> str:
    """Return an HTML table, a line for each theorem: two runs side by side. It scrolls inside itself where narrow."""
    left, right = totals(live), totals(stored)
    counts = [f"{next(iter(side.values())).instances:,}" for side in (left, right)]
    caption = f"{counts[0]} live and {counts[1]} shipped instances of every theorem"
    pairs = ("violations", "typical tightness", "largest tightness")
    top = "".join(f'<th scope="colgroup" colspan="2" style="{CELL}center">{name}</th>' for name in pairs)
    for name in ("least slack", "rounding used"):
        top += f'<th scope="col" rowspan="2" style="{CELL}right">{name}</th>'
    second = "".join(f'<th scope="col" style="{CELL}right">{run}</th>' for run in ("live", "shipped") * len(pairs))
    body = ""
    for name in left:
        title = (
            f'<th scope="row" style="{CELL}left;white-space:normal;min-width:12em">{escape(THEOREMS[name].title)}</th>'
        )
        cells = (f'<td style="{CELL}right">{cell}</td>' for cell in _cells(left[name], right[name]))
        body += f"<tr>{title}{''.join(cells)}</tr>"
    first = f'<tr><th scope="col" rowspan="2" style="{CELL}left">theorem</th>{top}</tr>'
    return reports.scrolling_table(caption, f"{first}<tr>{second}</tr>", body)


def _cells(live: Row, stored: Row) -> list[str]:
    """The table's numbers; an equality, whose larger side is 0, has no tightness."""
    equality = live.max_tightness == stored.max_tightness == 0
    tightness = "\N{EN DASH}" if equality else "{:.2f}"
    formats = {"violations": "{:,}", "median_tightness": tightness, "max_tightness": tightness}
    cells = [form.format(getattr(row, field)) for field, form in formats.items() for row in (live, stored)]
    slack, used = min(live.least_slack, stored.least_slack), max(live.rounding_used, stored.rounding_used)
    return [*cells, f"{slack:.0e}", f"{used:.1%}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a table and write it to ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.ledger", description="Try every sure theorem of the book.")
    parser.add_argument("--instances", type=int, required=True, help="instances of every theorem, over all families")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write; one that exists is replaced")
    options = parser.parse_args(arguments)
    rows = []
    for theorem in sure():
        rows += run(options.instances, options.seed, [theorem])
        total = totals(rows)[theorem.id]
        print(f"{theorem.id}: {total.violations} violations in {total.instances:,} instances", flush=True)
    reports.write_records(options.out, rows)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
