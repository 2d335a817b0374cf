"""What the hidden tests of homework 3 look at: fresh instances and the right answers.

It travels in the autograder's zip, next to the submission, and in no student's file. The one thing that both have is
``variant``, which the build copies into the notebook.
"""

import math

import numpy as np
import torch
from answers import call, close, drawn, head, named, numbers, path, separable, typed
from given import begin

f64 = torch.float64


def variant(student, salt="HOMEWORK_SALT"):
    """Return what belongs to one student alone: a prompt, budgets, a step and a shift, drawn from the id."""
    mine, draw = begin(student, salt, "hw3")
    mine.prompt = [[round(draw.uniform(-0.6, 0.6), 2) for _ in range(3)] for _ in range(10)]
    for z in mine.prompt:  # every point at least 0.12 from a hyperplane: separable; none longer than 1
        z[0] = round(0.5 * abs(z[0]) + 0.12, 2)
    mine.step, mine.share = draw.choice([0.4, 0.5, 0.6, 0.8, 0.9]), draw.choice([0.9, 0.92, 0.95])
    mine.d, mine.error, mine.delta = draw.randint(12, 90), round(draw.uniform(0.02, 0.12), 3), draw.choice([0.1, 0.02])
    mine.hunt, mine.size, mine.crowd = (
        round(draw.uniform(0.6, 1.0), 2),
        draw.choice([5, 6, 7]),
        draw.randint(200, 900),
    )
    mine.space = draw.choice([2, 3])
    mine.plus, mine.minus = draw.randint(8, 30), draw.randint(2, 7)
    mine.c1, mine.c2 = round(draw.uniform(0.4, 2.5), 2), round(draw.uniform(0.1, 0.3), 2)
    mine.shift = draw.choice(["0.1 flipped", "0.2 flipped", "student-t", "anisotropic", "clusters"])
    return mine


def own(student):
    """Return the variant of the id that was typed into the notebook."""
    return variant(named(student))


def max_margin(z):
    """The exact max margin of one separable prompt: the shortest vector with <x, z_i> >= 1, by its dual (least distance
    programming, Lawson and Hanson, chapter 23), and no code of the library."""
    from scipy.optimize import nnls

    rows = np.unique(np.asarray(z, dtype=float), axis=0)
    stacked, goal = np.vstack([rows.T, np.ones(len(rows))]), np.eye(rows.shape[1] + 1)[-1]
    rest = stacked @ nnls(stacked, goal, maxiter=100_000)[0] - goal
    assert -rest[-1] > 1e-9, "the tokens cannot be separated"
    direction = rest[:-1] / -rest[-1]
    return 1 / np.linalg.norm(direction), torch.from_numpy(direction)


# --- 1: evidence


def _bounds(z, p, u):
    return float((z @ u).min() / u.norm()), float((p @ z).norm())


def verify_values(f):
    for seed, (n, d) in enumerate(((5, 2), (1, 3), (12, 4))):
        z, u = drawn(seed, n, d), 7 * drawn(seed + 20, d)  # not always separable, and u not always a separator
        p = torch.softmax(2 * drawn(seed + 40, n), 0)
        p = torch.where(p == p.max(), p + p.min(), torch.where(p == p.min(), 0 * p, p)) if n > 1 else p
        close(call(f, z, p, u), _bounds(z, p, u), "verify")


def verify_refuses(f):
    z, u, p = drawn(1, 4, 3), drawn(2, 3), torch.full((4,), 0.25, dtype=f64)
    close(call(f, z, p, u), _bounds(z, p, u), "verify: sound evidence was refused")
    close(call(f, z, p + 1e-8, u), _bounds(z, p, u), "verify: refused for its rounding")
    bad = torch.tensor([0.6, 0.6, -0.2, 0.0], dtype=f64)
    for what, weights, direction in (
        ("weights that sum to less than 1", 0.9 * p, u),
        ("weights that sum to more than 1", 1.2 * p, u),
        ("a negative weight", bad, u),
        ("a direction of length 0", p, 0 * u),
    ):
        assert call(f, z, weights, direction) is None, f"verify: {what} is no evidence; expected None"


def _history(z, step, depth):
    return torch.softmax(-path(z, step, depth - 1) @ z.T, -1)


def _evidence(f, z, q, share):
    returned = call(f, z, q)
    assert isinstance(returned, (tuple, list)), "evidence: expected a pair, weights and a direction"
    p, u = (torch.from_numpy(numbers(part, "evidence", (size,))) for part, size in zip(returned, z.shape, strict=True))
    assert p.min() >= -1e-9, "evidence: a weight is negative"
    assert abs(p.sum() - 1) < 1e-5, "evidence: the weights do not sum to 1"
    assert u.norm() > 0, "evidence: the direction is 0"
    lower, upper = _bounds(z, p, u)
    assert lower >= share * upper, f"evidence: it proves no more than {lower / upper:.2f} of the upper bound"


def evidence_settled(f):
    for seed, n, d in ((0, 8, 2), (3, 8, 2), (4, 20, 3)):
        z = separable(seed, n, d)
        z = z / z.norm(dim=-1).max()
        _evidence(f, z, _history(z, 1.0, 600), 0.95)


def evidence_jumping(f):
    opposed = torch.tensor([[1.0, 0.2], [-0.9, 0.2]], dtype=f64)
    for z, step in ((opposed, 20.0), (separable(2, 40, 5), 20.0), (separable(3, 8, 2), 25.0)):
        z = z / z.norm(dim=-1).max()
        _evidence(f, z, _history(z, step, 300), 0.9)


# --- 2: how deep?


def promised(n, gamma, R, step, share):
    return max(1, math.ceil((math.log(n) + step * R**2 / 2) / (gamma**2 * step * (1 - share))))


COVERED = ((64, 0.1, 1.0, 1.0, 0.9), (10, 0.3, 1.0, 0.4, 0.5), (200, 0.5, 2.0, 0.25, 0.95), (2, 3.0, 5.0, 0.03, 0.9))


def layers_for(f):
    for case in COVERED:
        right = promised(*case)
        got = float(numbers(call(f, *case), "layers_for", ()))
        assert abs(got - right) <= 1, f"layers_for: not right for n, gamma, R, step, share = {case}"  # 1: rounding


def layers_silent(f):
    assert call(f, *COVERED[0]) is not None, "layers_for: returned None for a step that the theorem covers"
    for case in ((64, 0.1, 1.0, 1.5, 0.9), (10, 0.3, 2.0, 0.5, 0.5)):
        assert call(f, *case) is None, "layers_for: the theorem does not cover this step; expected None"


def first_right(f):
    for n, gamma, R, a, b in ((64, 0.1, 1.0, 1.0, 1.0), (100, 0.5, 2.0, 3.0, 0.7), (9, 0.2, 1.0, 0.1, 50.0)):
        right = math.floor((R**2 + 2 * math.log(n) / (a * b)) / gamma**2)
        got = float(numbers(call(f, n, gamma, R, a, b), "first_right", ()))
        assert abs(got - right) <= 1, "first_right: not the bound of question 7"


def my_real(value, student):
    mine = own(student)
    z = torch.tensor(mine.prompt, dtype=f64)
    w = path(z, mine.step, 3000)[1:]
    enough = (w @ z.T).amin(-1) >= mine.share * max_margin(z)[0] * w.norm(dim=-1)
    assert enough.any()
    typed(value, int(enough.int().argmax()) + 1, 1, "my_real")


# --- 3: three budgets


def _words(counts, lengths):
    """Tokens that are equal or orthogonal; the max margin and the words that were seen once are plain."""
    axes = torch.diag(torch.tensor(lengths, dtype=f64))
    return torch.cat([axes[k].expand(count, -1) for k, count in enumerate(counts)])


def _missed(z):
    left = [max_margin(torch.cat([z[:i], z[i + 1 :]]))[1] @ z[i] for i in range(len(z))]
    return sum(float(m) <= 1e-7 for m in left)


PROMPTS = (_words((1, 3, 1, 1, 2), (1.0, 0.5, 2.0, 1.0, 1.0)), separable(12, 12, 3, 0.02), separable(21, 18, 6, 0.02))


def left_out(f):
    for z in PROMPTS:
        got = float(numbers(call(f, z, seconds=20), "left_out", ()))
        assert got == _missed(z), "left_out: not the number of tokens that are missed when left out"


def ceiling(f):
    for z in (*PROMPTS, _words((2, 1, 1), (1.0, 1.0, 1.0)), torch.cat([PROMPTS[0][4:], 0 * PROMPTS[0][4:]], 1)):
        close(call(f, z), min(z.shape[1], float(z.norm(dim=-1).max() / max_margin(z)[0]) ** 2), "ceiling", 1e-3)


def my_vc(value, student):
    mine = own(student)
    n = 1
    while n < mine.d or 2 / n * (mine.d * math.log2(2 * math.e * n / mine.d) + math.log2(2 / mine.delta)) > mine.error:
        n += 1
    typed(value, n, 0.002 * n, "my_vc")


def my_support(value, student):
    mine = own(student)
    typed(value, math.ceil(mine.d / mine.error) - 1, 1, "my_support")


def my_gauss(value, student):
    mine = own(student)
    typed(value, 0.5005 * mine.d / mine.error, 0.02 * mine.d / mine.error, "my_gauss")


# --- 4: three false claims


def _context(value, what, shape):
    """The tokens of a counterexample, divided by the longest, and their max margin."""
    z = numbers(value, what)
    assert z.shape == shape, f"{what}: expected shape {list(shape)}, as your card says, got {list(z.shape)}"
    assert np.linalg.norm(z, axis=1).max() > 0, f"{what}: all tokens are 0"
    z = torch.from_numpy(z / np.linalg.norm(z, axis=1).max())
    gamma = max_margin(z)[0]
    assert gamma > 1e-3, f"{what}: the context is not separable, or hardly"
    return z, gamma


def never_falls(value, student):
    mine = own(student)
    z, _ = _context(value, "never_falls", (mine.size, mine.space))
    w = path(z, mine.hunt, 300)[1:]
    margin = (w @ z.T).amin(-1) / w.norm(dim=-1)
    assert (margin.diff() < -1e-6).any(), "never_falls: on your context the margin never falls"


def in_time(value, student):
    mine = own(student)
    z, gamma = _context(value, "in_time", (mine.crowd, mine.space))
    w = path(z, 1.0, min(5000, math.floor(1 / gamma**2 + 1e-6)))[1:]
    assert not (w @ z.T > 0).all(-1).any(), "in_time: on your context the claim is true"


def stays_right(value, student):
    mine = own(student)
    z, _ = _context(value, "stays_right", (mine.size, mine.space))
    least = (path(z, mine.hunt, 300)[1:] @ z.T).amin(-1)
    assert ((least > 1e-9).cumsum(0) > 0)[least < -1e-9].any(), "stays_right: on your context what is right stays right"


# --- 5: which layer was it?


def _direction(kind, z, w):
    m = z @ w
    terms = torch.exp(-m)
    return {
        "exact": head(w, z),
        "sink": terms @ z / (1 + terms.sum()),
        "plain": terms @ z / len(z),
        "cold": torch.softmax(-m / len(w) ** 0.5, 0) @ z,
        "unit": head(w, z) / head(w, z).norm(),
        "none": -head(w, z),
    }[kind]


def _record(kind, z, w, step, depth):
    rows = [w]
    for _ in range(depth):
        rows.append(rows[-1] + step * _direction(kind, z, rows[-1]))
    return torch.stack(rows).float()


def _named(f, z, record, right):
    got = call(f, z.float(), record)
    assert got == right, f"which_layer: said {got!r} of a record where {right!r} is right"


def which_named(f):
    for seed, (n, d, depth, step) in enumerate(((8, 3, 5, 0.7), (5, 4, 4, 0.3), (12, 2, 8, 1.1))):
        z = separable(900 + seed, n, d)
        z = z / z.norm(dim=-1).max()
        for kind in ("exact", "sink", "plain", "cold", "unit", "none"):
            _named(f, z, _record(kind, z, drawn(950 + seed, d), step, depth), kind)


def which_undecided(f):
    z = separable(900, 8, 3)
    _named(f, z, _record("sink", z, drawn(950, 3), 0.7, 5), "sink")
    for tokens, w, kind, depth in (
        (z, drawn(951, 3), "plain", 1),  # one step: four directions are the same
        (z[:1], drawn(952, 3), "unit", 6),  # one token: so are three whole paths
        (separable(903, 6, 1), drawn(953, 1), "cold", 5),  # sqrt(1) = 1
        (torch.eye(4, dtype=f64), torch.zeros(4, dtype=f64), "exact", 5),  # all margins equal
    ):
        _named(f, tokens, _record(kind, tokens, w, 0.5, depth), "undecided")


# --- 6: out of distribution


def settles(f, student):
    for seed, (K, d) in enumerate(((1, 1), (3, 3), (3, 6))):
        x = drawn(seed + 60, K, d)
        plus, minus = torch.randint(1, 30, (2, K), generator=torch.Generator().manual_seed(seed))
        right = torch.linalg.pinv(x) @ (0.5 / own(student).c1 * torch.log(plus / minus).double())
        close(call(f, x, plus, minus), right, "settles_at", 1e-3)


def my_value(value, student):
    mine = own(student)
    typed(value, 0.5 * math.log(mine.plus / mine.minus) / mine.c1, 0.006, "my_value")
