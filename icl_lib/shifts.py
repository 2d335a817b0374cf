"""Shifts: prompts in, prompts out, moved away from the law they were drawn from. The input is left as it was."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from . import laws, validate
from .tasks import Prompts, side


def _require(prompts: object, *names: str) -> Prompts:
    if not isinstance(prompts, Prompts):
        raise validate.fail("prompts", type(prompts).__name__, "Prompts")
    wanted = {"w_star": "prompts that know the direction of their labels", "x_query": "prompts with queries >= 1"}
    for name in names:
        if getattr(prompts, name) is None:
            raise validate.fail(name, "None", wanted[name])
    return prompts


def _source(prompts: Prompts, generator: torch.Generator) -> dict:
    return {"generator": validate.seeded(generator), "dtype": prompts.x.dtype, "device": generator.device}


def _asked(prompts: Prompts, x_query: Tensor) -> Prompts:
    """New queries, with the labels that w_star gives them."""
    return replace(prompts, x_query=x_query, y_query=side(prompts.w_star, x_query))


def rotate_queries(prompts: Prompts, *, generator: torch.Generator) -> Prompts:
    """Return the prompts with queries turned by a random orthogonal matrix, one a prompt, labelled anew by w_star."""
    B, _, d = _require(prompts, "w_star", "x_query").x.shape
    kind = _source(prompts, generator)
    turn = laws.frames(B, d, d, lambda size: torch.randn(*size, **kind)).to(prompts.x.device)
    return _asked(prompts, prompts.x_query @ turn.mT)


def scale_queries(prompts: Prompts, factor: float) -> Prompts:
    """Return the prompts with every query multiplied by ``factor`` > 0. No label changes: signs do not."""
    factor = validate.positive("factor", factor)
    return replace(prompts, x_query=_require(prompts, "x_query").x_query * factor)


def flip_orthant(prompts: Prompts, *, generator: torch.Generator) -> Prompts:
    """Return the prompts with each query in a random orthant of its own: its entries get fresh signs, w_star labels it.

    After the law laws.Orthant() the context sits in one orthant and the queries are Gaussian. (Sending the queries to
    the orthant opposite the context's would test nothing: -x gets the opposite answer and has the opposite label.)
    """
    x = _require(prompts, "w_star", "x_query").x_query
    signs = torch.where(torch.rand(x.shape, **_source(prompts, generator)) < 0.5, 1.0, -1.0)
    return _asked(prompts, signs.to(x) * x.abs())


def flip_labels(prompts: Prompts, share: float, *, generator: torch.Generator) -> Prompts:
    """Return the prompts with exactly round(share * n) context labels turned over in each, 0 <= share <= 1.

    Which ones they are is random; ``shifted.y != prompts.y`` tells. Query labels stay.
    """
    y = _require(prompts).y
    count = round(validate.between("share", share, 0.0, 1.0) * y.shape[1])
    order = torch.rand(y.shape, **_source(prompts, generator)).argsort(-1).to(y.device)
    return replace(prompts, y=torch.where(order < count, -y, y))  # a random order ranks each point uniformly


def hijack(
    prompts: Prompts,
    strength: float,
    *,
    position: int | None = None,
    direction: Float[Tensor, "B d"] | None = None,
) -> Prompts:
    """Return the prompts with one adversarial token more: n + 1 points, labels of the others and queries as they were.

    Its folded token is strength * R * u, with R the prompt's radius and u the unit vector along ``direction``, or
    -w_star if none is given. It enters before the point at ``position`` (0 <= position <= n), at the end by default.
    Its label is +1, which loses nothing: only y x is seen by anything that reads folded tokens.
    """
    if direction is None:
        direction = -_require(prompts, "w_star").w_star
    x = _require(prompts).x
    B, n, d = x.shape
    validate.shaped("direction", direction, "B d", B=B, d=d)
    validate.same_kind("direction", direction, "x", x)
    if (direction == 0).all(-1).any():
        raise validate.fail("direction", "a zero vector", "a direction")
    k = n if position is None else validate.whole("position", position)
    if k > n:
        raise validate.fail("position", k, f"at most n = {n}")
    token = validate.positive("strength", strength) * prompts.radius[:, None] * laws.unit(direction)
    x = torch.cat([x[:, :k], token[:, None], x[:, k:]], 1)
    y = torch.cat([prompts.y[:, :k], torch.ones_like(token[:, :1]), prompts.y[:, k:]], 1)
    return replace(prompts, x=x, y=y)
