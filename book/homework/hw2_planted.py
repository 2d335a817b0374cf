"""Submissions to homework 2 whose points are known beforehand; hw1_planted.py has the accidents of every kind."""

from pathlib import Path

import nbformat
from planting import Mistake, Plants, new, with_id, without

MISTAKES = [
    # Of question 1: student 5, the loss at the construction 3, elsewhere 4.
    Mistake("q1", "the plain teacher", "weights = torch.softmax(-torch", "weights = torch.expm1(-torch", 5),
    Mistake("q1", "a mean over coordinates", "return (got - goal).square().sum(-1)", "return (got - goal).square()", 8),
    Mistake("q1", "no residual connection", "return w + read @ B.T", "return read @ B.T", 7),
    Mistake("q1", "B on the wrong side", "return w + read @ B.T", "return w + read @ B", 7),
    # Of question 2: score 6, value 6.
    Mistake(
        "q2", "the score mask forgets what is on board", "torch.outer(keys, queries)", "torch.outer(keys, ~queries)", 6
    ),
    Mistake(
        "q2", "rows for columns in the value", "keys.expand(3 * d, 3 * d)", "keys[:, None].expand(3 * d, 3 * d)", 6
    ),
    Mistake(
        "q2", "everything is taught", "return torch.outer(keys, queries), keys", "return keys + ~queries, ~keys", 0
    ),
    # Of question 3: rate 4, best rate 4, edge 3, steps 3.
    Mistake("q3", "only the largest eigenvalue", "(1 - lr * values).abs().max()", "(1 - lr * values.max()).abs()", 10),
    Mistake("q3", "one over the largest", "2 / (values.min() + values.max())", "1 / values.max()", 10),
    Mistake("q3", "the edge at half", "my_edge = 2 / high", "my_edge = 1 / high", 11),
    Mistake("q3", "decimal logarithm", "* np.log(10) / -np.log(worst)", "/ -np.log(worst)", 11),
    # Of question 4: value block 5, score block 8, another dimension 5.
    Mistake(
        "q4",
        "states at 0 teach no scores",
        "w = torch.randn(64, d, generator=g, dtype=f64) / d**0.5",
        "w = torch.zeros(64, d, dtype=f64)",
        5,
    ),
    Mistake(
        "q4",
        "another teacher's step",
        "lr=0.05), variant(STUDENT).step",
        "lr=0.05), 1.0",
        8,
    ),
    Mistake("q4", "not trained", "for _ in range(300):", "for _ in range(3):", 0),
    # Of question 5: deviation 5, bound 6, number 3.
    Mistake(
        "q5",
        "off by one in depth",
        "largest = torch.zeros_like(z[0]), torch.zeros_like(z[0]), 0.0\n    for _ in range(depth):",
        "largest = torch.zeros_like(z[0]), torch.zeros_like(z[0]), 0.0\n    for _ in range(depth - 1):",
        9,
    ),
    Mistake(
        "q5",
        "the largest error, not the sum",
        "total += float((w - right).norm())",
        "total = max(total, float((w - right).norm()))",
        8,
    ),
    Mistake(
        "q5",
        "scores transposed",
        "B @ (torch.softmax(z @ A @ w, 0) @ z)\n        exact",
        "B @ (torch.softmax(z @ A.T @ w, 0) @ z)\n        exact",
        9,
    ),
    Mistake(
        "q5", "only the value block counts", "variant(STUDENT).c1 * variant(STUDENT).c2", "variant(STUDENT).c2", 11
    ),
]

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


def rate(H, lr):
    return np.linalg.norm(np.eye(len(H)) - lr * H.numpy(), 2)


_train = train


def train(d, seed):  # parameters that still want gradients, in float32
    return [torch.nn.Parameter(block.float()) for block in _train(d, seed)]
"""


def plant(folder: Path, student_file: Path, solution_file: Path) -> dict[str, tuple[dict, str]]:
    """Write the submissions. Return for each file the questions that do not earn all, and a word of its note."""
    blank, solution = (nbformat.read(path, as_version=4) for path in (student_file, solution_file))
    plants = Plants(folder)
    nbformat.write(with_id(blank, "nobody"), folder / "blank.ipynb")
    nbformat.write(with_id(solution, "somebody"), folder / "solution.ipynb")
    solution = without(solution, "stable_learning_rate")  # the experiment costs seconds and earns no points
    plants.add_mistakes(solution, MISTAKES, ("q1", "q2", "q3", "q4", "q5"))
    other = with_id(solution, "grace")
    other.cells.append(new(OTHER_RIGHT_ANSWERS))
    plants.add("other-right-answers.ipynb", other)
    copied = with_id(solution, "lise")
    for cell in copied.cells:
        cell.source = cell.source.replace("variant(STUDENT)", "variant('otto')")
    plants.add("copied.ipynb", copied, {"q2": 0, "q3": 8, "q4": 8, "q5": 11})
    return plants.expected
