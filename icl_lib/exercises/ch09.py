"""The coded exercise of chapter 09, "What breaks it"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise


def _block_cases() -> list[tuple]:
    """Scores A [d, d] near -I, not symmetric; states w [B, d] with B well above d; tokens z [B, n, d]."""
    g = torch.Generator().manual_seed(9)
    cases = []
    for B, n, d in ((30, 5, 2), (24, 4, 3), (16, 6, 2)):
        A, w, z = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((d, d), (B, d), (B, n, d)))
        z[..., 0] = z[..., 0].abs()  # so that means of tokens do not vanish, as with labels of one w*
        cases.append((0.4 * A - torch.eye(d, dtype=torch.float64), 0.6 * w, z))
    return cases


def _block_stub(A, w, z):
    return torch.eye(len(A)), 1.0


def block_solution(A, w, z):
    p = torch.softmax(torch.einsum("bni,ij,bj->bn", z, A, w), -1)
    read = torch.einsum("bn,bni->bi", p, z)
    loss = torch.exp(-torch.einsum("bni,bi->bn", z, w))
    goal = (loss[..., None] * z).mean(1)  # plain GD adds this
    B = torch.linalg.lstsq(read, goal).solution.T
    error = read @ B.T - goal
    return B, error.square().sum() / goal.square().sum()


def _heard(A: Tensor, w: Tensor, z: Tensor, weigh=None) -> Tensor:
    scores = torch.einsum("bni,ij,bj->bn", z, A, w)
    return torch.einsum("bn,bni->bi", torch.softmax(scores, -1) if weigh is None else weigh(scores), z)


def _goal(w: Tensor, z: Tensor, weigh=None) -> Tensor:
    m = torch.einsum("bni,bi->bn", z, w)
    return torch.einsum("bn,bni->bi", torch.exp(-m) / m.shape[1] if weigh is None else weigh(m), z)


def _share(error: Tensor, of: Tensor) -> Tensor:
    return error.square().sum() / of.square().sum()


def _least(read: Tensor, goal: Tensor, share=_share) -> tuple[Tensor, Tensor]:
    """The block that fits best, and the share missed or whatever share(error, goal) makes of it."""
    B = torch.linalg.lstsq(read, goal).solution.T
    return B, share(read @ B.T - goal, goal)


def _with(B: Tensor, read: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    return B, _share(read @ B.T - goal, goal)


def _number(A: Tensor, w: Tensor, z: Tensor, factor) -> tuple[Tensor, Tensor]:
    """The multiple of I with factor(read, goal), and what it misses."""
    read, goal = _heard(A, w, z), _goal(w, z)
    return _with(factor(read, goal) * torch.eye(len(A)).to(A), read, goal)


value_block = Exercise(
    title="The best value block",
    difficulty=2,
    importance=2,
    minutes=20,
    stub=_block_stub,
    solution=block_solution,
    cases=_block_cases(),
    tolerance=1e-3,  # float32 answers may invert a d x d matrix
    parts=("B", "the share"),
    mistakes={
        "B transposed": (
            lambda A, w, z: (
                _least(_heard(A, w, z), _goal(w, z))[0].T,
                _least(_heard(A, w, z), _goal(w, z))[1],
            ),
            "The share is right and B is transposed: B acts on columns on paper, and what is read are rows here.",
        ),
        "B transposed, share of that": (
            lambda A, w, z: _with(_least(_heard(A, w, z), _goal(w, z))[0].T, _heard(A, w, z), _goal(w, z)),
            "B is transposed, and so misses more than it has to. Rows or columns?",
        ),
        "one number": (
            lambda A, w, z: _number(A, w, z, lambda r, g: (r * g).sum() / r.square().sum()),
            "That is the best multiple of I, as in the chapter. Here all entries of B are free.",
        ),
        "one number for each coordinate": (
            lambda A, w, z: _with(
                ((_heard(A, w, z) * _goal(w, z)).sum(0) / _heard(A, w, z).square().sum(0)).diag(),
                _heard(A, w, z),
                _goal(w, z),
            ),
            "Your B is diagonal: you fitted each coordinate to itself. It may use all coordinates of what is read.",
        ),
        "the other way round": (
            lambda A, w, z: _with(
                torch.linalg.lstsq(_goal(w, z), _heard(A, w, z)).solution.T.inverse(), *_pair(A, w, z)
            ),
            "You fitted what is read to the goal, and inverted. Which of the two carries the errors to be made small?",
        ),
        "the other way round, not inverted": (
            lambda A, w, z: _least(_goal(w, z), _heard(A, w, z)),
            "Your B maps the teacher's step to what is read. It should map what is read to the teacher's step.",
        ),
        "products, nothing divided": (
            lambda A, w, z: _with(_goal(w, z).T @ _heard(A, w, z) / len(w), *_pair(A, w, z)),
            "Your B is the mean of products of goal and reading. Least squares divides by the readings' own products.",
        ),
        "a constant added": (
            lambda A, w, z: _least(_heard(A, w, z) - _heard(A, w, z).mean(0), _goal(w, z) - _goal(w, z).mean(0)),
            "You took means off, or fitted a constant beside B. A value block has no constant term.",
        ),
        "the state in the goal": (
            lambda A, w, z: _least(_heard(A, w, z), w + _goal(w, z)),
            "Your goal contains w. The residual connection brings it along; B has to supply the update.",
        ),
        "the state on both sides": (
            lambda A, w, z: _least(w + _heard(A, w, z), w + _goal(w, z), lambda e, g: _share(e, g - w)),
            "Your B multiplies w as well. The residual connection brings w along; B acts on what is read.",
        ),
        "uphill": (
            lambda A, w, z: _least(_heard(A, w, z), -_goal(w, z)),
            "The share is right and B has the wrong sign: descent subtracts the gradient, and the layer adds.",
        ),
        "share of the variance": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z), lambda e, g: _share(e, g - g.mean(0))),
            "B is right. You divided by the variance of the teacher's step; wanted is its mean square.",
        ),
        "share of the new state": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z), lambda e, g: _share(e, w + g)),
            "B is right. Your share is one of the states after the step; wanted is a share of the step.",
        ),
        "the normalised teacher": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z, lambda m: torch.softmax(-m, -1))),
            "Your teacher is NGD. This one does not divide by its loss.",
        ),
        "the logistic teacher": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z, lambda m: torch.sigmoid(-m) / m.shape[1])),
            "Your teacher is logistic GD. The plain one has exponential weights.",
        ),
        "teacher's sum": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z, lambda m: torch.exp(-m))),
            "The share is right, and B is n times too large: the teacher's step is a mean over the tokens.",
        ),
        "scores not normalised": (
            lambda A, w, z: _least(_heard(A, w, z, lambda s: torch.exp(s) / s.shape[1]), _goal(w, z)),
            "Your head's weights do not sum to 1, so it knows its denominator. A softmax head does not.",
        ),
        "softmax over prompts": (
            lambda A, w, z: _least(_heard(A, w, z, lambda s: torch.softmax(s, 0)), _goal(w, z)),
            "Your softmax runs over the prompts. Which axis holds the tokens of one prompt?",
        ),
        "A left out": (
            lambda A, w, z: _least(_heard(-torch.eye(len(A)).to(A), w, z), _goal(w, z)),
            "Your scores are minus the margins, as if A were -I.",
        ),
        "A transposed": (
            lambda A, w, z: _least(_heard(A.T, w, z), _goal(w, z)),
            "A is transposed in your scores: token and state meet as z_i A w, in this order.",
        ),
        "attracted": (
            lambda A, w, z: _least(_heard(-A, w, z), _goal(w, z)),
            "A minus too many: A is near -I already, so its scores are about minus the margins.",
        ),
        "what is kept": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z), lambda e, g: 1 - _share(e, g)),
            "B is right. You return the share that it gets; wanted is the share that it misses.",
        ),
        "root of the share": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z), lambda e, g: _share(e, g).sqrt()),
            "B is right. The share is one of mean squares, without a root.",
        ),
        "mean of shares": (
            lambda A, w, z: _least(
                _heard(A, w, z), _goal(w, z), lambda e, g: (e.square().sum(-1) / g.square().sum(-1)).mean()
            ),
            "B is right. You averaged a share for each prompt, so that prompts with tiny steps count as much as "
            "others. Divide mean squares.",
        ),
        "not a share": (
            lambda A, w, z: _least(_heard(A, w, z), _goal(w, z), lambda e, g: e.square().sum(-1).mean()),
            "B is right. That is the loss itself; divide it by the teacher's mean square step.",
        ),
    },
    first_hint="With A fixed, what is read is fixed, and B enters linearly: an ordinary least-squares problem.",
    praise="For given scores the loss is convex in B: all that is hard about it lies in A.",
    also_right={
        "normal equations, NumPy": lambda A, w, z: _numpy_block(A.numpy(), w.numpy(), z.numpy()),
        "the teacher by autograd": lambda A, w, z: _least(
            _heard(A, w, z),
            -torch.func.grad(lambda v: torch.exp(-torch.einsum("bni,bi->bn", z, v)).mean(1).sum())(w),
        ),
        "float32": lambda A, w, z: block_solution(A.float(), w.float(), z.float()),
    },
)


def _pair(A: Tensor, w: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    return _heard(A, w, z), _goal(w, z)


def _numpy_block(A, w, z):
    cross = square = 0.0
    pairs = []
    for state, tokens in zip(w, z, strict=True):
        p = np.exp(tokens @ A @ state)
        read, goal = p @ tokens / p.sum(), np.exp(-tokens @ state) @ tokens / len(tokens)
        cross, square = cross + np.outer(goal, read), square + np.outer(read, read)
        pairs.append((read, goal))
    B = cross @ np.linalg.inv(square)
    missed = sum(np.sum((B @ read - goal) ** 2) for read, goal in pairs)
    return B, missed / sum(np.sum(goal**2) for _, goal in pairs)
