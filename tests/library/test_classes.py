"""Kesler's tokens: the two-class layer descends the many-class pairwise exponential loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeded, seeds

import icl_lib as icl


def problem(seed, B=2, n=5, d=3, K=4):
    g = seeded(seed)
    x = torch.randn(B, n, d, generator=g, dtype=torch.float64)
    return x, torch.randint(K, (B, n), generator=g)


def pairwise_potential(W, x, y):
    """log of the mean over points i and classes c != y_i of exp(<W_c - W_{y_i}, x_i>), written with loops."""
    total = []
    for b in range(len(x)):
        terms = [
            (W[b, c] - W[b, y[b, i]]) @ x[b, i]
            for i in range(x.shape[1]) for c in range(W.shape[1]) if c != y[b, i]
        ]  # fmt: skip
        total.append(torch.logsumexp(torch.stack(terms), 0) - math.log(len(terms)))
    return torch.stack(total)


@given(seeds, st.integers(2, 5), st.integers(1, 4))
def test_one_layer_is_one_step_on_the_pairwise_loss(seed, K, d):
    """Relative 1e-12: sums of at most 20 terms in float64."""
    x, y = problem(seed, d=d, K=K)
    prompts = icl.kesler_prompts(x, y, K)
    W = torch.randn(2, K, d, generator=seeded(seed), dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(pairwise_potential(W, x, y).sum(), W)[0]
    layer, w = icl.ngd_layer(K * d, 0.3), W.detach().flatten(1)
    after = layer.step(torch.cat([torch.zeros_like(w), w], -1), prompts)
    torch.testing.assert_close(layer.read(after), (W - 0.3 * slope).detach().flatten(1), rtol=1e-12, atol=1e-12)


@given(seeds)
def test_a_token_is_right_exactly_if_one_class_beats_another(seed):
    x, y = problem(seed)
    prompts = icl.kesler_prompts(x, y, 4)
    assert prompts.z.shape == (2, 15, 12)
    w = torch.randn(2, 12, generator=seeded(seed + 1), dtype=torch.float64)
    scores = icl.class_scores(w, x)
    own = scores.gather(-1, y[..., None])
    expected = (own - scores)[torch.nn.functional.one_hot(y, 4) == 0].view(2, 15)
    torch.testing.assert_close(icl.margins(w, prompts.z), expected, rtol=1e-12, atol=1e-12)  # sums of 3 terms
    torch.testing.assert_close(prompts.radius, x.norm(dim=-1).amax(-1) * 2**0.5)


def test_two_classes_are_the_two_class_problem():
    """K = 2: w_0 - w_1 follows the two-class path with twice the step."""
    prompts = icl.LinearTask(3).sample(4, 9, generator=seeded(), dtype=torch.float64).normalized()
    y = (prompts.y < 0).long()  # class 0 is +1
    path = icl.Looped(icl.ngd_layer(6, 0.25), 30).iterates(icl.kesler_prompts(prompts.x, y, 2))
    expected = icl.ngd(prompts.z, 0.5, 30)
    torch.testing.assert_close(path[..., :3] - path[..., 3:], expected, rtol=1e-10, atol=1e-12)  # 30 steps


def test_separable_classes_are_learnt():
    g = seeded(1)
    centres = 4 * torch.eye(3, dtype=torch.float64)
    y = torch.arange(3).repeat(10)[None]
    x = centres[y] + 0.3 * torch.randn(1, 30, 3, generator=g, dtype=torch.float64)
    w = icl.Looped(icl.ngd_layer(9, 1.0), 200).final(icl.kesler_prompts(x, y, 3).normalized())
    assert (icl.class_scores(w, x).argmax(-1) == y).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "^classes: got 1"),
        ({"classes": 3}, "^y: got classes . to 3, expected classes 0 to 2"),
        ({"y": torch.zeros(2, 5)}, "^y: got torch.float32, expected a tensor of whole numbers"),
        ({"y": torch.full((2, 5), -1)}, "^y: got classes -1"),
        ({"y": torch.zeros(2, 4, dtype=torch.long)}, "^y: got shape"),
        ({"x": torch.full((2, 5, 3), torch.nan)}, "^x: got"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    x, y = problem(3)
    y[0, 0] = 3
    with pytest.raises(icl.BadInput, match=message):
        icl.kesler_prompts(**{"x": x, "y": y, "classes": 4, **change})


def test_scores_of_a_classifier_that_does_not_fit_are_refused():
    with pytest.raises(icl.BadInput, match=r"^w: got shape \[1, 7\], expected at least two classes of 3"):
        icl.class_scores(torch.zeros(1, 7), torch.zeros(1, 2, 3))
