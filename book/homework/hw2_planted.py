"""Submissions to homework 2 whose points are known beforehand; hw1_planted.py has the accidents of every kind."""

from pathlib import Path

from planting import Plants, mistakes
from public_tests import assert_passed

MISTAKES = mistakes("""
# Of question 1: student 5, the loss at the construction 3, elsewhere 4.
q1 5: the plain teacher
- weights = torch.softmax(-torch
+ weights = torch.expm1(-torch

q1 8: a mean over coordinates
- return (got - goal).square().sum(-1)
+ return (got - goal).square()

q1 7: no residual connection
- return w + read @ B.T
+ return read @ B.T

q1 7: B on the wrong side
- return w + read @ B.T
+ return w + read @ B

# Of question 2: score 6, value 6.
q2 6: the score mask forgets what is on board
- torch.outer(keys, queries)
+ torch.outer(keys, ~queries)

q2 6: rows for columns in the value
- keys.expand(3 * d, 3 * d)
+ keys[:, None].expand(3 * d, 3 * d)

q2 0: everything is taught
- return torch.outer(keys, queries), keys
+ return keys + ~queries, ~keys

# Of question 3: rate 4, best rate 4, edge 3, steps 3.
q3 10: only the largest eigenvalue
- (1 - lr * values).abs().max()
+ (1 - lr * values.max()).abs()

q3 10: one over the largest
- 2 / (values.min() + values.max())
+ 1 / values.max()

q3 11: the edge at half
- my_edge = 2 / high
+ my_edge = 1 / high

q3 11: decimal logarithm
- * np.log(10) / -np.log(worst)
+ / -np.log(worst)

# Of question 4: value block 5, score block 8, another dimension 5.
q4 5: states at 0 teach no scores
- w = torch.randn(64, d, generator=g, dtype=f64) / d**0.5
+ w = torch.zeros(64, d, dtype=f64)

q4 8: another teacher's step
- lr=0.05), variant(STUDENT).step
+ lr=0.05), 1.0

q4 0: not trained
- for _ in range(300):
+ for _ in range(3):

# Of question 5: deviation 5, bound 6, number 3.
q5 9: off by one in depth
- largest = torch.zeros_like(z[0]), torch.zeros_like(z[0]), 0.0
-     for _ in range(depth):
+ largest = torch.zeros_like(z[0]), torch.zeros_like(z[0]), 0.0
+     for _ in range(depth - 1):

q5 8: the largest error, not the sum
- total += float((w - right).norm())
+ total = max(total, float((w - right).norm()))

q5 9: scores transposed
- B @ (torch.softmax(z @ A @ w, 0) @ z)
-         exact
+ B @ (torch.softmax(z @ A.T @ w, 0) @ z)
+         exact

q5 11: only the value block counts
- variant(STUDENT).c1 * variant(STUDENT).c2
+ variant(STUDENT).c2
""")

OTHER_RIGHT_ANSWERS = """
def student(A, B, z, w):  # loops and NumPy
    rows = []
    for zi, wi in zip(z.numpy(), w.numpy()):
        s = zi @ A.numpy() @ wi
        p = np.exp(s - s.max())
        rows.append(wi + B.numpy() @ (p / p.sum() @ zi))
    return rows


def taught(d):  # integers, found by automatic differentiation rather than by thought
    mine, g = variant(STUDENT), torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=f64)
    z, x, w = rand(9, d), rand(d), rand(d)
    token = {"point": z, "state": 2 * z * mine.echo, "spare": 0 * z}
    state = {"point": x * mine.on_board, "state": w, "spare": 0 * w}
    context, state = torch.cat([token[b] for b in mine.order], 1), torch.cat([state[b] for b in mine.order])
    S, V = rand(3 * d, 3 * d).requires_grad_(), rand(3 * d, 3 * d).requires_grad_()
    read = V @ (torch.softmax(context @ S @ state, 0) @ context)
    (read - rand(3 * d)).square().sum().backward()
    return (S.grad != 0).int().numpy(), (V.grad != 0).int().tolist()


_loss = one_step_loss


def one_step_loss(A, B, z, w, step):  # NumPy's number
    return _loss(A, B, z, w, step).numpy()


def rate(H, lr):
    return np.linalg.norm(np.eye(len(H)) - lr * H.numpy(), 2)


_train = train


def train(d, seed):  # parameters that still want gradients, in float32
    return [torch.nn.Parameter(block.float()) for block in _train(d, seed)]
"""


def plant(folder: Path, student_file: Path, solution_file: Path) -> dict[str, tuple[dict, str]]:
    """Write the submissions. Return for each file the questions that do not earn all, and a word of its note."""
    plants = Plants(folder, student_file, solution_file, experiment="stable_learning_rate")
    plants.add_usual(MISTAKES, OTHER_RIGHT_ANSWERS, copied={"q2": 0, "q3": 8, "q4": 8, "q5": 11})
    assert_passed(folder / "other-right-answers.ipynb")
    return plants.expected
