"""Descent in function space: attention whose scores are a kernel, and no features.

Source: chapter "Linear attention fits curves", after Cheng, Chen and Sra (2024).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import validate
from .regression import RegressionPrompts

Kernel = Callable[[Float[Tensor, "B Q d"], Float[Tensor, "B n d"]], Float[Tensor, "B Q n"]]


def gaussian_kernel(width: float) -> Kernel:
    """Return the kernel exp(-||x - x'||^2 / (2 width^2)): a function of points [B, Q, d] and [B, n, d], width > 0."""
    validate.positive("width", width)
    return lambda x, others: torch.exp(-(x[:, :, None] - others[:, None]).square().sum(-1) / (2 * width**2))


class KernelAttention(nn.Module):
    """A head whose scores are a kernel: one step of functional gradient descent, Y_j <- Y_j - step mean_i k_ij Y_i.

    Tokens are [x_j, Y_j]: on the context Y is the residual, from y_j on; on a query, which nobody reads, it is minus
    the answer, from 0 on. The mean is over the context. It converges on the context if step * lambda_max(K) / n < 2; if
    k(x, x) <= 1, as for a Gaussian, any step < 2 will do. The state is all Y, [B, n+q].
    """

    def __init__(self, d: int, kernel: Kernel, step: float) -> None:
        super().__init__()
        self.d, self.kernel, self.step_size = validate.whole("d", d, 1), kernel, validate.positive("step", step)

    def forward(self, tokens: Float[Tensor, "B N d+1"], t: int = 0) -> Float[Tensor, "B N d+1"]:
        """Return the tokens after the head; all are written, all but the last are read."""
        validate.shaped("tokens", tokens, "B N d+1", **{"d+1": self.d + 1})
        if tokens.shape[1] < 2:
            raise validate.fail("tokens", f"shape {list(tokens.shape)}", "a context token before the query")
        x, Y = tokens[..., : self.d], tokens[..., self.d :]
        scores = self.kernel(x, x[:, :-1])
        return torch.cat([x, Y - self.step_size * scores @ Y[:, :-1] / scores.shape[-1]], -1)

    def tokens(self, state: Float[Tensor, "B n+q"], prompts: RegressionPrompts) -> Float[Tensor, "B n+q d+1"]:
        """Return the tokens of context and queries with these Y."""
        return torch.cat([self._points(prompts), state[..., None]], -1)

    def init(self, prompts: RegressionPrompts) -> Float[Tensor, "B n+q"]:
        """Return the state before any layer: the labels, then a 0 for each query."""
        points = self._points(prompts)
        return torch.cat([prompts.y, prompts.y.new_zeros(len(points), points.shape[1] - prompts.y.shape[1])], 1)

    def attention(self, state: Float[Tensor, "B n+q"], prompts: RegressionPrompts) -> Float[Tensor, "B n"]:
        """Return how much each example counts in the step: its residual over n."""
        n = prompts.y.shape[1]
        return state[:, :n] / n

    def step(self, state: Float[Tensor, "B n+q"], prompts: RegressionPrompts, t: int = 0) -> Float[Tensor, "B n+q"]:
        """Return the state after this layer."""
        scores = self.kernel(self._points(prompts), prompts.x)
        return state - self.step_size * (scores @ self.attention(state, prompts)[..., None])[..., 0]

    def read(self, state: Float[Tensor, "B n+q"]) -> Float[Tensor, "B n+q"]:
        """Return the state: residuals, and minus the answers."""
        return state

    def _points(self, prompts: RegressionPrompts) -> Float[Tensor, "B n+q d"]:
        if prompts.x.shape[-1] != self.d:
            raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", f"points in R^{self.d}, as the layer")
        return prompts.x if prompts.x_query is None else torch.cat([prompts.x, prompts.x_query], 1)


def kernel_layer(d: int, kernel: Kernel, step: float) -> KernelAttention:
    """Return the attention layer that is one step of functional gradient descent for a kernel, on points in R^d."""
    return KernelAttention(d, kernel, step)
