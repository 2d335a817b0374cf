"""A hundred loops of one layer, done in every way; and logistic regression itself, for what it costs."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

import icl_lib as icl

from . import contestants as c
from .timing import Contestant, compared, race

OURS = "default path"
STEP = 1.0
SIZES = {"full": (1000, 64, 16, 100, 15, 100), "quick": (64, 16, 4, 20, 2, 8)}
"""Prompts, points, dimension, loops, repetitions, and how many prompts scikit-learn gets in a repetition."""


def prompts_of(B: int, n: int, d: int, seed: int, device: str = "cpu") -> icl.Prompts:
    """Return normalized Gaussian prompts in float32."""
    drawn = icl.LinearTask(d=d).sample(B, n, generator=torch.Generator().manual_seed(seed)).normalized()
    return icl.Prompts(drawn.x.to(device), drawn.y.to(device))


def arrays(prompts: icl.Prompts, count: int) -> c.Arrays:
    """Return the first prompts as scikit-learn wants them."""
    pairs = zip(prompts.x[:count].double().cpu().numpy(), prompts.y[:count].double().cpu().numpy(), strict=True)
    return list(pairs)


def off(w: Tensor, reference: Tensor) -> float:
    """Return the largest relative distance of two batches of classifiers."""
    w, reference = (torch.as_tensor(v).double().cpu() for v in (w, reference))
    return float(((w - reference).norm(dim=-1) / reference.norm(dim=-1)).max())


def loops(prompts: icl.Prompts, depth: int) -> dict[str, Contestant]:
    """Return the ways to loop the layer, the compiled one among them where there is a compiler."""
    B, _, d = prompts.x.shape
    layer = icl.ngd_layer(d, STEP)
    fast = icl.Looped(layer, depth)
    ways = {
        OURS: lambda: fast.final(prompts),
        "scaled_dot_product_attention": lambda: c.sdpa_loop(prompts.z, STEP, depth),
        "row form, no copy": lambda: c.view_loop(prompts.z, STEP, depth),
        "naive bmm": lambda: c.naive_loop(prompts.z, STEP, depth),
        "einsum": lambda: c.einsum_loop(prompts.z, STEP, depth),
    }
    if (model := compiled_model(layer, depth)) is not None:
        ways["compile=True"] = lambda: model.final(prompts)
    return {name: Contestant(run, B) for name, run in ways.items()}


def compiled_model(layer: torch.nn.Module, depth: int) -> icl.Looped | None:
    """Return the compiled loop, or None where this machine cannot compile."""
    model = icl.Looped(layer, depth, compile=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            model.final(prompts_of(2, 3, layer.d, 0))
        except RuntimeWarning as warning:
            print(f"  ({warning})")
            return None
    return model


def run(size: str, device: str = "cpu") -> dict:
    """Return the table of equal loops, and how far the answers are from each other."""
    B, n, d, depth, repetitions, few = SIZES[size]
    prompts = prompts_of(B, n, d, seed=1, device=device)
    prompts.z, prompts.zt  # noqa: B018  folded once, before the clock starts, for all alike
    entrants = loops(prompts, depth)
    reference = icl.ngd(prompts.z.double(), STEP, depth)[-1]
    agreement = {name: off(entrant.run(), reference) for name, entrant in entrants.items()}
    if device == "cpu":
        solvers, solved = _logistic(prompts, few)
        entrants |= solvers
        agreement |= solved
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    rows = compared(race(entrants, repetitions, wait), OURS)
    return {
        "setting": {"prompts": B, "n": n, "d": d, "loops": depth, "step": STEP, "dtype": "float32", "device": device},
        "repetitions": repetitions,
        "agreement": agreement,
        "rows": rows,
        "targets": _targets(rows),
    }


def _logistic(prompts: icl.Prompts, few: int) -> tuple[dict[str, Contestant], dict[str, float]]:
    """The competitors that solve logistic regression itself (C = 1): another objective, for what it costs."""
    some, more = arrays(prompts, few), arrays(prompts, 4 * few)
    one, two = c.logistic(), c.parallel(c.logistic(), torch.get_num_threads())
    newton = c.newton_batch(prompts.z)
    # the reference is Newton's in float64 with many steps; liblinear stops at its own tolerance
    exact = c.newton_batch(prompts.z.double(), steps=20)
    B = len(prompts.x)
    return {
        "Newton, batched": Contestant(lambda: c.newton_batch(prompts.z), B),
        "scikit-learn": Contestant(lambda: one(some), len(some)),
        "scikit-learn, joblib": Contestant(lambda: two(more), len(more)),
    }, {
        "Newton, batched": off(newton, exact),
        "scikit-learn": off(one(some), exact[: len(some)]),
        "scikit-learn, joblib": off(two(more), exact[: len(more)]),
    }


def _targets(rows: list[dict]) -> list[dict]:
    """What was asked of the default path, and what came."""
    ratio = {row["name"]: row["times_ours"] for row in rows}
    asked = {"scaled_dot_product_attention": 2.0, "naive bmm": 5.0}
    found = [{"name": f"{name} / default", "target": t, **ratio[name]} for name, t in asked.items() if name in ratio]
    if "compile=True" in ratio:
        r = ratio["compile=True"]
        gain = {"median": 1 / r["median"], "low": 1 / r["high"], "high": 1 / r["low"]}
        found.append({"name": "default / compile=True", "target": 1.15, **gain})
    return found
