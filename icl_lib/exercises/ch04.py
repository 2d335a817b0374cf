"""The coded exercises of chapter 04, "One head, one step"."""

from __future__ import annotations

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


def _split(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The folded tokens z [n, d], the query x [d] and the classifier w [d] of a token matrix."""
    d = tokens.shape[1] // 2
    return tokens[:-1, :d], tokens[-1, :d], tokens[-1, d:]


def _with_state(tokens: Tensor, w: Tensor) -> Tensor:
    after = tokens.clone()
    after[-1, tokens.shape[1] // 2 :] = w
    return after


def _attracted(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.softmax(z @ w, 0) @ z)


def _ascending(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w - step * torch.softmax(-z @ w, 0) @ z)


def _without_residual(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, step * torch.softmax(-z @ w, 0) @ z)


def _summed(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.exp(-z @ w) @ z)


def _plain_gradient(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.exp(-z @ w) @ z / len(z))


def _averaged_twice(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.softmax(-z @ w, 0) @ z / len(z))


def _leaked_label(tokens, step):
    _, _, w = _split(tokens)
    keys = tokens[:, : len(w)]
    return _with_state(tokens, w + step * torch.softmax(-keys @ w, 0) @ keys)


def _sink(tokens, step):
    z, _, w = _split(tokens)
    weights = torch.exp(-z @ w)
    return _with_state(tokens, w + step * weights @ z / (1 + weights.sum()))


def _unweighted(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * z.mean(0))


def _scaled_by_block(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.softmax(-z @ w / len(w) ** 0.5, 0) @ z)


def _scaled_by_token(tokens, step):
    z, _, w = _split(tokens)
    return _with_state(tokens, w + step * torch.softmax(-z @ w / (2 * len(w)) ** 0.5, 0) @ z)


def _wrong_block(tokens, step):
    z, _, w = _split(tokens)
    after = tokens.clone()
    after[-1, : len(w)] += step * torch.softmax(-z @ w, 0) @ z
    return after


_SCALED = "The weights are too even: something divides the scores. Our scores are plain inner products."

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
            _attracted,
            "The head looks at the tokens that w already gets right. Which sign must the score have?",
        ),
        "ascent": (_ascending, "The weights are right, and the loss goes up. Which way does -grad phi point?"),
        "no residual connection": (_without_residual, "You return what the head reads; the layer adds it to w."),
        "sum instead of softmax": (
            _summed,
            "Your weights exp(-m_i) do not sum to 1. Dividing by the loss is what the softmax does.",
        ),
        "plain gradient descent": (
            _plain_gradient,
            "This is a step of plain gradient descent on L. The normalised step divides it by L(w) as well.",
        ),
        "divided by n twice": (
            _averaged_twice,
            "The direction is right and n times too short. The 1/n of the loss cancels: where did yours come from?",
        ),
        "leaked label": (
            _leaked_label,
            "The state token reads itself, and its context block holds the query: you trained on the query as if its "
            "label were +1. The state token must not be among the keys.",
        ),
        "sink": (
            _sink,
            "Your weights sum to S/(1+S): a token with score 0 and value 0 takes part. Which one should be masked?",
        ),
        "equal weights": (_unweighted, "Every token counts the same in your update. What does w have to say about it?"),
        "scores divided by sqrt(d)": (_scaled_by_block, _SCALED),
        "scores divided by sqrt(2d)": (_scaled_by_token, _SCALED),
        "written to the context block": (
            _wrong_block,
            "The update is right and lands in the context block of the state token, on top of the query. The value "
            "matrix has to move it to the state block.",
        ),
    },
    first_hint="Cut z and w out of the token matrix first; the last row is [x_query, w].",
    praise="This is the layer: dividing by the loss is its softmax, adding to w its residual connection.",
)

# --- 2: the two matrices, for tokens whose state block comes first: [0, z_i] and [w, x]


def _matrices_stub(d, step):
    return torch.eye(2 * d), torch.eye(2 * d)


def two_matrices_solution(d, step):
    score, value = torch.zeros(2 * d, 2 * d), torch.zeros(2 * d, 2 * d)
    score[d:, :d] = -torch.eye(d)  # rows: the key's context; columns: the query's state
    value[:d, d:] = step * torch.eye(d)  # rows: written to the state; columns: read from the context
    return score, value


def _blocks(returned: tuple[Tensor, ...], d: int, step: float) -> Tensor:
    """The four d x d blocks that can act: the other four only ever meet zeros, so an answer is free to fill them."""
    shapes = [list(matrix.shape) for matrix in returned]
    if shapes != [[2 * d, 2 * d]] * 2:
        raise ValueError(f"For d = {d} the two matrices have shape [{2 * d}, {2 * d}] each; yours: {shapes}.")
    score, value = returned
    SoftmaxAttention(score, value)  # refuses NaN and infinity
    return torch.stack([score[d:, d:], score[d:, :d], value[d:, d:], value[:d, d:]])


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


def _layout_of_the_chapter(d, step):
    return _filled(d, {(1, 0): -1}, {(0, 1): step})


def _score_transposed(d, step):
    return _filled(d, {(1, 0): -1}, {(1, 0): step})


def _minus_missing(d, step):
    return _filled(d, {(0, 1): 1}, {(1, 0): step})


def _minus_in_the_value(d, step):
    return _filled(d, {(0, 1): -1}, {(1, 0): -step})


def _step_in_the_score(d, step):
    return _filled(d, {(0, 1): -step}, {(1, 0): 1})


def _step_twice(d, step):
    return _filled(d, {(0, 1): -step}, {(1, 0): step})


def _step_missing(d, step):
    return _filled(d, {(0, 1): -1}, {(1, 0): 1})


def _root_in_the_score(d, step):
    return _filled(d, {(0, 1): -(d**-0.5)}, {(1, 0): step})


def _root_of_2d_in_the_score(d, step):
    return _filled(d, {(0, 1): -((2 * d) ** -0.5)}, {(1, 0): step})


def _value_transposed(d, step):
    return _filled(d, {(0, 1): -1}, {(0, 1): step})


def _value_in_place(d, step):
    return _filled(d, {(0, 1): -1}, {(0, 0): step})


def _whole_identity(d, step):
    return _filled(d, {(0, 0): -1, (0, 1): -1, (1, 1): -1}, {(1, 0): step})


def _diagonal_score(d, step):
    return _filled(d, {(0, 0): -1, (1, 1): -1}, {(1, 0): step})


_QUERY_IN_THE_SCORE = (
    "The context block of the state token takes part in your scores. It holds the query: the answer to one query would "
    "change what is learnt from the context."
)
_DIVIDED = "You divided the scores. Our attention does not scale them, so there is nothing to make up for."

two_matrices = Exercise(
    title="The two matrices, in another layout",
    difficulty=2,
    importance=3,
    minutes=10,
    stub=_matrices_stub,
    solution=two_matrices_solution,
    cases=[(2, 0.7), (3, 1.6), (1, 0.25)],
    measure=_blocks,
    mistakes={
        "the layout of the chapter": (
            _layout_of_the_chapter,
            "Your head writes nothing. Are these the chapter's matrices? Here tokens have the state block first: "
            "which rows of the score matrix does a context token meet now? Or did you return the value matrix first?",
        ),
        "score transposed": (
            _score_transposed,
            "All your scores are equal. Rows of the score matrix meet the key, columns the query: which block of a "
            "context token is not zero?",
        ),
        "minus missing": (
            _minus_missing,
            "Your head attends to the tokens with the largest margins. It should flee them.",
        ),
        "minus in the value": (
            _minus_in_the_value,
            "The weights are right, and w moves away from the tokens that it should move to. One minus is enough.",
        ),
        "step in the score": (
            _step_in_the_score,
            "The step size sits in the wrong matrix. (It is not lost: by scale invariance this is the same descent in "
            "other units. For this w, it belongs where the update is made.)",
        ),
        "step in both": (
            _step_twice,
            "The step size appears in both matrices. It scales the update, not the attention.",
        ),
        "step missing": (_step_missing, "Right for step = 1. Where does the step size go?"),
        "scores divided by sqrt(d)": (_root_in_the_score, _DIVIDED),
        "scores divided by sqrt(2d)": (_root_of_2d_in_the_score, _DIVIDED),
        "value transposed": (
            _value_transposed,
            "Your value matrix reads the state block of context tokens, which is zero. Rows are where it writes, "
            "columns where it reads.",
        ),
        "value in the context block": (
            _value_in_place,
            "Your head reads the right thing and writes it on top of the query, not into the state block.",
        ),
        "a block too many": (_whole_identity, _QUERY_IN_THE_SCORE),
        "diagonal score": (
            _diagonal_score,
            "Your scores compare like with like, the query with the keys. " + _QUERY_IN_THE_SCORE,
        ),
    },
    first_hint="Which block of a context token must meet which block of the state token? Where is what is read to go?",
    praise="Two blocks out of eight, both multiples of the identity: that is the whole construction.",
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


def _one_token():
    return torch.tensor([1.0, 0.0]), torch.tensor([[-4.0, 1.0]])


def _zero_w():
    return torch.zeros(2), torch.tensor([[-4.0, 1.0], [-1.0, 2.0]])


def _equal_margins():
    return torch.tensor([1.0, 0.0]), torch.tensor([[-4.0, 1.0], [-4.0, 2.0]])


def _antipodal():
    return torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 1.0], [-2.0, -1.0]])


def _all_right():
    return torch.tensor([1.0, 0.0]), torch.tensor([[4.0, 1.0], [1.0, 2.0]])


def _close():
    return torch.tensor([0.1, 0.0]), torch.tensor([[-4.0, 1.0], [-1.0, 2.0]])


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
            _one_token,
            "With one token, all weights that sum to 1 are equal to 1. You need at least two.",
        ),
        "w is zero": (
            _zero_w,
            "At w = 0 every margin is 0: both formulas give equal weights, whatever the tokens.",
        ),
        "equal margins": (
            _equal_margins,
            "Your margins are all equal, so both give 1/n to every token. (Before normalising they may differ, but so "
            "do any two multiples of the same weights.)",
        ),
        "equal up to sign": (
            _antipodal,
            "Your tokens are equal up to sign. That refutes this head, but not the idea: for z_2 = -z_1 a head with "
            "half the scores, -I/2, has exactly the sigmoid's weights, at every w. Choose tokens that no other score "
            "matrix can mend.",
        ),
        "all margins positive": (
            _all_right,
            "Your w gets every token right. There exp(-m) and sigmoid(-m) look alike, and the two never differ by as "
            "much as 1/2. Look where w is wrong.",
        ),
        "too close": (
            _close,
            "They differ, but by less than 1/2. The sigmoid saturates: it hardly tells a bad mistake from a worse one. "
            "The exponential does.",
        ),
    },
    first_hint="Both weightings depend on w and z only through the margins: choose two margins first.",
    praise="At this w the attention weights are not the sigmoid's, normalised or not. One example is enough.",
)
