"""How an answer is judged: by what it returns, with a hint for what went wrong, and never with a traceback."""

import re

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


def right_once(w, z):
    return solution(w, z) if torch.equal(w, CASES[0][0]) else solution(w, z) + 0.01


WRONG = {
    "raises": (raises, r"raised KeyError: 'no such thing'"),
    "None": (lambda w, z: None, r"returned None: is there a return\? Start from the margins\."),
    "no number": (lambda w, z: "weights", "returned a str, which does not hold numbers only"),
    "a dictionary": (lambda w, z: {"q": 1}, "returned a dict, which does not hold numbers only"),
    "a nested mess": (lambda w, z: [[1.0], [1.0, 2.0]], "returned a list, which does not hold numbers only"),
    "shape": (lambda w, z: solution(w, z)[None], r"returned shape \[\[1, 5\]\], expected \[\[5\]\]"),
    "two values": (lambda w, z: (solution(w, z), w), r"returned shape \[\[5\], \[3\]\], expected \[\[5\]\]"),
    "a number": (lambda w, z: 1.0, r"returned shape \[\[\]\], expected \[\[5\]\]"),
    "NaN": (overflows, "returned NaN or infinity"),
    "infinity": (lambda w, z: solution(w, z) / 0, "returned NaN or infinity"),
    "an unknown mistake": (lambda w, z: 2 * solution(w, z), "in no way I recognise. Start from the margins."),
    "right on one case only": (right_once, "in no way I recognise"),
    "input changed": (changes_w, "changed its input in place"),
    "second input changed": (changes_z, "changed its input in place"),
    "the stub": (stub, "does what the stub does. Start from the margins."),
    "too few arguments": (lambda w: w, "raised TypeError"),
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

    exercise = Exercise(**{**vars(EXERCISE), "solution": pair, "mistakes": {}, "stub": lambda w, z: 0.0})
    assert exercise.check(pair)
    assert exercise.check(lambda w, z: [np.asarray(z @ w), 1000])
    assert not exercise.check(lambda w, z: (z @ w + 0.01, 1000.0)), "the tolerance is each value's own"


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

    exercise = Exercise(
        **{
            **vars(EXERCISE),
            "measure": ratio,
            "solution": lambda w, z: [1.0, 2.0],
            "stub": lambda w, z: [1.0, 1.0],
            "mistakes": {"inverse": (lambda w, z: [2.0, 1.0], "The other way.")},
        }
    )
    assert exercise.check(lambda w, z: [5.0, 10.0])
    assert exercise.check(lambda w, z: [10.0, 5.0]).mistake == "inverse"
    assert exercise.check(lambda w, z: [1.0]).message == "Two numbers, please."


def test_hint_and_solution_are_there_for_the_asking(capsys):
    assert EXERCISE.hint() == "Start from the margins."
    EXERCISE.show_solution()
    assert capsys.readouterr().out.strip() == "def solution(w, z):\n    return torch.softmax(-(z @ w), -1)"
