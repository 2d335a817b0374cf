"""The coded exercises of chapter 15, "Many classes, real data"."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Exercise

# --- 1: the tokens


def _token_cases() -> list[tuple[Tensor, Tensor, int]]:
    """Points [n, d], classes [n] and K. The last has d = K, so that no layout passes for another by its shape."""
    g = torch.Generator().manual_seed(15)
    sizes = ((4, 2, 3), (1, 3, 4), (5, 3, 3))
    return [
        (torch.randn(n, d, generator=g, dtype=torch.float64), torch.randint(K, (n,), generator=g), K)
        for n, d, K in sizes
    ]


def _tokens_stub(x, y, K):
    return torch.zeros(len(x) * (K - 1), K * x.shape[1])


def kesler_tokens_solution(x, y, K):
    tokens = []
    for point, own in zip(x, y.tolist(), strict=True):
        for rival in range(K):
            if rival != own:
                token = x.new_zeros(K, x.shape[1])
                token[own], token[rival] = point, -point
                tokens.append(token.flatten())
    return torch.stack(tokens)


def _codes(y: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """e_{y_i} and e_c for all pairs: [n, 1, K] and [1, K, K]."""
    unit = torch.eye(K, dtype=torch.float64)
    return unit[y][:, None], unit[None]


def _outer(codes: Tensor, x: Tensor) -> Tensor:
    """Tokens codes (x) x for codes [n, C, K], one row each."""
    return torch.einsum("nck,nd->nckd", codes, x).reshape(codes.shape[0] * codes.shape[1], -1)


def _only_rivals(tokens: Tensor, y: Tensor, K: int) -> Tensor:
    return tokens[(torch.nn.functional.one_hot(y, K) == 0).flatten()]


def _own_class_kept(x, y, K):
    own, rival = _codes(y, K)
    return _outer(own - rival, x)


def _turned(x, y, K):
    return -kesler_tokens_solution(x, y, K)


def _both_plus(x, y, K):
    own, rival = _codes(y, K)
    return _only_rivals(_outer(own + rival, x), y, K)


def _no_rival(x, y, K):
    own, rival = _codes(y, K)
    return _only_rivals(_outer(own + 0 * rival, x), y, K)


def _all_rivals_at_once(x, y, K):
    own, _ = _codes(y, K)
    return _outer(own - (1 - own) / (K - 1), x)


def _next_class(x, y, K):
    unit = torch.eye(K, dtype=torch.float64)
    return _outer((unit[y] - unit[(y + 1) % K])[:, None], x)


def _other_layout(x, y, K):
    own, rival = _codes(y, K)
    flat = torch.einsum("nck,nd->ncdk", own - rival, x).reshape(len(x) * K, -1)
    return _only_rivals(flat, y, K)


def _as_seen_by_a_head(returned: tuple[Tensor, ...], x: Tensor, y: Tensor, K: int) -> Tensor:
    """How many tokens there are, and what a head reads off them from two classifiers: their order does not matter."""
    (tokens,) = returned if len(returned) == 1 else (None,)
    size = K * x.shape[1]
    if tokens is None or tokens.ndim != 2 or tokens.shape[1] != size:
        shapes = [list(t.shape) for t in returned]
        raise ValueError(f"Return one tensor with a token of {size} entries in each row; yours: shape {shapes}.")
    if not torch.isfinite(tokens).all():
        raise ValueError("Your tokens hold NaN or infinity.")
    w = torch.randn(2, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    read = torch.softmax(-w @ tokens.T, -1) @ tokens
    return torch.cat([read.flatten(), tokens.new_tensor([len(tokens)])])


kesler_tokens = Exercise(
    title="Kesler's tokens",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_tokens_stub,
    solution=kesler_tokens_solution,
    cases=_token_cases(),
    measure=_as_seen_by_a_head,
    mistakes={
        "own class kept": (
            _own_class_kept,
            "A point against its own class is a token of zeros: it takes attention and gives nothing. Which K - 1 "
            "tokens does a point need?",
        ),
        "sign": (_turned, "With your tokens a large margin means that the rival wins. What must be positive?"),
        "no minus": (_both_plus, "Your token adds the scores of both classes. To be right is to have a larger one."),
        "no rival": (_no_rival, "Your tokens ask that the own score be large, and say nothing about the rival's."),
        "all rivals at once": (
            _all_rivals_at_once,
            "One token a point, against the mean of the rivals: a point may beat the mean and lose to one of them.",
        ),
        "one rival": (_next_class, "Each point meets only one rival. How many must it beat?"),
        "classes counted from 1": (
            lambda x, y, K: kesler_tokens_solution(x, (y - 1) % K, K),
            "Your tokens are those of the class one below, as if classes were counted from 1. They go from 0 to K - 1.",
        ),
        "divided by the root of 2": (
            lambda x, y, K: kesler_tokens_solution(x, y, K) / 2**0.5,
            "Your tokens are too short by the square root of 2. A token is twice as long in square as its point, and "
            "stays so.",
        ),
        "layout": (
            _other_layout,
            "The numbers are right and stand elsewhere: here a classifier is w_0, then w_1, and so on, each of d "
            "entries. Blocks go by class.",
        ),
    },
    first_hint="Write down the token of one point and one rival: which two blocks of d entries are not zero?",
    praise="Each point has one token for every class that it must beat, and nothing else has changed.",
)

# --- 2: the layer without the tokens


def _step_cases() -> list[tuple[Tensor, Tensor, Tensor, float]]:
    """Classifiers [K, d], points [n, d], classes [n], and the step."""
    g = torch.Generator().manual_seed(16)
    cases = []
    for n, d, K, step in ((6, 2, 3, 0.5), (4, 3, 4, 1.5), (5, 2, 3, 0.2)):
        W, x = torch.randn(K, d, generator=g, dtype=torch.float64), torch.randn(n, d, generator=g, dtype=torch.float64)
        cases.append((W, x, torch.arange(n) % K, step))
    return cases


def _step_stub(W, x, y, step):
    return W


def class_step_solution(W, x, y, step):
    scores = x @ W.T
    own = torch.nn.functional.one_hot(y, len(W)).bool()
    ahead = scores - scores[own][:, None]  # how far each class is ahead of the own one
    q = torch.softmax(ahead.masked_fill(own, -torch.inf).flatten(), 0).view_as(scores)
    pull = own * q.sum(1, keepdim=True) - q  # the own class takes what the rivals get, and they lose it
    return W + step * pull.T @ x


def _ahead(W: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    scores = x @ W.T
    own = torch.nn.functional.one_hot(y, len(W)).bool()
    return scores - scores[own][:, None], own


def _moved(W: Tensor, x: Tensor, q: Tensor, own: Tensor, step: float) -> Tensor:
    q = q.masked_fill(own, 0.0)
    return W + step * (own * q.sum(1, keepdim=True) - q).T @ x


def _softmax_of_each_point(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    q = torch.softmax(ahead.masked_fill(own, -torch.inf), 1) / len(x)
    return _moved(W, x, q, own, step)


def _cross_entropy(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    return _moved(W, x, torch.softmax(ahead, 1) / len(x), own, step)


def _own_class_in_the_softmax(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    return _moved(W, x, torch.softmax(ahead.flatten(), 0).view_as(ahead), own, step)


def _uphill(W, x, y, step):
    return 2 * W - class_step_solution(W, x, y, step)


def _attends_to_winners(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    q = torch.softmax((-ahead).masked_fill(own, -torch.inf).flatten(), 0).view_as(ahead)
    return _moved(W, x, q, own, step)


def _rivals_only(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    q = torch.softmax(ahead.masked_fill(own, -torch.inf).flatten(), 0).view_as(ahead)
    return W - step * q.T @ x


def _own_only(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    q = torch.softmax(ahead.masked_fill(own, -torch.inf).flatten(), 0).view_as(ahead)
    return W + step * (own * q.sum(1, keepdim=True)).T @ x


def _not_normalised(W, x, y, step):
    ahead, own = _ahead(W, x, y)
    return _moved(W, x, ahead.exp() / (len(x) * (len(W) - 1)), own, step)


class_step = Exercise(
    title="The layer without the tokens",
    difficulty=2,
    importance=2,
    minutes=15,
    stub=_step_stub,
    solution=class_step_solution,
    cases=_step_cases(),
    mistakes={
        "a softmax for each point": (
            _softmax_of_each_point,
            "Your weights sum to 1 for each point, so every point counts the same. The head has one softmax for all "
            "pairs: points that are safe count for little.",
        ),
        "cross-entropy": (
            _cross_entropy,
            "This is a step of multinomial logistic regression: one softmax a point, over all classes. The head has "
            "one softmax over all pairs of a point and a rival.",
        ),
        "own class in the softmax": (
            _own_class_in_the_softmax,
            "Your weights do not sum to 1: a point's own class, n zeros in all, takes part. It has no token.",
        ),
        "uphill": (_uphill, "The weights are right, and you go the wrong way: whose score should grow?"),
        "attracted to large margins": (
            _attends_to_winners,
            "The head looks at the pairs that are already right. Which pairs should weigh most?",
        ),
        "classes counted from 1": (
            lambda W, x, y, step: class_step_solution(W, x, (y - 1) % len(W), step),
            "You took every point for one of the class one below, as if classes were counted from 1.",
        ),
        "divided by the root of 2": (
            lambda W, x, y, step: W + (class_step_solution(W, x, y, step) - W) / 2**0.5,
            "Your update is too short by the square root of 2: tokens are not brought to the length of their points.",
        ),
        "rivals only": (_rivals_only, "The rivals are pushed down, and the own class stays. A token has two blocks."),
        "own class only": (_own_only, "The own class is pulled up, and the rivals stay. A token has two blocks."),
        "not normalised": (
            _not_normalised,
            "This is plain gradient descent on the exponential loss: your weights do not sum to 1.",
        ),
    },
    first_hint="Start from the table of scores [n, K]. Which entries of it, minus what, are the margins, up to sign?",
    praise="The same step, from a table of n by K scores: no token of K d entries is ever written.",
)
