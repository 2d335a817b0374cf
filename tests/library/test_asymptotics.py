"""The theory of the error: limits agree with their own tails, with each other's order, and with simulation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import icl_lib as icl
from icl_lib import asymptotics

RATIOS = st.floats(0.05, 500)


@settings(max_examples=25, deadline=None)
@given(RATIOS)
def test_nobody_beats_the_best_and_the_max_margin_beats_the_average(ratio):
    best, margin = asymptotics.bayes_limit(ratio), asymptotics.max_margin_limit(ratio)
    assert 0 < best <= margin.error * (1 + 1e-6) <= asymptotics.averaging_limit(ratio) * (1 + 1e-5) < 0.5
    assert margin.margin > 0


@pytest.mark.parametrize(
    ("limit", "constant"),
    [
        (lambda r: asymptotics.max_margin_limit(r).error, asymptotics.max_margin_constant()),
        (asymptotics.bayes_limit, asymptotics.bayes_constant()),
    ],
)
def test_the_constants_are_the_tails_of_the_curves(limit, constant):
    # two different formulas; what is left out is of relative order 1 / ratio^2
    assert limit(300) * 300 == pytest.approx(constant, rel=1e-4)
    assert abs(limit(3) * 3 / constant - 1) > 0.02


def test_the_constants_are_those_of_the_literature():
    assert asymptotics.max_margin_constant() == pytest.approx(0.5005, abs=1e-4)
    assert asymptotics.bayes_constant() == pytest.approx(0.4417, abs=1e-4)


@pytest.mark.parametrize("ratio", [0.5, 2.0, 6.0])
def test_large_prompts_agree_with_the_limits(ratio):
    d, g = 150, torch.Generator().manual_seed(0)
    p = icl.LinearTask(d).sample(24, round(ratio * d), generator=g, dtype=torch.float64)
    best = icl.max_margin(p.z)
    limit = asymptotics.max_margin_limit(ratio)
    # one prompt's error is off by about 1 / sqrt(2 d), a twentieth; the mean of 24 by a hundredth
    assert float(icl.exact_error(best.direction, p.w_star).mean()) == pytest.approx(limit.error, rel=0.04)
    assert float(best.margin.mean()) == pytest.approx(limit.margin, rel=0.04)
    average = icl.exact_error(p.z.mean(1), p.w_star)
    assert float(average.mean()) == pytest.approx(asymptotics.averaging_limit(ratio), rel=0.04)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.floats(1.0, 80))
def test_the_counting_bound_is_at_least_its_closed_form(d, ratio):
    n = max(math.ceil(ratio * d), 2)
    simple = (1 - 1 / d) * (d - 1) / (n - 1) / (math.pi * math.e)
    assert simple <= asymptotics.counting_bound(n, d) < 0.5


def test_the_counting_bound_in_the_plane_is_a_known_integral():
    # 2n cells, caps of share min(n sin(theta), 1): (1 / pi) of the integral of 1 - n sin(theta) up to arcsin(1 / n)
    for n in (2, 10, 1000):
        end = math.asin(1 / n)
        assert asymptotics.counting_bound(n, 2) == pytest.approx((end - n * (1 - math.cos(end))) / math.pi, rel=1e-6)


def test_no_learner_that_we_have_beats_the_counting_bound():
    for d, n in ((2, 4), (5, 5), (10, 3), (10, 80)):
        p = icl.LinearTask(d).sample(400, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        centre = icl.bayes_point(p.z, 20 * d, generator=torch.Generator().manual_seed(1)).centre
        assert float(icl.exact_error(centre, p.w_star).mean()) > asymptotics.counting_bound(n, d)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf, "2"])
@pytest.mark.parametrize("limit", ["averaging_limit", "max_margin_limit", "bayes_limit"])
def test_a_ratio_is_a_positive_number(limit, ratio):
    with pytest.raises(icl.BadInput, match="ratio: got"):
        getattr(asymptotics, limit)(ratio)


def test_sizes_are_whole_numbers():
    assert asymptotics.counting_bound(10, 1) == 0.0
    for n, d in ((-1, 3), (2.5, 3), (4, 0)):
        with pytest.raises(icl.BadInput):
            asymptotics.counting_bound(n, d)
