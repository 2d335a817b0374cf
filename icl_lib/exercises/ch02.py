"""The coded exercises of chapter 02, "The minimum is at infinity"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise

# --- 1: the gradient of the potential


def _gradient_cases() -> list[tuple]:
    """Classifiers and tokens; then margins all beyond 750, where exp(-m) is 0 in float64, and of 800 and -800."""
    g = torch.Generator().manual_seed(3)
    cases = [
        (torch.randn(d, generator=g, dtype=torch.float64), torch.randn(n, d, generator=g, dtype=torch.float64))
        for n, d in ((6, 2), (4, 3))
    ]
    far = torch.tensor([[1.0, 0.5], [1.002, -1.0], [1.004, 2.0]], dtype=torch.float64)
    both = torch.tensor([[1.0, 0.3], [-1.0, 0.2]], dtype=torch.float64)
    return [*cases, *((torch.tensor([w, 0.0], dtype=torch.float64), z) for w, z in ((768.0, far), (800.0, both)))]


def _gradient_stub(w, z):
    return torch.zeros_like(w)


def potential_gradient_solution(w, z):
    q = torch.softmax(-z @ w, 0)  # takes the largest score off first: never 0 / 0
    return -q @ z


def _shares(e: Tensor) -> Tensor:
    return e / e.sum()


def _pulled(w: Tensor, z: Tensor) -> Tensor:
    """sum_i q_i z_i with q = softmax(-m)."""
    return torch.softmax(-z @ w, 0) @ z


potential_gradient = Exercise(
    title="The gradient of the potential",
    difficulty=2,
    importance=3,
    minutes=15,
    stub=_gradient_stub,
    solution=potential_gradient_solution,
    cases=_gradient_cases(),
    tolerance=1e-3,  # float32 at margins near 768 keeps four digits of the weights
    mistakes={
        "the step": (
            lambda w, z: _pulled(w, z),
            "That is the direction in which NGD moves. The gradient points the other way, uphill.",
        ),
        "gradient of the loss": (
            lambda w, z: -torch.exp(-z @ w) @ z / len(z),
            "That is the gradient of L, and it is as small as the loss. What does the logarithm do to a derivative?",
        ),
        "not divided": (
            lambda w, z: -torch.exp(-z @ w) @ z,
            "That is n times the gradient of L. The derivative of a logarithm divides by what stands inside.",
        ),
        "divided by n twice": (
            lambda w, z: -_pulled(w, z) / len(z),
            "Right direction, n times too short: the 1/n stands in L and in its gradient. What is left of it?",
        ),
        "sum over n": (
            lambda w, z: -len(z) * _pulled(w, z),
            "Right direction, n times too long. Which of your two, L or its gradient, is a sum and which is a mean?",
        ),
        "by the gradient's length": (
            lambda w, z: -_pulled(w, z) / _pulled(w, z).norm(),
            "Yours always has length 1: you divided by the length of the gradient and not by the loss. That is "
            "another algorithm, and no gradient of the potential.",
        ),
        "sign of the margins": (
            lambda w, z: -torch.softmax(z @ w, 0) @ z,
            "Your weights are largest on the tokens with the largest margins. Which tokens make the loss large?",
        ),
        "the potential of -w": (
            lambda w, z: torch.softmax(z @ w, 0) @ z,
            "That would be the gradient of log mean exp(+m): a loss that grows as the classifier gets better.",
        ),
        "the mean token": (
            lambda w, z: -z.mean(0),
            "Right at w = 0 only: there all weights are equal. Where do the margins of w enter?",
        ),
        "zero over zero": (
            lambda w, z: -_shares(torch.exp(-z @ w)) @ z,
            "Right, until all margins are large: then every exp(-m) is 0 in the computer, the loss is too, and 0 / 0 "
            "is NaN. The weights only depend on differences of margins: use that.",
        ),
        "shifted by the wrong end": (
            lambda w, z: -_shares(torch.exp((z @ w).max() - z @ w)) @ z,
            "Right until margins are large with both signs: there an exponential overflows. If you shifted the "
            "margins, you shifted by the wrong end: which of the exponentials must become 1?",
        ),
        "sigmoid weights": (
            lambda w, z: -_shares(torch.sigmoid(-z @ w)) @ z,
            "Your weights sum to 1, and they are sigmoids: those of logistic regression. Far out they are 0 / 0, too.",
        ),
        "logistic loss": (
            lambda w, z: -torch.sigmoid(-z @ w) @ z / len(z),
            "That is the gradient of the logistic loss. The potential is the logarithm of the exponential one.",
        ),
    },
    first_hint="Differentiate log L(w): what divides what? Then write the weights of the tokens.",
    praise="It keeps its size where the loss itself is 0 in float64. That is what dividing by the loss is for.",
    also_right={
        "autograd": lambda w, z: torch.func.grad(lambda v: torch.logsumexp(-z @ v, 0))(w),
        "NumPy": lambda w, z: _numpy_gradient(w.numpy(), z.numpy()),
        "float32": lambda w, z: potential_gradient_solution(w.float(), z.float()),
    },
)


def _numpy_gradient(w, z):
    m = z @ w
    e = np.exp(m.min() - m)
    return [float(-(e * column).sum() / e.sum()) for column in z.T]


# --- 2: the margin of a direction


def _margin_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(4)
    cases = []
    for n, d, separates in ((6, 2, True), (5, 3, False), (7, 4, True)):
        x = torch.randn(n, d, generator=g, dtype=torch.float64)
        w = 3 * torch.randn(d, generator=g, dtype=torch.float64)
        y = torch.sign(x @ w)
        y[:2] *= 1.0 if separates else -1.0
        cases.append((w, x, y))
    return cases


def _margin_stub(w, x, y):
    return 0.0


def margin_solution(w, x, y):
    return (y * (x @ w)).min() / w.norm()


margin = Exercise(
    title="The margin of a classifier",
    difficulty=1,
    importance=3,
    minutes=5,
    stub=_margin_stub,
    solution=margin_solution,
    cases=_margin_cases(),
    mistakes={
        "not divided": (
            lambda w, x, y: (y * (x @ w)).min(),
            "Twice your w gives twice your margin, though the boundary is the same. Which margin depends on the "
            "direction only?",
        ),
        "divided by the square": (
            lambda w, x, y: (y * (x @ w)).min() / (w @ w),
            "You divided by the square of the length. Test with 2 w in place of w: nothing may change.",
        ),
        "labels forgotten": (
            lambda w, x, y: (x @ w).min() / w.norm(),
            "No label enters. A point with label -1 is right when its product with w is negative.",
        ),
        "distance without sign": (
            lambda w, x, y: (x @ w).abs().min() / w.norm(),
            "That is the distance of the nearest point, right or wrong. For a classifier that errs the margin is "
            "negative.",
        ),
        "mean": (
            lambda w, x, y: (y * (x @ w)).mean() / w.norm(),
            "That is the mean over the points. The margin of a direction is that of its worst point.",
        ),
        "largest": (
            lambda w, x, y: (y * (x @ w)).max() / w.norm(),
            "That is the most confident point. Which one limits how far the boundary may be turned?",
        ),
        "cosine": (
            lambda w, x, y: (y * (x @ w) / x.norm(dim=1)).min() / w.norm(),
            "You divided by the length of the points as well: an angle. How far a point is from the boundary does "
            "depend on its length.",
        ),
        "divided by the longest point": (
            lambda w, x, y: (y * (x @ w)).min() / w.norm() / x.norm(dim=1).max(),
            "That is the margin in units of R, the longest point. On a normalized prompt R is 1; here it is not.",
        ),
        "a value for each point": (
            lambda w, x, y: y * (x @ w) / w.norm(),
            "These are the signed distances of all points. One number is wanted: which of them decides?",
        ),
    },
    first_hint="Fold the points; take the product with w; then think of what must not change when w is doubled.",
    praise="The signed distance of the worst point: positive exactly when w separates, and blind to the length of w.",
    also_right={
        "NumPy": lambda w, x, y: np.min(y.numpy() * (x.numpy() @ (w.numpy() / np.linalg.norm(w.numpy())))),
        "a loop": lambda w, x, y: min(float(b) * float(a @ w) for a, b in zip(x, y, strict=True)) / float(w @ w) ** 0.5,
        "float32": lambda w, x, y: margin_solution(w.float(), x.float(), y.float()),
    },
)
