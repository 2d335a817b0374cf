"""The head that hears itself only: products, exactly, from ReLU attention. Chapter "Attention as featurizer"."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..features import ReLUAttention
from .base import Instance, Sides, Theorem


def product_heads(
    u: Float[Tensor, " d"], v: Float[Tensor, " d"], positions: int, C: float, slots: int = 3
) -> ReLUAttention:
    """Return two heads, s = +1 and s = -1, that write <u, x> <v, x> into a slot of each token.

    Tokens are [x, slots, 1, one-hot position]. The first head writes its relu into the first two slots, the second
    head its own into the first, with a minus, and into the third: product, relu(product), relu(-product).
    """
    d = u.shape[0]
    one = d + slots
    size = one + 1 + positions
    score, value = u.new_zeros(2, 2, size, size)
    for head, sign in enumerate((1.0, -1.0)):
        score[head, :d, :d] = sign * torch.outer(v, u)  # rows are keys, columns queries
        score[head, one + 1 :, one + 1 :] = C * torch.eye(positions).to(u)
        score[head, one, one] = -C
        value[head, [d, d + 1 + head], one] = u.new_tensor([sign, 1.0])
    return ReLUAttention(score, value)


def _head(i: Instance) -> Sides:
    """One pair of heads for the batch, u = [w, c] and v = [u*, 1] of the first prompt; C = 1, needed in every prompt.

    Points are scaled so that the largest product between two tokens is 1 (where there are two): C just suffices.
    """
    B, n, d = i.context.z.shape
    x = torch.cat([i.context.z / i.context.radius[:, None, None], i.context.z.new_ones(B, n, 1)], -1)
    u = torch.cat([i.w[0] / i.w[0].norm(), i.relative_step[:1]])
    v = torch.cat([i.context.direction[0], x.new_ones(1)])
    x = x / _across(x @ u, x @ v).sqrt()[:, None, None]
    after = product_heads(u, v, n, 1.0)(_tokens(x))
    a, b = x @ u, x @ v
    expected = torch.stack([a * b, (a * b).relu(), (-a * b).relu()], -1)
    size = u.norm() * v.norm() * x.square().sum(-1).amax(-1)
    error = (after[..., d + 1 : d + 4] - expected).abs().amax((-1, -2)) / size
    rest = torch.cat([after[..., : d + 1] - x, after[..., d + 4 :] - _tokens(x)[..., d + 4 :]], -1)
    error = error + rest.abs().amax((-1, -2))  # nothing else may move
    return Sides(error, torch.zeros_like(error), torch.ones_like(error))


def _across(a: Float[Tensor, "B n"], b: Float[Tensor, "B n"]) -> Float[Tensor, " B"]:
    """The largest |a_t b_j| over t != j; 1 where there is no such pair, or none but zeros."""
    products = (a[:, :, None] * b[:, None]).abs()
    most = products.masked_fill(torch.eye(a.shape[1], dtype=torch.bool), 0.0).amax((-1, -2))
    return most.where(most > 0, torch.ones_like(most))


def _tokens(x: Float[Tensor, "B n d"]) -> Float[Tensor, "B n D"]:
    B, n, _ = x.shape
    return torch.cat([x, x.new_zeros(B, n, 3), x.new_ones(B, n, 1), torch.eye(n).to(x).expand(B, n, n)], -1)


STATEMENTS = (
    Theorem(
        "thm-featurizer",
        "A head that hears itself",
        r"Tokens $h_t$ hold a constant 1 and one-hot positions $I_t$. If "
        r"$C \ge \max_{t \ne j} |\langle u, h_t \rangle \langle v, h_j \rangle|$, the ReLU head with score "
        r"$s \langle u, h_t \rangle \langle v, h_j \rangle + C (\langle I_t, I_j \rangle - 1)$, $s = \pm 1$, adds "
        r"$\mathrm{relu}(s \langle u, h_t \rangle \langle v, h_t \rangle)$ to a slot of each token. The two heads "
        r"together write the product, exactly.",
        "ours",
        "sure",
        _head,
    ),
)
