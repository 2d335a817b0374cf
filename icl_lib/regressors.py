"""Layers for regression: linear attention that descends the squared loss of the prompt, or whitens its features.

They speak the protocol of every layer of this book (see room ``looped``), on prompts with points x and labels y.
Source: chapter "Linear attention fits curves".
"""

from __future__ import annotations

from copy import copy

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .attention import LinearAttention
from .regression import RegressionPrompts
from .tasks import Prompts

Labelled = RegressionPrompts | Prompts


def _features(prompts: Labelled, d: int) -> Float[Tensor, "B n d"]:
    if not isinstance(prompts, (RegressionPrompts, Prompts)):
        raise validate.fail("prompts", type(prompts).__name__, "RegressionPrompts")
    if prompts.x.shape[-1] != d:
        raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", f"points in R^{d}, as the layer")
    return prompts.x


def _as_many(own: Tensor, x: Tensor) -> None:
    """Refuse a batch of another size than that of the numbers which a layer holds for each prompt."""
    if own.shape[0] != x.shape[0]:
        seen = f"a batch of {x.shape[0]} for a layer with {own.shape[0]} steps"
        raise validate.fail("prompts", seen, "as many prompts as steps, or one step for all")


class LeastSquaresAttention(LinearAttention):
    """A head of linear attention that is one step of gradient descent on (1/2n) sum_i (y_i - <c, phi_i>)^2.

    Context tokens are [phi_i, y_i, 0, 0] and the state token, last, is [0, 0, c, 1]: D = 2d + 2. Score of token i for
    the state: y_i - <phi_i, c>, the residual; value: step A phi_i, into the block of c, with a preconditioner A (the
    identity unless given). The mean over the context is the 1/n of the loss.
    """

    def __init__(self, d: int, step: float | Tensor, preconditioner: Float[Tensor, "d d"] | None = None) -> None:
        validate.whole("d", d, 1)
        step = validate.step(step)
        A = torch.eye(d, dtype=torch.float64) if preconditioner is None else preconditioner
        validate.shaped("preconditioner", A, "d d")
        if A.shape != (d, d):
            raise validate.fail("preconditioner", f"shape {list(A.shape)}", f"shape [{d}, {d}]")
        block = (step[..., None].to(A) if isinstance(step, Tensor) else step) * A
        score, value = A.new_zeros(2 * d + 2, 2 * d + 2), A.new_zeros(*block.shape[:-2], 2 * d + 2, 2 * d + 2)
        score[:d, d + 1 : -1] = -torch.eye(d)  # rows: the key; columns: the query
        score[d, -1] = 1.0
        value[..., d + 1 : -1, :d] = block
        super().__init__(score, value)
        self.d = d

    def tokens(self, state: Float[Tensor, "B d"], prompts: Labelled) -> Float[Tensor, "B n+1 2d+2"]:
        """Return the token matrix of the prompts' examples and, last, the state token with these coefficients."""
        x, y = _features(prompts, self.d), prompts.y[..., None]
        context = torch.cat([x, y, torch.zeros_like(x), torch.zeros_like(y)], -1)
        own = torch.cat([torch.zeros_like(state), 0 * state[:, :1], state, torch.ones_like(state[:, :1])], -1)
        return torch.cat([context, own[:, None]], 1)

    def init(self, prompts: Labelled) -> Float[Tensor, "B d"]:
        """Return the coefficients before any layer: zeros."""
        x = _features(prompts, self.d)
        if self.value.ndim == 3:
            _as_many(self.value, x)
        return x.new_zeros(x.shape[0], self.d)

    def attention(self, state: Float[Tensor, "B d"], prompts: Labelled) -> Float[Tensor, "B n"]:
        """Return how much each example counts in the step: its residual over n, of either sign."""
        return (prompts.y - (prompts.x @ state[..., None])[..., 0]) / prompts.x.shape[1]

    def step(self, state: Float[Tensor, "B d"], prompts: Labelled, t: int = 0) -> Float[Tensor, "B d"]:
        """Return the coefficients after this layer."""
        read = self.attention(state, prompts)[:, None] @ prompts.x
        return state + (read @ self.value[..., self.d + 1 : -1, : self.d].to(state).mT)[:, 0]

    def select(self, chosen: slice | Tensor) -> LeastSquaresAttention:
        """Return the layer for the chosen prompts of a batch: itself, unless it has a step for each prompt."""
        if self.value.ndim == 2:
            return self
        layer = copy(self)
        layer._parameters = {"score": self.score, "value": None}
        layer.__dict__["value"] = self.value[chosen]
        return layer

    def read(self, state: Float[Tensor, "B d"]) -> Float[Tensor, "B d"]:
        """Return the coefficients: the state itself."""
        return state


def least_squares_layer(
    d: int, step: float | Float[Tensor, " B"], preconditioner: Float[Tensor, "d d"] | None = None
) -> LeastSquaresAttention:
    """Return the head of linear attention that is one gradient step on the squared loss, for d features.

    step: a float > 0 or one for each prompt; preconditioner: a matrix that every gradient is multiplied by.
    Source: Theorem "one linear head, one gradient step".
    """
    return LeastSquaresAttention(d, step, preconditioner)


class NewtonSchulzAttention(LinearAttention):
    """Linear attention that whitens features: every token does u <- 1.5 u - 0.5 S u, S = (1/n) sum_i u_i u_i^T.

    Tokens are [u_i, y_i], the last one, [u, 0], a query's, which no token reads. Score <u_j, u_i>, value -u_j / 2, and
    a carry of half the own u. All u have been multiplied by one matrix P: the state is [P, g], [B, d, d+1], with
    g = (1/n) sum_i y_i u_i, the one gradient step that the whitened features need; P starts as ``scale`` times I, a
    float > 0 or one for each prompt.
    """

    def __init__(self, d: int, scale: float | Float[Tensor, " B"] = 1.0) -> None:
        u = torch.zeros(validate.whole("d", d, 1) + 1, d + 1, dtype=torch.float64)
        u[range(d), range(d)] = 1.0
        super().__init__(u, -0.5 * u, writes="all", carry=0.5 * u)
        self.d, self.scale = d, validate.step(scale, name="scale")

    def tokens(self, state: Float[Tensor, "B d d+1"], prompts: Labelled) -> Float[Tensor, "B n+1 d+1"]:
        """Return the token matrix of the prompts' examples and, last, their first query (zeros if there is none)."""
        x = _features(prompts, self.d)
        query = torch.zeros_like(x[:, :1]) if prompts.x_query is None else prompts.x_query[:, :1]
        labels = torch.cat([prompts.y, torch.zeros_like(prompts.y[:, :1])], 1)
        return torch.cat([torch.cat([x, query], 1) @ state[..., :-1].mT, labels[..., None]], -1)

    def init(self, prompts: Labelled) -> Float[Tensor, "B d d+1"]:
        """Return the state before any layer: P = scale I, and g."""
        x, scale = _features(prompts, self.d), self.scale
        if isinstance(scale, Tensor):
            _as_many(scale, x)
            scale = scale[..., None].to(x)
        P = torch.eye(self.d).to(x).expand(x.shape[0], -1, -1)
        return scale * torch.cat([P, (x.mT @ prompts.y[..., None]) / x.shape[1]], -1)

    def attention(self, state: Float[Tensor, "B d d+1"], prompts: Labelled) -> Float[Tensor, "B n"]:
        """Return what each example's label counts in the answer to the first query: <u_i, u> / n, of either sign."""
        u = self.tokens(state, prompts)[..., : self.d]
        return (u[:, :-1] @ u[:, -1:].mT)[..., 0] / prompts.x.shape[1]

    def step(self, state: Float[Tensor, "B d d+1"], prompts: Labelled, t: int = 0) -> Float[Tensor, "B d d+1"]:
        """Return the state after this layer: g is a mean of tokens, and moves as they do."""
        u = prompts.x @ state[..., :-1].mT
        return 1.5 * state - 0.5 * (u.mT @ u / u.shape[1]) @ state

    def select(self, chosen: slice | Tensor) -> NewtonSchulzAttention:
        """Return the layer for the chosen prompts of a batch: itself, unless it has a scale for each prompt."""
        if not isinstance(self.scale, Tensor):
            return self
        return NewtonSchulzAttention(self.d, self.scale[chosen, 0])

    def read(self, state: Float[Tensor, "B d d+1"]) -> Float[Tensor, "B d"]:
        """Return the coefficients for the features as they were at first: P^T g, as <g, u> = <P^T g, phi>."""
        return (state[..., :-1].mT @ state[..., -1:])[..., 0]


def newton_schulz_layer(d: int, scale: float | Float[Tensor, " B"] = 1.0) -> NewtonSchulzAttention:
    """Return the linear attention layer that whitens d features when looped; they are first multiplied by ``scale``.

    scale: a float > 0 or one for each prompt.
    It converges if scale^2 times the largest eigenvalue of the features' second moment is below 3.
    Source: Theorem "Newton-Schulz".
    """
    return NewtonSchulzAttention(d, scale)
