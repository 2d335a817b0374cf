"""The coded exercises of chapter 05, "Depth is optimisation"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import icl_lib as icl  # as the chapters do: a solution that is shown can be run

from .base import Exercise

# --- 1: the iterates


def _iterates_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(6)
    shapes = ((6, 2, 0.7, 4), (1, 3, 0.5, 2), (5, 3, 1.5, 7))
    return [(torch.randn(n, d, generator=g, dtype=torch.float64), step, T) for n, d, step, T in shapes]


def _iterates_stub(z, step, depth):
    return torch.zeros(depth + 1, z.shape[1])


def iterates_solution(z, step, depth):
    path = [torch.zeros_like(z[0])]
    for _ in range(depth):
        w = path[-1]
        path.append(w + step * torch.softmax(-z @ w, 0) @ z)
    return torch.stack(path)


def _path(z: Tensor, depth: int, move) -> Tensor:
    """The path from 0 that adds move(w, t) in layer t = 0, 1, ..."""
    path = [torch.zeros_like(z[0])]
    for t in range(depth):
        path.append(path[-1] + move(path[-1], t))
    return torch.stack(path)


def _output(w: Tensor, z: Tensor) -> Tensor:
    return torch.softmax(-z @ w, 0) @ z


iterates = Exercise(
    title="The whole path",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_iterates_stub,
    solution=iterates_solution,
    cases=_iterates_cases(),
    mistakes={
        "one row for all": (
            lambda z, step, depth: iterates_solution(z, step, depth)[-1].expand(depth + 1, -1),
            "All your rows are the last classifier: one tensor was changed in place and put into the list again and "
            "again. Make a new w in each layer.",
        ),
        "start missing": (
            lambda z, step, depth: iterates_solution(z, step, depth)[1:],
            "Your path begins at w_1. Before the first layer there is a classifier too.",
        ),
        "end missing": (
            lambda z, step, depth: iterates_solution(z, step, depth)[:-1],
            "Your path stops at depth T - 1. T layers join T + 1 classifiers.",
        ),
        "starts at w_1": (
            lambda z, step, depth: iterates_solution(z, step, depth + 1)[1:],
            "As many rows as wanted, all of them one layer too late. Row t is the classifier after t layers.",
        ),
        "the last only": (
            lambda z, step, depth: iterates_solution(z, step, depth)[-1],
            "That is the classifier at the end. Keep the ones on the way.",
        ),
        "uphill": (
            lambda z, step, depth: _path(z, depth, lambda w, t: -step * _output(w, z)),
            "Your potential rises. A layer adds the output of the head.",
        ),
        "attracted": (
            lambda z, step, depth: _path(z, depth, lambda w, t: step * _output(-w, z)),
            "Your attention goes to large margins. It should go to small ones: which sign have the scores?",
        ),
        "plain gradient descent": (
            lambda z, step, depth: _path(z, depth, lambda w, t: step * torch.exp(-z @ w) @ z / len(z)),
            "That is gradient descent on L: its steps die out with the loss. A layer descends log L.",
        ),
        "not averaged": (
            lambda z, step, depth: _path(z, depth, lambda w, t: step * torch.exp(-z @ w) @ z),
            "Your weights do not sum to 1: a step of plain descent, and without the mean.",
        ),
        "frozen attention": (
            lambda z, step, depth: _path(z, depth, lambda w, t: step * z.mean(0)),
            "Your path is a straight line: the weights were computed once, at w = 0. Every layer looks again.",
        ),
        "decaying steps": (
            lambda z, step, depth: _path(z, depth, lambda w, t: step / (t + 1) ** 0.5 * _output(w, z)),
            "Your steps decay with the depth. That is a later section of the chapter; here the step is constant.",
        ),
        "unit length": (
            lambda z, step, depth: _path(
                z, depth, lambda w, t: step * torch.nn.functional.normalize(_output(w, z), dim=0)
            ),
            "Your updates all have the same length: you divided by the length of the gradient, not by the loss.",
        ),
    },
    first_hint="Begin a list with the classifier of depth 0. Each layer appends one more, made from the last.",
    praise="T layers, T + 1 classifiers, and row t is what the model knows at depth t.",
    also_right={
        "NumPy": lambda z, step, depth: _numpy_iterates(z.numpy(), step, depth),
        "the library": lambda z, step, depth: icl.ngd(z[None], step, depth)[:, 0],
        "autograd, float32": lambda z, step, depth: _path(
            z.float(),
            depth,
            lambda w, t: -step * torch.func.grad(lambda v: torch.logsumexp(-z.float() @ v, 0))(w),
        ),
    },
)


def _numpy_iterates(z, step, depth):
    path = np.zeros((depth + 1, z.shape[1]))
    for t in range(depth):
        q = np.exp(-z @ path[t])
        path[t + 1] = path[t] + step * q @ z / q.sum()
    return path


# --- 2: stop when you know enough


def _certified_cases() -> list[tuple]:
    """Prompts [B, n, d] with R = 1; the last prompt of the second case has no separator."""
    g = torch.Generator().manual_seed(7)
    z = torch.randn(3, 8, 2, generator=g, dtype=torch.float64)
    z[..., 0] = z[..., 0].abs() + 0.4
    z = z / z.norm(dim=-1, keepdim=True).amax(1, keepdim=True)
    stuck = z.clone()
    stuck[2, 1] = -stuck[2, 0]
    return [(z, 0.7, 60), (stuck, 0.6, 40), (z[:, :3], 0.8, 50)]


def _certified_stub(z, share, most):
    return torch.zeros(len(z))


def certified_solution(z, share, most):
    path = icl.ngd(z, 1.0, most)
    q = icl.exponential_weights(path, z)
    upper = torch.einsum("tbn,bnd->tbd", q, z).norm(dim=-1)
    proven = icl.normalized_margin(path, z) >= share * upper
    first = proven.int().argmax(0)  # the first of the largest entries
    return torch.where(proven.any(0), first, most + 1)


def _first(z: Tensor, share: float, most: int, proven=None, shift: int = 0, never: int | None = None) -> Tensor:
    """The first depth, plus shift, at which proven(w, lower, upper) holds; ``never`` (default most + 1) if at none."""
    path = icl.ngd(z, 1.0, most)
    q, lower = icl.exponential_weights(path, z), icl.normalized_margin(path, z)
    upper = torch.einsum("tbn,bnd->tbd", q, z).norm(dim=-1)
    reached = lower >= share * upper if proven is None else proven(path, lower, upper)
    return torch.where(reached.any(0), reached.int().argmax(0) + shift, most + 1 if never is None else never)


certified = Exercise(
    title="Stop when you know enough",
    difficulty=2,
    importance=2,
    minutes=25,
    stub=_certified_stub,
    solution=certified_solution,
    cases=_certified_cases(),
    mistakes={
        "never means 0": (
            lambda z, share, most: _first(z, share, most, never=0),
            "Where the proof comes, your depth is right. Where it never comes you say 0: argmax of a row without any "
            "True.",
        ),
        "never means the last": (
            lambda z, share, most: _first(z, share, most, never=most),
            "Where the proof never comes you say `most`, as if it had come in the last layer.",
        ),
        "counted from layer 1": (
            lambda z, share, most: _first(z, share, most, shift=-1),
            "One too small throughout. The path has a row for depth 0: did you cut it off and count from there?",
        ),
        "one too many": (
            lambda z, share, most: _first(z, share, most, shift=1),
            "One too large throughout. Row t of the path is the state after t layers.",
        ),
        "margin of w itself": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: lo * w.norm(dim=-1) >= share * up),
            "Much too early: your margin grows with the length of w. The lower end of the bracket does not.",
        ),
        "never proven": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: share * lo >= up),
            "You never see a proof. The lower end never passes the upper one: which of the two does the share shrink? "
            "Or is yours the upper end of the first layer, with even weights?",
        ),
        "any positive margin": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: lo > 0),
            "You stop when all points are right. That proves a positive margin, and no share of the largest one.",
        ),
        "the last upper end": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: lo >= share * up[-1]),
            "You compare every layer with the upper end of the last one. At that depth nobody knows it yet.",
        ),
        "stale output": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: lo >= share * up.roll(1, 0)),
            "You pair the margin of one layer with the output of the layer before. It is a proof, and it comes too "
            "late for some prompts.",
        ),
        "squared length": (
            lambda z, share, most: _first(z, share, most, lambda w, lo, up: lo >= share * up.square()),
            "You compare with the square of the output's length. The bracket holds for the length itself.",
        ),
    },
    first_hint="Upper end: the length of what the head reads. The proof is there when even a share of it is reached.",
    praise="Your model knows when it is done, without any solver, and does not claim it where no line separates.",
    also_right={
        "a loop, NumPy": lambda z, share, most: [_numpy_certified(one.numpy(), share, most) for one in z],
        "float32": lambda z, share, most: certified_solution(z.float(), share, most),
    },
)


def _numpy_certified(z, share, most):
    w = np.zeros(z.shape[1])
    for depth in range(most + 1):
        m = z @ w
        q = np.exp(m.min() - m)
        output = q @ z / q.sum()
        if depth and m.min() / np.linalg.norm(w) >= share * np.linalg.norm(output):
            return depth
        w = w + output
    return most + 1
