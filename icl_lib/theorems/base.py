"""What a theorem is: a statement that makes its own instances, adversarial ones too, and measures its own slack.

A theorem says that one quantity never exceeds another (both dimensionless), at every depth of a path. Its slack is
larger - smaller + allowance, the least over the depths; a negative slack is a violation beyond rounding. The
allowance is relative: ``rounding`` times the size of the numbers that were subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .. import contexts, validate
from ..contexts import FAMILIES, Separable
from ..tasks import Prompts

SOURCES = ("abstract", "ours", "standard")
KINDS = ("sure", "high-probability", "expectation", "asymptotic")


@dataclass(frozen=True, eq=False)
class Instance:
    """An input to a theorem: B separable contexts, relative steps c [B] (the step is c / R^2), a depth, points w.

    w [B, d]: where a one-step theorem is evaluated, or the candidate direction of "margin to direction".
    schedule [T, B]: relative steps, non-increasing in T, for the theorems on decaying steps. flaws [2, d, d]: what a
    learned layer, one for the whole batch, gets wrong, relative to its blocks: A = -I + flaws[0], B = step (I +
    flaws[1]).
    """

    context: Separable
    relative_step: Float[Tensor, " B"]
    steps: int
    w: Float[Tensor, "B d"]
    schedule: Float[Tensor, "T B"]
    flaws: Float[Tensor, "2 d d"]
    family: str = "given"

    @property
    def step(self) -> Float[Tensor, " B"]:
        """The step size, c / R^2."""
        return self.relative_step / self.context.radius**2

    @property
    def prompts(self) -> Prompts:
        """The contexts as prompts whose points are the folded tokens, every label +1."""
        return Prompts(self.context.z, torch.ones_like(self.context.z[..., 0]))


class Sides(NamedTuple):
    """The two sides of smaller <= larger and the size of the numbers subtracted, all [..., B] (first axis: depth)."""

    smaller: Tensor
    larger: Tensor
    size: Tensor


@dataclass(frozen=True)
class Theorem:
    """One statement of the book.

    id: the label in the book; text: the statement, in TeX; source: "abstract" (claimed by a paper's abstract), "ours"
    (proved here) or "standard"; kind: only "sure" may never be violated; largest_step: steps up to this multiple of
    1/R^2 are covered (itself excluded if ``open_end``); rounding: the relative allowance.
    """

    id: str
    title: str
    text: str
    source: str
    kind: str
    sides: Callable[[Instance], Sides]
    largest_step: float = 1.0
    open_end: bool = False
    rounding: float = 1e-12

    def instance(self, generator: torch.Generator, batch: int = 1, family: str | None = None) -> Instance:
        """Return a batch of inputs that meet the assumptions, from one family of contexts or a random one."""
        g = validate.seeded(generator)
        names = list(FAMILIES)
        family = names[int(torch.randint(len(names), (), generator=g))] if family is None else family
        context = contexts.separable(family, batch, g)
        c = torch.rand(batch, generator=g, dtype=torch.float64).clamp_min(1e-3) * self.largest_step
        if not self.open_end:  # the largest step itself is the hardest case: a third of all instances
            c[torch.rand(batch, generator=g) < 1 / 3] = self.largest_step
        steps = (1, 10, 100, 300)[int(torch.randint(4, (), generator=g))]
        draw = torch.rand(steps, batch, generator=g, dtype=torch.float64).clamp_min(1e-3)
        schedule = draw.sort(0, descending=True).values
        return Instance(context, c, steps, _somewhere(context, g), schedule, _flaws(context.z.shape[-1], g), family)

    def given(self, z: Float[Tensor, "B n d"], relative_step: float = 1.0, steps: int = 100) -> Instance:
        """Return the instance for contexts of your own; their max margin is computed. Raises NotSeparable."""
        context = Separable.of(z)
        c = torch.full_like(context.margin, validate.positive("relative_step", relative_step))
        validate.whole("steps", steps, 1)
        flaws = context.z.new_zeros(2, z.shape[-1], z.shape[-1])
        return Instance(context, c, steps, context.direction, c.expand(steps, -1).clamp_max(1.0), flaws)

    def check(self, instance: Instance) -> Float[Tensor, " B"]:
        """Return the slack of every instance in the batch; negative means violated beyond rounding.

        Raises BadInput where the instance does not meet the theorem's assumptions.
        """
        self.require(instance)
        smaller, larger, size = self.sides(instance)
        slack = (larger - smaller + self.rounding * size).nan_to_num(nan=-torch.inf)  # NaN proves nothing
        return slack if slack.ndim == 1 else slack.amin(0)

    def tightness(self, instance: Instance) -> Float[Tensor, " B"]:
        """Return the largest smaller / larger over the depths: 1 where the bound is attained, 0 where both vanish.

        Equalities, whose larger side is 0, have tightness 0: look at their slack.
        """
        self.require(instance)
        smaller, larger, size = self.sides(instance)
        ratio = torch.where(larger > self.rounding * size, smaller / larger, torch.zeros_like(smaller))
        return ratio if ratio.ndim == 1 else ratio.amax(0)

    def require(self, instance: Instance) -> None:
        """Raise BadInput unless the instance meets the assumptions: a certified margin, steps in range, T >= 1."""
        instance.context.certify()
        validate.whole("steps", instance.steps, 1)
        c = instance.relative_step
        if not ((c > 0) & ((c < self.largest_step) if self.open_end else (c <= self.largest_step))).all():
            sign = "<" if self.open_end else "<="
            raise validate.fail("relative_step", f"{float(c.max()):g}", f"0 < step * R^2 {sign} {self.largest_step:g}")
        s = instance.schedule
        if not ((s > 0) & (s <= 1)).all() or not (s.diff(dim=0) <= 0).all():
            raise validate.fail("schedule", "an increasing or out-of-range schedule", "non-increasing steps in (0, 1]")


def _somewhere(context: Separable, g: torch.Generator) -> Tensor:
    """Points w [B, d]: half near the max-margin direction (at distances 1e-8 .. 1), half anywhere, margins to 1e3."""
    u, batch = context.direction, context.margin.shape[0]
    scale = 10 ** (8 * torch.rand(batch, 1, generator=g, dtype=u.dtype) - 8)
    near = u + scale * torch.randn(u.shape, generator=g, dtype=u.dtype)
    far = torch.randn(u.shape, generator=g, dtype=u.dtype)
    w = torch.where(torch.rand(batch, 1, generator=g) < 0.5, near, far)
    reach = 10 ** (5 * torch.rand(batch, 1, generator=g, dtype=u.dtype) - 2)
    return reach * w / w.norm(dim=-1, keepdim=True) / context.radius[:, None]


def _flaws(d: int, g: torch.Generator) -> Tensor:
    """Two matrices of spectral norm 1e-8 to 0.1: noise, a multiple of I, a turn (antisymmetric), or of rank one."""
    noise = torch.randn(2, d, d, generator=g, dtype=torch.float64)
    shapes = (noise, torch.eye(d).to(noise).expand(2, d, d), noise - noise.mT, noise[:, :, :1] * noise[:, :1])
    chosen = shapes[int(torch.randint(len(shapes), (), generator=g))] if d > 1 else noise  # in R^1 nothing turns
    size = 10 ** (-1 - 7 * torch.rand(2, 1, 1, generator=g, dtype=torch.float64).square())
    sign = torch.randint(0, 2, (2, 1, 1), generator=g) * 2 - 1
    return sign * size * chosen / torch.linalg.matrix_norm(chosen, 2)[:, None, None]
