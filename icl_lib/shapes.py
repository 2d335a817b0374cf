"""Tasks in the plane that no line solves: circle, XOR, spirals, moons. Chapter "Attention as featurizer"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .tasks import Prompts, sampling_options

Uniform = Callable[..., Tensor]
"""uniform(*size): independent numbers in [0, 1)."""


def _circle(uniform: Uniform, B: int, N: int) -> tuple[Tensor, Tensor]:
    """Points of the square; inside a circle or not. Radius 0.7 to 0.8, centre up to 0.15 away from 0."""
    x, centre, radius = 2 * uniform(B, N, 2) - 1, 0.3 * uniform(B, 1, 2) - 0.15, 0.7 + 0.1 * uniform(B, 1)
    return x, (x - centre).norm(dim=-1) < radius


def _xor(uniform: Uniform, B: int, N: int) -> tuple[Tensor, Tensor]:
    """Points of the square; which pair of opposite quadrants of a cross, turned by any angle."""
    x = 2 * uniform(B, N, 2) - 1
    turned = x @ _turns(uniform, B)
    return x, turned[..., 0] * turned[..., 1] > 0


def _spirals(uniform: Uniform, B: int, N: int) -> tuple[Tensor, Tensor]:
    """Two arms of one and a half turns, one the other turned by 180 degrees; points even along the radius."""
    radius, second = 0.15 + 0.85 * uniform(B, N), uniform(B, N) < 0.5
    angle = 3.5 * math.pi * radius + math.pi * second.to(radius)
    arms = radius[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    return arms @ _turns(uniform, B), second


def _moons(uniform: Uniform, B: int, N: int) -> tuple[Tensor, Tensor]:
    """Two half circles, each reaching into the other, turned by any angle."""
    angle, second = math.pi * uniform(B, N), uniform(B, N) < 0.5
    side = torch.where(second, -1.0, 1.0).to(angle)
    arcs = torch.stack([side * (angle.cos() - 0.5), side * (angle.sin() - 0.25)], -1)  # half a turn swaps them
    return (arcs / 1.6) @ _turns(uniform, B), second


def _turns(uniform: Uniform, B: int) -> Float[Tensor, "B 2 2"]:
    """Rotations by independent angles, any angle alike."""
    angle = 2 * math.pi * uniform(B)
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(B, 2, 2)


SHAPES = MappingProxyType({"circle": _circle, "xor": _xor, "spirals": _spirals, "moons": _moons})
"""Every shape by its name: a law of points in [-1, 1]^2 and of the class that each belongs to."""


@dataclass(frozen=True)
class ShapeTask:
    """The law of prompts in the square [-1, 1]^2 whose two classes are the sides of a curve.

    name: one of SHAPES; noise in [0, 0.5]: both coordinates of every point, queries too, are moved by up to this much
    either way *after* the point has got its label; the shape is shrunk by 1 - noise, so that points stay in the
    square. Each prompt has its own shape: turned by a random angle ("circle": centre and radius are random), and which
    class is called +1 is a coin flip. Raises BadInput for anything else.
    """

    name: str
    noise: float = 0.0

    def __post_init__(self) -> None:
        validate.one_of("name", self.name, SHAPES)
        validate.between("noise", self.noise, 0.0, 0.5)

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

        def uniform(*size: int) -> Tensor:
            return torch.rand(*size, **kind)

        x, inside = SHAPES[self.name](uniform, batch, n + queries)
        moved = (1 - self.noise) * x + self.noise * (2 * uniform(batch, n + queries, 2) - 1)
        x = moved.clamp(-1.0, 1.0)  # rounding only
        swap = uniform(batch, 1) < 0.5
        y = torch.where(inside ^ swap, 1.0, -1.0).to(x)
        query = (x[:, n:], y[:, n:]) if queries else (None, None)
        return Prompts(x[:, :n], y[:, :n], None, *query)
