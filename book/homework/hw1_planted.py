"""Submissions to homework 1 whose points are known beforehand: `homework.py check` grades them and compares.

MISTAKES change the solution in one place each, and say what the question then earns. They are packed into few
submissions, at most one mistake a question, since a run of the autograder costs seconds and a question's points do not
depend on the other questions.
"""

from pathlib import Path

from planting import Plants, mistakes, new, with_id
from public_tests import assert_passed

MISTAKES = mistakes("""
q1 3: labels 0 and 1 used as they are
- sign = 2 * y.to(x.dtype) - 1
+ sign = y.to(x.dtype)

q1 3: folded the wrong way round
- sign = 2 * y.to(x.dtype) - 1
+ sign = 1 - 2 * y.to(x.dtype)

q1 3: state token first
- torch.cat([context, state[None]], 0)
+ torch.cat([state[None], context], 0)

q1 3: query in the state block
- [query, torch.zeros_like(query)]
+ [torch.zeros_like(query), query]

# Of question 2: update 5, query not read 4, the rest untouched 2, large margins 3.
q2 6: wrong sign of the score
- scores = -(z @ w)
+ scores = z @ w

q2 6: ascent
- w + step * (q @ z)
-     return after
+ w - step * (q @ z)
+     return after

# Far out the leak drowns in the other scores: the large margins do not see it.
q2 5: missing mask, so a leaked label
- z, w = tokens[:-1, :d], tokens[-1, d:]
-     scores
+ z, w = tokens[:, :d], tokens[-1, d:]
+     scores

q2 6: plain gradient descent instead of normalised
- q = torch.softmax(scores, 0)
+ q = torch.exp(scores) / len(z)

q2 11: softmax by hand, which overflows
- q = torch.softmax(scores, 0)
+ q = torch.exp(scores) / torch.exp(scores).sum()

q2 9: scores divided by sqrt(d)
- q = torch.softmax(scores, 0)
+ q = torch.softmax(scores / d**0.5, 0)

# Of question 3: weights 6, what is read 4, spare block 4.
q3 8: rho forgotten in the score
- -torch.eye(d) / mine.rho
+ -torch.eye(d)

q3 10: rho forgotten in the value
- mine.rho * step * torch.eye(d)
+ step * torch.eye(d)

q3 8: multiplied where it should divide
- -torch.eye(d) / mine.rho
+ -torch.eye(d) * mine.rho

q3 0: matrices in the layout of the book
- d * mine.layout.index(block) for block in
+ d * i for i, _ in enumerate

q3 8: score matrix transposed
- return W_QK, W_V
+ return W_QK.T, W_V

q3 8: wrong sign of the score, which is one mistake and costs the weights only
- -torch.eye(d) / mine.rho
+ torch.eye(d) / mine.rho

q3 4: scores read the spare block
- return W_QK, W_V
+ return W_QK - 0.1, W_V

q3 6: reads and writes everywhere
- return W_QK, W_V
+ return W_QK, W_V + 0.1

# Of question 4: share 4, loss 5, number 3.
q4 8: forgets that the state token sees itself
- return S / (S + 1 + k)
+ return S / (S + k)

q4 7: forgets the one in the loss
- torch.log(1 + k + terms.sum())
+ torch.log(k + terms.sum())

q4 7: mean instead of sum
- torch.log(1 + k + terms.sum())
+ torch.log(1 + k + terms.mean())

q4 9: padding forgotten in the number
- .n / (1 + variant(STUDENT).padding)
+ .n

q4 8: the share at w = 0 for every w
- S = torch.exp(-margins).sum()
+ S = torch.tensor(float(len(margins)))

# Of question 5: temperature 4, class weights 4, update 6.
q5 8: 1/tau forgotten in the value
- step / tau * torch.eye(d)
+ step * torch.eye(d)

q5 10: class weights forgotten
- (np.log(plus) - np.log(minus)) / 2
+ 0.0

q5 10: weights without the logarithm
- (np.log(plus) - np.log(minus)) / 2
+ (plus - minus) / 2

q5 10: the half forgotten
- (np.log(plus) - np.log(minus)) / 2
+ np.log(plus / minus)

q5 6: times tau
- -torch.eye(d) / tau
+ -torch.eye(d) * tau

# Of question 6: loop 5, lower bound 2, upper bound 3, number 4.
q6 9: off by one in depth
- return torch.stack(path)
+ return torch.stack(path[1:])

q6 12: not divided by the length of w
- return m.min() / w.norm(), g.norm()
+ return m.min(), g.norm()

q6 11: even weights
- g = torch.softmax(-m, 0) @ z
+ g = z.mean(0)

q6 10: another step
- icl.ngd(z[None], variant(STUDENT).step, 1000)
+ icl.ngd(z[None], 0.1, 1000)

q6 9: the bounds the other way round
- m.min() / w.norm(), g.norm()
+ g.norm(), m.min() / w.norm()

# Of question 7: depth 2, limit 2.
q7 0: off by one
-             return T
-
+             return T - 1
+

q7 2: the limit itself
- return limit + 1
-
+ return limit
+

q7 2: a loop that never ends
- for T in range(1, limit + 1):
+ for T in __import__('itertools').count(1):
""")

OTHER_RIGHT_ANSWERS = """
def fold(x, y):  # NumPy
    return np.where(np.asarray(y)[:, None] > 0, x.numpy(), -x.numpy())


def make_tokens(x, y, query):  # lists, in loops
    rows = [[float((2 * int(label) - 1) * v) for v in point] + [0.0] * len(point) for point, label in zip(x, y)]
    return rows + [query.tolist() + [0.0] * len(query)]


def layer(tokens, step):  # float32, automatic differentiation, and it writes into what it was given
    d = tokens.shape[1] // 2
    w = tokens[-1, d:].double().clone().requires_grad_()
    torch.logsumexp(-tokens[:-1, :d].double() @ w, 0).backward()
    tokens[-1, d:] -= step * w.grad
    return tokens.float()


_score, _value = my_matrices, other_matrices


def my_matrices(d, step):  # a score that is shifted for all tokens alike, in NumPy
    score, value = (m.numpy() for m in _score(d, step))
    return score.astype(np.float32), value.tolist()


def other_matrices(d, step):  # tuples, float32
    score, value = _value(d, step)
    return [score.float(), value.float()]


def share(margins, k):  # a logistic function
    return float(torch.sigmoid(torch.logsumexp(-margins, 0) - np.log(1 + k)))


def trap_loss(w, z, k):  # another constant, by logsumexp
    zeros = torch.zeros(1 + k, dtype=w.dtype)
    return torch.logsumexp(torch.cat([zeros, -z @ w]), 0).item() - 3.0


half_margin = f"{float(half_margin):.2f}"  # typed to two decimals
half_margin = float(half_margin)


def loop(z, step, depth):  # the library
    return icl.ngd(z[None], step, depth)[:, 0].numpy()


_layer, layer = layer, lambda tokens, step: _layer(tokens, step).numpy()  # NumPy


def certificate(z, w):  # an array
    q = np.exp(-(z @ w - (z @ w).min()).numpy())
    return np.array([((z @ w) / w.norm()).min(), np.linalg.norm(q / q.sum() @ z.numpy())])


def separation_depth(z, step, limit):  # the whole path at once; NumPy's integer
    right = (icl.margins(icl.ngd(z[None], step, limit)[1:, 0], z.expand(limit, *z.shape)) > 0).all(-1).numpy()
    return right.argmax() + 1 if right.any() else np.int64(limit + 1)
"""


def plant(folder: Path, student_file: Path, solution_file: Path) -> dict[str, tuple[dict, str]]:
    """Write the submissions. Return for each file the questions that do not earn all, and a word of its note."""
    plants = Plants(folder, student_file, solution_file, experiment="matplotlib")
    blank, solution, add = plants.blank, plants.solution, plants.add
    plants.add_usual(MISTAKES, OTHER_RIGHT_ANSWERS, copied={"q3": 0, "q4": 9, "q5": 0, "q6": 10})
    assert_passed(folder / "other-right-answers.ipynb")
    everything = dict.fromkeys(("q1", "q2", "q3", "q4", "q5", "q6", "q7"), 0)
    add("empty.ipynb", blank, everything, "no id")

    # Half of the work, and accidents that must cost no more than what is missing.
    half = with_id(blank, "emmy")
    finished = {cell.source.split("\n")[0]: cell.source for cell in solution.cells if cell.source.startswith("def ")}
    for cell in half.cells:
        if cell.source.split("\n")[0] in ("def fold(x, y):", "def layer(tokens, step):", "def share(margins, k):"):
            cell.source = finished[cell.source.split("\n")[0]]
    add("half.ipynb", half, dict.fromkeys(("q3", "q5", "q6", "q7"), 0))

    overwritten = with_id(solution, "kurt")
    for place in (3, 8, 12):
        overwritten.cells.insert(place, new("1 / 0\nlayer = None"))
    add("overwritten.ipynb", overwritten)

    deleted = with_id(solution, "alan")  # the imports, the variants and question 2
    gone = ("import icl_lib", "def variant", "def layer(tokens")
    deleted.cells = [c for c in deleted.cells if c.cell_type != "code" or not any(g in c.source for g in gone)]
    add("deleted.ipynb", deleted, {"q2": 0})

    hangs = with_id(solution, "john")
    hangs.cells.append(new("def share(margins, k):\n    while True:\n        pass"))
    hangs.cells.insert(7, new("exit()"))
    hangs.cells.insert(6, new("while True:\n    pass"))
    hangs.cells.insert(6, new("input('your name?')"))
    add("hangs.ipynb", hangs, {"q4": 8}, note="2 time(s) stopped")  # a cell, and a public test that calls share

    add("twice.ipynb", with_id(solution, "ada lovelace"), note="same id as late Homework")

    # What no run can grade is a row for a person, and stops nobody else's.
    killed = with_id(solution, "evil")
    killed.cells.append(new("import os\nos._exit(1)"))
    add("killed.ipynb", killed, everything, "by hand")
    add("essay.ipynb", "I did not manage to save my notebook.", everything, "not a notebook")
    return plants.expected
