"""Separable contexts, random and adversarial, whose max margin is known: the inputs that theorems are attacked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .algorithms import max_margin
from .tasks import LinearTask


@dataclass(frozen=True, eq=False)
class Separable:
    """Contexts z [B, n, d] with their max margin [B], its direction [B, d] and a dual certificate [B, n].

    The certificate lies in the simplex and ||sum_i dual_i z_i|| = margin, which proves that no direction does better.
    """

    z: Float[Tensor, "B n d"]
    margin: Float[Tensor, " B"]
    direction: Float[Tensor, "B d"]
    dual: Float[Tensor, "B n"]

    @classmethod
    def of(cls, z: Float[Tensor, "B n d"]) -> Separable:
        """Return z with its margin computed by quadratic programming. Raises NotSeparable where there is none."""
        direction, margin, dual = max_margin(z)
        return cls(z, margin, direction, dual)

    @property
    def radius(self) -> Float[Tensor, " B"]:
        """R = max_i ||z_i||."""
        return self.z.norm(dim=-1).amax(-1)

    def scaled(self, factor: float) -> Separable:
        """Return the contexts with every token multiplied by ``factor`` > 0."""
        validate.positive("factor", factor)
        return replace(self, z=self.z * factor, margin=self.margin * factor)

    def certify(self, tol: float = 1e-6) -> None:
        """Raise BadInput unless direction and dual prove that ``margin`` is the max margin, to a relative ``tol``."""
        reached = torch.einsum("bnd,bd->bn", self.z, self.direction).amin(-1)
        bound = torch.einsum("bn,bnd->bd", self.dual, self.z).norm(dim=-1)
        units = (self.direction.norm(dim=-1) - 1).abs().amax() + (self.dual.sum(-1) - 1).abs().amax()
        # inner products of tokens of norm R carry an absolute rounding error of about 1e-15 R
        slack = tol * self.margin + 1e-14 * self.radius
        proven = (self.margin > 0) & (reached >= self.margin - slack) & (bound <= self.margin + slack)
        if not proven.all() or units > 1e-9 or (self.dual < -1e-12).any():
            bad = int((~proven).nonzero()[0]) if not proven.all() else 0
            given, low, high = (float(v[bad]) for v in (self.margin, reached, bound))
            seen = f"{given:.6g}, proven between {low:.6g} and {high:.6g}"
            raise validate.fail("margin", seen, "the max margin > 0, with its direction and dual certificate")


Draw = Callable[[int, torch.Generator], Separable]


def _integer(low: int, high: int, g: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _normal(g: torch.Generator, *size: int) -> Tensor:
    return torch.randn(*size, generator=g, dtype=torch.float64)


def _uniform(g: torch.Generator, *size: int) -> Tensor:
    return torch.rand(*size, generator=g, dtype=torch.float64)


def _unit(g: torch.Generator, *size: int) -> Tensor:
    v = _normal(g, *size)
    return v / v.norm(dim=-1, keepdim=True)


def _task(batch: int, g: torch.Generator) -> Separable:
    laws = ("gaussian", "sphere", "cube", "laplace")
    # the margin keeps quadratic programming well-conditioned; tiny margins have a family of their own
    task = LinearTask(_integer(1, 8, g), law=laws[_integer(0, 3, g)], margin=0.02)
    return Separable.of(task.sample(batch, _integer(1, 32, g), generator=g, dtype=torch.float64).z)


def _duplicates(batch: int, g: torch.Generator) -> Separable:
    base = LinearTask(_integer(1, 4, g), margin=0.02).sample(batch, _integer(1, 4, g), generator=g, dtype=torch.float64)
    picks = torch.randint(base.z.shape[1], (_integer(2, 24, g),), generator=g)
    return Separable.of(base.z[:, picks])


def _collinear(batch: int, g: torch.Generator, d: int | None = None, n: int | None = None) -> Separable:
    """All tokens on one ray u: the margin is the shortest of them."""
    d, n = d or _integer(2, 8, g), n or _integer(2, 16, g)
    u = _unit(g, batch, d)
    lengths = 10 ** (2 * _uniform(g, batch, n) - 1)
    shortest = lengths.argmin(-1)
    dual = torch.nn.functional.one_hot(shortest, n).to(u)
    return Separable(lengths[..., None] * u[:, None], lengths.amin(-1), u, dual)


def _tiny_margin(batch: int, g: torch.Generator) -> Separable:
    """Pairs gamma u + v and gamma u - v with v orthogonal to u, hence margin gamma exactly; then points beyond.

    The points beyond lie deeper in the right half-space but far out to the side, and pull the iterates off course.
    """
    d, pairs, beyond = _integer(2, 8, g), _integer(1, 8, g), _integer(0, 6, g)
    u = _unit(g, batch, d)
    gamma = 10 ** (-6 * _uniform(g, batch))
    across = _normal(g, batch, pairs + beyond, d)
    across = across - torch.einsum("bkd,bd->bk", across, u)[..., None] * u[:, None]
    v, far = across[:, :pairs], across[:, pairs:]
    deeper = gamma[:, None] * (1 + _uniform(g, batch, beyond))
    z = torch.cat([v, -v], 1) + (gamma[:, None] * u)[:, None]
    z = torch.cat([z, deeper[..., None] * u[:, None] + 3 * far], 1)
    dual = torch.zeros(z.shape[:2], dtype=z.dtype)
    dual[:, : 2 * pairs] = 0.5 / pairs
    return Separable(z, gamma, u, dual)


def _orthogonal(batch: int, g: torch.Generator) -> Separable:
    """n orthonormal tokens: every token is a support vector and the margin is 1/sqrt(n), the least n allows here."""
    d = _integer(2, 8, g)
    n = _integer(1, d, g)
    rows = torch.linalg.qr(_normal(g, batch, d, d)).Q[:, :n]
    u = rows.sum(1) / n**0.5
    return Separable(rows, rows.new_full((batch,), n**-0.5), u, rows.new_full((batch, n), 1 / n))


def _one_against_many(batch: int, g: torch.Generator) -> Separable:
    """A token and up to 500 copies of a shorter one at a right angle: margin sqrt(p), p the dual weight of the first.

    The entropy of the attention weights is then close to log n, which is what the margin rate charges for.
    """
    copies = round(10 ** (1.5 + 1.2 * float(_uniform(g, 1))))
    a, b = torch.linalg.qr(_normal(g, batch, _integer(2, 8, g), 2)).Q.unbind(-1)
    p = 0.1 + 0.3 * _uniform(g, batch, 1)
    short = (p / (1 - p)).sqrt() * b
    z = torch.cat([a[:, None], short[:, None].expand(-1, copies, -1)], 1)
    dual = torch.cat([p, ((1 - p) / copies).expand(-1, copies)], 1)
    return Separable(z, p[:, 0].sqrt(), p.sqrt() * a + (1 - p).sqrt() * b, dual)


def _any_of(*families: Draw) -> Draw:
    return lambda batch, g: families[_integer(0, len(families) - 1, g)](batch, g)


_moderate = _any_of(_task, _tiny_margin, _orthogonal, _collinear)

FAMILIES: dict[str, Draw] = {
    "random": _task,
    "one token": lambda batch, g: _collinear(batch, g, n=1),
    "one dimension": lambda batch, g: _collinear(batch, g, d=1),
    "duplicates": _duplicates,
    "collinear": _collinear,
    "tiny margin": _tiny_margin,
    "orthogonal": _orthogonal,
    "one against many": _one_against_many,
    "huge norms": lambda batch, g: _moderate(batch, g).scaled(1e6),
    "tiny norms": lambda batch, g: _moderate(batch, g).scaled(1e-6),
}
"""Name -> (batch, generator) -> Separable. Shapes vary from draw to draw and are shared within a batch."""


def separable(family: str, batch: int, generator: torch.Generator) -> Separable:
    """Return a batch of separable float64 contexts from one of the FAMILIES."""
    validate.one_of("family", family, FAMILIES)
    validate.whole("batch", batch, 1)
    return FAMILIES[family](batch, validate.seeded(generator))
