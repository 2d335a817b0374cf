"""Many classes: Kesler's tokens turn a K-class prompt into a two-class one, which the same layer solves.

A point of class k among K is right if <w_k, x> > <w_c, x> for every other class c. With w = [w_0, .., w_{K-1}] that is
<w, z> > 0 for z = (e_k - e_c) (x) x, one token for each other class. Source: chapter "Many classes, real data".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import validate
from .tasks import Prompts


@dataclass(frozen=True, eq=False)
class ClassPrompts:
    """A batch of B prompts, each with n points in R^d that carry one of K classes, and q >= 0 queries.

    x: [B, n, d]; y: [B, n], whole numbers from 0 to K - 1; classes: K >= 2; x_query: [B, q, d] and y_query: [B, q], or
    None both. Raises BadInput where they do not fit. Source: chapter "Many classes, real data".
    """

    x: Float[Tensor, "B n d"]
    y: Int[Tensor, "B n"]
    classes: int
    x_query: Float[Tensor, "B q d"] | None = None
    y_query: Int[Tensor, "B q"] | None = None

    def __post_init__(self) -> None:
        B, _, d = _checked("x", self.x, "y", self.y, self.classes)
        if (self.x_query is None) != (self.y_query is None):
            raise validate.fail("y_query", "one of x_query and y_query", "both, or neither")
        if self.x_query is not None:
            validate.shaped("x_query", self.x_query, "B q d", B=B, d=d)
            validate.same_kind("x_query", self.x_query, "x", self.x)
            _checked("x_query", self.x_query, "y_query", self.y_query, self.classes)

    def kesler(self) -> Prompts:
        """Return the contexts as :func:`kesler_prompts`; queries stay behind, for :func:`class_scores`."""
        return kesler_prompts(self.x, self.y, self.classes)

    def map(self, f: Callable[[Tensor], Tensor]) -> ClassPrompts:
        """Return the prompts with features f(x) in place of x, queries included."""
        return replace(self, x=f(self.x), x_query=None if self.x_query is None else f(self.x_query))


def _checked(x_name: str, x: object, y_name: str, y: object, classes: object) -> tuple[int, int, int]:
    """The shape of x, if x and y are points and their classes, 0 to classes - 1."""
    B, n, d = validate.shaped(x_name, x, "B n d").shape
    K = validate.whole("classes", classes, 2)
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise validate.fail(y_name, getattr(y, "dtype", type(y).__name__), "a tensor of whole numbers")
    if y.shape != (B, n):
        raise validate.fail(y_name, f"shape {list(y.shape)}", f"shape {[B, n]}")
    if not 0 <= int(y.amin()) <= int(y.amax()) < K:
        raise validate.fail(y_name, f"classes {int(y.amin())} to {int(y.amax())}", f"classes 0 to {K - 1}")
    return B, n, d


def kesler_prompts(x: Float[Tensor, "B n d"], y: Int[Tensor, "B n"], classes: int) -> Prompts:
    """Return prompts of n (K - 1) folded tokens in R^{K d}, every label +1: point i's tokens stand together.

    y: whole numbers from 0 to K - 1; classes: K >= 2. R^2 is twice the largest ||x||^2, and n becomes n (K - 1) in the
    theorems. Raises BadInput for labels of another kind or out of range.
    """
    B, n, d = _checked("x", x, "y", y, classes)
    K = classes
    unit = torch.eye(K).to(x)
    difference = unit[y.to(x.device)][:, :, None] - unit  # [B, n, K, K]: e_k - e_c for every c, 0 at c = k
    others = unit[y.to(x.device)] == 0
    difference = difference[others].view(B, n, K - 1, K)
    z = torch.einsum("bnck,bnd->bnckd", difference, x).reshape(B, n * (K - 1), K * d)
    return Prompts(z, torch.ones_like(z[..., 0]))


def class_scores(w: Float[Tensor, "... B Kd"], x: Float[Tensor, "B q d"]) -> Float[Tensor, "... B q K"]:
    """Return <w_c, x> for every query and class; the largest is the answer. A whole path of w is taken in one call."""
    B, size = validate.shaped("w", w, "... B Kd").shape[-2:]
    d = validate.shaped("x", x, "B q d", B=B).shape[-1]
    validate.same_kind("x", x, "w", w)
    if size % d or size // d < 2:
        raise validate.fail("w", f"shape {list(w.shape)}", f"at least two classes of {d} entries each")
    return torch.einsum("...bkd,bqd->...bqk", w.unflatten(-1, (-1, d)), x)


def class_accuracy(scores: Float[Tensor, "... q K"], y: Int[Tensor, "... q"]) -> Float[Tensor, "..."]:
    """Return the share of queries, in [0, 1], whose own class has the largest score; k classes that tie count 1/k."""
    q, K = validate.shaped("scores", scores, "... q K").shape[-2:]
    axes = scores.shape[max(scores.ndim - 1 - getattr(y, "ndim", 0), 0) : -1]
    if getattr(y, "shape", None) != axes or not axes:
        raise validate.fail("y", f"shape {list(getattr(y, 'shape', ()))}", f"the axes of scores, [..., {q}]")
    _checked("scores", scores.reshape(1, -1, K), "y", y.expand(scores.shape[:-1]).reshape(1, -1), K)
    best = scores == scores.amax(-1, keepdim=True)
    own = best.gather(-1, y.to(scores.device).expand(scores.shape[:-1])[..., None])[..., 0]
    return (own.to(scores) / best.sum(-1)).mean(-1)


def pair_weights(q: Float[Tensor, "... B N"], y: Int[Tensor, "B n"], classes: int) -> Float[Tensor, "... B n K"]:
    """Return attention weights on Kesler's tokens by point and rival class; 0 at the point's own class.

    q: weights on the n (K - 1) tokens of :func:`kesler_prompts`, as ``layer.attention`` returns them.
    """
    K = validate.whole("classes", classes, 2)
    B, n = y.shape
    validate.shaped("q", q, "... B N", B=B, N=n * (K - 1))
    pairs = q.new_zeros(*q.shape[:-1], n, K)
    rivals = (torch.arange(K, device=y.device) != y[..., None]).expand(pairs.shape)
    return pairs.masked_scatter(rivals.to(q.device), q.reshape(-1))
