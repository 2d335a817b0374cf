"""What must hold of the built homeworks. `make homework` runs this after it has graded what is planted."""

import re
import zipfile

import homework
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
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()  # raises if one does
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
    for secret in ("SOLUTION", "HIDDEN", f"{built.split('_')[0]}_checks", "VARIANT_SOURCE", "REPOSITORY_URL"):
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
    text = (homework.SOURCES / f"{built}.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| \d+ \| [^|]+ \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert sum(int(row[0]) for row in rows) == 100
    assert 4 * 60 <= sum(int(row[1]) for row in rows) <= 6 * 60


@pytest.mark.parametrize("name", NAMES)
def test_variants_belong_to_one_id_and_one_course(name):
    variant = homework.module(name, "checks").variant
    assert variant(" Jane  DOE ") == variant("jane doe")
    assert vars(variant("jane")) != vars(variant("jane", "another course"))
    cards = {str(vars(variant(f"student {i}")) | {"student": ""}) for i in range(300)}
    assert len(cards) == 300


def test_a_zip_with_one_notebook_is_a_submission(built, tmp_path):
    path, packed = homework.BUILT / f"{built}.ipynb", tmp_path / "handed in.zip"
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.write(path, "a folder/answers.ipynb")
        zipped.writestr("__MACOSX/a folder/._answers.ipynb", "no notebook")
    assert homework.read(packed) == homework.read(path)
    with zipfile.ZipFile(packed, "a") as zipped:
        zipped.write(path, "another.ipynb")
    with pytest.raises(homework.Unreadable, match="2 notebooks in the zip"):
        homework.read(packed)
