"""What is special about the exercises of chapter 04; the rest of what a checker owes stands in test_exercises."""

import pytest
import torch

from icl_lib.exercises import ch04

EXERCISES = {name: getattr(ch04, name) for name in ("one_layer", "two_matrices", "counter_example")}


def test_a_value_matrix_returned_first_is_asked_about():
    verdict = ch04.two_matrices.check(lambda d, step: ch04.two_matrices.solution(d, step)[::-1])
    assert not verdict
    assert "value matrix first" in verdict.message


def _poison(tokens, step):
    return tokens * float("nan")


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("one_layer", _poison, "NaN or infinity"),
        ("one_layer", lambda tokens, step: tokens[-1], "returned shape"),
        ("one_layer", lambda tokens, step: (tokens, tokens), "returned shape"),
        ("one_layer", lambda tokens, step: tokens + 1, "in no way I recognise"),
        ("two_matrices", lambda d, step: torch.eye(2 * d), "have shape [4, 4] each"),
        ("two_matrices", lambda d, step: (torch.eye(d), torch.eye(d)), "yours: [[2, 2], [2, 2]]"),
        ("two_matrices", lambda d, step: (torch.eye(2 * d), torch.full((2 * d, 2 * d), float("nan"))), "NaN"),
        ("counter_example", lambda: torch.ones(2), "Return w of shape [d]"),
        ("counter_example", lambda: (torch.ones(2, 2), torch.ones(2)), "in this order"),
        ("counter_example", lambda: (torch.ones(2), torch.ones(0, 2)), "Return w of shape [d]"),
        ("counter_example", lambda: (torch.ones(2), torch.full((2, 2), float("inf"))), "NaN or infinite"),
    ],
)
def test_a_malformed_answer_is_told_what_is_wrong(name, answer, told):
    verdict = EXERCISES[name].check(answer)
    assert not verdict
    assert verdict.mistake is None
    assert told in verdict.message


# --- the mathematics behind the third checker


def _verdict_of(m):
    """What the checker says of tokens (m_i, i) and w = (1, 0), whose margins are m."""
    z = torch.stack([torch.as_tensor(m, dtype=torch.float64), torch.arange(len(m), dtype=torch.float64)], 1)
    return ch04.counter_example.check(lambda: (torch.tensor([1.0, 0.0], dtype=torch.float64), z))


def test_positive_margins_never_reach_the_threshold():
    # ||p - q||_1 <= 2 (s - 1) / (s + 1), s = sqrt(1 + exp(-min m)): below 0.35 where all margins are positive
    g = torch.Generator().manual_seed(0)
    for _ in range(200):
        n = int(torch.randint(2, 9, (), generator=g))
        m = 10 ** (4 * torch.rand(n, generator=g, dtype=torch.float64) - 3)
        p, q = torch.sigmoid(-m), torch.softmax(-m, 0)
        assert (p / p.sum() - q).abs().sum() < 0.35


@pytest.mark.parametrize("m", [[-4.0, -1.0], [-800.0, -3.0], [-2.0, -20.0, 5.0]])
def test_two_mistakes_one_worse_than_the_other_are_a_counter_example(m):
    assert _verdict_of(m)


@pytest.mark.parametrize(("m", "mistake"), [([900.0, 901.0], "all margins positive"), ([-0.2, 0.1], "too close")])
def test_the_verdict_names_what_is_missing(m, mistake):
    assert _verdict_of(m).mistake == mistake


def test_many_antipodal_tokens_differ_a_lot_and_are_still_refused():
    # ten copies against one: the gap passes 1/2, and half the scores still give the sigmoid's weights exactly
    z = torch.tensor([[1.0, 1.0]] * 10 + [[-1.0, -1.0]], dtype=torch.float64)
    w = torch.tensor([1.5, 0.0], dtype=torch.float64)
    m = z @ w
    p = torch.sigmoid(-m) / torch.sigmoid(-m).sum()
    assert (p - torch.softmax(-m, 0)).abs().sum() > ch04.ENOUGH
    torch.testing.assert_close(p, torch.softmax(-m / 2, 0))
    assert ch04.counter_example.check(lambda: (w, z)).mistake == "equal up to sign"
