"""Attention and the gated linear unit, as modules on explicit token matrices.

A token matrix holds one token a row, [B, N, D]. The layers of this book use D = 2d: the first d entries are the
*context block*, the last d the *state block*. Rows 0 .. N-2 are context tokens [z_i, 0]; the last row is the state
token [0, w], the only one that is written.
"""

from __future__ import annotations

from copy import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from . import validate
from .engine import Bound, State, classifier, head, scratch
from .tasks import Prompts

OWN_TOKEN = ("masked", "seen")


def attend(
    queries: Float[Tensor, "B Q D"],
    tokens: Float[Tensor, "B N D"],
    score: Float[Tensor, "D D"],
    value: Float[Tensor, "D D"],
    seen: Bool[Tensor, "Q N"],
) -> Float[Tensor, "B Q D"]:
    """Return what each query reads: value times the softmax mean of the tokens it has ``seen``.

    Token x_j gets the score x_j^T score x_i from query x_i; a token not seen gets weight 0. Every query must see at
    least one token. Raises BadInput where a score overflows the tokens' dtype: NaN must not reach a token.
    """
    scores = (queries @ score.to(tokens).mT @ tokens.mT).masked_fill(~seen, -torch.inf)
    read = torch.softmax(scores, -1) @ tokens @ value.to(tokens).mT
    if not torch.isfinite(read).all():
        raise validate.fail("tokens", f"scores or sums that overflow {tokens.dtype}", "smaller tokens, or float64")
    return read


class SoftmaxAttention(nn.Module):
    """One softmax attention head with a residual connection, writing the state token only.

    score: [2d, 2d], the product W_K^T W_Q: token j gets the score x_j^T score s, with s the state token; value:
    [2d, 2d] or, one for each prompt, [B, 2d, 2d]; own_token: "masked" if the state token may not attend to itself,
    "seen" if it may. Scores are not divided by sqrt(d_k). Both matrices are parameters with ``requires_grad`` off
    until somebody trains them; they follow the dtype and device of the tokens. Raises BadInput on other shapes.

    Two views of the same arithmetic, tied by a property test: ``forward`` acts on a token matrix and explains;
    ``init``, ``step``, ``read`` and ``attention`` act on the state alone and are fast.
    """

    def __init__(self, score: Tensor, value: Tensor, own_token: str = "masked") -> None:
        super().__init__()
        size = validate.shaped("score", score, "2d 2d").shape[0]
        if score.shape[1] != size or size % 2:
            raise validate.fail("score", f"shape {list(score.shape)}", "shape [2d, 2d]")
        if validate.shaped("value", value, "... 2d 2d").shape[-2:] != score.shape or value.ndim > 3:
            raise validate.fail("value", f"shape {list(value.shape)}", f"shape [{size}, {size}] or [B, {size}, {size}]")
        self.own_token = validate.one_of("own_token", own_token, OWN_TOKEN)
        self.d = size // 2
        self.score = nn.Parameter(score, requires_grad=False)
        self.value = nn.Parameter(value, requires_grad=False)

    @classmethod
    def random(
        cls,
        d: int,
        scale: float = 0.01,
        *,
        generator: torch.Generator,
        tokens: str = "state",
        dtype: torch.dtype = torch.float64,
    ) -> SoftmaxAttention:
        """Return a head to be trained, entries drawn from N(0, scale^2), on the generator's device.

        d >= 1: dimension of the points; 0 <= scale <= 1e6; tokens: "full" draws both [2d, 2d] matrices, "state" only
        the two d x d blocks that the construction uses (score from state query to context key, value from context to
        state) and leaves the others at 0. The same seed draws the same two blocks either way. dtype: float32 or
        float64. Raises BadInput for anything else. Source: chapter "Training one layer".
        """
        size = (2 * validate.whole("d", d, 1),) * 2
        validate.one_of("tokens", tokens, ("full", "state")), validate.between("scale", scale, 0.0, 1e6)
        if dtype not in (torch.float32, torch.float64):
            raise validate.fail("dtype", dtype, "torch.float32 or torch.float64")
        kind = {"generator": validate.seeded(generator), "dtype": dtype, "device": generator.device}
        score, value = scale * torch.randn(2, *size, **kind)
        used = torch.full(size, tokens == "full", device=generator.device)
        used[:d, d:] = True  # the score's block; the value's is its transpose
        return cls(score.where(used, 0.0), value.where(used.mT, 0.0))

    def forward(self, tokens: Float[Tensor, "B N 2d"], t: int = 0) -> Float[Tensor, "B N 2d"]:
        """Return the tokens with the state token (the last) replaced by itself plus what the head reads.

        ``t``, the layer's number, is not used by this layer.
        """
        validate.shaped("tokens", tokens, "B N 2d", **{"2d": 2 * self.d})
        self._fits(tokens)
        N, state = tokens.shape[1], tokens[:, -1:]
        if N < 2:
            raise validate.fail("tokens", f"shape {list(tokens.shape)}", "a context token before the state token")
        seen = torch.arange(N, device=tokens.device) < (N - 1 if self.own_token == "masked" else N)
        read = attend(state, tokens, self.score, self.value, seen[None])
        return torch.cat([tokens[:, :-1], state + self.residual(read)], 1)

    def residual(self, read: Float[Tensor, "... 2d"]) -> Float[Tensor, "... 2d"]:
        """Return what is added to the state token for what the head has read: the same, here."""
        return read

    def tokens(self, state: Float[Tensor, "B 2d"], prompts: Prompts) -> Float[Tensor, "B n+1 2d"]:
        """Return the token matrix that holds the prompts' folded tokens and, last, this state."""
        context = torch.cat([prompts.z, torch.zeros_like(prompts.z)], -1)
        return torch.cat([context, state[:, None]], 1)

    def init(self, prompts: Prompts) -> Float[Tensor, "B 2d"]:
        """Return the state token before any layer: zeros."""
        if not isinstance(prompts, Prompts):
            raise validate.fail("prompts", type(prompts).__name__, "Prompts (Prompts.from_arrays makes them)")
        if prompts.x.shape[-1] != self.d:
            raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", f"points in R^{self.d}, as the layer")
        self._fits(prompts.x)
        return prompts.x.new_zeros(prompts.x.shape[0], 2 * self.d)

    def _fits(self, batch: Tensor) -> None:
        if self.value.ndim == 3 and self.value.shape[0] != batch.shape[0]:
            seen = f"a batch of {batch.shape[0]} for a layer with {self.value.shape[0]} values (steps)"
            raise validate.fail("prompts", seen, "as many prompts as steps, or one step for all")

    def attention(self, state: Float[Tensor, "B 2d"], prompts: Prompts) -> Float[Tensor, "B n"]:
        """Return the attention weights on the context tokens; they sum to 1, or to less if the own token is seen."""
        query = state @ self.score.to(state).mT
        scores = (query[:, None, : self.d] @ prompts.zt)[:, 0]
        if self.own_token == "seen":
            scores = torch.cat([scores, (query * state).sum(-1, keepdim=True)], -1)
        return torch.softmax(scores, -1)[:, : prompts.z.shape[1]]

    def step(self, state: Float[Tensor, "B 2d"], prompts: Prompts, t: int = 0) -> Float[Tensor, "B 2d"]:
        """Return the state after this layer; ``t`` (the layer's number) is not used by this layer."""
        weights, value = self.attention(state, prompts), self.value.to(state)
        mixed = weights[:, None] @ prompts.z
        if self.own_token == "masked":
            return state + self.residual((mixed @ value[..., : self.d].mT)[:, 0])
        own = (1 - weights.sum(-1))[:, None, None] * state[:, None]
        mixed = torch.cat([mixed, torch.zeros_like(mixed)], -1) + own
        return state + self.residual((mixed @ value.mT)[:, 0])

    def read(self, state: Float[Tensor, "B 2d"]) -> Float[Tensor, "B d"]:
        """Return the classifier w that the state token carries."""
        return state[:, self.d :]

    def select(self, chosen: slice | Tensor) -> SoftmaxAttention:
        """Return the layer for the chosen prompts of a batch: itself, unless it has a value matrix for each prompt."""
        if self.value.ndim == 2:
            return self
        layer = copy(self)
        layer._parameters = {"score": self.score, "value": None}
        layer.__dict__["value"] = self.value[chosen]  # a plain tensor: gradients still reach the parameter
        return layer

    def bind(self, prompts: Prompts) -> Bound | None:
        """Return the layer bound to its prompts for a long loop, if its matrices are those of a construction.

        With scores -m_i and values step * z_i (or one step for each prompt) only w moves; what a dense matrix would
        multiply by 0 or by 1 is left out, which changes no bit. None for other matrices, for matrices in training and
        for a subclass, which may have changed the step.
        """
        self.init(prompts)  # do they fit?
        d, value = self.d, self.value
        if type(self) is not SoftmaxAttention or self.score.requires_grad or value.requires_grad:
            return None
        pattern = torch.zeros_like(self.score)
        pattern[:d, d:].fill_diagonal_(-1.0)
        step = value[..., d : d + 1, :1]
        if not torch.equal(self.score, pattern) or not torch.equal(value, -step * pattern.mT):
            return None
        step, z = step.to(prompts.z), prompts.z
        advance = _masked if self.own_token == "masked" else _seen
        mass = (lambda t: t * step.reshape(-1)) if self.own_token == "masked" else None
        room = scratch(z, prompts.zt) if self.own_token == "masked" else None
        data, state = (z, prompts.zt, step), (z.new_zeros(z.shape[0], 1, d),)
        return Bound(advance, data, state, classifier, mass, scratch=room, fused=self.own_token == "masked")

    def extra_repr(self) -> str:
        return f"d={self.d}, own_token={self.own_token!r}"


def _masked(data: tuple, state: State, t: int | Tensor, room: tuple | None = None) -> State:
    """w + step * sum_i softmax(-m)_i z_i, on rows w [B, 1, d]."""
    (z, zt, step), (w,) = data, state
    return (w + head(z, zt, w, room).mul_(step),)


def _seen(data: tuple, state: State, t: int | Tensor, room: None = None) -> State:
    """The same, but the state token takes part with score 0."""
    (z, zt, step), (w,) = data, state
    scores = torch.cat([torch.bmm(w.neg(), zt), torch.zeros_like(w[..., :1])], -1)
    return (w + torch.softmax(scores, -1)[..., :-1].bmm(z) * step,)


class NormedAttention(SoftmaxAttention):
    """The same head with an RMSNorm on what it reads, before the residual: every update has length ``length``.

    RMSNorm divides by the root mean square of its D entries and multiplies by a gain; the gain length / sqrt(D) makes
    the update's norm exactly ``length``. No epsilon is added inside: it would take over once the read vector is
    short. A read vector of exactly 0 stays 0.
    """

    def __init__(self, score: Tensor, value: Tensor, length: float, own_token: str = "masked") -> None:
        super().__init__(score, value, own_token)
        self.gain = validate.positive("length", length) / (2 * self.d) ** 0.5

    def residual(self, read: Float[Tensor, "... 2d"]) -> Float[Tensor, "... 2d"]:
        """Return the read vector, rescaled to norm ``length``."""
        rms = read.square().mean(-1, keepdim=True).sqrt()
        return self.gain * read / rms.where(rms > 0, torch.ones_like(rms))


class LinearAttention(nn.Module):
    """One head of attention without softmax, on tokens of any width D, and a residual connection.

    score, value: [D, D], value also [B, D, D], one for each prompt. Token x_i reads value times the mean over the
    context tokens x_j, all but the last, of (x_j^T score x_i) x_j. writes: "state", the last token only, or "all".
    carry: [D, D] or None, what each written token adds of itself besides. Raises BadInput on other shapes.
    """

    def __init__(self, score: Tensor, value: Tensor, writes: str = "state", carry: Tensor | None = None) -> None:
        super().__init__()
        size = validate.shaped("score", score, "D D").shape[0]
        for name, matrix in (("score", score), ("value", value), ("carry", carry)):
            if matrix is None:
                continue
            many = name == "value" and validate.floating(name, matrix).ndim == 3
            shape = validate.shaped(name, matrix, "B D D" if many else "D D").shape
            if shape[-2:] != (size, size):
                raise validate.fail(name, f"shape {list(shape)}", f"shape [{size}, {size}]")
        self.writes = validate.one_of("writes", writes, ("state", "all"))
        self.score = nn.Parameter(score, requires_grad=False)
        self.value = nn.Parameter(value, requires_grad=False)
        self.carry = None if carry is None else nn.Parameter(carry, requires_grad=False)

    def forward(self, tokens: Float[Tensor, "B N D"], t: int = 0) -> Float[Tensor, "B N D"]:
        """Return the tokens after the head; ``t``, the layer's number, is not used by this layer."""
        validate.shaped("tokens", tokens, "B N D", D=self.score.shape[0])
        if tokens.shape[1] < 2:
            raise validate.fail("tokens", f"shape {list(tokens.shape)}", "a context token before the last token")
        context, queries = tokens[:, :-1], tokens if self.writes == "all" else tokens[:, -1:]
        scores = queries @ self.score.to(tokens).mT @ context.mT
        read = scores @ context @ self.value.to(tokens).mT / context.shape[1]
        own = 0.0 if self.carry is None else queries @ self.carry.to(tokens).mT
        written = queries + read + own
        return written if self.writes == "all" else torch.cat([context, written], 1)


class GatedFold(nn.Module):
    """A gated linear unit that folds labels into points, exactly: [x, y] -> (gate [x, y]) * (value [x, y]) = [y x, 0].

    ``gate`` copies the label into every entry, ``value`` the point into the context block; both are [2d, d+1].
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = validate.whole("d", d, 1)
        gate, value = torch.zeros(2, 2 * d, d + 1, dtype=torch.float64)
        gate[:, d] = 1.0
        value[:d, :d] = torch.eye(d)
        self.gate, self.value = (nn.Parameter(m, requires_grad=False) for m in (gate, value))

    def forward(self, raw: Float[Tensor, "B N d+1"]) -> Float[Tensor, "B N 2d"]:
        """Return tokens [y x, 0] for raw tokens [x, y]; a query [x, +1] becomes [x, 0], a state token with w = 0."""
        validate.shaped("raw", raw, "B N d+1", **{"d+1": self.d + 1})
        return (raw @ self.gate.to(raw).mT) * (raw @ self.value.to(raw).mT)
