"""The cost of handing a cell of a sweep to another process, and the estimate for a billion prompts.

    OMP_NUM_THREADS=1 python -m benchmarks.scale_out --out icl_lib/data

writes scale_out.csv and scale_out_billion.csv, the tables of the page "From a laptop to a cluster". It takes a few
minutes, and wants an idle machine with two cores.
"""

from __future__ import annotations

import argparse
import csv
import logging
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

import icl_lib as icl

WORKERS = 2
N, D, LOOPS = 64, 16, 10
"""The prompt and the depth that the estimate is for."""
BILLION = 10**9


def nothing(seed: int) -> dict[str, float]:
    """Return at once: what such a cell takes is overhead."""
    return {"value": float(seed)}


def work(seed: int, prompts: int) -> dict[str, float]:
    """Return the mean query-free error of ``LOOPS`` layers on fresh prompts: an honest cell."""
    task, generator = icl.LinearTask(D), torch.Generator().manual_seed(seed)
    sample = task.sample(prompts, N, generator=generator).normalized()
    final = icl.Looped(icl.ngd_layer(D, 0.5), LOOPS).final(sample)
    return {"error": float(icl.exact_error(final, sample.w_star).mean())}


@contextmanager
def serial() -> Iterator[None]:
    yield None


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def dask() -> Iterator[object]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise SystemExit('Dask is not installed: pip install "distributed>=2024.1"') from error
    local = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**local, silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
        client.wait_for_workers(WORKERS)
        yield client


EXECUTORS: dict[str, Callable] = {"one process": serial, f"{WORKERS} processes": processes, f"Dask, {WORKERS}": dask}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(name: str, cells: int, prompts: int, repetitions: int) -> dict[str, str]:
    """Return a row: seconds until the first cell is done, overhead of a cell, seconds of a grid of 16 honest cells."""
    start = time.perf_counter()
    with EXECUTORS[name]() as executor:
        # As many cells as workers: both have imported the library when they are done.
        icl.sweep(work, {"seed": range(WORKERS), "prompts": [1]}, executor=executor)
        ready = time.perf_counter() - start
        empty = [
            seconds(lambda: icl.sweep(nothing, {"seed": range(cells)}, executor=executor)) for _ in range(repetitions)
        ]
        grid = {"seed": range(16), "prompts": [prompts]}
        full = [seconds(lambda: icl.sweep(work, grid, executor=executor)) for _ in range(repetitions)]
    return {
        "executor": name,
        "ready, s": f"{ready:.2g}",
        "a cell, ms": f"{1000 * statistics.median(empty) / cells:.2g}",
        "16 cells, s": f"{statistics.median(full):.3g}",
    }


def rate(prompts: int, repetitions: int) -> float:
    """Return how many prompts a second one process samples, normalises and loops over."""
    return prompts / statistics.median(seconds(lambda: work(0, prompts)) for _ in range(repetitions))


def billion(prompts_a_second: float, chunk: int) -> list[dict[str, str]]:
    """Return the estimate's rows: what follows from n, d and the chunk by arithmetic, and what from the rate."""
    hours = BILLION / prompts_a_second / 3600
    return [
        {"quantity": "one prompt, float32", "value": f"{4 * N * D} bytes", "from": "4 n d"},
        {"quantity": "a billion prompts", "value": f"{4 * N * D * BILLION / 1e12:.2g} TB", "from": "4 n d 10^9"},
        {"quantity": f"a chunk of {chunk}", "value": f"{4 * N * D * chunk / 1e6:.3g} MB", "from": "4 n d chunk"},
        {"quantity": "prompts a second", "value": f"{prompts_a_second:.2g}", "from": "measured, one process"},
        {"quantity": "one process", "value": f"{hours:.2g} h", "from": "extrapolated"},
        {"quantity": "two processes", "value": f"{hours / 2:.2g} h", "from": "extrapolated, if they scale"},
        {"quantity": "100 processes", "value": f"{60 * hours / 100:.2g} min", "from": "extrapolated, if they scale"},
    ]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description="Measure the overhead.")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the two tables")
    parser.add_argument("--quick", action="store_true", help="only try it out: the numbers mean nothing")
    options = parser.parse_args(arguments)
    cells, prompts, repetitions = (20, 10, 1) if options.quick else (300, 20_000, 3)
    torch.set_num_threads(1)
    rows = [measured(name, cells, prompts, repetitions) for name in EXECUTORS]
    write(options.out / "scale_out.csv", rows)
    write(options.out / "scale_out_billion.csv", billion(rate(prompts, repetitions), prompts))


if __name__ == "__main__":
    main()
