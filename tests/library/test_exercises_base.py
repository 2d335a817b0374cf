"""How an answer is judged: by what it returns, with a hint for what went wrong, and never with a traceback."""

import re
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from strategies import normal

from icl_lib.exercises import Exercise, Verdict


def solution(w, z):
    return torch.softmax(-(z @ w), -1)


def stub(w, z):
    return torch.zeros(len(z), dtype=z.dtype)


def wrong_sign(w, z):
    return torch.softmax(z @ w, -1)


def not_normalised(w, z):
    return torch.exp(-(z @ w))


CASES = [(normal(3, seed=s), normal(5, 3, seed=s + 10)) for s in range(3)]
EXERCISE = Exercise(
    title="Weights",
    difficulty=1,
    importance=2,
    minutes=5,
    stub=stub,
    solution=solution,
    cases=CASES,
    mistakes={
        "sign": (wrong_sign, "Which points count most?"),
        "normalisation": (not_normalised, "What do the weights sum to?"),
    },
    first_hint="Start from the margins.",
    praise="These are attention weights.",
)


def in_numpy(w, z):
    e = np.exp(-(np.asarray(z) @ np.asarray(w)))
    return e / e.sum()


RIGHT = {
    "the solution": solution,
    "NumPy": in_numpy,
    "a list of numbers": lambda w, z: in_numpy(w, z).tolist(),
    "float32": lambda w, z: solution(w.float(), z.float()),
    "with a gradient": lambda w, z: solution(w.clone().requires_grad_(), z),
    "a list of tensors": lambda w, z: [*solution(w, z).requires_grad_()],
    "another formula": lambda w, z: torch.exp(-(z @ w) - torch.logsumexp(-(z @ w), 0)),
}


@pytest.mark.parametrize("answer", RIGHT.values(), ids=RIGHT.keys())
def test_any_right_answer_passes(answer):
    verdict = EXERCISE.check(answer)
    assert verdict
    assert verdict == Verdict(True, "These are attention weights.")
    assert repr(verdict) == "Right. These are attention weights."


@pytest.mark.parametrize("name", EXERCISE.mistakes)
@pytest.mark.parametrize("scale", [1, 1 + 1e-6])
def test_a_named_mistake_gets_its_own_hint(name, scale):
    wrong, hint = EXERCISE.mistakes[name]
    verdict = EXERCISE.check(lambda w, z: (scale * wrong(w, z)).numpy())
    assert not verdict
    assert verdict == Verdict(False, hint, name)
    assert repr(verdict) == f"Not yet. {hint}"


def test_the_most_specific_mistake_comes_first():
    both = {"first": (wrong_sign, "first"), "second": (wrong_sign, "second")}
    assert Exercise(**{**vars(EXERCISE), "mistakes": both}).check(wrong_sign).mistake == "first"


def raises(w, z):
    raise KeyError("no such thing")


def changes_w(w, z):
    w *= 2
    return solution(w / 2, z)


def changes_z(w, z):
    q = solution(w, z)
    z.zero_()
    return q


def overflows(w, z):
    return torch.exp(1e4 * (z @ w).abs()) / torch.exp(1e4 * (z @ w).abs())


def forever(w):
    return forever(w)


def right_once(w, z):
    return solution(w, z) if torch.equal(w, CASES[0][0]) else solution(w, z) + 0.01


WRONG = {
    "raises": (raises, r"raised KeyError: 'no such thing'"),
    "None": (lambda w, z: None, r"returned None: is there a return\? Start from the margins\."),
    "no number": (lambda w, z: "weights", "returned a str; expected are real numbers"),
    "a dictionary": (lambda w, z: {"q": 1}, "returned a dict; expected are real numbers"),
    "a complex number": (
        lambda w, z: solution(w, z) + 0j,
        r"returned a Tensor of dtype torch\.complex128; expected are real",
    ),
    "text that looks like numbers": (lambda w, z: ["1"] * 5, "returned a list that holds a str; expected"),
    "a generator": (lambda w, z: (q for q in solution(w, z)), "returned a generator; expected are real numbers"),
    "a nested mess": (lambda w, z: [[1.0], [1.0, 2.0]], r"returned shape \[1\] and \[2\], expected \[5\]"),
    "shape": (lambda w, z: solution(w, z)[None], r"returned shape \[1, 5\], expected \[5\]"),
    "two values": (lambda w, z: (solution(w, z), w), r"returned shape \[5\] and \[3\], expected \[5\]"),
    "a number": (lambda w, z: 1.0, r"returned shape \[\] \(a number\), expected \[5\]"),
    "NaN": (overflows, "returned NaN or infinity"),
    "infinity": (lambda w, z: solution(w, z) / 0, "returned NaN or infinity"),
    "an unknown mistake": (lambda w, z: 2 * solution(w, z), r"in no way I recognise\. On .* Start from the margins\."),
    "right on one case only": (
        right_once,
        r"2 of 3 cases, in no way I recognise\. On \w+\.EXERCISE\.cases\[1\] entry \[0\] is 0\.06\d* and should be",
    ),
    "input changed": (changes_w, "changed its input in place"),
    "second input changed": (changes_z, "changed its input in place"),
    "the stub": (stub, "does what the stub does. Start from the margins."),
    "too few arguments": (lambda w: w, "raised TypeError"),
    "leaves Python": (lambda w, z: sys.exit("done"), "raised SystemExit: done"),
    "never comes back to itself": (lambda w, z: forever(w), "raised RecursionError"),
    "a product of wrong shapes": (
        lambda w, z: torch.softmax(w @ z, 0),
        r"raised RuntimeError: .* in the line `.*w @ z.*`\. It was given w of shape \[3\], z of shape \[5, 3\]\.",
    ),
    "not a function": (torch.zeros(5), "wants the function itself, and got a Tensor"),
    "a called function": (solution(*CASES[0]), "wants the function itself"),
}


@pytest.mark.parametrize(("answer", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_told_what_it_did(answer, message):
    verdict = EXERCISE.check(answer)
    assert not verdict
    assert re.search(message, verdict.message), verdict.message


def test_the_cases_survive_every_answer():
    kept = [tuple(v.clone() for v in case) for case in CASES]
    for answer in (changes_w, changes_z):
        EXERCISE.check(answer)
    assert all(torch.equal(a, b) for case, old in zip(CASES, kept, strict=True) for a, b in zip(case, old, strict=True))


def test_several_values_are_compared_one_by_one():
    def pair(w, z):
        return z @ w, 1000.0

    exercise = replace(EXERCISE, solution=pair, mistakes={}, stub=lambda w, z: 0.0)
    assert exercise.check(pair)
    assert exercise.check(lambda w, z: [np.asarray(z @ w), 1000])
    assert not exercise.check(lambda w, z: (z @ w + 0.01, 1000.0)), "the tolerance is each value's own"
    assert (
        "returned one tensor of shape [5], expected 2 values, [5] and [] (a number)."
        in exercise.check(lambda w, z: z @ w).message
    )


def test_two_values_of_one_shape_may_come_in_one_array():
    exercise = replace(EXERCISE, solution=lambda w, z: (w, -w), mistakes={}, stub=lambda w, z: (w, w))
    for answer in (lambda w, z: torch.stack([w, -w]), lambda w, z: [w.tolist(), (-w).tolist()]):
        assert exercise.check(answer)
    assert exercise.check(lambda w, z: torch.stack([w, w])).mistake == "stub"


def test_a_number_may_come_in_an_array():
    exercise = replace(EXERCISE, solution=lambda w, z: w.sum(), mistakes={}, stub=lambda w, z: 0.0)
    for answer in (lambda w, z: w.sum()[None], lambda w, z: np.array([[float(w.sum())]]), lambda w, z: (w.sum(),)):
        assert exercise.check(answer)
    assert "returned shape [2], expected [] (a number)" in exercise.check(lambda w, z: w[:2]).message
    assert not EXERCISE.check(lambda w, z: 0.0), "and not the other way round"


def test_a_wrong_dtype_is_explained():
    told = EXERCISE.check(lambda w, z: z @ torch.zeros(3)).message
    assert "make new ones with zeros_like, or with the same dtype" in told


@dataclass
class Bag:
    w: torch.Tensor
    more: dict


def test_no_input_may_change_however_it_is_nested_or_stored():
    case = (np.arange(3.0), [torch.ones(2), (torch.zeros(1),)], Bag(torch.ones(2), {"z": np.ones(2), "n": 3}), 2.0)

    def total(a, b, bag, c):
        return a.sum() + b[0].sum() + bag.w.sum() + c

    exercise = replace(EXERCISE, cases=[case], solution=total, mistakes={}, stub=lambda a, b, bag, c: 0.0)
    assert exercise.check(total)

    def spoiling(spoil):
        def answer(a, b, bag, c):
            right = float(total(a, b, bag, c))
            spoil(a, b, bag)
            return right

        return answer

    spoilers = [
        lambda a, b, bag: a.sort() or a.__setitem__(0, 7.0),
        lambda a, b, bag: b[0].add_(1),
        lambda a, b, bag: b[1][0].sub_(1),
        lambda a, b, bag: b.append(1),
        lambda a, b, bag: bag.more["z"].fill(0),
        lambda a, b, bag: bag.more.pop("n"),
        lambda a, b, bag: bag.w.resize_(1),
        lambda a, b, bag: setattr(bag, "w", bag.w.float().double() + 1),
    ]
    for spoil in spoilers:
        assert "changed its input in place" in exercise.check(spoiling(spoil)).message
    assert exercise.check(total), "the cases are as they were"


def test_a_case_may_hold_nan_and_is_no_less_guarded():
    gaps = torch.tensor([1.0, torch.nan])
    exercise = replace(EXERCISE, cases=[(gaps,)], solution=lambda x: x.nansum(), mistakes={}, stub=lambda x: 0.0)
    assert exercise.check(lambda x: float(x[0]))
    assert "changed its input" in exercise.check(lambda x: x.nan_to_num_().sum()).message


class Stubborn:
    def __array__(self, *_, **__):
        raise AttributeError("no numbers here")


def test_an_object_that_refuses_to_be_numbers_is_no_traceback():
    assert "returned a Stubborn; expected are real numbers" in EXERCISE.check(lambda w, z: Stubborn()).message


def test_an_answer_that_never_ends_is_stopped():
    def never_ends(w, z):
        while True:
            try:
                w = w / 2
            except Exception:
                continue

    start = time.monotonic()
    verdict = replace(EXERCISE, seconds=0.2).check(never_ends)
    assert time.monotonic() - start < 60
    assert "still busy after 0.2 seconds" in verdict.message
    assert replace(EXERCISE, seconds=5.0).check(solution), "the alarm is off again"


def test_the_tolerance_is_relative_to_the_largest_entry():
    def off_by(relative):
        return lambda w, z: solution(w, z) + relative * solution(w, z).max()

    assert EXERCISE.check(off_by(0.9e-4))
    assert not EXERCISE.check(off_by(1.1e-4))


def test_a_measure_compares_only_what_matters_and_may_complain():
    def ratio(returned, w, z):
        if len(returned[0]) != 2:
            raise ValueError("Two numbers, please.")
        return returned[0][0] / returned[0][1]

    exercise = replace(
        EXERCISE,
        measure=ratio,
        solution=lambda w, z: [1.0, 2.0],
        stub=lambda w, z: [1.0, 1.0],
        mistakes={"inverse": (lambda w, z: [2.0, 1.0], "The other way.")},
    )
    assert exercise.check(lambda w, z: [5.0, 10.0])
    assert exercise.check(lambda w, z: [10.0, 5.0]).mistake == "inverse"
    assert exercise.check(lambda w, z: [1.0]).message == "Two numbers, please."
    assert "returned shape [] (a number); a solution returns [2]" in exercise.check(lambda w, z: 1.0).message


def test_a_measure_that_fails_is_no_traceback():
    exercise = replace(EXERCISE, measure=lambda returned, w, z: {}[len(returned)])
    assert "cannot be judged (KeyError). Start from" in exercise.check(solution).message


def test_infinite_entries_do_not_widen_the_tolerance():
    def reciprocal(w, z):
        return torch.stack([torch.tensor(torch.inf), torch.tensor(1.0)])

    exercise = replace(EXERCISE, solution=reciprocal, mistakes={})
    assert exercise.check(reciprocal)
    assert not exercise.check(lambda w, z: reciprocal(w, z) * torch.tensor([1.0, 2.0]))


def test_an_exercise_shows_itself_in_one_line():
    assert repr(EXERCISE) == (
        "Exercise 'Weights', difficulty 1 of 3, importance 2 of 3, 5 minutes: "
        "check(your_function), hint(), show_solution()"
    )
    assert len(repr(EXERCISE.check)) < 200
    assert "wants the function itself, and got a NoneType" in EXERCISE.check().message
    assert repr(EXERCISE.hint()) == "Start from the margins."


def test_hint_and_solution_are_there_for_the_asking(capsys):
    assert EXERCISE.hint() == "Start from the margins."
    EXERCISE.show_solution()
    assert capsys.readouterr().out.strip() == "def solution(w, z):\n    return torch.softmax(-(z @ w), -1)"


# --- what is said of values that no mistake explains


def table(w, z):
    return torch.outer(z @ w, w)


def _told(answer, **changes):
    exercise = replace(EXERCISE, **{"solution": table, "stub": lambda w, z: 0.0, "mistakes": {}, **changes})
    return exercise.check(answer).message


def test_it_says_where_they_differ_and_no_first_hint_that_is_behind_the_reader():
    def one_row(w, z):
        right = table(w, z)
        right[3, 1:] += 1
        return right

    told = _told(one_row)
    assert "all that differs lies in [3, 1:3]; entry [3, 1] is" in told
    assert "Start from the margins" not in told
    assert "Start from the margins" in _told(lambda w, z: table(w, z) + 100)


def test_it_says_which_of_several_values_differs():
    changes = {"solution": lambda w, z: (w, z @ w), "parts": ("w", "the margins")}
    told = _told(lambda w, z: (w, z @ w + 1), **changes)
    assert "the margins differs, no other; entry [0]" in told
    assert "value 2 of 2 differs" in _told(lambda w, z: (w, z @ w + 1), **{**changes, "parts": ()})
    assert "no other" not in _told(lambda w, z: (w + 1, z @ w + 1), **changes)
    told = _told(lambda w, z: torch.tensor([1.5]), solution=lambda w, z: w.sum())
    assert "it is 1.5 and should be" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.half(), "Your numbers are float16, which keeps three digits at most"),
        (lambda t: t.bfloat16(), "Your numbers are bfloat16, which keeps"),
        (lambda t: t.int(), "Your numbers are int32, and the right ones have fractions"),
        (lambda t: t.numpy() > 0, "Your numbers are bool, and the right ones have fractions"),
        (lambda t: [row.half() for row in t], "Your numbers are float16"),
        (lambda t: (2 * t).float(), None),
    ],
)
def test_it_names_a_dtype_that_cannot_hold_the_values(change, told):
    message = _told(lambda w, z: change(table(w, z)))
    assert told in message if told else "Your numbers" not in message
    whole = {"solution": lambda w, z: torch.arange(5.0)}
    assert "Your numbers" not in _told(lambda w, z: torch.arange(5) + 1, **whole), "whole numbers are expected"


def test_a_sparse_tensor_is_as_good_as_another():
    assert EXERCISE.check(lambda w, z: solution(w, z).to_sparse())


def test_a_complex_part_is_named():
    told = EXERCISE.check(lambda w, z: (solution(w, z), solution(w, z) * 1j)).message
    assert "returned a tuple that holds a Tensor of dtype torch.complex128; expected are real numbers." in told


def test_nan_is_no_proof_of_overflow():
    assert "Does something overflow, or underflow to 0 / 0?" in EXERCISE.check(overflows).message


def test_a_step_that_is_ignored_needs_no_name_of_its_own():
    def update(w, step):
        return w + step

    exercise = replace(EXERCISE, solution=update, stub=lambda w, step: w, cases=[(CASES[0][0], 0.3)], mistakes={})
    assert exercise.check(lambda w, step: w + 1).message == "Right for step = 1. Where does the step size go?"
    assert "step ignored" not in EXERCISE.all_mistakes
