"""What the hidden tests of homework 4 look at: no right answers, since a project has none, but how it was done.

It travels in the autograder's zip, next to the submission, and in no student's file. The one thing that both have is
``variant``, which the build copies into the notebook. A mark from here says that a prediction was registered, that
the experiment is a function of its seed, and that the table and the verdict follow from the runs. Whether the question
was good and the answer true is for a person.
"""

import math
import random

import numpy as np
import torch
from answers import call, named, numbers
from given import begin
from scipy.stats import t as student_t

QUESTIONS = ("A", "B", "C", "D", "E", "F", "own")
TEXTS = ("setting", "because", "otherwise")
SECONDS = 10  # a call of result; the students are told to stay below three
NARROW, WIDE = 0.6, 1.3  # an interval's width over Student's: bootstraps of ten are 0.7 to 1, one standard error 0.44
VERDICTS = ("as predicted", "not as predicted", "undecided")


def variant(student, salt="HOMEWORK_SALT"):
    """Return what belongs to one pair alone: a setting, and the ten seeds that count. "Roe + doe" is "doe+roe"."""
    pair = "+".join(sorted(one.strip() for one in str(student).lower().split("+")))
    mine, draw = begin(pair, salt, "hw4")
    mine.d = draw.choice([4, 5, 6, 8])
    mine.n = mine.d * draw.choice([5, 6, 8])
    mine.seeds = draw.sample(range(1000, 10_000), 10)
    return mine


def seeds_of(student):
    """Return the ten seeds of the id that was typed into the notebook."""
    return variant(named(student)).seeds


def entry(prediction, key):
    """Return one entry of the prediction."""
    assert isinstance(prediction, dict), "prediction: expected a dict"
    assert key in prediction, f"prediction: no entry {key!r}"
    return prediction[key]


def sentence(text, words):
    """Whether it is a text of at least so many different words."""
    return isinstance(text, str) and len(set(text.lower().split())) >= words


# --- 1: the prediction


def form(prediction):
    assert entry(prediction, "question") in QUESTIONS, f"question: expected one of {', '.join(QUESTIONS)}"
    assert sentence(entry(prediction, "quantity"), 1), "quantity: expected the name of a number"
    for key in TEXTS:
        assert sentence(entry(prediction, key), 6), f"{key}: expected a sentence"


def interval_of(prediction, key):
    """Return the two ends of an interval with an inside."""
    low, high = numbers(entry(prediction, key), key, (2,))
    assert low < high, f"{key}: the lower end comes first, and the two differ"
    return low, high


def falsifiable(prediction):
    """The range lies in what was thought possible, and gives up at least half of it."""
    low, high = interval_of(prediction, "range")
    least, most = interval_of(prediction, "possible")
    assert least <= low < high <= most, "range: not within what you call possible"
    assert high - low <= (most - least) / 2, "range: more than half of what you call possible, so it says little"


# --- 2: the experiment


RAN = {}  # result may take seconds, and several tests look at it


def elsewhere():
    """Put the global random numbers at a place where they have not been."""
    start = random.SystemRandom().randrange(2**31)
    torch.manual_seed(start)
    np.random.seed(start)  # noqa: NPY002 - a submission may use it
    random.seed(start)


def places():
    """Where the global random numbers are."""
    legacy = repr(np.random.get_state())  # noqa: NPY002 - a submission may use it
    return torch.get_rng_state().numpy().tobytes(), legacy, random.getstate()


def filled(value):
    """Whether it is a dict with something in it."""
    return isinstance(value, dict) and bool(value)


def run(result, seed):
    """What result returns for a seed, as a dict of finite numbers."""
    elsewhere()
    found = call(result, seed, seconds=SECONDS)
    assert filled(found), "result: expected a dict of numbers"
    return {key: float(numbers(value, f"result: {key}", ())) for key, value in found.items()}


def first_run(result, seed):
    if (result, seed) not in RAN:
        RAN[result, seed] = None  # a run that fails is not repeated
        RAN[result, seed] = run(result, seed)
    assert RAN[result, seed] is not None, "result: raised, took too long, or returned no numbers"
    return RAN[result, seed]


def finite(result, prediction):
    one, other = (first_run(result, seed) for seed in (11, 12))
    assert set(one) == set(other), "result: other names for another seed"
    assert entry(prediction, "quantity") in one, "result: the predicted quantity is not among its numbers"


def same(one, other):
    """Two runs of one seed on one machine; sums in another order may differ in the last digits."""
    return set(one) == set(other) and all(math.isclose(one[k], other[k], rel_tol=1e-6, abs_tol=1e-9) for k in one)


def deterministic(result):
    once = first_run(result, 11)
    assert same(once, run(result, 11)), "result: not the same numbers twice for one seed"


def seeds_matter(result, prediction):
    quantity = entry(prediction, "quantity")
    values = {first_run(result, seed)[quantity] for seed in (11, 12)}
    assert len(values) == 2, "result: the predicted quantity does not depend on the seed"


def no_global_state(result):
    first_run(result, 11)
    elsewhere()
    before = places()
    call(result, 11, seconds=SECONDS)
    assert places() == before, "result: draws from, or seeds, a global generator"


# --- 3: the table and the verdict


def values_of(results, quantity):
    """The quantity for every seed of the table of results."""
    assert filled(results), "results: expected a dict, seed to result"
    for found in results.values():
        assert filled(found), "results: expected what result returned, for every seed"
        assert quantity in found, "results: the predicted quantity is missing somewhere"
    return {int(seed): float(numbers(found[quantity], quantity, ())) for seed, found in results.items()}


def all_seeds(results, prediction, student):
    missing = set(seeds_of(student)) - set(values_of(results, entry(prediction, "quantity")))
    assert not missing, f"results: {len(missing)} of the ten seeds on your card are missing"


def reproduced(result, results, prediction, student):
    """Two of the pair's own seeds, run again."""
    quantity = entry(prediction, "quantity")
    noted = values_of(results, quantity)
    for seed in seeds_of(student)[3:5]:
        assert seed in noted, "results: a seed of your card is missing"
        again = first_run(result, seed)[quantity]
        assert math.isclose(noted[seed], again, rel_tol=1e-6, abs_tol=1e-9), "results: not what result returns"


def row_of(report, what):
    """The report's one row on a quantity; all rows have to be in order."""
    if hasattr(report, "to_dict"):
        report = report.to_dict("records")
    assert isinstance(report, (list, tuple)), "report: expected a list of rows"
    for row in report:
        assert isinstance(row, dict), "report: expected dicts for rows"
        assert {"what", "mean", "low", "high", "seeds"} <= set(row), "report: what, mean, low, high, seeds in every row"
        mean, low, high = (float(numbers(row[key], key, ())) for key in ("mean", "low", "high"))
        assert low <= mean <= high, "report: low <= mean <= high in every row"
        assert float(row["seeds"]) >= 10, "report: at least ten seeds in every row"
    rows = [row for row in report if row["what"] == what]
    assert len(rows) == 1, f"report: {len(rows)} rows on the predicted quantity"
    return rows[0]


def intervals(results, report, prediction):
    """The predicted quantity's row: the mean over seeds, and an interval as wide as its spread asks for."""
    quantity = entry(prediction, "quantity")
    row, values = row_of(report, quantity), np.array(list(values_of(results, quantity).values()))
    assert int(row["seeds"]) == len(values) >= 10, "report: seeds is not the number of results"
    half = student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    assert half > 0, "results: the quantity is the same for all seeds"
    rounding = 0.2 * half
    assert abs(float(row["mean"]) - values.mean()) <= rounding, "report: mean is not the mean over the seeds"
    width = (float(row["high"]) - float(row["low"])) / (2 * half)
    assert width > NARROW, "report: the interval is too narrow for 95 percent"
    assert width < WIDE, "report: the interval is too wide for the mean; is it the spread of single seeds?"


def verdict(said, report, prediction):
    """The interval decides: inside the range, beside it, or across its end."""
    low, high = interval_of(prediction, "range")
    row = row_of(report, entry(prediction, "quantity"))
    if low <= float(row["low"]) and float(row["high"]) <= high:
        right = VERDICTS[0]
    elif float(row["high"]) < low or float(row["low"]) > high:
        right = VERDICTS[1]
    else:
        right = VERDICTS[2]
    assert said == right, f"verdict: one of {VERDICTS}, and the interval says which"
