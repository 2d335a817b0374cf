"""What must not matter: order, orientation, units, names of the classes, neighbours in the batch, the dtype."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, normal, prompts, seeded, seeds

import icl_lib as icl

stable = st.floats(0.01, 1.0)
DEPTH = 15
makers = pytest.mark.parametrize("make", [icl.ngd_layer, icl.sink_layer], ids=lambda f: f.__name__)


def iterates(make, p, step):
    return icl.Looped(make(p.x.shape[-1], step), DEPTH).iterates(p)


def decision(make, p, step):
    return icl.Looped(make(p.x.shape[-1], step), DEPTH).decision(p)


@makers
@given(p=prompts(normalized=True), step=stable, seed=seeds)
def test_the_order_of_the_context_does_not_matter(make, p, step, seed):
    order = torch.randperm(p.x.shape[1], generator=seeded(seed))
    shuffled = icl.Prompts(p.x[:, order], p.y[:, order])
    assert_same(iterates(make, shuffled, step), iterates(make, p, step), scale=step)
    model = icl.Looped(make(p.x.shape[-1], step), DEPTH)
    assert_same(model.attention(shuffled), model.attention(p)[..., order])


@makers
@given(p=prompts(normalized=True, queries=2), step=stable, seed=seeds)
def test_rotating_the_points_rotates_the_classifier_and_keeps_decisions(make, p, step, seed):
    Q = torch.linalg.qr(normal(p.x.shape[-1], p.x.shape[-1], seed=seed)).Q
    turned = icl.Prompts(p.x @ Q, p.y, None, p.x_query @ Q, p.y_query)
    assert_same(iterates(make, turned, step), iterates(make, p, step) @ Q, scale=step)
    assert_same(decision(make, turned, step), decision(make, p, step), scale=step)


@makers
@given(p=prompts(normalized=True), step=stable, s=st.sampled_from([1e-6, 1e-3, 7.0, 1e3, 1e6]))
def test_other_units_are_another_step(make, p, step, s):
    """Points times s with step / s^2 gives the classifier divided by s: margins, hence weights, are the same."""
    scaled = icl.Prompts(s * p.x, p.y)
    assert_same(iterates(make, scaled, step / s**2) * s, iterates(make, p, step), scale=step)


@given(prompts(normalized=True), stable, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_a_layer_with_other_scales_is_ngd_in_other_units(p, step, c1, c2):
    """Theory 2.9: score matrix -c1 I and value matrix c2 I are NGD with step c1 c2 in u = c1 w."""
    c2 = min(c2, 1 / c1)  # a step of at most 1/R^2, above which roundings may grow
    plain = icl.ngd_layer(p.x.shape[-1], c2)
    layer = icl.SoftmaxAttention(c1 * plain.score, plain.value)
    path = icl.Looped(layer, DEPTH).iterates(p)
    assert_same(c1 * path, icl.ngd(p.z, c1 * c2, DEPTH), scale=c1 * c2)


@makers
@given(p=prompts(normalized=True), step=stable, seed=seeds)
def test_a_point_and_its_mirror_image_with_the_other_label_are_the_same_evidence(make, p, step, seed):
    flip = torch.randint(0, 2, p.y.shape, generator=seeded(seed)).double() * 2 - 1
    mirrored = icl.Prompts(p.x * flip[..., None], p.y * flip)
    assert torch.equal(iterates(make, mirrored, step), iterates(make, p, step))


@makers
@given(p=prompts(normalized=True, queries=2), step=stable)
def test_swapping_the_names_of_the_classes_turns_every_decision_over(make, p, step):
    swapped = icl.Prompts(p.x, -p.y, None, p.x_query, -p.y_query)
    assert_same(decision(make, swapped, step), -decision(make, p, step), scale=step)


@makers
@given(p=prompts(normalized=True, queries=2), step=stable)
def test_a_prompt_does_not_see_its_neighbours(make, p, step):
    together = decision(make, p, step)
    for b in range(p.x.shape[0]):
        parts = (p.x, p.y, p.x_query, p.y_query)
        x, y, x_query, y_query = (v[b : b + 1] for v in parts)
        alone = icl.Prompts(x, y, None, x_query, y_query)
        assert_same(decision(make, alone, step), together[b : b + 1], scale=step)


@given(prompts(normalized=True, queries=4), stable)
def test_queries_do_not_see_one_another_and_do_not_move_the_classifier(p, step):
    model = icl.Looped(icl.ngd_layer(p.x.shape[-1], step), DEPTH)
    one = model.decision(p, p.x_query[:, 2:3])
    assert_same(one, model.decision(p)[:, 2:3], scale=step)
    assert torch.equal(model.final(icl.Prompts(p.x, p.y)), model.final(p))


@given(prompts(queries=3))
def test_normalized_prompts_get_the_same_answers(p):
    """Dividing by R changes the units of a classifier, not the side of a point: step / R^2 before is step after."""
    normalized, radius = p.normalized(), p.radius
    d = p.x.shape[-1]
    before = icl.Looped(icl.ngd_layer(d, 0.5 / radius**2), DEPTH).decision(p)
    after = icl.Looped(icl.ngd_layer(d, 0.5), DEPTH).decision(normalized)
    assert_same(before, after, scale=0.5)
    assert torch.equal(normalized.y, p.y)
    assert torch.equal(normalized.y_query, p.y_query)


@pytest.mark.parametrize("algorithm", [icl.ngd, icl.gd, icl.ngd_decaying, icl.momentum_ngd], ids=lambda f: f.__name__)
@given(p=prompts(normalized=True), step=stable)
def test_float32_is_close_to_float64_in_every_algorithm(algorithm, p, step):
    short, long = algorithm(p.z.float(), step, 10), algorithm(p.z, step, 10)
    assert short.dtype == torch.float32
    assert_same(short.double(), long, rtol=1e-5, scale=step)  # ten roundings of 6e-8, momentum adds a factor of ten
