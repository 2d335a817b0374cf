"""Cells for the tests of sweeps: in a module of their own, so that worker processes can import them."""

import math
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

GRID = {"d": [2, 3], "rate": [0.1, 1 / 3], "law": ["cube, filled", "sphere"], "seed": list(range(5))}


def smooth(d, rate, law, seed):
    """Numbers whose last digits matter; slower for early cells, so that a pool finishes them late."""
    time.sleep(0.02 if seed == 0 else 0)
    return {"error": math.sin(1 + seed + d * rate) / 3, "count": seed + len(law), "even": seed % 2 == 0}


def odd(k):
    return {
        "float": [math.inf, -math.inf, math.nan, -0.0, 5e-324, 0.1 + 0.2][k % 6],
        "whole": 10**20 + k,
        "numpy": np.float32(0.1) * k,
        "index": np.int64(k),
    }


def fails_at_three(seed):
    if seed == 3:
        raise RuntimeError("no separator,\nnot even\tone \x07")
    return {"value": seed / 7}


def leaves_at_two(seed):
    if seed == 2:
        sys.exit("enough")
    return {"value": seed / 7}


def other_names(seed):
    return {"value": 1.0} if seed else {"loss": 2.0}


def noted(seed, folder):
    """Leaves a file for each time it is run."""
    with (Path(folder) / f"{seed}").open("a") as file:
        file.write("x")
    return {"value": seed / 7}


def dies_at_four(seed):
    if seed == 4:
        time.sleep(0.3)  # the others are done by then
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": seed / 7}


def slow(seed):
    time.sleep(0.1)
    return {"value": math.sqrt(seed)}


def killed_by_its_reader(out):
    """A sweep for a process of its own, which a test kills midway."""
    import icl_lib as icl

    icl.sweep(slow, {"seed": range(12)}, out=out)


if __name__ == "__main__":
    killed_by_its_reader(sys.argv[1])
