"""Right answers of chapter 16 in other forms; what holds of every exercise is in test_exercises."""

import numpy as np
import pytest
import torch

from icl_lib.alignment import Response, alignment
from icl_lib.exercises import Exercise, ch16

EXERCISES = {name: value for name, value in vars(ch16).items() if isinstance(value, Exercise)}


def test_the_chapter_has_its_two_exercises():
    assert list(EXERCISES) == ["three_measures", "degree"]


# --- right answers that are written in another way


def _measures_of_the_library(f, s, g, t):
    return [float(v) for v in alignment(Response(f[None], s[None]), Response(g[None], t[None]))]


def _measures_with_loops(f, s, g, t):
    f, s, g, t = (v.numpy() for v in (f, s, g, t))
    rows = [
        (abs(a - b), u @ v / np.sqrt((u @ u) * (v @ v)), np.linalg.norm(u - v))
        for a, b, u, v in zip(f, g, s, t, strict=True)
    ]
    return np.mean(rows, axis=0)


def _degree_by_logarithms(f, s, x):
    # along a ray f is its tangent here: log |f(x + h x)| - log |f(x - h x)|, over 2 h
    h = 1e-4
    slope = (s * x).sum(1)
    return ((f + h * slope).abs().log() - (f - h * slope).abs().log()) / (2 * h)


@pytest.mark.parametrize("answer", [_measures_of_the_library, _measures_with_loops])
def test_other_right_measures_pass(answer):
    assert ch16.three_measures.check(answer)


def test_another_right_degree_passes():
    assert ch16.degree.check(_degree_by_logarithms)


def test_the_degrees_that_the_page_states():
    w, x = torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 1.0], [2.0, 0.3]]).requires_grad_()
    for f, expected in ((x @ w, 1.0), ((x @ w) ** 3, 3.0), ((x @ w) / x.norm(dim=1), 0.0)):
        s = torch.autograd.grad(f.sum(), x, retain_graph=True)[0]
        torch.testing.assert_close(ch16.degree.solution(f, s, x), torch.full((2,), expected), rtol=0, atol=1e-5)
