"""Build and grade the homeworks: book/homework/NAME.md (with solutions) in, _build/homework/ out. No Docker.

    python book/_ext/homework.py build                    NAME.ipynb for students, NAME-solution, NAME-autograder.zip
    python book/_ext/homework.py grade NAME FILES... --out marks.csv [--due 2027-03-01T12:00] [--feedback FOLDER]
    python book/_ext/homework.py sheets NAME FILES... --out FOLDER      what a person reads, a Markdown file each
    python book/_ext/homework.py total NAME marks.csv     points of 100, once the marks by hand are typed in
    python book/_ext/homework.py check                    build, then grade what NAME_planted.py plants, and assert it
    python book/_ext/homework.py card NAME ID...          what a student's own numbers are, for the office hour

otter-grader does the work: `otter assign` makes the two notebooks and the zip (homework_build.py), `otter run` grades.
What has to do with files, tables and people is in homework_course.py. What is added to otter here:
public tests that need no otter in the notebook; variants; and a cleaned copy of each submission, so that a cell that
raises, hangs or moved costs what it holds and no more.

To add a homework is to add three files; nothing has to be told of them. Everything below finds hw*.md by itself.
    hwN_title.md    the master: jupytext's md:myst with otter's marks in fenced blocks. VARIANT_SOURCE, CHECK_SOURCE and
                    REPOSITORY_URL are filled in. A code cell may hold hidden tests, a line each:
                    # HIDDEN name(answer, STUDENT): what it looks at       calls hwN_checks.name(answer, STUDENT)
    hwN_checks.py   variant(student, salt) -> a SimpleNamespace, the card; and what the hidden tests call
    hwN_planted.py  plant(folder, student_file, solution_file) -> {file: ({question: points, if not all}, note)}, and
                    a blank.ipynb and a solution.ipynb in the folder; planting.Plants does most of it
"""

import argparse
import ast
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import homework_course as course
import nbformat
from homework_build import BUILT, OTTER, SALT, build, headings, module, names, questions
from homework_course import ID, PUBLIC, Submission, Unreadable, code, student
from icl_project import ROOT

CELL_SECONDS, RUN_SECONDS = 60, 300
WORKERS = min(8, os.cpu_count() or 2)

GUARD = """\
import json as _json
import signal as _signal
def _log(*what):
    with open({log!r}, "a") as file:
        file.write(_json.dumps(what) + "\\n")
def _ring(*_):
    _log("stopped", "", "")
    _limit(0)
    raise TimeoutError("this ran longer than {seconds} s")
def _limit(seconds):  # of processor time, since others may be using the machine; of the clock, for what only waits
    for timer, name, times in ((_signal.ITIMER_PROF, _signal.SIGPROF, 1), (_signal.ITIMER_REAL, _signal.SIGALRM, 4)):
        _signal.signal(name, _ring)
        _signal.setitimer(timer, times * seconds)
def _before(info):
    _limit({seconds})
def _after(result):
    _limit(0)
    if error := result.error_before_exec or result.error_in_exec:
        _log(type(error).__name__, str(error)[:200], result.info.raw_cell)
get_ipython().events.register("pre_run_cell", _before)
get_ipython().events.register("post_run_cell", _after)
exit = quit = None  # they would end the run"""
UNGUARD = """\
get_ipython().events.unregister("pre_run_cell", _before)
get_ipython().events.unregister("post_run_cell", _after)
_limit(0)
from otter.test_files.exception_test import test_case as _case
_call = _case.call_func
def _timed(self, environment):  # a test each: hidden ones have limits of their own, public ones are the students'
    _limit({seconds})
    try:
        _call(self, environment)
    except Exception as error:  # otter looks for the test's line two frames down: this one takes call_func's place
        raise error.with_traceback(error.__traceback__.tb_next.tb_next or error.__traceback__)
    finally:
        _limit(0)
_case.call_func = _timed"""


# --- grade


def handed_out(name: str):
    """The students' notebook as it was built."""
    return nbformat.read(BUILT / f"{name}.ipynb", as_version=4)


def prepared(notebook, name: str, who: str, seconds: int, log: Path):
    """Return the submission's code cells, in its order, between a guard that stops a long cell and the end of it.

    In front go the cells that were given (imports, variants) and the student's id, in case they were deleted or moved.
    Outputs and foreign kernels go: `otter run` would look for the kernel of the student's own machine. The guard adds
    a line to ``log`` for each cell or test that it stops and each cell that raises; it starts after the imports, which
    a busy machine slows.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    imports, _, variants = (cell.source for cell in code(handed_out(name))[:3])
    guard = GUARD.format(seconds=seconds, log=str(log))
    first = [imports, guard, variants.replace("card(STUDENT)", ""), f"STUDENT = {who!r}"]
    kept = [cell.source for cell in code(notebook) if not cell.source.startswith(PUBLIC)]
    if not student(notebook):  # the id was supplied
        kept = [ID.sub(lambda _: first[-1], source) for source in kept]
    made = new_notebook(cells=[new_code_cell(source) for source in [*first, *kept, UNGUARD.format(seconds=seconds)]])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def otter_run(path: Path, name: str, seconds: int = RUN_SECONDS) -> tuple[dict, dict]:
    """Return points and what failed, by question, as `otter run` says. Raises Unreadable where it says nothing."""
    with tempfile.TemporaryDirectory() as out:
        command = [OTTER, "run", "--no-logo", "-a", BUILT / f"{name}-autograder.zip", "-o", out, path]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options) as process:
            try:
                errors = process.communicate(timeout=seconds)[1]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the notebook's kernel too
                raise Unreadable(f"stopped after {seconds} s") from None
        results = Path(out) / "results.json"
        if not results.exists():
            lines = [line for line in errors.splitlines() if line.strip()]
            raise Unreadable(f"could not be run: {lines[-1].strip() if lines else 'no message'}")
        tests = json.loads(results.read_text(encoding="utf8"))["tests"]
    points = {test["name"]: round(test["score"], 4) for test in tests if "max_score" in test}
    if missing := {q for q, (_, manual) in questions(name).items() if not manual} - set(points):
        raise Unreadable(f"the run ended before the tests of {', '.join(sorted(missing))}")
    return points, {test["name"]: failed(name, test) for test in tests if "max_score" in test}


def failed(name: str, test: dict) -> list[str]:
    """A sentence for each test of a question that failed: what it looks at, and what it found."""
    with zipfile.ZipFile(BUILT / f"{name}-autograder.zip") as zipped:
        tree = ast.parse(zipped.read(f"tests/{test['name']}.py"))
    words = [ast.get_docstring(f) for f in tree.body if isinstance(f, ast.FunctionDef)]
    found = []
    for number, said in re.findall(
        r" - (\d+) result:\n\s+\S+ Test case failed\n(.*?)(?=\n\n|\Z)", test["output"], re.S
    ):
        _where, _line, *message = said.strip().splitlines()
        found.append(f"{words[int(number) - 1]} ({' '.join(message[:1]).strip().removeprefix('AssertionError: ')})")
    return found


def card_id(name: str, who: str) -> str:
    """An id as the card has it: lower case, single spaces, a pair in one order. Nothing stays nothing."""
    return module(name, "checks").variant(who, SALT).student if who.strip() else ""


def grade_one(one: Submission, name: str, ids: dict, due: datetime.datetime | None, seconds: int) -> dict:
    """One row of the table of marks, and more. A submission that cannot be graded has a note instead of points."""
    row = {"file": one.file, "student": "", "late_hours": "", "note": "", "failed": {}, "raised": []}
    if due:
        row["late_hours"] = round(max(0.0, (one.handed_in - due).total_seconds() / 3600), 1)
    automatic = {q: points for q, (points, manual) in questions(name).items() if not manual}
    try:
        notebook = one.read()
        typed = student(notebook) or ids.get(one.file, "")
        row["student"] = card_id(name, typed)
        if not typed:
            row["note"] = "no id typed in"
        with tempfile.TemporaryDirectory() as folder:
            copy, log = Path(folder) / "submission.ipynb", Path(folder) / "log"
            nbformat.write(prepared(notebook, name, typed, seconds, log), copy)
            points, row["failed"] = otter_run(copy, name)
            row |= points
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        row["raised"] = raised(name, notebook, [line for line in lines if line[0] != "stopped"])
        if stopped := sum(line[0] == "stopped" for line in lines):
            row["note"] = noted(row["note"], f"{stopped} time(s) stopped after {seconds} s")
    except Exception as problem:  # whatever is wrong with it, the others must still be graded
        words = problem if isinstance(problem, Unreadable) else f"{type(problem).__name__} while it was graded"
        row |= dict.fromkeys(automatic, 0) | {"note": f"look at it by hand: {words}"}
    row["automatic"] = sum(row[q] for q in automatic)
    return row


def raised(name: str, notebook, lines: list) -> list[tuple]:
    """(question or None, type, message) for each cell that raised, in the order of the run."""
    parts = course.Parts(handed_out(name), headings(name))
    home = {cell.source.strip(): question for cell, question in parts.of(notebook)}
    return [(home.get(source.strip()), kind, message) for kind, message, source in lines]


def noted(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def compared(name: str, files: list[Submission], rows: list[dict]) -> None:
    """Note what only shows beside the other submissions, or beside what was handed out: ``beside`` in each row."""
    parts, prints = course.Parts(handed_out(name), headings(name)), {}
    with zipfile.ZipFile(BUILT / f"{name}-autograder.zip") as zipped:
        checks = zipped.read(f"files/{name.split('_')[0]}_checks.py").decode("utf8")
    for one, row in zip(files, rows, strict=True):
        row["beside"] = "; ".join(dict.fromkeys(f"{q or 'a cell'}: {kind}" for q, kind, _ in row["raised"]))
        try:
            notebook = one.read()
        except Unreadable:
            continue
        prints[one.file] = course.fingerprints(parts, notebook)
        if not course.same_salt(notebook, checks):
            row["beside"] = noted("handed out with another salt", row["beside"])
    same = course.alike(prints, list(questions(name)))
    for row in rows:
        row["beside"] = noted(row["beside"], same.get(row["file"], ""))


def grade(
    paths: list[Path],
    name: str,
    out: Path,
    due: datetime.datetime | None = None,
    seconds: int = CELL_SECONDS,
    ids: dict[str, str] | None = None,
    feedback: Path | None = None,
) -> list[dict]:
    """Grade submissions, one a core, and put them into the CSV; a person's points in it stay, or are left empty."""
    points, files = questions(name), course.submissions(paths)
    old = course.load(out, name, points)
    if strangers := set(ids or ()) - {one.file for one in files}:
        raise SystemExit(f"--id: no file {', '.join(sorted(strangers))}; there are {', '.join(o.file for o in files)}")
    known = {file: row.get("student") or "" for file, row in old.items()} | (ids or {})
    card_id(name, "nobody")  # imports once, before there are threads
    with ThreadPoolExecutor(WORKERS) as pool:
        rows = list(pool.map(lambda one: grade_one(one, name, known, due, seconds), files))
    seen = {}
    for row in rows:
        other = seen.setdefault(row["student"], row["file"])
        if row["student"] and other != row["file"]:
            row["note"] = noted(row["note"], f"same id as {other}")
    compared(name, files, rows)
    columns = ["file", "student", "late_hours", *(q for q, (_, manual) in points.items() if not manual), "automatic"]
    new = [{key: row[key] for key in columns} | {"note": noted(row["note"], row["beside"])} for row in rows]
    table = course.merged(old, new, points)
    course.save(out, table, points)
    if feedback:
        marks = {row["file"]: row for row in table}
        for row in rows:
            text = course.feedback(marks[row["file"]], points, row["failed"], row["raised"])
            course.written(feedback, row["file"], ".txt", f"{name}\n{text}")
    return rows


def sheets(paths: list[Path], name: str, folder: Path) -> int:
    """Write what a person reads, a Markdown file for each submission. Return how many."""
    points, parts = questions(name), course.Parts(handed_out(name), headings(name))
    files = course.submissions(paths)
    for one in files:
        try:
            who = card_id(name, student(one.read()))
        except Unreadable:
            who = ""
        course.written(folder, one.file, ".md", course.sheet(one, who, parts, points))
    return len(files)


# --- check


def check(name: str) -> None:
    """Build, grade what is planted, and assert that every question gets the points that were foretold."""
    build(name)
    folder = BUILT / "work" / name / "planted"
    folder.mkdir()
    expected = module(name, "planted").plant(folder, BUILT / f"{name}.ipynb", BUILT / f"{name}-solution.ipynb")
    automatic = {q: points for q, (points, manual) in questions(name).items() if not manual}
    total = sum(points for points, _ in questions(name).values())
    assert total == 100, f"{name}: {total} points"

    # What a course does that knows nothing of this file: otter alone, on the solution and on the empty notebook.
    alone = {"solution": automatic, "blank": dict.fromkeys(automatic, 0)}
    with ThreadPoolExecutor(WORKERS) as pool:
        given = list(pool.map(lambda kind: otter_run(folder / f"{kind}.ipynb", name), alone))
    for kind, (points, _) in zip(alone, given, strict=True):
        assert points == alone[kind], f"{name}: otter run on the {kind}: {points}, expected {alone[kind]}"
        print(f"{name}: otter run on the {kind}: {sum(points.values()):g} of {sum(automatic.values())}", flush=True)

    due = datetime.datetime.now() + datetime.timedelta(hours=1)
    out = BUILT / f"{name}-planted.csv"
    out.unlink(missing_ok=True)
    rows = grade(sorted(folder / file for file in expected), name, out, due, seconds=15)
    wrong = []
    for row in rows:
        points, note = expected[row["file"]]
        got = {q: row[q] for q in automatic}
        good = got == automatic | points and (note in row["note"] if note else not row["note"])
        good &= (row["late_hours"] > 0) == ("late" in row["file"])
        if "late" in row["file"]:  # the solution, with a cell that divides by zero
            good &= "ZeroDivisionError" in row["beside"] and "same code as" in row["beside"]
        print(f"  {'ok   ' if good else 'WRONG'} {row['file']:<34} {row['automatic']:>3g} points  {row['note']}")
        if not good:
            wrong.append(f"{row['file']}: {got}, {row['note']!r}; expected {automatic | points}, {note!r}")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{name}: {len(rows)} planted submissions graded as foretold; the table is {name}-planted.csv")


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("build", "check"):
        commands.add_parser(command).add_argument("names", nargs="*", help="homeworks; all if none is named")
    grading = commands.add_parser("grade")
    reading = commands.add_parser("sheets")
    for command in (grading, reading):
        command.add_argument("name", choices=names())
        command.add_argument("files", nargs="+", type=Path, help="notebooks, zips, or folders with them")
    grading.add_argument("--out", type=Path, default=Path("marks.csv"))
    grading.add_argument("--due", type=datetime.datetime.fromisoformat, help="local time, 2027-03-01T12:00")
    grading.add_argument("--feedback", type=Path, metavar="FOLDER", help="a text for each student goes there")
    grading.add_argument("--id", action="append", default=[], metavar="FILE=ID", help="an id that was not typed in")
    reading.add_argument("--out", type=Path, default=Path("sheets"), metavar="FOLDER")
    adding = commands.add_parser("total")
    adding.add_argument("name", choices=names())
    adding.add_argument("table", type=Path, nargs="?", default=Path("marks.csv"))
    cards = commands.add_parser("card")
    cards.add_argument("name", choices=names())
    cards.add_argument("ids", nargs="+")
    options = parser.parse_args(arguments)
    zipped = BUILT / f"{getattr(options, 'name', None)}-autograder.zip"
    if options.command == "card":
        for card in (module(options.name, "checks").variant(one, SALT) for one in options.ids):
            print("\n".join(f"{key}: {value}" for key, value in vars(card).items()))
    elif options.command == "total":
        print(course.total(options.table, options.name, questions(options.name)))
    elif options.command in ("grade", "sheets"):
        if not zipped.exists():  # else as it was built, with its salt
            BUILT.mkdir(parents=True, exist_ok=True)
            build(options.name)
        if options.command == "sheets":
            print(f"{sheets(options.files, options.name, options.out)} submissions to read: {options.out}")
            return
        ids = {file: one for file, _, one in (pair.rpartition("=") for pair in options.id)}
        rows = grade(options.files, options.name, options.out, options.due, ids=ids, feedback=options.feedback)
        notes = sum(bool(row["note"] or row["beside"]) for row in rows)
        print(f"{len(rows)} submissions, {notes} with a note: {options.out}")
    else:
        if unknown := set(options.names) - set(names()):
            parser.error(f"no homework {', '.join(sorted(unknown))}; there are {', '.join(names())}")
        BUILT.mkdir(parents=True, exist_ok=True)
        numbers = "the public numbers" if SALT == "public" else "numbers of your own HOMEWORK_SALT"
        for name in options.names or names():
            {"build": build, "check": check}[options.command](name)
            where = f"student's notebook, solution and autograder are in {BUILT.relative_to(ROOT)}/"
            print(f"{name}: {where}, with {numbers}", flush=True)


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # card ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
