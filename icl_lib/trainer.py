"""What runs inside :func:`~icl_lib.training.train_one_step`: optimisers, and a run that can be saved and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from . import checkpoints, validate
from .attention import SoftmaxAttention
from .one_step import Task, Teacher, distance_to_construction, free_blocks, one_step_loss, sample_states
from .tasks import Prompts


class SignDescent(torch.optim.Optimizer):
    """Move every entry by the learning rate, against the sign of its gradient; an entry with gradient 0 stays."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
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

BLOW_UP = 1e6
"""A loss this many times the first one (or 1, if that is larger) ends the run."""


class Trainer:
    """A run in progress: everything that has to be saved so that it can go on bit for bit.

    A context: the layer's matrices are trainable inside, and frozen again however it is left.
    """

    def __init__(
        self, layer: SoftmaxAttention, task: Task, teacher: Teacher, settings: dict, generator: torch.Generator
    ) -> None:
        self.layer, self.task, self.teacher, self.settings = layer, task, teacher, settings
        self.generator, self.begin = generator, generator.get_state()
        self.done, self.diverged, self.sample = 0, False, None
        self.loss: list[float] = []
        self.distance: dict[str, list[float]] = {"score": [], "value": [], "leak": []}
        self.snapshots: dict[int, tuple[Tensor, Tensor]] = {}
        self.wall = self.cpu = 0.0
        self.parameters = {"score": layer.score, "value": layer.value}
        self.masks = free_blocks(layer, settings["tokens"])
        self.optimizer = OPTIMIZERS[settings["optimizer"]](list(self.parameters.values()), lr=settings["lr"])

    def __enter__(self) -> None:
        for p in self.parameters.values():
            p.requires_grad_(True)

    def __exit__(self, *error: object) -> None:
        for p in self.parameters.values():
            p.requires_grad_(False)
            p.grad = None

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
        prompts, w = self.draw()
        target = self.teacher(w, prompts.z, s["step"])
        validate.shaped("teacher", target, "B d", B=s["batch"], d=s["d"])
        validate.same_kind("teacher", target, "w", w)
        loss = one_step_loss(self.layer, prompts, w, target.detach())
        for name, value in distance_to_construction(self.layer, s["step"]).items():
            self.distance[name].append(value)
        self.loss.append(loss.item())
        if math.isfinite(loss.item()) and loss.item() <= BLOW_UP * max(self.loss[0], 1.0):
            self.descend(loss)
        else:
            self.diverged = True
        self.done += not self.diverged
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return not self.diverged

    def descend(self, loss: Tensor) -> None:
        """Let the optimiser take its step; undo it if anything overflows."""
        s, before = self.settings, self.matrices()
        self.optimizer.zero_grad()
        loss.backward()
        for name, p in self.parameters.items():
            p.grad *= self.masks[name]
        for group in self.optimizer.param_groups:
            group["lr"] = s["lr"] * DECAYS[s["decay"]](self.done / s["steps"])
        self.optimizer.step()
        if not all(torch.isfinite(t).all() for t in self.state().values()):
            self.diverged = True
            self.put(*before)

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Copies of the score and the value matrix."""
        return self.layer.score.detach().clone(), self.layer.value.detach().clone()

    def put(self, score: Tensor, value: Tensor) -> None:
        """Give the layer these matrices."""
        with torch.no_grad():
            self.layer.score.copy_(score)
            self.layer.value.copy_(value)

    def state(self) -> dict[str, Tensor]:
        """The matrices and what the optimiser remembers of each."""
        tensors = {name: p.detach() for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            memory = {k: v for k, v in self.optimizer.state[p].items() if v is not None}
            tensors |= {f"optimizer.{name}.{k}": torch.as_tensor(v) for k, v in memory.items()}
        return tensors

    def snapshot(self) -> None:
        """Keep the matrices, if this step is one at which they are wanted."""
        if self.done in self.settings["snapshots"]:
            self.snapshots[self.done] = self.matrices()

    def save(self, path: Path) -> None:
        """Write matrices, optimiser state, random state, history and settings in one file, atomically."""
        tensors = self.state() | {"generator.begin": self.begin, "generator.now": self.generator.get_state()}
        tensors["loss"] = torch.tensor(self.loss, dtype=torch.float64)
        tensors |= {f"distance.{k}": torch.tensor(v, dtype=torch.float64) for k, v in self.distance.items()}
        for at, shot in self.snapshots.items():
            tensors |= {f"snapshot.{at}.score": shot[0], f"snapshot.{at}.value": shot[1]}
        progress = {"done": self.done, "wall_s": self.wall, "cpu_s": self.cpu}
        checkpoints.save(path, tensors, {"run": self.settings, "progress": progress})

    def restore(self, path: Path) -> None:
        """Go on from a saved run. Raises BadInput, and changes nothing, if its settings are not this run's."""
        tensors, saved = checkpoints.load(path)
        if set(saved) != {"run", "progress"}:
            raise validate.fail("checkpoint", f"{path.name}, which holds no training run", "one of train_one_step")
        old, new, progress = saved["run"], self.settings, saved["progress"]
        if names := sorted(k for k in old | new if old.get(k) != new.get(k)):
            seen = f"{path.name}, saved with " + ", ".join(f"{k} = {old.get(k)!r}" for k in names)
            wanted = "the settings of this run, " + ", ".join(f"{k} = {new.get(k)!r}" for k in names)
            raise validate.fail("checkpoint", seen, f"{wanted} (or another file)")
        self.put(tensors["score"], tensors["value"])
        for name, p in self.parameters.items():
            prefix = f"optimizer.{name}."
            memory = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if memory:  # moments live beside the matrix, step counters stay on the CPU
                self.optimizer.state[p] = {k: v.to(p) if v.ndim else v for k, v in memory.items()}
        self.loss = tensors["loss"].tolist()
        self.distance = {name: tensors[f"distance.{name}"].tolist() for name in self.distance}
        for at in [at for at in new["snapshots"] if f"snapshot.{at}.score" in tensors]:
            self.snapshots[at] = tuple(tensors[f"snapshot.{at}.{name}"].to(p) for name, p in self.parameters.items())
        self.begin = tensors["generator.begin"]
        if new["optimizer"] == "full-batch":
            self.generator.set_state(self.begin)
            self.draw()
        self.generator.set_state(tensors["generator.now"])
        self.done, self.wall, self.cpu = progress["done"], progress["wall_s"], progress["cpu_s"]
