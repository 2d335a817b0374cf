"""One trained layer on laws it never saw, beside the algorithms that could do its job; chapter "Out of distribution".

The table icl_lib/data/out_of_distribution.csv is made by (about ten minutes; rows that it holds are kept)::

    python -m icl_lib.experiments.out_of_distribution --out icl_lib/data/out_of_distribution.csv

A row of the suite is a law in SUITE, a column a method in METHODS: to add one is to add a line to either. All methods
of a row see the same prompts.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .. import shifts, validate
from ..algorithms import max_margin, ngd
from ..attention import SoftmaxAttention
from ..constructions import momentum_layer
from ..datasets import DatasetTask
from ..looped import Looped
from ..losses import margins
from ..metrics import bootstrap_interval, error_rate
from ..one_step import stable_learning_rate
from ..sweep import Sweep, sweep
from ..tables import FAILURE, number
from ..tasks import LinearTask, MixtureTask, Prompts
from ..training import train_one_step

D, N = 10, 40
"""The layer is trained on Gaussian points in R^D, N of them in a prompt."""
DEPTH = 300
"""How often it is looped; the other iterations of the suite get as many steps."""


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@lru_cache
def _rate(d: int) -> float:
    return stable_learning_rate(LinearTask(d), generator=_seeded(0))


def trained_layer(d: int = D, steps: int = 200, seed: int = 0) -> SoftmaxAttention:
    """Return a layer for points in R^d, trained to match single NGD steps of size 1 on Gaussian prompts of N points."""
    return _trained(d, steps, seed)  # one entry of the cache, however the arguments are passed


@lru_cache
def _trained(d: int, steps: int, seed: int) -> SoftmaxAttention:
    task, g = LinearTask(d), _seeded(seed)
    layer = SoftmaxAttention.random(d, generator=g)
    return train_one_step(layer, task, generator=g, lr=_rate(d), steps=steps, n=N, progress=False).layer


Draw = Callable[[int, torch.Generator], Prompts]


def _linear(law: str = "gaussian", *, n: int = N, **options: float) -> Draw:
    task = LinearTask(D, law, **options)
    return lambda batch, g: task.sample(batch, n, queries=500, generator=g, dtype=torch.float64)


def _rows(name: str, classes: tuple[int, int], n: int) -> Draw:
    def draw(batch: int, g: torch.Generator) -> Prompts:  # the task reads its file: not before it is asked for
        return DatasetTask(name, classes).sample(batch, n, queries=20, generator=g, dtype=torch.float64)

    return draw


def _high(batch: int, g: torch.Generator) -> Prompts:
    return LinearTask(65).sample(batch, N, queries=100, generator=g, dtype=torch.float64)


def _mixture(batch: int, g: torch.Generator) -> Prompts:
    return MixtureTask(D).sample(batch, N, queries=500, generator=g, dtype=torch.float64)


def _shifted(draw: Draw, shift: Callable[..., Prompts], **options: object) -> Draw:
    return lambda batch, g: shift(draw(batch, g), **options)


def _randomly(draw: Draw, shift: Callable[..., Prompts], **options: object) -> Draw:
    """The same for a shift that draws something itself."""
    return lambda batch, g: shift(draw(batch, g), generator=g, **options)


SUITE: dict[str, Draw] = {
    "Gaussian, as trained": _linear(),
    "sphere": _linear("sphere"),
    "cube": _linear("cube"),
    "Laplace": _linear("laplace"),
    "Student t, 3 df": _linear("student-t"),
    "anisotropic, 100:1": _linear("anisotropic"),
    "4 clusters": _linear("clusters"),
    "subspace of d/2": _linear("subspace"),
    "one orthant": _linear("orthant"),
    "two Gaussian clouds": _mixture,
    "margin 0.5": _linear(margin=0.5),
    "queries scaled by 100": _shifted(_linear(), shifts.scale_queries, factor=100.0),
    "queries rotated": _randomly(_linear(), shifts.rotate_queries),
    "anisotropic, rotated": _randomly(_linear("anisotropic"), shifts.rotate_queries),
    "orthant, flipped": _randomly(_linear("orthant"), shifts.flip_orthant),
    "n = 10": _linear(n=N // 4),
    "n = 160": _linear(n=4 * N),
    "n = 640": _linear(n=16 * N),
    "n = 2560": _linear(n=64 * N),
    "5 % of labels flipped": _randomly(_linear(), shifts.flip_labels, share=0.05),
    "10 % of labels flipped": _randomly(_linear(), shifts.flip_labels, share=0.1),
    "20 % of labels flipped": _randomly(_linear(), shifts.flip_labels, share=0.2),
    "one lie of length R": _shifted(_linear(), shifts.hijack, strength=1.0),
    "one lie of length 4 R": _shifted(_linear(), shifts.hijack, strength=4.0),
    "iris 1/2, n = 20": _rows("iris", (1, 2), 20),
    "wine 0/1, n = 20": _rows("wine", (0, 1), 20),
    "breast cancer, n = 40": _rows("breast_cancer", (0, 1), 40),
    "digits 3/8, n = 40": _rows("digits", (3, 8), 40),
    "Gaussian in 65 dimensions": _high,  # the dimension of the digits: a control for that row
}
"""Name -> what draws prompts with queries. All laws that were defined are here, whatever came of them."""

QUICK = tuple(law for law in SUITE if not law.startswith(("iris", "wine", "breast", "digits", "Gaussian in")))
"""The laws in R^D: the others ask for a layer of a dimension of their own, to be trained first."""


class Problem(NamedTuple):
    """What all methods of a row share.

    raw, prompts: as drawn, and divided by their radius; ngd [B, d]: explicit descent after DEPTH steps; svm [B, d]: the
    hard-margin separator where there is one, elsewhere a soft-margin SVM; margin [B]: the max margin, or 0.
    """

    raw: Prompts
    prompts: Prompts
    ngd: Float[Tensor, "B d"]
    svm: Float[Tensor, "B d"]
    margin: Float[Tensor, " B"]


@lru_cache(maxsize=1)
def problem(law: str, prompts: int, seed: int) -> Problem:
    """Return the prompts of a row. Every row draws with the same seed, so that like laws get like prompts."""
    raw = SUITE[validate.one_of("law", law, SUITE)](prompts, _seeded(seed))
    unit = raw.normalized()
    return Problem(raw, unit, ngd(unit.z, 1.0, DEPTH)[-1], *_svm(unit))


def _svm(prompts: Prompts) -> tuple[Tensor, Tensor]:
    from sklearn.svm import LinearSVC  # heavy, hence only where used

    soft = LinearSVC(C=1000 / 2, dual=False, fit_intercept=False)
    w, margin = torch.zeros_like(prompts.x[:, 0]), torch.zeros_like(prompts.x[:, 0, 0])
    for k in range(len(w)):
        one = Prompts(prompts.x[k : k + 1], prompts.y[k : k + 1])
        try:
            w[k], margin[k] = (part[0] for part in max_margin(one.z)[:2])
        except validate.NotSeparable:
            w[k] = _fit(soft, one)[0]
    return w, margin


def _fit(estimator: object, prompts: Prompts) -> Float[Tensor, "B d"]:
    """Fit a scikit-learn classifier without intercept to each prompt and its mirror image, points (-x, -y).

    The mirror image doubles the loss, so C is halved; it is there for contexts whose labels are all alike.
    """
    x, y = (torch.cat([v, -v], 1).numpy() for v in (prompts.x, prompts.y))
    return torch.from_numpy(np.stack([estimator.fit(*one).coef_[0].copy() for one in zip(x, y, strict=True)]))


def _logistic(p: Problem) -> Float[Tensor, "B d"]:
    from sklearn.linear_model import LogisticRegression

    return _fit(LogisticRegression(C=1 / 2, fit_intercept=False, solver="liblinear"), p.raw)


def _looped(p: Problem, steps: int) -> Float[Tensor, "B d"]:
    return Looped(trained_layer(p.raw.x.shape[-1], steps), DEPTH).final(p.prompts)


METHODS: dict[str, Callable[[Problem], Float[Tensor, "B d"]]] = {
    "layer": lambda p: _looped(p, steps=200),
    "layer, 10 steps": lambda p: _looped(p, steps=10),
    "NGD": lambda p: p.ngd,
    "momentum": lambda p: Looped(momentum_layer(p.raw.x.shape[-1], 1.0), DEPTH).final(p.prompts),
    "SVM": lambda p: p.svm,
    "logistic": _logistic,
    "averaging": lambda p: p.raw.z.mean(1),
}
"""Name -> classifier w for each prompt. A later chapter's model is one more line.

layer: trained for 200 steps, then looped; after 10 steps its matrices are still off by several percent; SVM: hard
margin, where there is no separator squared hinge loss with C = 1000; logistic: scikit-learn's default, C = 1.
"""


def cell(law: str, method: str, prompts: int, seed: int) -> dict[str, float]:
    """Return one entry of the table: a method's error on new points of a law, and what it did on the way.

    error, low, high: mean over prompts and its 95 percent bootstrap interval; own: share of the prompts' own labels
    that the classifier gets right; separable: share of contexts with a separator; promised: median over contexts of
    R^2 log n / gamma^2, the loops after which NGD has separated them (infinite without a separator); answers: share of
    queries answered otherwise than by explicit NGD; apart: largest distance to its w, both scaled to length 1.
    """
    p = problem(law, prompts, seed)
    w = METHODS[validate.one_of("method", method, METHODS)](p)
    mine, other = (torch.einsum("bqd,bd->bq", p.raw.x_query, v) for v in (w, p.ngd))
    resamples = 500 if prompts >= 100 else 150  # of few prompts, the ends of an interval are rough anyway
    error = bootstrap_interval(error_rate(mine, p.raw.y_query), generator=_seeded(seed), resamples=resamples)
    unit, other_unit = (v / v.norm(dim=-1, keepdim=True) for v in (w, p.ngd))
    loops = math.log(p.raw.x.shape[1]) / p.margin.square()  # R = 1; infinite where the margin is 0
    results = {
        **error._asdict(),
        "own": (margins(w, p.raw.z) > 0).double().mean(),
        "separable": (p.margin > 0).double().mean(),
        "promised": loops.median(),
        "answers": (mine.sign() != other.sign()).double().mean(),
        "apart": (unit - other_unit).norm(dim=-1).max(),
    }
    results = {"error": results.pop("mean"), **results}
    return {name: float(f"{float(value):.4g}") for name, value in results.items()}


def grid(prompts: int, seed: int = 0, laws: Sequence[str] = tuple(SUITE)) -> list[dict]:
    """Return the cells of the suite, every law with every method; contexts above 4 N points get a fifth of the prompts.

    prompts >= 2: how many a law gets, at least 10 for long contexts.
    """
    validate.whole("prompts", prompts, 2)
    few = max(prompts // 5, 10)
    sizes = {law: few if law in ("n = 640", "n = 2560") else prompts for law in laws}
    return [{"law": law, "method": m, "prompts": sizes[law], "seed": seed} for law in laws for m in METHODS]


def shipped() -> list[dict]:
    """Return the rows of the table that comes with the library, as a sweep returns them."""
    text = (files("icl_lib") / "data" / "out_of_distribution.csv").read_text(encoding="utf8")
    words = ("law", "method", FAILURE)
    return [{k: v if k in words else number(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def main(arguments: Sequence[str] | None = None) -> Sweep:
    """Add the missing rows to ``--out`` and return the table."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.experiments.out_of_distribution", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the CSV file; rows that it holds are kept")
    parser.add_argument("--prompts", type=int, default=500, help="prompts of every law (default: 500)")
    options = parser.parse_args(arguments)
    table = sweep(cell, grid(options.prompts), out=options.out)
    print(table)
    return table


if __name__ == "__main__":
    main()
