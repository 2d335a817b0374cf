"""What an answer returned, as tensors, and words for it: what it is, its shapes, and where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# --- what was returned, as tensors


def array(value: object) -> np.ndarray:
    """Numbers, nested in any way, as one float64 array; raises TypeError or ValueError if they are not that."""
    if isinstance(value, Tensor) and not value.is_complex():
        value = value.detach() if value.layout is torch.strided else value.detach().to_dense()
        return value.cpu().double().numpy()
    numbers = np.asarray([array(v) for v in value] if isinstance(value, (tuple, list)) else value)
    if numbers.dtype.kind not in "biuf":
        raise TypeError(f"not real numbers: {numbers.dtype}")
    return numbers.astype(float)


def as_tensors(value: object, count: int | None = None) -> tuple[Tensor, ...]:
    """A returned value as float64 tensors: ``count`` of them if it can be read so; else a tensor for each part."""
    if count is not None and (count == 1 or not _is_many(value)):
        try:
            whole = torch.from_numpy(array(value))
        except ValueError:  # parts of unequal shapes
            return as_tensors(tuple(value))
        return tuple(whole) if count > 1 and whole.ndim and len(whole) == count else (whole,)
    return tuple(torch.from_numpy(array(part)) for part in (value if _is_many(value) else (value,)))


def _is_many(value: object) -> bool:
    numbers = isinstance(value, list) and all(isinstance(v, (int, float, list)) for v in value)
    return isinstance(value, (tuple, list)) and not numbers


# --- words for it


def shapes(tensors: Sequence[Tensor]) -> str:
    return " and ".join(str(list(t.shape)) if t.ndim else "[] (a number)" for t in tensors)


def shapes_told(value: object, got: Sequence[Tensor], expected: Sequence[Tensor]) -> str:
    """That the shapes are wrong; one array where several values belong is not told as the values that it is not."""
    if len(expected) > 1 and not _is_many(value):
        whole, want = shapes([torch.from_numpy(array(value))]), f"{len(expected)} values, {shapes(expected)}"
        return f"Your function returned one {type(value).__name__.lower()} of shape {whole}, expected {want}."
    return f"Your function returned shape {shapes(got)}, expected {shapes(expected)}."


def no_numbers_told(value: object) -> str:
    """What it is that is no number: the value, or a part of it."""
    bad = _first_bad(value)
    dtype = f" of dtype {bad.dtype}" if isinstance(bad, (Tensor, np.ndarray)) else ""
    holds = "" if bad is value else f" that holds a {type(bad).__name__}"
    return f"Your function returned a {type(value).__name__}{holds}{dtype}; expected are real numbers."


def _first_bad(value: object) -> object:
    for part in value if isinstance(value, (tuple, list)) else ():
        try:
            array(part)
        except Exception:  # whatever the object does when it is asked for numbers
            return _first_bad(part)
    return value


def dtype_told(value: object, right: Sequence[Tensor]) -> str:
    """What the dtype may have to do with wrong values; empty for float32, float64 and plain Python numbers."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    names = {str(v.dtype).removeprefix("torch.") for v in parts if isinstance(v, (Tensor, np.ndarray))}
    fractions = any((e.isfinite() & (e != e.round())).any() for e in right)
    for name in sorted(names - {"float32", "float64"}):
        if "float" in name:
            return f" Your numbers are {name}, which keeps three digits at most: return float32 or float64."
        if fractions:
            return f" Your numbers are {name}, and the right ones have fractions."
    return ""


def difference(got: Sequence[Tensor], right: Sequence[Tensor], wrong: Sequence[Tensor], names: Sequence[str]) -> str:
    """Which of the values differs, within which slice of it, and the first entry that does."""
    at = next(k for k, entries in enumerate(wrong) if entries.any())
    g, e, entries = got[at], right[at], wrong[at]
    told = ""
    if len(right) > 1:
        others = sum(bool(w.any()) for w in wrong) == 1
        told = f"{names[at] if names else f'value {at + 1} of {len(right)}'} differs{', no other' if others else ''}; "
    if not e.ndim:
        return f"{told}it is {float(g):.4g} and should be {float(e):.4g}."
    spots = entries.nonzero()
    first = tuple(spots[0].tolist())
    if not entries.all():
        low, high = spots.amin(0).tolist(), spots.amax(0).tolist()
        span = ", ".join(f"{a}" if a == b else f"{a}:{b + 1}" for a, b in zip(low, high, strict=True))
        told += f"all that differs lies in [{span}]; "
    return f"{told}entry {list(first)} is {float(g[first]):.4g} and should be {float(e[first]):.4g}."


# --- what was given to a function, and what the function may not do with it


def described(name: str, value: object) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{name} of shape {list(value.shape)}"
    return f"{name} = {value}" if isinstance(value, (int, float, str)) else name


def same(a: object, b: object) -> bool:
    """Whether two copies of something still hold the same, in all that is nested in them."""
    if isinstance(a, (Tensor, np.ndarray)):
        as_before = type(a) is type(b) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return as_before and np.array_equal(array(a), array(b), equal_nan=True)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (int, float, str)):
        return a == b
    return not hasattr(a, "__dict__") or same(vars(a), vars(b))
