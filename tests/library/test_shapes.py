"""Tasks that no line solves: where the points lie, what the labels are, and what is drawn anew for each prompt."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeded, seeds

import icl_lib as icl

shapes = pytest.mark.parametrize("name", icl.shapes.SHAPES)
noises = st.sampled_from([0.0, 0.05, 0.5])


@shapes
@given(noise=noises, seed=seeds)
def test_points_lie_in_the_square(name, noise, seed):
    p = icl.ShapeTask(name, noise).sample(3, 9, 4, generator=seeded(seed), dtype=torch.float64)
    assert p.x.shape == (3, 9, 2)
    assert p.x_query.shape == (3, 4, 2)
    assert max(float(p.x.abs().max()), float(p.x_query.abs().max())) <= 1
    assert p.w_star is None


@shapes
def test_the_generator_says_all(name):
    a, b = (icl.ShapeTask(name, 0.1).sample(2, 5, 3, generator=seeded(4)) for _ in range(2))
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.y_query, b.y_query)
    assert a.x.dtype == torch.float32
    assert icl.ShapeTask(name).sample(2, 5, generator=seeded()).x_query is None


@shapes
def test_classes_are_about_even_and_either_may_be_called_plus_one(name):
    """400 prompts: a coin's mean has the standard deviation 0.05, on prompts; five of them are allowed."""
    p = icl.ShapeTask(name).sample(400, 50, generator=seeded(1), dtype=torch.float64)
    assert abs(float(p.y.mean())) < 0.05
    share = (p.y > 0).double().mean(-1)
    assert 0.1 < float(share.mean()) < 0.9
    corner = p.x.abs().sum(-1).argmax(-1)  # the point nearest to a corner: outside, in a circle
    assert abs(float(p.y[torch.arange(400), corner].mean())) < 0.25


def _prompts(name, seed=2, **options):
    return icl.ShapeTask(name, **options).sample(30, 400, generator=seeded(seed), dtype=torch.float64)


def _separable_by(p, features):
    """Whether a quadratic programme finds a separator of the features, in each prompt."""
    for k in range(len(p.x)):
        z = p.y[k, :, None] * features(p.x[k])
        icl.max_margin(z[None])  # raises NotSeparable
    return True


def test_a_circle_is_the_level_line_of_a_quadratic_function():
    p = _prompts("circle")
    assert _separable_by(p, lambda x: torch.cat([torch.ones_like(x[:, :1]), x, x.square().sum(-1, keepdim=True)], -1))


def test_xor_is_the_sign_of_a_quadratic_form():
    p = _prompts("xor")
    assert _separable_by(p, lambda x: torch.stack([x[:, 0] ** 2 - x[:, 1] ** 2, x[:, 0] * x[:, 1]], -1))


@shapes
def test_no_line_separates_a_long_prompt(name):
    p = icl.ShapeTask(name, 0.02).sample(5, 300, generator=seeded(3), dtype=torch.float64)
    affine = torch.cat([torch.ones_like(p.x[..., :1]), p.x], -1)
    for k in range(5):
        with pytest.raises(icl.NotSeparable):
            icl.max_margin((p.y[..., None] * affine)[k : k + 1])


def test_without_noise_spirals_lie_on_two_arms():
    """Unrolled: angle minus 3.5 pi radius is constant on an arm, and half a turn more on the other one."""
    p = _prompts("spirals")
    radius = p.x.norm(dim=-1)
    assert float(radius.min()) > 0.15 - 1e-9
    left = torch.atan2(p.x[..., 1], p.x[..., 0]) - 3.5 * math.pi * radius + math.pi * (p.y < 0).double()
    assert float((left - left[:, :1]).sin().abs().max()) < 1e-9
    assert float((left - left[:, :1]).cos().min()) > 1 - 1e-9  # modulo full turns


def test_without_noise_moons_are_two_half_circles():
    """The points of one class are all at the distance 1 / 1.6 from one centre: a circle is fitted to them exactly."""
    p = _prompts("moons")
    for sign in (-1, 1):
        x = p.x[0][p.y[0] == sign]
        equations = torch.cat([2 * x, torch.ones_like(x[:, :1])], -1)
        solution = torch.linalg.lstsq(equations, x.square().sum(-1, keepdim=True)).solution[:, 0]
        radius = (solution[2] + solution[:2].square().sum()).sqrt()
        assert abs(float(radius) - 1 / 1.6) < 1e-9
        assert (x - solution[:2]).norm(dim=-1).sub(radius).abs().max() < 1e-9


@shapes
def test_noise_moves_a_point_by_that_much_and_no_more(name):
    plain, noisy = (_prompts(name, noise=noise) for noise in (0.0, 0.1))
    moved = (noisy.x - 0.9 * plain.x).abs()
    assert 0.099 < float(moved.max()) <= 0.1 + 1e-12
    assert torch.equal(plain.y, noisy.y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: icl.ShapeTask("square"), "^name: got 'square', expected one of 'circle', 'moons', 'spirals', 'xor'"),
        (lambda: icl.ShapeTask("xor", -0.1), "^noise: got -0.1, expected a number from 0 to 0.5"),
        (lambda: icl.ShapeTask("xor", 0.6), "^noise: got 0.6"),
        (lambda: icl.ShapeTask("xor").sample(0, 4, generator=seeded()), "^batch: got 0"),
        (lambda: icl.ShapeTask("xor").sample(1, 0, generator=seeded()), "^n: got 0"),
        (lambda: icl.ShapeTask("xor").sample(1, 4, -1, generator=seeded()), "^queries: got -1"),
        (lambda: icl.ShapeTask("xor").sample(1, 4, generator=None), "^generator: got NoneType"),
        (lambda: icl.ShapeTask("xor").sample(1, 4, generator=seeded(), dtype=torch.int64), "^dtype: got torch.int64"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(icl.BadInput, match=message):
        call()
