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
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .values import as_tensors, described, difference, dtype_told, no_numbers_told, same, shapes, shapes_told

Answer = Callable[..., object]
STEP_IGNORED = "Right for step = 1. Where does the step size go?"


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
    whose text is told to the reader; parts: names of the values that are compared, if they are several; also_right:
    name -> an answer written in another way than the solution; seconds: how long an answer may take on a case.
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
    parts: Sequence[str] = ()
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
        count, values, seen = len(self._returned(self.solution, self.cases[0])), [], []
        for case in self.cases:
            value, got, complaint = self._run(answer, case, count)
            if complaint:
                return Verdict(False, complaint)
            values.append(value)
            seen.append(got)
        right = [self._expected(self.solution, case, count) for case in self.cases]
        if all(map(self._close, seen, right)):
            return Verdict(True, self.praise)
        as_stub = (self.stub, f"Your function does what the stub does. {self.first_hint}")
        for name, (wrong, hint) in {**self.all_mistakes, "stub": as_stub}.items():
            if all(self._close(g, self._expected(wrong, c, count)) for g, c in zip(seen, self.cases, strict=True)):
                return Verdict(False, hint, name)
        return Verdict(False, self._unrecognised(values, seen, right))

    @property
    def all_mistakes(self) -> dict[str, tuple[Answer, str]]:
        """The named mistakes, and after them those that exercises share: so far, to ignore the step size."""
        names = list(inspect.signature(self.stub).parameters)
        if "step" not in names:
            return dict(self.mistakes)
        at = names.index("step")
        without = (lambda *case: self.solution(*case[:at], 1.0, *case[at + 1 :]), STEP_IGNORED)
        return {**self.mistakes, "step ignored": without}

    def hint(self) -> str:
        """Return the first hint, for a reader who does not know where to start."""
        return Hint(self.first_hint)

    def show_solution(self) -> None:
        """Print the source of the solution."""
        print(textwrap.dedent(inspect.getsource(self.solution)).rstrip())

    def _run(self, answer: Answer, case: tuple, count: int) -> tuple[object, tuple[Tensor, ...], str]:
        """Run on a copy of the case; return what came back, that as tensors to compare, and what to complain of."""
        given = copy.deepcopy(case)
        try:
            with _time_limit(self.seconds):
                value = answer(*given)
        except _TooLong:
            told = f"Your function was still busy after {self.seconds:g} seconds. Does a loop of it never end?"
            return None, (), told
        except (Exception, SystemExit) as error:
            return None, (), self._told(error, answer, case)
        if value is None:
            return None, (), f"Your function returned None: is there a return? {self.first_hint}"
        if not same(given, case):
            return value, (), "Your function changed its input in place. Work on a copy: others use that tensor too."
        try:
            returned = as_tensors(value, count)
        except Exception:  # whatever the object does when it is asked for numbers
            return value, (), no_numbers_told(value)
        try:
            return value, self._measured(returned, case), ""
        except ValueError as error:
            return value, (), str(error)
        except Exception as error:  # the measure met something that its author did not think of
            expected = shapes(self._returned(self.solution, case))
            if shapes(returned) != expected:
                return value, (), f"Your function returned shape {shapes(returned)}; a solution returns {expected}."
            told = f"What your function returned cannot be judged ({type(error).__name__}). {self.first_hint}"
            return value, (), told

    def _told(self, error: BaseException, answer: Answer, case: tuple) -> str:
        """What an error in the reader's function was, in which line of it, and what the function had been given."""
        text = next(iter(str(error).splitlines()), "")
        code = getattr(inspect.unwrap(answer), "__code__", None)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.line for frame in frames if code and frame.filename == code.co_filename and frame.line]
        where = f" in the line `{lines[-1]}`" if lines else ""
        names = list(inspect.signature(self.stub).parameters)
        was_given = ", ".join(described(*pair) for pair in zip(names, case, strict=False))
        given = f" It was given {was_given}." if was_given else ""
        kinds = "dtype" in text or "scalar type" in text  # the words of torch, by its version
        if kinds and any(isinstance(v, Tensor) and v.dtype == torch.float64 for v in case):
            given += " Its tensors are float64: make new ones with zeros_like, or with the same dtype."
        return f"Your function raised {type(error).__name__}: {text[:200].rstrip('.')}{where}.{given}"

    def _unrecognised(self, values: list, seen: list, right: list) -> str:
        """What to say of values that are wrong in no way that has a name: where they are, if some of them are right."""
        seen = [_aligned(got, expected) for got, expected in zip(seen, right, strict=True)]
        for k, (value, got, expected) in enumerate(zip(values, seen, right, strict=True)):
            if shapes(got) != shapes(expected):
                return shapes_told(value if self.measure is None else (), got, expected)
            if not all(torch.isfinite(g).all() for g in got):
                where = f"NaN or infinity on {self._name}.cases[{k}]"
                return f"Your function returned {where}. Does something overflow, or underflow to 0 / 0?"
        wrong = [[self._wrong(*pair) for pair in zip(*both, strict=True)] for both in zip(seen, right, strict=True)]
        bad = [k for k, parts in enumerate(wrong) if any(part.any() for part in parts)]
        first, some = bad[0], f" on {len(bad)} of {len(wrong)} cases" if len(wrong) > 1 else ""
        told = f"The values differ from the right ones{some}, in no way I recognise."
        readable = self.measure is None or self.parts  # else what is compared is nothing that the reader returned
        if readable:
            where = difference(seen[first], right[first], wrong[first], self.parts)
            told += f" On {self._name}.cases[{first}] {where}"
        elif some:
            told += f" The first of them is {self._name}.cases[{first}]."
        told += dtype_told(values[first], right[first])
        started = len(bad) < len(wrong) or not all(part.all() for part in wrong[first])
        return told if started else f"{told} {self.first_hint}"

    @property
    def _name(self) -> str:
        """What a reader calls it, like ch04.one_layer; empty if its module does not hold it."""
        module = sys.modules[self.solution.__module__]
        held = (name for name, value in vars(module).items() if value is self)
        return next((f"{module.__name__.rpartition('.')[2]}.{name}" for name in held), "")

    def _returned(self, answer: Answer, case: tuple, count: int | None = None) -> tuple[Tensor, ...]:
        return as_tensors(answer(*copy.deepcopy(case)), count)

    def _measured(self, returned: tuple[Tensor, ...], case: tuple) -> tuple[Tensor, ...]:
        return returned if self.measure is None else as_tensors(self.measure(returned, *copy.deepcopy(case)))

    def _expected(self, answer: Answer, case: tuple, count: int) -> tuple[Tensor, ...]:
        return self._measured(self._returned(answer, case, count), case)

    def _close(self, got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> bool:
        """Whether two answers agree on a case, to the tolerance."""
        got = _aligned(got, expected)
        if shapes(got) != shapes(expected):
            return False
        return not any(self._wrong(*pair).any() for pair in zip(got, expected, strict=True))

    def _wrong(self, got: Tensor, expected: Tensor) -> Tensor:
        """Which entries differ, by more than the tolerance (relative to the largest finite entry)."""
        finite = expected[expected.isfinite()].abs()
        atol = self.tolerance * float(finite.max() if finite.numel() else 0.0)
        return ~torch.isclose(got, expected, rtol=0, atol=atol, equal_nan=True)


def _aligned(got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same, with an array that holds one number read as that number where one is expected."""
    if len(got) != len(expected):
        return got
    pairs = zip(got, expected, strict=True)
    return tuple(g.reshape(()) if e.ndim == 0 and g.numel() == 1 else g for g, e in pairs)


# --- no answer may take for ever


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
