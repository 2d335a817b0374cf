"""The coded exercises of chapter 07, "Training one layer"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..attention import SoftmaxAttention
from ..one_step import TEACHERS, distance_to_construction, one_step_loss
from ..tasks import Prompts
from .base import Exercise

# --- 1: the loss


def _loss_cases() -> list[tuple]:
    """Blocks A and B [d, d], neither symmetric; states w [B, d], tokens z [B, n, d], a step."""
    g = torch.Generator().manual_seed(7)

    def near(size: float, d: int) -> Tensor:
        return size * torch.eye(d, dtype=torch.float64) + 0.4 * torch.randn(d, d, generator=g, dtype=torch.float64)

    return [
        (near(-1.0, d), near(0.8, d), *(torch.randn(*s, generator=g, dtype=torch.float64) for s in ((B, d), (B, n, d))))
        + (step,)
        for B, n, d, step in ((6, 5, 2, 0.7), (4, 3, 3, 1.5), (3, 6, 2, 0.4))
    ]


def _loss_stub(A, B, w, z, step):
    return torch.zeros(())


def loss_solution(A, B, w, z, step):
    p = torch.softmax(torch.einsum("bni,ij,bj->bn", z, A, w), -1)
    student = w + torch.einsum("bn,bni,ji->bj", p, z, B)
    q = torch.softmax(-torch.einsum("bni,bi->bn", z, w), -1)
    teacher = w + step * torch.einsum("bn,bni->bi", q, z)
    return (student - teacher).square().sum(-1).mean()


def _read(scores: Tensor, z: Tensor, over: int = -1) -> Tensor:
    return torch.einsum("bn,bni->bi", torch.softmax(scores, over), z)


def _margins(w: Tensor, z: Tensor) -> Tensor:
    return torch.einsum("bni,bi->bn", z, w)


def _error(A, B, w, z, step, scores=None, made=None, taught=None, over: int = -1) -> Tensor:
    """Student minus teacher [B, d], with other scores, another update ``made`` or another update ``taught``."""
    scores = torch.einsum("bni,ij,bj->bn", z, A, w) if scores is None else scores
    made = _read(scores, z, over) @ B.T if made is None else made
    return made - (step * _read(-_margins(w, z), z) if taught is None else taught)


def _mean_square(error: Tensor) -> Tensor:
    return error.square().sum(-1).mean()


loss = Exercise(
    title="The loss of one step",
    difficulty=1,
    importance=3,
    minutes=15,
    stub=_loss_stub,
    solution=loss_solution,
    cases=_loss_cases(),
    mistakes={
        "mean over coordinates": (
            lambda A, B, w, z, step: _error(A, B, w, z, step).square().mean(),
            "d times too small: you averaged over the coordinates as well. Over what is the mean of this loss?",
        ),
        "sum over prompts": (
            lambda A, B, w, z, step: _error(A, B, w, z, step).square().sum(),
            "Yours grows with the number of prompts. Coordinates are summed; what happens to prompts?",
        ),
        "length, not its square": (
            lambda A, B, w, z, step: _error(A, B, w, z, step).norm(dim=-1).mean(),
            "That is the mean length of the error. The loss is a mean of squares.",
        ),
        "the mean error's square": (
            lambda A, B, w, z, step: _error(A, B, w, z, step).mean(0).square().sum(),
            "You averaged the errors of the prompts before you squared, so that they cancel each other.",
        ),
        "half of it": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step)) / 2,
            "Half of the right value. There is no factor 1/2 in the loss of this chapter.",
        ),
        "A transposed": (
            lambda A, B, w, z, step: _mean_square(
                _error(A, B, w, z, step, scores=torch.einsum("bni,ji,bj->bn", z, A, w))
            ),
            "A is transposed in your scores: token z_i and state w meet as z_i A w, in this order.",
        ),
        "B transposed": (
            lambda A, B, w, z, step: _mean_square(_error(A, B.T, w, z, step)),
            "B is transposed. On paper B acts on a column; what is read is a row here.",
        ),
        "both transposed": (
            lambda A, B, w, z, step: _mean_square(_error(A.T, B.T, w, z, step)),
            "Both blocks are transposed. Vectors are columns on paper and rows here.",
        ),
        "student's scores negated": (
            lambda A, B, w, z, step: _mean_square(_error(-A, B, w, z, step)),
            "A minus too many in the student's scores: its A is free, and has to find the minus by itself.",
        ),
        "teacher attracted": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step, taught=step * _read(_margins(w, z), z))),
            "Your teacher's weights grow with the margin. Which points does the exponential loss look at?",
        ),
        "teacher uphill": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step, taught=-step * _read(-_margins(w, z), z))),
            "Your teacher climbs: the gradient of the potential has a minus of its own.",
        ),
        "the plain teacher": (
            lambda A, B, w, z, step: _mean_square(
                _error(A, B, w, z, step, taught=step * (torch.exp(-_margins(w, z))[..., None] * z).mean(1))
            ),
            "Your teacher descends L and not log L. That one is a head's teacher only in an exercise further down.",
        ),
        "step size in the student": (
            lambda A, B, w, z, step: _mean_square(_error(A, step * B, w, z, step)),
            "Your student multiplies by the step size. Nobody tells it: B has to learn it.",
        ),
        "w on one side only": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step) - w),
            "Your teacher's answer contains w and your student's does not. Both are states after a step.",
        ),
        "w on the other side only": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step) + w),
            "Your student's answer contains w and your teacher's does not. Both are states after a step.",
        ),
        "gradient of a mean over prompts": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step / len(w))),
            "Your teacher's steps are too short by the number of prompts: did you differentiate a mean over the batch? "
            "Each prompt has a potential of its own.",
        ),
        "teacher's mean of a mean": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step / z.shape[1])),
            "Your teacher divides by the number of tokens after a softmax. Its weights sum to 1 already.",
        ),
        "softmax over prompts": (
            lambda A, B, w, z, step: _mean_square(_error(A, B, w, z, step, over=0)),
            "Your student's weights sum to 1 over the prompts. Which axis holds the tokens of one prompt?",
        ),
    },
    first_hint="Two states after one step, [B, d] each: what the head makes of w, and what the teacher makes of it.",
    praise="All that training ever sees is this number, on fresh prompts and random states.",
    also_right={
        "the library": lambda A, B, w, z, step: one_step_loss(
            _as_layer(A, B), Prompts(z, torch.ones_like(z[..., 0])), w, TEACHERS["ngd"](w, z, step)
        ),
        "prompt by prompt, NumPy": lambda A, B, w, z, step: _numpy_loss(*(v.numpy() for v in (A, B, w, z)), step),
        "float32": lambda A, B, w, z, step: loss_solution(A.float(), B.float(), w.float(), z.float(), step),
    },
)


def _as_layer(A: Tensor, B: Tensor) -> SoftmaxAttention:
    d = len(A)
    score, value = torch.zeros(2, 2 * d, 2 * d, dtype=A.dtype)
    score[:d, d:], value[d:, :d] = A, B
    return SoftmaxAttention(score, value)


def _numpy_loss(A, B, w, z, step):
    losses = []
    for state, tokens in zip(w, z, strict=True):
        e, f = np.exp(tokens @ A @ state), np.exp(-tokens @ state)
        made, taught = B @ (e @ tokens) / e.sum(), step * (f @ tokens) / f.sum()
        losses.append(np.sum((made - taught) ** 2))
    return np.mean(losses)


# --- 2: how far from the construction


def _far_cases() -> list[tuple]:
    """W_QK and W_V [2d, 2d], near the construction of a step, with untaught entries of any size."""
    g = torch.Generator().manual_seed(17)
    cases = []
    for d, step, sign in ((2, 0.7, -1.0), (3, 1.6, 1.0), (1, 0.4, -1.0)):
        score, value = torch.randn(2, 2 * d, 2 * d, generator=g, dtype=torch.float64)
        near = torch.randn(3, d, d, generator=g, dtype=torch.float64)
        near[:, 0, -1] = sign * (near.abs().amax((1, 2)) + torch.arange(1, 4))  # the largest: off the diagonal, if any
        near, eye = 0.1 * near, torch.eye(d, dtype=torch.float64)
        score[:d, d:], value[d:, :d], value[:d, :d] = near[0] - eye, near[1] + step * eye, near[2]
        cases.append((score, value, step))
    return cases


def _far_stub(score, value, step):
    return 0.0, 0.0, 0.0


def far_solution(score, value, step):
    d = len(score) // 2
    eye = torch.eye(d).to(score)
    A, B, leak = score[:d, d:], value[d:, :d], value[:d, :d]
    gaps = A + eye, B - step * eye, leak
    return [gap.abs().max() for gap in gaps]


def _gaps(score: Tensor, value: Tensor, step: float, size=None, scores=None, values=None, leaks=None) -> list[Tensor]:
    """The three sizes, with another size(gap) or with other blocks."""
    d = len(score) // 2
    eye = torch.eye(d).to(score)
    A = score[:d, d:] if scores is None else scores
    B = value[d:, :d] if values is None else values
    size = size or (lambda gap: gap.abs().max())
    return [size(A + eye), size(B - step * eye), size(value[:d, :d] if leaks is None else leaks)]


def _half(matrix: Tensor, row: int, col: int) -> Tensor:
    d = len(matrix) // 2
    return matrix[row * d : (row + 1) * d, col * d : (col + 1) * d]


far = Exercise(
    title="How far from the construction?",
    difficulty=1,
    importance=2,
    minutes=10,
    stub=_far_stub,
    solution=far_solution,
    cases=_far_cases(),
    mistakes={
        "untaught entries counted": (
            lambda score, value, step: [
                _whole(score, value, step)[0].abs().max(),
                _whole(score, value, step)[1].abs().max(),
                _half(value, 0, 0).abs().max(),
            ],
            "You compared whole matrices with the construction. Most of their entries are never taught, and stay as "
            "they were born.",
        ),
        "score block from the other corner": (
            lambda score, value, step: _gaps(score, value, step, scores=_half(score, 1, 0)),
            "Your score block is the one of state keys and context queries. Rows are keys, columns are queries.",
        ),
        "value block from the other corner": (
            lambda score, value, step: _gaps(score, value, step, values=_half(value, 0, 1)),
            "Your value block writes into the context. Rows are written, columns are read.",
        ),
        "both from the other corner": (
            lambda score, value, step: _gaps(
                score, value, step, scores=_half(score, 1, 0), values=_half(value, 0, 1), leaks=_half(value, 0, 0)
            ),
            "Both of your d x d blocks come from the corner across. Say of each which token its rows and columns "
            "belong to.",
        ),
        "leak from the other corner": (
            lambda score, value, step: _gaps(score, value, step, leaks=_half(value, 1, 1)),
            "Your third block reads the state token, and nobody attends to that one. Which other block reads the "
            "context?",
        ),
        "leak from the state": (
            lambda score, value, step: _gaps(score, value, step, leaks=_half(value, 0, 1)),
            "Your third block reads the state half of the context tokens, which is empty. Rows are written, columns "
            "are read.",
        ),
        "leak should be a step": (
            lambda score, value, step: _gaps(
                score, value, step, leaks=_half(value, 0, 0) - step * torch.eye(len(value) // 2).to(value)
            ),
            "You compare the third block with a multiple of I. What should it write, if the context half of the state "
            "token has to stay empty?",
        ),
        "sign of the scores": (
            lambda score, value, step: _gaps(score, value, step, scores=_half(score, 0, 1) - 2 * _eye(score)),
            "You expect +I in the score block. Near it the head would look at the points it has right.",
        ),
        "sign of the values": (
            lambda score, value, step: _gaps(score, value, step, values=_half(value, 1, 0) + 2 * step * _eye(value)),
            "You expect a negative value block. The layer adds what it reads to w.",
        ),
        "step in the scores": (
            lambda score, value, step: _gaps(
                score, value, step, scores=_half(score, 0, 1) + (step - 1) * _eye(score), values=_half(value, 1, 0)
            ),
            "You expect the step size in the scores too. It stands in one of the two blocks only.",
        ),
        "step in the scores only": (
            lambda score, value, step: _gaps(
                score,
                value,
                step,
                scores=_half(score, 0, 1) + (step - 1) * _eye(score),
                values=_half(value, 1, 0) + (step - 1) * _eye(value),
            ),
            "You expect the step size in the scores and not in the values. Which block does w's update pass last?",
        ),
        "a number, not the identity": (
            lambda score, value, step: _gaps(
                score,
                value,
                step,
                scores=_half(score, 0, 1) + 1 - _eye(score),
                values=_half(value, 1, 0) - step * (1 - _eye(value)),
            ),
            "You took a number off every entry. Off the diagonal the construction is 0.",
        ),
        "signs kept": (
            lambda score, value, step: _gaps(score, value, step, size=lambda gap: gap.max()),
            "A large negative difference is a difference too.",
        ),
        "root of the sum of squares": (
            lambda score, value, step: _gaps(score, value, step, size=lambda gap: gap.norm()),
            "You took the root of the sum of squares. The distance is the largest entry, whatever d is.",
        ),
        "spectral norm": (
            lambda score, value, step: _gaps(score, value, step, size=lambda gap: torch.linalg.matrix_norm(gap, 2)),
            "That is the largest singular value. The distance of this chapter is the largest entry.",
        ),
        "mean of the entries": (
            lambda score, value, step: _gaps(score, value, step, size=lambda gap: gap.abs().mean()),
            "A mean hides one bad entry among d squared good ones. The distance is the largest of them.",
        ),
        "diagonal only": (
            lambda score, value, step: _gaps(score, value, step, size=lambda gap: gap.diagonal().abs().max()),
            "You looked along the diagonal only. Off it the construction is 0, and a trained block need not be.",
        ),
        "one number": (
            lambda score, value, step: max(_gaps(score, value, step)),
            "That is the largest of the three. Return the three of them: they tell what has been learnt so far.",
        ),
    },
    first_hint="Cut both matrices into four d x d blocks. Three of the eight are taught; what should each be?",
    praise="Three numbers, and five blocks that nobody can tell apart from their noise.",
    also_right={
        "the library": lambda score, value, step: tuple(
            distance_to_construction(SoftmaxAttention(score, value), step).values()
        ),
        "entry by entry, NumPy": lambda score, value, step: _numpy_far(score.numpy(), value.numpy(), step),
        "float32": lambda score, value, step: far_solution(score.float(), value.float(), step),
    },
)


def _eye(matrix: Tensor) -> Tensor:
    return torch.eye(len(matrix) // 2).to(matrix)


def _whole(score: Tensor, value: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Both matrices minus those of the construction, all entries."""
    d, eye = len(score) // 2, _eye(score)
    score, value = score.clone(), value.clone()
    score[:d, d:] += eye
    value[d:, :d] -= step * eye
    return score, value


def _numpy_far(score, value, step):
    d, far = len(score) // 2, [0.0, 0.0, 0.0]
    for i in range(d):
        for j in range(d):
            same = float(i == j)
            seen = score[i, d + j] + same, value[d + i, j] - step * same, value[i, j]
            far = [max(old, abs(new)) for old, new in zip(far, seen, strict=True)]
    return np.array(far)
