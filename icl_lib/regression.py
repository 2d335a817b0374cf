"""Prompts whose labels are numbers, and random functions of one variable that make them.

Nothing is folded here: y_i x_i means little when y_i is a number. Features go in by ``prompts.map(f)``.
Source: chapter "Linear attention fits curves".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .tasks import labelled_points, sampling_options

Function = Callable[[Float[Tensor, "B m"]], Float[Tensor, "B m"]]
"""B functions of one variable, applied row by row."""


@dataclass(frozen=True, eq=False)
class RegressionPrompts:
    """A batch of B prompts, each with n points in R^d, their real labels, and q >= 0 queries.

    x: [B, n, d]; y: [B, n]; x_query: [B, q, d] or None; y_query: [B, q] or None, what a perfect answer would be.
    Raises BadInput where shapes, dtypes or devices do not fit, or a number is not finite.
    """

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    x_query: Float[Tensor, "B q d"] | None = None
    y_query: Float[Tensor, "B q"] | None = None

    def __post_init__(self) -> None:
        def judge(name: str, labels: Tensor, x: Tensor) -> None:
            validate.same_kind(name, labels, "x", x)

        labelled_points(self.x, self.y, self.x_query, self.y_query, judge)

    def map(self, f: Callable[[Tensor], Tensor]) -> RegressionPrompts:
        """Return the prompts with features f(x) in place of x, queries included; ``f`` maps [B, n, d] to [B, n, d']."""
        query = None if self.x_query is None else f(self.x_query)
        return replace(self, x=f(self.x), x_query=query)


def legendre_matrix(degree: int) -> Float[Tensor, "F F"]:
    """Return L, [degree + 1, degree + 1]: L (1, x, .., x^degree) are orthonormal for x uniform on [-1, 1].

    Row k holds the coefficients of sqrt(2k + 1) times the Legendre polynomial of degree k. In code: ``powers @ L.mT``.
    """
    L = torch.zeros(validate.whole("degree", degree) + 1, degree + 1, dtype=torch.float64)
    for k in range(degree + 1):
        L[k, : k + 1] = torch.from_numpy(np.polynomial.legendre.leg2poly([0.0] * k + [math.sqrt(2 * k + 1)]))
    return L


def _polynomial(size: int, normal: Callable[..., Tensor], uniform: Callable[..., Tensor], B: int) -> Function:
    c = normal(B, size) / size**0.5
    L = legendre_matrix(size - 1).to(c)
    return lambda x: torch.einsum("bmf,bf->bm", x[..., None] ** torch.arange(size, device=x.device) @ L.mT, c)


def _smooth(size: int, normal: Callable[..., Tensor], uniform: Callable[..., Tensor], B: int) -> Function:
    k = torch.arange(1, size + 1)
    a, b = normal(2, B, 1, size) / k.to(normal(1)) ** 2
    most = (a.square() + b.square()).sum(-1).div(2).sqrt().clamp_min(1e-6)

    def function(x: Tensor) -> Tensor:
        turns = math.pi / 2 * k.to(x) * x[..., None]
        return (a * turns.sin() + b * turns.cos()).sum(-1) / most

    return function


def _kinked(size: int, normal: Callable[..., Tensor], uniform: Callable[..., Tensor], B: int) -> Function:
    knots, change, slope = 2 * uniform(B, 1, size) - 1, normal(B, 1, size), normal(B, 1)
    scale = 3 / size**0.5

    def function(x: Tensor) -> Tensor:
        bends = (x[..., None] - knots).abs() - knots.abs()
        return slope * x + scale * (change * bends).sum(-1) / 2

    return function


FUNCTIONS = MappingProxyType({"polynomial": _polynomial, "smooth": _smooth, "kinked": _kinked})
"""Every law of functions by its name."""


@dataclass(frozen=True)
class FunctionTask:
    """The law of prompts that ask for a random function of one variable, its points uniform on [-1, 1].

    name: "polynomial", ``size`` orthonormal Legendre polynomials with coefficients N(0, 1/size); "smooth", a Fourier
    sum of ``size`` frequencies k pi/2, the k-th damped by 1/k^2; "kinked", continuous and linear but for ``size``
    kinks at random places. noise >= 0: standard deviation of the normal noise on *context* labels; query labels are
    without. Raises BadInput for anything else.
    """

    name: str
    size: int = 6
    noise: float = 0.0

    def __post_init__(self) -> None:
        validate.one_of("name", self.name, FUNCTIONS)
        validate.whole("size", self.size, 1)
        validate.between("noise", self.noise, 0.0, 1e6)

    def functions(self, batch: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Function:
        """Return ``batch`` independent functions, as one that maps points [batch, m] to values [batch, m]."""
        kind = sampling_options(batch, 1, 0, generator, dtype)
        return FUNCTIONS[self.name](
            self.size, lambda *s: torch.randn(*s, **kind), lambda *s: torch.rand(*s, **kind), batch
        )

    def sample(
        self,
        batch: int,
        n: int,
        queries: int = 0,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
        functions: Function | None = None,
    ) -> RegressionPrompts:
        """Return ``batch`` independent prompts of n points and ``queries`` queries, on the generator's device.

        functions: those to ask for, such as ``self.functions(batch, ...)``, where several contexts should share them.
        """
        kind = sampling_options(batch, n, queries, generator, dtype)
        f = self.functions(batch, generator=generator, dtype=dtype) if functions is None else functions
        x = 2 * torch.rand(batch, n + queries, **kind) - 1
        y, context = f(x), self.noise * torch.randn(batch, n, **kind)
        query = (x[:, n:, None], y[:, n:]) if queries else (None, None)
        return RegressionPrompts(x[:, :n, None], y[:, :n] + context, *query)
