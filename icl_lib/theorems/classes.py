"""Kesler's tokens: the layer descends a loss on pairs of classes. Chapter "Many classes, real data"."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..classes import kesler_prompts
from ..constructions import ngd_layer
from .base import Instance, Sides, Theorem
from .construction import gradient


def pairwise_potential(
    W: Float[Tensor, "B K d"], x: Float[Tensor, "B n d"], y: Int[Tensor, "B n"]
) -> Float[Tensor, " B"]:
    """Return log of the mean, over points i and classes c != y_i, of exp(<w_c - w_{y_i}, x_i>): from scores alone."""
    scores = x @ W.mT
    ahead = scores - scores.gather(-1, y[..., None])
    own = torch.nn.functional.one_hot(y, W.shape[1]).bool()
    return torch.logsumexp(ahead[~own].view(len(x), -1), -1) - math.log(x.shape[1] * (W.shape[1] - 1))


def _problem(i: Instance) -> tuple[Tensor, Tensor, Tensor]:
    """Points [B, n, d], labels and a classifier [B, K, d], made of the instance: 2 to 5 classes, in turn, no two alike.

    The classes need not be separable: the statement does not ask for it.
    """
    B, n, d = i.context.z.shape
    K = 2 + (n + d) % 4
    y = (torch.arange(n) + torch.arange(B)[:, None]) % K
    turn = torch.arange(1, K + 1, dtype=i.w.dtype)[:, None]
    u = i.w.norm(dim=-1)[:, None, None] * i.context.direction[:, None]
    return i.context.z, y, torch.cos(turn) * i.w[:, None] + torch.sin(turn) * u


def _kesler(i: Instance) -> Sides:
    """Two rows, the step and R^2, relative. The softmax turns an error eps ``|m|`` of a margin into a relative one."""
    x, y, W = _problem(i)
    step = i.relative_step / (2 * i.context.radius**2)
    expected = (W - step[:, None, None] * gradient(lambda V: pairwise_potential(V, x, y), W)).flatten(1)
    prompts, w = kesler_prompts(x, y, W.shape[1]), W.flatten(1)
    layer = ngd_layer(w.shape[-1], step)
    seen = layer(layer.tokens(torch.cat([torch.zeros_like(w), w], -1), prompts))[:, -1, layer.d :]
    error = (seen - expected).norm(dim=-1) / (w.norm(dim=-1) + step * i.context.radius)
    squared = 2 * x.square().sum(-1).amax(-1)
    radius = (prompts.radius**2 - squared).abs() / squared
    size = 1 + w.norm(dim=-1) * i.context.radius
    return Sides(torch.stack([error, radius]), torch.zeros(2, len(x)).to(x), torch.stack([size, torch.ones_like(size)]))


STATEMENTS = (
    Theorem(
        "thm-kesler",
        "Many classes, one head",
        r"Points $x_i$ have classes $y_i \in \{1, \dots, K\}$, and $W = (w_1, \dots, w_K)$. On the $n (K - 1)$ tokens "
        r"$z_{i,c} = (e_{y_i} - e_c) \otimes x_i$, $c \ne y_i$, the layer is one step $W - \eta \nabla \phi(W)$ on "
        r"$\phi(W) = \log \frac{1}{n (K - 1)} \sum_{i,c} e^{-m_{i,c}}$ with the margins "
        r"$m_{i,c} = \langle w_{y_i} - w_c, x_i \rangle$. And $R^2 = 2 \max_i \|x_i\|^2$.",
        "ours",
        "sure",
        _kesler,
    ),
)
