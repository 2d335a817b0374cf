"""What a course needs around the grading: files as platforms give them, copies, marks by hand, feedback, sheets.

A made-up homework of three questions, and points that are made up too: only the last test runs otter.
"""

import csv
import datetime
import os
import subprocess
import sys
import zipfile

import homework
import homework_build
import homework_course as course
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAME = "hw9_small"
QUESTIONS = {"q1": (6, False), "q2": (4, False), "q2_report": (90, True)}
HEADINGS = {"q1": "## 1. First", "q2": "## 2. Second", "q2_report": "### The report"}
GIVEN = 'def variant(student, salt="spring"):\n    return student'
FIRST = (
    "def first(x):\n"
    "    total = 0.0\n"
    "    for place, value in enumerate(x):\n"
    "        if value > 0 and place % 2 == 0:\n"
    "            total += value * (place + 1) / len(x)\n"
    "    return total - min(x) * max(x)"
)
OTHER = (
    "def first(x):\n"
    "    return sum(v * (i + 1) / len(x) for i, v in enumerate(x) if v > 0 and i % 2 == 0) - min(x) * max(x)"
)


def notebook(who="", first="def first(x):\n    ...", second="def second(x):\n    ...", given=GIVEN, report="_Type_"):
    cells = ["import math", f'STUDENT = "{who}"', given]
    made = new_notebook(cells=[new_code_cell(source) for source in cells])
    made.cells += [new_markdown_cell("## 1. First\n\nWrite `first`."), new_code_cell(first)]
    made.cells += [new_code_cell("# Public tests of q1: run this cell\nfirst")]
    made.cells += [new_markdown_cell("## 2. Second\n\nWrite `second`."), new_code_cell(second)]
    made.cells += [new_markdown_cell("### The report\n\n| rubric | points |\n|---|---|\n| honest | 90 |")]
    made.cells += [new_markdown_cell(report), new_markdown_cell("## Who helped")]
    return made


def text(*args, **kwargs):
    return nbformat.writes(notebook(*args, **kwargs))


def write(path, *args, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(*args, **kwargs), encoding="utf8")
    return path


def read(path):
    with path.open(newline="", encoding="utf8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
def parts():
    return course.Parts(notebook(), HEADINGS)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The made-up homework, graded by nobody: who calls a cell ``good`` has all points of the tests."""
    with zipfile.ZipFile(tmp_path / f"{NAME}-autograder.zip", "w") as zipped:
        zipped.writestr("files/hw9_checks.py", GIVEN)
    ran = {}

    def run(path, name):
        source = path.read_text(encoding="utf8")
        ran[path] = source
        good = "good" in source
        return {"q1": 6 if good else 0, "q2": 4}, {"q1": [] if good else ["folded tokens (the values are not right)"]}

    for name, value in {
        "BUILT": tmp_path,
        "handed_out": lambda name: notebook(),
        "questions": lambda name: QUESTIONS,
        "headings": lambda name: HEADINGS,
        "card_id": lambda name, who: who.strip().lower(),
        "otter_run": run,
    }.items():
        monkeypatch.setattr(homework, name, value)
    return ran


# --- files


def test_a_folder_for_every_student(tmp_path):
    for who in ("Ada Lovelace_12_assignsubmission_file_", "Eli Wallach_123_assignsubmission_file_"):
        write(tmp_path / "submissions" / who / "x.ipynb", who)
    write(tmp_path / "submissions" / who / ".ipynb_checkpoints" / "x-checkpoint.ipynb")
    (tmp_path / "submissions" / "Nobody_7_").mkdir()
    (tmp_path / "submissions" / "Nobody_7_" / "essay.pdf").write_text("no notebook")
    found = course.submissions(sorted((tmp_path / "submissions").glob("*")))
    assert [one.file for one in found] == [
        "Ada Lovelace_12_assignsubmission_file_/x.ipynb",
        "Eli Wallach_123_assignsubmission_file_/x.ipynb",
        "Nobody_7_",
    ]
    assert [course.student(one.read()) for one in found[:2]] == [one.file.split("/")[0] for one in found[:2]]
    with pytest.raises(course.Unreadable, match="no notebook in the folder"):
        found[2].read()
    at_once = course.submissions([tmp_path / "submissions"])  # an empty folder is then not seen
    assert [one.file for one in at_once] == [one.file for one in found[:2]]


def test_two_notebooks_in_a_folder_are_two_rows_and_same_names_are_told_apart(tmp_path):
    paths = [write(tmp_path / part, "x") for part in ("ben/a.ipynb", "ben/b.ipynb", "eve/a.ipynb")]
    assert [one.file for one in course.submissions([tmp_path / "ben"])] == ["ben/a.ipynb", "ben/b.ipynb"]
    assert [one.file for one in course.submissions(paths)] == ["ben/a.ipynb", "b.ipynb", "eve/a.ipynb"]
    assert len(course.submissions([paths[0], paths[0]])) == 1


def test_a_zip_of_one_and_a_zip_of_many(tmp_path):
    one, many, none, broken = (tmp_path / f"{name}.zip" for name in ("one", "many", "none", "broken"))
    with zipfile.ZipFile(one, "w") as zipped:
        zipped.writestr("a folder/answers.ipynb", text("ada"))
        zipped.writestr("__MACOSX/a folder/._answers.ipynb", "no notebook")
    with zipfile.ZipFile(many, "w") as zipped:
        zipped.writestr("Ada_1_file_/x.ipynb", text("ada"))
        zipped.writestr(zipfile.ZipInfo("Ben_2_file_/x.ipynb", (2027, 2, 3, 4, 5, 6)), text("ben"))
        zipped.write(one, "Eve_3_file_/handed in.zip")
    with zipfile.ZipFile(none, "w") as zipped:
        zipped.writestr("essay.txt", "no notebook")
    broken.write_bytes(many.read_bytes()[:100] + many.read_bytes()[400:])
    found = course.submissions([one, many, none, broken])
    assert [f.file for f in found] == [
        "one.zip",
        "many.zip/Ada_1_file_/x.ipynb",
        "many.zip/Ben_2_file_/x.ipynb",
        "many.zip/Eve_3_file_/handed in.zip",
        "none.zip",
        "broken.zip",
    ]
    assert [course.student(f.read()) for f in found[:4]] == ["ada", "ada", "ben", "ada"]
    assert found[2].handed_in == datetime.datetime(2027, 2, 3, 4, 5, 6)
    assert found[4].problem == "no notebook in the zip"
    assert "cannot be opened" in found[5].problem


# --- alike


def test_cells_are_told_by_what_they_define_and_by_the_heading_above(parts):
    made = notebook(first=FIRST, second="y = 2")
    made.cells = [*made.cells[:3], new_code_cell("helper = 1"), *made.cells[3:], new_code_cell("def first(x):\n  1 +")]
    asked = {cell.source: question for cell, question in parts.of(made)}
    assert asked["helper = 1"] is None
    assert (asked[FIRST], asked["y = 2"], asked["def first(x):\n  1 +"]) == ("q1", "q2", "q1")
    made.cells.insert(7, new_markdown_cell("## My thoughts\n\non the first"))
    assert parts.of(made)[7][1] == "q1"


def test_the_same_code_is_noticed_whatever_its_comments(parts):
    explained = FIRST.replace("def first(x):\n", 'def first(x):\n    """All mine."""\n    # really\n').replace(
        "0.0", "0.00"
    )
    prints = {
        file: course.fingerprints(parts, made)
        for file, made in {
            "ann.ipynb": notebook("ann", FIRST),
            "ben.ipynb": notebook("ben", explained),
            "max.ipynb": notebook("max", FIRST + "\n\n\nprint(1)\n1 / 0"),
            "eve.ipynb": notebook("eve", OTHER),
            "stub.ipynb": notebook("sue"),
            "stub2.ipynb": notebook("sam"),
            "short.ipynb": notebook("kim", "def first(x):\n    return 1"),
            "short2.ipynb": notebook("kai", "def first(x):\n    return 1"),
        }.items()
    }
    assert course.alike(prints, list(QUESTIONS)) == {
        "ann.ipynb": "q1: same code as ben.ipynb and 1 more",
        "ben.ipynb": "q1: same code as ann.ipynb and 1 more",
        "max.ipynb": "q1: same code as ann.ipynb and 1 more",
    }
    prints = {file: {"q1": ("x",), "q2": (file,), "q4": ("z",)} for file in ("a", "b", "c")}
    prints["c"]["q2"] = ("b",)
    notes = course.alike(prints, ["q1", "q2", "q3", "q4"])
    assert notes == {
        "a": "q1, q4: same code as b and 1 more",
        "b": "q1-q2, q4: same code as c and 1 more",
        "c": "q1-q2, q4: same code as b and 1 more",
    }


# --- the table


def test_grading_again_keeps_marks_by_hand_and_other_rows(small, tmp_path):
    ann, ben = write(tmp_path / "ann.ipynb", " ANN "), write(tmp_path / "ben.ipynb")
    out = tmp_path / "marks.csv"
    homework.grade([ann, ben], NAME, out)
    rows = read(out)
    assert rows["ann.ipynb"]["student"] == "ann"
    assert "no id typed in" in rows["ben.ipynb"]["note"]
    assert [row["total"] for row in rows.values()] == ["", ""]
    # A person types marks, an id and a column of their own, and saves it as a German spreadsheet does.
    rows["ann.ipynb"] |= {"q2_report": "80,5", "comment": "lovely; brief"}
    rows["ben.ipynb"] |= {"student": "Ben", "comment": ""}
    with out.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows["ann.ipynb"]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows.values())
    write(ann, "ann", "good = 1")
    homework.grade([ann], NAME, out)
    rows = read(out)
    assert {key: rows["ann.ipynb"][key] for key in ("q1", "automatic", "q2_report", "total", "comment")} == {
        "q1": "6",
        "automatic": "10",
        "q2_report": "80,5",
        "total": "90.5",
        "comment": "lovely; brief",
    }
    assert rows["ben.ipynb"]["student"] == "Ben"  # not graded now, as it stood
    homework.grade([ben], NAME, out)
    assert read(out)["ben.ipynb"]["student"] == "ben"
    assert "no id" not in read(out)["ben.ipynb"]["note"]
    assert sorted(path.name for path in tmp_path.glob("*marks*")) == ["marks.csv"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    out = tmp_path / "marks.csv"
    out.write_text("marks by hand")

    def full(path, *_, **__):
        with open(path, "w") as file:
            file.write("file,stu")
        raise OSError("no space left")

    monkeypatch.setattr(course.Path, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        course.save(out, [{"file": "a"}], QUESTIONS)
    assert out.read_text() == "marks by hand"


def test_another_homeworks_table_is_refused_before_anything_runs(small, tmp_path):
    out = tmp_path / "marks.csv"
    out.write_text("file,student,late_hours,q1,q7,automatic,note\n")
    with pytest.raises(SystemExit, match="no table of marks of hw9_small"):
        homework.grade([write(tmp_path / "ann.ipynb", "ann")], NAME, out)
    assert not small


def test_total_counts_what_is_there_and_refuses_what_cannot_be(tmp_path):
    out = tmp_path / "marks.csv"
    rows = [{"file": f, "q1": "6", "q2": "3.5", "q2_report": hand} for f, hand in (("a", "70"), ("b", ""))]
    course.save(out, rows, QUESTIONS)
    assert course.total(out, NAME, QUESTIONS) == "1 of 2 totals; q2_report: 1 missing"
    assert [row["total"] for row in read(out).values()] == ["79.5", ""]
    for impossible in ("91", "-1", "good", "nan"):
        rows[1]["q2_report"] = impossible
        course.save(out, rows, QUESTIONS)
        with pytest.raises(SystemExit, match="b, q2_report: got .*from 0 to 90"):
            course.total(out, NAME, QUESTIONS)


def test_a_missing_id_is_supplied_and_replaces_the_empty_one(small, tmp_path):
    path, out = write(tmp_path / "submissions" / "eli" / "x.ipynb"), tmp_path / "marks.csv"
    homework.grade([path.parent], NAME, out, ids={"eli/x.ipynb": "Eli"})
    row = read(out)["eli/x.ipynb"]
    assert (row["student"], row["note"]) == ("eli", "")
    (ran,) = small.values()
    assert "STUDENT = 'Eli'" in ran
    assert 'STUDENT = \\"\\"' not in ran
    with pytest.raises(SystemExit, match="--id: no file x.ipynb; there are eli/x.ipynb"):
        homework.grade([path.parent], NAME, out, ids={"x.ipynb": "eli"})


# --- notes, feedback, sheets


def test_another_salt_and_copies_are_noted(small, tmp_path):
    paths = [write(tmp_path / "ann.ipynb", "ann", FIRST), write(tmp_path / "ben.ipynb", "ben", FIRST)]
    paths += [write(tmp_path / "old.ipynb", "old", OTHER, given=GIVEN.replace("spring", "autumn"))]
    homework.grade(paths, NAME, tmp_path / "marks.csv")
    notes = {file: row["note"] for file, row in read(tmp_path / "marks.csv").items()}
    assert notes == {
        "ann.ipynb": "q1: same code as ben.ipynb",
        "ben.ipynb": "q1: same code as ann.ipynb",
        "old.ipynb": "handed out with another salt",
    }


def test_every_master_hands_out_its_salt():
    for name in homework.names():
        assert course.salt((homework_build.SOURCES / f"{name.split('_')[0]}_checks.py").read_text()) == "HOMEWORK_SALT"
        assert list(homework.headings(name)) == list(homework.questions(name))


def test_feedback_says_what_failed_and_never_what_a_hand_has_not_read(small, tmp_path):
    path = write(tmp_path / "Eli Wallach_1_" / "x.ipynb", "eli")
    homework.grade([path.parent], NAME, tmp_path / "marks.csv", feedback=tmp_path / "feedback")
    (made,) = (tmp_path / "feedback").iterdir()
    assert made.name == "Eli Wallach_1___x.ipynb.txt"
    lines = made.read_text(encoding="utf8").splitlines()
    assert lines[:3] == [NAME, "Eli Wallach_1_/x.ipynb", "id: eli"]
    assert "q1: 0 of 6" in lines
    assert "    failed: folded tokens (the values are not right)" in lines
    assert "q2_report: not read yet of 90 (read by a person)" in lines


def test_a_sheet_holds_rubric_answer_photograph_and_figure(parts):
    made = notebook("eli", FIRST, report="I predicted it. ![](attachment:photo.png)")
    made.cells[-2]["attachments"] = {"photo.png": {"image/png": "QUJD"}}
    figure = nbformat.v4.new_output("display_data", {"image/png": "REVG\n"})
    made.cells.insert(-1, new_code_cell("plot()", outputs=[figure]))
    one = course.Submission("eli.ipynb", nbformat.writes(made), datetime.datetime.now())
    sheet = course.sheet(one, "eli", parts, QUESTIONS)
    for words in (
        "| honest | 90 |",
        "I predicted it. ![](data:image/png;base64,QUJD)",
        "![figure](data:image/png;base64,REVG)",
    ):
        assert words in sheet
    assert "def first" not in sheet
    nothing = course.Submission("sue.ipynb", text("sue"), datetime.datetime.now())
    assert "*nothing*" in course.sheet(nothing, "sue", parts, QUESTIONS)


def test_ids_are_the_cards():
    for name in homework.names():
        assert homework.card_id(name, " Jane  DOE ") == "jane doe"
        assert homework.card_id(name, "  ") == ""
    pairs = {homework.card_id("hw4_a_project", pair) for pair in ("doe+roe", "Roe+doe", "doe + ROE ")}
    assert pairs == {"doe+roe"}


def test_a_card_may_be_cut_off():
    """``card ... | head`` closes the pipe early."""
    command = [sys.executable, homework.__file__, "card", "hw1_the_construction", *(f"s{i}" for i in range(400))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


# --- once with otter


def test_one_real_submission_gets_points_notes_and_feedback(tmp_path):
    name = "hw1_the_construction"
    if not (homework.BUILT / f"{name}-autograder.zip").exists():
        homework.BUILT.mkdir(parents=True, exist_ok=True)
        homework.build(name)
    made = nbformat.read(homework.BUILT / f"{name}.ipynb", as_version=4)
    for cell in homework.code(made):
        cell.source = cell.source.replace('STUDENT = ""', 'STUDENT = "Eli"')
        if cell.source.startswith("def layer("):
            cell.source = "def layer(tokens, step)\n    return tokens"
        if cell.source.startswith("def fold("):
            cell.source = "def fold(x, y):\n    return -x\n\n\ndef make_tokens(x, y, query):\n    return x"
    path = tmp_path / "x.ipynb"
    nbformat.write(made, path)
    os.utime(path, (0, 0))
    homework.grade([path], name, tmp_path / "marks.csv", datetime.datetime(2027, 3, 1), feedback=tmp_path)
    row = read(tmp_path / "marks.csv")["x.ipynb"]
    assert (row["student"], row["late_hours"], row["automatic"], row["note"]) == ("eli", "0.0", "0", "q2: SyntaxError")
    said = (tmp_path / "x.ipynb.txt").read_text(encoding="utf8")
    assert "failed: folded tokens (fold: the values are not right)" in said
    assert "a cell raised SyntaxError: " in said
