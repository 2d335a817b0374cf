"""Theorems on momentum: the margin's rate, and what the velocity proves. Chapter "Acceleration".

Depth runs along the first axis, t = 1 .. T; lengths are in units of R.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..algorithms import momentum_ngd
from ..losses import exponential_weights
from ..metrics import normalized_margin
from .base import Instance, Sides, Theorem


def _depths(i: Instance) -> Tensor:
    return torch.arange(1, i.steps + 1, dtype=i.context.z.dtype)[:, None]


def _log_n(i: Instance) -> Tensor:
    return torch.tensor(i.context.z.shape[1], dtype=i.context.z.dtype).log()


def _momentum(i: Instance) -> Sides:
    w, gamma, t = momentum_ngd(i.context.z, i.step, i.steps)[1:], i.context.margin / i.context.radius, _depths(i)
    gap = gamma - normalized_margin(w, i.context.z) / i.context.radius
    return Sides(gap, 4 * _log_n(i) / (gamma * i.relative_step * t * (t + 3)), torch.ones_like(gap))


def _velocity(i: Instance) -> Sides:
    """2 v_{T+1} / T is the mean of the head's outputs at depths s = 1 .. T with weights proportional to s."""
    q, t = exponential_weights(momentum_ngd(i.context.z, i.step, i.steps)[1:], i.context.z), _depths(i)
    read = torch.einsum("tbn,bnd->tbd", q, i.context.z) / i.context.radius[:, None]
    mean = (t[..., None] * read).cumsum(0) / t.cumsum(0)[..., None]
    square, gamma = mean.square().sum(-1), i.context.margin / i.context.radius
    return Sides(square, gamma**2 + 8 * _log_n(i) / (i.relative_step * (t + 1) ** 2), 1 + square)


STATEMENTS = (
    Theorem(
        "thm-momentum",
        "Momentum squares the depth",
        r"With momentum, for $\eta = c/R^2$, $0 < c \le 1$, $T \ge 1$: "
        r"$\min_i \langle w_T, z_i \rangle / \|w_T\| \ge \gamma - 4 R^2 \log n / (\gamma c T (T+3))$.",
        "ours",
        "sure",
        _momentum,
    ),
    Theorem(
        "thm-velocity",
        "The velocity tends to the margin",
        r"With momentum, for $\eta = c/R^2$, $0 < c \le 1$, $T \ge 1$: "
        r"$\|\frac2T v_{T+1}\|^2 \le \gamma^2 + 8 R^2 \log n / (c (T+1)^2)$.",
        "ours",
        "sure",
        _velocity,
    ),
)
