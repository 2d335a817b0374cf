"""The notation page says what the library does: every entry of its tables is evaluated and its shape compared."""

import math
import re
from functools import cache
from pathlib import Path

import pytest
import torch

import icl_lib as icl

PAGE = Path(__file__).resolve().parents[2] / "book" / "notation.md"
TEXT = PAGE.read_text(encoding="utf8")
HEADER = ["Symbol", "Meaning", "In code", "Shape"]


def table_rows(text):
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]
    return [row for row in lines if row != HEADER and set("".join(row)) - set("-")]


ROWS = table_rows(TEXT)


@cache
def sample():
    """The names that the page's block of code defines."""
    names = {}
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], names)
    return names


def seen_shape(value):
    if isinstance(value, torch.Tensor):
        return list(value.shape)
    assert isinstance(value, (int, float)), f"neither a tensor nor a number: {value!r}"
    return "number"


def stated_shape(text):
    text = text.strip("`")
    if text == "number":
        return text
    sizes = re.sub(r"(\d)([a-z])", r"\1*\2", text)  # 2d is 2 * d
    return eval(sizes, dict(sample()))


def test_the_page_has_its_tables():
    assert len(ROWS) >= 40
    assert all(len(row) == len(HEADER) for row in ROWS), [row for row in ROWS if len(row) != len(HEADER)]


def test_sizes_differ_so_that_no_axis_passes_for_another():
    names = sample()
    B, n, d, queries, T = (names[key] for key in ("B", "n", "d", "queries", "T"))
    sizes = [B, n, d, queries, T, n + 1, T + 1, d + 1, 2 * d, 3 * d]
    assert len(set(sizes)) == len(sizes), sizes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2].strip("`"))
def test_the_entry_exists_with_the_shape_stated(row):
    _, _, code, shape = row
    assert re.fullmatch(r"`[^`]+`", code), f"not code: {code}"
    assert seen_shape(eval(code.strip("`"), dict(sample()))) == stated_shape(shape)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2].strip("`"))
def test_the_symbol_is_mathematics_or_said_to_be_none(row):
    assert row[0] == "none" or re.fullmatch(r"\$[^$]+\$(, \$[^$]+\$)*", row[0])


def test_values_that_the_page_states():
    names = sample()
    prompts, best, layer, d = (names[key] for key in ("prompts", "best", "layer", "d"))
    torch.testing.assert_close(prompts.radius, torch.ones_like(prompts.radius))
    combined = torch.einsum("bn,bnd->bd", best.dual, prompts.z)
    torch.testing.assert_close(combined, best.margin[:, None] * best.direction, rtol=1e-5, atol=1e-8)
    assert torch.equal(layer.score[:d, d:], -torch.eye(d, dtype=torch.float64))
    assert torch.equal(layer.value[d:, :d], names["step"] * torch.eye(d, dtype=torch.float64))
    w, q, margins = names["w"], names["q"], icl.margins(names["w"], prompts.z)
    value = {row[0]: eval(row[2].strip("`"), dict(names)) for row in ROWS}
    torch.testing.assert_close(value["$g$"], torch.einsum("bn,bnd->bd", q, prompts.z))
    torch.testing.assert_close(value[r"$\psi$"], value["$S$"].log())
    torch.testing.assert_close(value[r"$\psi$"], value[r"$\phi$"] + math.log(names["n"]))
    gap = (value["$p$"] - q).abs().sum(-1)
    assert (gap <= value[r"$\epsilon$, $\varepsilon$"] / 2).all()
    entropy_gap = value["$H(q)$"] - value[r"$H_\infty(q)$"]
    torch.testing.assert_close((w * value["$g$"]).sum(-1) - margins.amin(-1), entropy_gap)
    assert (value[r"$\mathrm{KL}(q^* \,\Vert\, q)$"] >= 0).all()
    assert ((value[r"$w_\perp$"] * prompts.w_star).sum(-1).abs() < 1e-12).all()
    moved = w - names["step"] * icl.logistic_loss_grad(w, prompts.z)
    torch.testing.assert_close(names["pair"](names["slotted"])[:, 0, d : 2 * d], moved)
    torch.testing.assert_close(names["instance"].relative_step, names["instance"].step * prompts.radius**2)


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("| $x_i$ | a point | `prompts.x` | `[B, n, d]` |", True),
        ("| $x_i$ | a point | `prompts.x` | `[B, d, n]` |", False),
        ("| $w$ | a classifier | `w` | number |", False),
        ("| none | the classifier | `layer.read(state)` | `[B, 2d]` |", False),
    ],
)
def test_this_very_check_can_fail(line, right):
    (row,) = table_rows(line)
    assert (seen_shape(eval(row[2].strip("`"), dict(sample()))) == stated_shape(row[3])) is right
