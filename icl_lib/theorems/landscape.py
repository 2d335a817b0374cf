"""The loss of a layer in training, on scalar matrices and infinite contexts. Chapter "Training one layer".

The layer has the score matrix -b I and the value matrix a I; c = a b is the step that it takes. Points are Gaussian,
states w are N(0, sigma^2 I), and alpha = <w, w_star>. The proof is in the back matter, "The landscape".
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Instance, Sides, Theorem

_GRID = torch.linspace(-9.0, 9.0, 4001, dtype=torch.float64)
_WEIGHT = torch.softmax(-_GRID.square() / 2, 0)  # the trapezoidal rule is exact to rounding for such integrands


def overshoot(u: Tensor) -> Tensor:
    """Return h(u) = E[X - u | X > u] for a standard normal X: what a truncated normal exceeds its threshold by."""
    return math.sqrt(2 / math.pi) / torch.special.erfcx(u / math.sqrt(2)) - u


def nullclines(
    b: Float[Tensor, " B"], variance: Float[Tensor, " B"], d: int
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Return, in units of the teacher's step, the c at which the c-partial vanishes and that for the b-partial.

    Both partials are affine and increasing in c at a given b, so a critical point is where the two agree.
    """
    alpha = variance.sqrt()[:, None] * _GRID
    u = b[:, None] * alpha
    h = overshoot(u)
    k, teacher = h / b[:, None], overshoot(alpha)
    psi = 1 - u * (h.square() + u * h - 1) / h
    across = (d - 1) * variance
    c_partial = (across + (k * teacher) @ _WEIGHT) / (across + k.square() @ _WEIGHT)
    b_partial = ((k * teacher * psi) @ _WEIGHT) / ((k.square() * psi) @ _WEIGHT)
    return c_partial, b_partial


def _drawn(i: Instance) -> tuple[Tensor, Tensor]:
    """b in [0.01, 30] from the length of w, sigma^2 in (0, 1] from the step: an instance of another kind, reused."""
    return (i.w.norm(dim=-1) * i.context.radius).clamp(1e-2, 30.0), i.relative_step


def _landscape(i: Instance) -> Sides:
    b, variance = _drawn(i)
    c_partial, b_partial = nullclines(b, variance, i.context.z.shape[-1])
    steep = b > 1
    smaller = torch.where(steep, c_partial, b_partial)
    larger = torch.where(steep, b_partial, c_partial)
    return Sides(smaller / larger, torch.ones_like(b), torch.ones_like(b))


STATEMENTS = (
    Theorem(
        "thm-landscape",
        "The landscape",
        r"Infinite Gaussian contexts, $w \sim N(0, \sigma^2 I)$, layers $A = -bI$, $B = aI$. On $a, b \ge 0$ the only "
        r"critical point of the one-step loss is $(\eta, 1)$, and gradient flow tends to it from every start. Checked: "
        r"the partials in $c = ab$ and in $b$ vanish at $c_1(b)$ and $c_2(b)$; $c_1 < c_2$ if $b > 1$, $c_1 > c_2$ if "
        r"$b < 1$.",
        "ours",
        "sure",
        _landscape,
        rounding=1e-10,
    ),
)
