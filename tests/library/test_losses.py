"""Losses: closed forms against automatic differentiation, and no overflow where none is allowed."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, gradient, normal, points, prompts, scales, seeds

import icl_lib as icl

LOSSES = {
    icl.exponential_loss: icl.exponential_loss_grad,
    icl.log_mean_exp: icl.log_mean_exp_grad,
    icl.logistic_loss: icl.logistic_loss_grad,
}
FUNCTIONS = [*LOSSES, *LOSSES.values(), icl.margins, icl.exponential_weights]
by_name = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


@given(st.data(), prompts())
def test_margins_are_inner_products_token_by_token(data, p):
    w = data.draw(points(p))
    m = icl.margins(w, p.z)
    for b in range(p.y.shape[0]):
        for i in range(p.y.shape[1]):
            assert_same(m[b, i], sum(w[b, k] * p.y[b, i] * p.x[b, i, k] for k in range(w.shape[1])), scale=100.0)


@given(st.data(), prompts())
def test_losses_are_means_over_the_tokens(data, p):
    m = icl.margins(w := data.draw(points(p, 30.0)), p.z)
    assert_same(icl.exponential_loss(w, p.z), torch.stack([torch.exp(-v) for v in m.unbind(-1)]).mean(0))
    assert_same(icl.logistic_loss(w, p.z), torch.stack([torch.log1p(torch.exp(-v)) for v in m.unbind(-1)]).mean(0))
    assert_same(icl.log_mean_exp(w, p.z), icl.exponential_loss(w, p.z).log(), scale=1.0)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@given(data=st.data(), p=prompts())
def test_the_gradient_is_that_of_automatic_differentiation(loss, data, p):
    w = data.draw(points(p))
    assert_same(LOSSES[loss](w, p.z), gradient(lambda v: loss(v, p.z), w))


@given(st.data(), prompts())
def test_the_gradient_of_phi_is_that_of_the_loss_over_the_loss(data, p):
    w = data.draw(points(p))
    ratio = icl.exponential_loss_grad(w, p.z) / icl.exponential_loss(w, p.z)[:, None]
    assert_same(icl.log_mean_exp_grad(w, p.z), ratio, scale=p.x.norm(dim=-1).max())


@given(st.data(), prompts())
def test_weights_sum_to_one_and_favour_the_smallest_margin(data, p):
    w = data.draw(points(p))
    q, m = icl.exponential_weights(w, p.z), icl.margins(w, p.z)
    assert (q >= 0).all()
    assert_same(q.sum(-1), torch.ones_like(q[:, 0]))
    assert torch.equal(q.gather(1, m.argmin(-1, keepdim=True))[:, 0], q.amax(-1))
    assert_same(q[:, 0] * torch.exp(-m[:, -1] / 2), q[:, -1] * torch.exp(-m[:, 0] / 2 - (m[:, 0] - m[:, -1]) / 2))


@by_name
@given(p=prompts(), T=st.integers(1, 4), seed=seeds)
def test_a_whole_path_is_evaluated_in_one_call(function, p, T, seed):
    path = normal(T, p.x.shape[0], p.x.shape[2], seed=seed)
    together = function(path, p.z)
    assert_same(together, torch.stack([function(w, p.z) for w in path]))
    assert_same(function(path[None], p.z), together[None])


def test_values_at_zero():
    z = normal(3, 5, 2)
    w = torch.zeros(3, 2, dtype=torch.float64)
    assert torch.equal(icl.exponential_loss(w, z), torch.ones(3, dtype=torch.float64))
    assert_same(icl.log_mean_exp(w, z), torch.zeros(3, dtype=torch.float64), scale=1.0)
    assert_same(icl.logistic_loss(w, z), torch.full((3,), math.log(2), dtype=torch.float64))
    assert_same(icl.exponential_loss_grad(w, z), -z.mean(1))
    assert_same(icl.log_mean_exp_grad(w, z), -z.mean(1))
    assert_same(icl.logistic_loss_grad(w, z), -z.mean(1) / 2)


@by_name
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("margin", [1e4, -1e4])
def test_huge_margins_and_norms_give_no_nan(function, dtype, norm, margin):
    z = norm * torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]], dtype=dtype)
    w = margin / norm * torch.tensor([[1.0, 0.0]], dtype=dtype)
    value = function(w, z)
    assert not value.isnan().any()
    if function not in (icl.exponential_loss, icl.exponential_loss_grad):  # the only ones that may be infinite
        assert torch.isfinite(value).all()


@given(st.data(), prompts(), scales)
def test_phi_is_right_where_the_loss_overflows(data, p, scale):
    w = data.draw(points(p, margin=1e4))
    smallest = icl.margins(w, p.z).amin(-1)
    phi = icl.log_mean_exp(w, p.z)
    n = p.y.shape[1]
    assert (phi <= -smallest + 1e-9).all()  # the mean is at most the largest ...
    assert (phi >= -smallest - math.log(n) - 1e-9).all()  # ... and at least a share 1/n of it


def test_the_exponential_loss_overflows_to_infinity_where_phi_does_not():
    w, z = torch.tensor([[-1e4]]), torch.ones(1, 2, 1)
    assert icl.exponential_loss(w, z).tolist() == [math.inf]
    assert icl.exponential_loss_grad(w, z).tolist() == [[-math.inf]]
    assert icl.log_mean_exp(w, z).tolist() == [1e4]
    assert icl.logistic_loss(w, z).tolist() == [1e4]


@pytest.mark.parametrize("m", [-50.0, -21.0, -19.0, -1e-3, 0.0, 1e-3, 19.0, 36.0, 50.0, 700.0])
def test_the_logistic_loss_is_accurate_to_rounding_at_every_margin(m):
    w, z = torch.tensor([[m]], dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    expected = math.log1p(math.exp(-m)) if m > -30 else -m + math.exp(m)
    assert math.isclose(icl.logistic_loss(w, z).item(), expected, rel_tol=1e-15 if m < 0 else 4e-16)
