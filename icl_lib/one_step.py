"""The one-step problem: a teacher's step, a student's loss on random states, and its curvature at the construction.

Source: chapter "Training one layer".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from . import losses, validate
from .attention import SoftmaxAttention
from .tasks import DatasetTask, LinearTask, Prompts

Task = LinearTask | DatasetTask
Teacher = Callable[[Tensor, Tensor, float], Tensor]


def _logistic(w: Tensor, z: Tensor, step: float) -> Tensor:
    return w - step * losses.logistic_loss_grad(w, z) / losses.logistic_loss(w, z)[..., None]


TEACHERS: dict[str, Teacher] = {
    "ngd": lambda w, z, step: w - step * losses.log_mean_exp_grad(w, z),
    "gd": lambda w, z, step: w - step * losses.exponential_loss_grad(w, z),
    "logistic": _logistic,
}
"""One step from w [B, d] on folded contexts z [B, n, d]: on the exponential loss, normalised by itself ("ngd") or
plain ("gd"), or on the logistic loss normalised by itself ("logistic")."""

TOKENS = ("state", "full")


def distance_to_construction(layer: SoftmaxAttention, step: float) -> dict[str, float]:
    """Return, for every identifiable block, the largest entry of its difference to the construction.

    "score": W_QK's context-key, state-query block against -I; "value": W_V's block from context to state against
    step * I; "leak": W_V's block from context to context, which has to vanish.
    """
    d, identity = layer.d, torch.eye(layer.d, dtype=layer.score.dtype, device=layer.score.device)
    blocks = {
        "score": layer.score[:d, d:] + identity,
        "value": layer.value[d:, :d] - step * identity,
        "leak": layer.value[:d, :d],
    }
    return {name: float(block.detach().abs().max()) for name, block in blocks.items()}


def sample_states(
    task: Task, batch: int, n: int, w_scale: float, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Prompts, Float[Tensor, "B d"]]:
    """Return prompts from the task and random states w ~ N(0, w_scale^2 I / d)."""
    prompts = task.sample(batch, n, generator=generator, dtype=dtype)
    w = torch.randn(batch, task.d, generator=generator, dtype=dtype, device=generator.device)
    return prompts, w_scale * w / task.d**0.5


def one_step_loss(layer: SoftmaxAttention, prompts: Prompts, w: Tensor, target: Tensor) -> Tensor:
    """Return the mean over prompts of ||layer(state [0, w]) - [0, target]||^2."""
    zeros = torch.zeros_like(w)
    seen = layer.step(torch.cat([zeros, w], -1), prompts)
    return (seen - torch.cat([zeros, target], -1)).square().sum(-1).mean()


def free_blocks(layer: SoftmaxAttention, tokens: str) -> dict[str, Tensor]:
    """Return masks, 1 where an entry is trained: all entries ("full"), or the two d x d blocks ("state")."""
    d = layer.d
    masks = {"score": torch.ones_like(layer.score), "value": torch.ones_like(layer.value)}
    if tokens == "state":
        for mask in masks.values():
            mask.zero_()
        masks["score"][:d, d:] = 1
        masks["value"][d:, :d] = 1
    return masks


def _sample_loss(prompts: Prompts, w: Tensor, step: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The one-step loss on one sample as a function of the two d x d blocks [2, d, d], and the construction."""
    d = w.shape[1]
    target = TEACHERS["ngd"](w, prompts.z, step)

    def loss(blocks: Tensor) -> Tensor:
        q = torch.softmax((w @ blocks[0].mT)[:, None] @ prompts.zt, -1)
        return (w + (q @ prompts.z)[:, 0] @ blocks[1].mT - target).square().sum(-1).mean()

    return loss, torch.stack([-torch.eye(d), step * torch.eye(d)]).to(w)


def hessian(prompts: Prompts, w: Float[Tensor, "B d"], step: float = 1.0) -> Float[Tensor, "k k"]:
    """Return the Hessian of the one-step loss at the construction, k = 2 d^2: the score block first, then the value.

    On the given sample of prompts and states; exact, by automatic differentiation. For d up to about 8.
    """
    loss, start = _sample_loss(prompts, w, step)
    size = start.numel()
    return torch.autograd.functional.hessian(loss, start).reshape(size, size)


def stable_learning_rate(
    task: Task,
    *,
    generator: torch.Generator,
    step: float = 1.0,
    n: int = 40,
    batch: int = 4096,
    w_scale: float = 1.0,
    safety: float = 0.5,
    iterations: int = 20,
) -> float:
    """Return ``safety`` times 2 / lambda_max, the edge of stability of gradient descent at the construction.

    lambda_max, the largest eigenvalue of the Hessian on a sample of ``batch`` prompts, by power iteration with
    Hessian-vector products, so that d = 64 is no trouble. The sample should be large against d^2: a small one has
    sharper directions than the mean over prompts, which is what descent with fresh prompts feels on average.
    """
    prompts, w = sample_states(task, batch, n, w_scale, validate.seeded(generator), torch.float64)
    loss, start = _sample_loss(prompts, w, step)
    v = torch.randn(start.shape, generator=generator, dtype=torch.float64)
    for _ in range(validate.whole("iterations", iterations, 1)):
        v = torch.autograd.functional.hvp(loss, start, v / v.norm())[1]
    # after the last product of a unit vector, the length of v is the eigenvalue
    return validate.positive("safety", safety) * 2 / float(v.norm())
