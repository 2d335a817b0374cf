"""What homework 4's tests look at: predictions that can fail, functions of a seed, intervals of a mean, verdicts."""

import importlib
import random

import homework
import numpy as np
import pytest
import torch
from scipy.stats import t as student_t

checks = homework.module("hw4_a_project", "checks")
TEXT = "a sentence that has more than six different words"
GOOD = {"question": "B", "quantity": "gap", "setting": TEXT, "because": TEXT, "otherwise": TEXT}
GOOD |= {"possible": (-1.0, 1.0), "range": (0.1, 0.6)}


def outcomes(seeds, spread=0.1, middle=0.3):
    g = np.random.default_rng(0)
    return {seed: {"gap": float(middle + spread * g.standard_normal())} for seed in seeds}


def row(values, half):
    mean = float(np.mean(values))
    return [{"what": "gap", "mean": mean, "low": mean - half, "high": mean + half, "seeds": len(values)}]


def passes(check, *arguments):
    try:
        check(*arguments)
    except AssertionError:
        return False
    return True


def test_a_complete_prediction_that_can_fail_passes():
    assert passes(checks.form, GOOD)
    assert passes(checks.falsifiable, GOOD)


@pytest.mark.parametrize("key", ["question", "quantity", "setting", "because", "otherwise"])
@pytest.mark.parametrize("value", ["", ..., None, 3])
def test_an_incomplete_prediction_is_refused(key, value):
    with pytest.raises(AssertionError, match=key):
        checks.form(GOOD | {key: value})


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (-0.9, 0.2), (0.5, 1.1), (0.6, 0.1), (0.1, 0.1), (float("nan"), 0.5), (..., ...)]
)
def test_a_range_that_says_nothing_is_refused(low, high):
    with pytest.raises(AssertionError):
        checks.falsifiable(GOOD | {"range": (low, high)})


def test_an_endless_possible_does_not_make_everything_narrow():
    with pytest.raises(AssertionError):
        checks.falsifiable(GOOD | {"possible": (float("-inf"), float("inf"))})


def good_result(seed):
    return {"gap": torch.randn(3, generator=torch.Generator().manual_seed(seed)).mean()}


def draws_globally(seed):
    return {"gap": float(torch.randn(()))}


def seeds_globally(seed):
    torch.manual_seed(seed)
    return {"gap": float(torch.randn(()))}


def python_globally(seed):
    return {"gap": seed + 0 * random.random()}


def numpy_globally(seed):
    return {"gap": seed + 0 * np.random.rand()}  # noqa: NPY002 - this is the mistake


def test_a_function_of_its_seed_passes():
    assert passes(checks.finite, good_result, GOOD)
    assert passes(checks.deterministic, good_result)
    assert passes(checks.seeds_matter, good_result, GOOD)
    assert passes(checks.no_global_state, good_result)


@pytest.mark.parametrize("result", [seeds_globally, python_globally, numpy_globally, draws_globally])
def test_global_random_numbers_are_found(result):
    with pytest.raises(AssertionError, match="global"):
        checks.no_global_state(result)


def test_unseeded_draws_are_not_the_same_twice():
    with pytest.raises(AssertionError, match="twice"):
        checks.deterministic(draws_globally)


def test_a_result_that_ignores_its_seed_is_found():
    with pytest.raises(AssertionError, match="seed"):
        checks.seeds_matter(lambda seed: {"gap": 1.0}, GOOD)


def test_the_seeds_of_the_card_are_asked_for_and_two_are_run_again():
    seeds = checks.variant("a pair").seeds
    results = {seed: good_result(seed) for seed in [*seeds, 1]}
    checks.all_seeds(results, GOOD, "a pair")
    checks.reproduced(good_result, results, GOOD, "a pair")
    with pytest.raises(AssertionError, match="missing"):
        checks.all_seeds(results, GOOD, "another pair")
    with pytest.raises(AssertionError, match="not what result returns"):
        checks.reproduced(good_result, {seed: {"gap": 0.0} for seed in seeds}, GOOD, "a pair")


@pytest.mark.parametrize("n", [10, 12, 30])
@pytest.mark.parametrize("spread", [1e-6, 0.1, 50.0])
def test_usual_intervals_pass_and_usual_mistakes_do_not(n, spread):
    results = outcomes(range(n), spread)
    values = np.array([found["gap"] for found in results.values()])
    error = values.std(ddof=1) / n**0.5
    for factor in (student_t.ppf(0.975, n - 1), 1.96, 2.0, 1.96 * (1 - 1 / n) ** 0.5):  # the last: a bootstrap
        checks.intervals(results, row(values, factor * error), GOOD)
    for factor in (1.0, 1.96 * n**0.5, 0.0):  # one standard error, the spread of single seeds, none
        with pytest.raises(AssertionError):
            checks.intervals(results, row(values, factor * error), GOOD)
    with pytest.raises(AssertionError, match="not the mean"):
        checks.intervals(results, row(values + error, 2 * error), GOOD)


def test_nine_seeds_are_too_few():
    results = outcomes(range(9))
    with pytest.raises(AssertionError, match="ten seeds"):
        checks.intervals(results, row([found["gap"] for found in results.values()], 0.07), GOOD)


@pytest.mark.parametrize(
    ("low", "high", "right"),
    [
        (0.2, 0.5, "as predicted"),
        (0.7, 0.8, "not as predicted"),
        (-0.5, 0.0, "not as predicted"),
        (0.0, 0.2, "undecided"),
        (0.5, 0.7, "undecided"),
        (-1.0, 1.0, "undecided"),
    ],
)
def test_the_interval_decides_the_verdict(low, high, right):
    report = [{"what": "gap", "mean": (low + high) / 2, "low": low, "high": high, "seeds": 10}]
    checks.verdict(right, report, GOOD)
    for said in {"as predicted", "not as predicted", "undecided", ""} - {right}:
        with pytest.raises(AssertionError):
            checks.verdict(said, report, GOOD)


@pytest.mark.parametrize("question", "ABCDEF")
def test_every_first_experiment_comes_out_with_numbers_of_its_seed(question):
    experiment = importlib.import_module("hw4_first_experiments").EXPERIMENTS[question]  # checks put it on the path
    one, other = experiment(0, 3, 12), experiment(1, 3, 12)
    assert np.isfinite(list(one.values())).all()
    assert set(one) == set(other)
    assert one != other
