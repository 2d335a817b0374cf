"""The coded exercise of chapter 08, "The loop"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..attention import SoftmaxAttention
from ..looped import Looped
from ..tasks import Prompts
from .base import Exercise


def _learned_cases() -> list[tuple]:
    """Blocks A near -I and B near a multiple of I, neither symmetric, and tokens z [n, d]."""
    g = torch.Generator().manual_seed(8)

    def near(size: float, d: int) -> Tensor:
        return size * torch.eye(d, dtype=torch.float64) + 0.3 * torch.randn(d, d, generator=g, dtype=torch.float64)

    return [
        (near(-1.0, d), near(step, d), torch.randn(n, d, generator=g, dtype=torch.float64), T)
        for n, d, step, T in ((6, 2, 0.7, 4), (5, 3, 1.0, 6), (3, 2, 0.4, 3))
    ]


def _learned_stub(A, B, z, depth):
    return torch.zeros(depth + 1, z.shape[1]), torch.zeros(depth + 1, z.shape[1])


def learned_path_solution(A, B, z, depth):
    C, u = -A @ B, torch.zeros_like(z[0])
    path = [u]
    for _ in range(depth):
        u = u + C @ (torch.softmax(-z @ u, 0) @ z)  # C for a step
        path.append(u)
    path = torch.stack(path)
    return path, torch.linalg.solve(-A, path.T).T  # rows in code


def _looped(z: Tensor, depth: int, score, value) -> Tensor:
    """The states of a layer that gives the scores score(w) and adds value(what is read)."""
    path = [torch.zeros_like(z[0])]
    for _ in range(depth):
        path.append(path[-1] + value(torch.softmax(score(path[-1]), 0) @ z))
    return torch.stack(path)


def _in_u(A: Tensor, C: Tensor, z: Tensor, depth: int, back=None) -> tuple[Tensor, Tensor]:
    """The path of u under descent with the matrix C, and what back(u) makes of it (default: the w with u = -A w)."""
    u = _looped(z, depth, lambda u: -z @ u, lambda g: C @ g)
    return u, torch.linalg.solve(-A, u.T).T if back is None else back(u)


def _in_w(A: Tensor, z: Tensor, depth: int, score, value) -> tuple[Tensor, Tensor]:
    """The same from the path of w."""
    w = _looped(z, depth, score, value)
    return w @ -A.T, w


learned_path = Exercise(
    title="The layer in its own coordinates",
    difficulty=2,
    importance=3,
    minutes=15,
    stub=_learned_stub,
    solution=learned_path_solution,
    cases=_learned_cases(),
    tolerance=1e-3,  # a float32 answer solves with -A, and loses digits by its condition
    parts=("u", "w"),
    mistakes={
        "u twice": (
            lambda A, B, z, depth: _in_u(A, -A @ B, z, depth, lambda u: u),
            "The u are right, and your w are the same. The second path is that of the layer's own states: how are "
            "they got back from u?",
        ),
        "swapped": (
            lambda A, B, z, depth: learned_path_solution(A, B, z, depth)[::-1],
            "Both paths are right, in the other order: u first, then w.",
        ),
        "read back by a product": (
            lambda A, B, z, depth: _in_u(A, -A @ B, z, depth, lambda u: u @ -A.T),
            "The u are right. To come from w to u one multiplies by -A. You did so a second time: which way is back?",
        ),
        "the factors of C swapped": (
            lambda A, B, z, depth: _in_u(A, -B @ A, z, depth),
            "The two factors of C stand in the wrong order: what is added to w is B g, and u is made of it.",
        ),
        "C transposed": (
            lambda A, B, z, depth: _in_u(A, (-A @ B).T, z, depth),
            "C is transposed. What the head reads is a row here, and C acts on columns on paper.",
        ),
        "sign of C": (
            lambda A, B, z, depth: _in_u(A, A @ B, z, depth),
            "Your C has the wrong sign: with A near -I and B near a step, it should be near that step.",
        ),
        "a step for C": (
            lambda A, B, z, depth: _in_u(A, B, z, depth),
            "Your u moves by B g. It is w that does; by what does u = -A w move then?",
        ),
        "sign of w": (
            lambda A, B, z, depth: _in_u(A, -A @ B, z, depth, lambda u: torch.linalg.solve(A, u.T).T),
            "The u are right, and your states are minus the right ones. Is u equal to A w or to -A w?",
        ),
        "sign of u": (
            lambda A, B, z, depth: (-_in_u(A, -A @ B, z, depth)[0], _in_u(A, -A @ B, z, depth)[1]),
            "The states are right, and your u are minus the right ones. Is u equal to A w or to -A w?",
        ),
        "transposed on the way back": (
            lambda A, B, z, depth: _in_u(A, -A @ B, z, depth, lambda u: torch.linalg.solve(-A.T, u.T).T),
            "The u are right, and A is transposed on the way back. The classifiers are rows here, columns on paper.",
        ),
        "transposed on the way there": (
            lambda A, B, z, depth: (_in_u(A, -A @ B, z, depth)[1] @ -A, _in_u(A, -A @ B, z, depth)[1]),
            "The states are right, and A is transposed in your u. The classifiers are rows here, columns on paper.",
        ),
        "A transposed": (
            lambda A, B, z, depth: _in_w(A, z, depth, lambda w: z @ A.T @ w, lambda g: B @ g),
            "A is transposed in your scores: key z_i and state w meet as z_i A w, in this order.",
        ),
        "B transposed": (
            lambda A, B, z, depth: _in_w(A, z, depth, lambda w: z @ A @ w, lambda g: B.T @ g),
            "B is transposed: what is read is a row here, and B acts on columns on paper.",
        ),
        "A left out": (
            lambda A, B, z, depth: _in_w(A, z, depth, lambda w: -z @ w, lambda g: B @ g),
            "Your scores are minus the margins of w, as if A were -I. This layer has learned another A.",
        ),
        "B left out": (
            lambda A, B, z, depth: _in_w(A, z, depth, lambda w: z @ A @ w, lambda g: g),
            "You add what the head reads as it is. This layer multiplies it by B.",
        ),
        "attracted": (
            lambda A, B, z, depth: _in_w(A, z, depth, lambda w: -z @ A @ w, lambda g: B @ g),
            "A minus too many: A is near -I already, so its scores are about minus the margins.",
        ),
        "one row too few": (
            lambda A, B, z, depth: tuple(path[1:] for path in learned_path_solution(A, B, z, depth)),
            "The start is missing. Row t is the state after t loops, and row 0 is 0.",
        ),
    },
    first_hint="Run the descent in u, with the matrix C. Then go back from each u to the state that belongs to it.",
    praise="Whatever A and B training has found, this is exact descent, read through a fixed matrix.",
    also_right={
        "from the other side": lambda A, B, z, depth: _in_w(A, z, depth, lambda w: z @ A @ w, lambda g: B @ g),
        "the layer, looped": lambda A, B, z, depth: _by_attention(A, B, z, depth),
        "NumPy": lambda A, B, z, depth: _numpy_path(A.numpy(), B.numpy(), z.numpy(), depth),
        "float32": lambda A, B, z, depth: learned_path_solution(A.float(), B.float(), z.float(), depth),
    },
)


def _by_attention(A, B, z, depth):
    d = len(A)
    score, value = torch.zeros(2, 2 * d, 2 * d, dtype=z.dtype)
    score[:d, d:], value[d:, :d] = A, B
    prompt = Prompts(z[None], torch.ones_like(z[None, :, 0]))
    w = Looped(SoftmaxAttention(score, value), depth).iterates(prompt)[:, 0]
    return w @ -A.T, w


def _numpy_path(A, B, z, depth):
    path = [np.zeros(len(A))]
    for _ in range(depth):
        e = np.exp(-z @ path[-1])
        path.append(path[-1] - A @ (B @ (e @ z)) / e.sum())
    return np.stack(path), np.stack(path) @ np.linalg.inv(-A).T
