"""The coded exercises of chapter 01, "A prompt is a data set"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise


def _labelled(n: int, d: int, g: torch.Generator, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Points [n, d] with labels [n] of both signs: that of the first entry, up to noise."""
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    y = torch.sign(x[:, 0] + noise * torch.randn(n, generator=g, dtype=torch.float64))
    y[0], y[-1] = 1.0, -1.0
    return x, y


# --- 1: the tokens of a prompt


def _tokens_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(1)
    return [(*_labelled(n, d, g), torch.randn(d, generator=g, dtype=torch.float64)) for n, d in ((5, 2), (3, 3))]


def _tokens_stub(x, y, w):
    return torch.zeros(len(x) + 1, 2 * x.shape[1])


def tokens_solution(x, y, w):
    z = y[:, None] * x  # point and label in one
    context = torch.cat([z, torch.zeros_like(z)], 1)
    state = torch.cat([torch.zeros_like(w), w])
    return torch.cat([context, state[None]])


def _laid_out(z: Tensor, w: Tensor) -> Tensor:
    return tokens_solution(z, torch.ones_like(z[:, 0]), w)


tokens = Exercise(
    title="The tokens of a prompt",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_tokens_stub,
    solution=tokens_solution,
    cases=_tokens_cases(),
    mistakes={
        "labels forgotten": (
            lambda x, y, w: _laid_out(x, w),
            "Your context tokens hold the points and no trace of their labels: nobody could learn from them.",
        ),
        "labels 0 and 1": (
            lambda x, y, w: _laid_out((y[:, None] + 1) / 2 * x, w),
            "Your examples with label -1 became rows of zeros. The labels here are +1 and -1, not 1 and 0.",
        ),
        "labels in the second block": (
            lambda x, y, w: torch.cat(
                [_laid_out(x, w)[:-1] + y[:, None] * torch.eye(2)[1].repeat_interleave(len(w)), _laid_out(x, w)[-1:]]
            ),
            "Your labels stand in the block where a state belongs, and the scores never meet them. Point and label are "
            "one vector here.",
        ),
        "blocks swapped": (
            lambda x, y, w: tokens_solution(x, y, w).roll(x.shape[1], 1),
            "Right content, and both blocks are swapped. Which block does the score matrix compare with w?",
        ),
        "state in the first block": (
            lambda x, y, w: torch.cat([tokens_solution(x, y, w)[:-1], torch.cat([w, 0 * w])[None]]),
            "The context is right. Your state token has w where the others have their points: the layer would "
            "take it for an example.",
        ),
        "state token first": (
            lambda x, y, w: tokens_solution(x, y, w).roll(1, 0),
            "All tokens are right, and the state token stands in front. Here it stands at the end.",
        ),
        "state token missing": (
            lambda x, y, w: tokens_solution(x, y, w)[:-1],
            "The context is right. Who holds w? One token is missing.",
        ),
        "w in every token": (
            lambda x, y, w: torch.cat([tokens_solution(x, y, w)[:, : len(w)], w.expand(len(x) + 1, -1)], 1),
            "Every token of yours carries w. Context tokens are read and never written: their second block stays 0.",
        ),
        "points in both blocks": (
            lambda x, y, w: torch.cat([_laid_out(y[:, None] * x, w)[:-1, : len(w)].repeat(1, 2), _laid_out(x, w)[-1:]]),
            "Your context tokens hold their point twice. The second block is where a state is kept; they have none.",
        ),
    },
    first_hint="n + 1 rows of two blocks each, d numbers wide: n context tokens, then the state token.",
    praise="Everything that the layer knows of the prompt stands in these n + 1 rows.",
    also_right={
        "NumPy": lambda x, y, w: np.block(
            [[y.numpy()[:, None] * x.numpy(), np.zeros(x.shape)], [np.zeros(len(w)), w.numpy()]]
        ),
        "lists": lambda x, y, w: (
            [[b * float(v) for v in a] + [0.0] * len(w) for a, b in zip(x, y.tolist(), strict=True)]
            + [[0.0] * len(w) + w.tolist()]
        ),
    },
)

# --- 2: the error on new points, from the prompt alone


def _error_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(2)
    sizes = ((12, 2, 2), (8, 4, 5), (20, 3, 3), (5, 2, 0))  # at depth 0 every answer is 0
    return [(*_labelled(n, d, g, 0.3), *_labelled(400, d, g, 0.3), t) for n, d, t in sizes]


def _error_stub(x, y, x_query, y_query, depth):
    return 0.5


def query_error_solution(x, y, x_query, y_query, depth):
    z = y[:, None] * x
    w = torch.zeros_like(z[0])
    for _ in range(depth):
        w = w + torch.softmax(-z @ w, 0) @ z  # step 1
    wrong = (1 - torch.sign(x_query @ w) * y_query) / 2  # 1/2 where the answer is 0
    return wrong.mean()


def _error(x, y, x_query, y_query, depth, sign=-1.0, first=None, at_zero=0.5):
    z = y[:, None] * x
    w = torch.zeros_like(z[0])
    for _ in range(depth):
        w = w + (torch.softmax(sign * z @ w, 0) if first is None else first(z @ w)) @ z
    m = y_query * (x_query @ w)
    return ((m < 0).double() + at_zero * (m == 0)).mean()


query_error = Exercise(
    title="From a prompt to its error",
    difficulty=2,
    importance=3,
    minutes=15,
    stub=_error_stub,
    solution=query_error_solution,
    cases=_error_cases(),
    mistakes={
        "error on the prompt": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x, y, depth),
            "That is the error on the prompt's own points, which the layer has seen with their labels. Ask it about "
            "points that it has not.",
        ),
        "queries in the context": (
            lambda x, y, x_query, y_query, depth: _error(
                torch.cat([x, x_query]), torch.cat([y, y_query]), x_query, y_query, depth
            ),
            "The queries and their labels were among your context tokens. The label that is asked for leaked.",
        ),
        "only queries in the context": (
            lambda x, y, x_query, y_query, depth: _error(x_query, y_query, x_query, y_query, depth),
            "You learnt from the queries and not from the prompt. Which labels may the layer see?",
        ),
        "accuracy": (
            lambda x, y, x_query, y_query, depth: 1 - _error(x, y, x_query, y_query, depth),
            "That is the share of right answers, and wanted is the share of wrong ones.",
        ),
        "percent": (
            lambda x, y, x_query, y_query, depth: 100 * _error(x, y, x_query, y_query, depth),
            "That is the error in percent. A share lies between 0 and 1.",
        ),
        "0 counted as right": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth, at_zero=0.0),
            "Right, but at depth 0. There all answers are 0, and you count them as right. They should count half.",
        ),
        "0 counted as wrong": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth, at_zero=1.0),
            "Right, but at depth 0. There all answers are 0, and you count them as wrong. They should count half.",
        ),
        "a count": (
            lambda x, y, x_query, y_query, depth: len(y_query) * _error(x, y, x_query, y_query, depth),
            "That is the number of wrong answers. A share lies between 0 and 1.",
        ),
        "labels forgotten": (
            lambda x, y, x_query, y_query, depth: _error(x, torch.ones_like(y), x_query, y_query, depth),
            "Your context has no labels: the tokens must be folded before the layer sees them.",
        ),
        "one layer": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, 1),
            "That is the answer of a single layer, or of weights that never change. Where do depth and w enter?",
        ),
        "one layer too few": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth - 1),
            "One layer is missing. After how many updates does your loop end, counted from w = 0?",
        ),
        "one layer too many": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth + 1),
            "One layer too many. After how many updates does your loop end, counted from w = 0?",
        ),
        "attracted": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth, sign=1.0),
            "Your layer attends to the examples that it already gets right. Which ones should it look at?",
        ),
        "not normalised": (
            lambda x, y, x_query, y_query, depth: _error(x, y, x_query, y_query, depth, first=lambda m: torch.exp(-m)),
            "Your weights are positive and do not sum to one. What turns scores into attention weights?",
        ),
    },
    first_hint="Fold the prompt, start at w = 0, apply the layer depth times; only then look at the queries.",
    praise="No weight was trained, and no label of a query was seen: this is in-context learning, and its test.",
    also_right={
        "NumPy": lambda x, y, x_query, y_query, depth: _numpy_error(
            *(v.numpy() for v in (x, y, x_query, y_query)), depth
        ),
        "float32": lambda x, y, x_query, y_query, depth: query_error_solution(
            *(v.float() for v in (x, y, x_query, y_query)), depth
        ),
    },
)


def _numpy_error(x, y, x_query, y_query, depth):
    w = np.zeros(x.shape[1])
    for _ in range(depth):
        q = np.exp(-y * (x @ w))
        w += (q * y) @ x / q.sum()
    return float(np.mean([0.5 if a == 0 else a * b < 0 for a, b in zip(x_query @ w, y_query, strict=True)]))
