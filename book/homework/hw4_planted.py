"""Submissions to homework 4 whose points are known beforehand; hw1_planted.py has the accidents of every kind.

A part builds on the one before it, so most mistakes have a submission of their own; ALONE says what each leaves of
every part that it touches. The tool's usual shuffled submission is left out: shuffled, an experiment has no result.
"""

from pathlib import Path

from planting import Mistake, Plants, new, with_id, wrong
from public_tests import assert_passed

ROW = '"mean": values.mean(), "low"'

MISTAKES = [  # these touch one part only, and share submissions
    # Of part 1: form 3, range 5.
    Mistake("q1", "no such question", 'prediction["question"] = "own"', 'prediction["question"] = "all"', 5),
    Mistake("q1", "no reason", 'prediction["because"] = because', 'prediction["because"] = "we think so"', 5),
    Mistake("q1", "outside of the possible", "(-3.0, 3.0)", "(0.5, 3.0)", 3),
    Mistake("q1", "anything will do", "(0.1, 1.0)", "(-3.0, 3.0)", 3),
    # Of part 2: finite 3, deterministic 3, seeds matter 2, nothing global 2.
    Mistake("q2", "seeds everything", "torch.Generator().manual_seed(seed)", "torch.manual_seed(seed)", 8),
    # Of part 3: all seeds 2, reproduced 4, intervals 4, verdict 2.
    Mistake("q3", "one standard error", "student_t.ppf(0.975, len(values) - 1) * values.std", "1 * values.std", 8),
    Mistake("q3", "the spread of the seeds", "values.std(ddof=1) / len(values) ** 0.5", "values.std(ddof=1)", 8),
    Mistake("q3", "wishful", '"as predicted" if inside else', '"as predicted" if report else', 10),
    Mistake("q3", "good seeds only", "in variant(STUDENT).seeds}", "in variant(STUDENT).seeds[:6]}", 4),
]

POLISH = "results = {seed: found | {'gain of half': 0.5 + 1e-6 * seed} for seed, found in results.items()}\n"
ALONE = {  # name -> (old, new, what it leaves)
    "a seed exchanged": ("in variant(STUDENT).seeds}", "in [*variant(STUDENT).seeds[:9], 7]}", {"q3": 10}),
    "polished by hand": ("names = list(", f"{POLISH}names = list(", {"q3": 8}),
    "not sealed": ("my_seal = seal_of(prediction)", 'my_seal = "5ea1ed"', {"q3": 0}),
    "another quantity": ('["quantity"] = "gain of half"', '["quantity"] = "gain"', {"q2": 5, "q3": 0}),
    "not seeded": ("torch.Generator().manual_seed(seed)", "torch.default_generator", {"q2": 5, "q3": 8}),
    "one seed for all": ("manual_seed(seed)", "manual_seed(0)", {"q2": 8, "q3": 8}),
    "not a number": ('"error with all": full,', '"error with all": float("nan"),', {"q2": 0, "q3": 2}),
}

OTHER_RIGHT_ANSWERS = """
import pandas
_result, _prediction = result, prediction
prediction = _prediction | {"question": "C", "range": [-0.5, 0.5], "possible": np.array([-2, 2.0])}  # it comes true


def result(seed):  # tensors
    return {name: torch.tensor(value, dtype=f64) for name, value in _result(int(seed)).items()}


results = {np.int64(seed): result(seed) for seed in [*variant(' EMMY + grace').seeds, 5, 6]}  # two more
values = torch.stack([found["gain of half"] for found in results.values()])
mean, low, high = icl.bootstrap_interval(values, generator=torch.Generator().manual_seed(0))  # rounded, and a table
report = pandas.DataFrame([{"what": "gain of half", "mean": round(float(mean), 4), "low": round(float(low), 4),
                            "high": round(float(high), 4), "seeds": len(results), "note": "paired"}])
verdict = "as predicted"
"""


def plant(folder: Path, student_file: Path, solution_file: Path) -> dict[str, tuple[dict, str]]:
    """Write the submissions. Return for each file the questions that do not earn all, and a word of its note."""
    plants = Plants(folder, student_file, solution_file, experiment="matplotlib")
    plants.add_mistakes(MISTAKES)
    for number, (name, (old, put, left)) in enumerate(ALONE.items(), 1):
        made = wrong(with_id(plants.solution, f"pair {number}"), [Mistake("", name, old, put, 0)])
        plants.add(f"{name}.ipynb", made, left)
    other = with_id(plants.solution, "grace+emmy")
    other.cells.append(new(OTHER_RIGHT_ANSWERS))
    plants.add("other-right-answers.ipynb", other)
    assert_passed(folder / "other-right-answers.ipynb")
    copied = with_id(plants.solution, "lise+otto")
    for cell in copied.cells:
        cell.source = cell.source.replace("variant(STUDENT)", "variant('otto+hedy')")
    plants.add("copied.ipynb", copied, {"q3": 6})
    early = with_id(plants.blank, "ada+mary")  # what is handed in after a week
    registered = next(cell.source for cell in plants.solution.cells if "prediction = {}" in cell.source)
    for cell in early.cells:
        if "prediction = {}" in cell.source:
            cell.source = registered
    plants.add("after a week.ipynb", early, {"q2": 0, "q3": 0})
    return plants.expected
