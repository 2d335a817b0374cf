"""What the hidden tests of homework 2 look at: fresh instances and the right answers.

It travels in the autograder's zip, next to the submission, and in no student's file. The one thing that both have is
``variant``, which the build copies into the notebook.
"""

import math

import numpy as np
import torch
from answers import call, close, drawn, head, named, numbers, path, separable, typed
from given import begin


def variant(student, salt="HOMEWORK_SALT"):
    """Return what belongs to one student alone: a layout, a Hessian, a teacher's step and a head, drawn from the id."""
    mine, draw = begin(student, salt, "hw2")
    mine.order = draw.sample(["point", "state", "spare"], 3)
    mine.on_board, mine.echo = draw.choice([True, False]), draw.choice([True, False])
    mine.least, mine.largest = round(draw.uniform(0.05, 0.2), 3), round(draw.uniform(0.8, 2.4), 3)
    mine.digits = draw.randint(4, 12)
    mine.step = draw.choice([0.6, 0.7, 0.8, 1.2, 1.3, 1.4])
    mine.c1, mine.c2 = round(draw.uniform(0.5, 3.0), 2), round(draw.uniform(0.1, 0.3), 2)
    return mine


def own(student):
    """Return the variant of the id that was typed into the notebook."""
    return variant(named(student))


# --- 1: the one-step problem


def _batch(seed, B, n, d):
    return drawn(seed, d, d), drawn(seed + 1, d, d), drawn(seed + 2, B, n, d), drawn(seed + 3, B, d)


def _student(A, B, z, w):
    return w + torch.stack([torch.softmax(zi @ A @ wi, 0) @ zi for zi, wi in zip(z, w, strict=True)]) @ B.T


def student_head(f):
    for seed, sizes in enumerate(((3, 5, 2), (1, 1, 3), (4, 7, 1))):
        A, B, z, w = _batch(10 * seed, *sizes)
        close(call(f, A, B, z, w), _student(A, B, z, w), "student")


def loss_at_construction(f):
    *_, z, w = _batch(70, 6, 9, 3)
    eye = torch.eye(3, dtype=torch.float64)
    for step in (0.4, 1.5):
        at = float(numbers(call(f, -eye, step * eye, z, w, step), "one_step_loss", ()))
        off = float(numbers(call(f, -eye, 0 * eye, z, w, step), "one_step_loss", ()))
        assert abs(at) < 1e-8, "one_step_loss: not 0 at the construction"
        assert off > 1e-3, "one_step_loss: 0 for a head that does nothing"


def loss_value(f):
    for seed, sizes in enumerate(((3, 5, 2), (5, 4, 3))):
        A, B, z, w = _batch(80 + 10 * seed, *sizes)
        goal = w + 0.7 * torch.stack([head(wi, zi) for zi, wi in zip(z, w, strict=True)])
        right = (_student(A, B, z, w) - goal).square().sum(-1).mean()
        close(call(f, A, B, z, w, 0.7), right, "one_step_loss")


# --- 2: what is taught


def masks(student, d):
    """Where the loss feels the score matrix, and where the value matrix."""
    mine = own(student)
    key = {"point": True, "state": mine.echo, "spare": False}
    query = {"point": mine.on_board, "state": True, "spare": False}
    keys, queries = (np.repeat([side[block] for block in mine.order], d) for side in (key, query))
    return np.outer(keys, queries), np.outer(np.ones(3 * d, dtype=bool), keys)


def taught(f, student, which):
    for d in (1, 3):
        returned = call(f, d)
        assert len(returned) == 2, "taught: expected two masks"
        got = numbers(returned[which], "taught", (3 * d, 3 * d)) != 0
        assert (got == masks(student, d)[which]).all(), f"taught: the {('score', 'value')[which]} mask is not right"


# --- 3: learning rates


def _spectrum(seed, low, high, d=5):
    basis = torch.linalg.qr(drawn(seed, d, d))[0]
    values = torch.linspace(low, high, d, dtype=torch.float64)
    return basis @ torch.diag(values) @ basis.T, low, high


SPECTRA = ((1, 0.2, 1.0), (2, 0.01, 3.0), (3, 0.9, 1.1), (4, 0.5, 0.5))


def rate(f):
    for spectrum in SPECTRA:
        H, low, high = _spectrum(*spectrum)
        for lr in (0.1, 0.6, 1.9, 3.0):
            close(call(f, H, lr), max(abs(1 - lr * low), abs(1 - lr * high)), "rate")


def best_lr(f):
    for spectrum in SPECTRA:
        H, low, high = _spectrum(*spectrum)
        close(call(f, H), 2 / (low + high), "best_lr")


def my_edge(value, student):
    typed(value, 2 / own(student).largest, 0.006, "my_edge")


def my_steps(value, student):
    mine = own(student)
    worst = (mine.largest - mine.least) / (mine.largest + mine.least)
    typed(value, math.ceil(mine.digits * math.log(10) / -math.log(worst)), 1, "my_steps")


# --- 4: training


TRAINED = {}  # a run takes seconds, and three tests look at it


def _trained(f, d, seed):
    if (d, seed) not in TRAINED:
        TRAINED[d, seed] = None  # a run that fails is not repeated
        TRAINED[d, seed] = call(f, d, seed, seconds=40)
    returned = TRAINED[d, seed]
    assert returned is not None, "train: raised, took too long, or returned nothing"
    assert len(returned) == 2, "train: expected two matrices, A and B"
    return [numbers(block, "train", (d, d)) for block in returned]


def value_block(f, student):
    block = _trained(f, 2, 0)[1]
    assert np.abs(block - own(student).step * np.eye(2)).max() < 0.03, "train: B is not within 0.03 of the construction"


def score_block(f):
    block = _trained(f, 2, 0)[0]
    assert np.abs(block + np.eye(2)).max() < 0.03, "train: A is not within 0.03 of the construction"


def another_dimension(f, student):
    A, B = _trained(f, 3, 1)
    for block, right in ((A, -1.0), (B, own(student).step)):
        assert np.abs(block - right * np.eye(3)).max() < 0.06, "train: not within 0.06 of the construction for d = 3"


# --- 5: the loop


LOOPS = ((1, 0.0, 30), (2, 0.02, 1), (3, 0.05, 60))


def _loop(seed, noise, step):
    z = separable(seed, 8, 3, margin=0.3)
    z = z / z.norm(dim=-1).max()
    A = -torch.eye(3, dtype=torch.float64) + noise * drawn(seed + 1, 3, 3)
    B = step * torch.eye(3, dtype=torch.float64) + noise * drawn(seed + 2, 3, 3)
    return A, B, z


def _iterates(A, B, z, step, depth):
    learned = [torch.zeros_like(z[0])]
    for _ in range(depth):
        learned.append(_student(A, B, z[None], learned[-1][None])[0])
    return torch.stack(learned), path(z, step, depth)


def deviation(f):
    for seed, noise, depth in LOOPS:
        A, B, z = _loop(seed, noise, 0.8)
        learned, exact = _iterates(A, B, z, 0.8, depth)
        got, right = call(f, A, B, z, 0.8, depth), float((learned - exact).norm(dim=-1).max())
        assert abs(float(numbers(got, "deviation", ())) - right) < 1e-3 * right + 1e-5, "deviation: not right"


def bound(f):
    for seed, noise, depth in LOOPS:
        A, B, z = _loop(seed, noise, 0.8)
        learned, _ = _iterates(A, B, z, 0.8, depth)
        once = torch.stack([w + 0.8 * head(w, z) for w in learned[:-1]])
        right = float((learned[1:] - once).norm(dim=-1).sum())
        got = float(numbers(call(f, A, B, z, 0.8, depth), "bound", ()))
        assert abs(got - right) < 1e-3 * right + 1e-4, "bound: not the sum of the layer's own errors"


def my_step(value, student):
    mine = own(student)
    typed(value, mine.c1 * mine.c2, 0.006, "my_step")
