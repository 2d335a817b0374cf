"""The one-step problem: a teacher's step, a student's loss on random states, and its curvature at the construction.

Source: chapter "Training one layer".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from . import losses, validate
from .attention import SoftmaxAttention
from .tasks import Prompts


class Task(Protocol):
    """A law of prompts: LinearTask, DatasetTask, or anything else that has a dimension and can be sampled."""

    @property
    def d(self) -> int:
        """Dimension of the points."""

    def sample(self, batch: int, n: int, *, generator: torch.Generator, dtype: torch.dtype) -> Prompts:
        """Return ``batch`` prompts of n points, on the generator's device."""


Teacher = Callable[[Tensor, Tensor, float], Tensor]


def _logistic(w: Tensor, z: Tensor, step: float) -> Tensor:
    """Weights sigmoid(-m_i) / sum_j log(1 + exp(-m_j)), in logarithms: at large margins both would underflow."""
    m = losses.margins(w, z)
    loss = -torch.nn.functional.logsigmoid(m)
    log_loss = torch.where(m > 40, -m, loss.log())  # log(1 + e) = e for e = exp(-40), to the last digit
    weights = torch.exp(torch.nn.functional.logsigmoid(-m) - torch.logsumexp(log_loss, -1, keepdim=True))
    return w + step * (weights[..., None, :] @ z)[..., 0, :]


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
    step * I; "leak": W_V's block from context to context, which has to vanish. The other entries are not identifiable:
    no prompt's output depends on them. ``step`` > 0: the teacher's.
    """
    step = validate.positive("step", step)
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
    """Return ``batch`` prompts of n points from the task, and random states w ~ N(0, w_scale^2 I / d)."""
    prompts = task.sample(batch, n, generator=generator, dtype=dtype)
    w = torch.randn(batch, task.d, generator=generator, dtype=dtype, device=generator.device)
    return prompts, w_scale * w / task.d**0.5


def one_step_loss(layer: SoftmaxAttention, prompts: Prompts, w: Tensor, target: Tensor) -> Tensor:
    """Return the mean over prompts of ||layer(state [0, w]) - [0, target]||^2, for w and target [B, d]."""
    zeros = torch.zeros_like(w)
    seen = layer.step(torch.cat([zeros, w], -1), prompts)
    return (seen - torch.cat([zeros, target], -1)).square().sum(-1).mean()


def free_blocks(layer: SoftmaxAttention, tokens: str) -> dict[str, Float[Tensor, "2d 2d"]]:
    """Return masks, 1 where an entry is trained: all entries ("full"), or the two d x d blocks ("state")."""
    d, full = layer.d, float(validate.one_of("tokens", tokens, TOKENS) == "full")
    masks = {"score": torch.full_like(layer.score, full), "value": torch.full_like(layer.value, full)}
    masks["score"][:d, d:] = 1
    masks["value"][d:, :d] = 1
    return masks


def _sample_loss(prompts: Prompts, w: Tensor, step: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The one-step loss on one sample as a function of the two d x d blocks [2, d, d], and the construction."""
    target = TEACHERS["ngd"](w, prompts.z, step)

    def loss(blocks: Tensor) -> Tensor:
        q = torch.softmax((w @ blocks[0].mT)[:, None] @ prompts.zt, -1)
        return (w + (q @ prompts.z)[:, 0] @ blocks[1].mT - target).square().sum(-1).mean()

    identity = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    return loss, torch.stack([-identity, step * identity])


def hessian(prompts: Prompts, w: Float[Tensor, "B d"], step: float = 1.0) -> Float[Tensor, "k k"]:
    """Return the Hessian of the one-step loss at the construction, k = 2 d^2: the score block first, then the value.

    For the NGD teacher with this ``step`` > 0, on the given sample of prompts and states; exact, by automatic
    differentiation. For d up to about 8. Raises BadInput where w does not fit the prompts.
    Source: chapter "Training one layer", section on the linear rate.
    """
    validate.shaped("w", w, "B d", B=prompts.x.shape[0], d=prompts.x.shape[2])
    validate.same_kind("w", w, "x", prompts.x)
    loss, start = _sample_loss(prompts, w, validate.positive("step", step))
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

    lambda_max is the largest eigenvalue of the Hessian (:func:`hessian`) on a sample of ``batch`` prompts and states,
    by ``iterations`` steps of Lanczos' method: Hessian-vector products only, so that d = 64 is no trouble. The sample
    should be large against d^2: a small one has sharper directions than the mean over prompts, which is what descent
    with fresh prompts feels on average. The edge is the same for full tokens: the third block that they can learn is
    uncoupled and no sharper than the value block. Fresh prompts add noise, hence ``safety`` below 1.
    """
    validate.positive("step", step), validate.whole("n", n, 2), validate.between("w_scale", w_scale, 0.0, 1e6)
    prompts, w = sample_states(task, batch, n, w_scale, validate.seeded(generator), torch.float64)
    loss, start = _sample_loss(prompts, w, step)
    v = torch.randn(start.shape, generator=generator, dtype=start.dtype, device=start.device)
    basis, images = [(v / v.norm()).flatten()], []
    for _ in range(min(validate.whole("iterations", iterations, 1), start.numel())):
        images.append(torch.autograd.functional.hvp(loss, start, basis[-1].view_as(start))[1].flatten())
        known, new = torch.stack(basis), images[-1]
        for _ in range(2):  # once is not enough: rounding
            new = new - known.mT @ (known @ new)
        if new.norm() <= 1e-10 * images[-1].norm():
            break  # the basis spans an invariant space
        basis.append(new / new.norm())
    reduced = torch.stack(basis[: len(images)]) @ torch.stack(images).mT
    return validate.positive("safety", safety) * 2 / float(torch.linalg.eigvalsh(reduced)[-1])
