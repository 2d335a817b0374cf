"""The coded exercises of chapter 03, "A head reads a weighted mean"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise

# --- 1: the causal mask


def _causal_cases() -> list[tuple]:
    """Tokens [N, D] and the matrices of a head: W_Q and W_K [d_k, D], W_V [D, D]."""
    g = torch.Generator().manual_seed(5)
    shapes = (((5, 3), (2, 3), (2, 3), (3, 3)), ((7, 4), (3, 4), (3, 4), (4, 4)))
    return [tuple(torch.randn(*shape, generator=g, dtype=torch.float64) for shape in case) for case in shapes]


def _causal_stub(X, W_Q, W_K, W_V):
    return X @ W_V.T


def causal_head_solution(X, W_Q, W_K, W_V):
    N = len(X)
    seen = torch.ones(N, N, dtype=torch.bool).tril()  # row i: tokens 1 to i
    scores = (X @ W_Q.T) @ (X @ W_K.T).T
    weights = torch.softmax(scores.masked_fill(~seen, -torch.inf), -1)
    return weights @ (X @ W_V.T)


def _scores(X: Tensor, W_Q: Tensor, W_K: Tensor) -> tuple[Tensor, Tensor]:
    """The scores [query, token], and which of them the causal mask hides."""
    return (X @ W_Q.T) @ (X @ W_K.T).T, torch.ones(len(X), len(X), dtype=torch.bool).triu(1)


def _read(X, W_Q, W_K, W_V, weights) -> Tensor:
    """What is read with the weights that a function makes of scores and hidden."""
    return weights(*_scores(X, W_Q, W_K)) @ (X @ W_V.T)


def _soft(scores: Tensor, hidden: Tensor, dim: int = -1) -> Tensor:
    return torch.softmax(scores.masked_fill(hidden, -torch.inf), dim)


causal_head = Exercise(
    title="The causal mask",
    difficulty=1,
    importance=2,
    minutes=10,
    stub=_causal_stub,
    solution=causal_head_solution,
    cases=_causal_cases(),
    mistakes={
        "no mask": (
            lambda *head: _read(*head, lambda s, hidden: torch.softmax(s, -1)),
            "Every token sees every other: there is no mask.",
        ),
        "sees the future": (
            lambda *head: _read(*head, lambda s, hidden: _soft(s, hidden.T)),
            "Your last token sees itself only, and the first sees all. In the scores rows are queries: which columns "
            "lie in the past of row i?",
        ),
        "does not see itself": (
            lambda *head: _read(*head, lambda s, hidden: _soft(s, hidden | torch.eye(len(s), dtype=torch.bool))),
            "No token of yours sees itself, so the first one sees nothing and its row is 0 / 0. Token i sees 1 to i.",
        ),
        "does not see itself, large numbers": (
            lambda *head: _read(
                *head,
                lambda s, hidden: torch.softmax(s.masked_fill(hidden | torch.eye(len(s), dtype=torch.bool), -1e9), -1),
            ),
            "No token of yours sees itself, and the first, with nothing to see, sees all alike. Token i sees 1 to i.",
        ),
        "a zero for a mask": (
            lambda *head: _read(*head, lambda s, hidden: torch.softmax(s.masked_fill(hidden, 0.0), -1)),
            "Hidden tokens still take attention: you gave them the score 0, and that is a score like any other.",
        ),
        "masked too late": (
            lambda *head: _read(*head, lambda s, hidden: torch.softmax(s, -1).masked_fill(hidden, 0.0)),
            "Your weights do not sum to 1: you took the hidden ones out after the softmax had shared the attention.",
        ),
        "softmax over the queries": (
            lambda *head: _read(*head, lambda s, hidden: _soft(s, hidden, 0)),
            "Your columns sum to 1. It is the tokens that compete for the attention of one query: over which axis is "
            "the sum?",
        ),
        "query and key swapped": (
            lambda X, W_Q, W_K, W_V: causal_head_solution(X, W_K, W_Q, W_V),
            "Token i should ask and token j answer; in your scores it is the other way round. Who is read by W_Q?",
        ),
        "divided by the root": (
            lambda *head: _read(*head, lambda s, hidden: _soft(s / head[1].shape[0] ** 0.5, hidden)),
            "The weights are too even: something divides the scores by the square root of their dimension. This book "
            "does not; PyTorch does unless told otherwise.",
        ),
        "values forgotten": (
            lambda X, W_Q, W_K, W_V: _soft(*_scores(X, W_Q, W_K)) @ X,
            "The weights are right. You average the tokens themselves: what does the head read in them?",
        ),
        "value matrix transposed": (
            lambda X, W_Q, W_K, W_V: causal_head_solution(X, W_Q, W_K, W_V.T),
            "The weights are right, and W_V is applied the wrong way round. Tokens are rows here, columns on paper.",
        ),
        "residual": (
            lambda X, *matrices: X + causal_head_solution(X, *matrices),
            "You added the tokens. A layer does that; wanted is what the head reads.",
        ),
    },
    first_hint="A table of who may see whom: a row for each query, a column for each token. Hide before the softmax.",
    praise="The first token can only read itself, and the last one reads all.",
    also_right={
        "PyTorch's own": lambda X, W_Q, W_K, W_V: torch.nn.functional.scaled_dot_product_attention(
            X @ W_Q.T, X @ W_K.T, X @ W_V.T, is_causal=True, scale=1.0
        ),
        "a row at a time, NumPy": lambda X, W_Q, W_K, W_V: _numpy_causal(*(v.numpy() for v in (X, W_Q, W_K, W_V))),
        "float32": lambda *head: causal_head_solution(*(v.float() for v in head)),
    },
)


def _numpy_causal(X, W_Q, W_K, W_V):
    rows = []
    for i in range(len(X)):
        past = X[: i + 1]
        e = np.exp(past @ W_K.T @ (W_Q @ X[i]))
        rows.append(W_V @ (e @ past) / e.sum())
    return np.stack(rows)


# --- 2: a gate that folds


def _fold_stub(d):
    return torch.zeros(d, d + 1), torch.zeros(d, d + 1)


def fold_solution(d):
    A, B = torch.zeros(d, d + 1), torch.zeros(d, d + 1)
    A[:, :d] = torch.eye(d)  # reads the point
    B[:, d] = 1.0  # reads the label, once for every entry of the point
    return A, B


def _gated(returned: tuple[Tensor, ...], d: int) -> Tensor:
    """What the gate makes of eight tokens [x, y]: right answers differ in their matrices and not in this."""
    shapes = [list(matrix.shape) for matrix in returned]
    if shapes != [[d, d + 1]] * 2:
        raise ValueError(f"For d = {d} both matrices have shape [{d}, {d + 1}]; yours: {shapes}.")
    g = torch.Generator().manual_seed(d)
    h = torch.randn(8, d + 1, generator=g, dtype=torch.float64)
    h[:, d] = torch.tensor([1.0, -1.0]).repeat(4)
    return (h @ returned[0].T) * (h @ returned[1].T)


def _picks(d: int, *columns: int) -> Tensor:
    """A matrix [d, d+1] whose rows are all the same: the sum of these entries of a token."""
    matrix = torch.zeros(d, d + 1)
    matrix[:, list(columns)] = 1.0
    return matrix


def _point(d: int) -> Tensor:
    return torch.eye(d, d + 1)


fold = Exercise(
    title="A gate folds the label in",
    difficulty=2,
    importance=2,
    minutes=10,
    stub=_fold_stub,
    solution=fold_solution,
    cases=[(2,), (3,), (5,)],
    measure=_gated,
    mistakes={
        "label first": (
            lambda d: (torch.eye(d + 1)[1:], _picks(d, 0)),
            "Right for tokens [y, x]. Here the label is the last entry.",
        ),
        "first entry for the label": (
            lambda d: (_point(d), _picks(d, 0)),
            "One of yours reads the first entry of the point, as if it were the label. The label is the last entry.",
        ),
        "squares": (
            lambda d: (_point(d), _point(d)),
            "Both of yours read the point, so the product holds squares of its entries. Who reads the label?",
        ),
        "labels squared": (
            lambda d: (_picks(d, d), _picks(d, d)),
            "Both of yours read the label, and y times y is always 1. Who reads the point?",
        ),
        "one entry only": (
            lambda d: (_point(d), torch.cat([torch.eye(d + 1)[d:], torch.zeros(d - 1, d + 1)])),
            "Your label meets the first entry of the point and no other. The product is taken entry by entry: how "
            "often is the label needed?",
        ),
        "last entry only": (
            lambda d: (_point(d), torch.cat([torch.zeros(d - 1, d + 1), torch.eye(d + 1)[d:]])),
            "Your label meets the last entry of the point and no other. The product is taken entry by entry: how "
            "often is the label needed?",
        ),
        "label scaled": (
            lambda d: (_point(d), _picks(d, d) / d),
            "Your result is d times too short: the label was averaged over the entries. It does not wear off by use.",
        ),
        "a row of ones": (
            lambda d: (_point(d), torch.ones(d, d + 1)),
            "One of your matrices adds up the whole token. Which entries of a row have to be 0 to read one number?",
        ),
        "both in both": (
            lambda d: (_point(d) + _picks(d, d), _point(d) + _picks(d, d)),
            "Each of yours reads point plus label, and the product of the sums is more than the product of the two.",
        ),
        "the sign of the label": (
            lambda d: (_point(d), -_picks(d, d)),
            "You return minus y x. One sign is wrong: every label would be turned over.",
        ),
    },
    first_hint="Entry a of the result is (row a of A times h) times (row a of B times h): what must these two be?",
    praise="A product of two linear readings: what no head can do, and one gate does for all tokens at once.",
    also_right={
        "swapped and scaled": lambda d: tuple(c * m for c, m in zip((0.5, 2.0), fold_solution(d)[::-1], strict=True)),
        "NumPy, other signs": lambda d: (np.eye(d, d + 1) * -1, -np.outer(np.ones(d), np.eye(d + 1)[d])),
        "lists": lambda d: (
            [[float(j == i) for j in range(d + 1)] for i in range(d)],
            [[float(j == d) for j in range(d + 1)] for _ in range(d)],
        ),
    },
)
