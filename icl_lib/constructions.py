"""Layers whose weights the theory writes down."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import validate
from .attention import NormedAttention, SoftmaxAttention, attend
from .engine import Bound, State, classifier, head, scratch
from .tasks import Prompts


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


def norm_layer(d: int, step: float) -> NormedAttention:
    """Return the head followed by an RMSNorm: gradient descent normalised by the length of the gradient.

    Every update has length ``step``. Source: Theorem "normalising by the gradient's length".
    """
    return NormedAttention(*_matrices(d, 1.0), length=validate.positive("step", step))


class LogisticBlock(nn.Module):
    """Two softmax attention blocks that make one exact step of gradient descent on the logistic loss.

    Tokens are [z_i, w, slot] in R^{3d}, every one with its own copy of w; the last token, [0, w, 0], is both the
    state and the sink. Block 1: token i sees itself (score -m_i) and the sink (score 0), and so reads
    sigmoid(-m_i) z_i into its slot. Block 2: every token reads step times the mean slot of the context into w,
    by scores of 0, and a second head clears its own slot. Source: Theorem "two blocks, one logistic step".
    """

    def __init__(self, d: int, step: float) -> None:
        super().__init__()
        self.d, self.step_size = (validate.whole("d", d, 1), validate.positive("step", step))

        def place(row: int, col: int, scale: float) -> nn.Parameter:
            return nn.Parameter(_blocks(d, {(row, col): scale}), requires_grad=False)

        point, classifier, slot = range(3)
        self.score = place(point, classifier, -1.0)
        self.fill = place(slot, point, 1.0)
        self.no_score = place(point, point, 0.0)
        self.update = place(classifier, slot, self.step_size)
        self.clear = place(slot, slot, -1.0)

    def forward(self, tokens: Float[Tensor, "B N 3d"], t: int = 0) -> Float[Tensor, "B N 3d"]:
        """Return the tokens after both blocks: w has moved in every token, every slot is 0 again."""
        validate.shaped("tokens", tokens, "B N 3d", **{"3d": 3 * self.d})
        N = tokens.shape[1]
        if N < 2:
            raise validate.fail("tokens", f"shape {list(tokens.shape)}", "a context token before the state token")
        own = torch.eye(N, dtype=torch.bool, device=tokens.device)
        sink = torch.arange(N, device=tokens.device) == N - 1
        tokens = tokens + attend(tokens, tokens, self.score, self.fill, own | sink)
        mean = attend(tokens, tokens, self.no_score, self.update, (~sink).expand(N, N))
        return tokens + mean + attend(tokens, tokens, self.no_score, self.clear, own)

    def tokens(self, state: Float[Tensor, "B d"], prompts: Prompts) -> Float[Tensor, "B n+1 3d"]:
        """Return the token matrix for this state: every token carries a copy of w, slots are 0."""
        points = torch.cat([prompts.z, torch.zeros_like(prompts.z[:, :1])], 1)
        return torch.cat([points, state[:, None].expand_as(points), torch.zeros_like(points)], -1)

    def init(self, prompts: Prompts) -> Float[Tensor, "B d"]:
        """Return the classifier before any layer: zeros."""
        return _zeros(prompts, self.d, self.d)

    def attention(self, state: Float[Tensor, "B d"], prompts: Prompts) -> Float[Tensor, "B n"]:
        """Return how much each point counts in the step, sigmoid(-m_i) / n. They do not sum to 1."""
        return torch.sigmoid(-(state[:, None] @ prompts.zt)[:, 0]) / prompts.z.shape[1]

    def step(self, state: Float[Tensor, "B d"], prompts: Prompts, t: int = 0) -> Float[Tensor, "B d"]:
        """Return the state after both blocks."""
        return state + self.step_size * (self.attention(state, prompts)[:, None] @ prompts.z)[:, 0]

    def read(self, state: Float[Tensor, "B d"]) -> Float[Tensor, "B d"]:
        """Return the classifier w: the state itself."""
        return state

    def bind(self, prompts: Prompts) -> Bound | None:
        """Return the layer bound to its prompts for a long loop, bit for bit its ``step``; None for a subclass."""
        if type(self) is not LogisticBlock:
            return None
        w, z = self.init(prompts)[:, None], prompts.z
        return Bound(_logistic, (z, prompts.zt, z.new_tensor(self.step_size)), (w,), classifier)


def _logistic(data: tuple, state: State, t: int | Tensor, room: None = None) -> State:
    """w + step * sum_i sigmoid(-m_i) z_i / n, on rows w [B, 1, d]."""
    (z, zt, step), (w,) = data, state
    return (w + step * (torch.sigmoid(torch.bmm(w.neg(), zt)) / z.shape[1]).bmm(z),)


def logistic_block(d: int, step: float) -> LogisticBlock:
    """Return the two-block layer that is one step of gradient descent on the logistic loss (mean over the context)."""
    return LogisticBlock(d, step)


class MomentumAttention(nn.Module):
    """One softmax head and a linear carry that make one step of NGD with momentum.

    Tokens lie in R^{3d}: context [z_i, 0, 0] and, last, the state [0, w, v] with the velocity v. Layer t = 0, 1, ...
    reads g with the scores -m_i and does v <- beta_t (v + g), then w <- w + step (v + g) with the new v, where
    beta_t = t / (t + 1): linear in [w, v, g], so that the head's value matrix and a matrix on the state token suffice.
    Source: theory of Ji, Srebro and Telgarsky (2021), as in :func:`~icl_lib.momentum_ngd`.
    """

    def __init__(self, d: int, step: float) -> None:
        super().__init__()
        self.d, self.step_size = validate.whole("d", d, 1), validate.positive("step", step)
        self.score = nn.Parameter(_blocks(d, {(0, 1): -1.0}), requires_grad=False)

    def value(self, t: int) -> Float[Tensor, "3d 3d"]:
        """Return the head's value matrix at depth t: step (1 + beta_t) g goes to w, beta_t g to v."""
        beta = t / (t + 1)
        return _blocks(self.d, {(1, 0): self.step_size * (1 + beta), (2, 0): beta}).to(self.score.device)

    def carry(self, t: int) -> Float[Tensor, "3d 3d"]:
        """Return what the state token adds to itself at depth t: step beta_t v to w, (beta_t - 1) v to v."""
        beta = t / (t + 1)
        return _blocks(self.d, {(1, 2): self.step_size * beta, (2, 2): beta - 1}).to(self.score.device)

    def forward(self, tokens: Float[Tensor, "B N 3d"], t: int = 0) -> Float[Tensor, "B N 3d"]:
        """Return the tokens after layer t; only the state token (the last) is written."""
        validate.shaped("tokens", tokens, "B N 3d", **{"3d": 3 * self.d})
        validate.whole("t", t)
        N, state = tokens.shape[1], tokens[:, -1:]
        if N < 2:
            raise validate.fail("tokens", f"shape {list(tokens.shape)}", "a context token before the state token")
        seen = (torch.arange(N, device=tokens.device) < N - 1)[None]
        read = attend(state, tokens, self.score, self.value(t), seen)
        return torch.cat([tokens[:, :-1], state + read + state @ self.carry(t).to(tokens).mT], 1)

    def tokens(self, state: Float[Tensor, "B 2d"], prompts: Prompts) -> Float[Tensor, "B n+1 3d"]:
        """Return the token matrix that holds the prompts' folded tokens and, last, this state [w, v]."""
        context = torch.cat([prompts.z, torch.zeros_like(prompts.z), torch.zeros_like(prompts.z)], -1)
        own = torch.cat([torch.zeros_like(state[:, : self.d]), state], -1)
        return torch.cat([context, own[:, None]], 1)

    def init(self, prompts: Prompts) -> Float[Tensor, "B 2d"]:
        """Return the state before any layer: w = v = 0."""
        return _zeros(prompts, self.d, 2 * self.d)

    def attention(self, state: Float[Tensor, "B 2d"], prompts: Prompts) -> Float[Tensor, "B n"]:
        """Return the attention weights on the context tokens, softmax(-m)."""
        return torch.softmax(-(state[:, None, : self.d] @ prompts.zt)[:, 0], -1)

    def step(self, state: Float[Tensor, "B 2d"], prompts: Prompts, t: int = 0) -> Float[Tensor, "B 2d"]:
        """Return the state after layer t."""
        w, v = state.chunk(2, -1)
        g = (self.attention(state, prompts)[:, None] @ prompts.z)[:, 0]
        v = t / (t + 1) * (v + g)
        return torch.cat([w + self.step_size * (v + g), v], -1)

    def read(self, state: Float[Tensor, "B 2d"]) -> Float[Tensor, "B d"]:
        """Return the classifier w."""
        return state[:, : self.d]

    def bind(self, prompts: Prompts) -> Bound | None:
        """Return the layer bound to its prompts for a long loop, bit for bit its ``step``; None for a subclass.

        The mass of w after T layers is step * T (T + 3) / 4: layer t leaves t/2 in v and adds step (t/2 + 1) to w.
        """
        if type(self) is not MomentumAttention:
            return None
        w, v = self.init(prompts)[:, None].chunk(2, -1)
        z = prompts.z
        data, step = (z, prompts.zt, z.new_tensor(self.step_size)), self.step_size
        room = scratch(z, prompts.zt)
        return Bound(_carried, data, (w, v), classifier, lambda t: step * t * (t + 3) / 4, scratch=room, fused=True)


def _carried(data: tuple, state: State, t: int | Tensor, room: tuple | None = None) -> State:
    """v <- t/(t+1) (v + g), w <- w + step (v + g), on rows w and v [B, 1, d]."""
    (z, zt, step), (w, v) = data, state
    g = head(z, zt, w, room)
    v = t / (t + 1) * (v + g)
    return w + step * (v + g), v


def momentum_layer(d: int, step: float) -> MomentumAttention:
    """Return the layer that is one step of NGD with momentum; its carry depends on the depth t."""
    return MomentumAttention(d, step)


def _zeros(prompts: Prompts, d: int, size: int) -> Float[Tensor, "B size"]:
    """The state before any layer, for prompts of the layer's dimension d."""
    if prompts.x.shape[-1] != d:
        raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", f"points in R^{d}, as the layer")
    return prompts.x.new_zeros(prompts.x.shape[0], size)


def _blocks(d: int, scales: dict[tuple[int, int], float]) -> Float[Tensor, "3d 3d"]:
    """A matrix of three by three blocks: scale * I at each (row, column) given, 0 elsewhere."""
    matrix = torch.zeros(3, d, 3, d, dtype=torch.float64)
    for (row, col), scale in scales.items():
        matrix[row, :, col] = scale * torch.eye(d, dtype=torch.float64)
    return matrix.reshape(3 * d, 3 * d)


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
