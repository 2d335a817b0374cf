"""Non-linear features from ReLU attention, exactly: monomials and B-splines, written head by head into slots.

A token is [x_t, slots, 1, I_t]: the point, room for features, a constant, and a one-hot position. A head with query
vector u, key vector v and sign s gives token j, seen from token t, the score

    s <u, h_t> <v, h_j> + C (<I_t, I_j> - 1),

and adds to a slot of token t what ReLU lets through. With C at least as large as every product, other tokens score
below 0, and the head writes relu(s <u, h_t> <v, h_t>): a function of its own token alone. Two heads of opposite sign
make any product, a b = relu(a b) - relu(-a b); a hinge, and a product that is never negative, need one.
Source: chapter "Attention as featurizer".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import validate

KINDS = ("polynomial", "spline", "tensor-spline")


class ReLUAttention(nn.Module):
    """H heads of ReLU attention and a residual connection; every token is written.

    score, value: [H, D, D]. Head h adds to token x_i the sum over j of relu(x_j^T score_h x_i) value_h x_j, not divided
    by the number of tokens. Raises BadInput on other shapes.
    """

    def __init__(self, score: Float[Tensor, "H D D"], value: Float[Tensor, "H D D"]) -> None:
        super().__init__()
        H, D, _ = validate.shaped("score", score, "H D D").shape
        for name, matrix in (("score", score), ("value", value)):
            validate.shaped(name, matrix, "H D D", H=H, D=D)
            if matrix.shape[2] != D:
                raise validate.fail(name, f"shape {list(matrix.shape)}", f"shape [H, {D}, {D}]")
        self.score = nn.Parameter(score, requires_grad=False)
        self.value = nn.Parameter(value, requires_grad=False)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the tokens plus what all heads read."""
        validate.shaped("tokens", tokens, "B N D", D=self.score.shape[-1])
        after = tokens.clone()
        for score, value in zip(self.score.to(tokens), self.value.to(tokens), strict=True):  # one [B, N, N] at a time
            after += torch.relu(tokens @ score.mT @ tokens.mT) @ (tokens @ value.mT)
        return after


class _Head(NamedTuple):
    """Adds relu(sign <u, h> <v, h>) times ``writes[slot]`` to the slots; u and v are sparse: {slot: coefficient}."""

    u: dict[int, float]
    v: dict[int, float]
    sign: float
    writes: dict[int, float]


class _Slots:
    """The slots of a token, each with a bound on its size and the layer that fills it (0 for the point itself)."""

    def __init__(self, d: int, bound: float) -> None:
        self.bound, self.filled = [bound] * d, [0] * d
        self.layers: list[list[_Head]] = []

    def new(self, bound: float, layer: int) -> int:
        self.bound.append(bound)
        self.filled.append(layer)
        return len(self.bound) - 1

    def add(self, layer: int, head: _Head) -> None:
        while len(self.layers) < layer:
            self.layers.append([])
        self.layers[layer - 1].append(head)

    def product(self, a: int, b: int, signs: tuple[float, ...], writes: dict[int, float] | None = None) -> int:
        """Write the product of two slots into a new slot, or ``writes``: signs (1,) if it is never negative."""
        layer = 1 + max(self.filled[a], self.filled[b])
        slot = self.new(self.bound[a] * self.bound[b], layer) if writes is None else next(iter(writes))
        for sign in signs:
            into = {slot: 1.0} if writes is None else writes
            self.add(layer, _Head({a: 1.0}, {b: 1.0}, sign, {k: sign * c for k, c in into.items()}))
        return slot


CONSTANT = -1
"""Stands for the constant slot in a head's u and v, before the number of slots is known."""


def monomials(d: int, degree: int) -> list[tuple[int, ...]]:
    """Return all monomials of degree 1 to ``degree`` in d variables, as tuples of variables: (0, 0, 1) is x0^2 x1."""
    return [m for k in range(1, degree + 1) for m in itertools.combinations_with_replacement(range(d), k)]


def knots_of(degree: int, pieces: int, bound: float) -> list[float]:
    """Return equidistant knots for B-splines on [-bound, bound]: ``pieces`` intervals, ``degree`` more on each side."""
    width = 2 * bound / pieces
    return [-bound + (k - degree) * width for k in range(pieces + 2 * degree + 1)]


def _polynomial(slots: _Slots, d: int, degree: int) -> list[int]:
    """A monomial of degree k is the product of its halves, made one layer earlier: ceil(log2 degree) layers in all."""
    slot = {(j,): j for j in range(d)}
    for m in monomials(d, degree)[d:]:
        half = (len(m) + 1) // 2
        a, b = slot[m[:half]], slot[m[half:]]
        slot[m] = slots.product(a, b, (1.0,) if a == b else (1.0, -1.0))
    return list(slot.values())


def _spline(slots: _Slots, variable: int, degree: int, pieces: int) -> list[int]:
    """B-splines of one variable, as combinations of truncated powers (x - knot)_+^degree."""
    bound = slots.bound[variable]
    knots = knots_of(degree, pieces, bound)
    made = [slots.new(1.0, 0) for _ in range(pieces + degree)]
    for number, knot in enumerate(knots):
        writes = {}
        for k in range(max(0, number - degree - 1), min(number, pieces + degree - 1) + 1):
            own = knots[k : k + degree + 2]
            others = math.prod(knot - other for other in own if other != knot)
            writes[made[k]] = (-1) ** (degree + 1) * (own[-1] - own[0]) / others  # a divided difference
        hinge = ({variable: 1.0, CONSTANT: -knot}, {CONSTANT: 1.0}, 1.0)
        if degree == 1:
            slots.add(1, _Head(*hinge, writes))
            continue
        power = {1: slots.new(bound + abs(knot), 1)}
        slots.add(1, _Head(*hinge, {power[1]: 1.0}))
        for p in _halvings(degree)[:-1]:
            power[p] = slots.product(power[(p + 1) // 2], power[p // 2], (1.0,))
        slots.product(power[(degree + 1) // 2], power[degree // 2], (1.0,), writes)
    for slot in made:
        slots.filled[slot] = 1 if degree == 1 else 1 + math.ceil(math.log2(degree))
    return made


def _halvings(p: int) -> list[int]:
    """The powers above 1 needed to make the p-th from products of halves, in order, p last."""
    needed, queue = {p}, [p]
    while queue:
        for part in ((q := queue.pop()) // 2, (q + 1) // 2):
            if part > 1 and part not in needed:
                needed.add(part)
                queue.append(part)
    return sorted(needed)


class Featurizer(nn.Module):
    """Layers of ReLU attention that write features of each token's point into its slots; made by :func:`featurizer`.

    Called on points x [B, N, d] it returns [B, N, F]: the constant 1 and the features. ``prompts.map(f)`` uses it so.
    layers: the ReLUAttention modules; names: what each feature is; heads: their number, over all layers; width: the
    size D of a token.
    """

    def __init__(self, d: int, most: int, slots: _Slots, features: Iterable[int], names: list[str]) -> None:
        super().__init__()
        self.d, self.positions, self.bound, self.names = d, most, slots.bound[0], ["1", *names]
        self.constant = len(slots.bound)
        self.width, self.heads = self.constant + 1 + most, sum(map(len, slots.layers))
        self.columns = [self.constant, *features]
        self.layers = nn.ModuleList(self._layer(heads, slots.bound) for heads in slots.layers)

    def _layer(self, heads: list[_Head], bounds: list[float]) -> ReLUAttention:
        bounds = [*bounds, 1.0]  # that of the constant
        score = torch.zeros(len(heads), self.width, self.width, dtype=torch.float64)
        value = torch.zeros_like(score)
        position = range(self.constant + 1, self.width)
        for k, head in enumerate(heads):
            u, v = ({self.constant if s == CONSTANT else s: c for s, c in side.items()} for side in (head.u, head.v))
            for (i, a), (j, b) in itertools.product(v.items(), u.items()):  # rows are keys, columns queries
                score[k, i, j] = head.sign * a * b
            most = math.prod(sum(abs(c) * bounds[s] for s, c in side.items()) for side in (u, v))
            score[k, position, position] = most
            score[k, self.constant, self.constant] -= most
            for slot, c in head.writes.items():
                value[k, slot, self.constant] = c
        return ReLUAttention(score, value)

    def tokens(self, x: Float[Tensor, "B N d"]) -> Float[Tensor, "B N D"]:
        """Return the tokens before any layer, [x, 0 .. 0, 1, one-hot position]. Raises BadInput beyond the bound."""
        B, N, _ = validate.shaped("x", x, "B N d", d=self.d).shape
        if self.positions < N:
            raise validate.fail("x", f"{N} points", f"at most {self.positions}, as many as there are positions")
        if validate.finite("x", x).numel() and float(x.abs().amax()) > self.bound:
            raise validate.fail("x", f"an entry of size {float(x.abs().amax()):g}", f"entries up to {self.bound:g}")
        tokens = x.new_zeros(B, N, self.width)
        tokens[..., : self.d], tokens[..., self.constant] = x, 1.0
        tokens[..., self.constant + 1 :] = torch.eye(N, self.positions).to(x)
        return tokens

    def forward(self, x: Float[Tensor, "B N d"]) -> Float[Tensor, "B N F"]:
        """Return the features of every point, the constant first."""
        tokens = self.tokens(x)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens[..., self.columns]


def featurizer(
    d: int, kind: str = "polynomial", degree: int = 2, pieces: int = 8, *, tokens: int, bound: float = 1.0
) -> Featurizer:
    """Return the ReLU attention layers that make the features, exactly, for points in [-bound, bound]^d.

    kind: "polynomial", all monomials up to ``degree`` in ceil(log2 degree) layers; "spline", for each coordinate the
    B-splines of ``degree`` on ``pieces`` equal intervals; "tensor-spline", all products of these over the d
    coordinates. d, degree, pieces >= 1; tokens: how many points it can take, one position each.
    """
    for name, number in (("d", d), ("degree", degree), ("pieces", pieces), ("tokens", tokens)):
        validate.whole(name, number, 1)
    validate.one_of("kind", kind, KINDS)
    slots = _Slots(d, validate.positive("bound", bound))
    if kind == "polynomial":
        features = _polynomial(slots, d, degree)
        names = [" ".join(f"x{j}^{m.count(j)}" if m.count(j) > 1 else f"x{j}" for j in sorted(set(m)))
                 for m in monomials(d, degree)]  # fmt: skip
        return Featurizer(d, tokens, slots, features, names)
    each = [_spline(slots, j, degree, pieces) for j in range(d)]
    labels = [[f"B{k}(x{j})" for k in range(len(own))] for j, own in enumerate(each)]
    if kind == "spline":
        return Featurizer(d, tokens, slots, itertools.chain(*each), list(itertools.chain(*labels)))
    features, names = each[0], labels[0]
    for own, label in zip(each[1:], labels[1:], strict=True):  # B-splines are never negative: one head a product
        features = [slots.product(a, b, (1.0,)) for a, b in itertools.product(features, own)]
        names = [f"{a} {b}" for a, b in itertools.product(names, label)]
    return Featurizer(d, tokens, slots, features, names)
