"""A transformer for raw prompts: what it cannot see, by design, and what it refuses."""

import pytest
import torch
from hypothesis import given
from strategies import normal, prompts, seeded

import icl_lib as icl
from icl_lib.transformer import InContextTransformer


def model(d, seed=0, **sizes):
    return InContextTransformer(d, **({"width": 12, "depth": 2, "heads": 3} | sizes), generator=seeded(seed)).double()


@given(prompts(queries=3))
def test_the_order_of_the_context_does_not_matter(p):
    m, order = model(p.x.shape[2]), torch.randperm(p.x.shape[1], generator=seeded(1))
    shuffled = icl.Prompts(p.x[:, order], p.y[:, order], None, p.x_query)
    torch.testing.assert_close(m.decision(p), m.decision(shuffled))


@given(prompts(queries=3))
def test_a_query_is_answered_as_if_it_were_alone(p):
    m = model(p.x.shape[2])
    for k in range(3):
        torch.testing.assert_close(m.decision(p, p.x_query[:, k : k + 1])[:, 0], m.decision(p)[:, k])


@given(prompts(queries=2))
def test_a_prompt_is_answered_as_if_it_were_alone(p):
    m = model(p.x.shape[2])
    first = icl.Prompts(p.x[:1], p.y[:1], None, p.x_query[:1])
    torch.testing.assert_close(m.decision(first), m.decision(p)[:1])


def test_labels_points_and_queries_are_all_read():
    p, m = icl.LinearTask(4).sample(3, 6, 2, generator=seeded(2), dtype=torch.float64), model(4)
    turned = icl.Prompts(p.x, torch.cat([-p.y[:, :1], p.y[:, 1:]], 1), None, p.x_query)
    moved = icl.Prompts(p.x + 0.1, p.y, None, p.x_query)
    for other in (m.decision(turned), m.decision(moved), m.decision(p, p.x_query + 0.1)):
        assert ((other - m.decision(p)).abs() > 1e-6).all()


def test_the_labels_of_queries_are_not_read():
    p, m = icl.LinearTask(4).sample(3, 6, 2, generator=seeded(2), dtype=torch.float64), model(4)
    assert torch.equal(m.decision(icl.Prompts(p.x, p.y, None, p.x_query, -p.y_query)), m.decision(p))


def test_states_and_the_lens():
    p, m = icl.LinearTask(4).sample(3, 6, 2, generator=seeded(2), dtype=torch.float64), model(4, depth=3)
    states = m.states(p, p.x_query)
    assert [list(s.shape) for s in states] == [[3, 8, 12]] * 4
    torch.testing.assert_close(m.answer(states[-1])[:, 6:], m.decision(p))
    assert m.depth == 3


def test_the_same_seed_makes_the_same_model_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    one, other, third = model(3, 5), model(3, 5), model(3, 6)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.embed.weight, third.embed.weight)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: InContextTransformer(3, width=10, heads=4, generator=seeded()), "heads: got 4, expected a divisor"),
        (lambda: InContextTransformer(0, generator=seeded()), "d: got 0"),
        (lambda: InContextTransformer(3, generator=0), "generator"),
        (lambda: model(3).decision(icl.LinearTask(3).sample(2, 4, generator=seeded(), dtype=torch.float64)), "x_query"),
        (
            lambda: model(3).decision(icl.LinearTask(4).sample(2, 4, 1, generator=seeded(), dtype=torch.float64)),
            "R\\^3",
        ),
        (
            lambda: model(3).decision(
                icl.LinearTask(3).sample(2, 4, generator=seeded(), dtype=torch.float64), normal(3, 1, 3)
            ),
            "x_query",
        ),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(icl.BadInput, match=told):
        call()
