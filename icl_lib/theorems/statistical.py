"""Statements about chance: one that may fail with probability delta, or one about a mean.

A single instance refutes neither. What can be reported is how often the first fails among many independent instances,
to be held against delta, and for the second the two means, with their intervals: room ``trials``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .. import validate
from .base import Sides
from .realizable import WORLDS, Sample


@dataclass(frozen=True)
class Statistical:
    """One statement of the book about random contexts; it has the public face of a Theorem.

    kind: "high-probability" (smaller <= larger, with probability 1 - delta at least) or "expectation" (the mean of the
    smaller side is at most that of the larger; delta is None). sides: both, of every sample; families: the worlds that
    samples are drawn from; points: the least and the largest number of them; least_d: the least dimension.
    rounding: the absolute allowance, both sides being shares.
    """

    id: str
    title: str
    text: str
    source: str
    kind: str
    sides: Callable[[Sample], Sides]
    families: tuple[str, ...]
    points: tuple[int, int]
    least_d: int = 2
    delta: float | None = None
    rounding: float = 1e-9

    def __post_init__(self) -> None:
        validate.one_of("kind", self.kind, ("high-probability", "expectation"))
        if (self.delta is None) != (self.kind == "expectation"):
            raise validate.fail("delta", repr(self.delta), "a number for a high probability, None for an expectation")

    def instance(self, generator: torch.Generator, batch: int = 1, family: str | None = None) -> Sample:
        """Return independent random contexts from one world or, without a name, from a random one."""
        g = validate.seeded(generator)
        validate.whole("batch", batch, 1)
        index = int(torch.randint(len(self.families), (), generator=g))
        family = validate.one_of("family", self.families[index] if family is None else family, self.families)
        (low, high), world = self.points, WORLDS[family]
        points = round(low * math.exp(float(torch.rand((), generator=g)) * math.log(high / low)))
        d = int(torch.randint(max(self.least_d, world.dimensions[0]), world.dimensions[1] + 1, (), generator=g))
        return Sample.draw(family, batch, points, d, g)

    def check(self, instance: Sample) -> Float[Tensor, " B"]:
        """Return larger - smaller, allowance for rounding included, of every sample.

        A negative slack refutes nothing: it may happen with probability delta ("high-probability"), or be made up for
        by other samples ("expectation"). Raises BadInput where the sample's tokens are not on w_star's side.
        """
        smaller, larger, size = self._sides(instance)
        return (larger - smaller + self.rounding * size).nan_to_num(nan=-torch.inf)

    def tightness(self, instance: Sample) -> Float[Tensor, " B"]:
        """Return smaller / larger of every sample; may exceed 1, see ``check``."""
        smaller, larger, _ = self._sides(instance)
        return smaller / larger

    def _sides(self, instance: Sample) -> Sides:
        instance.require(self.least_d)
        return self.sides(instance)
