"""Right answers of chapter 15 in other forms; what holds of every exercise is in test_exercises."""

import numpy as np
import pytest
import torch

import icl_lib as icl
from icl_lib.exercises import Exercise, ch15

EXERCISES = {name: value for name, value in vars(ch15).items() if isinstance(value, Exercise)}


def test_the_chapter_has_its_two_exercises():
    assert list(EXERCISES) == ["kesler_tokens", "class_step"]


# --- right answers that are written in another way


def _tokens_of_the_library_in_another_order(x, y, K):
    return icl.kesler_prompts(x[None], y[None], K).z[0].flip(0)


def _tokens_in_numpy(x, y, K):
    unit = np.eye(K)
    return np.array(
        [np.kron(unit[k] - unit[c], p) for p, k in zip(x.numpy(), y, strict=True) for c in range(K) if c != k]
    )


def _step_by_autograd(W, x, y, step):
    W = W.clone().requires_grad_()
    terms = [(W[c] - W[k]) @ p for p, k in zip(x, y, strict=True) for c in range(len(W)) if c != k]
    slope = torch.autograd.grad(torch.logsumexp(torch.stack(terms), 0), W)[0]
    return (W - step * slope).detach()


def _step_by_the_layer_in_float32(W, x, y, step):
    prompts = icl.kesler_prompts(x[None].float(), y[None], len(W))
    w = W.float().flatten()[None]
    layer = icl.ngd_layer(w.shape[-1], step)
    return layer.read(layer.step(torch.cat([torch.zeros_like(w), w], -1), prompts)).view_as(W)


@pytest.mark.parametrize("answer", [_tokens_of_the_library_in_another_order, _tokens_in_numpy])
def test_other_right_tokens_pass(answer):
    assert ch15.kesler_tokens.check(answer)


@pytest.mark.parametrize("answer", [_step_by_autograd, _step_by_the_layer_in_float32])
def test_other_right_steps_pass(answer):
    assert ch15.class_step.check(answer)


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("kesler_tokens", lambda x, y, K: x, "a token of 6 entries"),
        ("kesler_tokens", lambda x, y, K: (x, x), "Return one tensor"),
        ("kesler_tokens", lambda x, y, K: torch.full((3, K * x.shape[1]), torch.nan), "NaN or infinity"),
        ("class_step", lambda W, x, y, step: W * torch.nan, "NaN or infinity"),
        ("class_step", lambda W, x, y, step: W.T, "returned shape"),
        ("class_step", lambda W, x, y, step: W + 1, "in no way I recognise"),
    ],
)
def test_a_malformed_answer_is_told_what_is_wrong(name, answer, told):
    verdict = EXERCISES[name].check(answer)
    assert not verdict
    assert verdict.mistake is None
    assert told in verdict.message
