"""What an exercise is: a stub, a solution, named mistakes with a hint each, and cases on which answers are compared.

An answer is a function. It is judged by what it returns on the cases, never by how it is written, so any right answer
passes: other vectorisation, NumPy arrays, lists, another float dtype. Where right answers differ in what they return (a
counter-example, say), the exercise has a ``measure`` that keeps only what matters, and the measures are compared. A
wrong answer is recognised by behaving like one of the named mistakes, and gets that mistake's hint; a test proves that
every mistake is refused with its own hint, and that the answers in ``also_right`` pass.
"""

from __future__ import annotations

import copy
import inspect
import signal
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Answer = Callable[..., object]


@dataclass(frozen=True)
class Verdict:
    """The result of a check: whether it passed, a message for the reader, and the mistake recognised, if any."""

    passed: bool
    message: str
    mistake: str | None = None

    def __repr__(self) -> str:
        return textwrap.fill(("Right. " if self.passed else "Not yet. ") + self.message, 72)

    def __bool__(self) -> bool:
        return self.passed


class Hint(str):
    """A text that a notebook shows as text: wrapped, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return textwrap.fill(self, 72)


@dataclass(frozen=True, repr=False)
class Exercise:
    """One coded exercise.

    title, difficulty (1-3), importance (1-3), minutes: what the page shows; stub, solution: functions of the same
    signature; cases: the argument tuples that answers are run on; mistakes: name -> (wrong function, hint), most
    specific first; praise: what a right answer earns; tolerance: relative, wide enough for float32; measure: maps
    the returned tensors and the case to what is compared (default: the tensors themselves), and may raise a ValueError
    whose text is told to the reader; also_right: name -> an answer written in another way than the solution;
    seconds: how long an answer may take on a case.
    """

    title: str
    difficulty: int
    importance: int
    minutes: int
    stub: Answer
    solution: Answer
    cases: Sequence[tuple]
    mistakes: Mapping[str, tuple[Answer, str]]
    first_hint: str
    praise: str
    tolerance: float = 1e-4
    measure: Callable[..., object] | None = None
    also_right: Mapping[str, Answer] = field(default_factory=dict)
    seconds: float = 20.0

    def __repr__(self) -> str:
        size = f"difficulty {self.difficulty} of 3, importance {self.importance} of 3, {self.minutes} minutes"
        return f"Exercise '{self.title}', {size}: check(your_function), hint(), show_solution()"

    def check(self, answer: Answer | None = None) -> Verdict:
        """Return the verdict on ``answer``, a function with the stub's signature. Never raises on a wrong answer."""
        if not callable(answer):
            got = f"and got a {type(answer).__name__}. Pass its name, without calling it."
            return Verdict(False, f"check wants the function itself, {got}")
        count, seen = len(self._returned(self.solution, self.cases[0])), []
        for case in self.cases:
            got, complaint = self._run(answer, case, count)
            if complaint:
                return Verdict(False, complaint)
            seen.append(got)
        right = [self._expected(self.solution, case, count) for case in self.cases]
        agree = [self._close(g, e) for g, e in zip(seen, right, strict=True)]
        if all(agree):
            return Verdict(True, self.praise)
        as_stub = (self.stub, f"Your function does what the stub does. {self.first_hint}")
        for name, (wrong, hint) in {**self.mistakes, "stub": as_stub}.items():
            if all(self._close(g, self._expected(wrong, c, count)) for g, c in zip(seen, self.cases, strict=True)):
                return Verdict(False, hint, name)
        return Verdict(False, self._unrecognised(seen, right, agree))

    def hint(self) -> str:
        """Return the first hint, for a reader who does not know where to start."""
        return Hint(self.first_hint)

    def show_solution(self) -> None:
        """Print the source of the solution."""
        print(textwrap.dedent(inspect.getsource(self.solution)).rstrip())

    def _run(self, answer: Answer, case: tuple, count: int) -> tuple[tuple[Tensor, ...], str]:
        """Run on a copy of the case; return the tensors, or what to tell the reader."""
        given = copy.deepcopy(case)
        try:
            with _time_limit(self.seconds):
                value = answer(*given)
        except _TooLong:
            return (), f"Your function was still busy after {self.seconds:g} seconds. Does a loop of it never end?"
        except (Exception, SystemExit) as error:
            return (), self._told(error, answer, case)
        if value is None:
            return (), f"Your function returned None: is there a return? {self.first_hint}"
        if not _same(given, case):
            return (), "Your function changed its input in place. Work on a copy: others use that tensor too."
        try:
            returned = _as_tensors(value, count)
        except Exception:  # whatever the object does when it is asked for numbers
            return (), f"Your function returned a {type(value).__name__}, which does not hold numbers only."
        try:
            return self._measured(returned, case), ""
        except ValueError as error:
            return (), str(error)
        except Exception as error:  # the measure met something that its author did not think of
            expected = _shapes(self._returned(self.solution, case))
            if _shapes(returned) != expected:
                return (), f"Your function returned shape {_shapes(returned)}; a solution returns {expected}."
            return (), f"What your function returned cannot be judged ({type(error).__name__}). {self.first_hint}"

    def _told(self, error: BaseException, answer: Answer, case: tuple) -> str:
        """What an error in the reader's function was, in which line of it, and what the function had been given."""
        text = next(iter(str(error).splitlines()), "")
        code = getattr(inspect.unwrap(answer), "__code__", None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.line for frame in frames if code and frame.filename == code.co_filename and frame.line]
        where = f" in the line `{lines[-1]}`" if lines else ""
        names = list(inspect.signature(self.stub).parameters)
        was_given = ", ".join(_described(*pair) for pair in zip(names, case, strict=False))
        given = f" It was given {was_given}." if was_given else ""
        if "dtype" in text and any(isinstance(v, Tensor) and v.dtype == torch.float64 for v in case):
            given += " Its tensors are float64: make new ones with zeros_like, or with the same dtype."
        return f"Your function raised {type(error).__name__}: {text[:200].rstrip('.')}{where}.{given}"

    def _unrecognised(self, seen: list, right: list, agree: list[bool]) -> str:
        """What to say of values that are wrong in no way that has a name."""
        for got, expected in zip(seen, right, strict=True):
            if _shapes(got) != _shapes(expected):
                return f"Your function returned shape {_shapes(got)}, expected {_shapes(expected)}."
            if not all(torch.isfinite(g).all() for g in got):
                return "Your function returned NaN or infinity. Does something overflow?"
        first = agree.index(False)
        where = f" on {agree.count(False)} of {len(agree)} cases (first on .cases[{first}])" if len(agree) > 1 else ""
        return f"The values differ from the right ones{where}, in no way I recognise. {self.first_hint}"

    def _returned(self, answer: Answer, case: tuple, count: int | None = None) -> tuple[Tensor, ...]:
        return _as_tensors(answer(*copy.deepcopy(case)), count)

    def _measured(self, returned: tuple[Tensor, ...], case: tuple) -> tuple[Tensor, ...]:
        return returned if self.measure is None else _as_tensors(self.measure(returned, *copy.deepcopy(case)))

    def _expected(self, answer: Answer, case: tuple, count: int) -> tuple[Tensor, ...]:
        return self._measured(self._returned(answer, case, count), case)

    def _close(self, got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
        """Whether two answers agree on a case, to the tolerance (relative to the largest finite entry).

        Where a number is expected, an array that holds one is as good.
        """
        if len(got) == len(expected):
            pairs = zip(got, expected, strict=True)
            got = tuple(g.reshape(()) if e.ndim == 0 and g.numel() == 1 else g for g, e in pairs)
        if _shapes(got) != _shapes(expected):
            return False
        for g, e in zip(got, expected, strict=True):
            finite = e[e.isfinite()].abs()
            atol = self.tolerance * float(finite.max() if finite.numel() else 0.0)
            if not torch.allclose(g, e, rtol=0, atol=atol, equal_nan=True):
                return False
        return True


# --- what was returned, as tensors


def _array(value: object) -> np.ndarray:
    """Numbers, nested in any way, as one float64 array; raises TypeError or ValueError if they are not that."""
    if isinstance(value, Tensor) and not value.is_complex():
        return value.detach().cpu().double().numpy()
    array = np.asarray([_array(v) for v in value] if isinstance(value, (tuple, list)) else value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"not real numbers: {array.dtype}")
    return array.astype(float)


def _as_tensors(value: object, count: int | None = None) -> tuple[Tensor, ...]:
    """A returned value as float64 tensors: ``count`` of them if it can be read so; else a tensor for each part."""
    many = isinstance(value, tuple) or (isinstance(value, list) and not _is_number_list(value))
    if count is not None and (count == 1 or not many):
        try:
            whole = torch.from_numpy(_array(value))
        except ValueError:  # parts of unequal shapes
            return _as_tensors(tuple(value))
        return tuple(whole) if count > 1 and whole.ndim and len(whole) == count else (whole,)
    return tuple(torch.from_numpy(_array(part)) for part in (value if many else (value,)))


def _is_number_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, float, list)) for v in value)


def _shapes(tensors: tuple[Tensor, ...]) -> str:
    return " and ".join(str(list(t.shape)) if t.ndim else "[] (a number)" for t in tensors)


# --- what was given to a function, and what the function may not do with it


def _described(name: str, value: object) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{name} of shape {list(value.shape)}"
    return f"{name} = {value}" if isinstance(value, (int, float, str)) else name


def _same(a: object, b: object) -> bool:
    """Whether two copies of something still hold the same, in all that is nested in them."""
    if isinstance(a, (Tensor, np.ndarray)):
        as_before = type(a) is type(b) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return as_before and np.array_equal(_array(a), _array(b), equal_nan=True)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (int, float, str)):
        return a == b
    return not hasattr(a, "__dict__") or _same(vars(a), vars(b))


class _TooLong(BaseException):
    """The time is over. No Exception, so that an answer which catches all of those does not catch this one."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooLong in the block after so many seconds.

    Without effect where there is no alarm signal (Windows, other threads than the main one), and inside one operation
    that does not come back to Python.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise _TooLong

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
