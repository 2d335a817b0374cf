"""How alike two in-context classifiers are, as functions of the query: answers and input sensitivities.

The measures are those with which von Oswald et al. (2023) compare a trained transformer with gradient descent: the
difference of predictions, the cosine of sensitivities and their difference. Chapter "Trained end to end".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .laws import unit
from .tasks import Prompts


class Model(Protocol):
    """What can be measured: a decision for each query, which depends on that query and the context alone."""

    def decision(self, prompts: Prompts, x_query: Float[Tensor, "B q d"]) -> Float[Tensor, "B q"]:
        """Return f(x) for every query x."""


class Response(NamedTuple):
    """decision [B, q]: a model's f(x) at each query; sensitivity [B, q, d]: its gradient there, df/dx."""

    decision: Float[Tensor, "B q"]
    sensitivity: Float[Tensor, "B q d"]

    def scaled(self, factor: float | Tensor) -> Response:
        """Return the response of the model ``factor`` times as large."""
        return Response(self.decision * factor, self.sensitivity * factor)


class Alignment(NamedTuple):
    """Three measures [B] each, means over a prompt's queries; equal responses have 0, 1, 0.

    prediction: ``|f(x) - g(x)|``; cosine: of the angle between the sensitivities, from -1 to 1; sensitivity: the
    length of their difference.
    """

    prediction: Float[Tensor, " B"]
    cosine: Float[Tensor, " B"]
    sensitivity: Float[Tensor, " B"]


def response(model: Model, prompts: Prompts, x_query: Float[Tensor, "B q d"] | None = None) -> Response:
    """Return the model's decisions and sensitivities at the queries (the prompts' own unless given), by autograd.

    One backward pass serves all queries, as each answer depends on its own query alone.
    """
    x_query = prompts.x_query if x_query is None else x_query
    if x_query is None:
        raise validate.fail("x_query", "None", "a tensor [B, q, d], or prompts that hold queries")
    asked = x_query.detach().clone().requires_grad_()
    decision = model.decision(prompts, asked)
    return Response(decision.detach(), torch.autograd.grad(decision.sum(), asked)[0])


def linear_response(w: Float[Tensor, "B d"], x_query: Float[Tensor, "B q d"]) -> Response:
    """Return the response of x -> <w, x>: the sensitivity is w at every query."""
    B, _, d = validate.shaped("x_query", x_query, "B q d").shape
    validate.shaped("w", w, "B d", B=B, d=d)
    validate.same_kind("w", w, "x_query", x_query)
    return Response(torch.einsum("bqd,bd->bq", x_query, w), w[:, None].expand_as(x_query))


def alignment(f: Response, g: Response) -> Alignment:
    """Return the three measures for two responses to the same queries; see :class:`Alignment`.

    The cosine does not change if f or g is multiplied by a positive number, the other two do: logits and classifiers
    have no common unit, so scale one to the other first (:func:`calibrated`). Raises BadInput where a sensitivity is 0.
    """
    B, q, d = validate.shaped("f.sensitivity", f.sensitivity, "B q d").shape
    validate.shaped("g.sensitivity", g.sensitivity, "B q d", B=B, q=q, d=d)
    validate.same_kind("g.sensitivity", g.sensitivity, "f.sensitivity", f.sensitivity)
    return Alignment(
        (f.decision - g.decision).abs().mean(-1),
        cosines(f.sensitivity, g.sensitivity).mean(-1),
        (f.sensitivity - g.sensitivity).norm(dim=-1).mean(-1),
    )


def cosines(u: Float[Tensor, "... d"], v: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """Return the cosine of the angle between u and v, from -1 to 1; raises BadInput for a zero vector."""
    for name, value in (("u", u), ("v", v)):
        if (validate.shaped(name, value, "... d") == 0).all(-1).any():
            raise validate.fail(name, "a zero vector", "a direction")
    return (_direction(u) * _direction(v)).sum(-1)


def _direction(v: Tensor) -> Tensor:
    return unit(v / v.abs().amax(-1, keepdim=True))  # first to size 1, as a square may over- or underflow


def calibrated(f: Response, g: Response) -> Response:
    """Return g times one positive number for all prompts, the one that brings its decisions nearest to f's.

    Nearest in the sense of least squares. Raises BadInput where no positive number is best.
    """
    factor = (f.decision * g.decision).sum() / g.decision.square().sum()
    if not factor > 0:
        raise validate.fail("g", f"decisions whose best factor is {float(factor):.3g}", "decisions that agree with f's")
    return g.scaled(factor)


def linear_ceiling(sensitivity: Float[Tensor, "B q d"]) -> Float[Tensor, " B"]:
    """Return the largest mean cosine, in [0, 1], that any linear classifier has with these sensitivities.

    It is the length of the mean of the sensitivities scaled to length 1; it is 1 exactly where all are parallel.
    """
    validate.shaped("sensitivity", sensitivity, "B q d")
    return _direction(sensitivity).mean(-2).norm(dim=-1)
