"""Right answers of chapter 14 in other forms; what holds of every exercise is in test_exercises."""

import numpy as np
import pytest
import torch

import icl_lib as icl
from icl_lib.exercises import Exercise, ch14

EXERCISES = {name: value for name, value in vars(ch14).items() if isinstance(value, Exercise)}
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def test_the_chapter_has_its_two_exercises():
    assert list(EXERCISES) == ["linear_step", "whiten"]


def _step_by_the_layer(tokens, step):
    return icl.least_squares_layer((tokens.shape[1] - 2) // 2, step)(tokens[None])[0]


def _step_in_numpy(tokens, step):
    tokens = tokens.numpy().copy()
    F = tokens.shape[1] // 2 - 1
    phi, y = tokens[:-1, :F], tokens[:-1, F]
    tokens[-1, F + 1 : -1] -= step * phi.T @ (phi @ tokens[-1, F + 1 : -1] - y) / len(y)
    return tokens


def _whiten_by_the_layer(tokens):
    return icl.newton_schulz_layer(tokens.shape[1] - 1)(tokens[None])[0]


def _whiten_in_numpy(tokens):
    a = tokens.numpy().copy()
    S = np.mean([np.outer(u, u) for u in a[:-1, :-1]], axis=0)
    a[:, :-1] = a[:, :-1] @ (3 * np.eye(len(S)) - S) / 2
    return a


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("linear_step", _step_by_the_layer),
        ("linear_step", _step_in_numpy),
        ("whiten", _whiten_by_the_layer),
        ("whiten", _whiten_in_numpy),
    ],
)
def test_the_library_and_numpy_agree_with_the_solutions(name, answer):
    assert EXERCISES[name].check(answer)


@every_exercise
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda *_: None, "returned None"),
        (lambda tokens, *_: tokens[-1], "returned shape"),
        (torch.ones(2), "function"),
    ],
)
def test_a_broken_answer_gets_a_hint(exercise, answer, told):
    verdict = exercise.check(answer)
    assert not verdict
    assert told in verdict.message
