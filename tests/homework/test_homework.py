"""What must hold of the built homeworks. `make homework` runs this after it has graded what is planted."""

import re

import homework
import homework_build
import nbformat
import pytest
from nbclient import NotebookClient

NAMES = homework.names()


@pytest.fixture(scope="module", params=NAMES)
def built(request):
    """The name of a homework that lies built in _build/homework."""
    if not (homework.BUILT / f"{request.param}-autograder.zip").exists():
        homework.BUILT.mkdir(parents=True, exist_ok=True)
        homework.build(request.param)
    return request.param


def executed(name, kind, folder):
    """The notebook, run from top to bottom in an empty folder, as somebody does who has downloaded this one file."""
    notebook = nbformat.read(homework.BUILT / f"{name}{kind}.ipynb", as_version=4)
    for cell in homework.code(notebook):
        cell.source = cell.source.replace('STUDENT = ""', 'STUDENT = "Jane Doe"')
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()  # raises if one does
    printed = [o.get("text", "") for cell in homework.code(notebook) for o in cell.outputs]
    return "\n".join(printed)


def public_tests(name):
    cells = homework.code(nbformat.read(homework.BUILT / f"{name}.ipynb", as_version=4))
    return sum(c.source.count("\ndef test_") for c in cells if c.source.startswith("# Public tests of"))


def test_the_empty_notebook_runs_and_says_what_is_missing(built, tmp_path):
    printed = executed(built, "", tmp_path)
    assert "The card of jane doe" in printed
    assert printed.count("not yet:") == public_tests(built) > 0
    assert "ok     :" not in printed


def test_the_solution_passes_its_public_tests(built, tmp_path):
    printed = executed(built, "-solution", tmp_path)
    assert printed.count("ok     :") == public_tests(built)
    assert "not yet:" not in printed


def test_the_student_gets_neither_solutions_nor_hidden_tests(built):
    text = (homework.BUILT / f"{built}.ipynb").read_text(encoding="utf8")
    for secret in ("SOLUTION", "HIDDEN", f"{built.split('_')[0]}_checks", "_SOURCE", "REPOSITORY_URL"):
        assert secret not in text
    solution = nbformat.read(homework.BUILT / f"{built}-solution.ipynb", as_version=4)
    for cell in solution.cells:
        for answer in re.findall(r"# BEGIN SOLUTION[^\n]*\n(.*?)# END SOLUTION", cell.source, re.DOTALL):
            for line in answer.splitlines():
                assert len(line.strip()) < 30 or line.strip() not in text.replace('\\"', '"')


def test_a_student_needs_no_otter(built):
    cells = homework.code(nbformat.read(homework.BUILT / f"{built}.ipynb", as_version=4))
    assert not any(re.search(r"import otter|grader\.", cell.source) for cell in cells)


def test_points_add_up_and_the_text_agrees(built):
    points = homework.questions(built)
    assert sum(value for value, _ in points.values()) == 100
    text = (homework_build.SOURCES / f"{built}.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| \d+ \| [^|]+ \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert sum(int(row[0]) for row in rows) == 100
    page = (homework_build.ROOT / "book" / "homework.md").read_text(encoding="utf8")
    (hours,) = re.findall(rf"^\| {built[2]}, [^|]+ \| [^|]+ \| 100 \| (\d+)[^|]* \|$", page, re.MULTILINE)
    assert abs(sum(int(row[1]) for row in rows) / 60 - int(hours)) <= 0.5


def test_a_line_becomes_a_hidden_test():
    cell = nbformat.v4.new_code_cell("# HIDDEN twice(f, STUDENT): double\n# HIDDEN shape(f, 3): the shape")
    one, other = homework_build.hidden_tests([cell], "hw9_checks")
    assert one.source.startswith('# HIDDEN\ndef test_twice_0(f, STUDENT):\n    """double"""\n')
    assert other.source.endswith(
        'def test_shape_1(f):\n    """the shape"""\n    import hw9_checks\n\n    hw9_checks.shape(f, 3)'
    )
    untouched = nbformat.v4.new_code_cell("def test_public(f):\n    pass")
    assert homework_build.hidden_tests([untouched], "hw9_checks") == [untouched]
    broken = nbformat.v4.new_code_cell("# HIDDEN twice(f): double\n# HIDDEN without words(f)")
    with pytest.raises(AssertionError, match="cannot be read"):
        homework_build.hidden_tests([broken], "hw9_checks")


def test_mistakes_are_read_or_refused():
    homework.module(NAMES[0], "planted")  # puts their folder on the path
    import planting

    (found,) = planting.mistakes("q1 3: off by one\n-     return T\n-\n+     return T - 1\n+\n")
    assert found == planting.Mistake("q1", "off by one", "    return T\n", "    return T - 1\n", 3)
    with pytest.raises(AssertionError, match="cannot be read"):
        planting.mistakes("q1 3: no change\n\nq1 2: off by one\n- T\n+ T - 1\n")


@pytest.mark.parametrize("name", NAMES)
def test_variants_belong_to_one_id_and_one_course(name):
    variant = homework.module(name, "checks").variant
    assert variant(" Jane  DOE ") == variant("jane doe")
    assert vars(variant("jane")) != vars(variant("jane", "another course"))
    cards = {str(vars(variant(f"student {i}")) | {"student": ""}) for i in range(300)}
    assert len(cards) == 300
