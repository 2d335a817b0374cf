"""Prompts, and the tasks that make them.

A *prompt* is a small data set: n labelled points (the context) and, if wanted, queries whose labels are asked for.
A *task* is a law over prompts. Everything downstream reads the folded tokens z_i = y_i x_i.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from . import validate


@dataclass(frozen=True, eq=False)
class Prompts:
    """A batch of B prompts, each with n labelled points in R^d and q >= 0 queries.

    x: [B, n, d]; y: [B, n], entries -1 or +1; w_star: [B, d] or None, the direction that made the labels;
    x_query: [B, q, d] or None; y_query: [B, q] or None, the labels a perfect classifier would give.
    Raises BadInput where shapes, dtypes, devices or labels do not fit, or a number is not finite.
    """

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    w_star: Float[Tensor, "B d"] | None = None
    x_query: Float[Tensor, "B q d"] | None = None
    y_query: Float[Tensor, "B q"] | None = None

    def __post_init__(self) -> None:
        B, n, d = validate.shaped("x", self.x, "B n d").shape
        validate.shaped("y", self.y, "B n", B=B, n=n)
        validate.labels("y", self.y, self.x)
        if self.w_star is not None:
            validate.shaped("w_star", self.w_star, "B d", B=B, d=d)
            validate.same_kind("w_star", self.w_star, "x", self.x)
        if self.x_query is not None:
            validate.shaped("x_query", self.x_query, "B q d", B=B, d=d)
            validate.same_kind("x_query", self.x_query, "x", self.x)
        if self.y_query is not None:
            if self.x_query is None:
                raise validate.fail("y_query", "labels without x_query", "both, or neither")
            validate.shaped("y_query", self.y_query, "B q", B=B, q=self.x_query.shape[1])
            validate.labels("y_query", self.y_query, self.x)

    @classmethod
    def from_arrays(cls, x: object, y: object, x_query: object = None, y_query: object = None) -> Prompts:
        """Return prompts from NumPy arrays or tensors: x [n, d] (one prompt) or [B, n, d], y [n] or [B, n].

        Labels may be integers (-1 and +1 are exact in every dtype); floating-point labels must have x's dtype.
        Queries have one axis of their own, likewise. Arrays are copied, never shared.
        """
        x, x_query = _tensor("x", x), None if x_query is None else _tensor("x_query", x_query)
        validate.floating("x", x)
        y, y_query = (None if v is None else _labels_like(name, v, x) for name, v in (("y", y), ("y_query", y_query)))
        single = x.ndim == 2
        batched = [v if v is None or not single else v[None] for v in (x, y, x_query, y_query)]
        return cls(x=batched[0], y=batched[1], x_query=batched[2], y_query=batched[3])

    @cached_property
    def z(self) -> Float[Tensor, "B n d"]:
        """Folded tokens z_i = y_i x_i; a classifier w is right on point i exactly if <w, z_i> > 0."""
        return self.y[..., None] * self.x

    @cached_property
    def zt(self) -> Float[Tensor, "B d n"]:
        """The folded tokens transposed and contiguous; ``w @ zt`` then runs several times faster than ``z @ w``."""
        return self.z.mT.contiguous()

    @property
    def radius(self) -> Float[Tensor, " B"]:
        """R = max_i ||z_i||, per prompt."""
        return self.x.norm(dim=-1).amax(-1)

    def normalized(self) -> Prompts:
        """Return the prompts with points and queries divided by each prompt's own R, so that R = 1.

        Signs, hence labels and decisions, do not change. Raises BadInput where a context holds only zeros.
        """
        radius = validate.finite("norms of x", self.radius)
        if (radius == 0).any():
            raise validate.fail("x", f"only zeros in prompt {int((radius == 0).nonzero()[0])}", "a point with norm > 0")
        scale = radius[:, None, None]
        query = None if self.x_query is None else self.x_query / scale
        return replace(self, x=self.x / scale, x_query=query)

    def map(self, f: Callable[[Tensor], Tensor]) -> Prompts:
        """Return the prompts with features f(x) in place of x, queries included, refolded.

        ``f`` maps [..., d] to [..., d']. The generating direction w_star means nothing among features: it is dropped.
        """
        query = None if self.x_query is None else f(self.x_query)
        return replace(self, x=f(self.x), x_query=query, w_star=None)

    def raw_tokens(self, query: int = 0) -> Float[Tensor, "B n+1 d+1"]:
        """Return the tokens a model sees before any processing: rows [x_i, y_i], and last [x_query, +1].

        The +1 is a place-holder that asks "is the label +1?"; it carries no information about the answer.
        """
        if self.x_query is None:
            raise validate.fail("x_query", "None", "prompts sampled with queries >= 1")
        if validate.whole("query", query) >= self.x_query.shape[1]:
            raise validate.fail("query", query, f"the index of one of {self.x_query.shape[1]} queries")
        asked = torch.cat([self.x_query[:, query], torch.ones_like(self.x[:, :1, 0])], -1)
        return torch.cat([torch.cat([self.x, self.y[..., None]], -1), asked[:, None]], 1)


def _tensor(name: str, value: object) -> Tensor:
    if not isinstance(value, (np.ndarray, Tensor)):
        raise validate.fail(name, type(value).__name__, "a NumPy array or a torch.Tensor")
    if isinstance(value, Tensor):
        return value.clone()
    if value.dtype.kind not in "fiub":
        raise validate.fail(name, f"dtype {value.dtype}", "an array of numbers")
    return torch.tensor(np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("=")))


def _labels_like(name: str, value: object, x: Tensor) -> Tensor:
    y = _tensor(name, value)
    return y if y.is_floating_point() or y.dtype == torch.bool else y.to(x.dtype)


def _unit(g: Tensor) -> Tensor:
    g = g.masked_fill((g == 0).all(-1, keepdim=True), 1.0)  # torch.randn can be exactly 0, which has no direction
    return g / g.norm(dim=-1, keepdim=True)


def _sphere(size: tuple[int, ...], normal: Callable, uniform: Callable) -> Tensor:
    return _unit(normal(size)) * math.sqrt(size[-1])


def _laplace(size: tuple[int, ...], normal: Callable, uniform: Callable) -> Tensor:
    u = uniform(size)
    u = u.clamp_min(torch.finfo(u.dtype).eps / 4) - 0.5  # torch.rand can be exactly 0, whose quantile is -infinity
    return -u.sign() * torch.log1p(-2 * u.abs()) / math.sqrt(2)


LAWS: dict[str, Callable[..., Tensor]] = {
    "gaussian": lambda size, normal, uniform: normal(size),
    "sphere": _sphere,
    "cube": lambda size, normal, uniform: (2 * uniform(size) - 1) * math.sqrt(3),
    "laplace": _laplace,
}
"""Laws of a point x in R^d, each with mean 0 and covariance I."""


@dataclass(frozen=True)
class LinearTask:
    """The law of prompts whose labels are the side of a random hyperplane: y = sign <w_star, x>.

    d: dimension; law: a name in LAWS; margin >= 0: every point is pushed away from the hyperplane by this much, so
    that the max margin is at least ``margin``; flip in [0, 1]: chance that a *context* label is turned over.
    w_star is uniform on the unit sphere, fresh for each prompt. Query labels are never flipped.
    """

    d: int
    law: str = "gaussian"
    margin: float = 0.0
    flip: float = 0.0

    def __post_init__(self) -> None:
        validate.whole("d", self.d, 1)
        validate.one_of("law", self.law, LAWS)
        validate.between("margin", self.margin, 0.0, 1e12)
        validate.between("flip", self.flip, 0.0, 1.0)

    def sample(
        self,
        batch: int,
        n: int,
        queries: int = 0,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Prompts:
        """Return ``batch`` independent prompts of n points and ``queries`` queries, on the generator's device."""
        validate.dtype(dtype)
        for name, size, least in (("batch", batch, 1), ("n", n, 1), ("queries", queries, 0)):
            validate.whole(name, size, least)
        kind = {"generator": validate.seeded(generator), "dtype": dtype, "device": generator.device}
        w_star = _unit(torch.randn(batch, self.d, **kind))
        size = (batch, n + queries, self.d)
        x = LAWS[self.law](size, lambda s: torch.randn(*s, **kind), lambda s: torch.rand(*s, **kind))
        side = torch.einsum("bnd,bd->bn", x, w_star)
        y = torch.where(side >= 0, 1.0, -1.0).to(dtype)  # a point on the hyperplane counts as +1, never as 0
        x = x + self.margin * y[..., None] * w_star[:, None]
        turned = torch.rand(batch, n, **kind) < self.flip
        context_y = torch.where(turned, -y[:, :n], y[:, :n])
        query = (x[:, n:], y[:, n:]) if queries else (None, None)
        return Prompts(x[:, :n], context_y, w_star, *query)


@lru_cache
def _rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets  # heavy, hence only where used

    return getattr(datasets, f"load_{name}")(return_X_y=True)


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
        validate.one_of("name", self.name, ("breast_cancer", "digits", "iris", "wine"))
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
        spread = x[scale].std(0)
        spread[spread == 0] = 1.0  # a pixel that is always blank stays 0
        features = (x[free] - x[scale].mean(0)) / spread
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
        validate.dtype(dtype)
        for name, size, least in (("batch", batch, 1), ("n", n, 2), ("queries", queries, 0)):
            validate.whole(name, size, least)
        validate.seeded(generator)
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
