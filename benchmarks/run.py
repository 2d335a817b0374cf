"""Runs the parts, prints what they found, writes it down."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from . import crossing, equal_loops, equal_quality, limits, machine, memory, precision, report, scaling

PARTS = {
    "equal_loops": equal_loops.run,
    "equal_quality": equal_quality.run,
    "crossing": crossing.run,
    "scaling": scaling.run,
    "limits": limits.run,
    "precision": precision.run,
    "memory": memory.run,
    "cuda": lambda size: equal_loops.run(size, "cuda") if torch.cuda.is_available() else None,
}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: whether it runs, not how fast (half a minute)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--out", type=Path, help="where to write the JSON; parts not run are kept from it")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    size, start = "quick" if options.quick else "full", time.perf_counter()
    found = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    found = found if found.get("size") == size else {"size": size}  # sizes do not mix in one file
    found["machine"] = machine.description()
    found["import"] = machine.import_seconds(1 if options.quick else 5)
    print(report.machine(found))
    for name in options.only:
        at = time.perf_counter()
        found[name] = PARTS[name](size)
        print(f"\n{name} ({time.perf_counter() - at:.0f} s)\n{report.part(name, found[name])}", flush=True)
        if options.out:
            options.out.write_text(json.dumps(_rounded(found), indent=1) + "\n")
    print(f"\n{time.perf_counter() - start:.0f} s in all.")


def _rounded(value: object) -> object:
    """Numbers to six digits: more would only make the file long."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
