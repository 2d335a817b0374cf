"""How a loop is driven: a layer bound to its prompts, blocks of compiled loops, certificates, batches cut to fit.

A layer may offer ``bind(prompts) -> Bound`` (or None, where its matrices are not those of a construction): the same
numbers as its ``step``, bit for bit, with everything that does not change from loop to loop taken out of the loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from copy import copy
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import fused, validate
from .tasks import Prompts

BLOCK = 10
"""Loops in one compiled block; certificates are looked at between blocks."""

State = tuple[Tensor, ...]


class Bound(NamedTuple):
    """A layer (or a stack) bound to a batch of prompts: ``advance(data, state, t)`` is layer t, counted from 0.

    data, state: tensors, states with the batch first; read: the classifiers [B, d] in a state; mass(t): the sum of all
    attention weights times steps that have gone into w after t layers, or None where it is not known in advance;
    compiles: whether ``advance`` is a plain function of tensors, which a compiler can take. scratch: tensors that
    ``advance`` may write over, as its fourth argument, which saves the time to get memory; None where gradients flow.
    fused: whether room ``fused`` knows the layer, whose data are then (z, zt, step), its state (w,) or (w, v).
    """

    advance: Callable[..., State]
    data: tuple
    state: State
    read: Callable[[State], Tensor]
    mass: Callable[[int], Tensor | float] | None = None
    compiles: bool = True
    scratch: tuple | None = None
    fused: bool = False


def scratch(z: Tensor, zt: Tensor, *others: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return room for scores, which become weights, and for what a head reads; None if a gradient must flow through."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (z, *others)):
        return None
    return torch.empty_like(zt[:, :1]), torch.empty_like(z[:, :1])


def head(z: Tensor, zt: Tensor, w: Tensor, room: tuple | None) -> Float[Tensor, "B 1 d"]:
    """Return sum_i softmax(-m)_i z_i for rows w [B, 1, d]: row times contiguous matrix, the fastest form there is.

    With ``room`` the answer lies in its last part, until the next call.
    """
    if room is None:
        return torch.softmax(torch.bmm(w.neg(), zt), -1).bmm(z)
    scores, read = room
    torch.baddbmm(scores, w, zt, beta=0, alpha=-1, out=scores)  # -w @ zt in one call, with the same bits
    torch.softmax(scores, -1, out=scores)
    return torch.bmm(scores, z, out=read)


def classifier(state: State) -> Float[Tensor, "B d"]:
    """Return w from a state whose first part is w as rows, [B, 1, d]."""
    return state[0][:, 0]


class Certified(NamedTuple):
    """Classifiers w [B, d] with proof: ``margin`` <= the exact max margin <= ``bound``, at ``depth`` layers; each [B].

    margin is the normalized margin of w, less than 0 where a point is misclassified; both allow for rounding.
    """

    w: Float[Tensor, "B d"]
    margin: Float[Tensor, " B"]
    bound: Float[Tensor, " B"]
    depth: Float[Tensor, " B"]


def bracket(
    w: Float[Tensor, "B d"], prompts: Prompts, mass: Tensor | float | None = None, depth: int = 0
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Return numbers on either side of the max margin gamma of each prompt, whatever has made w.

    Below, the margin of w itself, min_i m_i / ||w||. Above, ||sum_i q_i z_i|| for q = softmax(-m), which is what the
    layer reads: for every q >= 0 that sums to 1, gamma <= sum_i q_i <u*, z_i> <= ||sum_i q_i z_i||. A loop that has
    added such means to w with total weight ``mass`` in ``depth`` layers gives ||w|| / mass as well, and the smaller
    of the two counts. Both sides are widened by what rounding can do. Source: theorem "Depth certifies itself".
    """
    z, zt = prompts.z, prompts.zt
    n, d = z.shape[1:]
    tiny = torch.finfo(z.dtype).eps * prompts.radius
    m, size = torch.bmm(w[:, None], zt), w.norm(dim=-1)
    below = m[:, 0].amin(-1) / size - d * tiny
    above = torch.softmax(-m, -1).bmm(z)[:, 0].norm(dim=-1) + (n + d) * tiny
    if mass is not None:
        above = torch.minimum(above, size / mass + (n + d + depth) * tiny)
    return torch.where(size > 0, below, -torch.inf), above


def checked_tol(tol: float | None) -> float | None:
    """Return ``tol`` if it is None or lies between 0 and 1."""
    if tol is not None and not 0 < validate.between("tol", tol, 0.0, 1.0) < 1:
        raise validate.fail("tol", tol, "0 < tol < 1, or None")
    return tol


def rows(prompts: Prompts, chosen: slice | Tensor) -> Prompts:
    """Return the chosen prompts of a batch, which have been checked before: views for a slice, else copies."""
    part = copy(prompts)
    for name, value in vars(part).items():  # the fields, and the folded tokens if they are there already
        if isinstance(value, Tensor):
            part.__dict__[name] = value[chosen]
    return part


def slices(B: int, n: int, d: int, itemsize: int, max_bytes: int | None) -> Iterator[slice]:
    """Yield the parts of a batch that need at most ``max_bytes`` each (None: the whole batch).

    A prompt takes the folded tokens, twice (points, and transposed), scores and weights twice, before and after a
    step, and a dozen vectors; a third copy of the tokens is there while they are transposed.
    """
    each = itemsize * (3 * n * d + 4 * n + 16 * d)
    if max_bytes is not None and validate.whole("max_bytes", max_bytes, 1) < each:
        raise validate.fail("max_bytes", max_bytes, f"at least {each}, what one prompt takes")
    size = B if max_bytes is None else max_bytes // each
    yield from (slice(start, start + size) for start in range(0, B, size))


def advanced(bound: Bound, state: State, start: int, stop: int, compile: bool = False) -> State:
    """Return the state after layers start .. stop - 1; ``compile``: fused or in compiled blocks, where possible.

    Where it is not, a RuntimeWarning says why; where gradients flow, every loop runs by itself, for the backward pass.
    """
    t = start
    tensors = [part for part in (*bound.data, *state) if isinstance(part, Tensor)]
    if compile and not (torch.is_grad_enabled() and any(part.requires_grad for part in tensors)):
        if bound.fused and state[0].device.type == "cpu":
            done = fused.loops(bound.data, state, start, stop)
            if not isinstance(done, str):
                return done
            _uncompiled(done)
        elif stop - t >= BLOCK:
            state, t = _in_blocks(bound, state, t, stop)
    for layer in range(t, stop):
        state = bound.advance(bound.data, state, layer, bound.scratch)
    return state


def checkpoints(depth: int) -> Iterator[int]:
    """Yield the depths at which certificates are looked at: every block at first, then after a tenth more, the last."""
    t = 0
    while t < depth:
        t = min(t + BLOCK * max(1, t // (10 * BLOCK)), depth)
        yield t


def certified(
    bind: Callable[[slice | Tensor], tuple[Prompts, Bound]],
    chosen: slice,
    depth: int,
    tol: float | None,
    compile: bool,
) -> Certified:
    """Return classifiers with their certificates; each prompt stops as soon as margin >= (1 - tol) bound.

    What a prompt gets depends on nothing but itself: it is frozen at the first of the ``checkpoints`` that it passes,
    and leaves the batch later, when a quarter of it is done (copying the rest earlier would cost more than it saves).
    """
    prompts, bound = bind(chosen)
    state, open_ = bound.state, torch.arange(prompts.x.shape[0], device=prompts.x.device)
    done, found, t = torch.zeros_like(open_, dtype=torch.bool), [], 0
    where = open_ + (chosen.start or 0)
    w = torch.zeros_like(prompts.x[:, 0])
    margin, upper = torch.full_like(w[:, 0], -torch.inf), prompts.radius
    depths = torch.zeros_like(open_)
    for stop in checkpoints(depth) if tol is not None else filter(None, [depth]):
        state, t = advanced(bound, state, t, stop, compile), stop
        now = bound.read(state)
        below, above = bracket(now, prompts, None if bound.mass is None else bound.mass(t), t)
        passed = ~done & ((below >= (1 - tol) * above) if t < depth else torch.ones_like(done))
        index = open_[passed]
        w, depths = w.index_put((index,), now[passed]), depths.index_fill(0, index, t)
        margin, upper = margin.index_put((index,), below[passed]), upper.index_put((index,), above[passed])
        done = done | passed
        if 4 * int(done.sum()) >= done.numel() and t < depth:
            found = ~done
            if not found.any():
                break
            state, open_, done = tuple(part[found] for part in state), open_[found], done[found]
            prompts, bound = bind(where[open_])
    return Certified(w, margin, upper, depths)


_BLOCKS: dict[Callable, Callable | str] = {}
"""For each form of a layer, its compiled block, or why there is none."""


def _in_blocks(bound: Bound, state: State, t: int, stop: int) -> tuple[State, int]:
    """Go as far as whole blocks of ``torch.compile`` reach; nowhere, with a warning, where nothing can be compiled."""
    block = _block(bound.advance) if bound.compiles else "this layer has no form to compile"
    try:
        while callable(block) and stop - t >= BLOCK:
            number = torch.tensor(float(t), dtype=torch.float64, device=state[0].device)
            state, t = block(bound.data, state, number), t + BLOCK
    except Exception as error:  # no C++ compiler, a compiler that fails, a platform torch.compile does not know
        block = _BLOCKS[bound.advance] = _reason(error)
    if not callable(block):
        _uncompiled(block)
    return state, t


def _uncompiled(reason: str) -> None:
    warnings.warn(f"compile=True: the loops run as they are, uncompiled ({reason})", RuntimeWarning, stacklevel=2)


def _block(advance: Callable) -> Callable | str:
    """BLOCK loops as one compiled function. It is compiled when it is first called, and anew for other shapes."""
    if advance not in _BLOCKS:

        def block(data: tuple, state: State, t: Tensor) -> State:
            for k in range(BLOCK):
                state = advance(data, state, t + k)
            return state

        try:
            _BLOCKS[advance] = torch.compile(block)
        except Exception as error:
            _BLOCKS[advance] = _reason(error)
    return _BLOCKS[advance]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
