"""How alike two models are: the measures, their invariances, and what no linear classifier can reach."""

import pytest
import torch
from hypothesis import given
from strategies import normal, prompts, seeded, seeds

import icl_lib as icl
from icl_lib.alignment import (
    Response,
    alignment,
    calibrated,
    cosines,
    linear_ceiling,
    linear_response,
    response,
)


def some(seed: int = 0) -> Response:
    return Response(normal(3, 4, seed=seed), normal(3, 4, 5, seed=seed + 1))


@given(seeds)
def test_equal_responses_have_0_1_0(seed):
    same = alignment(some(seed), some(seed))
    assert torch.equal(same.prediction, torch.zeros(3).double())
    torch.testing.assert_close(same.cosine, torch.ones(3).double(), rtol=0, atol=1e-14)  # rounding of a unit's square
    assert torch.equal(same.sensitivity, torch.zeros(3).double())


@given(seeds)
def test_opposite_responses_have_cosine_minus_1_and_twice_the_size(seed):
    f = some(seed)
    opposite = alignment(f, f.scaled(-1.0))
    torch.testing.assert_close(opposite.prediction, 2 * f.decision.abs().mean(-1))
    torch.testing.assert_close(opposite.cosine, -torch.ones(3).double())
    torch.testing.assert_close(opposite.sensitivity, 2 * f.sensitivity.norm(dim=-1).mean(-1))


@given(seeds)
def test_the_cosine_ignores_scales_and_the_other_two_do_not(seed):
    f, g = some(seed), some(seed + 7)
    once, other = alignment(f, g), alignment(f, g.scaled(1e-200))
    torch.testing.assert_close(once.cosine, other.cosine)  # though squares of 1e-200 are 0
    assert not torch.allclose(once.prediction, other.prediction)
    assert not torch.allclose(once.sensitivity, other.sensitivity)


@given(seeds)
def test_the_measures_are_symmetric(seed):
    f, g = some(seed), some(seed + 7)
    for one, other in zip(alignment(f, g), alignment(g, f), strict=True):
        torch.testing.assert_close(one, other)


def test_a_known_pair():
    f = Response(torch.tensor([[1.0, -2.0]]), torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]))
    g = Response(torch.tensor([[0.0, 2.0]]), torch.tensor([[[0.0, 3.0], [0.0, 5.0]]]))
    seen = alignment(f, g)
    assert seen.prediction.item() == 2.5
    assert seen.cosine.item() == 0.5
    torch.testing.assert_close(seen.sensitivity, torch.tensor([(10**0.5 + 3) / 2]))


@given(prompts(queries=3, normalized=True))
def test_the_looped_layer_responds_like_explicit_descent(p):
    mine = response(icl.Looped(icl.ngd_layer(p.x.shape[2], 1.0), 7), p)
    explicit = linear_response(icl.ngd(p.z, 1.0, 7)[-1], p.x_query)
    for one, other in zip(mine, explicit, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)  # 7 steps of rounding


class Quadratic:
    """f(x) = <w, x>^2 / 2, whose gradient is <w, x> w."""

    def __init__(self, w):
        self.w = w

    def decision(self, prompts, x_query):
        return torch.einsum("bqd,bd->bq", x_query, self.w).square() / 2


def test_the_sensitivity_of_a_function_that_is_not_linear():
    p, w = icl.LinearTask(3).sample(2, 4, 5, generator=seeded(), dtype=torch.float64), normal(2, 3)
    seen = response(Quadratic(w), p)
    along = torch.einsum("bqd,bd->bq", p.x_query, w)
    torch.testing.assert_close(seen.sensitivity, along[..., None] * w[:, None])
    assert not seen.decision.requires_grad
    assert not p.x_query.requires_grad


@given(seeds)
def test_calibration_finds_the_factor_and_no_other_factor_is_nearer(seed):
    f, noise = some(seed), normal(3, 4, seed=seed + 9)
    g = Response(f.decision / 3 + 0.05 * noise, f.sensitivity)
    nearest = (calibrated(f, g).decision - f.decision).square().sum()
    torch.testing.assert_close(calibrated(f, f.scaled(0.25)).decision, f.decision)
    for factor in (0.9, 1.1):
        assert nearest <= (calibrated(f, g).decision * factor - f.decision).square().sum()


def test_calibration_refuses_to_turn_a_model_round():
    with pytest.raises(icl.BadInput, match="decisions that agree"):
        calibrated(some(), some().scaled(-1.0))


@given(seeds)
def test_no_linear_classifier_passes_the_ceiling_and_one_reaches_it(seed):
    s = normal(4, 6, 3, seed=seed)
    ceiling = linear_ceiling(s)
    rivals = normal(50, 4, 3, seed=seed + 1)
    reached = torch.stack([cosines(s, w[:, None].expand_as(s)).mean(-1) for w in rivals])
    assert (reached <= ceiling + 1e-12).all()
    best = (s / s.norm(dim=-1, keepdim=True)).mean(1)
    torch.testing.assert_close(cosines(s, best[:, None].expand_as(s)).mean(-1), ceiling)


def test_the_ceiling_of_a_linear_classifier_is_1():
    w = normal(4, 3)
    torch.testing.assert_close(linear_ceiling(w[:, None].expand(4, 6, 3)), torch.ones(4).double())


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda f: alignment(f, Response(f.decision, f.sensitivity[:, :2])), "g.sensitivity: got shape"),
        (lambda f: alignment(f, Response(f.decision.float(), f.sensitivity.float())), "g.sensitivity"),
        (lambda f: alignment(f, f.scaled(0.0)), "a zero vector"),
        (lambda f: linear_response(normal(2, 5), normal(3, 4, 5)), "w: got shape"),
        (
            lambda f: response(
                icl.Looped(icl.ngd_layer(5, 1.0), 1), icl.LinearTask(5).sample(2, 3, generator=seeded())
            ),
            "x_query",
        ),
        (lambda f: linear_ceiling(f.sensitivity * float("nan")), "finite"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(icl.BadInput, match=told):
        call(some())
