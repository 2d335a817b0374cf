"""Formulas in running text: long ones may break before a relation, and punctuation stays with the formula."""

import icl_math
import pytest
from docutils import nodes
from docutils.utils import new_document
from hypothesis import given
from hypothesis import strategies as st

LONG = r"\min_i \langle w_T, z_i \rangle / \|w_T\| \le \gamma = \{x : a < b\} \subset \left( c = d \right)"


def test_a_long_formula_may_break_after_each_relation_outside_brackets():
    first, second, third = icl_math.parts(LONG)
    assert second == r" \gamma ={}"
    assert first.endswith(r"\le{}")
    assert third.endswith(r"\left( c = d \right)")
    assert first[:-2] + second[:-2] + third == LONG


def test_a_side_that_is_still_long_may_break_in_its_sum_and_in_no_norm():
    tex = r"\|\hat w_T - w_T\| \le \|A + I\| \|\hat w_T\| + \|C - \eta I\| \sum_{t<T} \|\nabla \phi(u_t)\|"
    assert icl_math.parts(tex) == [
        r"\|\hat w_T - w_T\| \le{}",
        r" \|A + I\| \|\hat w_T\| +{}",
        r" \|C - \eta I\| \sum_{t<T} \|\nabla \phi(u_t)\|",
    ]


@pytest.mark.parametrize("tex", ["-x", r"\mathbb{R}^+", "{}= -x", "a, -b", r"\{a\} := -b", "a +"])
def test_a_sign_that_joins_no_two_terms_is_no_place_to_break(tex):
    assert icl_math.cut(tex, icl_math.SUM) == [tex]


@pytest.mark.parametrize("tex", ["a = b", "]0, 1] = " + "y + " * 20 + "z = 1", r"{}= " + "x" * 50])
def test_what_is_short_or_cannot_be_cut_stays_whole(tex):
    assert icl_math.parts(tex) == [tex]


PIECES = ["a", "=", r"\le", "{", "}", "(", ")", r"\{", r"\}", " ", "x_1^2", r"\sum_i"]


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_no_part_loses_a_letter_or_an_open_brace(tokens):
    tex = " ".join(tokens)
    parts = icl_math.parts(tex)
    assert "".join([*(part.removesuffix("{}") for part in parts[:-1]), parts[-1]]) == tex
    if len(parts) > 1:
        groups = [part.replace(r"\{", "").replace(r"\}", "") for part in parts]
        assert all(part.count("{") == part.count("}") for part in groups)


def test_the_mark_after_a_formula_stays_with_it():
    paragraph = nodes.paragraph("", "", nodes.Text("For "), nodes.math("n", "n"), nodes.Text("), and on"))
    document = new_document("page")
    document += paragraph
    icl_math.set_formulas(None, document, "page")
    text, together, rest = paragraph
    assert (text, rest) == ("For ", " and on")
    assert together["classes"] == ["glued"]
    assert together.astext() == "n),"
