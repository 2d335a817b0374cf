"""Right answers of chapter 17 in other forms; what holds of every exercise is in test_exercises."""

import numpy as np
import torch

from icl_lib.exercises import ch17

EXERCISE = ch17.least_seconds


def _from_the_intensity(B, n, d, T, width, gflops, gbytes, cached):
    intensity = 2 / width if not cached else 4 * T / width
    return 4 * n * d * T * B / 1e9 / min(gflops, intensity * gbytes)


def _in_numpy(B, n, d, T, width, gflops, gbytes, cached):
    tokens = np.empty((B, n, d), dtype=f"V{width}").nbytes
    return np.maximum(tokens * (2 * T) ** (1 - cached) / gbytes, 4 * B * n * d * T / gflops) / 1e9


def _in_float32(*case):
    return torch.tensor(EXERCISE.solution(*case), dtype=torch.float32)


def test_the_cases_are_limited_by_both():
    limited = {ch17._parts(*case)[0] > ch17._parts(*case)[1] for case in EXERCISE.cases}
    assert limited == {True, False}
