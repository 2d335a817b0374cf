"""Every coded exercise of the book refuses its stub and its named mistakes, with a hint each, and no right answer.

The exercises are found by looking for them: a new one is tested as soon as it is written.
"""

import copy
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from icl_project import chapter_sources

from icl_lib import exercises
from icl_lib.exercises import Exercise
from icl_lib.exercises.values import as_tensors

FOUND = {
    f"{chapter}.{name}": value
    for chapter in exercises.CHAPTERS
    for name, value in vars(import_module(f"icl_lib.exercises.{chapter}")).items()
    if isinstance(value, Exercise)
}
MISTAKES = [(name, mistake) for name, exercise in FOUND.items() for mistake in exercise.all_mistakes]
RIGHT = [(name, answer) for name, exercise in FOUND.items() for answer in exercise.also_right]
every_exercise = pytest.mark.parametrize("name", FOUND)


def test_the_exercises_are_found():
    assert {"ch01", "ch04"} <= set(exercises.CHAPTERS)
    assert all(any(name.startswith(chapter) for name in FOUND) for chapter in exercises.CHAPTERS)
    assert exercises.ch04.one_layer is FOUND["ch04.one_layer"]
    assert set(exercises.CHAPTERS) < set(dir(exercises))


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_every_mistake_is_refused_with_its_own_hint(name, mistake):
    wrong, hint = FOUND[name].all_mistakes[mistake]
    verdict = FOUND[name].check(wrong)
    assert (verdict.passed, verdict.mistake, verdict.message) == (False, mistake, hint)


@every_exercise
def test_there_are_four_mistakes_at_least_and_no_hint_gives_the_solution_away(name):
    mistakes = FOUND[name].mistakes
    assert len(mistakes) >= 4
    for text in (FOUND[name].first_hint, *(hint for _, hint in mistakes.values())):
        assert 30 < len(text) < 320
        assert "torch." not in text


@every_exercise
def test_the_stub_is_refused_and_told_something(name):
    verdict = FOUND[name].check(FOUND[name].stub)
    assert not verdict
    assert verdict.mistake is not None
    assert repr(verdict).startswith("Not yet. ")


@every_exercise
def test_the_solution_passes_and_can_be_printed(name, capsys):
    exercise = FOUND[name]
    verdict = exercise.check(exercise.solution)
    assert verdict, verdict
    assert verdict.message == exercise.praise
    exercise.show_solution()
    shown = capsys.readouterr().out
    assert shown.startswith("def ")
    assert max(map(len, shown.splitlines())) <= 110, "too wide for a page"
    assert exercise.hint() == exercise.first_hint


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_an_answer_written_in_another_way_passes(name, answer):
    verdict = FOUND[name].check(FOUND[name].also_right[answer])
    assert verdict, verdict


@every_exercise
def test_every_exercise_has_an_independent_right_answer(name):
    # in the exercise, or else in a test of the chapter's own that checks it
    own = Path(__file__).with_name(f"test_exercises_{name.split('.')[0]}.py")
    assert FOUND[name].also_right or (own.exists() and name.split(".")[1] in own.read_text(encoding="utf8"))


# --- the page says what the exercise says


@every_exercise
def test_the_page_shows_the_exercise_with_its_labels(name):
    exercise, chapter = FOUND[name], name.split(".")[0].removeprefix("ch")
    page = next(path for path in chapter_sources() if path.stem.startswith(chapter)).read_text(encoding="utf8")
    assert f"{name}.check(" in page
    assert f"{name}.show_solution()" in page or "dropdown} Solution" in page.partition(f"{name}.check(")[2]
    box = re.search(rf":::\{{exercise\}} {re.escape(exercise.title)}\n(.*?)\n:::", page, re.DOTALL)
    assert box, f"no exercise of the title {exercise.title!r}"
    size = (
        f"*Difficulty {exercise.difficulty} of 3, importance {exercise.importance} of 3, {exercise.minutes} minutes, "
    )
    assert size in box[1]
    assert "code" in box[1].split(size)[1].split("*")[0]


# --- answers that go wrong altogether


def _raises(*_):
    raise KeyError("w")


@every_exercise
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "wants the function itself"),
        (torch.ones(3), "wants the function itself"),
        (_raises, "raised KeyError: 'w' in the line `raise KeyError(\"w\")`."),
        (lambda: (lambda: 0)(1), "raised TypeError"),
        (lambda *_: None, "returned None"),
        (lambda *_: "w", "returned a str; expected are real numbers"),
        (lambda *_: {"w": 1.0}, "returned a dict; expected are real numbers"),
    ],
)
def test_a_broken_answer_gets_a_hint_and_no_traceback(name, answer, told):
    verdict = FOUND[name].check(answer)
    assert not verdict
    assert told in verdict.message


def _spoilt_by(change, solution):
    """The solution with the last thing that it returns changed."""

    def answer(*case):
        *rest, last = as_tensors(solution(*case))
        return (*rest, change(last)) if rest else change(last)

    return answer


@every_exercise
@pytest.mark.parametrize(
    "change",
    [
        lambda right: right * np.nan,
        lambda right: right * np.inf,
        lambda right: right[..., None].expand(*right.shape, 2),
        lambda right: right.expand(3, *right.shape),
        lambda right: right.reshape(-1)[:0],
        lambda right: right.sum() + 0.5,
    ],
    ids=["NaN", "infinity", "an axis more", "three of them", "nothing", "a sum"],
)
def test_a_spoilt_answer_is_refused_and_never_raises(name, change):
    verdict = FOUND[name].check(_spoilt_by(change, FOUND[name].solution))
    assert not verdict
    assert len(verdict.message) > 20


@every_exercise
def test_an_answer_that_spoils_its_input_is_told_so(name):
    takes = [i for i, value in enumerate(FOUND[name].cases[0]) if isinstance(value, (torch.Tensor, np.ndarray))]
    for position in takes:

        def answer(*given, position=position):
            right = FOUND[name].solution(*copy.deepcopy(given))
            given[position][...] += 1
            return right

        assert "changed its input in place" in FOUND[name].check(answer).message


@pytest.mark.parametrize("name", [name for name, exercise in FOUND.items() if exercise.measure is None])
def test_the_checker_sees_a_small_error(name):
    # twenty times the tolerance on the largest entry is too much
    exercise = FOUND[name]
    answer = _spoilt_by(lambda right: right + 20 * exercise.tolerance * right.abs().max(), exercise.solution)
    assert not exercise.check(answer)
    assert replace(exercise, tolerance=1.0).check(answer)
