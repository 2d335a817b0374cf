"""Prompts, and the tasks that make them.

A *prompt* is a small data set: n labelled points (the context) and, if wanted, queries whose labels are asked for.
A *task* is a law over prompts. Everything downstream reads the folded tokens z_i = y_i x_i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from . import laws, validate


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
        B, d = labelled_points(self.x, self.y, self.x_query, self.y_query, validate.labels)
        if self.w_star is not None:
            validate.shaped("w_star", self.w_star, "B d", B=B, d=d)
            validate.same_kind("w_star", self.w_star, "x", self.x)

    @classmethod
    def from_arrays(cls, x: object, y: object, x_query: object = None, y_query: object = None) -> Prompts:
        """Return prompts from NumPy arrays or tensors: x [n, d] (one prompt) or [B, n, d], y [n] or [B, n].

        Labels may be integers (-1 and +1 are exact in every dtype); floating-point labels must have x's dtype.
        Queries have one axis of their own, likewise. Arrays are copied, never shared.
        """
        x, x_query = as_tensor("x", x), None if x_query is None else as_tensor("x_query", x_query)
        validate.floating("x", x)
        y, y_query = (None if v is None else labels_like(name, v, x) for name, v in (("y", y), ("y_query", y_query)))
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


def labelled_points(
    x: object, y: object, x_query: object, y_query: object, judge: Callable[[str, object, Tensor], object]
) -> tuple[int, int]:
    """Return B and d if points, labels and queries fit each other; ``judge(name, labels, x)`` refuses wrong labels."""
    B, n, d = validate.shaped("x", x, "B n d").shape
    judge("y", validate.shaped("y", y, "B n", B=B, n=n), x)
    if x_query is not None:
        validate.same_kind("x_query", validate.shaped("x_query", x_query, "B q d", B=B, d=d), "x", x)
    if y_query is not None:
        if x_query is None:
            raise validate.fail("y_query", "labels without x_query", "both, or neither")
        judge("y_query", validate.shaped("y_query", y_query, "B q", B=B, q=x_query.shape[1]), x)
    return B, d


def as_tensor(name: str, value: object) -> Tensor:
    """Return a copy of an array of numbers as a tensor of the same dtype, in the machine's byte order."""
    if not isinstance(value, (np.ndarray, Tensor)):
        raise validate.fail(name, type(value).__name__, "a NumPy array or a torch.Tensor")
    if isinstance(value, Tensor):
        return value.clone()
    if value.dtype.kind not in "fiub":
        raise validate.fail(name, f"dtype {value.dtype}", "an array of numbers")
    return torch.tensor(np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("=")))


def labels_like(name: str, value: object, x: Tensor) -> Tensor:
    """Return labels as a tensor, integers in x's dtype; floating-point and boolean ones are left as they are."""
    y = as_tensor(name, value)
    return y if y.is_floating_point() or y.dtype == torch.bool else y.to(x.dtype)


def sampling_options(
    batch: int, n: int, queries: int, generator: torch.Generator, dtype: torch.dtype, least_n: int = 1
) -> dict:
    """Return what every draw of a task takes: generator, dtype, device. Raises BadInput where a size does not fit."""
    validate.dtype(dtype)
    for name, size, least in (("batch", batch, 1), ("n", n, least_n), ("queries", queries, 0)):
        validate.whole(name, size, least)
    return {"generator": validate.seeded(generator), "dtype": dtype, "device": generator.device}


def side(w: Float[Tensor, "B d"], x: Float[Tensor, "B n d"]) -> Float[Tensor, "B n"]:
    """Return the labels sign <w, x>; a point on the hyperplane counts as +1, never as 0."""
    return torch.where(torch.einsum("bnd,bd->bn", x, w) >= 0, 1.0, -1.0).to(x)


@dataclass(frozen=True)
class LinearTask:
    """The law of prompts whose labels are the side of a random hyperplane: y = sign <w_star, x>.

    d: dimension; law: a name in LAWS, or a law with its own parameters, laws.StudentT(df=5) say; margin >= 0: every
    point is pushed away from the hyperplane by this much (off a sphere or a subspace too), so that the max margin is
    at least ``margin``; flip in [0, 1]: chance that a *context* label is turned over.
    w_star is uniform on the unit sphere, fresh for each prompt. Query labels are never flipped.
    """

    d: int
    law: str | laws.Law = "gaussian"
    margin: float = 0.0
    flip: float = 0.0

    def __post_init__(self) -> None:
        validate.whole("d", self.d, 1)
        laws.of(self.law).require(self.d)
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
        kind = sampling_options(batch, n, queries, generator, dtype)
        w_star = laws.unit(torch.randn(batch, self.d, **kind))
        size = (batch, n + queries, self.d)
        x = laws.of(self.law)(size, lambda s: torch.randn(*s, **kind), lambda s: torch.rand(*s, **kind))
        y = side(w_star, x)
        x = x + self.margin * y[..., None] * w_star[:, None]
        turned = torch.rand(batch, n, **kind) < self.flip
        context_y = torch.where(turned, -y[:, :n], y[:, :n])
        query = (x[:, n:], y[:, n:]) if queries else (None, None)
        return Prompts(x[:, :n], context_y, w_star, *query)


@dataclass(frozen=True)
class MixtureTask:
    """The law of prompts from two overlapping Gaussian clouds, with label noise (Frei & Vardi 2025).

    For each prompt a mean mu is uniform on the sphere of size ``radius`` (d^0.3 unless given). A clean label c is -1
    or +1 with equal chances, the point is x = c mu + N(0, I), and the label shown is c, turned over with chance
    ``flip``. w_star = mu / ||mu||, the best classifier there is; it errs on a clean label with chance Phi(-radius).
    query_labels: "clean" (c itself) or "noisy" (turned over like the context's, so that nobody's expected accuracy
    exceeds 1 - flip for flip <= 1/2). The same generator gives the same points and contexts in both cases.
    """

    d: int
    radius: float | None = None
    flip: float = 0.0
    query_labels: str = "clean"

    def __post_init__(self) -> None:
        validate.whole("d", self.d, 1)
        if self.radius is None:
            object.__setattr__(self, "radius", self.d**0.3)
        validate.positive("radius", self.radius)
        validate.between("flip", self.flip, 0.0, 1.0)
        validate.one_of("query_labels", self.query_labels, ("clean", "noisy"))

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
        kind = sampling_options(batch, n, queries, generator, dtype)
        w_star = laws.unit(torch.randn(batch, self.d, **kind))
        clean = torch.where(torch.rand(batch, n + queries, **kind) < 0.5, 1.0, -1.0).to(w_star)
        x = self.radius * clean[..., None] * w_star[:, None] + torch.randn(batch, n + queries, self.d, **kind)
        noisy = torch.where(torch.rand(batch, n + queries, **kind) < self.flip, -clean, clean)
        asked = clean if self.query_labels == "clean" else noisy
        query = (x[:, n:], asked[:, n:]) if queries else (None, None)
        return Prompts(x[:, :n], noisy[:, :n], w_star, *query)
