"""The coded exercises of chapter 14, "Linear attention fits curves"."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Exercise

# --- 1: one step of linear attention


def _step_cases() -> list[tuple[Tensor, float]]:
    """Token matrices [n+1, 2F+2]: context rows [phi_i, y_i, 0, 0], last the state row [0, 0, c, 1]."""
    g = torch.Generator().manual_seed(14)
    cases = []
    for n, F, step in ((5, 2, 0.7), (1, 3, 1.5), (4, 1, 0.3)):
        phi, y = torch.randn(n, F, generator=g), torch.randn(n, 1, generator=g)
        c, zero = torch.randn(1, F, generator=g), torch.zeros(n, F + 1)
        state = torch.cat([torch.zeros(1, F + 1), c, torch.ones(1, 1)], 1)
        cases.append((torch.cat([torch.cat([phi, y, zero], 1), state]).double(), step))
    return cases


def _step_stub(tokens, step):
    return tokens


def linear_step_solution(tokens, step):
    F = (tokens.shape[1] - 2) // 2
    phi, y, c = tokens[:-1, :F], tokens[:-1, F], tokens[-1, F + 1 : -1]
    residual = y - phi @ c
    after = tokens.clone()
    after[-1, F + 1 : -1] = c + step * (residual[:, None] * phi).mean(0)
    return after


def _stepped(change):
    """An answer that puts ``change(phi, y, c, step)`` in the place of c."""

    def answer(tokens, step):
        F = (tokens.shape[1] - 2) // 2
        after = tokens.clone()
        after[-1, F + 1 : -1] = change(tokens[:-1, :F], tokens[:-1, F], tokens[-1, F + 1 : -1], step)
        return after

    return answer


def _from_column(start: int, write: int):
    """An answer whose c begins so many columns after the features, and is written to such a column."""

    def answer(tokens, step):
        F = (tokens.shape[1] - 2) // 2
        phi, y, c = tokens[:-1, :F], tokens[:-1, F], tokens[-1, F + start : 2 * F + start]
        after = tokens.clone()
        after[-1, F + write : 2 * F + write] = c + step * (y - phi @ c) @ phi / len(y)
        return after

    return answer


def _without_one(tokens, step):
    after = linear_step_solution(tokens, step)
    after[-1, -1] = 0.0
    return after


_EARLY = "You cut c one column too early: between the features and c stands a column for the labels."

linear_step = Exercise(
    title="One step of linear attention",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_step_stub,
    solution=linear_step_solution,
    cases=_step_cases(),
    mistakes={
        "ascent": (
            _stepped(lambda phi, y, c, step: c - step * (y - phi @ c) @ phi / len(y)),
            "The size is right and the squared loss goes up. Which sign has the residual in the gradient?",
        ),
        "labels instead of residuals": (
            _stepped(lambda phi, y, c, step: c + step * y @ phi / len(y)),
            "Your scores are the labels. That is right only while c is 0: what has c already explained?",
        ),
        "softmax": (
            _stepped(lambda phi, y, c, step: c + step * torch.softmax(y - phi @ c, 0) @ phi),
            "Your weights are positive and sum to 1. A residual may have either sign: leave the softmax off.",
        ),
        "a sum instead of a mean": (
            _stepped(lambda phi, y, c, step: c + step * (y - phi @ c) @ phi),
            "Your step grows with the length of the context. The loss is a mean over the examples.",
        ),
        "one token too many": (
            _stepped(lambda phi, y, c, step: c + step * (y - phi @ c) @ phi / (len(y) + 1)),
            "Your mean is over n + 1 tokens. The state token reads the context, not itself.",
        ),
        "twice the step": (
            _stepped(lambda phi, y, c, step: c + 2 * step * (y - phi @ c) @ phi / len(y)),
            "Your step is twice as long as asked: the loss of this chapter has a 1/2 in front, which eats the 2.",
        ),
        "no residual connection": (
            _stepped(lambda phi, y, c, step: step * (y - phi @ c) @ phi / len(y)),
            "You return what the head reads. The layer adds it to the coefficients that were there.",
        ),
        "c one column early": (_from_column(0, 0), _EARLY),
        "c read one column early": (_from_column(0, 1), _EARLY),
        "c one column late": (
            _from_column(2, 2),
            "You cut c one column too late: the last column of the state token is its 1, and c ends before it.",
        ),
        "1 wiped": (
            _without_one,
            "The coefficients are right, and the 1 at the end of the state token is gone. The next layer needs it.",
        ),
    },
    first_hint="Cut phi, y and c out of the token matrix first: F columns, one column, then F columns of the last row.",
    praise="The score is the residual, the value the features, the mean over tokens the 1/n of the loss.",
    also_right={
        "with explicit loops": _stepped(
            lambda phi, y, c, step: torch.stack(
                [
                    c[k] + step * sum((y[i] - (phi[i] * c).sum()) * phi[i, k] for i in range(len(y))) / len(y)
                    for k in range(len(c))
                ]
            )
        ),
    },
)

# --- 2: one whitening layer


def _whiten_cases() -> list[tuple[Tensor]]:
    """Token matrices [n+1, F+1]: context rows [u_i, y_i], last the query's row [u, 0]."""
    g = torch.Generator().manual_seed(15)
    cases = []
    for n, F in ((6, 2), (2, 3), (5, 1)):
        tokens = torch.randn(n + 1, F + 1, generator=g)
        tokens[-1, -1] = 0.0
        cases.append((tokens.double(),))
    return cases


def _whiten_stub(tokens):
    return tokens


def whiten_solution(tokens):
    u, context = tokens[:, :-1], tokens[:-1, :-1]
    S = context.T @ context / len(context)
    after = tokens.clone()
    after[:, :-1] = 1.5 * u - 0.5 * u @ S
    return after


def _whitened(change):
    """An answer that puts ``change(u of all tokens, u of the context)`` in the place of u."""

    def answer(tokens):
        after = tokens.clone()
        after[:, :-1] = change(tokens[:, :-1], tokens[:-1, :-1])
        return after

    return answer


def _moment(u: Tensor) -> Tensor:
    return u.T @ u / len(u)


def _query_left(tokens):
    after = whiten_solution(tokens)
    after[-1] = tokens[-1]
    return after


def _labels_whitened(tokens):
    context = tokens[:-1]
    return 1.5 * tokens - 0.5 * tokens @ (context.T @ context) / len(context)


whiten = Exercise(
    title="One whitening layer",
    difficulty=2,
    importance=2,
    minutes=15,
    stub=_whiten_stub,
    solution=whiten_solution,
    cases=_whiten_cases(),
    mistakes={
        "the query is among the keys": (
            _whitened(lambda u, context: 1.5 * u - 0.5 * u @ _moment(u)),
            "Your S is a mean over all n + 1 tokens. The query has no label and must not be read.",
        ),
        "the query is not written": (
            _query_left,
            "The context is right, and the query stays where it was. It has to move along, in the same coordinates.",
        ),
        "labels take part": (
            _labels_whitened,
            "You whiten whole tokens, labels included. A label is no feature: keep its column out of the scores.",
        ),
        "the sum instead of S": (
            _whitened(lambda u, context: 1.5 * u - 0.5 * u @ (context.T @ context)),
            "Your S is not divided by the number of context tokens: it is a mean, as in all layers of this chapter.",
        ),
        "the wrong sign": (
            _whitened(lambda u, context: 1.5 * u + 0.5 * u @ _moment(context)),
            "With this sign large directions grow. What should happen to a direction in which S is 1?",
        ),
        "no carry": (
            _whitened(lambda u, context: u - 0.5 * u @ _moment(context)),
            "A token that is already white, S = I, comes back at half its length. What must the factor of u be?",
        ),
    },
    first_hint="S is the mean of u_i u_i^T over the context rows; then every row moves, the last one too.",
    praise="Each layer pulls the second moment of the tokens towards the identity, and the query moves with them.",
    also_right={
        "with scores": _whitened(lambda u, context: 1.5 * u - 0.5 * (u @ context.T) @ context / len(context)),
        "as one matrix": _whitened(
            lambda u, context: u @ (1.5 * torch.eye(u.shape[1], dtype=u.dtype) - 0.5 * _moment(context))
        ),
    },
)
