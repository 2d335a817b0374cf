"""The layer's neighbours: a head normalised by length, the logistic blocks, and the head that all of them share."""

import math

import pytest
import torch
from torch.testing import assert_close

import icl_lib as icl

EXACT = {"rtol": 1e-12, "atol": 1e-13}  # float64; a handful of roundings on numbers of size 1
PATH = {"rtol": 1e-9, "atol": 1e-10}  # 40 layers at steps that do not amplify rounding


@pytest.fixture
def prompts():
    g = torch.Generator().manual_seed(0)
    return icl.LinearTask(5, margin=0.3).sample(6, 9, generator=g, dtype=torch.float64).normalized()


def w_of(layer, tokens):
    """The classifier in the state token: the second block of d entries, in every layout of the book."""
    return tokens[:, -1, layer.d : 2 * layer.d]


LAYERS = {
    "normed": (lambda: icl.norm_layer(5, 0.1), lambda z, T: icl.norm_gd(z, 0.1, T)),
    "logistic": (lambda: icl.logistic_block(5, 2.0), lambda z, T: icl.gd(z, 2.0, T, loss="logistic")),
    "momentum": (lambda: icl.momentum_layer(5, 1.0), lambda z, T: icl.momentum_ngd(z, 1.0, T)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_loop_is_the_algorithm_and_both_views_agree(name, prompts):
    layer, algorithm = LAYERS[name][0](), LAYERS[name][1]
    loop = icl.Looped(layer, 40)
    path = loop.iterates(prompts)
    assert_close(path, algorithm(prompts.z, 40), **PATH)
    assert_close(w_of(layer, loop(layer.tokens(layer.init(prompts), prompts))), path[-1], **PATH)


def test_a_momentum_layer_is_one_step_at_every_depth(prompts):
    """Both views, from a state that no path would reach; only the state token moves."""
    layer = icl.momentum_layer(5, 0.7)
    w, v = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for t in (0, 1, 17):
        g = -icl.log_mean_exp_grad(w, prompts.z)
        velocity = t / (t + 1) * (v + g)
        state = torch.cat([w, v], -1)
        expected = torch.cat([w + 0.7 * (velocity + g), velocity], -1)
        assert_close(layer.step(state, prompts, t), expected, **EXACT)
        tokens = layer.tokens(state, prompts)
        assert_close(layer(tokens, t)[:, -1, 5:], expected, **EXACT)
        assert torch.equal(layer(tokens, t)[:, :-1], tokens[:, :-1])
        assert (layer(tokens, t)[:, -1, :5] == 0).all()
        assert_close(layer.attention(state, prompts), icl.exponential_weights(w, prompts.z), **EXACT)


def test_a_normalised_update_has_the_length_asked_for(prompts):
    path = icl.norm_gd(prompts.z, 0.1, 20)
    assert_close(path.diff(dim=0).norm(dim=-1), torch.full((20, 6), 0.1, dtype=torch.float64), **EXACT)
    steps = torch.linspace(0.1, 0.6, 6, dtype=torch.float64)
    assert_close(icl.norm_gd(prompts.z, steps, 3).diff(dim=0).norm(dim=-1), steps.expand(3, 6), **EXACT)


def test_a_normalised_update_goes_down_the_gradient(prompts):
    w = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    gradient = torch.autograd.grad(icl.exponential_loss(w, prompts.z).sum(), w)[0]
    expected = w.detach() - 0.3 * gradient / gradient.norm(dim=-1, keepdim=True)
    assert_close(icl.norm_gd(prompts.z, 0.3, 1, w.detach())[-1], expected, **EXACT)


def test_a_gradient_of_zero_stays_zero():
    opposite = torch.tensor([[[1.0, 2.0], [-1.0, -2.0]]], dtype=torch.float64)
    assert (icl.norm_gd(opposite, 1.0, 3) == 0).all()
    p = icl.Prompts(opposite, torch.ones(1, 2, dtype=torch.float64))
    assert (icl.Looped(icl.norm_layer(2, 1.0), 3).iterates(p) == 0).all()


def test_the_logistic_blocks_update_every_copy_and_wipe_every_slot(prompts):
    layer = icl.logistic_block(5, 0.7)
    w = torch.randn(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    tokens = layer(layer.tokens(w, prompts))
    expected = w - 0.7 * icl.logistic_loss_grad(w, prompts.z)
    assert_close(tokens[..., 5:10], expected[:, None].expand(-1, 10, -1), **EXACT)
    assert (tokens[..., 10:] == 0).all()
    assert torch.equal(tokens[:, :-1, :5], prompts.z)
    weights = layer.attention(w, prompts)
    assert_close(weights, torch.sigmoid(-icl.margins(w, prompts.z)) / 9, **EXACT)


def test_attend_is_pytorchs_attention():
    g = torch.Generator().manual_seed(3)
    tokens = torch.randn(2, 7, 4, generator=g, dtype=torch.float64)
    score, value = torch.randn(2, 4, 4, generator=g, dtype=torch.float64)
    seen = torch.rand(3, 7, generator=g) < 0.6
    seen[:, 0] = True
    read = icl.attend(tokens[:, :3], tokens, score, value, seen)
    query = tokens[:, :3] @ score.mT * math.sqrt(4)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, tokens, tokens @ value.mT, attn_mask=seen)
    assert_close(read, theirs, **EXACT)
    assert_close(icl.attend(tokens[:, :1], tokens, score, value, torch.eye(1, 7, dtype=torch.bool)),
                 tokens[:, :1] @ value.mT, **EXACT)  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: icl.norm_layer(5, 0.0), "^step: got 0.0, expected a finite number > 0"),
        (lambda p: icl.logistic_block(5, -1.0), "^step: got -1.0, expected a finite number > 0"),
        (lambda p: icl.logistic_block(0, 1.0), "^d: got 0, expected a whole number >= 1"),
        (lambda p: icl.logistic_block(4, 1.0).init(p), "points in R.5, expected points in R.4"),
        (lambda p: icl.logistic_block(5, 1.0)(torch.zeros(1, 1, 15)), "a context token before the state token"),
        (lambda p: icl.logistic_block(5, 1.0)(torch.zeros(1, 3, 10)), "^tokens: got shape"),
        (lambda p: icl.momentum_layer(5, 0.0), "^step: got 0.0, expected a finite number > 0"),
        (lambda p: icl.momentum_layer(4, 1.0).init(p), "points in R.5, expected points in R.4"),
        (lambda p: icl.momentum_layer(5, 1.0)(torch.zeros(1, 1, 15)), "a context token before the state token"),
        (lambda p: icl.momentum_layer(5, 1.0)(torch.zeros(1, 3, 15), -1), "^t: got -1"),
        (lambda p: icl.norm_gd(p.z, -0.1, 3), "^step: got -0.1"),
        (lambda p: icl.norm_gd(p.z, 0.1, -3), "^steps: got -3"),
    ],
)
def test_bad_input_is_refused_by_name(call, message, prompts):
    with pytest.raises(icl.BadInput, match=message):
        call(prompts)
