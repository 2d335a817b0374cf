"""Where the layers stop being the fastest way to a margin: against the exact QP and scikit-learn, over n, d and B."""

from __future__ import annotations

import torch

import icl_lib as icl

from . import contestants as c
from .equal_loops import arrays, compiled_model, prompts_of
from .equal_quality import best_step, share
from .timing import Contestant, compared, race

OURS, PLAIN = "momentum layers", "momentum layers, uncompiled"
"""Ours are compiled where there is a compiler; where there is none, both are the same."""
STEPS = (4.0, 10.0, 16.0, 32.0)
"""Few: the best step hardly depends on more than the dimension, and the time is better spent on the race."""
SIZES = {
    "full": ((16, 64, 256), (4, 16, 64), 400, 6, 1500, (1, 10, 100, 1000, 10_000)),
    "quick": ((8, 16), (4,), 16, 2, 400, (1, 16)),
}
"""Values of n, of d, prompts, repetitions, the most layers, and batch sizes for n = 64, d = 16."""


def cell(n: int, d: int, B: int, repetitions: int, most: int) -> dict:
    """Return one cell of the map: the depth needed, and times against quadprog and LinearSVC; None if out of reach."""
    tuning, prompts = prompts_of(min(B, 100), n, d, seed=4), prompts_of(B, n, d, seed=5)
    known, gamma = (icl.max_margin(p.z).margin for p in (tuning, prompts))
    plan = best_step(tuning.z, known, STEPS, most)
    found = {"n": n, "d": d, "prompts": B, "gamma": float(gamma.median()), "step": plan["step"], "depth": plan["depth"]}
    if plan["depth"] is None:
        return found | {"reached": None, "rows": None}
    plain, model = _models(d, plan["step"], plan["depth"])
    prompts.z, prompts.zt  # noqa: B018
    every, few = arrays(prompts, B), arrays(prompts, min(B, 40))
    svm = c.linear_svc(C=1e4, tol=1e-2)
    entrants = {
        OURS: Contestant(lambda: model.final(prompts), B),
        PLAIN: Contestant(lambda: plain.final(prompts), B),
        "quadprog": Contestant(lambda: c.quadprog(every), B),
        "LinearSVC": Contestant(lambda: svm(few), len(few)),
    }
    reached = {k: float(share(e.run(), prompts.z, gamma).median()) for k, e in entrants.items()}
    return found | {"reached": reached, "rows": compared(race(entrants, repetitions), OURS)}


def _models(d: int, step: float, depth: int) -> tuple[icl.Looped, icl.Looped]:
    layer = icl.momentum_layer(d, step)
    plain = icl.Looped(layer, depth)
    return plain, compiled_model(layer, depth) or plain


def batches(sizes: tuple[int, ...], repetitions: int, n: int, d: int, step: float, depth: int) -> list[dict]:
    """Return rows by batch size: quadprog's time over that of ``depth`` momentum layers, both for one prompt."""
    (plain, model), rows = _models(d, step, depth), []
    for B in sizes:
        prompts = prompts_of(B, n, d, seed=6)
        prompts.z, prompts.zt  # noqa: B018
        data = arrays(prompts, min(B, 400))
        entrants = {
            OURS: Contestant(lambda p=prompts: model.final(p), B),
            PLAIN: Contestant(lambda p=prompts: plain.final(p), B),
            "quadprog": Contestant(lambda a=data: c.quadprog(a), len(data)),
        }
        ours, slow, other = compared(race(entrants, repetitions), OURS)
        ratios = {"quadprog_times_ours": other["times_ours"], "uncompiled_times_ours": slow["times_ours"]}
        rows.append({"B": B, "per_second": ours["per_second"], **ratios})
    return rows


def run(size: str) -> dict:
    """Return the map over n and d, and the line over B."""
    ns, ds, B, repetitions, most, sizes = SIZES[size]
    cells = [cell(n, d, B, repetitions, most) for n in ns for d in ds]
    n, d = (64, 16) if size == "full" else (16, 4)
    same = next(x for x in cells if (x["n"], x["d"]) == (n, d))
    line = [] if same["depth"] is None else batches(sizes, repetitions, n, d, same["step"], same["depth"])
    return {
        "setting": {
            "level": 0.99,
            "most_layers": most,
            "threads": torch.get_num_threads(),
            "quadprog_threads": 1,
            "compiled": compiled_model(icl.ngd_layer(1, 1.0), 1) is not None,
        },
        "cells": cells,
        "by_batch": {"n": n, "d": d, "step": same["step"], "depth": same["depth"], "rows": line},
    }
