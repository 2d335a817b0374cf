"""The billiard finds the centre of the version space where that is known, and never leaves it."""

import math

import pytest
import torch
from torch.testing import assert_close

import icl_lib as icl


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_in_the_plane_the_centre_is_the_middle_of_the_arc():
    p = icl.LinearTask(2).sample(50, 7, generator=seeded(), dtype=torch.float64)
    centre, sample = icl.bayes_point(p.z, 1000, generator=seeded(1))
    z = p.z / p.z.norm(dim=-1, keepdim=True)
    # the two walls: signed angles of the tokens from the centre; an arc's ends are 90 degrees off the outermost tokens
    turn = torch.atan2(z[..., 1] * centre[:, :1] - z[..., 0] * centre[:, 1:], (z * centre[:, None]).sum(-1))
    low, high = turn.amax(-1) - math.pi / 2, turn.amin(-1) + math.pi / 2
    assert_close(low, -high, rtol=0, atol=4e-3)  # all of 1,000 crossings but the first are whole
    assert (icl.margins(sample, p.z) > 0).all()


def test_in_an_orthant_all_coordinates_are_alike():
    d = 6
    z = torch.eye(d, dtype=torch.float64).expand(200, d, d)
    centre, sample = icl.bayes_point(z, 100 * d, generator=seeded())
    # paths in an orthant are closed, the worst case: one centre's coordinate is off by a fifth, 200 by 1.5 percent
    assert_close(centre.mean(0), torch.full((d,), d**-0.5, dtype=torch.float64), rtol=0.08, atol=0)
    assert (sample > -1e-12).all()
    # uniform on the sphere's orthant: coordinates have mean square 1/d and mean Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))
    mean = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    assert_close(sample.mean(), torch.tensor(mean, dtype=torch.float64), rtol=0.08, atol=0)  # 1,200 numbers, 2 percent
    assert_close(sample.square().mean(0), torch.full((d,), 1 / d, dtype=torch.float64), rtol=0.35, atol=0)


def test_it_stays_in_the_version_space_and_beats_its_own_samples():
    p = icl.LinearTask(10).sample(100, 60, generator=seeded(), dtype=torch.float64)
    centre, sample = icl.bayes_point(p.z, 400, generator=seeded(1))
    for w in (centre, sample):
        assert_close(w.norm(dim=-1), torch.ones(100, dtype=torch.float64))
        assert (icl.margins(w, p.z) > -1e-12).all()
    errors = [float(icl.exact_error(w, p.w_star).mean()) for w in (centre, sample)]
    assert errors[0] < 0.85 * errors[1]  # 1 / sqrt(2) for large n / d


def test_lengths_of_tokens_do_not_matter():
    p = icl.LinearTask(3).sample(5, 12, generator=seeded(), dtype=torch.float64)
    longer = p.z * (1 + torch.rand(5, 12, 1, generator=seeded(2), dtype=torch.float64))
    centres = [icl.bayes_point(z, 1000, generator=seeded(1)).centre for z in (p.z, longer)]
    assert_close(*centres, rtol=0, atol=0.08)  # two different paths: they start at different max-margin directions


def test_float32_stays_float32():
    p = icl.LinearTask(4).sample(2, 6, generator=seeded())
    assert icl.bayes_point(p.z, 50, generator=seeded()).centre.dtype == torch.float32


def test_bad_input_is_refused():
    z = icl.LinearTask(3).sample(2, 6, generator=seeded(), dtype=torch.float64).z
    with pytest.raises(icl.BadInput, match="bounces: got 0"):
        icl.bayes_point(z, 0, generator=seeded())
    with pytest.raises(icl.BadInput, match="z: got points in R\\^1"):
        icl.bayes_point(z[..., :1].abs(), 10, generator=seeded())
    with pytest.raises(icl.BadInput, match="generator"):
        icl.bayes_point(z, 10, generator=None)
    with pytest.raises(icl.NotSeparable):
        icl.bayes_point(torch.cat([z, -z], 1), 10, generator=seeded())
