"""Layers whose weights the theory writes down."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .attention import SoftmaxAttention


def ngd_layer(d: int, step: float | Float[Tensor, " B"]) -> SoftmaxAttention:
    """Return the head that is one step of normalized gradient descent on the exponential loss, for points in R^d.

    ``step``: the step size, a float > 0 or one for each prompt of the batch. Source: Theorem "one head, one step".
    """
    return SoftmaxAttention(*_matrices(d, step), own_token="masked")


def sink_layer(d: int, step: float | Float[Tensor, " B"]) -> SoftmaxAttention:
    """Return the same head whose state token also attends to itself, which makes it an attention sink.

    It is plain gradient descent on log(1 + sum_i exp(-m_i)). Source: Theorem "the sink".
    """
    return SoftmaxAttention(*_matrices(d, step), own_token="seen")


def _matrices(d: int, step: float | Tensor) -> tuple[Tensor, Tensor]:
    """Score and value matrix: -I from state query to context keys, step * I from context block to state block."""
    step = validate.step(step)
    identity = torch.eye(validate.whole("d", d, 1), dtype=torch.float64)
    if isinstance(step, Tensor):  # one for each prompt: [B, 1] -> [B, 1, 1]
        identity, step = identity.to(step.device), step[..., None].double()
    score = identity.new_zeros(2 * d, 2 * d)
    score[:d, d:] = -identity
    block = step * identity
    value = block.new_zeros(*block.shape[:-2], 2 * d, 2 * d)
    value[..., d:, :d] = block
    return score, value


def decide(tokens: Float[Tensor, "B N 2d"]) -> Float[Tensor, " B"]:
    """Return <w, x> for a state token [x, w] in the last row: the answer to the query that rides on it.

    One more gated linear unit (a product of two linear maps of one token), summed. Its sign is the predicted label.
    """
    if validate.shaped("tokens", tokens, "B N 2d").shape[-1] % 2:
        raise validate.fail("tokens", f"shape {list(tokens.shape)}", "shape [B, N, 2d]")
    x, w = tokens[:, -1].chunk(2, -1)
    return (x * w).sum(-1)
