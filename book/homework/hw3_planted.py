"""Submissions to homework 3 whose points are known beforehand; hw1_planted.py has the accidents of every kind."""

from pathlib import Path

from planting import Plants, mistakes
from public_tests import assert_passed

MISTAKES = mistakes("""
# Of question 1: values 4, refusals 3, a settled run 4, a run that jumps 5.
q1 9: not divided by the length of u
- return (z @ u).min() / u.norm(), (p
+ return (z @ u).min(), (p

q1 13: believes a negative weight
- p.min() < -1e-6 or abs
+ abs

q1 13: any sum will do
- or abs(p.sum() - 1) > 1e-6 or
+ or

q1 11: the last layer only
- [q[-1], q.mean(0), q[len(q) // 2 :].mean(0)]
+ [q[-1]]

q1 12: the mean only
- [q[-1], q.mean(0), q[len(q) // 2 :].mean(0)]
+ [q.mean(0)]

# Of question 2: the promise 5, its silence 2, the real depth 3, the first right state 2.
q2 7: units forgotten
- step * R**2 / 2
+ step / 2

q2 10: promises for any step
- if not 0 < step <= 1 / R**2:
+ if not 0 < step:

q2 7: the share for what is missing of it
- step * (1 - share)
+ step * share

q2 9: a margin that grows with w
- icl.normalized_margin(way, z)[:
+ icl.margins(way, z).amin(-1)[:

q2 10: the perceptron's bound
- R**2 + 2 * np.log(n) / (a * b)
+ R**2

# Of question 3: left out 4, the ceiling 2, the three numbers 2, 1 and 1.
q3 6: undecided counts as right
- (margin <= 1e-9)
+ (margin < -1e-9)

q3 6: right on all of them
- others = torch.stack([torch.cat([z[:i], z[i + 1 :]])
+ others = torch.stack([z

q3 8: the dimension only
- return min(z.shape[1], float(by_margin))
+ return z.shape[1]

q3 8: natural logarithms
- d * np.log2(2 * np.e * n / d)
+ d * np.log(2 * np.e * n / d)

q3 9: the constant of the best learner
- 0.50 * d
+ 0.44 * d

# Of question 4: 4, 5, 5.
q4 10: a context on which all is well
- = hunted(falls)
+ = torch.ones(mine.size, mine.space)

q4 9: no separator
- [-0.5, 0.75**0.5,
+ [-1.0, 0.0,

q4 9: too few copies
- [[1.0, 0.0, *rest]] * (mine.crowd - 1)
+ [[1.0, 0.0, *rest]] * 2

q4 9: one token turns wrong, not the first time that one is
- least[:-1] > 1e-6
+ least[:-1] < -2e-6

# Of question 5: names 7, undecided 5.
q5 0: looks at directions only
- (moved - step * v).norm() < 1e-4 * moved.norm()
+ torch.cosine_similarity(moved, v).min() > 1 - 1e-6

q5 7: the first that fits
- if len(fits) == 1:
+ if fits:

q5 5: a step below 0
- step > 0 and (moved
+ (moved

q5 0: no room for float32
- < 1e-4 * moved
+ < 1e-12 * moved

# Of question 6: where it settles 4, the number 2.
q6 2: the log-odds
- 0.5 / variant(STUDENT).c1 * torch
+ 1 / variant(STUDENT).c1 * torch

q6 4: in its own units
- / mine.minus) / mine.c1
+ / mine.minus)
""")

OTHER_RIGHT_ANSWERS = """
def verify(z, p, u):  # NumPy, a list
    z, p, u = z.numpy(), p.numpy(), u.numpy()
    if (p < -1e-6).any() or not np.isclose(p.sum(), 1, atol=1e-6) or not u.any():
        return
    return [min(z @ u) / np.linalg.norm(u), np.linalg.norm(p @ z)]


def evidence(z, q):  # all suffixes of the run; float32
    ends = torch.stack([q[k:].mean(0) for k in range(len(q))])
    made = ends @ z
    lower = (made @ z.T).amin(-1) / made.norm(dim=-1)
    return ends[made.norm(dim=-1).argmin()].float(), made[lower.argmax()].tolist()


def layers_for(n, gamma, R, step, share):  # by counting
    if step * R**2 > 1 + 1e-12:
        return None
    T = 1
    while gamma - (np.log(n) + step * R**2 / 2) / (gamma * step * T) < share * gamma:
        T += 1
    return T


def left_out(z):  # one at a time
    keep = [[j for j in range(len(z)) if j != i] for i in range(len(z))]
    return sum(float(icl.max_margin(z[k][None]).direction[0] @ z[i]) <= 1e-9 for i, k in enumerate(keep))


_hard = in_time
in_time = [[3 * float(v) for v in row] for row in _hard]  # lists, in other units
never_falls = never_falls.numpy() * 0.5


def which_layer(z, record):  # a name for each step size that every layer agrees on
    z, record = z.double().numpy(), record.double().numpy()
    fits = []
    for name in ("exact", "sink", "plain", "cold", "unit"):
        made = []
        for w in record[:-1]:
            e = np.exp(-(z @ w) / (len(w) ** 0.5 if name == "cold" else 1))
            v = e @ z / {"sink": 1 + e.sum(), "plain": 1.0}.get(name, e.sum())
            made.append(v / np.linalg.norm(v) if name == "unit" else v)
        steps = [np.dot(v, b - a) / np.dot(v, v) for v, a, b in zip(made, record, record[1:])]
        off = max(np.linalg.norm(b - a - steps[0] * v) for v, a, b in zip(made, record, record[1:]))
        if steps[0] > 0 and off < 1e-4 * abs(np.diff(record, axis=0)).max():
            fits.append(name)
    return {0: "none", 1: "".join(fits)}.get(len(fits), "undecided")


def settles_at(points, plus, minus):  # least squares, NumPy
    return np.linalg.lstsq(points.numpy(), np.log(plus.numpy() / minus.numpy()) / 2 / variant(STUDENT).c1)[0]
"""


def plant(folder: Path, student_file: Path, solution_file: Path) -> dict[str, tuple[dict, str]]:
    """Write the submissions. Return for each file the questions that do not earn all, and a word of its note."""
    plants = Plants(folder, student_file, solution_file, experiment="matplotlib")
    plants.add_usual(MISTAKES, OTHER_RIGHT_ANSWERS, copied={"q2": 9, "q3": 6, "q4": 0, "q6": 0})
    assert_passed(folder / "other-right-answers.ipynb")
    return plants.expected
