"""Training a transformer on final answers: fresh prompts at every step, cross-entropy on the queries' labels.

Nothing supervises what happens in between. The other road, one layer taught one step, is :mod:`icl_lib.training`.
Source: chapter "Trained end to end", after Garg et al. (2022).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import checkpoints, validate
from .progress import bar as progress_bar
from .tasks import LinearTask, Prompts
from .trainer import DECAYS
from .transformer import InContextTransformer

WARM_UP = 100
"""Over this many first steps the learning rate grows to its full size."""


@dataclass(frozen=True, repr=False)
class EndToEndRun:
    """What a run leaves behind: the trained model, the run's settings, loss [steps] before each step, CPU seconds."""

    model: InContextTransformer
    settings: dict
    loss: Float[Tensor, " steps"]
    cpu_s: float

    def __repr__(self) -> str:
        last = float(self.loss[-100:].mean())
        return (
            f"EndToEndRun({self.model.extra_repr()}: {len(self.loss)} steps, last loss {last:.3f}, {self.cpu_s:.0f} s)"
        )

    def save(self, path: str | Path) -> None:
        """Write model, settings and losses in one safetensors file; :func:`load` reads it."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()} | {"loss": self.loss.float()}
        checkpoints.save(
            path, tensors, {"run": self.settings, "progress": {"done": len(self.loss), "cpu_s": self.cpu_s}}
        )


def load(path: str | Path) -> EndToEndRun:
    """Return the run that a file holds. Raises BadInput for a file that is not one of ours, or not whole."""
    tensors, saved = checkpoints.load(path)
    if set(saved) != {"run", "progress"} or "model" not in saved["run"]:
        raise validate.fail(
            "checkpoint", f"{Path(path).name}, which holds no end-to-end run", "one of EndToEndRun.save"
        )
    model = InContextTransformer(**saved["run"]["model"], generator=torch.Generator())
    model.load_state_dict(_part(tensors, "model"))
    return EndToEndRun(model, saved["run"], tensors["loss"].double(), saved["progress"]["cpu_s"])


def answer_loss(model: nn.Module, prompts: Prompts) -> Float[Tensor, ""]:
    """Return the mean over queries of log(1 + exp(-y f(x))), the cross-entropy of the model's logits f(x)."""
    if prompts.y_query is None:
        raise validate.fail("prompts", "no labels of queries", "prompts sampled with queries >= 1")
    return nn.functional.softplus(-prompts.y_query * model(prompts)).mean()


def train_end_to_end(
    model: InContextTransformer,
    task: LinearTask,
    *,
    generator: torch.Generator,
    steps: int = 4000,
    batch: int = 64,
    n: int = 20,
    queries: int = 20,
    lr: float = 2e-3,
    decay: str = "linear",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> EndToEndRun:
    """Train ``model`` in place by Adam on fresh prompts, in float32, and return the run.

    At every step the length of the context is drawn from 2 to ``n``, and all ``queries`` of all ``batch`` prompts are
    answered at once. lr > 0: grows over WARM_UP steps (a tenth of a shorter run), then falls by ``decay`` in DECAYS;
    gradients longer than 1 are cut. With ``checkpoint``, a file, the run saves itself and, if the file exists, goes on
    from there, bit for bit; all settings must agree, the generator's seed included. Raises BadInput for a setting out
    of range, a model that does not fit the task, a file of another run, and a loss that overflows.
    """
    if model.sizes["d"] != task.d:
        raise validate.fail("model", f"d = {model.sizes['d']}", f"the task's dimension, {task.d}")
    settings = {
        "model": model.sizes,
        "task": repr(task),
        "steps": validate.whole("steps", steps, 1),
        "batch": validate.whole("batch", batch, 1),
        "n": validate.whole("n", n, 2),
        "queries": validate.whole("queries", queries, 1),
        "lr": validate.positive("lr", lr),
        "decay": validate.one_of("decay", decay, DECAYS),
        "seed": validate.seeded(generator).initial_seed(),
    }
    every, path = validate.whole("checkpoint_every", checkpoint_every, 1), None
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    losses, cpu = [], 0.0
    if checkpoint is not None:
        path = validate.place("checkpoint", checkpoint)
        if path.exists():
            losses, cpu = _resume(path, settings, model, optimizer, generator)
    begin = time.process_time() - cpu
    with progress_bar("training", len(losses), steps, progress, range(len(losses), steps)) as bar:
        for done in bar:
            length = int(torch.randint(2, n + 1, (), generator=generator))
            loss = answer_loss(model, task.sample(batch, length, queries, generator=generator))
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise validate.fail("lr", f"{lr:g}, with which the loss overflowed at step {done}", "a smaller one")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (done + 1) / min(WARM_UP, 1 + steps // 10)) * DECAYS[decay](done / steps)
            optimizer.step()
            if path and ((done + 1) % every == 0 or done + 1 == steps):
                _save(path, settings, model, optimizer, generator, losses, time.process_time() - begin)
    optimizer.zero_grad()
    return EndToEndRun(model, settings, torch.tensor(losses, dtype=torch.float64), time.process_time() - begin)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix + "."): t for k, t in tensors.items() if k.startswith(prefix + ".")}


def _save(
    path: Path,
    settings: dict,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    losses: list[float],
    cpu: float,
) -> None:
    """Write everything that a run needs to go on bit for bit."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, memory in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in memory.items()}
    tensors |= {"generator": generator.get_state(), "loss": torch.tensor(losses, dtype=torch.float64)}
    checkpoints.save(path, tensors, {"run": settings, "progress": {"done": len(losses), "cpu_s": cpu}})


def _resume(
    path: Path, settings: dict, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> tuple[list[float], float]:
    """Take over a saved run; return its losses and CPU seconds. Raises BadInput if it is not this run's file."""
    tensors, saved = checkpoints.load(path)
    if saved.get("run") != settings or "generator" not in tensors:
        old = saved.get("run", {})
        names = sorted(k for k in old | settings if old.get(k) != settings.get(k)) or ["no state of the optimiser"]
        raise validate.fail("checkpoint", f"{path.name}, which differs in {names}", "a checkpoint of this very run")
    model.load_state_dict(_part(tensors, "model"))
    state = optimizer.state_dict()
    memory = _part(tensors, "optimizer")
    state["state"] = {int(i): _part(memory, i) for i in {name.split(".")[0] for name in memory}}
    optimizer.load_state_dict(state)
    generator.set_state(tensors["generator"])
    return tensors["loss"].tolist(), saved["progress"]["cpu_s"]
