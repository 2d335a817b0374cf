"""Real data as prompts: the small data sets that scikit-learn ships."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from . import validate
from .classes import ClassPrompts
from .tasks import Prompts, sampling_options

NAMES = ("breast_cancer", "digits", "iris", "wine")


@lru_cache
def _rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets  # heavy, hence only where used

    return getattr(datasets, f"load_{name}")(return_X_y=True)


def _standardised(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Each feature centred and scaled by mean and deviation of other rows, ``reference``."""
    spread = reference.std(0)
    spread[spread == 0] = 1.0  # a pixel that is always blank stays 0
    return (x - reference.mean(0)) / spread


@dataclass(frozen=True)
class DatasetTask:
    """The law of prompts drawn from two classes of a real data set that scikit-learn ships.

    name: "breast_cancer", "digits", "iris" or "wine"; classes: the two class numbers. A third of the rows, chosen
    once, never enters a prompt: it only fixes each feature's mean and scale, as pre-processing on other data would.
    A constant feature 1 is appended (the intercept), so x has d = features + 1 entries. Which class is called +1 is a
    coin flip for each prompt: nothing but the prompt's own labels says so.
    """

    name: str
    classes: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        validate.one_of("name", self.name, NAMES)
        known = {int(c) for c in np.unique(_rows(self.name)[1])}
        pair = self.classes if isinstance(self.classes, (tuple, list)) else ()
        if len(pair) != 2 or pair[0] == pair[1] or not all(c in known for c in pair):
            raise validate.fail("classes", self.classes, f"two different classes out of {sorted(known)}")

    @cached_property
    def _split(self) -> tuple[Tensor, Tensor]:
        """Standardised features with intercept [rows, d] in float64, and labels -1 / +1, of rows free for prompts."""
        x, c = _rows(self.name)
        keep = np.isin(c, self.classes)
        x, y = x[keep], np.where(c[keep] == self.classes[0], 1.0, -1.0)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).numpy()
        scale, free = order[: len(x) // 3], order[len(x) // 3 :]
        features = _standardised(x[free], x[scale])
        features = np.concatenate([features, np.ones((len(features), 1))], 1)
        return torch.from_numpy(features), torch.from_numpy(y[free])

    @property
    def d(self) -> int:
        """Number of features, the intercept included."""
        return self._split[0].shape[1]

    def sample(
        self,
        batch: int,
        n: int,
        queries: int = 0,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Prompts:
        """Return ``batch`` prompts: n >= 2 rows, the classes as equal as can be, and other rows as queries."""
        sampling_options(batch, n, queries, generator, dtype, least_n=2)
        features, y = self._split
        classes = [(y == sign).nonzero()[:, 0] for sign in (1, -1)]
        most = 2 * min(map(len, classes))
        if n > most or n + queries > len(y):
            raise validate.fail("n", f"{n} with queries={queries}", f"n <= {most} and n + queries <= {len(y)}")
        picks = []
        for _ in range(batch):
            a, b = (rows[torch.randperm(len(rows), generator=generator)] for rows in classes)
            half = (n + 1) // 2
            rest = torch.cat([a[half:], b[n - half :]])
            rest = rest[torch.randperm(len(rest), generator=generator)][:queries]
            context = torch.cat([a[:half], b[: n - half]])
            picks.append(torch.cat([context[torch.randperm(n, generator=generator)], rest]))
        rows = torch.stack(picks)
        sign = torch.randint(0, 2, (batch, 1), generator=generator) * 2 - 1
        x, y = features[rows].to(dtype), (y[rows] * sign).to(dtype)
        query = (x[:, n:], y[:, n:]) if queries else (None, None)
        return Prompts(x[:, :n], y[:, :n], None, *query)


@dataclass(frozen=True)
class ClassesTask:
    """The law of k-shot prompts over all K classes of a real data set that scikit-learn ships.

    name: "breast_cancer", "digits", "iris" or "wine". A third of the rows, chosen once, never enters a prompt: without
    their labels, they fix each feature's mean and scale and, if ``components`` is a number, the principal components
    that replace the features, each of variance 1 there. A constant feature 1 comes last (the intercept).
    Source: chapter "Many classes, real data".
    """

    name: str
    components: int | None = None

    def __post_init__(self) -> None:
        validate.one_of("name", self.name, NAMES)
        size = _rows(self.name)[0].shape[1]
        if self.components is not None and validate.whole("components", self.components, 1) > size:
            raise validate.fail("components", self.components, f"at most {size}, the number of features")

    @cached_property
    def _free(self) -> tuple[Tensor, Tensor]:
        """Features with intercept [rows, d] in float64, and classes, of the rows free for prompts."""
        x, y = _rows(self.name)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).numpy()
        aside, free = order[: len(x) // 3], order[len(x) // 3 :]
        features = _standardised(x[free], x[aside])
        if self.components is not None:
            basis = np.linalg.svd(_standardised(x[aside], x[aside]), full_matrices=False)[2][: self.components].T
            features = _standardised(features @ basis, _standardised(x[aside], x[aside]) @ basis)
        features = np.concatenate([features, np.ones((len(features), 1))], 1)
        return torch.from_numpy(features), torch.from_numpy(y[free]).long()

    @property
    def d(self) -> int:
        """Number of features, the intercept included."""
        return self._free[0].shape[1]

    @property
    def classes(self) -> int:
        """Number of classes, K."""
        return int(self._free[1].max()) + 1

    def sample(
        self,
        batch: int,
        shots: int | tuple[int, ...],
        queries: int = 0,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> ClassPrompts:
        """Return ``batch`` prompts: ``shots`` >= 1 rows of each class (or one number a class), other rows as queries.

        Queries are drawn evenly from all free rows that are not in the context, so classes come in their own shares.
        """
        counts = shots if isinstance(shots, (tuple, list)) else (shots,) * self.classes
        if len(counts) != self.classes:
            raise validate.fail("shots", shots, f"a whole number, or one for each of {self.classes} classes")
        n = sum(validate.whole("shots", count, 1) for count in counts)
        sampling_options(batch, n, queries, generator, dtype)
        features, y = self._free
        members = [(y == c).nonzero()[:, 0] for c in range(self.classes)]
        most = list(map(len, members))
        if any(count > limit for count, limit in zip(counts, most, strict=True)) or n + queries > len(y):
            raise validate.fail(
                "shots", f"{shots} with queries={queries}", f"rows of each class <= {most}, {len(y)} in all"
            )
        picks = []
        for _ in range(batch):
            mixed = [rows[torch.randperm(len(rows), generator=generator)] for rows in members]
            context = torch.cat([rows[:count] for rows, count in zip(mixed, counts, strict=True)])
            rest = torch.cat([rows[count:] for rows, count in zip(mixed, counts, strict=True)])
            rest = rest[torch.randperm(len(rest), generator=generator)][:queries]
            picks.append(torch.cat([context[torch.randperm(n, generator=generator)], rest]))
        rows = torch.stack(picks)
        x, y = features[rows].to(dtype), y[rows]
        query = (x[:, n:], y[:, n:]) if queries else (None, None)
        return ClassPrompts(x[:, :n], y[:, :n], self.classes, *query)
