"""Many classes: Kesler's tokens turn a K-class prompt into a two-class one, which the same layer solves.

A point of class k among K is right if <w_k, x> > <w_c, x> for every other class c. With w = [w_0, .., w_{K-1}] that is
<w, z> > 0 for z = (e_k - e_c) (x) x, one token for each other class. Source: chapter "Many classes, real data".
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import validate
from .tasks import Prompts


def kesler_prompts(x: Float[Tensor, "B n d"], y: Int[Tensor, "B n"], classes: int) -> Prompts:
    """Return prompts of n (K - 1) folded tokens in R^{K d}, every label +1: point i's tokens stand together.

    y: whole numbers from 0 to K - 1; classes: K >= 2. R^2 is twice the largest ||x||^2, and n becomes n (K - 1) in the
    theorems. Raises BadInput for labels of another kind or out of range.
    """
    B, n, d = validate.shaped("x", x, "B n d").shape
    validate.finite("x", validate.floating("x", x))
    K = validate.whole("classes", classes, 2)
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise validate.fail("y", getattr(y, "dtype", type(y).__name__), "a tensor of whole numbers")
    if y.shape != (B, n):
        raise validate.fail("y", f"shape {list(y.shape)}", f"shape {[B, n]}")
    if y.numel() and not 0 <= int(y.amin()) <= int(y.amax()) < K:
        raise validate.fail("y", f"classes {int(y.amin())} to {int(y.amax())}", f"classes 0 to {K - 1}")
    unit = torch.eye(K).to(x)
    difference = unit[y.to(x.device)][:, :, None] - unit  # [B, n, K, K]: e_k - e_c for every c, 0 at c = k
    others = unit[y.to(x.device)] == 0
    difference = difference[others].view(B, n, K - 1, K)
    z = torch.einsum("bnck,bnd->bnckd", difference, x).reshape(B, n * (K - 1), K * d)
    return Prompts(z, torch.ones_like(z[..., 0]))


def class_scores(w: Float[Tensor, "B Kd"], x: Float[Tensor, "B q d"]) -> Float[Tensor, "B q K"]:
    """Return <w_c, x> for every query and class; the largest is the answer."""
    B, size = validate.shaped("w", w, "B Kd").shape
    d = validate.shaped("x", x, "B q d", B=B).shape[-1]
    validate.same_kind("x", x, "w", w)
    if size % d or size // d < 2:
        raise validate.fail("w", f"shape {[B, size]}", f"at least two classes of {d} entries each")
    return torch.einsum("bkd,bqd->bqk", w.view(B, -1, d), x)
