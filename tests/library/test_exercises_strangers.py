"""Wrong answers as strangers wrote them, in their own words: each must be refused, and told what it is.

The mistakes of the exercises themselves are checked in test_exercises; what stands here is written without their code.
"""

import pytest
import torch

from icl_lib import exercises
from icl_lib.exercises import ch02, ch04, ch09, ch16


def _shifted_by_the_largest(w, z):
    m = z @ w
    e = torch.exp(-(m - m.max()))
    return -(e @ z) / e.sum()


def _naive_but_for_large_margins(w, z):
    m = z @ w
    e = torch.exp(-(m - m.min())) if m.min() > 700 else torch.exp(-m)
    return -(e @ z) / e.sum()


def _sigmoids(w, z):
    s = 1 / (1 + torch.exp(z @ w))
    return [-(s * column).sum() / s.sum() for column in z.T]


def _over_the_size_of_f(f, s, x):
    return (s * x).sum(-1) / f.abs()


def _as_the_chapter_measures(f, s, g, t):
    c = (f * g).sum() / (g * g).sum()
    g, t = c * g, c * t
    cosine = torch.nn.functional.cosine_similarity(s, t, dim=-1).mean()
    return torch.stack(
        [
            (f - g).abs().mean() / f.abs().mean(),
            cosine,
            (s - t).norm(dim=-1).mean() / s.norm(dim=-1).mean(),
        ]
    )


def _layer(change):
    """A layer from the loss; change(z, w, gradient, loss) replaces the gradient over the loss."""

    def answer(tokens, step):
        d = tokens.shape[1] // 2
        z, w = tokens[:-1, :d], tokens[-1, d:].clone()
        loss = torch.exp(-z @ w).mean()
        gradient = -(torch.exp(-z @ w)[:, None] * z).mean(0)
        out = tokens.clone()
        out[-1, d:] = w - step * change(z, w, gradient, loss)
        return out

    return answer


def _only_the_state(tokens, step):
    out = torch.zeros_like(tokens)
    d = tokens.shape[1] // 2
    out[-1, d:] = _layer(lambda z, w, gradient, loss: gradient / loss)(tokens, step)[-1, d:]
    return out


def _step_is_one(tokens, step):
    return ch04.one_layer.solution(tokens, 1)


def _block(d, multiple, row, column):
    matrix = torch.zeros(2 * d, 2 * d)
    matrix[row * d : (row + 1) * d, column * d : (column + 1) * d] = multiple * torch.eye(d)
    return matrix


def _for_divided_scores(d, step):
    return _block(d, -(d**0.5), 1, 0), _block(d, step, 0, 1)


def _path_at_step_one(z, step, depth):
    return exercises.ch05.iterates.solution(z, 1, depth)


def _regression_at_step_one(tokens, step):
    return exercises.ch14.linear_step.solution(tokens, 1)


def _strict(x, y, x_query, y_query, depth):
    z, w = y[:, None] * x, torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(depth):
        w = w + torch.softmax(-z @ w, 0) @ z
    return (y_query * (x_query @ w) < 0).double().mean()


def _seconds(B, n, d, T, width, gflops, gbytes, cached):
    return max(4 * n * d * B / (gflops * 1e9), n * d * width * B * (1 if cached else 2 * T) / (gbytes * 1e9))


@pytest.mark.parametrize(
    ("name", "answer", "mistake"),
    [
        ("ch01.query_error", _strict, "0 counted as right"),
        ("ch02.potential_gradient", _shifted_by_the_largest, "shifted by the wrong end"),
        ("ch02.potential_gradient", _naive_but_for_large_margins, "shifted by the wrong end"),
        ("ch02.potential_gradient", _sigmoids, "sigmoid weights"),
        ("ch04.one_layer", _layer(lambda z, w, g, loss: g / g.norm()), "by the gradient's length"),
        ("ch04.one_layer", _layer(lambda z, w, g, loss: len(z) * g / loss), "sum over n"),
        ("ch04.one_layer", _only_the_state, None),
        ("ch04.one_layer", _step_is_one, "step ignored"),
        ("ch04.two_matrices", _for_divided_scores, "scores times sqrt(d)"),
        ("ch05.iterates", _path_at_step_one, "step ignored"),
        ("ch14.linear_step", _regression_at_step_one, "step ignored"),
        ("ch16.degree", _over_the_size_of_f, "divided by the size of the answer"),
        ("ch16.three_measures", _as_the_chapter_measures, "the chapter's measure"),
        ("ch17.least_seconds", _seconds, "operations of one loop"),
    ],
)
def test_it_is_refused_by_name(name, answer, mistake):
    chapter, exercise = name.split(".")
    verdict = getattr(getattr(exercises, chapter), exercise).check(answer)
    assert not verdict
    assert verdict.mistake == mistake, verdict


def test_what_is_wiped_is_located():
    told = ch04.one_layer.check(_only_the_state).message
    assert "On ch04.one_layer.cases[0] all that differs lies in [0:6, 0:2]; entry [0, 0] is 0 and should be" in told


def test_a_block_is_called_by_what_it_does():
    verdict = ch04.two_matrices.check(lambda d, step: (_block(d, -2, 1, 0), _block(d, step, 0, 1)))
    assert "the block of the score matrix where keys meet w differs, no other" in verdict.message


def test_one_thing_for_two_is_told_so():
    told = ch09.value_block.check(lambda A, w, z: ch09.value_block.solution(A, w, z)[0]).message
    assert "returned one tensor of shape [2, 2], expected 2 values, [2, 2] and [] (a number)" in told


def test_a_classifier_has_degree_one_where_its_answer_is_negative():
    f, s, x = torch.tensor([-1.0]), torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])
    assert ch16.degree.solution(f, s, x) == 1
    assert all((case[0] < 0).any() and (case[0] > 0).any() for case in ch16.degree.cases)


def test_large_margins_come_with_both_signs():
    extremes = [(float((z @ w).min()), float((z @ w).max())) for w, z in ch02.potential_gradient.cases]
    assert any(low <= -800 and high >= 800 for low, high in extremes)
