"""The coded exercises of chapter 13, "Attention as featurizer"."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..algorithms import ngd
from ..features import ReLUAttention
from .base import Exercise

# --- 1: two heads, whatever C


def _pair_cases() -> list[tuple]:
    """Pairs a, b [N] and a C: large enough, too small, none, and much too large."""
    g = torch.Generator().manual_seed(13)
    cases = [(torch.tensor([2.0, -1.0]).double(), torch.tensor([3.0, 4.0]).double(), 7.0)]
    for N, share in ((4, 1.5), (5, 0.5), (3, 0.2)):
        a, b = 2 * torch.rand(2, N, generator=g, dtype=torch.float64) - 1
        across = (a[:, None] * b).abs() * (1 - torch.eye(N))
        cases.append((a, b, share * float(across.max())))
    return cases


def _pair_stub(a, b, C):
    return torch.zeros_like(a)


def pair_solution(a, b, C):
    products = a[:, None] * b  # row: the token that looks
    far = C * (1 - torch.eye(len(a)).to(a))
    first = torch.relu(products - far).sum(1)
    second = torch.relu(-products - far).sum(1)
    return first - second


def _products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return a[:, None] * b, torch.eye(len(a)).to(a)


def _heads(a: Tensor, b: Tensor, score, combine=lambda plus, minus: plus - minus, over: int = 1) -> Tensor:
    """Two heads with the scores score(s * products, s, own), summed over the tokens looked at, combined."""
    products, own = _products(a, b)
    return combine(*(torch.relu(score(s * products, s, own)).sum(over) for s in (1.0, -1.0)))


def _shifted(C: float):
    return lambda products, s, own: products - C * (1 - own)


pair = Exercise(
    title="Two tokens by hand",
    difficulty=1,
    importance=3,
    minutes=15,
    stub=_pair_stub,
    solution=pair_solution,
    cases=_pair_cases(),
    mistakes={
        "the product itself": (
            lambda a, b, C: a * b,
            "That is what the heads write if C is large enough. Here it need not be: let the tokens leak.",
        ),
        "no positions": (
            lambda a, b, C: _heads(a, b, _shifted(0.0)),
            "Your heads hear all tokens alike. What does C do?",
        ),
        "first head only": (
            lambda a, b, C: _heads(a, b, _shifted(C), lambda plus, minus: plus),
            "That is the first head. Where are the negative products?",
        ),
        "second head only": (
            lambda a, b, C: _heads(a, b, _shifted(C), lambda plus, minus: -minus),
            "That is the second head. Where are the positive products?",
        ),
        "second head added": (
            lambda a, b, C: _heads(a, b, _shifted(C), lambda plus, minus: plus + minus),
            "Your two heads write with the same sign, and make the product's size without its sign.",
        ),
        "C off its own token": (
            lambda a, b, C: _heads(a, b, lambda products, s, own: products - C),
            "You take C off every score, the token's own too. What is the product of its position with itself?",
        ),
        "C off its own token only": (
            lambda a, b, C: _heads(a, b, lambda products, s, own: products - C * own),
            "You silence the token itself and hear the others. Which scores should C lower?",
        ),
        "C added": (
            lambda a, b, C: _heads(a, b, _shifted(-C)),
            "Your other tokens shout: C is added to their scores.",
        ),
        "C times s": (
            lambda a, b, C: _heads(a, b, lambda products, s, own: products - s * C * (1 - own)),
            "In your second head the positions have changed sign as well. The sign s belongs to the product alone.",
        ),
        "own position only": (
            lambda a, b, C: _heads(a, b, lambda products, s, own: products + C * own),
            "You add C to a token's own score. The constant takes it off again, from every token.",
        ),
        "deaf to itself": (
            lambda a, b, C: _heads(a, b, lambda products, s, own: (products - C) * (1 - own)),
            "You leave the token itself out, and add up what leaks in from the others. Its own product is the signal.",
        ),
        "columns and rows": (
            lambda a, b, C: _heads(a, b, _shifted(C), over=0),
            "Your table lies on its side: a belongs to the token that looks, b to those it looks at, and the slot "
            "to the one that looks.",
        ),
        "mean over tokens": (
            lambda a, b, C: pair_solution(a, b, C) / len(a),
            "You divide by the number of tokens. ReLU attention adds up.",
        ),
        "no ReLU": (
            lambda a, b, C: 2 * (a[:, None] * b).sum(1),
            "Without a ReLU the C of the two heads cancels, and everybody is heard.",
        ),
        "ReLU of the sum": (
            lambda a, b, C: _whole(a, b, C),
            "You added up the scores and cut off once. Every single score is cut off before the sum.",
        ),
        "value b": (
            lambda a, b, C: _valued(a, b, C),
            "Your value is the other token's b. Here the value is the constant: b is in the score already.",
        ),
    },
    first_hint="An N x N table of scores for each head: the products, less C where the two tokens differ.",
    praise="With C large enough this is ab, exactly. Below it you can read off who whispers to whom.",
    also_right={
        "matrices, the library": lambda a, b, C: _by_matrices(a, b, C),
        "a loop, NumPy": lambda a, b, C: _numpy_pair(a.numpy(), b.numpy(), C),
        "float32, a shrinkage": lambda a, b, C: _shrunk(a.float(), b.float(), C),
    },
)


def _whole(a: Tensor, b: Tensor, C: float) -> Tensor:
    products, own = _products(a, b)
    first, second = (torch.relu((s * products - C * (1 - own)).sum(1)) for s in (1.0, -1.0))
    return first - second


def _valued(a: Tensor, b: Tensor, C: float) -> Tensor:
    products, own = _products(a, b)
    first, second = (torch.relu(s * products - C * (1 - own)) @ b for s in (1.0, -1.0))
    return first - second


def _by_matrices(a: Tensor, b: Tensor, C: float) -> Tensor:
    N, one = len(a), torch.ones_like(a)[:, None]
    tokens = torch.cat([a[:, None], b[:, None], 0 * one, one, torch.eye(N).to(a)], 1)[None]
    score, value = torch.zeros(2, 2, 4 + N, 4 + N).to(a)
    for head, sign in enumerate((1.0, -1.0)):
        score[head, 1, 0], score[head, 3, 3], value[head, 2, 3] = sign, -C, sign
        score[head, 4:, 4:] = C * torch.eye(N)
    return ReLUAttention(score, value)(tokens)[0, :, 2]


def _numpy_pair(a, b, C):
    slots = []
    for t in range(len(a)):
        heard = [s * max(s * a[t] * b[j] - C * (j != t), 0) for s in (1, -1) for j in range(len(a))]
        slots.append(sum(heard))
    return slots


def _shrunk(a: Tensor, b: Tensor, C: float) -> Tensor:
    """relu(r - C) - relu(-r - C) shrinks r towards 0 by C."""
    products = a[:, None] * b
    leaks = torch.nn.functional.softshrink(products, C).fill_diagonal_(0)
    return a * b + leaks.sum(1)


# --- 2: the layer without features


def _kernel_cases() -> list[tuple]:
    """Kernels K [n, n] between examples and k [M, n] between queries and examples, labels y, a step, a depth."""
    g = torch.Generator().manual_seed(14)
    cases = []
    for n, M, step, depth in ((6, 3, 0.4, 5), (5, 4, 0.2, 8), (4, 2, 0.7, 3)):
        x = 2 * torch.rand(n + M, 2, generator=g, dtype=torch.float64) - 1
        y = torch.where(x[:n, 0] * x[:n, 1] > 0, 1.0, -1.0).double()
        K = (1 + x @ x[:n].T) ** 2
        cases.append((K[:n], K[n:], y, step, depth))
    return cases


def _kernel_stub(K, k, y, step, depth):
    return torch.zeros(len(k))


def kernel_solution(K, k, y, step, depth):
    gram = y[:, None] * K * y  # <z_i, z_j>
    alpha = torch.zeros_like(y)
    for _ in range(depth):
        alpha = alpha + step * torch.softmax(-gram @ alpha, 0)
    return k @ (y * alpha)


def _dual(K: Tensor, y: Tensor, step: float, depth: int, gram=None, weigh=None, keep=1.0, start=0.0) -> Tensor:
    """The coefficients after the layers, with another gram matrix, other weights(margins), memory or start."""
    gram = y[:, None] * K * y if gram is None else gram
    alpha = torch.full_like(y, start)
    for _ in range(depth):
        m = gram @ alpha
        alpha = keep * alpha + step * (torch.softmax(-m, 0) if weigh is None else weigh(m))
    return alpha


kernel = Exercise(
    title="The kernel layer",
    difficulty=2,
    importance=2,
    minutes=25,
    stub=_kernel_stub,
    solution=kernel_solution,
    cases=_kernel_cases(),
    mistakes={
        "no labels at all": (
            lambda K, k, y, step, depth: k @ _dual(K, y, step, depth, gram=K),
            "The labels never enter. Tokens are z_i = y_i f(x_i), here too.",
        ),
        "labels missing among examples": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, gram=K)),
            "Your margins have no labels: the inner product of two tokens has those of both points.",
        ),
        "one label missing among examples": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, gram=K * y)),
            "Your margins lack the label of the point itself: you have its answer and not yet its margin.",
        ),
        "the other label missing": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, gram=y[:, None] * K)),
            "Your classifier sums f(x_j) and not z_j: within the margins one label is missing.",
        ),
        "labels missing in the answer": (
            lambda K, k, y, step, depth: k @ _dual(K, y, step, depth),
            "Right coefficients, and your answer sums them without the labels. Of what is w a sum?",
        ),
        "attracted": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, weigh=lambda m: torch.softmax(m, 0))),
            "Your attention goes to large margins. Which sign have the scores?",
        ),
        "frozen attention": (
            lambda K, k, y, step, depth: step * depth * k @ y / len(y),
            "Your weights stay even: that is the average of the tokens, at any depth. Compute the margins anew in each "
            "layer.",
        ),
        "nothing accumulated": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, keep=0.0)),
            "Your coefficients are those of the last layer alone. A layer adds to what is there.",
        ),
        "even coefficients to begin with": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, start=1 / len(y))),
            "Your coefficients start at 1/n. They are those of w, and w starts at 0.",
        ),
        "uphill": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, -step, depth)),
            "Your coefficients become negative, and the loss rises. A layer adds the weights.",
        ),
        "step twice": (
            lambda K, k, y, step, depth: step * k @ (y * _dual(K, y, step, depth)),
            "The step size enters twice: it is in the coefficients, and you multiply the answer by it again.",
        ),
        "step in the answer only": (
            lambda K, k, y, step, depth: step * k @ (y * _dual(K, y, 1.0, depth)),
            "The step size comes in at the end, and the margins on the way are those of a step of 1.",
        ),
        "plain gradient descent": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, weigh=lambda m: torch.exp(-m) / len(m))),
            "That is plain descent on the exponential loss: your weights do not sum to 1.",
        ),
        "weights that do not sum to 1": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth, weigh=lambda m: torch.exp(-m))),
            "Your weights are exponentials without their sum. What does a softmax divide by?",
        ),
        "coefficients that sum to 1": (
            lambda K, k, y, step, depth: k @ (y * _dual(K, y, step, depth)) / (step * depth),
            "You divided by the sum of the coefficients. No sign has changed, and w is shorter than the layer's.",
        ),
        "signs only": (
            lambda K, k, y, step, depth: torch.sign(kernel_solution(K, k, y, step, depth)),
            "Right labels. Return the numbers whose signs they are.",
        ),
        "one layer too few": (
            lambda K, k, y, step, depth: kernel_solution(K, k, y, step, depth - 1),
            "One layer is missing. What are the coefficients after the first?",
        ),
        "one layer too many": (
            lambda K, k, y, step, depth: kernel_solution(K, k, y, step, depth + 1),
            "One layer too many. After how many does your function stop?",
        ),
        "margins in place of answers": (
            lambda K, k, y, step, depth: y * (K @ (y * _dual(K, y, step, depth))),
            "These are the margins of the examples. Asked for are the answers to the queries.",
        ),
    },
    first_hint="Keep one coefficient for each example, 0 at first. A layer adds the step times the weights to them.",
    praise="No feature was written anywhere: inner products are all that a layer needs.",
    also_right={
        "signed coefficients, NumPy": lambda K, k, y, step, depth: _numpy_kernel(
            *(v.numpy() for v in (K, k, y)), step, depth
        ),
        "features from the kernel": lambda K, k, y, step, depth: _by_features(K, k, y, step, depth),
        "float32": lambda K, k, y, step, depth: kernel_solution(K.float(), k.float(), y.float(), step, depth),
    },
)


def _numpy_kernel(K, k, y, step, depth):
    beta = np.zeros(len(y))  # y_i alpha_i
    for _ in range(depth):
        e = np.exp(-y * (K @ beta))
        beta = beta + step * y * e / e.sum()
    return k @ beta


def _by_features(K, k, y, step, depth):
    """NGD on rows of a root of K as features; a query's features are those with the same products."""
    size, turn = torch.linalg.eigh(K)
    kept = size > 1e-9 * size.max()
    root = turn[:, kept] * size[kept].sqrt()
    w = ngd((y[:, None] * root)[None], step, depth)[-1, 0]
    return k @ (turn[:, kept] / size[kept].sqrt()) @ w
