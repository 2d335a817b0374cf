"""Seed bands: how training one layer went for many seeds, so that a reader can tell whether a run of theirs is usual.

The table icl_lib/data/training_bands.csv is made by (an hour and a half for all 100 seeds)::

    python -m icl_lib.seed_bands --out icl_lib/data/training_bands.csv

Rows that the file already holds are kept, so a run that was stopped goes on where it was, and ``--seeds 10 --d 2 8``
does a part of the work. Chapter: "Training one layer".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import reports, validate
from .attention import SoftmaxAttention
from .one_step import TOKENS, stable_learning_rate
from .tasks import LinearTask
from .training import TrainingRun, train_one_step

STEPS = {2: 260, 8: 220, 32: 220, 64: 400}
"""Steps of a float64 run, for each dimension: enough for 1e-12. A float32 run takes 0.6 times as many."""
TARGETS = {"float32": 1e-6, "float64": 1e-12}
"""What the distance to the construction should fall below."""
POINTS = 20
"""A run's curve is kept at this many evenly spaced steps."""
FLOOR = -16.5
"""Distances below 10^FLOOR are rounding: curves stop there."""


class Run(NamedTuple):
    """One seed of one setting; n = 40, plain SGD, 256 fresh prompts a step, entries of size 0.01 at the start.

    lr: the learning rate, the same for all seeds of a dimension; diverged: whether the loss blew up; fit: the first
    step with a loss below 1e-10; reached: the first with a distance below the dtype's TARGETS, -1 if there is none;
    final: the distance after the last step; curve: log10 of the distance at POINTS steps from 0 on.
    """

    d: int
    tokens: str
    dtype: str
    seed: int
    lr: float
    steps: int
    diverged: bool
    fit: int
    reached: int
    final: float
    curve: tuple[float, ...]

    @property
    def success(self) -> bool:
        """Whether the run ended below the target of its dtype."""
        return not self.diverged and self.final < TARGETS[self.dtype]


def worst_distance(run: TrainingRun) -> Float[Tensor, " steps"]:
    """Return the distance to the construction before each step: the largest entry over all identifiable blocks."""
    return torch.stack(list(run.distance.values())).amax(0)


def grid(steps: int) -> list[int]:
    """The steps at which a curve is kept."""
    return [k * steps // POINTS for k in range(POINTS)]


def curve(run: TrainingRun) -> tuple[float, ...]:
    """Return log10 of the run's distance to the construction (all identifiable blocks) on the grid of its steps."""
    values = worst_distance(run).clamp_min(1e-300).log10().clamp_min(FLOOR)
    return tuple(round(float(values[min(k, len(values) - 1)]), 2) + 0.0 for k in grid(run.settings["steps"]))


@lru_cache
def learning_rate(d: int) -> float:
    """The learning rate of dimension d: half the edge of stability, on a fixed sample."""
    return round(stable_learning_rate(LinearTask(d), generator=torch.Generator().manual_seed(0)), 3)


def train(d: int, tokens: str, dtype: str, seed: int) -> Run:
    """Train one layer and return its row. The draws depend on the seed, the dimension and the dtype only."""
    steps = STEPS[d] if dtype == "float64" else 3 * STEPS[d] // 5
    g = torch.Generator().manual_seed(seed)
    layer = SoftmaxAttention.random(d, generator=g, tokens=tokens, dtype=getattr(torch, dtype))
    run = train_one_step(
        layer, LinearTask(d), generator=g, lr=learning_rate(d), steps=steps, tokens=tokens, progress=False
    )
    distance = worst_distance(run)
    fit, reached = (
        int(below.int().argmax()) if below.any() else -1 for below in (run.loss < 1e-10, distance < TARGETS[dtype])
    )
    final = float(f"{run.final_distance:.2e}")
    return Run(d, tokens, dtype, seed, learning_rate(d), steps, run.diverged, fit, reached, final, curve(run))


class Band(NamedTuple):
    """The curves of all seeds of one setting: steps, then median and a central 90 percent, log10, [POINTS] each."""

    steps: list[int]
    low: Float[Tensor, " POINTS"]
    median: Float[Tensor, " POINTS"]
    high: Float[Tensor, " POINTS"]
    curves: Float[Tensor, "S POINTS"]

    def inside(self, curve: Sequence[float]) -> int:
        """Return at how many steps the curve lies in the band."""
        return _inside(torch.tensor(curve, dtype=self.curves.dtype), self.curves)

    def least(self, curve: Sequence[float]) -> int:
        """Return the same for the most unusual shipped run, judged as the curve is: by the band of all others."""
        everyone = torch.cat([self.curves, torch.tensor([curve], dtype=self.curves.dtype)])
        others = (torch.cat([everyone[:k], everyone[k + 1 :]]) for k in range(len(self.curves)))
        return min(_inside(row, rest) for row, rest in zip(self.curves, others, strict=True))

    def usual(self, curve: Sequence[float]) -> bool:
        """Whether some shipped run is as often outside; false for a seed of the same code at most once in S + 1."""
        return self.inside(curve) >= self.least(curve)


LEVELS = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)


def _inside(curve: Float[Tensor, " POINTS"], curves: Float[Tensor, "S POINTS"]) -> int:
    low, _, high = torch.quantile(curves, LEVELS, dim=0)
    return int(((curve >= low - 0.01) & (curve <= high + 0.01)).sum())  # 0.01: the digits that are kept


def band(runs: Iterable[Run], d: int, tokens: str = "state", dtype: str = "float64") -> Band:
    """Return the band of one setting. Raises BadInput if fewer than two seeds of it are there."""
    chosen = [run for run in runs if (run.d, run.tokens, run.dtype) == (d, tokens, dtype)]
    if len(chosen) < 2:
        raise validate.fail("runs", f"{len(chosen)} with d = {d}, {tokens}, {dtype}", "at least 2")
    curves = torch.tensor([run.curve for run in chosen], dtype=torch.float64)
    return Band(grid(chosen[0].steps), *torch.quantile(curves, LEVELS, dim=0), curves)


def shipped() -> list[Run]:
    """Return the runs that come with the library."""
    return read(reports.shipped_text("training_bands.csv"))


def read(text: str) -> list[Run]:
    """Return the runs of a table."""
    kinds = {"d": int, "seed": int, "lr": float, "steps": int, "fit": int, "reached": int, "final": float}
    kinds |= {"diverged": lambda s: s == "True", "curve": lambda s: tuple(float(v) for v in s.split())}
    return [Run(**entry) for entry in reports.read_csv(text, kinds, str)]


def write(runs: Iterable[Run], path: Path) -> None:
    """Write a table, sorted. Whoever reads it sees the old file or the new one, never half of one."""
    ordered = sorted(runs, key=lambda r: (r.d, r.tokens, r.dtype, r.seed))
    rows = ([*run[:-1], " ".join(f"{v:g}" for v in run.curve)] for run in ordered)
    reports.write_csv(path, Run._fields, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Add the missing runs to ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.seed_bands", description="Train one layer, many seeds.")
    parser.add_argument("--out", type=Path, required=True, help="the CSV file; rows that it holds are kept")
    parser.add_argument("--seeds", type=int, default=100, help="seeds of every setting, from 0 (default: 100)")
    parser.add_argument("--d", type=int, nargs="+", default=list(STEPS), choices=STEPS, help="dimensions")
    options = parser.parse_args(arguments)
    runs = read(options.out.read_text(encoding="utf8")) if options.out.exists() else []
    held = {run[:4] for run in runs}
    wanted = [
        (d, tokens, dtype, seed)
        for d in options.d
        for seed in range(validate.whole("seeds", options.seeds, 1))
        for tokens in TOKENS
        for dtype in TARGETS
    ]
    for count, key in enumerate(wanted, 1):
        if key not in held:
            runs.append(train(*key))
            write(runs, options.out)
            print(f"{count}/{len(wanted)}", *key, f"distance {runs[-1].final:.1e}", flush=True)
    failed = [run[:4] for run in runs if not run.success]
    print(f"{len(runs)} runs in {options.out}; above their target: {failed or 'none'}")


if __name__ == "__main__":
    main()
