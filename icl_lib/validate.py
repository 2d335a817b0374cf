"""Checks of shape, dtype, range and finiteness, all with one style of error.

Every error is a :class:`BadInput` (a ``ValueError``) that names the argument, says what was seen and what was
expected. Nothing is ever converted silently: a wrong input is the caller's to mend.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from pathlib import Path

import torch
from torch import Tensor


class BadInput(ValueError):
    """An argument has a wrong shape, dtype, range or value."""


class NotSeparable(BadInput):
    """A context has no separating direction through the origin, where one is assumed."""


def fail(name: str, seen: object, expected: str) -> BadInput:
    """Return (to be raised) the error for argument ``name``."""
    return BadInput(f"{name}: got {seen}, expected {expected}")


def floating(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a floating-point tensor (float32 or float64)."""
    if not isinstance(value, Tensor):
        raise fail(name, type(value).__name__, "a torch.Tensor")
    if value.dtype not in (torch.float32, torch.float64):
        raise fail(name, f"dtype {value.dtype}", "torch.float32 or torch.float64")
    return value


def shaped(name: str, value: object, pattern: str, **sizes: int) -> Tensor:
    """Return ``value`` if it is a finite floating-point tensor whose shape fits ``pattern``.

    ``pattern`` names the axes, ``"B n d"`` say; a leading ``...`` admits any number of further axes. A size given by
    keyword must agree, any axis must be at least 1 long.
    """
    floating(name, value)
    axes = pattern.split()
    free = axes[0] == "..."
    axes = axes[1:] if free else axes
    tail = value.shape[-len(axes) :] if axes else ()
    wanted = f"shape [{', '.join(pattern.split())}]"
    if value.ndim < len(axes) or (not free and value.ndim != len(axes)):
        raise fail(name, f"shape {list(value.shape)}", wanted)
    for axis, seen in zip(axes, tail, strict=True):
        if seen < 1:
            raise fail(name, f"shape {list(value.shape)}", f"{wanted} with {axis} >= 1")
        if sizes.get(axis, seen) != seen:
            raise fail(name, f"shape {list(value.shape)}", f"{wanted} with {axis} = {sizes[axis]}")
    return finite(name, value)


def finite(name: str, value: Tensor) -> Tensor:
    """Return ``value`` if it holds neither NaN nor infinity."""
    if not torch.isfinite(value).all():
        kind = "NaN" if torch.isnan(value).any() else "infinity"
        raise fail(name, f"{int((~torch.isfinite(value)).sum())} non-finite entries ({kind})", "finite numbers")
    return value


def context(z: object) -> Tensor:
    """Return ``z`` if it is a batch of folded contexts, shape [B, n, d]."""
    return shaped("z", z, "B n d")


def labels(name: str, value: object, reference: Tensor, reference_name: str = "x") -> Tensor:
    """Return ``value`` if it holds only -1 and +1, in the dtype and on the device of ``reference``."""
    floating(name, value)
    same_kind(name, value, reference_name, reference)
    if not ((value == 1) | (value == -1)).all():
        seen = value.detach().unique().tolist()
        hint = " (0/1 labels: pass 2 * y - 1)" if set(seen) <= {0.0, 1.0} else ""
        raise fail(name, f"values {seen[:6]}", f"-1 and +1 only{hint}")
    return value


def same_kind(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse tensors of two dtypes or on two devices."""
    if value.dtype != other.dtype or value.device != other.device:
        raise fail(
            name,
            f"{value.dtype} on {value.device}",
            f"the dtype and device of {other_name} ({other.dtype} on {other.device})",
        )


def step(value: object, z: Tensor | None = None, name: str = "step") -> Tensor | float:
    """Return the step size: a float > 0 as it is, a tensor [B] as [B, 1], ready to multiply [B, d]."""
    if not isinstance(value, Tensor):
        return positive(name, value)
    shaped(name, value, "B", **({} if z is None else {"B": z.shape[0]}))
    if z is not None:
        same_kind(name, value, "z", z)
    if not (value > 0).all():
        raise fail(name, f"a minimum of {float(value.min()):g}", "step > 0")
    return value[:, None]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # NumPy's scalars are numbers too


def positive(name: str, value: object) -> float:
    """Return ``value`` as a float if it is a finite number > 0."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise fail(name, repr(value), "a finite number > 0")
    return float(value)


def between(name: str, value: object, low: float, high: float) -> float:
    """Return ``value`` as a float if low <= value <= high."""
    if not _is_number(value) or not low <= value <= high:
        raise fail(name, repr(value), f"a number from {low:g} to {high:g}")
    return float(value)


def whole(name: str, value: object, least: int = 0) -> int:
    """Return ``value`` if it is an int >= ``least``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise fail(name, repr(value), f"a whole number >= {least}")
    return int(value)


def one_of(name: str, value: object, known: object) -> object:
    """Return ``value`` if it is among the ``known`` names."""
    names = sorted(known)
    if value not in names:
        raise fail(name, repr(value), "one of " + ", ".join(map(repr, names)))
    return value


def dtype(value: object) -> torch.dtype:
    """Return ``value`` if it is one of the two dtypes the library computes in."""
    if value not in (torch.float32, torch.float64):
        raise fail("dtype", repr(value), "torch.float32 or torch.float64")
    return value


def seeded(value: object) -> torch.Generator:
    """Return ``value`` if it is a torch.Generator: randomness is always passed in, never global."""
    if not isinstance(value, torch.Generator):
        raise fail("generator", type(value).__name__, "a torch.Generator, e.g. torch.Generator().manual_seed(0)")
    return value


def place(name: str, path: str | Path) -> Path:
    """Return the file that ``path`` names, links followed, if it may be written: it need not exist, its folder must."""
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise fail(name, f"{path.name!r}, which is not a file", "a file")
    if not path.parent.is_dir():
        raise fail(name, f"{path.name} in a folder that does not exist", "an existing folder")
    return path
