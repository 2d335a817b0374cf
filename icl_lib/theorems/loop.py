"""Theorems on the loop of a learned layer, whose blocks A, B miss -I and step I by a little. Chapter "The loop".

C = -A B is the one matrix that counts: u = -A w descends exactly, with C in place of the step. Lengths of w are in
units of 1/R, depth runs along the first axis, t = 1 .. T; norms of matrices are spectral.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import validate
from ..algorithms import ngd
from ..attention import SoftmaxAttention
from ..constructions import ngd_layer
from ..looped import Looped
from ..losses import exponential_weights, log_mean_exp, margins
from .base import Instance, Sides, Theorem
from .construction import agreement, apply, gradient


def _norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)


def _layer(i: Instance) -> SoftmaxAttention:
    """The construction with the instance's flaws in its two blocks."""
    d = i.context.z.shape[-1]
    exact = ngd_layer(d, i.step)
    score, value = exact.score.clone(), exact.value.clone()
    score[:d, d:] += i.flaws[0]
    value[:, d:, :d] @= torch.eye(d).to(value) + i.flaws[1]
    return SoftmaxAttention(score, value)


def _preconditioner(i: Instance) -> tuple[Tensor, Tensor]:
    """-A [d, d], and R^2 C = -R^2 A B, one for each prompt: [B, d, d]."""
    eye = torch.eye(i.context.z.shape[-1]).to(i.flaws)
    minus_a = eye - i.flaws[0]
    return minus_a, i.relative_step[:, None, None] * (minus_a @ (eye + i.flaws[1]))


def _loop(i: Instance) -> tuple[Tensor, Tensor]:
    """The iterates w of the learned layer and those of the exact step, both [T+1, B, d], times R."""
    radius = i.context.radius[:, None]
    return Looped(_layer(i), i.steps).iterates(i.prompts) * radius, ngd(i.context.z, i.step, i.steps) * radius


def _size(learned: Tensor) -> Tensor:
    """Rounding errs by 1e-16 |m| in each weight of each step: the sum over the steps, each |m| <= ||w|| R."""
    return (1 + learned[:-1].norm(dim=-1)).cumsum(0)


def _step_errors(i: Instance) -> Sides:
    (learned, exact), c = _loop(i), i.relative_step
    a, b = _norm(i.flaws[0]), c * _norm(i.flaws[1])
    bound = (c * a * learned[:-1].norm(dim=-1) + b).cumsum(0)
    return Sides((learned - exact)[1:].norm(dim=-1), bound, _size(learned))


def _conditioned(i: Instance) -> Sides:
    minus_a, scaled = _preconditioner(i)
    z, u = i.context.z, i.w @ minus_a.T
    slope = gradient(lambda v: log_mean_exp(v, z), u)
    expected = u - torch.einsum("bij,bj->bi", scaled, slope) / i.context.radius[:, None] ** 2
    return agreement(apply(_layer(i), i, i.w) @ minus_a.T, expected, i, i.w, i.step)


def _linear_error(i: Instance) -> Sides:
    learned, exact = _loop(i)
    minus_a, scaled = _preconditioner(i)
    unit = i.context.z / i.context.radius[:, None, None]
    q = exponential_weights((learned @ minus_a.T)[:-1], unit)
    read = torch.einsum("tbn,bnd->tbd", q, unit).norm(dim=-1)
    e = _norm(scaled - i.relative_step[:, None, None] * torch.eye(unit.shape[-1]).to(unit))
    bound = _norm(i.flaws[0]) * learned[1:].norm(dim=-1) + e * read.cumsum(0)
    return Sides((learned - exact)[1:].norm(dim=-1), bound, _size(learned))


def _margin(i: Instance) -> Sides:
    learned, _ = _loop(i)
    minus_a, scaled = _preconditioner(i)
    eigenvalues = torch.linalg.eigvalsh((scaled + scaled.mT) / 2)
    low, top, turn = eigenvalues[:, 0], eigenvalues[:, -1], _norm((scaled - scaled.mT) / 2)
    mu = low - turn**2 / (2 * (1 - top))
    if not ((top < 1) & (mu > 0)).all():
        raise validate.fail("flaws", f"R^2 lambda_max(S) = {top.amax():g}, mu R^2 = {mu.amin():g}", "below 1, above 0")
    u = (learned @ minus_a.T)[1:]
    gamma, n = i.context.margin / i.context.radius, i.context.z.shape[1]
    least = margins(u / i.context.radius[:, None], i.context.z).amin(-1)
    promised = mu * gamma / _norm(scaled) * u.norm(dim=-1)
    return Sides(promised, least + torch.tensor(n, dtype=u.dtype).log() + top / 2, _size(learned))


STATEMENTS = (
    Theorem(
        "thm-loop-error",
        "Errors of the steps add up at most",
        r"Let $0 < \eta \le 2/R^2$, $\|A + I\| \le a$ and $\|B - \eta I\| \le b$. After $T$ loops the learned iterate "
        r"$\hat w_T$ is within $\sum_{t<T} \big( \eta R^2 a \|\hat w_t\| + b R \big)$ of $w_T$.",
        "ours",
        "sure",
        _step_errors,
        largest_step=2.0,
    ),
    Theorem(
        "thm-preconditioner",
        "A learned layer preconditions",
        r"Let $A$, $B$ be any matrices and $C = -AB$. In $u = -A \hat w$ the learned layer is "
        r"$u \mapsto u - C \nabla \phi(u)$, exactly.",
        "ours",
        "sure",
        _conditioned,
        rounding=1e-13,
    ),
    Theorem(
        "thm-loop-linear",
        "The error of the loop grows no faster than the path",
        r"Let $0 < \eta \le 2/R^2$, $C = -AB$ and $u_t = -A \hat w_t$. Then $\|\hat w_T - w_T\| \le "
        r"\|A + I\| \, \|\hat w_T\| + \|C - \eta I\| \sum_{t<T} \|\nabla \phi(u_t)\|$, and each "
        r"$\|\nabla \phi\| \le R$.",
        "ours",
        "sure",
        _linear_error,
        largest_step=2.0,
    ),
    Theorem(
        "thm-loop-margin",
        "A learned layer keeps its margin for ever",
        r"Let $C = -AB$ have symmetric part $S$ and antisymmetric part $K$, with $R^2 \lambda_{\max}(S) < 1$ and "
        r"$\mu = \lambda_{\min}(S) - R^2 \|K\|^2 / (2 - 2 R^2 \lambda_{\max}(S)) > 0$. At every depth $T$, "
        r"$u_T = -A \hat w_T$ has $\min_i \langle u_T, z_i \rangle \ge \frac{\mu}{\|C\|} \gamma \|u_T\| - \log n - "
        r"\frac12 R^2 \lambda_{\max}(S)$.",
        "ours",
        "sure",
        _margin,
        largest_step=0.5,
    ),
)
