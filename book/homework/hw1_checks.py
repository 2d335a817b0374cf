"""What the hidden tests of homework 1 look at: fresh instances, the right answers, and a time limit for every call.

It travels in the autograder's zip, next to the submission, and in no student's file. The one thing that both have is
``variant``, which the build copies into the notebook.
"""

import math

import numpy as np
import torch
from answers import ROUNDING, call, close, drawn, head, named, numbers, path, separable, typed
from given import begin


def variant(student, salt="HOMEWORK_SALT"):
    """Return what belongs to one student alone: a layout, a loss, and a prompt, drawn from the id."""
    mine, draw = begin(student, salt, "hw1")
    mine.layout = draw.sample(["point", "state", "spare"], 3)
    mine.rho = draw.choice([-3.0, -2.0, -0.5, 0.4, 2.0, 2.5])
    mine.n, mine.padding = draw.randint(12, 60), draw.randint(2, 9)
    mine.tau = draw.choice([0.25, 0.4, 0.5, 2.0, 2.5, 4.0])
    mine.c_plus, mine.c_minus = draw.sample([0.5, 1.0, 2.0, 3.0, 5.0, 8.0], 2)
    mine.step = draw.choice([0.2, 0.3, 0.5, 0.7, 0.9])
    mine.prompt = [[round(draw.uniform(-0.5, 0.5), 2) for _ in range(3)] for _ in range(10)]
    for z in mine.prompt:  # every point at least 0.2 from a hyperplane: separable
        z[0] = round(abs(z[0]) + 0.2, 2)
    turn = draw.uniform(0.3, 1.2)
    c, s = math.cos(turn), math.sin(turn)
    mine.prompt = [[round(c * a - s * b, 3), round(s * a + c * b, 3), e] for a, b, e in mine.prompt]
    return mine


def own(student):
    """Return the variant of the id that was typed into the notebook."""
    return variant(named(student))


SHAPES = ((5, 2), (1, 3), (12, 4))  # n, d; one of them a single token


# --- 1: folding


def _labelled(seed, n, d):
    y = (drawn(seed + 50, n) > 0).to(torch.int64)
    return drawn(seed, n, d), y, drawn(seed + 90, d)


def fold(f):
    for seed, (n, d) in enumerate(SHAPES):
        x, y, _ = _labelled(seed, n, d)
        for labels in (y, 1 - y, y.double()):  # integers, the other class, and floating-point numbers
            close(call(f, x, labels), (2 * labels.double() - 1)[:, None] * x, "fold")


def make_tokens(f):
    for seed, (n, d) in enumerate(SHAPES):
        x, y, query = _labelled(seed, n, d)
        right = torch.zeros(n + 1, 2 * d, dtype=torch.float64)
        right[:-1, :d], right[-1, :d] = (2 * y.double() - 1)[:, None] * x, query
        close(call(f, x, y, query), right, "make_tokens")


# --- 2: the layer


def _tokens(z, query, w):
    rows = [torch.cat([z, torch.zeros_like(z)], 1), torch.cat([query, w])[None]]
    return torch.cat(rows)


def _after(f, z, query, w, step):
    """What the layer makes of these tokens, and that it made something: a layer that does nothing earns nothing."""
    tokens = _tokens(z, query, w)
    after = numbers(call(f, tokens, step), "layer", tokens.shape)
    assert np.abs(after - tokens.numpy()).max() > 1e-9, "layer: nothing moved"
    return after


def layer_update(f):
    for seed, (n, d) in enumerate(SHAPES):
        z, w = drawn(seed, n, d), drawn(seed + 9, d)
        for query, step in ((drawn(seed + 5, d), 0.7), (torch.zeros(d, dtype=torch.float64), 1.9)):
            close(_after(f, z, query, w, step)[-1, d:], w + step * head(w, z), "state block after the layer")


def layer_ignores_query(f):
    z, w = drawn(21, 4, 3), drawn(22, 3)
    one, other = (_after(f, z, scale * drawn(23, 3), w, 0.8)[-1, 3:] for scale in (1.0, -5.0))
    close(one, other, "the query changes the update: the state token")


def layer_leaves_the_rest(f):
    z, query, w = drawn(31, 6, 2), drawn(32, 2), drawn(33, 2)
    after = _after(f, z, query, w, 0.8)
    assert np.abs(after[-1, 2:] - w.numpy()).max() > 1e-9, "the state block did not move"
    close(after[:-1], _tokens(z, query, w)[:-1], "context tokens: they are read only, and")
    close(after[-1, :2], query, "the query on board: it must survive, and")


def layer_large_margins(f):
    for scale in (1.0, -1.0):  # all margins near +1000, then near -1000: exp of either is 0 or infinity
        z, w = separable(41, 6, 3), torch.tensor([1000.0 * scale, 3.0, -2.0], dtype=torch.float64)
        after = _after(f, z, drawn(42, 3), w, 500.0)[-1, 3:] - w.numpy()
        close(after, 500.0 * head(w, z), "an update at margins of a thousand", 1e-3)


# --- 3: the two matrices, in the student's own layout


def _place(mine, d, **blocks):
    """One token [3d], or several, laid out as this student's prompts are."""
    return torch.cat([blocks[name] for name in mine.layout], -1)


def _matrices(f, d, step, size):
    score, value = torch.from_numpy(numbers(call(f, d, step), "two matrices, score and value", (2, size, size)))
    assert score.abs().max() > 0, "the score matrix is zero"
    assert value.abs().max() > 0, "the value matrix is zero"
    return score, value


def _own_layout(f, student, seed, d, step, junk):
    mine = own(student)
    z, w, query = drawn(seed, 7, d), drawn(seed + 1, d), drawn(seed + 2, d)
    zero = torch.zeros_like(z)
    context = _place(mine, d, point=z, state=zero, spare=junk * drawn(seed + 3, 7, d))
    state = _place(mine, d, point=query, state=mine.rho * w, spare=junk * drawn(seed + 4, d))
    score, value = _matrices(f, d, step, 3 * d)
    weights, q = torch.softmax(context @ score @ state, 0), torch.softmax(-z @ w, 0)
    read = value @ (q @ context)  # at the right weights: a mistake in the scores costs its own points only
    right = _place(mine, d, point=0 * w, state=mine.rho * step * head(w, z), spare=0 * w)
    return weights, q, read, right


def own_weights(f, student):
    for seed, d in ((100, 1), (110, 3)):
        weights, right, *_ = _own_layout(f, student, seed, d, 0.6, junk=0.0)
        close(weights, right, "attention weights in your layout")


def own_update(f, student):
    for seed, d in ((120, 1), (130, 3)):
        for step in (0.3, 1.7):
            *_, read, right = _own_layout(f, student, seed, d, step, junk=0.0)
            close(read, right, "what is read, in your layout")


def own_spare(f, student):
    quiet = _own_layout(f, student, 140, 2, 0.6, junk=0.0)
    loud = _own_layout(f, student, 140, 2, 0.6, junk=3.0)
    close(loud[0], quiet[0], "the spare block changes the weights: they")
    close(loud[2], quiet[2], "the spare block changes what is read: it")
    assert quiet[2].abs().max() > 1e-9, "nothing is read from the point block"
    alone = quiet[2].numpy()[np.repeat([name != "state" for name in own(student).layout], 2)]
    assert np.abs(alone).max() < 1e-9, "something is written outside the state block"


# --- 4: the mask trap


def share(f):
    cases = [(drawn(s, n), k) for s, n, k in ((1, 5, 0), (2, 1, 3), (3, 40, 7))]
    for m, k in [*cases, (torch.full((6,), 30.0, dtype=torch.float64), 2)]:
        S = torch.exp(-m).sum()
        right = float(S / (S + 1 + k))
        got = float(numbers(call(f, m, k), "share", ()))
        assert abs(got - right) <= ROUNDING * right, "share: the values are not right"


def trap_loss(f):
    """Any function will do whose gradient is the right one: a constant more or less changes no step."""
    for seed, (n, d) in enumerate(SHAPES):
        for k in (0, 4):
            z, w = drawn(seed, n, d), 0.5 * drawn(seed + 9, d)
            terms = torch.exp(-z @ w)
            right = -(terms @ z) / (1 + k + terms.sum())
            h = 1e-4  # central differences in float64: an error of 1e-8 or so
            sides = [
                [float(numbers(call(f, w + s * h * e, z, k), "trap_loss", ())) for s in (1, -1)] for e in torch.eye(d)
            ]
            slope = np.array([(up - down) / (2 * h) for up, down in sides])
            assert np.abs(slope - right.numpy()).max() < 1e-3 * max(float(right.abs().max()), 0.1), (
                "trap_loss: its gradient is not the trapped layer's update"
            )


def half_margin(value, student):
    mine = own(student)
    typed(value, math.log(mine.n / (1 + mine.padding)), 0.006, "half_margin")


# --- 5: another loss


def _other_loss(f, student, seed, d, step, labels):
    mine = own(student)
    z, w, query = drawn(seed, 8, d), drawn(seed + 1, d), drawn(seed + 2, d)
    y = {"mixed": torch.sign(drawn(seed + 3, 8)), "one class": torch.ones(8)}[labels].double()
    context = torch.cat([z, 0 * z, y[:, None], torch.zeros(8, 1, dtype=torch.float64)], 1)
    state = torch.cat([query, w, torch.tensor([0.0, 1.0], dtype=torch.float64)])
    score, value = _matrices(f, d, step, 2 * d + 2)
    weights = torch.softmax(context @ score @ state, 0)
    c = torch.where(y > 0, mine.c_plus, mine.c_minus)
    q = c * torch.exp(-z @ w / mine.tau)
    q = q / q.sum()
    right = torch.zeros(2 * d + 2, dtype=torch.float64)
    right[d : 2 * d] = step / mine.tau * (q @ z)
    return weights, q, value @ (q @ context), right  # read at the right weights, as in question 3


def other_temperature(f, student):
    for seed, d in ((200, 1), (210, 3)):
        weights, right, *_ = _other_loss(f, student, seed, d, 0.6, "one class")
        close(weights, right, "attention weights for labels of one class")


def other_weights(f, student):
    for seed, d in ((220, 2), (230, 4)):
        weights, right, *_ = _other_loss(f, student, seed, d, 0.6, "mixed")
        close(weights, right, "attention weights for labels of both classes")


def other_update(f, student):
    for seed, d in ((240, 2), (250, 3)):
        for step in (0.4, 1.3):
            *_, read, right = _other_loss(f, student, seed, d, step, "mixed")
            close(read, right, "the update")


# --- 6: the loop and its certificate


def loop(f):
    for seed, depth, step in ((1, 0, 1.0), (2, 1, 0.7), (3, 60, 0.9)):
        z = separable(seed, 6, 3) / 3
        close(call(f, z, step, depth), path(z, step, depth), "loop", 1e-3)


def _pair(f, z, w):
    returned = numbers(call(f, z, w), "certificate", (2,))
    return float(returned[0]), float(returned[1])


CERTIFIED = ((1, 0.3), (2, 4.0), (3, 40.0))


def certificate_lower(f):
    for seed, length in CERTIFIED:
        z, w = separable(seed, 7, 3), length * drawn(seed + 5, 3)  # w is wrong on some tokens: then it is negative
        right = float((z @ w).min() / w.norm())
        assert abs(_pair(f, z, w)[0] - right) < 1e-3 * max(1, abs(right)), "certificate: the lower bound is not right"


def certificate_upper(f):
    for seed, length in CERTIFIED:
        z, w = separable(seed, 7, 3), length * drawn(seed + 5, 3)
        right = float(head(w, z).norm())
        assert abs(_pair(f, z, w)[1] - right) < 1e-3 * right, "certificate: the upper bound is not right"


def certified(z, step, percent=0.9, limit=100_000):
    """The first depth at which the lower bound is at least this share of the upper one."""
    w = torch.zeros_like(z[0])
    for T in range(limit):
        g = head(w, z)
        if T and (z @ w).min() / w.norm() >= percent * g.norm():
            return T
        w = w + step * g
    raise ValueError("never")


def my_depth(value, student):
    mine = own(student)
    right = certified(torch.tensor(mine.prompt, dtype=torch.float64), mine.step)
    typed(value, right, 1, "my_depth")  # 1: rounding


# --- 7: an experiment


def _depth(f, z, step, limit):
    return float(numbers(call(f, z, step, limit), "separation_depth", ()))


def depth_of_separation(f):
    for seed in range(6):
        z = separable(seed, 20, 4, margin=0.02)
        right = (path(z, 0.3, 400) @ z.T > 0).all(-1).int()
        assert right[-1], "an instance that 400 layers do not separate"
        assert _depth(f, z, 0.3, 400) == int(right.argmax()), (
            "separation_depth: not the first depth with all margins > 0"
        )


def depth_never(f):
    opposite = torch.tensor([[1.0, 0.2], [-1.0, -0.2]], dtype=torch.float64)
    assert _depth(f, opposite, 0.5, 40) == 41, "separation_depth: expected limit + 1 for a prompt that has no separator"
    z = separable(3, 20, 4, margin=0.02)
    T = int((path(z, 0.3, 400) @ z.T > 0).all(-1).int().argmax())
    assert _depth(f, z, 0.3, T) == T, "separation_depth: a prompt that is separated exactly at the limit"
    assert _depth(f, z, 0.3, T - 1) == T, "separation_depth: a prompt that the limit just misses"
