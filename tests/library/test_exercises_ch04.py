"""The checkers of chapter 04 refuse the stub and every named mistake, each with its own hint, and no right answer."""

import numpy as np
import pytest
import torch

from icl_lib.exercises import Exercise, ch04

EXERCISES = {name: value for name, value in vars(ch04).items() if isinstance(value, Exercise)}
MISTAKES = [(name, mistake) for name, exercise in EXERCISES.items() for mistake in exercise.mistakes]
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def test_the_chapter_has_its_three_exercises():
    assert list(EXERCISES) == ["one_layer", "two_matrices", "counter_example"]


@every_exercise
def test_the_stub_fails_and_is_told_something(exercise):
    verdict = exercise.check(exercise.stub)
    assert not verdict
    assert verdict.mistake is not None
    assert repr(verdict).startswith("Not yet. ")


@every_exercise
def test_the_solution_passes(exercise):
    verdict = exercise.check(exercise.solution)
    assert verdict
    assert " ".join(repr(verdict).split()) == f"Right. {exercise.praise}"


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_every_mistake_gets_its_own_hint(name, mistake):
    exercise = EXERCISES[name]
    wrong, hint = exercise.mistakes[mistake]
    verdict = exercise.check(wrong)
    assert (verdict.passed, verdict.mistake, verdict.message) == (False, mistake, hint)


@every_exercise
def test_there_are_at_least_four_mistakes_and_no_hint_gives_the_solution_away(exercise):
    assert len(exercise.mistakes) >= 4
    for _, hint in exercise.mistakes.values():
        assert 40 < len(hint) < 320
        assert "torch." not in hint


# --- right answers that are written in another way


def _layer_in_numpy(tokens, step):
    tokens = tokens.numpy().copy()
    d = tokens.shape[1] // 2
    weights = np.exp(-tokens[:-1, :d] @ tokens[-1, d:])
    tokens[-1, d:] += step * (weights / weights.sum()) @ tokens[:-1, :d]
    return tokens


def _layer_with_loops(tokens, step):
    rows = tokens.tolist()
    d = len(rows[0]) // 2
    *context, state = rows
    weights = [float(np.exp(-sum(a * b for a, b in zip(z[:d], state[d:], strict=True)))) for z in context]
    for k in range(d):
        state[d + k] += step * sum(q * z[k] for q, z in zip(weights, context, strict=True)) / sum(weights)
    return rows


def _layer_in_float32(tokens, step):
    return ch04.one_layer.solution(tokens.float(), step)


def _layer_by_autograd(tokens, step):
    d = tokens.shape[1] // 2
    w = tokens[-1, d:].clone().requires_grad_()
    gradient = torch.autograd.grad(torch.logsumexp(-tokens[:-1, :d] @ w, 0), w)[0]
    return torch.cat([tokens[:-1], torch.cat([tokens[-1, :d], w - step * gradient])[None]])


def _matrices_in_numpy(d, step):
    zero, one = np.zeros((d, d)), np.eye(d)
    return np.block([[zero, zero], [-one, zero]]), np.block([[zero, step * one], [zero, zero]])


def _matrices_with_loops(d, step):
    score, value = ([[0.0] * (2 * d) for _ in range(2 * d)] for _ in range(2))
    for k in range(d):
        score[d + k][k], value[k][d + k] = -1, step
    return score, value


def _matrices_with_idle_blocks_filled(d, step):
    score, value = ch04.two_matrices.solution(d, step)
    score[:d], value[:, :d] = 7.0, -3.0  # they meet only zeros: the layer is the same
    return score, value


def _counter_in_numpy():
    return np.array([0.3, -2.0, 1.0]), np.array([[0.0, 3.0, 1.0], [1.0, 0.0, -1.0], [0.5, 0.5, 0.5]])


def _counter_as_lists():
    return [1.0], [[-3.0], [-1.0], [2.0]]


@pytest.mark.parametrize("answer", [_layer_in_numpy, _layer_with_loops, _layer_in_float32, _layer_by_autograd])
def test_other_right_layers_pass(answer):
    assert ch04.one_layer.check(answer)


@pytest.mark.parametrize(
    "answer", [_matrices_in_numpy, _matrices_with_loops, _matrices_with_idle_blocks_filled], ids=lambda f: f.__name__
)
def test_other_right_matrices_pass(answer):
    assert ch04.two_matrices.check(answer)


def test_a_value_matrix_returned_first_is_asked_about():
    verdict = ch04.two_matrices.check(lambda d, step: ch04.two_matrices.solution(d, step)[::-1])
    assert not verdict
    assert "value matrix first" in verdict.message


@pytest.mark.parametrize("answer", [_counter_in_numpy, _counter_as_lists])
def test_other_counter_examples_pass(answer):
    assert ch04.counter_example.check(answer)


# --- answers that go wrong altogether


def _raises(*_):
    raise KeyError("w")


def _poison(tokens, step):
    return tokens * float("nan")


def _in_place(tokens, step):
    tokens[-1] = 0
    return tokens


@every_exercise
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "wants the function itself"),
        (torch.ones(3), "wants the function itself"),
        (_raises, "raised KeyError"),
        (lambda: (lambda: 0)(1), "raised TypeError"),
        (lambda *_: None, "returned None"),
        (lambda *_: "w", "does not hold numbers only"),
        (lambda *_: {"w": 1.0}, "does not hold numbers only"),
    ],
)
def test_a_broken_answer_gets_a_hint_and_no_traceback(exercise, answer, told):
    verdict = exercise.check(answer)
    assert not verdict
    assert told in verdict.message


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("one_layer", _poison, "NaN or infinity"),
        ("one_layer", _in_place, "changed its input in place"),
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


@every_exercise
def test_the_solution_can_be_printed(exercise, capsys):
    exercise.show_solution()
    assert capsys.readouterr().out.startswith("def ")
    assert exercise.hint() == exercise.first_hint


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
