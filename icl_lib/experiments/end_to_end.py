"""The transformers that come with the library, trained on final answers only; chapter "Trained end to end".

The nine files icl_lib/data/end_to_end_*.safetensors are made by (about 14 minutes on one core; a model whose file is
there is kept, and a run that was stopped goes on from its last 500 steps)::

    OMP_NUM_THREADS=1 python -m icl_lib.experiments.end_to_end --out icl_lib/data
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import torch

from .. import validate
from ..end_to_end import EndToEndRun, load, train_end_to_end
from ..tasks import LinearTask
from ..transformer import InContextTransformer

D, N = 5, 20
"""The prompts of training: Gaussian points in R^D, 2 to N of them in a context."""
WIDTH, HEADS = 32, 4
DEPTHS = (1, 2, 4)
SEEDS = (0, 1, 2)
STEPS = 3000


def untrained(depth: int, seed: int) -> InContextTransformer:
    """Return the model that training starts from."""
    g = torch.Generator().manual_seed(1000 + seed)
    return InContextTransformer(D, WIDTH, depth, HEADS, generator=g)


def train(depth: int, seed: int, steps: int = STEPS, checkpoint: Path | None = None) -> EndToEndRun:
    """Return a run from the start, or from where its ``checkpoint`` left it."""
    g = torch.Generator().manual_seed(seed)
    return train_end_to_end(untrained(depth, seed), LinearTask(D), generator=g, n=N, steps=steps, checkpoint=checkpoint)


def name(depth: int, seed: int) -> str:
    """Return the name of a model's file."""
    return f"end_to_end_depth{depth}_seed{seed}.safetensors"


@lru_cache
def shipped(depth: int = 4, seed: int = 0) -> EndToEndRun:
    """Return the run that comes with the library, or trains it anew if the environment says RETRAIN=1.

    Training takes one to five minutes, growing with the depth. Raises BadInput for a depth or seed without a file.
    """
    validate.one_of("depth", depth, DEPTHS)
    validate.one_of("seed", seed, SEEDS)
    if os.environ.get("RETRAIN") == "1":
        return train(depth, seed)
    with as_file(files("icl_lib") / "data" / name(depth, seed)) as path:
        return load(path)


def models(depth: int, trained: bool = True) -> list[InContextTransformer]:
    """Return the models of a depth, one a seed, in float64 for measuring; untrained ones as controls."""
    return [(shipped(depth, seed).model if trained else untrained(depth, seed)).double() for seed in SEEDS]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the models whose files are missing in ``--out``."""
    parser = argparse.ArgumentParser(prog="python -m icl_lib.experiments.end_to_end", description="Train the models.")
    parser.add_argument("--out", type=Path, required=True, help="the folder; files that it holds are kept")
    parser.add_argument("--depth", type=int, nargs="+", default=list(DEPTHS), help="numbers of blocks")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of every depth")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of training (default: {STEPS})")
    options = parser.parse_args(arguments)
    for depth in sorted(options.depth, reverse=True):
        for seed in options.seeds:
            place = validate.place("out", options.out / name(depth, seed))
            if place.exists():
                print(f"{place.name} is kept", flush=True)
                continue
            unfinished = place.with_suffix(".unfinished.safetensors")
            run = train(depth, seed, options.steps, unfinished)
            run.save(place)
            unfinished.unlink()
            print(f"{place.name}: {run}", flush=True)


if __name__ == "__main__":
    main()
