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
