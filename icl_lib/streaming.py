"""Prompts without end: an iterator of any length in, decisions in the same order out, in bounded memory.

Items are put together to batches of an efficient size and the answers taken apart again. What a prompt gets depends
neither on the size of the batch nor on its neighbours: a bad one is reported, the others never notice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .engine import checked_tol
from .looped import Stacked, overflow
from .tasks import Prompts, as_tensor, labels_like

__all__ = ["Answer", "stream"]

Item = Prompts | tuple
"""Prompts with queries, or (x, y, x_query): arrays or tensors of one prompt, [n, d], [n], [q, d], or of a batch."""


class Answer(NamedTuple):
    """What became of one prompt: prompt ``row`` of item ``item`` of the source, both counted from 0.

    decision: one value for each query, its sign the label; None where the prompt was refused, and ``error`` says why
    ("" otherwise). An item that cannot be taken apart into prompts is refused as a whole, in one answer of row 0.
    """

    item: int
    row: int
    decision: Float[Tensor, " q"] | None
    error: str


def stream(
    model: Stacked,
    source: Iterable[Item],
    *,
    batch: int = 1000,
    tol: float | None = None,
    max_bytes: int | None = None,
    executor: Executor | None = None,
    ahead: int = 4,
) -> Generator[Answer, None, None]:
    """Yield an :class:`Answer` for every prompt of the source, in order, as ``model.decision`` would give it.

    source: an iterable of items, finite or not, read no further than needed: Prompts with queries, or a tuple
    (x, y, x_query) of arrays or tensors, of one prompt or of a batch. Sizes, dtypes and devices may change from item
    to item. batch: how many prompts are computed together. tol, max_bytes: as in :meth:`~icl_lib.Stacked.decision`.
    executor: any ``concurrent.futures.Executor`` (its workers get ``ahead`` batches at most before one is yielded);
    None computes here. The numbers are the same, bit for bit, for every batch size and executor with the softmax
    heads of the theory, and equal up to rounding with other layers.

    A prompt with a NaN, a label other than -1 and +1, a shape that does not fit or scores that overflow is reported in
    its place, in ``error``, and the others go on; a context of one class only is fine. What a prompt cannot be blamed
    for is raised: BadInput for the arguments, at once; whatever the source raises, once all that came before it is
    answered; what breaks in the executor. No gradients.
    """
    if not isinstance(model, Stacked):
        raise validate.fail("model", type(model).__name__, "a Looped or Stacked model")
    if not isinstance(source, Iterable):
        raise validate.fail("source", type(source).__name__, "an iterable of Prompts or (x, y, x_query)")
    if executor is not None and not isinstance(executor, Executor):
        raise validate.fail("executor", type(executor).__name__, "a concurrent.futures.Executor, or None")
    validate.whole("batch", batch, 1), validate.whole("ahead", ahead, 1)
    options = {"tol": checked_tol(tol), "max_bytes": max_bytes}
    if max_bytes is not None:
        validate.whole("max_bytes", max_bytes, 1)
    return _stream(model, source, batch, options, executor, ahead)


class _Piece(NamedTuple):
    """Prompts ``row``, ``row`` + 1, ... of one item, as x, y, x_query with the batch first; or why there are none."""

    item: int
    row: int
    arrays: tuple | None
    error: str = ""

    @property
    def size(self) -> int:
        """How many prompts there are; what cannot be taken apart counts as one."""
        return 1 if self.arrays is None else len(self.arrays[0])

    def cut(self, size: int) -> tuple[_Piece, _Piece | None]:
        """Return the first ``size`` prompts, and the rest if there is one."""
        if self.size <= size:
            return self, None
        head, rest = (tuple(a[part] for a in self.arrays) for part in (slice(size), slice(size, None)))
        return self._replace(arrays=head), self._replace(row=self.row + size, arrays=rest)


Decided = list[tuple[object, dict[int, str]]]
"""For each piece its decisions [B, q], or None, and what is wrong with which of its prompts, counted from its row."""


def _stream(
    model: Stacked, source: Iterable[Item], batch: int, options: dict, executor: Executor | None, ahead: int
) -> Generator[Answer, None, None]:
    waiting, failure = deque(), None
    try:
        for window in _windows(source, batch):
            if isinstance(window, Exception):
                failure = window
            elif executor is None:
                yield from _answers(window, _decide(model, window, options))
            else:
                waiting.append((window, executor.submit(_decide_elsewhere, model, _packed(window), options)))
                if len(waiting) >= ahead:
                    yield from _next(waiting)
        while waiting:
            yield from _next(waiting)
        if failure is not None:
            raise failure
    finally:
        for _, future in waiting:
            future.cancel()


def _next(waiting: deque) -> Iterator[Answer]:
    window, future = waiting.popleft()
    unpacked = [(None if d is None else torch.as_tensor(d), errors) for d, errors in future.result()]
    yield from _answers(window, unpacked)


def _pieces(source: Iterable[Item]) -> Iterator[_Piece | Exception]:
    """Yield every item as a piece; last, if the source raises, its exception."""
    items = enumerate(source)
    while True:
        try:
            index, item = next(items)
        except StopIteration:
            return
        except Exception as error:
            yield error
            return
        try:
            yield _Piece(index, 0, _arrays(item))
        except validate.BadInput as bad:
            yield _Piece(index, 0, None, str(bad))


def _windows(source: Iterable[Item], size: int) -> Iterator[list[_Piece] | Exception]:
    """Yield pieces of ``size`` prompts in all, fewer at the end; last, if the source raises, its exception."""
    window, room, failure = [], size, None
    for piece in _pieces(source):
        if isinstance(piece, Exception):
            failure = piece
            break
        while piece is not None:
            head, piece = piece.cut(room)
            window.append(head)
            room -= head.size
            if not room:
                yield window
                window, room = [], size
    if window:
        yield window
    if failure is not None:
        yield failure


def _arrays(item: object) -> tuple[Tensor, Tensor, Tensor]:
    """Return x [B, n, d], y [B, n], x_query [B, q, d] of an item, copied where it is not a Prompts.

    Raises BadInput where they are not prompts of one shape; what they hold is looked at later, for many at once.
    """
    if isinstance(item, Prompts):
        arrays = (item.x, item.y, item.x_query)
    elif isinstance(item, tuple | list) and len(item) == 3:
        x = validate.floating("x", as_tensor("x", item[0]))
        asked = None if item[2] is None else as_tensor("x_query", item[2])
        arrays = tuple(a if a is None or x.ndim != 2 else a[None] for a in (x, labels_like("y", item[1], x), asked))
    else:
        size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
        raise validate.fail("item", f"{type(item).__name__}{size}", "Prompts, or a tuple (x, y, x_query)")
    x, y, asked = arrays
    if asked is None:
        raise validate.fail("x_query", "None", "queries: a tensor or an array [q, d]")
    if x.ndim != 3 or y.shape != x.shape[:2] or asked.ndim != 3 or asked.shape[::2] != x.shape[::2] or not len(x):
        seen = f"shapes {[list(a.shape) for a in arrays]}"
        raise validate.fail("item", seen, "x [n, d], y [n], x_query [q, d], or all three with a batch in front")
    return tuple(a.detach() for a in arrays)


def _decide(model: Stacked, window: list[_Piece], options: dict) -> Decided:
    """Return decisions for every piece, computed together where shapes, dtypes and devices agree."""
    groups, decided = {}, [(None, {0: piece.error}) for piece in window]
    for number, piece in enumerate(window):
        if piece.arrays is not None:
            key = tuple((a.shape[1:], a.dtype, a.device) for a in piece.arrays)
            groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        x, y, asked = (torch.cat(parts) for parts in zip(*(window[k].arrays for k in numbers), strict=True))
        decision, errors = _decide_group(model, x, y, asked, options)
        start = 0
        for k in numbers:
            stop = start + window[k].size
            own = {row - start: errors[row] for row in range(start, stop) if row in errors} if errors else {}
            decided[k] = (None if len(own) == stop - start else decision[start:stop], own)
            start = stop
    return decided


@torch.no_grad()
def _decide_group(
    model: Stacked, x: Tensor, y: Tensor, asked: Tensor, options: dict
) -> tuple[Tensor | None, dict[int, str]]:
    """Return the decisions [B, q], of any value where a row of ``errors`` says that there is none."""
    sound = [
        torch.isfinite(x).flatten(1).all(1),
        ((y == 1) | (y == -1)).all(1),
        torch.isfinite(asked).flatten(1).all(1),
    ]
    sound = sound[0] & sound[1] & sound[2]
    errors = {row: _wrong(x[row], y[row], asked[row]) for row in (~sound).nonzero()[:, 0].tolist()}
    good = sound.nonzero()[:, 0]
    if not len(good):
        return None, errors
    try:
        prompts = Prompts(x[good], y[good], None, asked[good])
        answered = model.unchecked_decision(prompts, **options)
    except validate.BadInput as bad:  # they are all of one shape, so it is the fault of all
        return None, errors | dict.fromkeys(good.tolist(), str(bad))
    over = (~torch.isfinite(answered)).flatten(1).any(1).nonzero()[:, 0]
    errors |= dict.fromkeys(good[over].tolist(), str(overflow(answered.dtype)))
    decision = answered.new_zeros(len(x), answered.shape[1])
    decision[good] = answered
    return decision, errors


def _wrong(x: Tensor, y: Tensor, asked: Tensor) -> str:
    """What the checks of a single prompt say."""
    try:
        Prompts(x[None], y[None], None, asked[None])
    except validate.BadInput as bad:
        return str(bad)
    raise AssertionError("a prompt was refused for no reason")


def _packed(window: list[_Piece]) -> list[_Piece]:
    """The window with NumPy's arrays in place of tensors on the CPU: any pickle carries them, and none shares them."""
    numpy = [p.arrays and tuple(a.numpy() if a.device.type == "cpu" else a for a in p.arrays) for p in window]
    return [piece._replace(arrays=arrays) for piece, arrays in zip(window, numpy, strict=True)]


def _decide_elsewhere(model: Stacked, window: list[_Piece], options: dict) -> Decided:
    """The same in a worker."""
    window = [p._replace(arrays=p.arrays and tuple(map(torch.as_tensor, p.arrays))) for p in window]
    decided = _decide(model, window, options)
    return [(d.numpy() if d is not None and d.device.type == "cpu" else d, errors) for d, errors in decided]


def _answers(window: list[_Piece], decided: Decided) -> Iterator[Answer]:
    for piece, (decision, errors) in zip(window, decided, strict=True):
        for row, own in enumerate([None] * piece.size if decision is None else decision):
            error = errors.get(row, "")
            yield Answer(piece.item, piece.row + row, None if error else own, error)
