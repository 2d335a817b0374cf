"""The explicit algorithms against automatic differentiation and literal transcriptions of the theory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, gradient, normal, prompts, seeds, steps

import icl_lib as icl

ALGORITHMS = [icl.ngd, icl.gd, icl.ngd_decaying, icl.momentum_ngd]
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda f: f.__name__)
stable = st.floats(0.01, 1.0)


def direction(w, z):
    """g = -grad L / L by automatic differentiation."""

    def L(v):
        return torch.exp(-torch.einsum("bd,bnd->bn", v, z)).mean(-1)

    return -gradient(L, w) / L(w)[:, None]


@given(prompts(normalized=True), stable, st.integers(0, 8))
def test_ngd_steps_down_the_gradient_over_the_loss(p, step, T):
    w = torch.zeros_like(p.z[:, 0])
    path = [w]
    for _ in range(T):
        path.append(path[-1] + step * direction(path[-1], p.z))
    assert_same(icl.ngd(p.z, step, T), torch.stack(path), scale=step)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@given(p=prompts(normalized=True), step=stable, T=st.integers(0, 8))
def test_gd_steps_down_the_gradient_of_its_loss(loss, p, step, T):
    f = {"exponential": icl.exponential_loss, "logistic": icl.logistic_loss}[loss]
    path = [torch.zeros_like(p.z[:, 0])]
    for _ in range(T):
        path.append(path[-1] - step * gradient(lambda v: f(v, p.z), path[-1]))
    assert_same(icl.gd(p.z, step, T, loss=loss), torch.stack(path), scale=step)


@given(prompts(normalized=True), stable)
def test_gd_means_the_exponential_loss_unless_told_otherwise(p, step):
    assert torch.equal(icl.gd(p.z, step, 3), icl.gd(p.z, step, 3, loss="exponential"))


@given(prompts(normalized=True), stable, st.integers(0, 8))
def test_ngd_decaying_divides_the_step_by_the_root_of_one_plus_t(p, step, T):
    path = [torch.zeros_like(p.z[:, 0])]
    for t in range(T):
        path.append(path[-1] + step / (t + 1) ** 0.5 * direction(path[-1], p.z))
    assert_same(icl.ngd_decaying(p.z, step, T), torch.stack(path), scale=step)


@given(prompts(normalized=True), stable, st.integers(0, 8))
def test_momentum_is_the_recursion_of_the_theory(p, step, T):
    """Theory 3.6, word for word: v_0 = 0, t from 0; v <- t/(t+1) (v + g), then w <- w + step (v + g), the new v."""
    w = v = torch.zeros_like(p.z[:, 0])
    path = [w]
    for t in range(T):
        g = direction(w, p.z)
        v = t / (t + 1) * (v + g)
        w = w + step * (v + g)
        path.append(w)
    assert_same(icl.momentum_ngd(p.z, step, T), torch.stack(path), scale=step)


@algorithms
@given(p=prompts(normalized=True), step=stable, T=st.integers(0, 6), seed=seeds)
def test_a_path_starts_where_it_is_told_and_has_one_point_more_than_steps(algorithm, p, step, T, seed):
    B, _, d = p.z.shape
    assert torch.equal(algorithm(p.z, step, T)[0], torch.zeros(B, d, dtype=torch.float64))
    w0 = normal(B, d, seed=seed)
    kept = w0.clone()
    path = algorithm(p.z, step, T, w0)
    assert path.shape == (T + 1, B, d)
    assert torch.equal(path[0], w0)
    assert torch.equal(w0, kept)
    if algorithm is not icl.momentum_ngd and algorithm is not icl.ngd_decaying:  # these two count their steps
        assert_same(algorithm(p.z, step, 2, path[-1])[-1], algorithm(p.z, step, T + 2, w0)[-1], scale=step)


@algorithms
@given(p=prompts(normalized=True), some=st.lists(stable, min_size=6, max_size=6))
def test_each_prompt_may_have_its_own_step(algorithm, p, some):
    B = p.z.shape[0]
    together = algorithm(p.z, torch.tensor(some[:B], dtype=torch.float64), 4)
    alone = torch.cat([algorithm(p.z[b : b + 1], some[b], 4) for b in range(B)], 1)
    assert_same(together, alone, scale=max(some))


@algorithms
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_path_has_the_dtype_of_the_context(algorithm, dtype):
    assert algorithm(normal(2, 3, 4).to(dtype), 0.1, 3).dtype == dtype


@algorithms
@given(p=prompts(normalized=True), step=stable)
def test_an_input_is_not_written_to(algorithm, p, step):
    z, kept = p.z, p.z.clone()
    algorithm(z, step, 3)
    assert torch.equal(z, kept)


@pytest.mark.parametrize("algorithm", [icl.ngd, icl.ngd_decaying, icl.momentum_ngd], ids=lambda f: f.__name__)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("labels", ["separable", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalized_algorithms_stay_finite_at_any_step(algorithm, scale, labels, dtype):
    """Norms of 1e6 at step 1 make margins of 1e12: the softmax is then one-hot, and nothing is NaN."""
    z = scale * normal(4, 10, 3)
    z = z * torch.sign(z[..., :1]) if labels == "separable" else z
    for step in (1.0, 1e4, 1 / scale**2):
        assert torch.isfinite(algorithm(z.to(dtype), step, 50)).all()


def test_plain_gd_on_the_exponential_loss_says_when_it_overflows():
    z = torch.tensor([[[1.0], [-1.0]]])
    with pytest.raises(icl.BadInput, match=r"step: got a path that overflows at step \d+, expected a smaller step"):
        icl.gd(z * torch.tensor([[[1.0], [3.0]]]), 1e3, 10)


@given(prompts(normalized=True), steps)
def test_the_logistic_gd_never_overflows(p, step):
    assert torch.isfinite(icl.gd(1e6 * p.z, step, 20, loss="logistic")).all()


@algorithms
def test_gradients_flow_through_an_algorithm(algorithm):
    z = normal(2, 3, 4).requires_grad_()
    algorithm(z, 0.1, 3)[-1].sum().backward()
    assert z.grad.abs().sum() > 0
