"""In-context losses of a linear classifier w, their margins and their gradients in closed form.

A context enters as folded tokens ``z[b, i] = y[b, i] * x[b, i]``, shape [B, n, d]; a classifier as ``w``, shape
[..., B, d], so that a whole path [T+1, B, d] is evaluated in one call. The margin of token i is m_i = <w, z_i>.
Source: theory chapter "One head, one step", section "The loss".
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate


def _checked(w: Tensor, z: Tensor) -> None:
    validate.context(z)
    validate.shaped("w", w, "... B d", B=z.shape[0], d=z.shape[2])
    validate.same_kind("w", w, "z", z)


def margins(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B n"]:
    """Return the margins m_i = <w, z_i>, positive where token i is classified correctly."""
    _checked(w, z)
    return torch.einsum("...bd,bnd->...bn", w, z)


def exponential_loss(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B"]:
    """Return L(w) = (1/n) sum_i exp(-m_i). May overflow to inf: use :func:`log_mean_exp` for anything but display."""
    return margins(w, z).neg().exp().mean(-1)


def log_mean_exp(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B"]:
    """Return the potential phi(w) = log L(w), computed without overflow at any finite margin."""
    return torch.logsumexp(-margins(w, z), -1) - math.log(z.shape[1])


def logistic_loss(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B"]:
    """Return (1/n) sum_i log(1 + exp(-m_i)), exact to rounding, as is its derivative (softplus is linear beyond 20)."""
    m = margins(w, z)
    return torch.logaddexp(-m, torch.zeros_like(m)).mean(-1)


def exponential_weights(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B n"]:
    """Return q = softmax(-m): how much each token counts in the gradient of phi. Sums to 1."""
    return torch.softmax(-margins(w, z), -1)


def exponential_loss_grad(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B d"]:
    """Return grad L(w) = -(1/n) sum_i exp(-m_i) z_i. May overflow to +-inf, like L itself, but never to NaN."""
    loss, g = exponential_loss(w, z)[..., None], log_mean_exp_grad(w, z)
    return torch.where(g == 0, g, loss * g)  # 0, not 0 * inf


def log_mean_exp_grad(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B d"]:
    """Return grad phi(w) = grad L(w) / L(w) = -sum_i q_i z_i with q = softmax(-m)."""
    return -torch.einsum("...bn,bnd->...bd", exponential_weights(w, z), z)


def logistic_loss_grad(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B d"]:
    """Return the gradient of :func:`logistic_loss`: -(1/n) sum_i sigmoid(-m_i) z_i."""
    return -torch.einsum("...bn,bnd->...bd", torch.sigmoid(-margins(w, z)), z) / z.shape[1]
