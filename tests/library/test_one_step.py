"""The one-step problem: what the teachers answer, what a layer can learn from them, and how sharp the minimum is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, gradient, normal, points, prompts, seeded, seeds, sizes, steps

import icl_lib as icl
from icl_lib.one_step import free_blocks, hessian, one_step_loss, sample_states

FULL_BATCH = {"optimizer": "full-batch", "batch": 512, "progress": False}


def trained_blocks(layer):
    """The two d x d blocks that the construction uses, [2, d, d]."""
    d = layer.d
    return torch.stack([layer.score[:d, d:], layer.value[d:, :d]])


@given(prompts(), steps, st.data())
def test_the_ngd_teacher_descends_the_potential(p, step, data):
    w = data.draw(points(p))
    assert_same(icl.TEACHERS["ngd"](w, p.z, step), w - step * gradient(lambda w: icl.log_mean_exp(w, p.z), w))


@given(prompts(), steps, st.data())
def test_the_plain_teacher_descends_the_exponential_loss(p, step, data):
    w = data.draw(points(p, margin=10.0))
    assert_same(icl.TEACHERS["gd"](w, p.z, step), w - step * gradient(lambda w: icl.exponential_loss(w, p.z), w))


@given(prompts(), steps, st.data())
def test_the_logistic_teacher_descends_the_log_of_the_logistic_loss(p, step, data):
    w = data.draw(points(p))
    target = w - step * gradient(lambda w: icl.logistic_loss(w, p.z).log(), w)
    assert_same(icl.TEACHERS["logistic"](w, p.z, step), target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_logistic_teacher_is_the_ngd_teacher_at_large_margins(dtype):
    """There loss and gradient both underflow to 0: their ratio must not."""
    p = icl.LinearTask(3).sample(8, 5, generator=seeded(), dtype=dtype)
    w = 1e5 * p.w_star
    assert (icl.logistic_loss(w, p.z) == 0).any()
    assert_same(icl.TEACHERS["logistic"](w, p.z, 1.0) - w, icl.TEACHERS["ngd"](w, p.z, 1.0) - w)


def test_plain_and_normalised_teachers_agree_where_the_loss_is_one():
    """The exponential loss is 1 at w = 0: there its gradient is its own logarithm's."""
    p = icl.LinearTask(4).sample(5, 9, generator=seeded(), dtype=torch.float64)
    w = torch.zeros(5, 4, dtype=torch.float64)
    assert_same(icl.TEACHERS["gd"](w, p.z, 0.7), icl.TEACHERS["ngd"](w, p.z, 0.7))


@given(sizes, steps, seeds)
def test_the_construction_imitates_the_teacher_exactly(d, step, seed):
    p, w = sample_states(icl.LinearTask(d), 8, 6, 1.0, seeded(seed), torch.float64)
    layer = icl.ngd_layer(d, step)
    loss = one_step_loss(layer, p, w, icl.TEACHERS["ngd"](w, p.z, step))
    assert 0 <= float(loss) <= (1e-13 * (1 + step) * float(p.radius.max())) ** 2
    assert icl.distance_to_construction(layer, step) == {"score": 0.0, "value": 0.0, "leak": 0.0}


@given(sizes, seeds, st.sampled_from(["state", "full"]))
def test_the_loss_is_that_of_the_layer_on_token_matrices(d, seed, tokens):
    p, w = sample_states(icl.LinearTask(d), 4, 6, 1.0, seeded(seed), torch.float64)
    layer = icl.SoftmaxAttention.random(d, 1.0, generator=seeded(seed), tokens=tokens)
    target = normal(4, d, seed=seed)
    zeros = torch.zeros_like(w)
    seen = layer(layer.tokens(torch.cat([zeros, w], -1), p))[:, -1]
    wanted = torch.cat([zeros, target], -1)
    assert_same(one_step_loss(layer, p, w, target), (seen - wanted).square().sum(-1).mean())


def test_the_distance_is_that_of_the_worst_entry():
    layer = icl.ngd_layer(2, 0.5)
    layer.score[0, 3] += 0.25
    layer.value[2, 0] -= 0.125
    layer.value[1, 0] = -0.5
    layer.score[:, :2] = layer.value[:, 2:] = 9.0  # not identifiable: they do not count
    layer.score[2:] = 9.0
    assert icl.distance_to_construction(layer, 0.5) == {"score": 0.25, "value": 0.125, "leak": 0.5}


@given(sizes, seeds, st.sampled_from(["masked", "seen"]))
def test_what_cannot_be_identified_gets_a_gradient_of_exactly_zero(d, seed, own):
    """At any matrices, junk everywhere: only three of the eight blocks are felt."""
    p, w = sample_states(icl.LinearTask(d), 4, 5, 1.0, seeded(seed), torch.float64)
    layer = icl.SoftmaxAttention.random(d, 1.0, generator=seeded(seed), tokens="full")
    layer.requires_grad_(True)
    one_step_loss(layer, p, w, icl.TEACHERS["ngd"](w, p.z, 1.0)).backward()
    assert not layer.score.grad[:, :d].any()
    assert not layer.score.grad[d:].any()
    assert not layer.value.grad[:, d:].any()
    for block in (layer.score.grad[:d, d:], layer.value.grad[d:, :d], layer.value.grad[:d, :d]):
        assert (block != 0).any() or d == 1


@given(sizes, seeds)
def test_a_state_of_zero_teaches_nothing_about_the_scores(d, seed):
    p, w = sample_states(icl.LinearTask(d), 4, 5, 0.0, seeded(seed), torch.float64)
    assert not w.any()
    layer = icl.SoftmaxAttention.random(d, 1.0, generator=seeded(seed), tokens="full")
    layer.requires_grad_(True)
    one_step_loss(layer, p, w, icl.TEACHERS["ngd"](w, p.z, 1.0)).backward()
    assert not layer.score.grad.any()
    assert layer.value.grad[d:, :d].all()


def test_one_point_teaches_nothing_about_the_scores():
    """The softmax over one token is 1, whatever its score: hence n >= 2."""
    p, w = sample_states(icl.LinearTask(3), 50, 1, 1.0, seeded(), torch.float64)
    H = hessian(p, w)
    assert not H[:9].any()
    assert not H[:, :9].any()


def test_masks_free_the_blocks_that_are_trained():
    layer = icl.SoftmaxAttention.random(3, generator=seeded())
    free = free_blocks(layer, "state")
    assert (free["score"].sum(), free["value"].sum()) == (9, 9)
    assert free["score"][:3, 3:].all()
    assert free["value"][3:, :3].all()
    assert all(mask.all() for mask in free_blocks(layer, "full").values())
    with pytest.raises(icl.BadInput, match="tokens: got 'some', expected one of 'full', 'state'"):
        free_blocks(layer, "some")


def test_a_random_layer_has_the_scale_it_is_asked_for():
    layer = icl.SoftmaxAttention.random(50, 0.3, generator=seeded(), tokens="full")
    for matrix in (layer.score, layer.value):
        assert not matrix.requires_grad
        assert float(matrix.std()) == pytest.approx(0.3, rel=0.03)  # 10,000 entries: one sigma is 0.7 percent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_kinds_of_tokens_start_at_the_same_two_blocks(dtype):
    state, full = (
        icl.SoftmaxAttention.random(3, generator=seeded(4), tokens=t, dtype=dtype) for t in ("state", "full")
    )
    assert state.score.dtype == full.value.dtype == dtype
    assert torch.equal(trained_blocks(state), trained_blocks(full))
    assert int((state.score != 0).sum()) == int((state.value != 0).sum()) == 9
    assert full.score.all()
    assert full.value.all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"d": 0}, "d: got 0"),
        ({"scale": -1.0}, "scale: got -1.0"),
        ({"scale": math.nan}, "scale: got nan"),
        ({"tokens": "all"}, "tokens: got 'all', expected one of 'full', 'state'"),
        ({"generator": 0}, "generator: got int"),
        ({"dtype": torch.float16}, r"dtype: got torch.float16, expected torch.float32 or torch.float64"),
        ({"dtype": torch.int64}, "dtype: got torch.int64"),
    ],
)
def test_a_random_layer_refuses(wrong, message):
    with pytest.raises(icl.BadInput, match=f"^{message}"):
        icl.SoftmaxAttention.random(**({"d": 2, "generator": seeded()} | wrong))


def sharpness(d, batch, n=40, step=1.0, seed=1, w_scale=1.0):
    p, w = sample_states(icl.LinearTask(d), batch, n, w_scale, seeded(seed), torch.float64)
    return torch.linalg.eigvalsh(hessian(p, w, step))


@given(st.integers(1, 3), steps, seeds)
def test_the_hessian_is_symmetric_and_positive(d, step, seed):
    p, w = sample_states(icl.LinearTask(d), 60, 4, 1.0, seeded(seed), torch.float64)
    H = hessian(p, w, step)
    assert H.shape == (2 * d * d, 2 * d * d)
    assert_same(H, H.mT)
    assert float(torch.linalg.eigvalsh(H)[0]) > 0


@pytest.mark.parametrize("n", [2, 3, 40])
def test_the_hessian_is_positive_definite_from_two_points_on(n):
    for d in (1, 2, 4):
        values = sharpness(d, 500, n)
        assert float(values[0]) > 1e-3 * float(values[-1])


def test_the_hessian_is_that_of_the_loss():
    """Second differences of the library's loss, on the layer's own matrices, along a random direction."""
    d, h = 3, 1e-4
    p, w = sample_states(icl.LinearTask(d), 30, 7, 1.0, seeded(), torch.float64)
    target = icl.TEACHERS["ngd"](w, p.z, 0.6)
    direction = normal(2, d, d, seed=5)

    def loss(t):
        layer = icl.ngd_layer(d, 0.6)
        layer.score[:d, d:] += t * direction[0]
        layer.value[d:, :d] += t * direction[1]
        return float(one_step_loss(layer, p, w, target))

    v = direction.flatten()
    curvature = float(v @ hessian(p, w, 0.6) @ v)
    # the error of a second difference is of order h^2; the loss itself is 0 at the middle
    assert (loss(h) + loss(-h)) / h**2 == pytest.approx(curvature, rel=1e-6)


def test_the_edge_of_stability_at_two_dimensions():
    """2 / lambda_max is about 1.30 for n = 40 and step 1; samples of 8,192 prompts scatter by 1 to 2 percent."""
    assert 2 / float(sharpness(2, 8192)[-1]) == pytest.approx(1.30, rel=0.05)


@pytest.mark.parametrize(("d", "step"), [(1, 1.0), (2, 1.0), (2, 0.6), (4, 1.0)])
def test_the_stable_learning_rate_is_half_the_edge(d, step):
    edge = 2 / float(sharpness(d, 1024, 10, step)[-1])
    same = {"generator": seeded(1), "step": step, "n": 10, "batch": 1024}
    seen = icl.stable_learning_rate(icl.LinearTask(d), **same)
    assert seen == pytest.approx(edge / 2, rel=0.01)  # Lanczos approaches lambda_max from below
    assert seen >= edge / 2 * (1 - 1e-12)
    same |= {"generator": seeded(1), "safety": 1.0, "iterations": 200}
    assert icl.stable_learning_rate(icl.LinearTask(d), **same) == pytest.approx(edge, rel=1e-9)


def test_full_tokens_have_the_same_edge():
    """The leak block's own Hessian is twice the mean of g g', a part of the value block's."""
    p, w = sample_states(icl.LinearTask(2), 400, 10, 1.0, seeded(), torch.float64)
    target = icl.TEACHERS["ngd"](w, p.z, 1.0)
    layer, zeros = icl.ngd_layer(2, 1.0), torch.zeros_like(w)
    tokens, wanted = layer.tokens(torch.cat([zeros, w], -1), p), torch.cat([zeros, target], -1)

    def loss(score, value):
        seen = torch.func.functional_call(layer, {"score": score, "value": value}, (tokens,))[:, -1]
        return (seen - wanted).square().sum(-1).mean()

    blocks = torch.autograd.functional.hessian(loss, (layer.score.detach(), layer.value.detach()))
    full = torch.linalg.eigvalsh(torch.cat([torch.cat([b.reshape(16, 16) for b in row], 1) for row in blocks]))
    assert float(full[-1]) == pytest.approx(float(torch.linalg.eigvalsh(hessian(p, w))[-1]), rel=1e-12)
    assert int((full.abs() > 1e-12).sum()) == 12  # three of the eight blocks are identifiable


def near(d, step=1.0, size=1e-6):
    layer = icl.ngd_layer(d, step)
    layer.score[:d, d:] += size * normal(d, d, seed=7)
    layer.value[d:, :d] += size * normal(d, d, seed=8)
    return layer


@pytest.mark.parametrize(("d", "step"), [(2, 1.0), (2, 0.6), (3, 1.0)])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95, 1.05])
def test_full_batch_descent_has_the_predicted_rate(d, step, share):
    """Close to the construction the distance changes by max |1 - lr lambda| a step, on both sides of the edge."""
    p, w = sample_states(icl.LinearTask(d), 512, 40, 1.0, seeded(3), torch.float64)
    values = torch.linalg.eigvalsh(hessian(p, w, step))
    lr = share * 2 / float(values[-1])
    predicted = float((1 - lr * values).abs().max())
    assert (predicted > 1) == (share > 1)
    run = icl.train_one_step(
        near(d, step), icl.LinearTask(d), generator=seeded(3), step=step, lr=lr, steps=81, **FULL_BATCH
    )
    # the loss is quadratic; from step 60 on the slowest direction leads, another at most 1 percent off would not matter
    measured = float(run.loss[80] / run.loss[60]) ** (1 / 40)
    assert measured == pytest.approx(predicted, rel=0.01)
    assert (run.loss[80] > run.loss[0]) == (share > 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generator": 1}, "generator: got int"),
        ({"step": 0.0}, "step: got 0.0"),
        ({"n": 1}, "n: got 1, expected a whole number >= 2"),
        ({"batch": 0}, "batch: got 0"),
        ({"w_scale": -1.0}, "w_scale: got -1.0"),
        ({"safety": 0.0}, "safety: got 0.0"),
        ({"iterations": 0}, "iterations: got 0"),
    ],
)
def test_the_stable_learning_rate_refuses(wrong, message):
    with pytest.raises(icl.BadInput, match=f"^{message}"):
        icl.stable_learning_rate(icl.LinearTask(2), **({"generator": seeded(), "batch": 4} | wrong))


def test_the_hessian_refuses_states_that_do_not_fit():
    p, w = sample_states(icl.LinearTask(3), 5, 4, 1.0, seeded(), torch.float64)
    for bad, message in [
        (w[:2], r"w: got shape \[2, 3\]"),
        (w[:, :2], "w: got shape"),
        (w.float(), "w: got torch.float32"),
    ]:
        with pytest.raises(icl.BadInput, match=f"^{message}"):
            hessian(p, bad)
    with pytest.raises(icl.BadInput, match="^step: got -1"):
        hessian(p, w, -1.0)
    with pytest.raises(icl.BadInput, match="^step: got 0"):
        icl.distance_to_construction(icl.ngd_layer(2, 1.0), 0.0)
