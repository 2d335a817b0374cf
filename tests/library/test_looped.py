"""Depth: the loop is the algorithm, and every view of a model tells the same story."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, normal, prompts, seeded

import icl_lib as icl

depths = st.integers(0, 25)
stable = st.floats(0.01, 1.0)  # on normalized prompts: above 2/R^2 two right answers drift apart (theory 2.8)


@given(prompts(normalized=True), stable, depths)
def test_the_loop_is_normalized_gradient_descent(p, step, depth):
    path = icl.Looped(icl.ngd_layer(p.x.shape[-1], step), depth).iterates(p)
    assert path.shape == (depth + 1, p.x.shape[0], p.x.shape[-1])
    assert_same(path, icl.ngd(p.z, step, depth), scale=step)


@given(prompts(normalized=True, queries=2), stable, st.integers(1, 25))
def test_a_loop_is_a_stack_of_equal_layers(p, step, depth):
    layer = icl.ngd_layer(p.x.shape[-1], step)
    looped, stacked = icl.Looped(layer, depth), icl.Stacked([layer] * depth)
    assert looped.depth == stacked.depth == depth
    for view in ("iterates", "final", "decision", "attention"):
        assert torch.equal(getattr(looped, view)(p), getattr(stacked, view)(p))


@given(prompts(normalized=True, queries=2), stable, depths, st.sampled_from([icl.ngd_layer, icl.sink_layer]))
def test_all_views_of_a_model_agree(p, step, depth, make):
    layer = make(p.x.shape[-1], step)
    model = icl.Looped(layer, depth)
    path = model.iterates(p)
    assert torch.equal(model.final(p), path[-1])
    assert_same(model.decision(p), (p.x_query @ path[-1][..., None])[..., 0], scale=step)
    assert_same(model.decision(p, p.x), (p.x @ path[-1][..., None])[..., 0], scale=step)
    tokens = model(layer.tokens(layer.init(p), p))
    assert_same(layer.read(tokens[:, -1]), path[-1], scale=step)
    maps = model.attention(p)
    assert maps.shape == (depth, *p.y.shape)
    for t in range(depth):
        assert torch.equal(maps[t], layer.attention(torch.cat([torch.zeros_like(path[t]), path[t]], -1), p))


def test_a_stack_applies_its_layers_in_order():
    p = icl.LinearTask(3).sample(4, 6, generator=seeded(), dtype=torch.float64).normalized()
    path = icl.Stacked([icl.ngd_layer(3, 1.0), icl.ngd_layer(3, 0.5), icl.sink_layer(3, 0.25)]).iterates(p)
    first = icl.ngd(p.z, 1.0, 1)
    second = icl.ngd(p.z, 0.5, 1, first[-1])
    assert_same(path[:2], first)
    assert_same(path[2], second[-1])
    S = torch.exp(-icl.margins(path[2], p.z)).sum(-1, keepdim=True)
    assert_same(path[3] - path[2], S / (1 + S) * (icl.ngd(p.z, 0.25, 1, path[2])[-1] - path[2]), rtol=1e-11)


def test_attention_is_that_of_each_layer_in_turn():
    p = icl.LinearTask(3).sample(4, 6, generator=seeded(), dtype=torch.float64).normalized()
    plain = icl.ngd_layer(3, 1.0)
    layers = [plain, icl.SoftmaxAttention(3 * plain.score, plain.value), icl.sink_layer(3, 1.0)]
    path, maps = icl.Stacked(layers).iterates(p), icl.Stacked(layers).attention(p)
    assert_same(maps[0], icl.exponential_weights(path[0], p.z))
    assert_same(maps[1], icl.exponential_weights(3 * path[1], p.z))
    e = torch.exp(-icl.margins(path[2], p.z))
    assert_same(maps[2], e / (1 + e.sum(-1, keepdim=True)))


def test_decaying_steps_are_an_untied_stack():
    p = icl.LinearTask(3).sample(4, 6, generator=seeded(), dtype=torch.float64).normalized()
    stack = icl.Stacked([icl.ngd_layer(3, (t + 1) ** -0.5) for t in range(20)])
    assert_same(stack.iterates(p), icl.ngd_decaying(p.z, 1.0, 20))


def test_a_stack_takes_any_iterable():
    assert icl.Stacked(icl.ngd_layer(2, 1.0) for _ in range(3)).depth == 3


def test_the_layer_number_reaches_the_layer():
    class Counting(icl.SoftmaxAttention):
        def step(self, state, prompts, t=0):
            seen.append(t)
            return super().step(state, prompts, t)

    seen, matrices = [], icl.ngd_layer(2, 1.0)
    p = icl.LinearTask(2).sample(1, 3, generator=seeded())
    icl.Looped(Counting(matrices.score, matrices.value), 4).final(p)
    assert seen == [0, 1, 2, 3]


def test_depth_zero_is_the_untouched_prompt():
    p = icl.LinearTask(2).sample(3, 4, queries=2, generator=seeded())
    model = icl.Looped(icl.ngd_layer(2, 1.0), 0)
    assert torch.equal(model.iterates(p), torch.zeros(1, 3, 2))
    assert torch.equal(model.decision(p), torch.zeros(3, 2))
    assert model.attention(p).shape == (0, 3, 4)


def test_no_parameter_is_counted_twice_in_a_loop():
    assert len(list(icl.Looped(icl.ngd_layer(2, 1.0), 50).parameters())) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_prompts(dtype):
    p = icl.LinearTask(2).sample(3, 4, queries=2, generator=seeded(), dtype=dtype)
    step = torch.ones(3, dtype=torch.float32)
    for layer in (icl.ngd_layer(2, 0.5), icl.sink_layer(2, 0.5), icl.ngd_layer(2, step)):
        model = icl.Looped(layer, 3)
        for view in ("iterates", "final", "decision", "attention"):
            assert getattr(model, view)(p).dtype == dtype
    tokens = icl.GatedFold(2)(p.raw_tokens())
    assert tokens.dtype == icl.decide(tokens).dtype == dtype


def test_float32_stays_close_to_float64():
    p = icl.LinearTask(8, margin=0.1).sample(16, 40, queries=4, generator=seeded(), dtype=torch.float64).normalized()
    short = icl.Prompts(p.x.float(), p.y.float(), None, p.x_query.float(), p.y_query.float())
    model = icl.Looped(icl.ngd_layer(8, 1.0), 100)
    # 100 roundings of size 6e-8, which a non-expansive map (step <= 2/R^2, theory 4.3) does not amplify
    assert_same(model.iterates(short).double(), model.iterates(p), rtol=2e-5)
    assert_same(model.attention(short).double(), model.attention(p), rtol=1e-3)


@pytest.mark.filterwarnings("default")
def test_scores_beyond_the_range_of_float32_are_refused_and_do_not_become_nan():
    big = icl.Prompts(torch.full((1, 2, 2), 1e19) * torch.tensor([1.0, -1.0]), torch.ones(1, 2))
    for view in ("iterates", "final", "attention"):
        with pytest.raises(icl.BadInput, match="overflow"):
            getattr(icl.Looped(icl.ngd_layer(2, 1.0), 3), view)(big)


def test_gradients_flow_through_the_loop():
    x = normal(2, 5, 3).requires_grad_()
    icl.Looped(icl.ngd_layer(3, 0.1), 5).final(icl.Prompts(x, torch.ones(2, 5).double())).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
