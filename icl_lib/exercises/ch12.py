"""The coded exercise of chapter 12, "Momentum squares the depth"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..algorithms import momentum_ngd
from .base import Exercise


def _momentum_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(12)
    shapes = ((6, 2, 0.7, 5), (4, 3, 0.3, 4), (5, 3, 1.0, 8))
    return [(torch.randn(n, d, generator=g, dtype=torch.float64), step, T) for n, d, step, T in shapes]


def _momentum_stub(z, step, depth):
    return torch.zeros(depth + 1, z.shape[1])


def momentum_solution(z, step, depth):
    w, v = torch.zeros_like(z[0]), torch.zeros_like(z[0])
    path = [w]
    for t in range(depth):
        g = torch.softmax(-z @ w, 0) @ z
        v = t / (t + 1) * (v + g)
        w = w + step * (v + g)
        path.append(w)
    return torch.stack(path)


def _carried(z: Tensor, step: float, depth: int, carry=None, keep=None, move=None, look=None, sign=-1.0) -> Tensor:
    """The path of a layer with another carry(t), rule keep(v, g, beta), update move(v, g, old) or look(w, v)."""
    w = v = torch.zeros_like(z[0])
    path = [w]
    for t in range(depth):
        g = torch.softmax(sign * z @ (look(w, v) if look else w), 0) @ z
        beta = carry(t) if carry else t / (t + 1)
        old, v = v, keep(v, g, beta) if keep else beta * (v + g)
        w = w + step * (move(v, g, old) if move else v + g)
        path.append(w)
    return torch.stack(path)


momentum = Exercise(
    title="Momentum, without the layer",
    difficulty=1,
    importance=2,
    minutes=10,
    stub=_momentum_stub,
    solution=momentum_solution,
    cases=_momentum_cases(),
    mistakes={
        "no carry": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: 0.0),
            "That is NGD: nothing is carried from layer to layer.",
        ),
        "constant carry": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: 0.9),
            "Your carry is 0.9 in every layer. Here it grows with the depth.",
        ),
        "never forgets": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: 1.0),
            "Your velocity is the sum of all outputs. The carry, below 1, makes means of them.",
        ),
        "heavy ball": (
            lambda z, step, depth: _carried(
                z, step, depth, carry=lambda t: 0.9, keep=lambda v, g, beta: beta * v + g, move=lambda v, g, old: v
            ),
            "That is the momentum of textbooks, with 0.9. Here the carry grows, and the new output counts twice.",
        ),
        "heavy ball with the right carry": (
            lambda z, step, depth: _carried(
                z, step, depth, keep=lambda v, g, beta: beta * v + g, move=lambda v, g, old: v
            ),
            "Right carry, wrong place: you carry v alone. Here v + g is carried, and w moves by the new v and by g.",
        ),
        "one row for all": (
            lambda z, step, depth: momentum_solution(z, step, depth)[-1].expand(depth + 1, -1),
            "All your rows are the last classifier: one tensor was changed in place and put into the list again and "
            "again. Make a new w in each layer.",
        ),
        "a layer ahead": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: (t + 1) / (t + 2)),
            "The first layer has nothing to remember, so its carry is 0. From which t do you count?",
        ),
        "a layer behind": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: max(t - 1, 0) / max(t, 1)),
            "Your carry is one layer late: the second layer does remember.",
        ),
        "Nesterov's carry": (
            lambda z, step, depth: _carried(z, step, depth, carry=lambda t: t / (t + 3)),
            "Your carry is that of Nesterov's method in textbooks, t/(t+3). This chapter has another one.",
        ),
        "the carry on v only": (
            lambda z, step, depth: _carried(z, step, depth, keep=lambda v, g, beta: beta * v + g),
            "You carry v and add the whole of the new output. Here the output is carried as well.",
        ),
        "moved by v only": (
            lambda z, step, depth: _carried(z, step, depth, move=lambda v, g, old: v),
            "Your first layer does not move: w moves by the new velocity, and by one thing more.",
        ),
        "the old velocity": (
            lambda z, step, depth: _carried(z, step, depth, move=lambda v, g, old: old + g),
            "You moved w by the velocity of the layer before. Which of the two is updated first?",
        ),
        "looked ahead": (
            lambda z, step, depth: _carried(z, step, depth, look=lambda w, v: w + step * v),
            "Your head looks from w + step v. Its scores are margins of w, the place where the state is.",
        ),
        "step on v only": (
            lambda z, step, depth: _carried(z, step, depth, move=lambda v, g, old: v + g / step),
            "Your step size scales the velocity's part of the move and not the new output's. It belongs to both.",
        ),
        "attracted": (
            lambda z, step, depth: _carried(z, step, depth, sign=1.0),
            "Your attention goes to large margins. It should go to small ones: which sign have the scores?",
        ),
        "starts at w_1": (
            lambda z, step, depth: momentum_solution(z, step, depth + 1)[1:],
            "As many rows as wanted, all of them one layer too late. Row t is the classifier after t layers.",
        ),
        "step twice": (
            lambda z, step, depth: _carried(z, step, depth, keep=lambda v, g, beta: beta * (v + step * g)),
            "Your velocity has the step size in it, and w multiplies by it again.",
        ),
        "uphill": (
            lambda z, step, depth: _carried(z, step, depth, move=lambda v, g, old: -(v + g)),
            "Your potential rises: the output of the head is to be added.",
        ),
        "start missing": (
            lambda z, step, depth: momentum_solution(z, step, depth)[1:],
            "Your path begins after the first layer. Row t is the classifier after t layers, and row 0 is w = 0.",
        ),
    },
    first_hint="Two vectors go from layer to layer. First the velocity is made anew, then w is moved by it and by g.",
    praise="Two vectors and one number that depends on the depth: that is all the layer adds to NGD.",
    also_right={
        "the library": lambda z, step, depth: momentum_ngd(z[None], step, depth)[:, 0],
        "a mean of outputs, NumPy": lambda z, step, depth: _numpy_momentum(z.numpy(), step, depth),
        "float32": lambda z, step, depth: momentum_solution(z.float(), step, depth),
    },
)


def _numpy_momentum(z, step, depth):
    """By (t+1) v_{t+1} = t v_t + t g_t: the velocity is the sum of s g_s over s <= t, divided by t + 1."""
    path, total = np.zeros((depth + 1, z.shape[1])), np.zeros(z.shape[1])
    for t in range(depth):
        q = np.exp(-z @ path[t])
        g = q @ z / q.sum()
        total += t * g
        path[t + 1] = path[t] + step * (total / (t + 1) + g)
    return path
