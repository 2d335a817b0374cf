"""Theorems on neighbours of the layer: sigmoid weights, the logistic blocks, RMSNorm, and the infinite context.

Chapters "One head, one step", "Depth is optimisation" and "Four layers, two roads".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..constructions import logistic_block, norm_layer
from ..losses import exponential_weights, log_mean_exp, logistic_loss, margins
from .base import Instance, Sides, Theorem
from .construction import agreement, apply, gradient


def _sigmoid_gap(i: Instance) -> Sides:
    m = margins(i.w, i.context.z)
    sigmoid = torch.softmax(torch.nn.functional.logsigmoid(-m), -1)
    gap = (sigmoid - exponential_weights(i.w, i.context.z)).abs().sum(-1)
    bound = 2 * torch.tanh(torch.nn.functional.softplus(-m.amin(-1)) / 4)
    return Sides(gap, bound, 1 + m.abs().amax(-1))


def _logistic_block(i: Instance) -> Sides:
    z, w, step = i.context.z, i.w, float(i.step[0])  # one value matrix serves the whole batch
    layer, d = logistic_block(z.shape[-1], step), z.shape[-1]
    tokens = layer(layer.tokens(w, i.prompts))
    expected = w - step * gradient(lambda v: logistic_loss(v, z), w)
    # every token carries w, so every token's copy is held to the gradient step: the worst of them counts
    worst = (tokens[..., d : 2 * d] - expected[:, None]).norm(dim=-1).argmax(-1)
    seen = tokens[torch.arange(len(w)), worst, d : 2 * d]
    return agreement(seen, expected, i, w, torch.full_like(i.step, step))


def _rms_norm(i: Instance) -> Sides:
    z, w, step = i.context.z, i.w, float(i.step[0])
    direction = gradient(lambda v: log_mean_exp(v, z), w)
    expected = w - step * direction / direction.norm(dim=-1, keepdim=True)
    length = torch.full_like(i.step, step) / i.context.radius  # so that step * R is the length of the update
    sides = agreement(apply(norm_layer(z.shape[-1], step), i, w), expected, i, w, length)
    # dividing by the length of the gradient, which is at least the margin, enlarges its rounding error
    return Sides(sides.smaller, sides.larger, sides.size * i.context.radius / i.context.margin)


_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(200))


def _mean(tilt: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The mean of u on [low, high] under a density proportional to exp(-u^2/2 - tilt u), by quadrature. [B] -> [B]"""
    u = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * _NODES
    p = torch.softmax(_WEIGHTS.log() - u.square() / 2 - tilt[:, None] * u, -1)
    return (p * u).sum(-1)


def _infinite_context(i: Instance) -> Sides:
    """One softmax step on infinitely many points: its closed form against numerical integration."""
    u, c1 = i.context.direction, i.relative_step
    w = i.w / (1 + i.w.norm(dim=-1, keepdim=True))  # moderate, so that 200 nodes integrate to rounding
    alpha = (w * u).sum(-1)
    closed = -c1[:, None] * w + (_pdf(c1 * alpha) / torch.special.ndtr(-c1 * alpha))[:, None] * u
    across = w - alpha[:, None] * u
    beta = across.norm(dim=-1)
    along = _mean(c1 * alpha, torch.zeros_like(alpha), 12 - c1 * alpha.clamp_max(0))
    sideways = _mean(c1 * beta, -c1 * beta - 12, -c1 * beta + 12)
    unit = across / beta.where(beta > 0, torch.ones_like(beta))[:, None]
    integrated = along[:, None] * u + sideways[:, None] * unit * (beta > 0)[:, None]
    error = (closed - integrated).norm(dim=-1)
    return Sides(error, torch.zeros_like(error), torch.ones_like(error))


def _pdf(u: Tensor) -> Tensor:
    return torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)


STATEMENTS = (
    Theorem(
        "thm-sigmoid-gap",
        "Sigmoid weights are close, not equal",
        r"Let $p_i = \sigma(-m_i) / \sum_j \sigma(-m_j)$, $q = \mathrm{softmax}(-m)$ and $\epsilon = e^{-\min_i m_i}$. "
        r"Then $\|p - q\|_1 \le 2 (\sqrt{1+\epsilon} - 1) / (\sqrt{1+\epsilon} + 1) \le \epsilon / 2$.",
        "ours",
        "sure",
        _sigmoid_gap,
        rounding=1e-13,
    ),
    Theorem(
        "thm-logistic-block",
        "Two blocks, one logistic step",
        r"Two softmax attention blocks with a sink map every token's copy of $w$ to "
        r"$w - \eta \nabla \frac1n \sum_i \log(1 + e^{-m_i})$, exactly.",
        "ours",
        "sure",
        _logistic_block,
        rounding=1e-13,
    ),
    Theorem(
        "thm-rms-norm",
        "Normalising by the gradient's length",
        r"The head followed by an RMSNorm over its $D$ entries, with gain $\eta/\sqrt{D}$ and no $\epsilon$, maps $w$ "
        r"to $w - \eta \nabla L(w) / \|\nabla L(w)\|$, exactly, where $\nabla L(w) \ne 0$.",
        "ours",
        "sure",
        _rms_norm,
        rounding=1e-13,
    ),
    Theorem(
        "thm-infinite-context",
        "The step on an infinite context",
        r"For $x \sim N(0, I)$, $y = \mathrm{sign} \langle w^*, x \rangle$ and $\alpha = \langle w, w^* \rangle$, "
        r"a layer with score matrix $-c_1 I$ and value matrix $c_2 I$ maps $w$, as $n \to \infty$, to "
        r"$w + c_2 (-c_1 w + w^* \varphi(c_1 \alpha) / \Phi(-c_1 \alpha))$.",
        "ours",
        "sure",
        _infinite_context,
        rounding=1e-11,
    ),
)
