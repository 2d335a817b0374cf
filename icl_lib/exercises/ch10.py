"""The coded exercise of chapter 10, "The error falls like d over n"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise


def _depth_cases() -> list[tuple]:
    """Errors [B, K, J] of B prompts at K depths and J sizes: a dip that lies deeper for larger sizes, and noise."""
    g = torch.Generator().manual_seed(10)
    cases = []
    for B, K, J in ((7, 5, 3), (11, 6, 2), (9, 4, 4)):
        dip = (torch.arange(K)[:, None] - torch.linspace(0.5, K - 1.5, J)).square()
        noise = torch.randn(B, K, J, generator=g, dtype=torch.float64)
        cases.append(((0.2 + 0.01 * dip + 0.05 * noise).abs(),))
    return cases


def _depth_stub(errors):
    return errors.mean((0, 1))


def depth_solution(errors):
    even, odd = errors[::2], errors[1::2]
    sums = 0.0
    for choose, measure in ((even, odd), (odd, even)):
        depth = choose.mean(0).argmin(0)  # [J]: one for each size
        at = depth[None, None].expand(len(measure), 1, -1)
        sums = sums + measure.gather(1, at).sum((0, 1))
    return sums / len(errors)


def _at(errors: Tensor, depth: Tensor) -> Tensor:
    """The rows' errors at the depths [J]: [B, J]."""
    return errors[:, depth, torch.arange(errors.shape[2])]


def _best(errors: Tensor) -> Tensor:
    return errors.mean(0).argmin(0)


def _crossed(errors: Tensor, best=_best, halves=None) -> Tensor:
    """The mean error at depths that best(half) chooses for the other half."""
    even, odd = (errors[::2], errors[1::2]) if halves is None else halves
    return torch.cat([_at(odd, best(even)), _at(even, best(odd))]).mean(0)


def _by_votes(errors: Tensor) -> Tensor:
    return errors.argmin(1).mode(0).values


honest_depth = Exercise(
    title="A depth, chosen honestly",
    difficulty=2,
    importance=3,
    minutes=15,
    stub=_depth_stub,
    solution=depth_solution,
    cases=_depth_cases(),
    mistakes={
        "chosen where it is measured": (
            lambda errors: errors.mean(0).amin(0),
            "You chose the depth on the very prompts that measure it. That error is too good to be true.",
        ),
        "each prompt's own best": (
            lambda errors: errors.amin(1).mean(0),
            "Every prompt has a depth of its own here, chosen by looking at its error. Nobody who has only the prompt "
            "can do that.",
        ),
        "each half on itself": (
            lambda errors: torch.cat([_at(half, _best(half)) for half in (errors[::2], errors[1::2])]).mean(0),
            "You halved the prompts, and then measured each half at the depth chosen on that half. The halves should "
            "judge each other.",
        ),
        "only one way": (
            lambda errors: _at(errors[1::2], _best(errors[::2])).mean(0),
            "Honest, but only the odd rows are measured. The even ones can be, too, at what the odd ones choose.",
        ),
        "only the other way": (
            lambda errors: _at(errors[::2], _best(errors[1::2])).mean(0),
            "Honest, but only the even rows are measured. The odd ones can be, too, at what the even ones choose.",
        ),
        "mean of two means": (
            lambda errors: (
                (_at(errors[1::2], _best(errors[::2])).mean(0) + _at(errors[::2], _best(errors[1::2])).mean(0)) / 2
            ),
            "Almost: the two halves need not be equally large, and every prompt should count the same.",
        ),
        "one chosen, all measured": (
            lambda errors: _at(errors, _best(errors[::2])).mean(0),
            "The depth comes from the even rows, and then you measured all rows: half of them had chosen it.",
        ),
        "one depth for all sizes": (
            lambda errors: _crossed(errors, lambda half: half.mean((0, 2)).argmin().expand(errors.shape[2])),
            "You took one depth for all sizes. Longer contexts want deeper loops: choose for each size.",
        ),
        "sizes mixed": (
            lambda errors: torch.cat(
                [errors[1::2][:, _best(errors[::2])].mean(-1), errors[::2][:, _best(errors[1::2])].mean(-1)]
            ).mean(0),
            "You measured every size at the depths of all sizes. Pair each size with its own depth.",
        ),
        "the worst": (
            lambda errors: _crossed(errors, lambda half: half.mean(0).argmax(0)),
            "You chose the depth with the largest error.",
        ),
        "the deepest": (
            lambda errors: errors[:, -1].mean(0),
            "That is the deepest loop, with nothing chosen.",
        ),
        "by votes": (
            lambda errors: _crossed(errors, _by_votes),
            "You chose the depth at which most prompts are at their best. Wanted is the one with the least mean error.",
        ),
        "by medians": (
            lambda errors: _crossed(errors, lambda half: half.median(0).values.argmin(0)),
            "You chose by medians. Choose by what is measured afterwards, the mean.",
        ),
        "first and second half": (
            lambda errors: _crossed(errors, halves=(errors[: len(errors) // 2], errors[len(errors) // 2 :])),
            "Honest, with other halves: you cut in the middle. Take every other row, so that the verdict can compare.",
        ),
        "leave one out": (
            lambda errors: errors.gather(1, (errors.sum(0) - errors).argmin(1, keepdim=True))[:, 0].mean(0),
            "Honest: that is the chapter's way, each row at the depth that is best on all others. Here it is two "
            "halves.",
        ),
        "depths, not errors": (
            lambda errors: (_best(errors[::2]) + _best(errors[1::2])) / 2,
            "You return which depths were chosen. Return the error that they lead to.",
        ),
        "the first depth": (
            lambda errors: errors[:, 0].mean(0),
            "You measure at the first depth, whatever was chosen. Along which axis do the depths lie?",
        ),
    },
    first_hint="Two halves, two choices. Each half is measured at the depths that the other half likes best.",
    praise="No prompt had a say in the depth at which it is measured.",
    also_right={
        "loops, NumPy": lambda errors: _numpy_depth(errors.numpy()),
        "float32, advanced indexing": lambda errors: _crossed(errors.float()),
    },
)


def _numpy_depth(errors):
    honest = np.empty((errors.shape[0], errors.shape[2]))
    for row in range(len(errors)):
        others = errors[[k for k in range(len(errors)) if (k - row) % 2]]
        for size in range(errors.shape[2]):
            honest[row, size] = errors[row, np.argmin(others[:, :, size].sum(0)), size]
    return honest.mean(0).tolist()
