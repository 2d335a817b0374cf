"""K-shot learning of real data with many classes, the layers beside fitted methods; chapter "Many classes, real data".

The table icl_lib/data/many_classes.csv is made by (4 minutes on one core; rows that it holds are kept)::

    OMP_NUM_THREADS=1 python -m icl_lib.experiments.many_classes --out icl_lib/data/many_classes.csv

A row is one draw: a context of a few rows of each class, and other rows as queries. All methods see the same context,
and nothing is tuned: depths and steps were fixed before the first run, fitted methods have scikit-learn's defaults.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from .. import validate
from ..classes import ClassPrompts, class_accuracy, class_scores
from ..constructions import momentum_layer, ngd_layer
from ..datasets import ClassesTask
from ..features import featurizer
from ..looped import Looped
from ..sweep import Sweep, sweep
from ..tables import number

DEPTH = 100
SHOTS = (1, 2, 5, 10, 20)
FEW = 2
"""Examples of the one rare class, where the others have SHOTS[-1]."""
QUERIES = {"iris": 40, "wine": 50, "digits": 200}
"""How many other rows are asked about: about as many as the largest context leaves."""
DRAWS = 30
DATA: dict[str, tuple[ClassesTask, int]] = {
    "iris": (ClassesTask("iris"), 1),
    "wine": (ClassesTask("wine"), 1),
    "digits": (ClassesTask("digits"), 1),
    "iris, quadratic": (ClassesTask("iris"), 2),
    "wine, quadratic": (ClassesTask("wine"), 2),
    "digits, 10 components": (ClassesTask("digits", 10), 1),
    "digits, 10 components, quadratic": (ClassesTask("digits", 10), 2),
}
"""Name -> the law of prompts, and the degree of the monomials that ReLU attention makes of its features."""


@lru_cache
def features(d: int, degree: int, bound: float = 100.0) -> Callable[[Tensor], Tensor]:
    """Return the map from points [B, n, d], last entry 1, to 1 and all monomials up to ``degree`` of the others.

    The points pass the layers one by one: a head of the featurizer hears its own token only.
    """
    made = featurizer(d - 1, "polynomial", degree, tokens=1, bound=bound)
    return lambda x: made(x[..., :-1].reshape(-1, 1, d - 1)).reshape(*x.shape[:-1], -1)


@lru_cache(maxsize=1)
def problem(data: str, shots: int, rare: int, draw: int) -> ClassPrompts:
    """Return a batch of one draw: ``shots`` rows of each class, but ``rare`` of class ``draw`` modulo K."""
    task, degree = DATA[validate.one_of("data", data, DATA)]
    counts = [rare if c == draw % task.classes else shots for c in range(task.classes)]
    g = torch.Generator().manual_seed(draw)
    p = task.sample(1, tuple(counts), QUERIES[task.name], generator=g, dtype=torch.float64)
    return p if degree == 1 else p.map(features(task.d, degree))


def looped(p: ClassPrompts, make: Callable = ngd_layer, depth: int = DEPTH) -> Float[Tensor, "B q K"]:
    """Return the scores of the queries after ``depth`` layers with step 1/R^2 on Kesler's tokens."""
    tokens = p.kesler().normalized()  # R = 1
    w = Looped(make(tokens.x.shape[-1], 1.0), depth).final(tokens)
    return class_scores(w, p.x_query)


def fitted(make: Callable[[], object]) -> Callable[[ClassPrompts], Float[Tensor, "B q K"]]:
    """Return what gives the answers, one-hot, of a scikit-learn classifier fitted to each prompt."""

    def scores(p: ClassPrompts) -> Tensor:
        one = [make().fit(x.numpy(), y.numpy()).predict(q.numpy()) for x, y, q in zip(p.x, p.y, p.x_query, strict=True)]
        answers = torch.stack([torch.from_numpy(a) for a in one])
        return torch.nn.functional.one_hot(answers, p.classes).to(p.x)

    return scores


def _logistic(**options: object) -> object:
    from sklearn.linear_model import LogisticRegression  # heavy, hence only where used

    return LogisticRegression(fit_intercept=False, max_iter=2000, **options)  # the constant feature is the intercept


def _svm() -> object:
    from sklearn.svm import SVC

    return SVC(kernel="linear")


def _nearest() -> object:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(1)


def class_means(p: ClassPrompts) -> Float[Tensor, "B q K"]:
    """Return minus the squared distance of each query to the mean of each class."""
    members = torch.nn.functional.one_hot(p.y, p.classes).to(p.x)
    means = members.mT @ p.x / members.sum(1)[..., None]
    return -torch.cdist(p.x_query, means).square()


METHODS: dict[str, Callable[[ClassPrompts], Float[Tensor, "B q K"]]] = {
    "ngd": looped,
    "momentum": lambda p: looped(p, momentum_layer),
    "ngd_10": lambda p: looped(p, depth=10),
    "logistic": fitted(_logistic),
    "balanced": fitted(lambda: _logistic(class_weight="balanced")),
    "svm": fitted(_svm),
    "nearest": fitted(_nearest),
    "mean": class_means,
}
"""Name -> scores of the queries. ngd, momentum: DEPTH layers; ngd_10: 10 layers; logistic: C = 1; balanced: the same
with classes weighted by one over their size; svm: one against one, C = 1; nearest: one neighbour; mean: the class whose
mean is nearest."""


def cell(data: str, shots: int, rare: int, draw: int) -> dict[str, float]:
    """Return each method's accuracy on the queries and, as recall_..., on those of class ``draw`` modulo K alone."""
    p, results = problem(data, shots, rare, draw), {}
    special = p.y_query == draw % p.classes
    if not special.any():
        raise validate.fail("draw", draw, f"a draw with queries of class {draw % p.classes}")
    for name, scores in ((name, method(p)) for name, method in METHODS.items()):
        results[name] = float(class_accuracy(scores, p.y_query).mean())
        results[f"recall_{name}"] = float(class_accuracy(scores[special][None], p.y_query[special][None]))
    return {name: float(f"{value:.4g}") for name, value in results.items()}


def grid(draws: int = DRAWS, data: Sequence[str] = tuple(DATA)) -> list[dict]:
    """Return the cells of the table: every data set and number of shots, and one rare class in three data sets."""
    sizes = [(name, shots, shots) for name in data for shots in SHOTS]
    sizes += [(name, SHOTS[-1], FEW) for name in ("iris", "wine", "digits") if name in data]
    draws = range(validate.whole("draws", draws, 1))
    return [{"data": name, "shots": s, "rare": r, "draw": draw} for name, s, r in sizes for draw in draws]


def shipped() -> list[dict]:
    """Return the rows that come with the library."""
    text = (files("icl_lib") / "data" / "many_classes.csv").read_text(encoding="utf8")
    rows = csv.DictReader(io.StringIO(text))
    return [
        {k: v if k == "data" else number(v) for k, v in row.items() if k != "failure"}
        for row in rows
        if not row["failure"]
    ]


def column(
    rows: Sequence[dict], name: str, data: str, shots: Sequence[int] = SHOTS, rare: int | None = None
) -> Float[Tensor, "S k"]:
    """Return one result for every draw and each of the ``shots``; rare: examples of the rare class, if there is one."""
    values = [
        [r[name] for r in rows if (r["data"], r["shots"], r["rare"]) == (data, k, k if rare is None else rare)]
        for k in shots
    ]
    if not values or not values[0] or len({len(v) for v in values}) > 1:
        raise validate.fail("rows", f"{[len(v) for v in values]} rows of {data}", "as many for each number, and some")
    return torch.tensor(values, dtype=torch.float64).T


def main(arguments: Sequence[str] | None = None) -> Sweep:
    """Add the missing rows to ``--out`` and return the table."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.experiments.many_classes", description="Make the table.")
    parser.add_argument("--out", type=Path, required=True, help="the CSV file; rows that it holds are kept")
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws of every size (default: {DRAWS})")
    options = parser.parse_args(arguments)
    table = sweep(cell, grid(options.draws), out=options.out)
    print(table)
    return table


if __name__ == "__main__":
    main()
