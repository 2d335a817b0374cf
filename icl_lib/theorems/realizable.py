"""Worlds: laws of a folded token z under which a direction w_star is right, and every classifier's error is known.

The error of w is the chance that <w, z> <= 0: on the boundary counts as wrong. It is exact here, no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .. import validate
from ..laws import unit
from ..metrics import angle

TIE = 1e-9
"""Atoms with |<w, z>| below TIE ||w|| ||z|| count as on the boundary."""
PUSH = 1.0
"""How far "pushed apart" moves each point away from the boundary."""


class World(NamedTuple):
    """draw: (size (B, N, d), w_star, generator) -> z; error: (w, w_star) -> chance that <w, z> <= 0, [B].

    dimensions: the least and the largest d that instances have.
    """

    draw: Callable[[tuple[int, int, int], Tensor, torch.Generator], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    dimensions: tuple[int, int] = (2, 8)


def _normal(size: tuple[int, ...], g: torch.Generator) -> Tensor:
    return torch.randn(*size, generator=g, dtype=torch.float64)


def _fold(x: Tensor, w_star: Tensor) -> Tensor:
    side = torch.einsum("bnd,bd->bn", x, w_star)
    return torch.where(side >= 0, 1.0, -1.0).to(x)[..., None] * x


def _gaussian(size: tuple[int, int, int], w_star: Tensor, g: torch.Generator) -> Tensor:
    return _fold(_normal(size, g), w_star)


def _sphere(size: tuple[int, int, int], w_star: Tensor, g: torch.Generator) -> Tensor:
    return unit(_gaussian(size, w_star, g)) * math.sqrt(size[-1])


def _heavy(size: tuple[int, int, int], w_star: Tensor, g: torch.Generator) -> Tensor:
    return _gaussian(size, w_star, g) / _normal((*size[:-1], 1), g).abs()  # Cauchy: not even a mean


def _wedge(w: Tensor, w_star: Tensor) -> Tensor:
    return angle(w, w_star) / math.pi


def _scales(w: Tensor) -> Tensor:
    return torch.logspace(-1, 0, w.shape[-1], dtype=w.dtype)  # covariance eigenvalues over a factor of 100


def _stretched(size: tuple[int, int, int], w_star: Tensor, g: torch.Generator) -> Tensor:
    return _fold(_normal(size, g) * _scales(w_star), w_star)


_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(200))
_T, _DENSITY = 6 * (1 + _NODES), 6 * _WEIGHTS * torch.exp(-18 * (1 + _NODES) ** 2) * math.sqrt(2 / math.pi)


def _pushed_error(w: Tensor, w_star: Tensor) -> Tensor:
    """z = (t + PUSH) w_star + a normal part across, t half normal: an integral over t, by quadrature."""
    theta = angle(w, w_star)[:, None]
    return (_DENSITY * torch.special.ndtr(-(_T + PUSH) * theta.cos() / theta.sin())).sum(-1)


@lru_cache
def _corners(d: int) -> Tensor:
    return 1.0 - 2 * ((torch.arange(2**d)[:, None] >> torch.arange(d)) & 1).double()


def _axes(d: int) -> Tensor:
    return torch.eye(d, dtype=torch.float64)


def _among(atoms: Callable[[int], Tensor], dimensions: tuple[int, int]) -> World:
    """The uniform law on finitely many points."""

    def draw(size: tuple[int, int, int], w_star: Tensor, g: torch.Generator) -> Tensor:
        points = atoms(size[-1])
        return _fold(points[torch.randint(len(points), size[:2], generator=g)], w_star)

    def error(w: Tensor, w_star: Tensor) -> Tensor:
        points = unit(atoms(w.shape[-1]))
        z = _fold(points.expand(len(w), -1, -1), w_star)
        return (torch.einsum("bnd,bd->bn", z, unit(w)) <= TIE).double().mean(-1)

    return World(draw, error, dimensions)


WORLDS: dict[str, World] = {
    "gaussian": World(_gaussian, _wedge),
    "sphere": World(_sphere, _wedge),
    "heavy tails": World(_heavy, _wedge),
    "stretched": World(_stretched, lambda w, w_star: _wedge(_scales(w) * w, _scales(w) * w_star)),
    "pushed apart": World(lambda size, u, g: _gaussian(size, u, g) + PUSH * u[:, None], _pushed_error),
    "corners": _among(_corners, (5, 8)),
    "axes": _among(_axes, (8, 64)),
}
"""By name. "corners": uniform on {-1, 1}^d; "axes": on the d coordinate vectors, any labels of which are possible."""


@dataclass(frozen=True, eq=False)
class Sample:
    """B independent contexts of N folded tokens from one world, each with a direction w_star of its own.

    probe [B, d]: a random vector; statements that look for a bad classifier look in this direction.
    """

    world: str
    z: Float[Tensor, "B N d"]
    w_star: Float[Tensor, "B d"]
    probe: Float[Tensor, "B d"]

    @classmethod
    def draw(cls, world: str, batch: int, points: int, d: int, generator: torch.Generator) -> Sample:
        """Return fresh contexts of ``points`` tokens in d dimensions; w_star is uniform on the sphere."""
        validate.one_of("world", world, WORLDS)
        w_star = unit(_normal((batch, d), validate.seeded(generator)))
        z = WORLDS[world].draw((batch, points, d), w_star, generator)
        return cls(world, z, w_star, _normal((batch, d), generator))

    def error(self, w: Float[Tensor, "B d"]) -> Float[Tensor, " B"]:
        """Return the exact error of classifiers w on a fresh token."""
        return WORLDS[self.world].error(w, self.w_star)

    def require(self, least_d: int) -> None:
        """Raise BadInput unless z holds two tokens or more in ``least_d`` dimensions or more, all right for w_star."""
        validate.one_of("world", self.world, WORLDS)
        _, N, d = validate.shaped("z", self.z, "B N d").shape
        validate.shaped("w_star", self.w_star, "B d", B=len(self.z), d=d)
        if N < 2 or d < least_d:
            raise validate.fail("z", f"{N} points in {d} dimensions", f"2 points or more, {least_d} dimensions or more")
        wrong = torch.einsum("bnd,bd->bn", self.z, self.w_star) <= 0
        if wrong.any():
            raise validate.fail("z", f"{int(wrong.sum())} tokens on the wrong side of w_star", "realizable contexts")
