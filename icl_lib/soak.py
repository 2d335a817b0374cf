"""A soak test: as many prompts as you like through :func:`~icl_lib.stream`, one in a hundred of them bad.

Prints what came out, how long it took and how much memory, above that of the import, it needed at most::

    python -m icl_lib.soak --prompts 1000000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import torch

from .constructions import ngd_layer
from .looped import Looped
from .streaming import stream
from .tasks import LinearTask, Prompts

D, N, QUERIES, BLOCK = 5, 20, 2, 500


def _with(position: int, change: Callable) -> Callable:
    return lambda prompt: tuple(change(a.clone()) if k == position else a for k, a in enumerate(prompt))


BAD: dict[str, tuple[Callable, str]] = {
    "a NaN": (_with(0, lambda x: x.index_fill(0, torch.tensor(3), torch.nan)), "NaN"),
    "an infinite query": (_with(2, lambda q: q + torch.inf), "infinity"),
    "a label 0": (_with(1, lambda y: y * (torch.arange(N) > 0)), "-1 and +1 only"),
    "a label too few": (_with(1, lambda y: y[1:]), "shapes"),
    "points of another dimension": (lambda prompt: (prompt[0][:, 1:], prompt[1], prompt[2][:, 1:]), "points in R^"),
    "scores that overflow": (_with(0, lambda x: 1e25 * x), "overflow"),
    "no queries": (_with(2, lambda q: None), "x_query"),
    "words": (lambda prompt: "prompt", "str"),
}
"""Ways to spoil a prompt, and what the report must say."""


def source(prompts: int, generator: torch.Generator) -> Iterator[tuple[object, list[str]]]:
    """Yield items with ``prompts`` prompts in all, and for each of an item's what its report must say ("": fine).

    Every other block of 500 comes as a batch; in the others prompts come one by one, each bad with a chance of 2 %.
    """
    task, kinds = LinearTask(D), list(BAD.values())
    for number, start in enumerate(range(0, prompts, BLOCK)):
        block = task.sample(min(BLOCK, prompts - start), N, QUERIES, generator=generator).normalized()
        if number % 2:
            yield block, [""] * block.x.shape[0]
            continue
        chance = torch.rand(block.x.shape[0], generator=generator).tolist()
        which = torch.randint(len(kinds), (block.x.shape[0],), generator=generator).tolist()
        for prompt in zip(block.x, block.y, block.x_query, strict=True):
            bad, (spoil, says) = chance.pop() < 0.02, kinds[which.pop()]
            yield (spoil(prompt), [says]) if bad else (prompt, [""])


class Soaked(NamedTuple):
    """Counts: prompts answered, bad ones among them, and mistakes (lost, out of order, or reported wrongly)."""

    answered: int
    bad: int
    mistakes: int


def soak(
    prompts: int, *, generator: torch.Generator, depth: int = 20, batch: int = 1000, executor: Executor | None = None
) -> Soaked:
    """Return the counts of one run. Every tenth batch item is computed once more, alone, and must be the same."""
    model = Looped(ngd_layer(D, 1.0), depth)
    due: dict[int, tuple[object, list[str]]] = {}  # what has been read and not been answered yet: it stays small

    def items() -> Iterator[object]:
        for index, (item, says) in enumerate(source(prompts, generator)):
            due[index] = (item, says)
            yield item

    answered = bad = mistakes = 0
    alone, following = None, (0, 0)
    for answer in stream(model, items(), batch=batch, executor=executor):
        item, says = due[answer.item]
        expected = says[answer.row]
        mistakes += (answer.item, answer.row) != following
        mistakes += (expected not in answer.error) or (bool(expected) != (answer.decision is None))
        if isinstance(item, Prompts) and answer.item % 10 == 0:
            alone = model.decision(item) if answer.row == 0 else alone
            mistakes += not torch.equal(alone[answer.row], answer.decision)
        answered, bad = answered + 1, bad + bool(answer.error)
        last = answer.row + 1 == len(says)
        following = (answer.item + 1, 0) if last else (answer.item, answer.row + 1)
        if last:
            del due[answer.item]
    return Soaked(answered, bad, mistakes + abs(prompts - answered))


def _peak() -> float:
    """The largest memory that this process has had, in MB (0 where the system does not say)."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    """Run the soak test that the command line asks for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.soak", description="Many prompts, some bad, one stream.")
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    before, start = _peak(), time.perf_counter()
    generator = torch.Generator().manual_seed(asked.seed)
    done = soak(asked.prompts, generator=generator, depth=asked.depth, batch=asked.batch)
    seconds = time.perf_counter() - start
    print(f"{done.answered:,} prompts answered, {done.bad:,} of them bad, {done.mistakes} mistakes")
    print(f"{seconds:.0f} s; at most {_peak() - before:.0f} MB above the import")
    sys.exit(done.mistakes > 0)


if __name__ == "__main__":
    main()
