"""The exact max-margin separator: against known answers, another solver, and its own certificate."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import assert_same, normal, seeded, seeds

import icl_lib as icl
from icl_lib.contexts import FAMILIES, separable

families = pytest.mark.parametrize("family", FAMILIES)


def task(n=12, d=4, batch=3, seed=0, margin=0.05):
    return icl.LinearTask(d, margin=margin).sample(batch, n, generator=seeded(seed), dtype=torch.float64).z


@families
def test_known_margins_are_found(family):
    """By construction for most families; 1e-6 is what the solver certifies."""
    for seed in range(5):
        context = separable(family, 4, seeded(seed))
        direction, margin, dual = icl.max_margin(context.z)
        assert_same(margin / context.margin, torch.ones_like(margin), rtol=1e-6)
        assert icl.angle(direction, context.direction).max() < 1e-6
        assert (dual >= 0).all()


@given(st.integers(2, 20), st.integers(1, 8), st.integers(0, 1000))
def test_the_answer_meets_the_optimality_conditions(n, d, seed):
    """Karush, Kuhn, Tucker: no token is nearer than the margin, only support vectors have dual weight, and the dual
    combination of the tokens gives the direction. Together they prove optimality. (1e-9: the solver finds 1e-12.)
    """
    z = task(n, d, seed=seed)
    direction, margin, dual = icl.max_margin(z)
    m, R = icl.margins(direction, z), z.norm(dim=-1).amax(-1)
    assert_same(direction.norm(dim=-1), torch.ones(3).double())
    assert_same(m.amin(-1), margin)
    assert (dual >= 0).all()
    assert_same(dual.sum(-1), torch.ones(3).double())
    assert (dual * (m - margin[:, None])).abs().max() < 1e-9 * R.max()
    combination = torch.einsum("bn,bnd->bd", dual, z)
    assert ((combination - margin[:, None] * direction).norm(dim=-1) < 1e-9 * R).all()


def test_another_solver_agrees():
    """Sequential quadratic programming of scipy, on the same problem, asked for 1e-12 and good for about 1e-6."""
    z = task(15, 3, batch=8, seed=3)
    direction, margin, _ = icl.max_margin(z)
    for tokens, u, gamma in zip(z.numpy(), direction.numpy(), margin.numpy(), strict=True):
        constraint = {"type": "ineq", "fun": lambda v, t=tokens: t @ v - 1, "jac": lambda v, t=tokens: t}
        answer = minimize(
            lambda v: v @ v / 2, u / gamma * 2, jac=lambda v: v, constraints=constraint, method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        assert answer.success
        size = np.linalg.norm(answer.x)
        assert abs(1 / size / gamma - 1) < 1e-6
        assert np.linalg.norm(answer.x / size - u) < 1e-5


def test_a_support_vector_machine_agrees():
    """LIBSVM without an intercept: each token and its mirror image, C = 1e10; loose, as its own stopping rule is."""
    from sklearn.svm import SVC

    z = task(20, 3, batch=3, seed=1)
    direction, margin, dual = icl.max_margin(z)
    for tokens, u, gamma, q in zip(z.numpy(), direction.numpy(), margin.numpy(), dual, strict=True):
        fit = SVC(kernel="linear", C=1e10, tol=1e-8).fit(
            np.concatenate([tokens, -tokens]), np.repeat([1, -1], len(tokens))
        )
        w = fit.coef_[0]
        assert abs((tokens @ w).min() / np.linalg.norm(w) / gamma - 1) < 1e-4
        assert w @ u / np.linalg.norm(w) > 1 - 1e-6
        assert {int(i) % len(tokens) for i in fit.support_} >= {int(i) for i in (q > 1e-6).nonzero()[:, 0]}


@pytest.mark.parametrize(
    ("z", "direction", "margin", "dual"),
    [
        ([[3.0, 4.0]], [0.6, 0.8], 5.0, [1.0]),
        ([[1.0, 0.0], [0.0, 1.0]], [0.5**0.5, 0.5**0.5], 0.5**0.5, [0.5, 0.5]),
        ([[2.0, 1.0], [2.0, -1.0], [50.0, 1.0]], [1.0, 0.0], 2.0, [0.5, 0.5, 0.0]),
        ([[1.0], [3.0], [2.0]], [1.0], 1.0, [1.0, 0.0, 0.0]),
        ([[-1.0], [-3.0]], [-1.0], 1.0, [1.0, 0.0]),
    ],
    ids=["one token", "two axes", "a pair and a far point", "a line", "the other way"],
)
def test_answers_by_hand(z, direction, margin, dual):
    seen = icl.max_margin(torch.tensor([z], dtype=torch.float64))
    for value, expected in zip(seen, (direction, margin, dual), strict=True):
        assert_same(value[0], torch.tensor(expected, dtype=torch.float64))


@given(st.integers(1, 6), st.integers(6, 20), st.integers(0, 1000))
def test_fewer_tokens_than_dimensions_are_always_separable(n, d, seed):
    z = normal(2, n, d, seed=seed)
    direction, margin, _ = icl.max_margin(z)
    assert_same(icl.margins(direction, z).amin(-1), margin)
    assert (margin > 0).all()


@given(st.integers(0, 1000))
def test_a_token_said_twice_changes_nothing_but_the_dual(seed):
    z = task(6, 3, seed=seed)
    once, twice = icl.max_margin(z), icl.max_margin(z.repeat(1, 2, 1))
    assert_same(twice.margin, once.margin, rtol=1e-10)
    assert_same(twice.direction, once.direction, rtol=1e-9)
    assert_same(twice.dual[:, :6] + twice.dual[:, 6:], once.dual, rtol=1e-8)


@given(st.integers(0, 1000), st.sampled_from([1e-6, 1e-3, 1e3, 1e6]))
def test_the_margin_is_homogeneous(seed, scale):
    z = task(8, 3, seed=seed)
    small, large = icl.max_margin(z), icl.max_margin(scale * z)
    assert_same(large.margin, scale * small.margin, rtol=1e-10)
    assert_same(large.direction, small.direction, rtol=1e-9)
    assert_same(large.dual, small.dual, rtol=1e-8)


@pytest.mark.parametrize("gamma", [1e-1, 1e-3, 1e-5])
def test_a_tiny_margin_is_found(gamma):
    v = normal(1, 4, 3, seed=2)
    u = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    v = v - (v @ u)[..., None] * u
    seen = icl.max_margin(torch.cat([gamma * u + v, gamma * u - v], 1))
    assert abs(float(seen.margin) / gamma - 1) < 1e-6
    assert icl.angle(seen.direction[0], u) < 1e-6


def test_float32_is_solved_in_float64_and_returned_in_float32():
    z = task()
    seen, expected = icl.max_margin(z.float()), icl.max_margin(z.float().double())
    for a, b in zip(seen, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b.float())


def test_the_answer_needs_no_gradient_and_leaves_its_input_alone():
    z = task().requires_grad_()
    kept = z.detach().clone()
    assert not icl.max_margin(z).margin.requires_grad
    assert torch.equal(z, kept)


NOT_SEPARABLE = {
    "opposite points": [[1.0, 0.0], [-1.0, 0.0]],
    "opposite points in general position": [[1.0, 2.0], [0.3, 0.1], [-1.0, -2.0]],
    "zeros": [[0.0, 0.0], [0.0, 0.0]],
    "one zero": [[1.0, 0.0], [0.0, 0.0]],
    "all around": [[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]],
}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("z", NOT_SEPARABLE.values(), ids=NOT_SEPARABLE.keys())
def test_what_no_direction_separates_is_refused_with_the_prompts_number(z, scale):
    bad = scale * torch.tensor([z], dtype=torch.float64)
    with pytest.raises(icl.NotSeparable, match=r"z: prompt 0 .*expected a direction u with <u, z_i> > 0 for all i"):
        icl.max_margin(bad)
    good = torch.ones_like(bad)
    with pytest.raises(icl.NotSeparable, match="prompt 2 "):
        icl.max_margin(torch.cat([good, good, bad, good]))


@given(seeds, st.integers(1, 5))
def test_noise_is_refused(seed, d):
    """Tokens and their mirror images: no direction has both on its side."""
    z = normal(1, 5, d, seed=seed)
    with pytest.raises(icl.NotSeparable):
        icl.max_margin(torch.cat([z, -z], 1))


def test_a_margin_below_rounding_is_refused_and_not_invented():
    z = torch.tensor([[[1.0, 1e-18], [-1.0, 1e-18]]], dtype=torch.float64)
    with pytest.raises(icl.NotSeparable):
        icl.max_margin(z)


# 16 tokens on the boundary of the margin, in 3 dimensions, the margin 1/1000 of their size: on this context, in this
# rounding, the active-set method of quadprog adds and drops the same constraints for ever.
DEGENERATE = """
import torch, icl_lib as icl
from icl_lib.contexts import separable
z = separable("huge norms", 4, torch.Generator().manual_seed(56)).z
print(icl.max_margin(z).margin[1].item())
"""


def test_a_degenerate_context_gets_an_answer():
    code = [sys.executable, "-c", DEGENERATE]
    margin = float(subprocess.run(code, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert abs(margin / 4954.927791386282 - 1) < 1e-6


def test_an_answer_that_cannot_be_certified_to_the_tolerance_is_refused():
    """At a margin of 1e-6 R, rounding alone leaves a relative doubt of 1e-10: the default allows it, 1e-15 does not."""
    z = separable("tiny margin", 4, seeded(0)).z
    icl.max_margin(z)
    with pytest.raises(icl.NotSeparable, match=r"has no certified separator \(margin / R between .* and .*\)"):
        icl.max_margin(z, tol=1e-15)
