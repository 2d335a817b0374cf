"""The coded exercise of chapter 11, "Out of distribution"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..algorithms import ngd
from ..losses import exponential_weights
from .base import Exercise


def _bill_cases() -> list[tuple]:
    """Honest tokens z [n, d], a lie a [d], a step and a depth."""
    g = torch.Generator().manual_seed(11)
    cases = []
    for n, d, step, depth in ((6, 2, 0.5, 5), (5, 3, 0.3, 8), (4, 2, 0.8, 3)):
        z = torch.randn(n, d, generator=g, dtype=torch.float64)
        z[:, 0] = z[:, 0].abs()
        a = torch.randn(d, generator=g, dtype=torch.float64)
        a[0] = -a[0].abs() - 0.5
        cases.append((z, a, step, depth))
    return cases


def _bill_stub(z, a, step, depth):
    return 0.0, 0.0


def bill_solution(z, a, step, depth):
    honest, hit = torch.zeros_like(a), torch.zeros_like(a)
    tokens, bound = torch.cat([z, a[None]]), 0.0
    for _ in range(depth):
        q = torch.softmax(-tokens @ hit, 0)  # the lie's weight comes last
        g = torch.softmax(-z @ hit, 0) @ z
        bound = bound + step * q[-1] * (a - g).norm()
        honest = honest + step * torch.softmax(-z @ honest, 0) @ z
        hit = hit + step * q @ tokens
    return (hit - honest).norm(), bound


def _mean(w: Tensor, z: Tensor, sign: float = -1.0) -> Tensor:
    return torch.softmax(sign * z @ w, 0) @ z


def _bill(z, a, step, depth, charge=None, moved=None, sign=-1.0, skip=0, more=0) -> tuple[Tensor, Tensor]:
    """Distance and bound; ``charge(w, v, p, g)`` of a layer with honest state w, hit state v; ``moved(v, w)``."""
    w = v = torch.zeros_like(a)
    tokens, bound, ends = torch.cat([z, a[None]]), torch.zeros(()).to(a), None
    for t in range(depth + more):
        ends = (w, v) if t == depth else ends
        p, g = torch.softmax(sign * tokens @ v, 0)[-1], _mean(v, z, sign)
        if t >= skip:
            bound = bound + (step * p * (a - g).norm() if charge is None else charge(w, v, p, g))
        w, v = w + step * _mean(w, z, sign), v + step * _mean(v, tokens, sign)
    w, v = ends or (w, v)
    return (v - w).norm() if moved is None else moved(v, w), bound


def _weight(z: Tensor, a: Tensor, w: Tensor) -> Tensor:
    return torch.softmax(-torch.cat([z, a[None]]) @ w, 0)[-1]


bill = Exercise(
    title="The bill for one token",
    difficulty=2,
    importance=2,
    minutes=20,
    stub=_bill_stub,
    solution=bill_solution,
    cases=_bill_cases(),
    parts=("the distance", "the bound"),
    mistakes={
        "another token's weight": (
            lambda z, a, step, depth: _bill(
                z,
                a,
                step,
                depth,
                lambda w, v, p, g: step * torch.softmax(-torch.cat([z, a[None]]) @ v, 0)[0] * (a - g).norm(),
            ),
            "The distance is right. You took the first token's weight for the lie's. Where does the lie stand among "
            "the tokens?",
        ),
        "even mean": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * p * (a - z.mean(0)).norm()),
            "The distance is right. Your g is the plain mean of the honest tokens. They have weights in each layer, "
            "those of a softmax among themselves.",
        ),
        "mean over layers": (
            lambda z, a, step, depth: (
                _bill(z, a, step, depth)[0],
                _bill(z, a, step, depth)[1] / depth,
            ),
            "The distance is right. You averaged the charges; every layer is charged in full.",
        ),
        "weight on the honest path": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, lambda w, v, p, g: step * _weight(z, a, w) * (a - g).norm()
            ),
            "The distance is right. You weigh the lie at the honest states, which it never bent. Where does the "
            "bound take its p?",
        ),
        "mean on the honest path": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * p * (a - _mean(w, z)).norm()),
            "The distance is right. Your g is the honest path's output; the bound takes the honest tokens' mean at "
            "the other path's state.",
        ),
        "both on the honest path": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, lambda w, v, p, g: step * _weight(z, a, w) * (a - _mean(w, z)).norm()
            ),
            "The distance is right. Your bound is computed along the honest path, on which no lie is heard.",
        ),
        "the lie in the mean": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, lambda w, v, p, g: step * p * (a - _mean(v, torch.cat([z, a[None]]))).norm()
            ),
            "The distance is right. Your g has the lie in it, so the difference is too short. Whose mean is g?",
        ),
        "the cruder bound": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, lambda w, v, p, g: step * p * (a.norm() + z.norm(dim=-1).max())
            ),
            "A true bound, and the cruder one of the two: it replaces a distance by a sum of lengths.",
        ),
        "the sum of two lengths": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * p * (a.norm() + g.norm())),
            "You add the lengths of the lie and of the mean. The length of their difference is less.",
        ),
        "difference of lengths": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, lambda w, v, p, g: step * p * (a.norm() - g.norm()).abs()
            ),
            "You subtract two lengths. Take the length of a difference, or your bound may fail.",
        ),
        "the lie's length only": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * p * a.norm()),
            "That charges for what the lie adds. It also takes weight from the honest tokens.",
        ),
        "step left out of the bound": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: p * (a - g).norm()),
            "The distance is right. Your bound has no step size: by how much does a layer move w?",
        ),
        "weights only": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: p),
            "The distance is right. You added up the weights; each is multiplied by how far it pulls.",
        ),
        "the first weight for ever": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * (a - g).norm() / (len(z) + 1)),
            "You give the lie its even share in all layers. It starts with that, and then grows.",
        ),
        "first layer not charged": (
            lambda z, a, step, depth: _bill(z, a, step, depth, skip=1),
            "Your bound begins with the second layer. At w = 0 the lie has a weight too.",
        ),
        "one layer too many charged": (
            lambda z, a, step, depth: _bill(z, a, step, depth, more=1),
            "The distance is right. You charge for the states 0 to T; the state at depth T has not been used yet.",
        ),
        "charged after the update": (
            lambda z, a, step, depth: _bill(z, a, step, depth, skip=1, more=1),
            "The distance is right. You charge at the states 1 to T. What a layer does is decided at the state it "
            "starts from.",
        ),
        "weights of the mean do not sum to 1": (
            lambda z, a, step, depth: _bill(z, a, step, depth, lambda w, v, p, g: step * p * (a - (1 - p) * g).norm()),
            "The distance is right. Your g is the honest part of the output, whose weights sum to 1 - p. A mean needs "
            "weights that sum to 1.",
        ),
        "one tensor for both": (
            lambda z, a, step, depth: _aliased(z, a, step, depth),
            "Your two classifiers are one and the same tensor, changed in place by both loops.",
        ),
        "only the last layer charged": (
            lambda z, a, step, depth: _bill(z, a, step, depth, skip=depth - 1),
            "That is the charge of the last layer. Influence accumulates.",
        ),
        "difference of norms moved": (
            lambda z, a, step, depth: _bill(z, a, step, depth, moved=lambda v, w: (v.norm() - w.norm()).abs()),
            "The bound is right. You compare the lengths of the two classifiers; take the length of their difference.",
        ),
        "squared distance": (
            lambda z, a, step, depth: _bill(z, a, step, depth, moved=lambda v, w: (v - w).square().sum()),
            "The bound is right. Your distance is squared.",
        ),
        "angle": (
            lambda z, a, step, depth: _bill(
                z, a, step, depth, moved=lambda v, w: torch.acos(torch.cosine_similarity(v, w, dim=0))
            ),
            "The bound is right. You return the angle between the classifiers; the proposition bounds their distance.",
        ),
        "attracted": (
            lambda z, a, step, depth: _bill(z, a, step, depth, sign=1.0),
            "Your attention goes to large margins. Which sign have the scores?",
        ),
        "swapped": (
            lambda z, a, step, depth: _bill(z, a, step, depth)[::-1],
            "The two numbers are right, in the other order: the distance first, then its bound.",
        ),
    },
    first_hint="Two loops side by side, with and without the lie. Before each layer write down what the lie costs.",
    praise="Influence is accumulated attention, and this is the account of it.",
    also_right={
        "the library": lambda z, a, step, depth: _library_bill(z, a, step, depth),
        "NumPy": lambda z, a, step, depth: _numpy_bill(z.numpy(), a.numpy(), step, depth),
        "the lie's pull as a difference, float32": lambda z, a, step, depth: _by_difference(
            z.float(), a.float(), step, depth
        ),
    },
)


def _aliased(z, a, step, depth):
    w = v = torch.zeros_like(a)
    bound, tokens = 0.0, torch.cat([z, a[None]])
    for _ in range(depth):
        q, p = torch.softmax(-z @ w, 0), torch.softmax(-tokens @ v, 0)
        bound = bound + step * p[-1] * (a - torch.softmax(-z @ v, 0) @ z).norm()
        w += step * q @ z
        v += step * p @ tokens
    return (v - w).norm(), bound


def _library_bill(z, a, step, depth):
    tokens = torch.cat([z, a[None]])
    without, path = (ngd(t[None], step, depth)[:, 0] for t in (z, tokens))
    q = exponential_weights(path[:-1], tokens.expand(depth, -1, -1))
    g = q[:, :-1] @ z / q[:, :-1].sum(-1, keepdim=True)
    return (path[-1] - without[-1]).norm(), step * (q[:, -1] * (a - g).norm(dim=-1)).sum()


def _numpy_bill(z, a, step, depth):
    w, v, bound = np.zeros_like(a), np.zeros_like(a), 0.0
    for _ in range(depth):
        e, f, lie = np.exp(-z @ w), np.exp(-z @ v), np.exp(-a @ v)
        bound += step * lie / (f.sum() + lie) * np.linalg.norm(a - f @ z / f.sum())
        w, v = w + step * e @ z / e.sum(), v + step * (f @ z + lie * a) / (f.sum() + lie)
    return np.array([np.linalg.norm(v - w), bound])


def _by_difference(z, a, step, depth):
    """p (a - g) is the mean with the lie minus the mean without it."""
    w = v = torch.zeros_like(a)
    bound = 0.0
    for _ in range(depth):
        with_it, without = _mean(v, torch.cat([z, a[None]])), _mean(v, z)
        bound = bound + step * (with_it - without).norm()
        w, v = w + step * _mean(w, z), v + step * with_it
    return (w - v).norm(), bound
