"""A loop in one piece: a small C++ program that takes a prompt through all its layers while its tokens are in cache.

``Looped(..., compile=True)`` uses it for the heads of NGD and of NGD with momentum on the CPU. The source,
``data/fused.cpp``, is compiled when it is first needed, once a process and for all shapes, in a second or two.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

PART, FEW = 64, 10**7
"""Prompts that a thread takes at a time, and numbers read, over all loops, for which one thread is soon done."""


@cache
def library(compiler: str | None) -> ctypes.CDLL | str:
    """Return the compiled source, or why there is none. compiler: a command (None: the first that is found)."""
    found = compiler or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if found is None:
        return "no C++ compiler"
    options = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-o")
    try:
        with as_file(files(__package__) / "data" / "fused.cpp") as source, TemporaryDirectory() as folder:
            made = Path(folder) / "fused.so"
            command = [*shlex.split(found), str(source), *options, str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            return ctypes.CDLL(str(made))
    except subprocess.CalledProcessError as error:
        return f"{found}: {' '.join(error.stderr.split())[:200]}"
    except OSError as error:  # no such compiler, or a library that this system cannot load
        return f"{type(error).__name__}: {error}"


def loops(data: tuple, state: tuple[Tensor, ...], start: int, stop: int) -> tuple[Tensor, ...] | str:
    """Return the state after layers start .. stop - 1, or why nothing could be compiled.

    data: points z, transposed zt [B, d, n] and the step, for one or for all; state: rows w or, with momentum, (w, v),
    each [B, 1, d], in float32 or float64 on the CPU. ``torch.get_num_threads()`` threads share the prompts, none of
    which depends on another: the numbers are the same, bit for bit, for every number of threads.
    """
    program = library(os.environ.get("CXX"))
    if isinstance(program, str):
        return program
    z, zt, step = data
    B, d, n = zt.shape
    run = getattr(program, f"loops_{str(zt.dtype).removeprefix('torch.')}")
    run.argtypes, run.restype = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 5, None
    z, zt, step = z.contiguous(), zt.contiguous(), step.reshape(-1).expand(B).contiguous()
    state = tuple(part.clone(memory_format=torch.contiguous_format) for part in state)

    threads = 1 if zt.numel() * (stop - start) < FEW else torch.get_num_threads()
    size = B if threads == 1 else min(PART, -(-B // threads))

    def some(first: int) -> None:  # ctypes lets other threads run meanwhile
        pointers = [part[first:].data_ptr() for part in (z, zt, step, *state)]
        run(*pointers, *[None] * (5 - len(pointers)), min(size, B - first), n, d, start, stop)

    if size == B:
        some(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, range(0, B, size)))
    return state
