"""The coded exercises of chapter 06, "Four layers, two roads"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Exercise


def _drawn(seed: int, *rest: tuple) -> list[tuple]:
    """Cases (w, z, ...): a classifier, five tokens or fewer, and what else a case needs."""
    g = torch.Generator().manual_seed(seed)
    sizes = ((5, 2), (3, 3), (4, 2))
    draw = [[torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((d,), (n, d))] for n, d in sizes]
    return [(w, z, *more) for (w, z), more in zip(draw, rest, strict=True)]


# --- 1: many sinks


def _sinks_stub(w, z, step, k, b):
    return w


def sinks_solution(w, z, step, k, b):
    scores = torch.cat([-z @ w, torch.full((k,), b).to(w)])
    q = torch.softmax(scores, 0)[: len(z)]  # the sinks' values are 0
    return w + step * q @ z


def _shared(w: Tensor, z: Tensor, step: float, taken: float) -> Tensor:
    """One update of a head whose denominator has ``taken`` beside the tokens' own."""
    e = torch.exp(-z @ w)
    return w + step * e @ z / (taken + e.sum())


def _clock(w: Tensor, z: Tensor, k: int, b: float) -> Tensor:
    total = torch.exp(-z @ w).sum()
    return total / (total + k * np.exp(b))


sinks = Exercise(
    title="A head with many sinks",
    difficulty=1,
    importance=2,
    minutes=10,
    stub=_sinks_stub,
    solution=sinks_solution,
    cases=_drawn(8, (0.7, 3, 0.5), (1.5, 1, -1.0), (0.4, 2, 1.2)),
    mistakes={
        "no sink": (
            lambda w, z, step, k, b: _shared(w, z, step, 0.0),
            "Your weights on the tokens sum to 1, as if there were no sink. Its value is 0; its weight is not.",
        ),
        "one sink": (
            lambda w, z, step, k, b: _shared(w, z, step, np.exp(b)),
            "Right for a single sink. Each of the k takes a share of its own.",
        ),
        "score 0": (
            lambda w, z, step, k, b: _shared(w, z, step, k),
            "Right for sinks with score 0. What does a score of b do?",
        ),
        "score added, not its exponential": (
            lambda w, z, step, k, b: _shared(w, z, step, k * b),
            "The score itself stands in your denominator. Tokens enter by the exponential of theirs, as do sinks.",
        ),
        "k in the exponent": (
            lambda w, z, step, k, b: _shared(w, z, step, np.exp(k * b)),
            "Your k sinks became one with a score k times as large. Sinks add up outside of the exponential.",
        ),
        "sign of b": (
            lambda w, z, step, k, b: _shared(w, z, step, k * np.exp(-b)),
            "Your sinks have the score -b. The minus belongs to the margins, since a token's score is -m.",
        ),
        "means, not sums": (
            lambda w, z, step, k, b: (
                w + step * torch.exp(-z @ w) @ z / len(z) / (k * np.exp(b) + torch.exp(-z @ w).mean())
            ),
            "Your sinks are n times too strong: you compare them with the mean of the tokens' exponentials, and a "
            "softmax adds up.",
        ),
        "a sink for each token": (
            lambda w, z, step, k, b: w + step * torch.sigmoid(-z @ w - b - np.log(k)) @ z / len(z),
            "Every token of yours competes with the sinks alone. In this head all tokens and sinks share one softmax.",
        ),
        "shut out twice": (
            lambda w, z, step, k, b: w + _clock(w, z, k, b) * (_shared(w, z, step, k * np.exp(b)) - w),
            "Too short: you multiplied by S / (S + sinks) after a softmax that had the sinks in it already.",
        ),
        "attracted": (
            lambda w, z, step, k, b: w + step * torch.exp(z @ w) @ z / (k * np.exp(b) + torch.exp(z @ w).sum()),
            "Your tokens have the scores +m. Which tokens should this head look at?",
        ),
        "uphill": (
            lambda w, z, step, k, b: 2 * w - _shared(w, z, step, k * np.exp(b)),
            "Right weights, and w moves away from the tokens. The layer adds what it reads.",
        ),
        "the update only": (
            lambda w, z, step, k, b: _shared(w, z, step, k * np.exp(b)) - w,
            "That is what is added to w. Return w after the layer.",
        ),
    },
    first_hint="Write the k sinks as k more scores in the softmax, and then drop what they would read: it is 0.",
    praise="The direction is that of the head without sinks, at every w. Only the clock is another.",
    also_right={
        "the loss, by autograd": lambda w, z, step, k, b: (
            w - step * torch.func.grad(lambda v: torch.log(k * np.exp(b) + torch.exp(-z @ v).sum()))(w)
        ),
        "NumPy": lambda w, z, step, k, b: _numpy_sinks(w.numpy(), z.numpy(), step, k, b),
        "float32": lambda w, z, step, k, b: sinks_solution(w.float(), z.float(), step, k, b),
    },
)


def _numpy_sinks(w, z, step, k, b):
    S = sum(np.exp(-token @ w) for token in z)
    clock = S / (S + k * np.exp(b))
    return w + step * clock * sum(np.exp(-token @ w) / S * token for token in z)


# --- 2: a sink for each token


def _own_stub(w, z, step, b):
    return w


def own_sinks_solution(w, z, step, b):
    m = z @ w
    pairs = torch.stack([-m, torch.full_like(m, b)], 1)  # itself, or its sink
    slots = torch.softmax(pairs, 1)[:, :1] * z
    return w + step * slots.mean(0)


own_sinks = Exercise(
    title="A sink for each token",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_own_stub,
    solution=own_sinks_solution,
    cases=_drawn(9, (0.7, 0.0), (1.5, -1.0), (0.4, 2.0)),
    mistakes={
        "one sink for all": (
            lambda w, z, step, b: _shared(w, z, step, np.exp(b)),
            "All your tokens share one softmax with one sink. Here every token has a softmax of two scores.",
        ),
        "sum, not mean": (
            lambda w, z, step, b: w + step * torch.sigmoid(-z @ w - b) @ z,
            "n times too far: block 2 averages the slots.",
        ),
        "softmax over the tokens": (
            lambda w, z, step, b: w + step * torch.softmax(-z @ w, 0) @ z / len(z),
            "Your softmax runs over the tokens, and no sink takes part in it. Which two scores belong together?",
        ),
        "weights that sum to 1": (
            lambda w, z, step, b: w + step * torch.sigmoid(-z @ w - b) @ z / torch.sigmoid(-z @ w - b).sum(),
            "You normalised over the tokens: right direction, another clock. Block 2 divides by n, whatever the slots "
            "hold.",
        ),
        "score 0": (
            lambda w, z, step, b: w + step * torch.sigmoid(-z @ w) @ z / len(z),
            "Right for b = 0, the logistic layer of the chapter. Where does the score of the sink enter?",
        ),
        "sign of b": (
            lambda w, z, step, b: w + step * torch.sigmoid(-z @ w + b) @ z / len(z),
            "The higher the score of a sink, the less is left for its token; with you it is the other way round.",
        ),
        "the sink's share": (
            lambda w, z, step, b: w + step * torch.sigmoid(z @ w + b) @ z / len(z),
            "You noted the sink's share in the slot: 1 minus the weight that the token keeps for itself.",
        ),
        "attracted": (
            lambda w, z, step, b: w + step * torch.sigmoid(z @ w - b) @ z / len(z),
            "Your tokens have the score +m, and those that are right pull hardest.",
        ),
        "exponential": (
            lambda w, z, step, b: w + step * torch.exp(-z @ w - b) @ z / len(z),
            "That is plain descent on the exponential loss, the limit of large b. A softmax of two scores never "
            "exceeds 1.",
        ),
        "uphill": (
            lambda w, z, step, b: w - step * torch.sigmoid(-z @ w - b) @ z / len(z),
            "Right weights, and w moves away from the tokens.",
        ),
        "the update only": (
            lambda w, z, step, b: step * torch.sigmoid(-z @ w - b) @ z / len(z),
            "That is what is added to w. Return w after the two blocks.",
        ),
    },
    first_hint="A softmax of two scores for each token, -m_i and b; then a plain mean over the tokens.",
    praise="With b = 0 this is one step of logistic regression; as b grows, it turns into the exponential loss.",
    also_right={
        "the loss, by autograd": lambda w, z, step, b: (
            w - step * torch.func.grad(lambda v: torch.nn.functional.softplus(-z @ v - b).mean())(w)
        ),
        "NumPy": lambda w, z, step, b: (
            w.numpy() + step * np.mean(z.numpy() / (1 + np.exp(z.numpy() @ w.numpy() + b))[:, None], axis=0)
        ),
        "float32": lambda w, z, step, b: own_sinks_solution(w.float(), z.float(), step, b),
    },
)

# --- 3: slots that are not wiped


def _not_wiped_stub(z, step, loops):
    return torch.zeros_like(z[0])


def not_wiped_solution(z, step, loops):
    w = torch.zeros_like(z[0])
    memory = torch.zeros_like(w)  # the mean of all slots
    for _ in range(loops):
        memory = memory + torch.sigmoid(-z @ w) @ z / len(z)  # minus a gradient
        w = w + step * memory
    return w


def _hoarded(z: Tensor, loops: int, keep=1.0, pull=None, move=None) -> Tensor:
    """w after loops that keep a share of the memory, pull with other weights, or move in another way."""
    pull = pull or (lambda m: torch.sigmoid(-m) / len(m))
    w = memory = torch.zeros_like(z[0])
    for t in range(loops):
        old, memory = memory, keep * memory + pull(z @ w) @ z
        w = w + move(memory, old, t)
    return w


not_wiped = Exercise(
    title="A slot that is not wiped",
    difficulty=2,
    importance=2,
    minutes=15,
    stub=_not_wiped_stub,
    solution=not_wiped_solution,
    cases=[(z, step, loops) for _, z, step, loops in _drawn(10, (0.5, 6), (1.0, 3), (0.3, 12))],
    mistakes={
        "wiped": (
            lambda z, step, loops: _hoarded(z, loops, keep=0.0, move=lambda m, old, t: step * m),
            "That is gradient descent: the layer with the wiping head. What do the slots hold in the second loop, if "
            "nobody wipes them?",
        ),
        "old slots": (
            lambda z, step, loops: _hoarded(z, loops, move=lambda m, old, t: step * old),
            "One reading too few in each step: block 1 writes before block 2 averages.",
        ),
        "mean of the past": (
            lambda z, step, loops: _hoarded(z, loops, move=lambda m, old, t: step * m / (t + 1)),
            "You average over the loops. The slots add up, and block 2 averages over tokens only.",
        ),
        "a memory that forgets": (
            lambda z, step, loops: _hoarded(z, loops, keep=0.9, move=lambda m, old, t: step * m),
            "Your memory fades by a tenth in each loop, as momentum is usually written. These slots forget nothing.",
        ),
        "step twice": (
            lambda z, step, loops: _hoarded(z, loops, move=lambda m, old, t: step**2 * m),
            "The step enters twice. The slots hold readings without it; block 2 multiplies once.",
        ),
        "sum over the tokens": (
            lambda z, step, loops: _hoarded(
                z, loops, pull=lambda m: torch.sigmoid(-m), move=lambda m, old, t: step * m
            ),
            "n times too far in the first loop already: block 2 averages the slots.",
        ),
        "softmax weights": (
            lambda z, step, loops: _hoarded(
                z, loops, pull=lambda m: torch.softmax(-m, 0), move=lambda m, old, t: step * m
            ),
            "Your tokens compete with each other. In block 1 each token competes with the sink alone.",
        ),
        "attracted": (
            lambda z, step, loops: _hoarded(
                z, loops, pull=lambda m: torch.sigmoid(m) / len(m), move=lambda m, old, t: step * m
            ),
            "Your weights grow with the margin. Which share of the softmax of -m and 0 is the token's own?",
        ),
        "uphill": (
            lambda z, step, loops: _hoarded(z, loops, move=lambda m, old, t: -step * m),
            "Your loss rises. Block 2 adds what it reads.",
        ),
        "one loop too few": (
            lambda z, step, loops: not_wiped_solution(z, step, loops - 1),
            "One loop is missing. After how many does your function stop?",
        ),
        "one loop too many": (
            lambda z, step, loops: not_wiped_solution(z, step, loops + 1),
            "One loop too many. After how many does your function stop?",
        ),
    },
    first_hint="Keep two things from loop to loop: w, and what stands in the slots.",
    praise="Momentum with factor 1: every gradient ever read is in each step.",
    also_right={
        "two blocks, token by token": lambda z, step, loops: _with_slots(z, step, loops),
        "the sum of all gradients, NumPy": lambda z, step, loops: _numpy_not_wiped(z.numpy(), step, loops),
        "float32": lambda z, step, loops: not_wiped_solution(z.float(), step, loops),
    },
)


def _with_slots(z, step, loops):
    w, slots = torch.zeros_like(z[0]), torch.zeros_like(z)
    for _ in range(loops):
        scores = torch.stack([-z @ w, torch.zeros(len(z), dtype=z.dtype)], 1)
        slots = slots + torch.softmax(scores, 1)[:, :1] * z
        w = w + step * slots.mean(0)
    return w


def _numpy_not_wiped(z, step, loops):
    path, gradients = [np.zeros(z.shape[1])], []
    for _ in range(loops):
        gradients.append(-np.mean(z / (1 + np.exp(z @ path[-1]))[:, None], axis=0))
        path.append(path[-1] - step * np.sum(gradients, axis=0))
    return path[-1]
