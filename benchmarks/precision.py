"""Four formats: what margin each can resolve, and what it costs on this machine."""

from __future__ import annotations

import torch
from torch import Tensor

import icl_lib as icl

from .equal_loops import prompts_of
from .timing import Contestant, race, spread

FORMATS = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}
SIZES = {"full": (60, 64, 16, 3000, 500, 20, 5), "quick": (8, 12, 4, 100, 16, 4, 2)}
"""Prompts, points, dimension, depth; then prompts, loops and repetitions of the timing."""


def margins_reached(z: Tensor, tokens: torch.dtype, state: torch.dtype, step: float, depth: int) -> Tensor:
    """Return the normalized margins on the true tokens after every momentum layer, [<= depth, B], in float64.

    Tokens are stored in ``tokens``; scores, weights, velocity and w are computed and kept in ``state``.
    """
    kept = z.to(tokens).to(state)
    w = torch.zeros_like(kept[:, :1])
    v, zt, out = torch.zeros_like(w), kept.mT.contiguous(), []
    for t in range(depth):
        g = torch.softmax(-(w @ zt), -1) @ kept
        v = t / (t + 1) * (v + g)
        w = w + step * (v + g)
        if not torch.isfinite(w).all():  # float16 ends at 65,504
            break
        out.append(w[:, 0].double())
    return icl.normalized_margin(torch.stack(out), z.double())


def run(size: str) -> dict:
    """Return, for each format, the least missing share of gamma (median over prompts) and the time of a loop."""
    B, n, d, depth, many, loops, repetitions = SIZES[size]
    z = prompts_of(B, n, d, seed=10).z
    gamma = icl.max_margin(z.double()).margin
    rows = []
    for name, dtype in FORMATS.items():
        row = {"format": name, "epsilon": torch.finfo(dtype).eps / 2}
        for part, state in (("all", dtype), ("tokens", torch.float64)):
            missing = (1 - margins_reached(z, dtype, state, 1.0, depth) / gamma).median(-1).values
            row[part] = {"least": float(missing.min()), "layer": int(missing.argmin()) + 1, "last": float(missing[-1])}
            row[part]["layers"] = len(missing)
        rows.append(row)
    timed = prompts_of(many, n, d, seed=11).z
    entrants = {}
    for name, dtype in FORMATS.items():
        cast = timed.to(dtype)
        turned = cast.mT.contiguous()
        entrants[name] = Contestant(lambda z=cast, zt=turned: _loops(z, zt, loops), many * loops)
    times = race(entrants, repetitions)
    for row in rows:
        pairs = zip(times[row["format"]], times["float32"], strict=True)
        row["time_over_float32"] = spread([a / b for a, b in pairs])._asdict()
    return {"setting": {"prompts": B, "n": n, "d": d, "depth": depth, "gamma": float(gamma.median())}, "rows": rows}


def _loops(z: Tensor, zt: Tensor, loops: int) -> Tensor:
    w = torch.zeros_like(z[:, :1])
    for _ in range(loops):
        w = w + torch.softmax(-(w @ zt), -1) @ z
    return w
