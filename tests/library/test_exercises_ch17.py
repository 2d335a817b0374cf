"""The checker of chapter 17 refuses the stub and every named mistake, each with its own hint, and no right answer."""

import numpy as np
import pytest
import torch

from icl_lib.exercises import ch17

EXERCISE = ch17.least_seconds


def test_the_stub_fails_and_is_told_where_to_start():
    verdict = EXERCISE.check(EXERCISE.stub)
    assert (verdict.passed, verdict.mistake) == (False, "stub")
    assert EXERCISE.first_hint in verdict.message


def test_the_solution_passes():
    verdict = EXERCISE.check(EXERCISE.solution)
    assert verdict
    assert verdict.message == EXERCISE.praise


@pytest.mark.parametrize("mistake", EXERCISE.mistakes)
def test_every_mistake_gets_its_own_hint(mistake):
    wrong, hint = EXERCISE.mistakes[mistake]
    verdict = EXERCISE.check(wrong)
    assert (verdict.passed, verdict.mistake, verdict.message) == (False, mistake, hint)
    assert 40 < len(hint) < 320


def _from_the_intensity(B, n, d, T, width, gflops, gbytes, cached):
    intensity = 2 / width if not cached else 4 * T / width
    return 4 * n * d * T * B / 1e9 / min(gflops, intensity * gbytes)


def _in_numpy(B, n, d, T, width, gflops, gbytes, cached):
    tokens = np.empty((B, n, d), dtype=f"V{width}").nbytes
    return np.maximum(tokens * (2 * T) ** (1 - cached) / gbytes, 4 * B * n * d * T / gflops) / 1e9


def _in_float32(*case):
    return torch.tensor(EXERCISE.solution(*case), dtype=torch.float32)


@pytest.mark.parametrize("answer", [_from_the_intensity, _in_numpy, _in_float32])
def test_other_right_answers_pass(answer):
    assert EXERCISE.check(answer)


def test_the_cases_are_limited_by_both():
    limited = {ch17._parts(*case)[0] > ch17._parts(*case)[1] for case in EXERCISE.cases}
    assert limited == {True, False}
