"""Training one layer to imitate one step, with fresh prompts and a random state at every step of the optimiser.

The student is a :class:`~icl_lib.attention.SoftmaxAttention` with free matrices; the teacher maps (w, z) to the next w.
The loss is E ||student(w) - teacher(w)||^2, summed over coordinates. Source: chapter "Training one layer".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from . import checkpoints, validate
from .attention import SoftmaxAttention
from .one_step import (
    TEACHERS,
    TOKENS,
    Task,
    Teacher,
    distance_to_construction,
    free_blocks,
    one_step_loss,
    sample_states,
)
from .tasks import Prompts


class SignDescent(torch.optim.Optimizer):
    """Move every entry by the learning rate, against the sign of its gradient; an entry with gradient 0 stays."""

    def __init__(self, params: object, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad.sign())


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "sign": SignDescent,
    "full-batch": torch.optim.SGD,
}
"""Optimisers by name; "full-batch" is plain gradient descent that keeps its first sample of prompts and states."""

DECAYS: dict[str, Callable[[float], float]] = {"constant": lambda done: 1.0, "linear": lambda done: 1.0 - done}
"""What the learning rate is multiplied by, given the share of steps already done."""


@dataclass
class TrainingRun:
    """What a training run leaves behind.

    layer: the trained layer; settings: everything that determines the run but the seed; loss [steps] and distance
    (block -> [steps], the largest entry of the block's difference to the construction), both *before* each step;
    snapshots: step -> (score, value); diverged: whether the loss blew up, which ends the run; wall_s, cpu_s: seconds.
    """

    layer: SoftmaxAttention
    settings: dict
    loss: Float[Tensor, " steps"]
    distance: dict[str, Float[Tensor, " steps"]]
    snapshots: dict[int, tuple[Tensor, Tensor]] = field(repr=False)
    diverged: bool
    wall_s: float
    cpu_s: float

    @property
    def final_distance(self) -> float:
        """The largest entry of the difference to the construction after the last step, over identifiable blocks."""
        return max(distance_to_construction(self.layer, self.settings["step"]).values())


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

    teacher: a name in TEACHERS or a function (w [B, d], z [B, n, d], step) -> [B, d]; step: the teacher's step size;
    optimizer, decay: names in OPTIMIZERS, DECAYS; n >= 2 points a prompt; w_scale >= 0: the spread of the random
    states; tokens: "state" trains the two d x d blocks alone, "full" both 2d x 2d matrices; snapshots: steps at which
    to keep the matrices. With ``checkpoint``, a file, the run saves itself every ``checkpoint_every`` steps, and
    continues from that file, bit for bit, if it exists and its settings agree (BadInput if they do not).
    A loss that is no longer finite, or a million times the first one, ends the run with ``diverged``.
    """
    settings = {
        "d": layer.d,
        "dtype": str(layer.score.dtype),
        "task": {"kind": type(task).__name__, **asdict(task)},
        "teacher": teacher if isinstance(teacher, str) else getattr(teacher, "__qualname__", repr(teacher)),
        "step": validate.positive("step", step),
        "optimizer": validate.one_of("optimizer", optimizer, OPTIMIZERS),
        "lr": validate.positive("lr", lr),
        "decay": validate.one_of("decay", decay, DECAYS),
        "steps": validate.whole("steps", steps, 1),
        "batch": validate.whole("batch", batch, 1),
        "n": validate.whole("n", n, 2),
        "w_scale": validate.between("w_scale", w_scale, 0.0, 1e6),
        "tokens": validate.one_of("tokens", tokens, TOKENS),
    }
    if not callable(teacher):
        teacher = TEACHERS[validate.one_of("teacher", teacher, TEACHERS)]
    if layer.d != task.d:
        raise validate.fail("layer", f"d = {layer.d}", f"the task's dimension, {task.d}")
    trainer = _Trainer(layer, task, teacher, settings, validate.seeded(generator), snapshots)
    every, path = validate.whole("checkpoint_every", checkpoint_every, 1), checkpoint and Path(checkpoint)
    if path and path.exists():
        trainer.restore(path)
    for _ in _bar(trainer.done, steps, progress):
        if not trainer.advance():
            break
        if path and (trainer.done % every == 0 or trainer.done == steps):
            trainer.save(path)
    return trainer.run()


def _bar(start: int, stop: int, progress: bool) -> Iterable[int]:
    """A progress bar on a terminal or in a notebook; nothing in a log file, where it would only leave debris."""
    from tqdm import tqdm

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    options = {"initial": start, "total": stop, "desc": "training", "leave": False, "mininterval": 0.5}
    return tqdm(range(start, stop), disable=not (progress and watched), **options)


class _Trainer:
    """A run in progress: everything that has to be saved so that it can go on bit for bit."""

    def __init__(
        self,
        layer: SoftmaxAttention,
        task: Task,
        teacher: Teacher,
        settings: dict,
        generator: torch.Generator,
        snapshots: Sequence[int],
    ) -> None:
        self.layer, self.task, self.teacher, self.settings = layer, task, teacher, settings
        self.generator, self.snapshots_at, self.snapshots = generator, set(snapshots), {}
        self.begin = generator.get_state()
        self.done, self.diverged, self.sample = 0, False, None
        self.history: dict[str, list[float]] = {"loss": [], "score": [], "value": [], "leak": []}
        self.wall = self.cpu = 0.0
        self.parameters = {"score": layer.score, "value": layer.value}
        self.masks = free_blocks(layer, settings["tokens"])
        for p in self.parameters.values():
            p.requires_grad_(True)
        self.optimizer = OPTIMIZERS[settings["optimizer"]](list(self.parameters.values()), lr=settings["lr"])

    def draw(self) -> tuple[Prompts, Tensor]:
        """Fresh prompts and states; for full-batch descent, those of the first step."""
        if self.sample is None or self.settings["optimizer"] != "full-batch":
            s, dtype = self.settings, self.layer.score.dtype
            self.sample = sample_states(self.task, s["batch"], s["n"], s["w_scale"], self.generator, dtype)
        return self.sample

    def advance(self) -> bool:
        """Take one step of the optimiser; return whether the run may go on."""
        wall, cpu = time.perf_counter(), time.process_time()
        s = self.settings
        self.snapshot()
        for name, value in distance_to_construction(self.layer, s["step"]).items():
            self.history[name].append(value)
        prompts, w = self.draw()
        loss = one_step_loss(self.layer, prompts, w, self.teacher(w, prompts.z, s["step"]))
        self.history["loss"].append(float(loss.detach()))
        first = self.history["loss"][0]
        if not torch.isfinite(loss) or float(loss.detach()) > 1e6 * max(first, 1.0):
            self.diverged = True
            return False
        self.optimizer.zero_grad()
        loss.backward()
        for name, p in self.parameters.items():
            p.grad *= self.masks[name]
        for group in self.optimizer.param_groups:
            group["lr"] = s["lr"] * DECAYS[s["decay"]](self.done / s["steps"])
        self.optimizer.step()
        self.done += 1
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return True

    def snapshot(self) -> None:
        """Keep the matrices, if this step is one at which they are wanted."""
        if self.done in self.snapshots_at and self.done not in self.snapshots:
            self.snapshots[self.done] = tuple(p.detach().clone() for p in self.parameters.values())

    def run(self) -> TrainingRun:
        """The finished run; the layer's matrices are frozen again."""
        self.snapshot()
        for p in self.parameters.values():
            p.requires_grad_(False)
            p.grad = None
        loss = torch.tensor(self.history["loss"], dtype=torch.float64)
        distance = {k: torch.tensor(v, dtype=torch.float64) for k, v in self.history.items() if k != "loss"}
        shots = dict(sorted(self.snapshots.items()))
        return TrainingRun(self.layer, self.settings, loss, distance, shots, self.diverged, self.wall, self.cpu)

    def save(self, path: Path) -> None:
        """Write weights, optimiser state, random state, history and settings in one file, atomically."""
        tensors = {name: p.detach() for name, p in self.parameters.items()}
        tensors |= {"generator.begin": self.begin, "generator.now": self.generator.get_state()}
        tensors |= {f"history.{k}": torch.tensor(v, dtype=torch.float64) for k, v in self.history.items()}
        for step, shot in self.snapshots.items():
            tensors |= {f"snapshot.{step}.{name}": m for name, m in zip(self.parameters, shot, strict=True)}
        for name, p in self.parameters.items():
            tensors |= {f"optimizer.{name}.{k}": torch.as_tensor(v) for k, v in self.optimizer.state[p].items()}
        progress = {"done": self.done, "wall_s": self.wall, "cpu_s": self.cpu}
        checkpoints.save(path, tensors, {**self.settings, "progress": progress})

    def restore(self, path: Path) -> None:
        """Go on from a saved run. Raises BadInput if its settings are not this run's."""
        tensors, saved = checkpoints.load(path)
        progress = saved.pop("progress", None)
        if progress is None or saved != self.settings:
            names = sorted(k for k in self.settings if saved.get(k) != self.settings[k])
            seen = f"{path.name}, saved with " + ", ".join(f"{k} = {saved.get(k)!r}" for k in names)
            wanted = "the settings of this run (" + ", ".join(f"{k} = {self.settings[k]!r}" for k in names) + ")"
            raise validate.fail("checkpoint", seen, wanted)
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(tensors[name])
        for name, p in self.parameters.items():
            prefix = f"optimizer.{name}."
            entries = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if entries:
                self.optimizer.state[p] = entries
        for key in self.history:
            self.history[key] = tensors[f"history.{key}"].tolist()
        for key in (k for k in tensors if k.startswith("snapshot.") and k.endswith(".score")):
            stem = key.removesuffix(".score")
            self.snapshots[int(stem.split(".")[1])] = (tensors[key], tensors[f"{stem}.value"])
        if self.settings["optimizer"] == "full-batch":
            self.generator.set_state(tensors["generator.begin"])
            self.draw()
        self.begin = tensors["generator.begin"]
        self.generator.set_state(tensors["generator.now"])
        self.done, self.wall, self.cpu = progress["done"], progress["wall_s"], progress["cpu_s"]
