"""How time grows with the batch, the context, the dimension and the depth: fitted exponents with intervals."""

from __future__ import annotations

import icl_lib as icl

from .equal_loops import STEP, prompts_of
from .timing import Contestant, exponent, race, spread

SIZES = {
    "full": (
        {
            "B": (1000, 2000, 4000, 8000, 16_000),
            "n": (16, 32, 64, 128, 256, 512),
            "d": (4, 8, 16, 32, 64, 128),
            "T": (25, 50, 100, 200, 400),
        },
        {"B": 1000, "n": 64, "d": 16, "T": 40},
        7,
    ),
    "quick": ({"B": (32, 64), "n": (8, 16), "d": (2, 4), "T": (5, 10)}, {"B": 32, "n": 8, "d": 4, "T": 10}, 3),
}
"""Sizes along each axis, the sizes of the others meanwhile, repetitions."""


def run(size: str) -> dict:
    """Return, for each of B, n, d, T, seconds a call at each size, and the exponent of the power law through them."""
    axes, base, repetitions = SIZES[size]
    found = {}
    for axis, values in axes.items():
        entrants = {}
        for value in values:
            at = base | {axis: value}
            prompts = prompts_of(at["B"], at["n"], at["d"], seed=7)
            prompts.z, prompts.zt  # noqa: B018
            model = icl.Looped(icl.ngd_layer(at["d"], STEP), at["T"])
            entrants[str(value)] = Contestant(lambda m=model, p=prompts: m.final(p), 1)
        times = race(entrants, repetitions)
        rows = [{"size": value, "seconds": spread(times[str(value)])._asdict()} for value in values]
        found[axis] = {"rows": rows, "exponent": exponent(values, [times[str(v)] for v in values])._asdict()}
    return {"base": base, "repetitions": repetitions, "axes": found}
