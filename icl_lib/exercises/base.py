"""What an exercise is: a stub, a solution, named mistakes with a hint each, and cases on which answers are compared.

An answer is a function. It is judged by what it returns on the cases, never by how it is written, so any right answer
passes: other vectorisation, NumPy arrays, another float dtype. Where right answers differ in what they return (a
counter-example, say), the exercise has a ``measure`` that keeps only what matters, and the measures are compared. A
wrong answer is recognised by behaving like one of the named mistakes, and gets that mistake's hint; a test proves that
every mistake is refused with its own hint.
"""

from __future__ import annotations

import copy
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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


def _as_tensors(value: object) -> tuple[Tensor, ...]:
    """A returned value as float64 tensors; raises TypeError if it is not made of numbers."""
    parts = value if isinstance(value, (tuple, list)) and not _is_number_list(value) else (value,)
    arrays = (np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part) for part in parts)
    return tuple(torch.as_tensor(array).double() for array in arrays)


def _is_number_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, float, list)) for v in value)


@dataclass(frozen=True)
class Exercise:
    """One coded exercise.

    title, difficulty (1-3), importance (1-3), minutes: what the page shows; stub, solution: functions of the same
    signature; cases: the argument tuples that answers are run on; mistakes: name -> (wrong function, hint), most
    specific first; praise: what a right answer earns; tolerance: relative, wide enough for float32; measure: maps
    the returned tensors and the case to what is compared (default: the tensors themselves), and may raise a ValueError
    whose text is told to the reader.
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

    def check(self, answer: Answer) -> Verdict:
        """Return the verdict on ``answer``, a function with the stub's signature. Never raises on a wrong answer."""
        if not callable(answer):
            return Verdict(False, f"check wants the function itself, and got a {type(answer).__name__}.")
        seen = []
        for case in self.cases:
            got, complaint = self._run(answer, case)
            if complaint:
                return Verdict(False, complaint)
            seen.append(got)
        if self._agree(seen, self.solution):
            return Verdict(True, self.praise)
        for name, (wrong, hint) in self.mistakes.items():
            if self._agree(seen, wrong):
                return Verdict(False, hint, name)
        if self._agree(seen, self.stub):
            return Verdict(False, f"Your function does what the stub does. {self.first_hint}", "stub")
        for got, case in zip(seen, self.cases, strict=True):
            shapes = [[list(t.shape) for t in ts] for ts in (got, self._expected(self.solution, case))]
            if shapes[0] != shapes[1]:
                return Verdict(False, f"Your function returned shape {shapes[0]}, expected {shapes[1]}.")
            if not all(torch.isfinite(g).all() for g in got):
                return Verdict(False, "Your function returned NaN or infinity. Does something overflow?")
        return Verdict(False, f"The values differ from the right ones, in no way I recognise. {self.first_hint}")

    def hint(self) -> str:
        """Return the first hint, for a reader who does not know where to start."""
        return self.first_hint

    def show_solution(self) -> None:
        """Print the source of the solution."""
        print(textwrap.dedent(inspect.getsource(self.solution)))

    def _run(self, answer: Answer, case: tuple) -> tuple[tuple[Tensor, ...], str]:
        """Run on a copy of the case; return the tensors, or what to tell the reader."""
        given = copy.deepcopy(case)
        try:
            value = answer(*given)
        except Exception as error:
            return (), f"Your function raised {type(error).__name__}: {error}"
        if value is None:
            return (), f"Your function returned None: is there a return? {self.first_hint}"
        if any(isinstance(a, Tensor) and not torch.equal(a, b) for a, b in zip(given, case, strict=True)):
            return (), "Your function changed its input in place. Work on a copy: others use that tensor too."
        try:
            returned = _as_tensors(value)
        except (TypeError, ValueError, RuntimeError):
            return (), f"Your function returned a {type(value).__name__}, which does not hold numbers only."
        try:
            return self._measured(returned, case), ""
        except ValueError as error:
            return (), str(error)

    def _measured(self, returned: tuple[Tensor, ...], case: tuple) -> tuple[Tensor, ...]:
        return returned if self.measure is None else _as_tensors(self.measure(returned, *case))

    def _expected(self, answer: Answer, case: tuple) -> tuple[Tensor, ...]:
        return self._measured(_as_tensors(answer(*copy.deepcopy(case))), case)

    def _agree(self, seen: list[tuple[Tensor, ...]], other: Answer) -> bool:
        """Whether another answer returns the same on every case, to the tolerance (relative to the largest entry)."""
        for got, case in zip(seen, self.cases, strict=True):
            expected = self._expected(other, case)
            if [g.shape for g in got] != [e.shape for e in expected]:
                return False
            for g, e in zip(got, expected, strict=True):
                atol = self.tolerance * float(e.nan_to_num().abs().max())
                if not torch.allclose(g, e, rtol=0, atol=atol, equal_nan=True):
                    return False
        return True
