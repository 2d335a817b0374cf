"""Laws of a point x in R^d: where the inputs of a prompt come from.

Every law has mean 0 and covariance I, so that ``E ||x||^2 = d``, if one averages over prompts. Within a prompt this
need not hold: :class:`Anisotropic`, :class:`Clusters`, :class:`Subspace` and :class:`Orthant` first draw something for
the whole prompt, which its context and its queries share.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate

Draw = Callable[[tuple[int, ...]], Tensor]
"""Size -> independent numbers: standard normal ones, or uniform ones in [0, 1)."""


class Law(ABC):
    """What all laws share: they are called with a size (B, N, d) and two sources of numbers, and return the points.

    ``rotation_invariant``: a rotation of x leaves the law within a prompt as it is. Then a classifier's error is its
    angle to w_star, over pi (:func:`icl_lib.exact_error`).
    """

    rotation_invariant: ClassVar[bool] = False

    def require(self, d: int) -> None:  # noqa: B027 - most laws exist in every dimension
        """Raise BadInput where there is no such law in d dimensions."""

    @abstractmethod
    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Float[Tensor, "B N d"]:
        """Return points x of that size."""


def unit(g: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Return g divided by its norm; a zero vector becomes (1, ..., 1) first."""
    g = g.masked_fill((g == 0).all(-1, keepdim=True), 1.0)  # torch.randn can be exactly 0, which has no direction
    return g / g.norm(dim=-1, keepdim=True)


def frames(batch: int, d: int, rank: int, normal: Draw) -> Float[Tensor, "B d rank"]:
    """Return ``rank`` <= d random orthonormal columns per prompt, uniform (Haar): a random rotation if rank = d."""
    q, r = torch.linalg.qr(normal((batch, d, rank)))
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) >= 0, 1.0, -1.0).to(q)  # QR alone prefers some signs
    return q * signs[:, None]


@dataclass(frozen=True)
class Gaussian(Law):
    """The standard normal law, N(0, I)."""

    rotation_invariant: ClassVar[bool] = True

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        return normal(size)


@dataclass(frozen=True)
class Sphere(Law):
    """Uniform on the sphere of radius sqrt(d)."""

    rotation_invariant: ClassVar[bool] = True

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        return unit(normal(size)) * math.sqrt(size[-1])


@dataclass(frozen=True)
class Cube(Law):
    """Uniform in the cube [-sqrt(3), sqrt(3)]^d."""

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        return (2 * uniform(size) - 1) * math.sqrt(3)


@dataclass(frozen=True)
class Laplace(Law):
    """Independent Laplace coordinates: tails ``exp(-sqrt(2) |x|)``, a corner at 0."""

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        u = uniform(size)
        u = u.clamp_min(torch.finfo(u.dtype).eps / 4) - 0.5  # torch.rand can be exactly 0, whose quantile is -infinity
        return -u.sign() * torch.log1p(-2 * u.abs()) / math.sqrt(2)


@dataclass(frozen=True)
class StudentT(Law):
    """The multivariate Student law with ``df`` >= 3 degrees of freedom: heavy tails, fourth moments only for df > 4.

    A Gaussian vector divided by one random length, the root of a chi-square variable, for all its coordinates.
    """

    df: int = 3
    rotation_invariant: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate.whole("df", self.df, 3)

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        g, chi_square = normal(size), normal((*size[:-1], self.df)).square().sum(-1, keepdim=True)
        return g * math.sqrt(self.df - 2) / chi_square.clamp_min(torch.finfo(g.dtype).tiny).sqrt()


@dataclass(frozen=True)
class Anisotropic(Law):
    """Gaussian with covariance eigenvalues log-spaced over a factor ``condition`` >= 1, and trace d.

    The axes are turned at random, afresh for each prompt.
    """

    condition: float = 100.0

    def __post_init__(self) -> None:
        validate.between("condition", self.condition, 1.0, 1e12)

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        B, _, d = size
        axes, g = frames(B, d, d, normal), normal(size)
        eigenvalues = float(self.condition) ** -torch.linspace(0, 1, d).to(g)
        return (g * (d * eigenvalues / eigenvalues.sum()).sqrt()) @ axes.mT


@dataclass(frozen=True)
class Clusters(Law):
    """``count`` round clouds of standard deviation ``spread`` in [0, 1], equally likely, about centres of the prompt's.

    The centres are N(0, (1 - spread^2) I), so that spread = 1 is the Gaussian law and 0 a few repeated points.
    """

    count: int = 4
    spread: float = 0.3

    def __post_init__(self) -> None:
        validate.whole("count", self.count, 1)
        validate.between("spread", self.spread, 0.0, 1.0)

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        B, N, d = size
        centres = math.sqrt(1 - self.spread**2) * normal((B, self.count, d))
        own = (uniform((B, N)) * self.count).long().clamp_max(self.count - 1)  # the product may round up to count
        return centres.gather(1, own[..., None].expand(B, N, d)) + self.spread * normal(size)


@dataclass(frozen=True)
class Subspace(Law):
    """Gaussian in a random subspace of ``rank`` dimensions (d // 2 unless given, at least 1), one for each prompt.

    Coordinates within it have variance d / rank, so that ``E ||x||^2 = d``.
    """

    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None:
            validate.whole("rank", self.rank, 1)

    def require(self, d: int) -> None:
        """Raise BadInput where the subspace would be larger than R^d."""
        if self.rank is not None and self.rank > d:
            raise validate.fail("rank", self.rank, f"at most d = {d}")

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        B, N, d = size
        self.require(d)
        rank = self.rank or max(d // 2, 1)
        return math.sqrt(d / rank) * normal((B, N, rank)) @ frames(B, d, rank, normal).mT


@dataclass(frozen=True)
class Orthant(Law):
    """Gaussian, folded into one random orthant of each prompt: x = ``s * |g|``, with signs s that all its points share.

    :func:`icl_lib.shifts.flip_orthant` then takes the queries out of the context's orthant, a shift of Garg et al.
    2022.
    """

    def __call__(self, size: tuple[int, int, int], normal: Draw, uniform: Draw) -> Tensor:
        signs = torch.where(uniform((size[0], 1, size[2])) < 0.5, 1.0, -1.0)
        g = normal(size)
        return signs.to(g) * g.abs()


LAWS: dict[str, Law] = {
    "gaussian": Gaussian(),
    "sphere": Sphere(),
    "cube": Cube(),
    "laplace": Laplace(),
    "student-t": StudentT(),
    "anisotropic": Anisotropic(),
    "clusters": Clusters(),
    "subspace": Subspace(),
    "orthant": Orthant(),
}
"""Name -> law with its default parameters. Each has mean 0 and covariance I over prompts."""


def of(law: str | Law) -> Law:
    """Return the law of that name, or the law itself. Raises BadInput for anything else."""
    return law if isinstance(law, Law) else LAWS[validate.one_of("law", law, LAWS)]
