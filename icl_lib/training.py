"""Training one layer to imitate one step, with fresh prompts and a random state at every step of the optimiser.

The student is a :class:`~icl_lib.attention.SoftmaxAttention` with free matrices; the teacher maps (w, z) to the next w.
The loss is E ||student(w) - teacher(w)||^2, summed over coordinates. Source: chapter "Training one layer".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .attention import SoftmaxAttention
from .one_step import TEACHERS, TOKENS, Task, Teacher, distance_to_construction
from .progress import bar as progress_bar
from .trainer import DECAYS, OPTIMIZERS, SignDescent, Trainer

__all__ = ["DECAYS", "OPTIMIZERS", "SignDescent", "TrainingRun", "train_one_step"]


@dataclass(frozen=True, repr=False)
class TrainingRun:
    """What a training run leaves behind.

    layer: the trained layer; settings: what determines the run, besides the layer's first matrices; loss [steps] and
    distance (block -> [steps], the largest entry of the block's difference to the construction), both *before* each
    step; final_distance: the largest of these differences after the last step; snapshots: step -> (score, value);
    wall_s, cpu_s: seconds spent on the steps, over all sessions of a resumed run.

    diverged: whether the run blew up and was cut short. Then the histories end with the step that could not be taken
    (its loss may be inf or NaN), and the layer holds the last finite matrices.
    """

    layer: SoftmaxAttention
    settings: dict
    loss: Float[Tensor, " steps"]
    distance: dict[str, Float[Tensor, " steps"]]
    final_distance: float
    snapshots: dict[int, tuple[Tensor, Tensor]]
    diverged: bool
    wall_s: float
    cpu_s: float

    def __repr__(self) -> str:
        s, taken = self.settings, len(self.loss) - self.diverged
        how = f"diverged after {taken} of {s['steps']} steps" if self.diverged else f"{taken} steps"
        seen = f"last loss {float(self.loss[-1]):.1e}, distance to the construction {self.final_distance:.1e}"
        return f"TrainingRun({s['optimizer']}, lr = {s['lr']:g}, d = {s['d']}: {how}, {seen}, {self.wall_s:.1f} s)"


def train_one_step(
    layer: SoftmaxAttention,
    task: Task,
    teacher: str | Teacher = "ngd",
    *,
    generator: torch.Generator,
    step: float = 1.0,
    optimizer: str = "sgd",
    lr: float = 1.0,
    decay: str = "constant",
    steps: int = 200,
    batch: int = 256,
    n: int = 40,
    w_scale: float = 1.0,
    tokens: str = "state",
    snapshots: Sequence[int] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 50,
    progress: bool = True,
) -> TrainingRun:
    """Train ``layer`` in place to imitate one step of the teacher, and return the run.

    teacher: a name in TEACHERS or a function (w [B, d], z [B, n, d], step) -> [B, d]; step > 0: the teacher's;
    optimizer, decay: names in OPTIMIZERS, DECAYS; 0 < lr <= 1e6; steps, batch >= 1; n >= 2 points a prompt; w_scale
    from 0 to 1e6: the spread of the random states, w ~ N(0, w_scale^2 I / d); tokens: "state" trains the two d x d
    blocks alone, "full" both 2d x 2d matrices; snapshots: steps, 0 to ``steps``, before which to keep the matrices
    (``steps`` itself: at the end); progress: a bar, on a terminal or in a notebook.

    With ``checkpoint``, a file, the run saves itself every ``checkpoint_every`` steps and at its end. If the file
    exists, the run goes on from there, bit for bit, and what the layer held before is replaced; a finished run comes
    back as it was. Every setting must agree, ``steps`` and the generator's seed included: to train a finished run
    further, train its layer again, with another file. Functions and tasks are compared by name and by repr.

    A run whose loss is not finite or a million times the first one, or whose matrices overflow, ends there and says
    so: ``run.diverged``. Raises BadInput, before anything is trained, for a setting out of range, a layer that does
    not fit the task, a file that is not this run's checkpoint (it is left alone); later only where the teacher's
    answer is malformed. Source: chapter "Training one layer".
    """
    settings = {
        "d": _trainable(layer, task, validate.seeded(generator)),
        "dtype": str(layer.score.dtype),
        "layer": f"{type(layer).__name__}({layer.extra_repr()})",
        "task": repr(task) if is_dataclass(task) else type(task).__qualname__,
        "teacher": _teacher_name(teacher),
        "step": validate.positive("step", step),
        "optimizer": validate.one_of("optimizer", optimizer, OPTIMIZERS),
        "lr": validate.between("lr", validate.positive("lr", lr), 0.0, 1e6),
        "decay": validate.one_of("decay", decay, DECAYS),
        "steps": validate.whole("steps", steps, 1),
        "batch": validate.whole("batch", batch, 1),
        "n": validate.whole("n", n, 2),
        "w_scale": validate.between("w_scale", w_scale, 0.0, 1e6),
        "tokens": validate.one_of("tokens", tokens, TOKENS),
        "snapshots": sorted({validate.whole("snapshots", at) for at in snapshots}),
        "seed": generator.initial_seed(),
    }
    if settings["snapshots"] and settings["snapshots"][-1] > steps:
        raise validate.fail("snapshots", settings["snapshots"][-1], f"steps from 0 to {steps}")
    every, path = validate.whole("checkpoint_every", checkpoint_every, 1), None
    trainer = Trainer(layer, task, teacher if callable(teacher) else TEACHERS[teacher], settings, generator)
    if checkpoint is not None:
        path = validate.place("checkpoint", checkpoint)
        if path.exists():
            trainer.restore(path)
    with trainer, progress_bar("training", trainer.done, steps, progress, range(trainer.done, steps)) as bar:
        for done in bar:
            if not trainer.advance():
                break
            if path and ((done + 1) % every == 0 or done + 1 == steps):
                trainer.save(path)
    trainer.snapshot()
    return TrainingRun(
        layer=layer,
        settings=settings,
        loss=torch.tensor(trainer.loss, dtype=torch.float64),
        distance={name: torch.tensor(seen, dtype=torch.float64) for name, seen in trainer.distance.items()},
        final_distance=max(distance_to_construction(layer, settings["step"]).values()),
        snapshots=trainer.snapshots,
        diverged=trainer.diverged,
        wall_s=trainer.wall,
        cpu_s=trainer.cpu,
    )


def _trainable(layer: SoftmaxAttention, task: Task, generator: torch.Generator) -> int:
    """The dimension of a layer whose matrices can be trained on the task."""
    if not isinstance(layer, SoftmaxAttention):
        raise validate.fail("layer", type(layer).__name__, "a SoftmaxAttention")
    size = 2 * layer.d
    for name in ("score", "value"):
        validate.shaped(f"layer.{name}", getattr(layer, name), "2d 2d", **{"2d": size})
    validate.same_kind("layer.value", layer.value, "layer.score", layer.score)
    if layer.d != task.d:
        raise validate.fail("layer", f"d = {layer.d}", f"the task's dimension, {task.d}")
    if layer.score.device != generator.device:
        raise validate.fail("generator", f"one on {generator.device}", f"one on the layer's {layer.score.device}")
    return layer.d


def _teacher_name(teacher: str | Teacher) -> str:
    if callable(teacher):
        return getattr(teacher, "__qualname__", type(teacher).__qualname__)
    return validate.one_of("teacher", teacher, TEACHERS)
