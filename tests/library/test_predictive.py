"""The Bayes answer: against closed forms in the plane, by differences, and against the billiard's centre."""

import math

import pytest
import torch
from strategies import seeded

import icl_lib as icl
from icl_lib.predictive import bayes_prediction, version_space

f64 = torch.float64


def arc(z):
    """The ends of the version space of tokens z [n, 2] on the circle, as angles around their separator."""
    u = icl.max_margin(z[None]).direction[0]
    turned = torch.stack([z @ u, z @ torch.stack([-u[1], u[0]])], 1)
    angles = torch.atan2(turned[:, 1], turned[:, 0])  # all within a right angle of 0
    return u, float(angles.max()) - math.pi / 2, float(angles.min()) + math.pi / 2


def plane(seed):
    return icl.LinearTask(2).sample(1, 5, 6, generator=seeded(seed), dtype=f64)


@pytest.mark.parametrize("seed", range(4))
def test_in_the_plane_the_chance_is_a_share_of_an_arc(seed):
    p = plane(seed)
    u, low, high = arc(p.z[0])
    seen = bayes_prediction(p.z, p.x_query, 4000, generator=seeded(seed)).probability[0]
    for x, chance in zip(p.x_query[0], seen, strict=True):
        angle = math.atan2(float(x[1] * u[0] - x[0] * u[1]), float(x @ u))
        begin, end = angle - math.pi / 2, angle + math.pi / 2  # directions that answer +1
        shares = [max(0.0, min(high, end + t) - max(low, begin + t)) for t in (-2 * math.pi, 0.0, 2 * math.pi)]
        assert abs(sum(shares) / (high - low) - float(chance)) < 0.03  # 4000 samples: a few times 1/sqrt(4000)


def test_the_gradient_is_the_derivative_of_the_chance():
    p = icl.LinearTask(3).sample(20, 6, 4, generator=seeded(1), dtype=f64)
    seen = bayes_prediction(p.z, p.x_query, 4000, generator=seeded(2))
    step = 1e-3 * torch.tensor([0.3, -1.0, 0.5], dtype=f64)
    ahead = bayes_prediction(p.z, p.x_query + step, 4000, generator=seeded(2)).probability  # the same samples
    back = bayes_prediction(p.z, p.x_query - step, 4000, generator=seeded(2)).probability
    predicted = (seen.gradient @ step) * 2
    # the estimate of the gradient is another average of the same samples: they agree to sampling error
    assert ((ahead - back) - predicted).abs().mean() < 0.05 * predicted.abs().mean()


def test_the_answer_does_not_depend_on_the_length_of_the_query():
    p = icl.LinearTask(3).sample(5, 6, 4, generator=seeded(1), dtype=f64)
    one, far = (bayes_prediction(p.z, c * p.x_query, 50, generator=seeded(2)) for c in (1.0, 7.0))
    torch.testing.assert_close(one.probability, far.probability)
    torch.testing.assert_close(one.gradient, 7 * far.gradient)
    radial = torch.einsum("bqd,bqd->bq", one.gradient, p.x_query)
    torch.testing.assert_close(radial, torch.zeros_like(radial), rtol=0, atol=1e-12)  # Euler: degree 0


def test_samples_agree_with_the_context_and_their_mean_is_the_bayes_point():
    p = icl.LinearTask(5).sample(20, 20, generator=seeded(3), dtype=f64)
    w = version_space(p.z, 500, generator=seeded(4))
    assert (torch.einsum("bsd,bnd->bsn", w, p.z) > -1e-9).all()  # rounding of a point on a wall
    centre = (w / w.norm(dim=-1, keepdim=True)).mean(1)
    billiard = icl.bayes_point(p.z, 2000, generator=seeded(5)).centre
    assert icl.angle(centre, billiard).max() < 0.1  # radians; both are Monte Carlo


def test_the_chances_are_calibrated():
    p = icl.LinearTask(4).sample(400, 8, 5, generator=seeded(6), dtype=f64)
    chance = bayes_prediction(p.z, p.x_query, 60, generator=seeded(7)).probability
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (chance >= low) & (chance <= low + 0.25)
        share, expected = (p.y_query[inside] > 0).double().mean(), chance[inside].mean()
        assert abs(share - expected) < 0.09  # at least 200 queries in each quarter
        assert inside.sum() > 200


def test_after_one_token_a_query_across_it_is_a_coin():
    # one token: the version space is a half-space, and a query across it is a coin
    z = torch.tensor([[[2.0, 0.0, 0.0]]], dtype=f64)
    x = torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [-3.0, 0.0, 0.0]]], dtype=f64)
    chance = bayes_prediction(z, x, 4000, generator=seeded(8)).probability[0]
    torch.testing.assert_close(chance, torch.tensor([0.5, 1.0, 0.0], dtype=f64), rtol=0, atol=0.02)


def test_bad_input_is_refused():
    z = torch.randn(2, 3, 4, generator=seeded(), dtype=f64)
    with pytest.raises(icl.BadInput, match="samples"):
        version_space(z, 0, generator=seeded())
    with pytest.raises(icl.BadInput, match="x_query"):
        bayes_prediction(z, z[:1], 5, generator=seeded())
    with pytest.raises(icl.NotSeparable):
        version_space(torch.cat([z, -z], 1), 5, generator=seeded())
