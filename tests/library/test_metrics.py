"""What is measured: errors, angles, margins, intervals."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, normal, points, prompts, seeded, seeds

import icl_lib as icl


def test_the_error_rate_counts_wrong_signs_and_half_of_the_undecided():
    decision = torch.tensor([[2.0, -0.1, 0.0, 5.0], [-1.0, -1.0, -1.0, -1.0]])
    y = torch.tensor([[1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]])
    assert icl.error_rate(decision, y).tolist() == [2.5 / 4, 0.0]
    assert icl.error_rate(-decision, y).tolist() == [1.5 / 4, 1.0]
    assert icl.error_rate(torch.zeros(3, 7), torch.ones(3, 7)).tolist() == [0.5] * 3


def test_a_whole_path_of_decisions_is_judged_by_one_set_of_labels():
    path, y = normal(5, 3, 4), torch.ones(3, 4, dtype=torch.float64)
    assert torch.equal(icl.error_rate(path, y), torch.stack([icl.error_rate(v, y) for v in path]))


@pytest.mark.parametrize("tiny", [1e-15, 1e-12, 1e-6, 0.1, math.pi / 2, 3.0, math.pi - 1e-6, math.pi - 1e-12, math.pi])
def test_an_angle_is_accurate_where_arccos_is_not(tiny):
    u = torch.tensor([1.0, 0.0], dtype=torch.float64)
    v = torch.tensor([math.cos(tiny), math.sin(tiny)], dtype=torch.float64)
    torch.testing.assert_close(icl.angle(u, v).item(), tiny, rtol=1e-12, atol=0)


@given(seeds, st.integers(1, 6), st.sampled_from([1e-200, 1e-6, 1.0, 1e6, 1e200]))
def test_an_angle_does_not_depend_on_lengths_or_order(seed, d, scale):
    u, v = normal(2, 4, d, seed=seed)
    assert_same(icl.angle(scale * u, v / scale), icl.angle(u, v), scale=1.0)
    assert_same(icl.angle(v, u), icl.angle(u, v), scale=1.0)
    assert_same(icl.angle(-u, v), math.pi - icl.angle(u, v), scale=1.0)
    assert_same(torch.cos(icl.angle(u, v)), torch.nn.functional.cosine_similarity(u, v, dim=-1), scale=1.0)


def test_the_angle_of_a_vector_to_itself_is_zero():
    assert icl.angle(u := normal(10, 3), u).tolist() == [0.0] * 10


@given(st.data(), prompts(), st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_normalized_margin_is_the_least_distance_to_the_boundary(data, p, scale):
    w = data.draw(points(p)) * scale
    seen = icl.normalized_margin(w, p.z)
    for b in range(len(w)):
        size = w[b].norm()
        expected = min(float(w[b] @ z) for z in p.z[b]) / float(size) if size > 0 else 0.0
        torch.testing.assert_close(seen[b].item(), expected, rtol=1e-12, atol=1e-12 * float(p.radius[b]))


def test_the_zero_classifier_has_margin_zero_and_a_finite_gradient():
    w = torch.zeros(2, 3, dtype=torch.float64)
    assert icl.normalized_margin(w, normal(2, 4, 3)).tolist() == [0.0, 0.0]
    assert icl.normalized_margin(torch.stack([w, w + 1]), normal(2, 4, 3)).shape == (2, 2)


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    """400 experiments of 30 normal samples: a 90 % interval should cover 0 in 360 +- 6 (one standard error).

    The percentile bootstrap is known to be short at small samples, by about 2 % here; five standard errors below that.
    """
    samples = normal(30, 400, seed=1)
    _, low, high = icl.bootstrap_interval(samples, generator=seeded(2), level=0.9)
    covered = int(((low <= 0) & (high >= 0)).sum())
    assert 322 <= covered <= 385
    wide = icl.bootstrap_interval(samples, generator=seeded(2), level=0.99)
    assert (wide.low <= low).all()
    assert (wide.high >= high).all()


def test_an_interval_has_the_width_of_the_standard_error():
    samples = normal(400, 50, seed=3)
    mean, low, high = icl.bootstrap_interval(samples, generator=seeded(0))
    assert torch.equal(mean, samples.mean(0))
    expected = 2 * 1.96 * samples.std(0) / 20
    assert ((high - low) / expected - 1).abs().max() < 0.2  # quantiles of 1000 resamples: a few per cent
    assert (((low + high) / 2 - mean).abs() < 0.25 * (high - low)).all()


def test_an_interval_is_reproducible_and_comes_from_the_generator_alone():
    samples, before = normal(10, 3), torch.get_rng_state()
    first = icl.bootstrap_interval(samples, generator=seeded(5))
    again = icl.bootstrap_interval(samples, generator=seeded(5))
    other = icl.bootstrap_interval(samples, generator=seeded(6))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.low, other.low)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_interval_of_constants_is_a_point_and_keeps_dtype_and_shape():
    interval = icl.bootstrap_interval(torch.full((5, 2, 3), 0.25), generator=seeded(), resamples=10)
    for part in interval:
        assert part.dtype == torch.float32
        assert torch.equal(part, torch.full((2, 3), 0.25))
    assert icl.bootstrap_interval(torch.arange(4.0), generator=seeded()).mean.shape == ()


def test_every_sample_may_be_drawn():
    """One sample of four is 1, the others 0: each resample holds it 0, 1, 2, ... times, wherever it stands."""
    for k in range(4):
        samples = torch.zeros(4)
        samples[k] = 1.0
        interval = icl.bootstrap_interval(samples, generator=seeded(), level=0.9)
        assert (float(interval.low), float(interval.mean)) == (0.0, 0.25)
        assert 0.5 <= float(interval.high) <= 0.75


def test_two_level_intervals_cover_the_mean_of_groups_where_flat_ones_do_not():
    """300 experiments, 12 seeds of 10 tasks; the seeds differ as much as the tasks: a 90 % interval covers 0 in 270.

    One standard error is 5. Nested intervals err to the wide side, percentile intervals from 12 groups to the narrow
    one, by up to 4 %; an interval that takes the 120 samples for independent has half the width and covers about 60 %.
    """
    samples = normal(12, 1, 300, seed=1) + normal(12, 10, 300, seed=2)

    def covered(interval):
        return int(((interval.low <= 0) & (interval.high >= 0)).sum())

    assert 234 <= covered(icl.bootstrap_interval(samples, generator=seeded(3), level=0.9, axes=2)) <= 290
    assert covered(icl.bootstrap_interval(samples.flatten(0, 1), generator=seeded(3), level=0.9)) < 210


def test_two_level_intervals_have_the_width_of_both_levels():
    """40 groups of 30: variance a^2/40 between plus b^2/1200 within; the nested one counts the second part twice."""
    for a, b in ((1.0, 0.0), (0.0, 1.0), (1.0, 2.0)):
        samples = a * normal(40, 1, 100, seed=1) + b * normal(40, 30, 100, seed=2)
        mean, low, high = icl.bootstrap_interval(samples, generator=seeded(0), axes=2)
        assert_same(mean, samples.mean((0, 1)), scale=1.0)
        expected = 2 * 1.96 * (a**2 / 40 + 2 * b**2 / 1200) ** 0.5
        # 100 columns average out the 11 % by which a standard deviation of 40 groups is off
        assert abs(float((high - low).mean()) / expected - 1) < 0.1


def test_two_level_intervals_resample_groups_and_members():
    groups = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    members = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    for samples in (groups, members):
        interval = icl.bootstrap_interval(samples, generator=seeded(), level=1.0, axes=2)
        assert [float(v) for v in interval] == [0.5, 0.0, 1.0]
    again = [icl.bootstrap_interval(members, generator=seeded(4), axes=2, resamples=20) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (5, 1)])
def test_two_levels_need_two_of_each(shape):
    with pytest.raises(
        icl.BadInput, match=r"^samples: got shape .*at least 2 samples along each of the first two axes"
    ):
        icl.bootstrap_interval(torch.ones(shape), generator=seeded(), axes=2)


@pytest.mark.parametrize("axes", [0, 3, 1.0, True])
def test_other_numbers_of_levels_are_refused(axes):
    with pytest.raises(icl.BadInput, match=r"^axes: got"):
        icl.bootstrap_interval(torch.ones(3, 3, 3), generator=seeded(), axes=axes)


# The exact error


@given(seeds, st.integers(1, 6))
def test_the_exact_error_is_an_angle_over_pi(seed, d):
    w, w_star = normal(4, 3, d, seed=seed), normal(3, d, seed=seed + 1)
    error = icl.exact_error(w, w_star)
    assert error.shape == (4, 3)
    assert_same(error, icl.angle(w, w_star) / math.pi, scale=1.0)
    assert_same(icl.exact_error(-w, w_star), 1 - error, scale=1.0)
    assert_same(icl.exact_error(7 * w, w_star), error, scale=1.0)
    assert icl.exact_error(w_star, w_star).tolist() == [0.0] * 3


def test_the_zero_classifier_guesses():
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    w_star = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert icl.exact_error(w, w_star, "sphere").tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: icl.exact_error(w, w, "cube"), r"^law: got 'cube', expected a rotation-invariant law"),
        (lambda w: icl.exact_error(w, w, "cauchy"), r"^law: got 'cauchy', expected one of"),
        (lambda w: icl.exact_error(w, 0 * w), r"^w_star: got a zero vector, expected a direction$"),
        (lambda w: icl.exact_error(w, w[:1]), r"^w_star: got .* B = 2"),
        (lambda w: icl.exact_error(w, w.float()), r"^w_star: got torch.float32 .* dtype and device of w "),
        (lambda w: icl.exact_error(math.nan * w, w), r"^w: got .*NaN"),
    ],
)
def test_an_exact_error_refuses_bad_input(call, message):
    with pytest.raises(icl.BadInput, match=message):
        call(normal(2, 3))


# Slopes

SIZES = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)


@given(st.floats(-2, 2), st.floats(0.1, 10))
def test_the_slope_of_a_power_law_is_its_exponent(power, factor):
    y = (factor * SIZES**power).expand(3, 5)
    for part in icl.fit_slope(SIZES, y, generator=seeded(), resamples=5):
        assert part.shape == ()
        assert_same(part, torch.tensor(power, dtype=torch.float64), scale=1.0)


def test_the_slope_is_that_of_least_squares_on_the_mean():
    y = normal(7, 5).abs()
    design = torch.stack([SIZES.log(), torch.ones(5)], -1)
    expected = torch.linalg.lstsq(design, y.mean(0).log()[:, None]).solution[0, 0]
    assert_same(icl.fit_slope(SIZES, y, generator=seeded(), resamples=5).mean, expected, scale=1.0)


def test_a_slope_interval_covers_about_as_often_as_it_says():
    """100 experiments of 40 seeds with noise of 30 %: a 90 % interval covers -1 in 90 +- 3 (one standard error)."""
    covered = 0
    for k in range(100):
        y = (1 + 0.3 * normal(40, 5, seed=k)).clamp_min(0) / SIZES
        _, low, high = icl.fit_slope(SIZES, y, generator=seeded(k), level=0.9, resamples=200)
        covered += int(low <= -1 <= high)
    assert 73 <= covered <= 100 - 1


def test_a_slope_interval_comes_from_the_generator_alone():
    y, before = normal(6, 5).abs(), torch.get_rng_state()
    first, again, other = (icl.fit_slope(SIZES, y, generator=seeded(s), resamples=50) for s in (1, 1, 2))
    assert first == again
    assert first.low != other.low
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (SIZES, torch.ones(1, 5).double(), r"^y: got shape \[1, 5\].*at least 2 rows"),
        (SIZES, -torch.ones(2, 5).double(), r"^y: got .*least -1, expected .*numbers >= 0"),
        (SIZES, torch.ones(2, 4).double(), r"^y: got .* K = 5"),
        (SIZES, torch.ones(2, 5), r"^y: got torch.float32"),
        (SIZES, torch.zeros(2, 5).double(), r"^y: got a \(resampled\) mean of 0"),
        (SIZES, torch.eye(5).double(), r"^y: got a \(resampled\) mean of 0"),
        (SIZES * 0, torch.ones(2, 5).double(), r"^x: got .*numbers > 0"),
        (SIZES * 0 + 2, torch.ones(2, 5).double(), r"^x: got .*at least two of them different"),
        (SIZES[:1], torch.ones(2, 1).double(), r"^x: got .*at least two of them different"),
        (SIZES.tolist(), torch.ones(2, 5).double(), r"^x: got list"),
    ],
)
def test_a_slope_refuses_bad_input(x, y, message):
    with pytest.raises(icl.BadInput, match=message):
        icl.fit_slope(x, y, generator=seeded())
