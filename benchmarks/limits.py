"""What this machine can do at most, and where the loops stand: a roofline with intensities counted by formula."""

from __future__ import annotations

import torch

import icl_lib as icl

from . import contestants as c
from .equal_loops import STEP, prompts_of
from .timing import Contestant, race, spread

SIZES = {"full": (2048, 2**26, 1000, 64, 16, 100, 9), "quick": (256, 2**16, 32, 8, 4, 10, 2)}
"""Side of the matrices, floats in a big array, then prompts, points, dimension, loops, and repetitions."""


def flops(n: int, d: int) -> int:
    """Return the operations of one loop on one prompt: scores 2nd, softmax 5n (an exponential counts one), mean 2nd."""
    return 4 * n * d + 5 * n + 2 * d


def streamed_bytes(n: int, d: int, width: int = 4) -> int:
    """Return the bytes that the operations of one loop read and write for one prompt, as counted in the book.

    Tokens twice (transposed for the scores, as they are for the mean), six passes over the n scores (written, negated,
    softmax, read), five over vectors of length d. What stays in a cache does not come from memory.
    """
    return width * (2 * n * d + 6 * n + 5 * d)


def run(size: str) -> dict:
    """Return the limits (GFLOP/s, GB/s) and the loops' own rates, each with its spread."""
    side, floats, B, n, d, loops, repetitions = SIZES[size]
    g = torch.Generator().manual_seed(8)
    a, b = torch.randn(2, side, side, generator=g)
    product = torch.empty_like(a)
    big, other, total = torch.zeros(floats), torch.ones(floats), torch.empty(floats)
    small = B * n * d
    cached = torch.zeros(small), torch.ones(small), torch.empty(small)
    prompts = prompts_of(B, n, d, seed=9)
    z, zt, w = prompts.z, prompts.zt, torch.randn(B, 1, d, generator=g)
    model = icl.Looped(icl.ngd_layer(d, STEP), loops)
    work, again = 2 * B * n * d, 50 if size == "full" else 2

    def repeat(call: object) -> object:
        return lambda: [call() for _ in range(again)]

    entrants = {
        "large matmul": (Contestant(lambda: torch.mm(a, b, out=product), 1), 2 * side**3, 12 * side**2),
        "big copy": (Contestant(lambda: total.copy_(big), 1), 0, 8 * floats),
        "big triad": (Contestant(lambda: torch.add(big, other, alpha=3.0, out=total), 1), 2 * floats, 12 * floats),
        "triad, the size of our tokens": (
            Contestant(repeat(lambda: torch.add(cached[0], cached[1], alpha=3.0, out=cached[2])), again),
            2 * small,
            12 * small,
        ),
        "scores, row form": (Contestant(repeat(lambda: w @ zt), again), work, 4 * B * (n * d + n + d)),
        "scores, bmm(Z, w)": (Contestant(repeat(lambda: torch.bmm(z, w.mT)), again), work, 4 * B * (n * d + n + d)),
        "default path": (
            Contestant(lambda: model.final(prompts), 1),
            loops * B * flops(n, d),
            loops * B * streamed_bytes(n, d),
        ),
        "naive bmm": (
            Contestant(lambda: c.naive_loop(z, STEP, loops), 1),
            loops * B * flops(n, d),
            loops * B * streamed_bytes(n, d),
        ),
    }
    times = race({name: e[0] for name, e in entrants.items()}, repetitions)
    rows = []
    for name, (_, operations, moved) in entrants.items():
        seconds = times[name]
        rows.append(
            {
                "name": name,
                "gflops": spread([operations / s / 1e9 for s in seconds])._asdict(),
                "gbytes": spread([moved / s / 1e9 for s in seconds])._asdict(),
                "intensity": operations / moved,
            }
        )
    return {
        "setting": {"prompts": B, "n": n, "d": d, "loops": loops, "flops": flops(n, d), "bytes": streamed_bytes(n, d)},
        "repetitions": repetitions,
        "rows": rows,
    }
