"""The coded exercises of chapter 16, "Trained end to end"."""

from __future__ import annotations

import torch
from torch import Tensor

from ..alignment import Response, alignment, calibrated
from .base import Exercise

# --- 1: the three measures


def _responses() -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Decisions [q] and sensitivities [q, d] of two models at the queries of one prompt."""
    g = torch.Generator().manual_seed(16)
    cases = []
    for q, d in ((4, 3), (1, 2), (7, 5)):
        f, g_ = torch.randn(q, generator=g), torch.randn(q, generator=g)
        g_ = g_ * torch.sign(f @ g_)  # on the whole they agree
        s = torch.randn(q, d, generator=g)
        t = s + torch.randn(q, d, generator=g) * torch.rand(q, 1, generator=g) * 3
        cases.append((f.double(), s.double(), g_.double(), t.double()))
    return cases


def _measures_stub(f, s, g, t):
    return torch.zeros(3)


def three_measures_solution(f, s, g, t):
    prediction = (f - g).abs().mean()
    cosine = ((s * t).sum(1) / (s.norm(dim=1) * t.norm(dim=1))).mean()
    difference = (s - t).norm(dim=1).mean()
    return torch.stack([prediction, cosine, difference])


def _replace(f, s, g, t, index: int, value: Tensor) -> Tensor:
    right = three_measures_solution(f, s, g, t)
    right[index] = value
    return right


def _cosine_of_means(f, s, g, t):
    return _replace(f, s, g, t, 1, torch.cosine_similarity(s.mean(0), t.mean(0), dim=0))


def _one_long_vector(f, s, g, t):
    return _replace(f, s, g, t, 1, torch.cosine_similarity(s.flatten(), t.flatten(), dim=0))


def _inner_product(f, s, g, t):
    return _replace(f, s, g, t, 1, (s * t).sum(1).mean())


def _signed(f, s, g, t):
    return _replace(f, s, g, t, 0, (f - g).mean())


def _squared(f, s, g, t):
    return _replace(f, s, g, t, 2, (s - t).square().sum(1).mean())


def _squared_predictions(f, s, g, t):
    return _replace(f, s, g, t, 0, (f - g).square().mean())


def _norm_of_mean(f, s, g, t):
    return _replace(f, s, g, t, 2, (s - t).mean(0).norm())


def _both_squared(f, s, g, t):
    return _replace(f, s, g, t, 0, (f - g).square().mean()).index_copy(
        0, torch.tensor([2]), (s - t).square().sum(1).mean()[None]
    )


def _roots(f, s, g, t):
    right = _both_squared(f, s, g, t)
    return torch.stack([right[0].sqrt(), right[1], right[2].sqrt()])


def _frobenius(f, s, g, t):
    return _replace(f, s, g, t, 2, (s - t).norm())


def _in_units_of_f(calibrate: bool, divide: bool):
    """The chapter's measure, or half of it."""

    def answer(f, s, g, t):
        mine, other = Response(f[None], s[None]), Response(g[None], t[None])
        means = torch.stack([v.mean() for v in alignment(mine, calibrated(mine, other) if calibrate else other)])
        return means / torch.stack([f.abs().mean(), f.new_ones(()), s.norm(dim=1).mean()]) if divide else means

    return answer


_RAW = "Wanted are the raw means, without the units of the chapter's function: you "


def _summed(f, s, g, t):
    return three_measures_solution(f, s, g, t) * len(f)


three_measures = Exercise(
    title="Three measures",
    difficulty=1,
    importance=3,
    minutes=10,
    stub=_measures_stub,
    solution=three_measures_solution,
    cases=_responses(),
    mistakes={
        "cosine of the means": (
            _cosine_of_means,
            "You average the sensitivities first and compare the averages. Models that differ at every query can agree "
            "on average: compare first, then average.",
        ),
        "one long vector": (
            _one_long_vector,
            "You compare all queries as one long vector, so queries with long sensitivities count more. Every query "
            "has a cosine of its own.",
        ),
        "cosine without lengths": (
            _inner_product,
            "Your cosine grows if one model is multiplied by 10. What must the inner product be divided by?",
        ),
        "signed predictions": (
            _signed,
            "Your differences of predictions cancel: models that differ at every query can get 0. Which sign is meant?",
        ),
        "squared sensitivities": (
            _squared,
            "The third measure is a length, and yours has the unit of a squared length.",
        ),
        "squared predictions": (
            _squared_predictions,
            "The first measure is a mean of absolute differences; yours is a mean of squares.",
        ),
        "length of the mean": (
            _norm_of_mean,
            "You average the differences of sensitivities before you take the length. They may point in opposite "
            "directions and cancel.",
        ),
        "both squared": (
            _both_squared,
            "Your first and third measures are means of squares. Both are means of sizes: an absolute value, a length.",
        ),
        "roots of mean squares": (
            _roots,
            "Your first and third measures are roots of mean squares, in which large differences weigh more. Take "
            "plain means of sizes.",
        ),
        "Frobenius norm": (
            _frobenius,
            "Your third measure is the length of all differences in one long vector. Every query has a length of its "
            "own; take their mean.",
        ),
        "the chapter's measure": (_in_units_of_f(True, True), _RAW + "calibrated g, and divided by the sizes of f's."),
        "calibrated": (_in_units_of_f(True, False), _RAW + "multiplied g by the number that brings it nearest to f."),
        "divided": (_in_units_of_f(False, True), _RAW + "divided by the mean sizes of f and of its sensitivities."),
        "sums": (_summed, "Your measures grow with the number of queries. They should be means over queries."),
    },
    first_hint="Each measure is a mean over the queries of a number that belongs to one query.",
    praise="All three, and each is a mean over queries of something that belongs to one query.",
)

# --- 2: the degree of an answer


def _rays() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Decisions [q], sensitivities [q, d] and queries [q, d] of models whose degree is neither 0 nor 1 throughout."""
    g = torch.Generator().manual_seed(17)
    cases = []
    for q, d in ((3, 2), (5, 4)):
        x, s = torch.randn(q, d, generator=g).double(), torch.randn(q, d, generator=g).double()
        f = (torch.randn(q, generator=g).double().abs() + 1) * (-1.0) ** torch.arange(q)  # of both signs
        cases.append((f, s, x))
    return cases


def _degree_stub(f, s, x):
    return torch.zeros_like(f)


def degree_solution(f, s, x):
    return (s * x).sum(1) / f


def _degree_without_answer(f, s, x):
    return (s * x).sum(1)


def _degree_as_cosine(f, s, x):
    return torch.cosine_similarity(s, x, dim=1)


def _degree_upside_down(f, s, x):
    return f / (s * x).sum(1)


def _degree_along_unit(f, s, x):
    return (s * x).sum(1) / x.norm(dim=1) / f


def _degree_absolute(f, s, x):
    return ((s * x).sum(1) / f).abs()


degree = Exercise(
    title="The degree of an answer",
    difficulty=2,
    importance=2,
    minutes=10,
    stub=_degree_stub,
    solution=degree_solution,
    cases=_rays(),
    mistakes={
        "not divided by the answer": (
            _degree_without_answer,
            "This is the derivative of f(cx) in c: it grows if f is multiplied by 10. A share of what is wanted?",
        ),
        "a cosine": (
            _degree_as_cosine,
            "This is the angle between sensitivity and query. For a linear classifier it differs from query to query, "
            "and the degree should be 1 at all of them.",
        ),
        "divided by the size of the answer": (
            lambda f, s, x: (s * x).sum(1) / f.abs(),
            "You divide by |f|. Take f(x) = <w, x> with w = (1, 0) at x = (-1, 0): yours is -1, and a linear "
            "classifier has degree 1 wherever it is asked.",
        ),
        "upside down": (_degree_upside_down, "For an answer that does not depend on c yours divides by zero."),
        "along a unit vector": (
            _degree_along_unit,
            "You move the query by a unit of length; it should move by a share of its own length. Try a linear "
            "classifier: is the result 1?",
        ),
        "without sign": (
            _degree_absolute,
            "An answer that shrinks as the query grows has a negative degree. Yours cannot be negative.",
        ),
    },
    first_hint="Differentiate log f(cx) with respect to log c, at c = 1, by the chain rule.",
    praise="It is 1 for every linear classifier, at every query, and 0 for the Bayes answer.",
)
