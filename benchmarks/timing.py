"""Contestants that take turns, and what can be said of their times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """A median over repetitions with an interval that holds the true median with a chance of at least 95 %."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of ``values`` and the order statistics around it, of at least 95 % coverage.

    The chance that the median lies between the k-th smallest and the k-th largest of r independent values is
    1 - 2 P(Bin(r, 1/2) < k); below r = 6 no k reaches 95 %, and the whole range is given.
    """
    ordered = sorted(float(v) for v in values)
    r, outside, k = len(ordered), 0.0, 0
    while True:
        outside += math.comb(r, k) / 2**r
        if 2 * outside > 0.05 or 2 * (k + 1) >= r:
            break
        k += 1
    k = max(k, 1)
    return Spread(float(np.median(ordered)), ordered[k - 1], ordered[r - k])


class Contestant(NamedTuple):
    """One way to do the work: ``run()`` treats ``prompts`` prompts, and returns an answer that can be checked."""

    run: Callable[[], object]
    prompts: int


def race(contestants: Mapping[str, Contestant], repetitions: int, sync: Callable[[], None] = lambda: None) -> dict:
    """Return seconds a prompt, name -> one number a repetition. Every repetition runs all, from another first one.

    Each contestant runs once before the clock starts. ``sync`` waits for the device.
    """
    names = list(contestants)
    for name in names:
        contestants[name].run()
    times = {name: [] for name in names}
    for turn in range(repetitions):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            sync()
            start = time.perf_counter()
            contestants[name].run()
            sync()
            times[name].append((time.perf_counter() - start) / contestants[name].prompts)
    return times


def compared(times: Mapping[str, Sequence[float]], ours: str) -> list[dict]:
    """Return a row a contestant: prompts per second, and how many times as long as ``ours`` it takes in each turn."""
    rows = []
    for name, seconds in times.items():
        ratio = spread([s / o for s, o in zip(seconds, times[ours], strict=True)])
        rate = spread([1 / s for s in seconds])
        rows.append({"name": name, "per_second": rate._asdict(), "times_ours": ratio._asdict()})
    return rows


def exponent(sizes: Sequence[float], times: Sequence[Sequence[float]]) -> Spread:
    """Return the slope of log time against log size; ``times``: a list of repetitions for each size."""
    x = np.log(np.asarray(sizes, dtype=float))
    x = x - x.mean()
    return spread([float(x @ np.log(turn) / (x @ x)) for turn in np.asarray(times, dtype=float).T])
