"""One head is one step: the construction against automatic differentiation, and its two views against each other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, folded, gradient, normal, points, prompts, scales, seeded, seeds, sizes, steps

import icl_lib as icl


def softmax_layer(d: int, own_token: str, seed: int, value_batch: int | None = None) -> icl.SoftmaxAttention:
    """A head with no structure at all: every block of both matrices is non-zero."""
    shape = (2 * d, 2 * d) if value_batch is None else (value_batch, 2 * d, 2 * d)
    return icl.SoftmaxAttention(normal(2 * d, 2 * d, seed=seed), normal(*shape, seed=seed + 1), own_token)


def apply(layer, w, p):
    """The layer on the explicit token matrix, from the classifier w."""
    tokens = layer.tokens(torch.cat([torch.zeros_like(w), w], -1), p)
    return layer(tokens)[:, -1, p.x.shape[-1] :]


def radius(p):
    return p.x.norm(dim=-1).amax(-1)


@given(st.data(), prompts(), steps)
def test_one_layer_is_one_ngd_step(data, p, step):
    w = data.draw(points(p))

    def L(v):
        return torch.exp(-torch.einsum("bd,bnd->bn", v, p.z)).mean(-1)

    expected = w - step * gradient(L, w) / L(w)[:, None]
    assert_same(apply(icl.ngd_layer(p.x.shape[-1], step), w, p), expected, scale=step * radius(p))


@given(st.data(), prompts(), steps)
def test_the_sink_layer_is_one_gd_step_on_log_one_plus_the_sum(data, p, step):
    w = data.draw(points(p))

    def sink_loss(v):
        return torch.log1p(torch.exp(-torch.einsum("bd,bnd->bn", v, p.z)).sum(-1))

    expected = w - step * gradient(sink_loss, w)
    assert_same(apply(icl.sink_layer(p.x.shape[-1], step), w, p), expected, scale=step * radius(p))


@given(st.data(), prompts(n=1), steps)
def test_for_one_token_the_sink_layer_is_logistic_regression(data, p, step):
    w = data.draw(points(p))
    expected = w - step * gradient(lambda v: icl.logistic_loss(v, p.z), w)
    assert_same(apply(icl.sink_layer(p.x.shape[-1], step), w, p), expected, scale=step * radius(p))


@given(st.data(), prompts(), steps)
def test_the_sink_takes_the_share_S_over_one_plus_S_of_the_step(data, p, step):
    w = data.draw(points(p, margin=10.0))
    S = torch.exp(-icl.margins(w, p.z)).sum(-1, keepdim=True)
    with_sink, without = (apply(make(p.x.shape[-1], step), w, p) - w for make in (icl.sink_layer, icl.ngd_layer))
    assert_same(with_sink, S / (1 + S) * without, scale=step * radius(p) + w.norm(dim=-1))  # w was subtracted


@given(prompts(), st.lists(steps, min_size=6, max_size=6))
def test_a_tensor_of_steps_gives_each_prompt_its_own(p, some):
    B, _, d = p.x.shape
    step = torch.tensor(some[:B], dtype=torch.float64)
    together = icl.Looped(icl.ngd_layer(d, step), 2).iterates(p)
    alone = [icl.Looped(icl.ngd_layer(d, some[b]), 2).iterates(folded(p.z[b : b + 1])) for b in range(B)]
    assert_same(together, torch.cat(alone, 1))


@given(prompts(), st.sampled_from(["masked", "seen"]), st.booleans(), seeds, scales)
def test_the_fast_path_is_the_layer_on_tokens(p, own_token, each, seed, scale):
    B, _, d = p.x.shape
    layer = softmax_layer(d, own_token, seed % 2**31, B if each else None)
    state = torch.cat([torch.zeros(B, d), normal(B, d, seed=seed)], -1).to(p.x) * scale
    seen, expected = layer.step(state, p), layer(layer.tokens(state, p))[:, -1]
    assert_same(seen, expected, scale=state.abs().max())


@given(prompts(), st.sampled_from(["masked", "seen"]), seeds)
def test_the_fast_path_is_the_layer_on_tokens_for_a_full_state(p, own_token, seed):
    """Also with a context block in the state token, as an untrained layer with junk in its matrices writes one."""
    B, _, d = p.x.shape
    layer, state = softmax_layer(d, own_token, seed % 2**31), normal(B, 2 * d, seed=seed)
    assert_same(layer.step(state, p), layer(layer.tokens(state, p))[:, -1], scale=state.abs().max())


@given(prompts(), steps, st.sampled_from([icl.ngd_layer, icl.sink_layer]), st.booleans(), seeds)
def test_the_fast_path_is_the_layer_on_tokens_for_the_constructions(p, step, make, each, seed):
    B, _, d = p.x.shape
    layer = make(d, step * torch.arange(1.0, B + 1, dtype=torch.float64) if each else step)
    state = torch.cat([torch.zeros(B, d), normal(B, d, seed=seed)], -1).to(p.x)
    assert_same(layer.step(state, p), layer(layer.tokens(state, p))[:, -1], scale=state.abs().max())


@given(prompts(), seeds)
def test_only_the_state_token_is_written(p, seed):
    layer = softmax_layer(p.x.shape[-1], "seen", seed % 2**31)
    tokens = layer.tokens(normal(p.x.shape[0], 2 * p.x.shape[-1], seed=seed), p)
    assert torch.equal(layer(tokens)[:, :-1], tokens[:, :-1])


@given(prompts(), st.sampled_from(["masked", "seen"]), seeds, scales)
def test_a_head_is_torch_scaled_dot_product_attention(p, own_token, seed, scale):
    """An implementation that is not ours; it divides scores by sqrt(d_k), so the query is multiplied by it."""
    B, n, d = p.x.shape
    layer = softmax_layer(d, own_token, seed % 2**31)
    tokens = layer.tokens(scale * normal(B, 2 * d, seed=seed), p)
    query = tokens[:, -1:] @ layer.score.mT * (2 * d) ** 0.5
    mask = torch.ones(1, n + 1, dtype=torch.bool)
    mask[0, -1] = own_token == "seen"
    read = torch.nn.functional.scaled_dot_product_attention(query, tokens, tokens @ layer.value.mT, attn_mask=mask)
    assert_same(layer(tokens)[:, -1:], tokens[:, -1:] + read, scale=tokens.abs().max())


@given(prompts(), seeds)
def test_attention_weights_are_what_the_head_averages_with(p, seed):
    B, _, d = p.x.shape
    w = normal(B, d, seed=seed)
    state, layer = torch.cat([torch.zeros_like(w), w], -1), icl.ngd_layer(d, 1.0)
    q = layer.attention(state, p)
    assert_same(q, icl.exponential_weights(w, p.z))
    assert_same(q.sum(-1), torch.ones(B, dtype=torch.float64))
    S = torch.exp(-icl.margins(w, p.z)).sum(-1)
    assert_same(icl.sink_layer(d, 1.0).attention(state, p).sum(-1), S / (1 + S))


@given(prompts(), steps)
def test_matrices_are_those_of_the_theory(p, step):
    """W_QK = -I from state query to context keys, W_V = step * I from context to state block, zeros elsewhere."""
    d = p.x.shape[-1]
    zero, one = torch.zeros(d, d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    for layer in (icl.ngd_layer(d, step), icl.sink_layer(d, step)):
        assert torch.equal(layer.score, torch.cat([torch.cat([zero, -one], 1), torch.cat([zero, zero], 1)]))
        assert torch.equal(layer.value, torch.cat([torch.cat([zero, zero], 1), torch.cat([step * one, zero], 1)]))
    assert icl.ngd_layer(d, step).own_token == "masked"
    assert icl.sink_layer(d, step).own_token == "seen"


@given(prompts(queries=1), st.integers(1, 4))
def test_the_gated_fold_multiplies_label_into_point(p, extra):
    d = p.x.shape[-1]
    tokens = icl.GatedFold(d)(p.raw_tokens())
    assert torch.equal(tokens[:, :-1], torch.cat([p.z, torch.zeros_like(p.z)], -1))
    asked = p.x_query[:, 0]
    assert torch.equal(tokens[:, -1], torch.cat([asked, torch.zeros_like(asked)], -1))


@given(prompts(queries=3, normalized=True), st.floats(0.1, 1.0), st.integers(0, 20), st.integers(0, 2))
def test_from_raw_tokens_to_the_answer_end_to_end(p, step, depth, query):
    """(x, y) pairs and a query go in; fold, loop and read-out are all attention and gates; <w_T, x> comes out."""
    model = icl.Looped(icl.ngd_layer(p.x.shape[-1], step), depth)
    tokens = model(icl.GatedFold(p.x.shape[-1])(p.raw_tokens(query)))
    assert_same(icl.decide(tokens), model.decision(p)[:, query], scale=1.0)


def test_decide_reads_the_last_token():
    tokens = torch.tensor([[[9.0, 9, 9, 9], [1, 2, 10, 100]], [[9, 9, 9, 9], [3, -1, 1, 1]]])
    assert icl.decide(tokens).tolist() == [210.0, 2.0]


@given(sizes)
def test_layers_are_not_trained_unless_asked(d):
    for module in (icl.ngd_layer(d, 1.0), icl.sink_layer(d, 1.0), icl.GatedFold(d)):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert len(list(module.parameters())) == 2


def test_a_layer_can_be_trained():
    layer, p = icl.ngd_layer(2, 0.5), icl.LinearTask(2).sample(3, 5, generator=seeded(), dtype=torch.float64)
    layer.requires_grad_()
    layer.step(layer.step(layer.init(p), p), p).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


@pytest.mark.parametrize("own_token", ["masked", "seen"])
def test_the_layer_says_what_it_is(own_token):
    assert f"d=3, own_token='{own_token}'" in repr(softmax_layer(3, own_token, 0))
