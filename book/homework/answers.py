"""How the hidden tests of every homework call what a student wrote, and compare what it returns.

It travels in the autograder's zip. Nothing here imports the library: a homework that is graded by the code it teaches
could not find a mistake in that code.
"""

import copy
import signal
from contextlib import contextmanager

import numpy as np
import torch

SECONDS = 5  # a call, in processor time; a right answer takes milliseconds, the longest about half a second
ROUNDING = 1e-4  # relative: an answer in float32 is as good as one in float64


class _TooLong(BaseException):
    """No Exception, so that a bare ``except Exception`` in the answer does not swallow it."""


@contextmanager
def limited(seconds):
    """Turn a block that takes longer into a TimeoutError. Without effect where there are no timers (Windows).

    Seconds of processor time, since others may be using the machine; and four times as many by the clock.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_):
        raise _TooLong

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, 4 * seconds))
    before = [signal.signal(name, ring) for _, name, _ in timers]
    try:
        for timer, _, limit in timers:
            signal.setitimer(timer, limit)
        yield
    except _TooLong:
        raise TimeoutError(f"your function did not return within {seconds} s") from None
    finally:
        for (timer, name, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(name, handler)


def call(f, *inputs, seconds=SECONDS):
    """Return what f returns for copies of the inputs, so that an answer may write into what it was given."""
    assert callable(f), "the function is missing"
    with limited(seconds):
        return f(*copy.deepcopy(inputs))


def numbers(value, what, shape=None):
    """Return a tensor, an array, a list or a number as a float64 array; raise AssertionError where it is none."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    elif isinstance(value, (list, tuple)):
        value = [numbers(part, what) for part in value]
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise AssertionError(f"{what}: expected numbers, got {type(value).__name__}") from None
    if shape is not None and array.shape != tuple(shape):
        fits = array.size == int(np.prod(shape)) and [s for s in array.shape if s != 1] == [s for s in shape if s != 1]
        assert fits, f"{what}: expected shape {list(shape)}, got {list(array.shape)}"
        array = array.reshape(shape)
    assert np.isfinite(array).all(), f"{what}: contains NaN or infinity"
    return array


def close(value, right, what, rounding=ROUNDING):
    """Assert that a value is right, to rounding relative to the largest entry."""
    right = right.numpy() if isinstance(right, torch.Tensor) else np.asarray(right, dtype=float)
    off = np.abs(numbers(value, what, right.shape) - right).max()
    assert off <= rounding * max(np.abs(right).max(), 1e-6), f"{what}: the values are not right"


def drawn(seed, *shape):
    """Return standard normal numbers of this shape, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def head(w, z):
    """Return g = sum_i q_i z_i with q = softmax(-m), for one prompt z [n, d]."""
    return torch.softmax(-z @ w, 0) @ z


def path(z, step, depth):
    """Return w_0 = 0, w_1, ..., w_depth of the exact layer."""
    rows = [torch.zeros_like(z[0])]
    for _ in range(depth):
        rows.append(rows[-1] + step * head(rows[-1], z))
    return torch.stack(rows)


def separable(seed, n, d, margin=0.2):
    """Return the folded tokens [n, d] of a separable prompt."""
    z = drawn(seed, n, d)
    z[:, 0] = z[:, 0].abs() + margin
    return z


def typed(value, right, room, what):
    """Assert that a number that a student worked out is right, to what rounding by hand allows."""
    assert abs(float(numbers(value, what, ())) - right) <= room, f"{what}: the number is not right for your card"


def named(student):
    """Return the id that was typed into the notebook."""
    assert str(student or "").strip(), "STUDENT is empty: type your id in the second cell"
    return student
