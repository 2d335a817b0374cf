"""Theorems on one layer: the head that is a step, the sink, and scale invariance. Chapter "One head, one step"."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..algorithms import ngd
from ..attention import SoftmaxAttention
from ..constructions import ngd_layer, sink_layer
from ..losses import log_mean_exp, margins
from .base import Instance, Sides, Theorem


def apply(layer: SoftmaxAttention, i: Instance, w: Tensor) -> Tensor:
    """One layer on the explicit token matrix, from classifier w."""
    tokens = layer.tokens(torch.cat([torch.zeros_like(w), w], -1), i.prompts)
    return layer(tokens)[:, -1, layer.d :]


def gradient(loss: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """The gradient by automatic differentiation: it knows nothing of the closed forms it is held against."""
    w = w.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(w).sum(), w)[0]


def agreement(seen: Tensor, expected: Tensor, i: Instance, w: Tensor, step: Tensor) -> Sides:
    """Distance in units of ||w|| + step R. The softmax turns an error in a margin, eps |m|, into a relative one."""
    scale = w.norm(dim=-1) + step * i.context.radius
    size = 1 + margins(w, i.context.z).abs().amax(-1)
    error = (seen - expected).norm(dim=-1) / scale
    return Sides(error, torch.zeros_like(error), size)


def _one_head(i: Instance) -> Sides:
    z, w, step = i.context.z, i.w, i.step
    expected = w - step[:, None] * gradient(lambda v: log_mean_exp(v, z), w)
    return agreement(apply(ngd_layer(z.shape[-1], step), i, w), expected, i, w, step)


def _sink_gradient(i: Instance) -> Sides:
    z, w, step = i.context.z, i.w, i.step

    def loss(v: Tensor) -> Tensor:  # log(1 + sum_i exp(-m_i))
        m = margins(v, z)
        return torch.logsumexp(torch.cat([torch.zeros_like(m[:, :1]), -m], -1), -1)

    expected = w - step[:, None] * gradient(loss, w)
    return agreement(apply(sink_layer(z.shape[-1], step), i, w), expected, i, w, step)


def _sink_ratio(i: Instance) -> Sides:
    z, w, step = i.context.z, i.w, i.step
    with_sink = apply(sink_layer(z.shape[-1], step), i, w) - w
    without = apply(ngd_layer(z.shape[-1], step), i, w) - w
    share = torch.sigmoid(torch.logsumexp(-margins(w, z), -1))  # S / (1 + S), without overflow
    return agreement(with_sink, share[:, None] * without, i, w, step)


def _scale(i: Instance) -> Sides:
    z, w, d = i.context.z, i.w, i.context.z.shape[-1]
    c1, c2 = 0.5 + i.relative_step, i.step / (0.5 + i.relative_step)
    plain = ngd_layer(d, c2)
    layer = SoftmaxAttention(plain.score * c1[0], plain.value)  # one score matrix serves the whole batch
    step = c1[0] * c2
    seen = c1[0] * apply(layer, i, w / c1[0])
    return agreement(seen, ngd(z, step, 1, w)[-1], i, w, step)


STATEMENTS = (
    Theorem(
        "thm-one-head",
        "One head, one step",
        r"A softmax head with query $-w$, keys $z_i$, values $\eta z_i$ and a residual connection maps $w$ to "
        r"$w - \eta \nabla \phi(w)$, $\phi = \log L$: one step of normalized gradient descent, exactly.",
        "ours",
        "sure",
        _one_head,
        rounding=1e-13,
    ),
    Theorem(
        "thm-sink-loss",
        "The sink descends another loss",
        r"If the state token $[0, w]$ may attend to itself, the head is one step of gradient descent on "
        r"$\log(1 + \sum_i e^{-m_i})$.",
        "ours",
        "sure",
        _sink_gradient,
        rounding=1e-13,
    ),
    Theorem(
        "thm-sink-ratio",
        "The sink slows down",
        r"The update with a sink is that without, times $S/(1+S)$, $S = \sum_i e^{-m_i}$.",
        "ours",
        "sure",
        _sink_ratio,
        rounding=1e-13,
    ),
    Theorem(
        "thm-scale",
        "Scale invariance",
        r"A layer with score matrix $-c_1 I$ and value matrix $c_2 I$, $c_1, c_2 > 0$, is normalized gradient descent "
        r"with step $c_1 c_2$ in $u = c_1 w$.",
        "ours",
        "sure",
        _scale,
        rounding=1e-13,
    ),
)
