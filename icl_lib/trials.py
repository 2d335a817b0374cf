"""The ledger's second half: the statements about chance, tried on many independent samples from every world.

No single sample refutes such a statement. A statement that may fail with probability delta is held to its failure rate,
one about a mean to the two means. The shipped table, icl_lib/data/trials.csv, is made by (about two minutes)::

    python -m icl_lib.trials --instances 10000 --seed 0 --out icl_lib/data/trials.csv

Page of the book: "The claims ledger".
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import torch

from . import reports, validate
from .metrics import bootstrap_interval
from .reports import CELL
from .theorems import THEOREMS, Statistical

BATCH = 25
"""Samples that share one call; the last batch of a row may be smaller."""

CHANCE = 1e-3
"""A true statement is called refuted at most this often, in each row."""


class Trial(NamedTuple):
    """One statement on independent samples from one world.

    delta: the failure rate that the statement allows, None for a statement about means. failures: how many samples
    had smaller > larger, beyond rounding. smaller, larger: the means of the two sides, with the ends of their 95 %
    bootstrap intervals. standard_errors: by how many of its standard errors the mean of larger - smaller exceeds 0.
    """

    theorem: str
    world: str
    seed: int
    instances: int
    delta: float | None
    failures: int
    smaller: float
    smaller_low: float
    smaller_high: float
    larger: float
    larger_low: float
    larger_high: float
    standard_errors: float

    @property
    def rate(self) -> float:
        """The share of samples that failed."""
        return self.failures / self.instances

    @property
    def chance(self) -> float:
        """The chance of a result as bad as this, at most, if the statement is true and fails as often as it may.

        Exact (binomial) for a failure rate; for means by the normal approximation.
        """
        if self.delta is None:
            return math.erfc(max(self.standard_errors, -38.0) / -math.sqrt(2)) / 2
        n, p, q = self.instances, self.delta, 1 - self.delta
        return min(1.0, math.fsum(_binomial(n, k, p, q) for k in range(self.failures, n + 1)))

    @property
    def refuted(self) -> bool:
        """Whether so bad a result would come less than once in a thousand rows of true statements."""
        return self.chance < CHANCE


def _binomial(n: int, k: int, p: float, q: float) -> float:
    """The chance of k failures out of n, by logarithms."""
    if q == 0:
        return float(k == n)
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log(q))


def statements() -> list[Statistical]:
    """Return the theorems of the book that are about chance."""
    return [theorem for theorem in THEOREMS.values() if isinstance(theorem, Statistical)]


def run(instances: int, seed: int, theorems: Iterable[Statistical] | None = None) -> list[Trial]:
    """Return a row for each statement and world; each statement gets ``instances``, split evenly over its worlds.

    A row's draws depend on the seed, the statement's id and the world only, so that any row can be made again alone.
    At least two instances a world.
    """
    validate.whole("seed", seed)
    rows = []
    for theorem in statements() if theorems is None else theorems:
        count = len(theorem.families)
        validate.whole("instances", instances, 2 * count)
        for k, world in enumerate(theorem.families):
            rows.append(_trial(theorem, world, instances // count + (k < instances % count), seed))
    return rows


def _trial(theorem: Statistical, world: str, instances: int, seed: int) -> Trial:
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{theorem.id}/{world}".encode()))
    both, slack = [], []
    for start in range(0, instances, BATCH):
        instance = theorem.instance(generator, min(BATCH, instances - start), world)
        smaller, larger, size = theorem.sides(instance)
        both.append(torch.stack([smaller, larger], -1))
        slack.append(larger - smaller + theorem.rounding * size)
    both, slack = torch.cat(both), torch.cat(slack)
    mean, low, high = bootstrap_interval(both, generator=generator)
    spread = float(slack.std()) / math.sqrt(instances)
    errors = float(slack.mean()) / spread if spread > 0 else math.copysign(math.inf, float(slack.mean()))
    ends = [float(part[side]) for side in (0, 1) for part in (mean, low, high)]
    return Trial(theorem.id, world, seed, instances, theorem.delta, int((slack < 0).sum()), *ends, errors)


def shipped() -> list[Trial]:
    """Return the rows that come with the library: 10,000 instances of every statement about chance."""
    kinds = {"theorem": str, "world": str, "seed": int, "instances": int, "failures": int}
    kinds["delta"] = lambda value: float(value) if value else None
    return [Trial(**entry) for entry in reports.read_csv(reports.shipped_text("trials.csv"), kinds, float)]


def table(rows: Iterable[Trial]) -> str:
    """Return an HTML table, a line for each row. It scrolls inside itself where narrow."""
    rows = list(rows)
    counts = sorted({row.instances for row in rows})
    caption = f"statements about chance, {counts[0]:,} to {counts[-1]:,} samples a line; brackets: 95 % intervals"
    names = ("statement", "world", "failed", "allowed", "error, mean", "bound, mean", "refuted")
    head = "".join(
        f'<th scope="col" style="{CELL}{"left" if k < 2 else "right"}">{n}</th>' for k, n in enumerate(names)
    )
    body = ""
    for row in rows:
        title = f'<th scope="row" style="{CELL}left">{escape(THEOREMS[row.theorem].title)}</th>'
        cells = f'<td style="{CELL}left">{escape(row.world)}</td>'
        cells += "".join(f'<td style="{CELL}right">{cell}</td>' for cell in _cells(row))
        body += f"<tr>{title}{cells}</tr>"
    return reports.scrolling_table(caption, f"<tr>{head}</tr>", body)


def _cells(row: Trial) -> list[str]:
    """For a statement about means a sample that fails is nothing to report: a dash."""
    dash = "\N{EN DASH}"
    failed, allowed = (dash, dash) if row.delta is None else (f"{row.rate:.2%}", f"{row.delta:.0%}")
    sides = (
        f'{mean:.3g} <span style="white-space:nowrap">[{low:.3g}, {high:.3g}]</span>'
        for mean, low, high in (
            (row.smaller, row.smaller_low, row.smaller_high),
            (row.larger, row.larger_low, row.larger_high),
        )
    )
    return [failed, allowed, *sides, "yes" if row.refuted else "no"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a table and write it to ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.trials", description="Try the statements about chance.")
    parser.add_argument("--instances", type=int, required=True, help="instances of every statement, over all worlds")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write; one that exists is replaced")
    options = parser.parse_args(arguments)
    rows = []
    for theorem in statements():
        rows += run(options.instances, options.seed, [theorem])
        refuted = [row.world for row in rows if row.theorem == theorem.id and row.refuted]
        print(f"{theorem.id}: refuted in {refuted or 'no world'}", flush=True)
    reports.write_records(options.out, rows)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
