"""How the error on fresh points falls with n and d, for every depth; chapter "Generalisation".

The table icl_lib/data/generalisation.csv is made by (20 minutes on one core; rows that it holds are kept)::

    OMP_NUM_THREADS=1 python -m icl_lib.experiments.generalisation --out icl_lib/data/generalisation.csv

All methods of a row see the same prompts: Gaussian points, no noise, each prompt divided by its own R. Errors are
exact, the angle over pi, and averaged over the row's prompts; rows are the units to resample.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from .. import validate
from ..algorithms import max_margin
from ..bayes import bayes_point
from ..constructions import momentum_layer, ngd_layer
from ..metrics import exact_error
from ..sweep import Sweep, sweep
from ..tables import number
from ..tasks import LinearTask, Prompts

DIMENSIONS = (5, 20, 100)
RATIOS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
SEEDS = 10
DEPTHS = {"ngd": tuple(2**k for k in range(13)), "momentum": tuple(2**k for k in range(11))}
"""The depths at which each layer's error is kept."""
BOUNCES = 40
"""Bounces of the billiard that finds the Bayes point, for each dimension."""


def deep(n: int, d: int) -> int:
    """Return a depth at which the momentum layer is near the max-margin separator on Gaussian prompts: 20 n / sqrt(d).

    Its margin gap falls like (R / (gamma T))^2, and here R / gamma grows like n / sqrt(d); the 20 is from measurement.
    """
    return max(math.ceil(20 * n / math.sqrt(d)), 100)


def error_at(layer: torch.nn.Module, prompts: Prompts, depths: Sequence[int]) -> Float[Tensor, "K B"]:
    """Return the exact error after each of the ``depths`` >= 1 (increasing), of a layer looped on Gaussian prompts."""
    state, kept = layer.init(prompts), []
    for t in range(depths[-1]):
        state = layer.step(state, prompts, t)
        if t + 1 in depths:
            kept.append(exact_error(layer.read(state).double(), prompts.w_star.double()))
    return torch.stack(kept)


def cell(d: int, ratio: float, seed: int, batch: int) -> dict[str, float]:
    """Return mean errors over ``batch`` prompts with n = ratio * d, rounded to 4 digits.

    bayes: the version space's centre; gibbs: a random direction of it; ngd_T, momentum_T: after T layers, step 1;
    momentum_deep: after ``deep(n, d)`` layers. And margin: the mean max margin, before normalisation.
    """
    n, g = round(ratio * d), torch.Generator().manual_seed(seed)
    raw = LinearTask(d).sample(batch, n, generator=g, dtype=torch.float64)
    best, bayes = max_margin(raw.z), bayes_point(raw.z, BOUNCES * d, generator=g)
    errors = {
        "max_margin": exact_error(best.direction, raw.w_star),
        "bayes": exact_error(bayes.centre, raw.w_star),
        "gibbs": exact_error(bayes.sample, raw.w_star),
    }
    p = raw.normalized()
    p = Prompts(p.x.float(), p.y.float(), p.w_star.float())  # half the time; steps <= 1 do not amplify rounding
    runs = {"ngd": (ngd_layer(d, 1.0), DEPTHS["ngd"]), "momentum": (momentum_layer(d, 1.0), DEPTHS["momentum"])}
    for name, (layer, depths) in runs.items():
        errors |= {f"{name}_{t}": e for t, e in zip(depths, error_at(layer, p, depths), strict=True)}
    errors["momentum_deep"] = error_at(momentum_layer(d, 1.0), p, (deep(n, d),))[0]
    return {name: float(f"{float(e.mean()):.4g}") for name, e in (errors | {"margin": best.margin}).items()}


def grid(
    dimensions: Sequence[int] = DIMENSIONS, ratios: Sequence[float] = RATIOS, seeds: int = SEEDS, points: int = 9600
) -> list[dict]:
    """Return the cells of the table: d, n/d (where n is whole), seeds 0, 1, ...; fewer prompts where they are long."""
    sizes = [(d, r) for d in dimensions for r in ratios if r * d == round(r * d)]
    return [
        {"d": d, "ratio": r, "seed": seed, "batch": min(40, max(1, points // round(r * d)))}
        for d, r in sizes
        for seed in range(validate.whole("seeds", seeds, 1))
    ]


def table(cells: list[dict] | None = None, **options: object) -> Sweep:
    """Return the rows of the table; ``options`` (executor, out, progress) go to :func:`icl_lib.sweep`."""
    return sweep(cell, grid() if cells is None else cells, **options)


def shipped() -> list[dict]:
    """Return the rows that come with the library."""
    text = (files("icl_lib") / "data" / "generalisation.csv").read_text(encoding="utf8")
    rows = csv.DictReader(io.StringIO(text))
    return [{name: number(value) for name, value in row.items() if value} for row in rows if not row["failure"]]


def column(rows: Sequence[dict], name: str, d: int, ratios: Sequence[float] | None = None) -> Float[Tensor, "S K"]:
    """Return one result for every seed and every n/d (all that the rows hold for this d, unless given)."""
    ratios = ratios_of(rows, d) if ratios is None else ratios
    values = [[row[name] for row in rows if row["d"] == d and row["ratio"] == ratio] for ratio in ratios]
    if not values or not values[0] or len({len(v) for v in values}) > 1:
        raise validate.fail("rows", f"{[len(v) for v in values]} rows with d = {d}", "as many for every n/d, and some")
    return torch.tensor(values, dtype=torch.float64).T


def ratios_of(rows: Sequence[dict], d: int) -> list[float]:
    """Return the n/d that the rows hold for this d, increasing."""
    return sorted({row["ratio"] for row in rows if row["d"] == d})


def main(arguments: Sequence[str] | None = None) -> None:
    """Add the missing rows to ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.experiments.generalisation", description="Make the table.")
    parser.add_argument("--out", type=Path, required=True, help="the CSV file; rows that it holds are kept")
    parser.add_argument("--d", type=int, nargs="+", default=list(DIMENSIONS), help="dimensions")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds of every size, from 0 (default: {SEEDS})")
    options = parser.parse_args(arguments)
    made = table(grid(options.d, seeds=options.seeds), out=options.out)
    print(f"{len(made.rows)} rows in {options.out}, {made.taken} of them kept, {made.failed} failed")


if __name__ == "__main__":
    main()
