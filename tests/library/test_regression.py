"""Regression from the prompt: prompts with real labels, layers of linear attention, and the algorithms they are."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from strategies import assert_same, gradient, normal, scales, seeded, seeds, sizes

import icl_lib as icl
from icl_lib.regression import FUNCTIONS

every_law = pytest.mark.parametrize("name", FUNCTIONS)
steps = st.floats(0.01, 2.0)


@st.composite
def regressions(draw, queries: int = 2) -> icl.RegressionPrompts:
    """Features of any size between 1e-3 and 10; labels unrelated to them."""
    B, n, d, g = draw(sizes), draw(st.integers(1, 10)), draw(sizes), seeded(draw(seeds))
    x = draw(scales) * torch.randn(B, n + queries, d, generator=g, dtype=torch.float64)
    y = draw(scales) * torch.randn(B, n + queries, generator=g, dtype=torch.float64)
    return icl.RegressionPrompts(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


def moment(phi):
    return phi.mT @ phi / phi.shape[1]


# --- the layer is the step


@given(regressions(), steps, st.integers(0, 3), seeds)
def test_one_linear_head_is_one_gradient_step(p, step, t, seed):
    B, _, d = p.x.shape
    c = normal(B, d, seed=seed)
    layer = icl.least_squares_layer(d, step)
    loss = gradient(lambda v: (p.y - torch.einsum("bnd,bd->bn", p.x, v)).square().mean(-1) / 2, c)
    size = step * float(p.x.abs().amax() * (p.y.abs().amax() + d * p.x.abs().amax() * c.abs().amax()))
    assert_same(layer.step(c, p, t), c - step * loss, scale=size)
    assert_same(icl.gd_least_squares(p.x, p.y, step, 1, c)[1], c - step * loss, scale=size)


@given(regressions(), steps, seeds, st.booleans())
def test_both_views_of_the_layer_agree(p, step, seed, own):
    B, n, d = p.x.shape
    c, A = normal(B, d, seed=seed), normal(d, d, seed=seed + 1)
    size = torch.linspace(0.5, 1, B, dtype=torch.float64) * step
    layer = icl.least_squares_layer(d, size if own else step, A)
    before = layer.tokens(c, p)
    after, fast = layer(before), layer.step(c, p)
    scale = step * d * float(A.abs().amax() * p.x.abs().amax() * (p.y.abs().amax() + d * p.x.abs().amax()))
    assert_same(after, layer.tokens(fast, p), scale=4 * scale)
    assert torch.equal(after[:, :-1], before[:, :-1])  # only the state token is written
    scores = before[:, -1:] @ layer.score.mT @ before[:, :-1].mT
    assert_same(layer.attention(c, p) * n, scores[:, 0], scale=float(before.abs().amax()) ** 2)


@given(regressions(), st.integers(0, 20), st.floats(0.01, 1.9))
def test_the_loop_is_gradient_descent(p, depth, relative):
    largest = float(torch.linalg.matrix_norm(moment(p.x), 2).amax())
    step = relative / largest
    path = icl.Looped(icl.least_squares_layer(p.x.shape[-1], step), depth).iterates(p)
    assert path.shape == (depth + 1, p.x.shape[0], p.x.shape[-1])
    scale = step * (1 + depth) * float(p.x.abs().amax() * p.y.abs().amax())
    assert_same(path, icl.gd_least_squares(p.x, p.y, step, depth), scale=scale)


def test_the_loop_ends_at_least_squares_also_where_there_are_many_solutions():
    for n in (3, 40):
        p = icl.RegressionPrompts(normal(4, n, 6), normal(4, n, seed=1))
        step = 1 / torch.linalg.matrix_norm(moment(p.x), 2)
        c = icl.Looped(icl.least_squares_layer(6, step), 5000).final(p)
        torch.testing.assert_close(c, icl.least_squares(p.x, p.y), rtol=0, atol=1e-8)  # eigenvalues down to 0.01


def test_steps_above_two_over_the_largest_eigenvalue_diverge():
    p = icl.RegressionPrompts(normal(1, 20, 3), normal(1, 20, seed=1))
    largest = float(torch.linalg.matrix_norm(moment(p.x), 2))
    lengths = [float(icl.Looped(icl.least_squares_layer(3, c / largest), 400).final(p).norm()) for c in (1.95, 2.05)]
    assert lengths[0] < 10 < lengths[1]
    with pytest.raises(icl.BadInput, match="overflows"):
        icl.gd_least_squares(p.x, p.y, 20 / largest, 400)


def test_binary_prompts_are_regression_too():
    p = icl.LinearTask(3).sample(4, 9, generator=seeded(), dtype=torch.float64)
    path = icl.Looped(icl.least_squares_layer(3, 0.1), 5).iterates(p)
    assert_same(path, icl.gd_least_squares(p.x, p.y, 0.1, 5))


# --- whitening


@given(regressions(), st.integers(0, 4))
def test_the_tokens_do_newton_schulz(p, depth):
    largest = float(torch.linalg.matrix_norm(moment(p.x), 2).amax())
    d, scale = p.x.shape[-1], (1.5 / largest) ** 0.5
    layer = icl.newton_schulz_layer(d, scale)
    tokens, state = layer.tokens(layer.init(p), p), layer.init(p)
    reference = icl.newton_schulz(scale * p.x, depth)
    reach = scale * 2 * float(torch.cat([p.x, p.x_query], 1).abs().amax()) + float(p.y.abs().amax())
    for t in range(depth):
        tokens, state = layer(tokens, t), layer.step(state, p, t)
        assert_same(tokens, layer.tokens(state, p), scale=reach * 2**depth)
        assert_same(tokens[:, :-1, :d], reference[t + 1], scale=reach * 2**depth)
        mean = (tokens[:, :-1, :d].mT @ p.y[..., None])[..., 0] / p.x.shape[1]
        assert_same(state[..., -1], mean, scale=reach**2 * 2**depth)


def test_whitened_features_need_one_step():
    p = icl.RegressionPrompts(normal(8, 40, 5) * torch.tensor([0.2, 0.5, 1.0, 1.0, 1.0]), normal(8, 40, seed=1))
    layer = icl.newton_schulz_layer(5)
    assert float(torch.linalg.matrix_norm(moment(p.x), 2).amax()) < 3
    path = icl.Looped(layer, 20).iterates(p)
    torch.testing.assert_close(path[-1], icl.least_squares(p.x, p.y), rtol=0, atol=1e-10)
    torch.testing.assert_close(path[0], icl.gd_least_squares(p.x, p.y, 1.0, 1)[1])  # no layer: the plain step
    white = icl.newton_schulz(p.x, 20)[-1]
    torch.testing.assert_close(moment(white), torch.eye(5).double().expand(8, -1, -1), rtol=0, atol=1e-12)


def test_the_answer_to_the_query_is_what_its_attention_reads():
    p = icl.RegressionPrompts(normal(3, 20, 4), normal(3, 20, seed=1), normal(3, 2, 4, seed=2))
    layer = icl.newton_schulz_layer(4, 0.5)
    model = icl.Looped(layer, 3)
    state = layer.init(p)
    for _ in range(3):
        state = layer.step(state, p)
    assert_same((layer.attention(state, p) * p.y).sum(-1), model.decision(p)[:, 0])


@pytest.mark.parametrize(("largest", "tends_to"), [(2.9, 1.0), (3.0, 0.0), (3.5, 1.0), (4.9, 1.0), (5.0, 5.0)])
def test_the_cubic_at_single_eigenvalues(largest, tends_to):
    x = torch.full((1, 1, 1), largest, dtype=torch.float64).sqrt()
    steps = 100 if tends_to == 1.0 else 1
    torch.testing.assert_close(icl.newton_schulz(x, steps)[-1].square().flatten(), torch.tensor([tends_to]).double())


def test_newton_schulz_overflows_beyond_five_and_says_so():
    with pytest.raises(icl.BadInput, match="overflows"):
        icl.newton_schulz(torch.full((1, 1, 1), 5.2, dtype=torch.float64).sqrt(), 100)


def test_a_batch_may_be_taken_in_parts():
    p = icl.RegressionPrompts(normal(6, 20, 4), normal(6, 20, seed=1))
    own = torch.linspace(0.2, 0.8, 6, dtype=torch.float64)
    for layer in (icl.least_squares_layer(4, own), icl.newton_schulz_layer(4, own), icl.least_squares_layer(4, 0.3)):
        model = icl.Looped(layer, 7)
        assert_same(model.final(p, max_bytes=8000), model.final(p))
    few = icl.RegressionPrompts(p.x[:2], p.y[:2])
    alone = icl.Looped(icl.newton_schulz_layer(4, own[:2]), 7).final(few)
    assert_same(icl.Looped(icl.newton_schulz_layer(4, own), 7).final(p)[:2], alone)


# --- kernels


def linear(x, others):
    return x @ others.mT


@given(regressions(queries=1), st.integers(0, 6), st.sampled_from(["gaussian", "linear"]))
def test_the_kernel_layer_descends_in_function_space(p, depth, name):
    kernel = icl.gaussian_kernel(0.7) if name == "gaussian" else linear
    layer = icl.kernel_layer(p.x.shape[-1], kernel, 0.9)
    path = icl.Looped(layer, depth).iterates(p)
    gram, across = kernel(p.x, p.x), kernel(p.x_query, p.x)
    a = icl.kernel_gd(gram, p.y, 0.9, depth)
    reach = p.y.abs().amax() * (1 + torch.cat([gram, across], 1).abs().amax()) ** depth
    assert_same(path[:, :, :-1], p.y - torch.einsum("bij,tbj->tbi", gram, a), scale=reach)
    assert_same(-path[:, :, -1:], torch.einsum("bqj,tbj->tbq", across, a), scale=reach)
    tokens = icl.Looped(layer, depth)(layer.tokens(layer.init(p), p))
    assert_same(tokens, layer.tokens(path[-1], p), scale=reach)
    assert_same(layer.attention(path[-1], p), path[-1][:, :-1] / p.x.shape[1])


def test_with_a_linear_kernel_it_is_gradient_descent_on_the_features():
    p = icl.RegressionPrompts(normal(3, 20, 4), normal(3, 20, seed=1), normal(3, 5, 4, seed=2))
    path = icl.Looped(icl.kernel_layer(4, linear, 0.3), 10).iterates(p)
    c = icl.gd_least_squares(p.x, p.y, 0.3, 10)
    assert_same(-path[:, :, 20:], torch.einsum("bqd,tbd->tbq", p.x_query, c))


def test_gaussian_kernels_allow_any_step_below_two():
    p = icl.FunctionTask("kinked").sample(20, 30, generator=seeded(), dtype=torch.float64)
    for width in (0.01, 0.3, 100.0):
        path = icl.Looped(icl.kernel_layer(1, icl.gaussian_kernel(width), 1.99), 50).iterates(p)
        loss = path.square().mean(-1)
        assert (loss.diff(dim=0) <= 1e-12).all()


# --- references


@given(regressions(), st.floats(1e-3, 10))
def test_ridge_is_that_of_scikit_learn(p, penalty):
    n = p.x.shape[1]
    ours = icl.ridge(p.x, p.y, penalty)
    for b in range(len(ours)):
        theirs = Ridge(alpha=n * penalty, fit_intercept=False, solver="svd").fit(p.x[b].numpy(), p.y[b].numpy()).coef_
        # the normal equations square the condition number: up to 1e5 here
        assert_same(ours[b], torch.from_numpy(theirs), rtol=1e-9)


def test_least_squares_solves_the_normal_equations_with_least_norm():
    for n in (4, 30):
        phi, y = normal(3, n, 7), normal(3, n, seed=1)
        c = icl.least_squares(phi, y)
        assert_same(phi.mT @ (phi @ c[..., None]), phi.mT @ y[..., None], rtol=1e-11)
        torch.testing.assert_close(c, icl.ridge(phi, y, 1e-10), rtol=1e-5, atol=1e-6)


# --- tasks


def test_legendre_features_are_orthonormal():
    x, weight = map(torch.from_numpy, np.polynomial.legendre.leggauss(30))
    for degree in (0, 1, 5, 10):
        phi = x[:, None] ** torch.arange(degree + 1) @ icl.legendre_matrix(degree).mT
        gram = phi.mT @ (weight[:, None] / 2 * phi)  # the exact mean over [-1, 1]
        torch.testing.assert_close(gram, torch.eye(degree + 1).double(), rtol=0, atol=1e-10)


@every_law
def test_a_task_draws_functions_of_moderate_size_from_its_generator_alone(name):
    task = icl.FunctionTask(name)
    before = torch.get_rng_state()
    a, b = (task.sample(300, 20, 5, generator=seeded(3), dtype=torch.float64) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a.y, b.y)
    assert a.x.shape == (300, 20, 1)
    assert a.y_query.shape == (300, 5)
    assert a.x.abs().max() <= 1
    assert 0.5 < float(a.y.std()) < 2.5
    assert not torch.equal(a.x[0], a.x[1])


@every_law
def test_noise_is_on_the_context_only_and_functions_can_be_shared(name):
    task = icl.FunctionTask(name, noise=0.3)
    f = task.functions(200, generator=seeded(5), dtype=torch.float64)
    p = task.sample(200, 50, 50, generator=seeded(1), dtype=torch.float64, functions=f)
    assert torch.equal(f(p.x_query[..., 0]), p.y_query)
    noise = p.y - f(p.x[..., 0])
    assert abs(float(noise.std()) - 0.3) < 0.3 * 5 / math.sqrt(2 * 10_000)  # five standard errors
    assert abs(float(noise.mean())) < 0.3 * 5 / 100


def test_the_laws_are_what_they_say():
    grid = torch.linspace(-1, 1, 2001, dtype=torch.float64).expand(20, -1)
    curve = {n: icl.FunctionTask(n, size=4).functions(20, generator=seeded(), dtype=torch.float64) for n in FUNCTIONS}
    for row in curve["polynomial"](grid):
        fit = np.polynomial.Polynomial.fit(grid[0].numpy(), row.numpy(), 3)(grid[0].numpy())
        np.testing.assert_allclose(fit, row.numpy(), atol=1e-9)
    bends = curve["kinked"](grid).diff(n=2).abs() > 1e-9
    assert (bends.sum(-1) <= 8).all()  # at most two second differences see a kink
    assert (bends.sum(-1) >= 4).all()
    assert (curve["smooth"](grid).diff(n=2).abs() < 1e-3).all()  # no kinks: second derivatives below 1000


def test_features_map_queries_too():
    p = icl.FunctionTask("smooth").sample(2, 7, 3, generator=seeded(), dtype=torch.float64)
    f = icl.featurizer(1, degree=3, tokens=7)
    mapped = p.map(f)
    assert mapped.x.shape == (2, 7, 4)
    assert mapped.x_query.shape == (2, 3, 4)
    assert torch.equal(mapped.y, p.y)
    assert torch.equal(mapped.y_query, p.y_query)
    assert p.map(lambda x: x**2).x.equal(p.x**2)
    alone = icl.RegressionPrompts(p.x, p.y)
    assert alone.map(f).x_query is None


# --- what is refused


def test_bad_input_is_refused():
    x, y = normal(2, 5, 3), normal(2, 5)
    good = icl.RegressionPrompts(x, y)
    task, eye = icl.FunctionTask("smooth"), torch.eye(8, dtype=torch.float64)
    for call, told in (
        (lambda: icl.RegressionPrompts(x, y[:, :4]), "y: got shape"),
        (lambda: icl.RegressionPrompts(x, y.float()), "y: got torch.float32"),
        (lambda: icl.RegressionPrompts(x, y * torch.nan), "y: got 10 non-finite"),
        (lambda: icl.RegressionPrompts(x, y, x[..., :2]), "x_query: got shape"),
        (lambda: icl.RegressionPrompts(x, y, y_query=y), "y_query: got labels without"),
        (lambda: icl.RegressionPrompts(x, y, x, y[:, :4]), "y_query: got shape"),
        (lambda: icl.FunctionTask("rough"), "name"),
        (lambda: icl.FunctionTask("smooth", size=0), "size"),
        (lambda: icl.FunctionTask("smooth", noise=-1.0), "noise"),
        (lambda: task.sample(0, 5, generator=seeded()), "batch"),
        (lambda: task.sample(1, 5, generator=None), "generator"),
        (lambda: icl.legendre_matrix(-1), "degree"),
        (lambda: icl.least_squares_layer(0, 1.0), "d"),
        (lambda: icl.least_squares_layer(3, 0.0), "step"),
        (lambda: icl.least_squares_layer(3, 1.0, torch.eye(2)), "preconditioner"),
        (lambda: icl.newton_schulz_layer(3, -1.0), "scale"),
        (lambda: icl.Looped(icl.least_squares_layer(4, 1.0), 2).final(good), r"prompts: got points in R\^3"),
        (lambda: icl.Looped(icl.newton_schulz_layer(4), 2).final(good), r"prompts: got points in R\^3"),
        (lambda: icl.Looped(icl.least_squares_layer(3, 1.0), 2).final(x), "prompts: got Tensor"),
        (lambda: icl.least_squares_layer(3, y[:, 0].abs().repeat(2)).init(good), "a layer with 4 steps"),
        (lambda: icl.newton_schulz_layer(3, y[:, 0].abs().repeat(2)).init(good), "a layer with 4 steps"),
        (lambda: icl.LinearAttention(eye, eye[:3]), "value: got shape"),
        (lambda: icl.LinearAttention(eye[:3], eye), "score: got shape"),
        (lambda: icl.LinearAttention(eye, eye, "nothing"), "writes"),
        (lambda: icl.LinearAttention(eye, eye, carry=eye[:2]), "carry: got shape"),
        (lambda: icl.LinearAttention(eye, eye)(normal(1, 1, 8)), "a context token before"),
        (lambda: icl.LinearAttention(eye, eye)(normal(1, 4, 3)), "tokens: got shape"),
        (lambda: icl.gd_least_squares(x, y[:1], 1.0, 3), "y: got shape"),
        (lambda: icl.least_squares(x, y.float()), "y: got torch.float32"),
        (lambda: icl.ridge(x, y, 0.0), "penalty"),
        (lambda: icl.gaussian_kernel(0.0), "width"),
        (lambda: icl.kernel_layer(3, linear, -1.0), "step"),
        (lambda: icl.kernel_layer(4, linear, 1.0).init(good), r"prompts: got points in R\^3"),
        (lambda: icl.kernel_layer(3, linear, 1.0)(normal(1, 1, 4)), "a context token before"),
        (lambda: icl.kernel_gd(x, y, 1.0, 3), "gram: got shape"),
        (lambda: icl.newton_schulz(x, -1), "steps"),
    ):
        with pytest.raises(icl.BadInput, match=told):
            call()
