"""The coded exercises of chapter 04, "One head, one step"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..attention import SoftmaxAttention
from .base import Exercise

# --- 1: one layer, from the loss


def _layer_cases() -> list[tuple[Tensor, float]]:
    """Token matrices [n+1, 2d]: context rows [z_i, 0], last the state row [x_query, w]."""
    g = torch.Generator().manual_seed(4)
    cases = []
    for n, d, step in ((5, 2, 0.7), (1, 3, 1.5), (4, 1, 0.3)):
        z, x, w = torch.randn(n, d, generator=g), torch.randn(1, d, generator=g), torch.randn(1, d, generator=g)
        tokens = torch.cat([torch.cat([z, torch.zeros_like(z)], 1), torch.cat([x, w], 1)])
        cases.append((tokens.double(), step))
    return cases


def _layer_stub(tokens, step):
    return tokens


def one_layer_solution(tokens, step):
    d = tokens.shape[1] // 2
    z, w = tokens[:-1, :d], tokens[-1, d:]
    terms = torch.exp(-z @ w)  # the loss is their mean; the query takes no part
    loss, gradient = terms.mean(), -terms @ z / len(z)
    after = tokens.clone()
    after[-1, d:] = w - step * gradient / loss
    return after


def _split(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The folded tokens z [n, d] and the classifier w [d] of a token matrix."""
    d = tokens.shape[1] // 2
    return tokens[:-1, :d], tokens[-1, d:]


def _stepped(change):
    """An answer that puts ``change(z, w, step)`` in the place of w."""

    def answer(tokens, step):
        after = tokens.clone()
        after[-1, tokens.shape[1] // 2 :] = change(*_split(tokens), step)
        return after

    return answer


def _output(z: Tensor, w: Tensor) -> Tensor:
    return torch.softmax(-z @ w, 0) @ z


def _spoilt(rows: slice | int, columns: int | None = None, new=lambda old, update: 0 * old):
    """The right answer with something else in some rows and columns, (0: the context block, 1: the state block)."""

    def answer(tokens, step):
        after = one_layer_solution(tokens, step)
        d = tokens.shape[1] // 2
        block = {None: slice(None), 0: slice(d), 1: slice(d, None)}[columns]
        after[rows, block] = new(after[rows, block], after[-1, d:] - tokens[-1, d:])
        return after

    return answer


def _leaked_label(tokens, step):
    keys = tokens[:, : tokens.shape[1] // 2]
    return _stepped(lambda z, w, step: w + step * _output(keys, w))(tokens, step)


def _wrong_block(tokens, step):
    z, w = _split(tokens)
    after = tokens.clone()
    after[-1, : len(w)] += step * _output(z, w)
    return after


_SCALED = "The weights are too even: something divides the scores. Our scores are plain inner products."


def _layer_in_numpy(tokens, step):
    tokens = tokens.numpy().copy()
    d = tokens.shape[1] // 2
    weights = np.exp(-tokens[:-1, :d] @ tokens[-1, d:])
    tokens[-1, d:] += step * (weights / weights.sum()) @ tokens[:-1, :d]
    return tokens


def _layer_with_loops(tokens, step):
    rows = tokens.tolist()
    d = len(rows[0]) // 2
    *context, state = rows
    weights = [float(np.exp(-sum(a * b for a, b in zip(z[:d], state[d:], strict=True)))) for z in context]
    for k in range(d):
        state[d + k] += step * sum(q * z[k] for q, z in zip(weights, context, strict=True)) / sum(weights)
    return rows


def _layer_in_float32(tokens, step):
    return one_layer_solution(tokens.float(), step)


def _layer_by_autograd(tokens, step):
    d = tokens.shape[1] // 2
    w = tokens[-1, d:].clone().requires_grad_()
    gradient = torch.autograd.grad(torch.logsumexp(-tokens[:-1, :d] @ w, 0), w)[0]
    return torch.cat([tokens[:-1], torch.cat([tokens[-1, :d], w - step * gradient])[None]])


one_layer = Exercise(
    title="One layer from the loss",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_layer_stub,
    solution=one_layer_solution,
    cases=_layer_cases(),
    mistakes={
        "attracted to large margins": (
            _stepped(lambda z, w, step: w + step * _output(z, -w)),
            "The head looks at the tokens that w already gets right. Which sign must the score have?",
        ),
        "ascent": (
            _stepped(lambda z, w, step: w - step * _output(z, w)),
            "The weights are right, and the loss goes up. Which way does -grad phi point?",
        ),
        "no residual connection": (
            _stepped(lambda z, w, step: step * _output(z, w)),
            "You return what the head reads; the layer adds it to w.",
        ),
        "by the gradient's length": (
            _stepped(lambda z, w, step: w + step * torch.nn.functional.normalize(_output(z, w), dim=0)),
            "All your steps have the same length: you divided by the length of the gradient. Normalized means divided "
            "by the loss here.",
        ),
        "sum instead of softmax": (
            _stepped(lambda z, w, step: w + step * torch.exp(-z @ w) @ z),
            "Your weights exp(-m_i) do not sum to 1. Dividing by the loss is what the softmax does.",
        ),
        "plain gradient descent": (
            _stepped(lambda z, w, step: w + step * torch.exp(-z @ w) @ z / len(z)),
            "This is a step of plain gradient descent on L. The normalised step divides it by L(w) as well.",
        ),
        "divided by n twice": (
            _stepped(lambda z, w, step: w + step * _output(z, w) / len(z)),
            "The direction is right and n times too short. The 1/n of the loss cancels: where did yours come from?",
        ),
        "sum over n": (
            _stepped(lambda z, w, step: w + step * len(z) * _output(z, w)),
            "The direction is right and n times too long. Which of your two, the loss or its gradient, is a sum and "
            "which is a mean?",
        ),
        "leaked label": (
            _leaked_label,
            "The state token reads itself, and its context block holds the query: you trained on the query as if its "
            "label were +1. The state token must not be among the keys.",
        ),
        "sink": (
            _stepped(lambda z, w, step: w + step * torch.exp(-z @ w) @ z / (1 + torch.exp(-z @ w).sum())),
            "Your weights sum to S/(1+S): a token with score 0 and value 0 takes part. Which one should be masked?",
        ),
        "equal weights": (
            _stepped(lambda z, w, step: w + step * z.mean(0)),
            "Every token counts the same in your update. What does w have to say about it?",
        ),
        "logistic loss": (
            _stepped(lambda z, w, step: w + step * torch.sigmoid(-z @ w) @ z / len(z)),
            "This is a step on the logistic loss: its weights are sigmoids. Which loss has exp(-m_i) for terms?",
        ),
        "sigmoids that sum to 1": (
            _stepped(lambda z, w, step: w + step * torch.sigmoid(-z @ w) @ z / torch.sigmoid(-z @ w).sum()),
            "Your weights sum to 1, and they are sigmoids, as in a claim of this chapter. The softmax has others.",
        ),
        "scores divided by sqrt(d)": (
            _stepped(lambda z, w, step: w + step * _output(z / len(w) ** 0.5, w) * len(w) ** 0.5),
            _SCALED,
        ),
        "scores divided by sqrt(2d)": (
            _stepped(lambda z, w, step: w + step * _output(z / (2 * len(w)) ** 0.5, w) * (2 * len(w)) ** 0.5),
            _SCALED,
        ),
        "written to the context block": (
            _wrong_block,
            "The update is right and lands in the context block of the state token, on top of the query. The value "
            "matrix has to move it to the state block.",
        ),
        "written to both blocks": (
            _spoilt(-1, 0, lambda x, update: x + update),
            "The state block is right. You added the update to the query as well, which the layer leaves alone.",
        ),
        "query wiped": (
            _spoilt(-1, 0),
            "The state block is right. The query x is gone from the last row: the layer leaves it where it was.",
        ),
        "context wiped": (
            _spoilt(slice(-1)),
            "The state row is right. The context tokens are gone: the next layer will want to read them.",
        ),
        "blocks of the state swapped": (
            _spoilt(-1, new=lambda row, update: row.roll(len(row) // 2)),
            "The numbers are right. In your last row w comes first and the query second; it came as [x, w].",
        ),
    },
    first_hint="Cut z and w out of the token matrix first; the last row is [x_query, w].",
    praise="This is the layer: dividing by the loss is its softmax, adding to w its residual connection.",
    also_right={
        "NumPy": _layer_in_numpy,
        "loops": _layer_with_loops,
        "float32": _layer_in_float32,
        "autograd": _layer_by_autograd,
    },
)

# --- 2: the two matrices, for tokens whose state block comes first: [0, z_i] and [w, x]


def _matrices_stub(d, step):
    return torch.eye(2 * d), torch.eye(2 * d)


def two_matrices_solution(d, step):
    score, value = torch.zeros(2 * d, 2 * d), torch.zeros(2 * d, 2 * d)
    score[d:, :d] = -torch.eye(d)  # row: key's context; column: state
    value[:d, d:] = step * torch.eye(d)  # row: written; column: read
    return score, value


def _blocks(returned: tuple[Tensor, ...], d: int, step: float) -> tuple[Tensor, ...]:
    """The four d x d blocks that can act: the other four only ever meet zeros, so an answer is free to fill them."""
    shapes = [list(matrix.shape) for matrix in returned]
    if shapes != [[2 * d, 2 * d]] * 2:
        raise ValueError(f"For d = {d} the two matrices have shape [{2 * d}, {2 * d}] each; yours: {shapes}.")
    score, value = returned
    SoftmaxAttention(score, value)  # refuses NaN and infinity
    return score[d:, d:], score[d:, :d], value[d:, d:], value[:d, d:]


def _filled(d: int, score: dict, value: dict) -> tuple[Tensor, Tensor]:
    """Two matrices from multiples of I in their blocks, {(row, column): multiple}, 0 = context block, 1 = state.

    Rows and columns of the matrices have the state block first.
    """
    both = []
    for blocks in (score, value):
        matrix = torch.zeros(2, d, 2, d)
        for (row, column), multiple in blocks.items():
            matrix[1 - row, :, 1 - column] = multiple * torch.eye(d)
        both.append(matrix.reshape(2 * d, 2 * d))
    return both[0], both[1]


_QUERY_IN_THE_SCORE = (
    "The context block of the state token takes part in your scores. It holds the query: the answer to one query would "
    "change what is learnt from the context."
)
_DIVIDED = "You divided the scores. Our attention does not scale them, so there is nothing to make up for."

_MULTIPLIED = (
    "Your score matrix has a square root in it. That would make up for attention that divides its scores; "
    "this layer does not."
)


def _matrices_in_numpy(d, step):
    zero, one = np.zeros((d, d)), np.eye(d)
    return np.block([[zero, zero], [-one, zero]]), np.block([[zero, step * one], [zero, zero]])


def _matrices_with_loops(d, step):
    score, value = ([[0.0] * (2 * d) for _ in range(2 * d)] for _ in range(2))
    for k in range(d):
        score[d + k][k], value[k][d + k] = -1, step
    return score, value


def _matrices_with_idle_blocks_filled(d, step):
    score, value = two_matrices_solution(d, step)
    score[:d], value[:, :d] = 7.0, -3.0  # they meet only zeros: the layer is the same
    return score, value


two_matrices = Exercise(
    title="The two matrices, in another layout",
    difficulty=2,
    importance=3,
    minutes=10,
    stub=_matrices_stub,
    solution=two_matrices_solution,
    cases=[(2, 0.7), (3, 1.6), (1, 0.25)],
    measure=_blocks,
    parts=(
        "the block of the score matrix where keys meet the query on board",
        "the block of the score matrix where keys meet w",
        "the block of the value matrix that writes on the query",
        "the block of the value matrix that writes on w",
    ),
    mistakes={
        "the layout of the chapter": (
            lambda d, step: _filled(d, {(1, 0): -1}, {(0, 1): step}),
            "Your head writes nothing. Are these the chapter's matrices? Here tokens have the state block first: "
            "which rows of the score matrix does a context token meet now? Or did you return the value matrix first?",
        ),
        "score transposed": (
            lambda d, step: _filled(d, {(1, 0): -1}, {(1, 0): step}),
            "All your scores are equal. Rows of the score matrix meet the key, columns the query: which block of a "
            "context token is not zero?",
        ),
        "minus missing": (
            lambda d, step: _filled(d, {(0, 1): 1}, {(1, 0): step}),
            "Your head attends to the tokens with the largest margins. It should flee them.",
        ),
        "minus in the value": (
            lambda d, step: _filled(d, {(0, 1): -1}, {(1, 0): -step}),
            "The weights are right, and w moves away from the tokens that it should move to. One minus is enough.",
        ),
        "step in the score": (
            lambda d, step: _filled(d, {(0, 1): -step}, {(1, 0): 1}),
            "The step size sits in the wrong matrix. (It is not lost: by scale invariance this is the same descent in "
            "other units. For this w, it belongs where the update is made.)",
        ),
        "step in both": (
            lambda d, step: _filled(d, {(0, 1): -step}, {(1, 0): step}),
            "The step size appears in both matrices. It scales the update, not the attention.",
        ),
        "scores divided by sqrt(d)": (lambda d, step: _filled(d, {(0, 1): -(d**-0.5)}, {(1, 0): step}), _DIVIDED),
        "scores divided by sqrt(2d)": (
            lambda d, step: _filled(d, {(0, 1): -((2 * d) ** -0.5)}, {(1, 0): step}),
            _DIVIDED,
        ),
        "scores times sqrt(d)": (lambda d, step: _filled(d, {(0, 1): -(d**0.5)}, {(1, 0): step}), _MULTIPLIED),
        "scores times sqrt(2d)": (lambda d, step: _filled(d, {(0, 1): -((2 * d) ** 0.5)}, {(1, 0): step}), _MULTIPLIED),
        "written to both blocks": (
            lambda d, step: _filled(d, {(0, 1): -1}, {(1, 0): step, (0, 0): step}),
            "The state is right, and your head writes on top of the query as well. Which rows of the value matrix "
            "write there?",
        ),
        "value transposed": (
            lambda d, step: _filled(d, {(0, 1): -1}, {(0, 1): step}),
            "Your value matrix reads the state block of context tokens, which is zero. Rows are where it writes, "
            "columns where it reads.",
        ),
        "value in the context block": (
            lambda d, step: _filled(d, {(0, 1): -1}, {(0, 0): step}),
            "Your head reads the right thing and writes it on top of the query, not into the state block.",
        ),
        "a block too many": (
            lambda d, step: _filled(d, {(0, 0): -1, (0, 1): -1, (1, 1): -1}, {(1, 0): step}),
            _QUERY_IN_THE_SCORE,
        ),
        "diagonal score": (
            lambda d, step: _filled(d, {(0, 0): -1, (1, 1): -1}, {(1, 0): step}),
            "Your scores compare like with like, the query with the keys. " + _QUERY_IN_THE_SCORE,
        ),
    },
    first_hint="Which block of a context token must meet which block of the state token? Where is what is read to go?",
    praise="Two blocks out of eight, both multiples of the identity: that is the whole construction.",
    also_right={
        "NumPy": _matrices_in_numpy,
        "loops": _matrices_with_loops,
        "idle blocks filled": _matrices_with_idle_blocks_filled,
    },
)

# --- 3: a counter-example to (sigmoid - y)


def _counter_stub():
    return torch.zeros(2), torch.eye(2)


def counter_example_solution():
    w = torch.tensor([1.0, 0.0])
    z = torch.tensor([[-4.0, 1.0], [-1.0, 2.0]])  # margins -4 and -1, both wrong
    return w, z


ENOUGH = 0.5
VERDICTS = (
    "refuted",
    "one token",
    "w is zero",
    "equal margins",
    "equal up to sign",
    "all margins positive",
    "too close",
)


def _refutes(returned: tuple[Tensor, ...]) -> Tensor:
    """The number, in VERDICTS, of what a claimed counter-example (w, z) shows; 0 where it refutes."""
    shapes = [list(t.shape) for t in returned]
    if [len(shape) for shape in shapes] != [1, 2] or shapes[0][0] != shapes[1][1] or 0 in shapes[1]:
        raise ValueError(f"Return w of shape [d] and z of shape [n, d], in this order; yours: {shapes}.")
    w, z = returned
    m = z @ w
    if not all(torch.isfinite(t).all() for t in (w, z, m)):
        raise ValueError("Something in your counter-example is NaN or infinite.")
    p = torch.sigmoid(-m) / torch.sigmoid(-m).sum()
    p = p if torch.isfinite(p).all() else torch.softmax(-m, 0)  # margins beyond 700: the two agree
    gap = float((p - torch.softmax(-m, 0)).abs().sum())
    size = float(z.norm(dim=1).max())
    off = torch.minimum((z - z[0]).norm(dim=1), (z + z[0]).norm(dim=1)).max()
    found = {
        "one token": len(z) < 2,
        "w is zero": not w.any(),
        "equal margins": float(m.max() - m.min()) <= 1e-6 * float(m.abs().max()),
        "equal up to sign": float(off) <= 1e-3 * size,
        "all margins positive": float(m.min()) >= 0,
        "too close": gap < ENOUGH,
    }
    return torch.tensor(float(next((VERDICTS.index(name) for name, so in found.items() if so), 0)))


def _counter_in_numpy():
    return np.array([0.3, -2.0, 1.0]), np.array([[0.0, 3.0, 1.0], [1.0, 0.0, -1.0], [0.5, 0.5, 0.5]])


def _counter_as_lists():
    return [1.0], [[-3.0], [-1.0], [2.0]]


counter_example = Exercise(
    title="A counter-example",
    difficulty=2,
    importance=2,
    minutes=10,
    stub=_counter_stub,
    solution=counter_example_solution,
    cases=[()],
    measure=_refutes,
    mistakes={
        "one token": (
            lambda: (torch.tensor([1.0, 0.0]), torch.tensor([[-4.0, 1.0]])),
            "With one token, all weights that sum to 1 are equal to 1. You need at least two.",
        ),
        "w is zero": (
            lambda: (torch.zeros(2), torch.tensor([[-4.0, 1.0], [-1.0, 2.0]])),
            "At w = 0 every margin is 0: both formulas give equal weights, whatever the tokens.",
        ),
        "equal margins": (
            lambda: (torch.tensor([1.0, 0.0]), torch.tensor([[-4.0, 1.0], [-4.0, 2.0]])),
            "Your margins are all equal, so both give 1/n to every token. (Before normalising they may differ, but so "
            "do any two multiples of the same weights.)",
        ),
        "equal up to sign": (
            lambda: (torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 1.0], [-2.0, -1.0]])),
            "Your tokens are equal up to sign. That refutes this head, but not the idea: for z_2 = -z_1 a head with "
            "half the scores, -I/2, has exactly the sigmoid's weights, at every w. Choose tokens that no other score "
            "matrix can mend.",
        ),
        "all margins positive": (
            lambda: (torch.tensor([1.0, 0.0]), torch.tensor([[4.0, 1.0], [1.0, 2.0]])),
            "Your w gets every token right. There exp(-m) and sigmoid(-m) look alike, and the two never differ by as "
            "much as 1/2. Look where w is wrong.",
        ),
        "too close": (
            lambda: (torch.tensor([0.1, 0.0]), torch.tensor([[-4.0, 1.0], [-1.0, 2.0]])),
            "They differ, but by less than 1/2. The sigmoid saturates: it hardly tells a bad mistake from a worse one. "
            "The exponential does.",
        ),
    },
    first_hint="Both weightings depend on w and z only through the margins: choose two margins first.",
    praise="At this w the attention weights are not the sigmoid's, normalised or not. One example is enough.",
    also_right={"NumPy": _counter_in_numpy, "lists": _counter_as_lists},
)
