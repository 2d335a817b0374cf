"""Build and grade the homeworks: book/homework/NAME.md (with solutions) in, _build/homework/ out. No Docker.

    python book/_ext/homework.py build                    NAME.ipynb for students, NAME-solution, NAME-autograder.zip
    python book/_ext/homework.py grade NAME FILES... --out marks.csv [--due 2027-03-01T12:00]
    python book/_ext/homework.py check                    build, then grade what NAME_planted.py plants, and assert it
    python book/_ext/homework.py card NAME ID...          what a student's own numbers are, for the office hour

otter-grader does the work: `otter assign` makes the two notebooks and the zip, `otter run` grades. What is added here:
public tests that need no otter in the notebook; variants; and a cleaned copy of each submission, so that a cell that
raises, hangs or moved costs what it holds and no more.
"""

import argparse
import csv
import datetime
import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from icl_project import ROOT, repository_url

SOURCES = ROOT / "book" / "homework"
BUILT = ROOT / "_build" / "homework"
OTTER = Path(sys.executable).with_name("otter")
SALT = os.environ.get("HOMEWORK_SALT", "public")  # another word, other numbers for every student
CELL_SECONDS, RUN_SECONDS = 60, 300
WORKERS = min(8, os.cpu_count() or 2)
ID = re.compile(r"^STUDENT\s*=\s*(['\"])(.*?)\1", re.MULTILINE)

GUARD = """\
import signal as _signal
def _ring(*_):
    open({log!r}, "a").write("x")
    raise TimeoutError("this ran longer than {seconds} s")
_signal.signal(_signal.SIGALRM, _ring)
_before, _after = (lambda info: _signal.alarm({seconds})), (lambda result: _signal.alarm(0))
get_ipython().events.register("pre_run_cell", _before)
get_ipython().events.register("post_run_cell", _after)
exit = quit = None  # they would end the run"""
UNGUARD = """\
get_ipython().events.unregister("pre_run_cell", _before)
get_ipython().events.unregister("post_run_cell", _after)
_signal.alarm(0)
from otter.test_files.exception_test import test_case as _case
_call = _case.call_func
def _timed(self, environment):  # a test each: hidden ones have limits of their own, public ones are the students'
    _signal.signal(_signal.SIGALRM, _ring)
    _signal.alarm({seconds})
    try:
        _call(self, environment)
    finally:
        _signal.alarm(0)
_case.call_func = _timed"""


class Unreadable(Exception):
    """A file that is no submission; the message says why."""


def names() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("hw*.md"))


def module(name: str, part: str):
    """The Python file beside a homework: NAME's number and ``checks`` or ``planted``."""
    path = SOURCES / f"{name.split('_')[0]}_{part}.py"
    if str(SOURCES) not in sys.path:
        sys.path.append(str(SOURCES))  # they share answers.py and planting.py
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# --- build


def public_tests(cells: list) -> list:
    """Return the cells with, behind each question's tests, a cell that shows and runs the public ones.

    Grading skips that cell (its tag says so): all tests run at the end there, on what the notebook then holds.
    """
    from nbformat.v4 import new_code_cell

    done, shown, question, testing = [], [], "", False
    for cell in cells:
        first = cell.source.split("\n", 1)[0].strip()
        done.append(cell)
        if first == "# BEGIN QUESTION":
            question = re.search(r"^name: *(\S+)", cell.source, re.MULTILINE)[1]
        elif first == "# BEGIN TESTS":
            shown, testing = [], True
        elif first == "# END TESTS":
            testing = False
            tests = ", ".join(re.findall(r"^def (\w+)", "\n".join(shown), re.MULTILINE))
            source = f"# Public tests of {question}: run this cell\n" + "\n\n\n".join([*shown, f"check({tests})"])
            done.append(new_code_cell(source, metadata={"tags": ["otter_ignore", "hide-input"]}))
        elif testing and first != "# HIDDEN":
            shown.append(cell.source)
    return done


def master(name: str):
    """The homework's text as the notebook that ``otter assign`` reads."""
    import jupytext
    from otter.assign.blocks import extract_all_fenced_otter_cells

    text = (SOURCES / f"{name}.md").read_text(encoding="utf8")
    given = inspect.getsource(module(name, "checks").variant)
    imports = "import hashlib\nimport math\nimport random\nfrom types import SimpleNamespace\n\n\n"
    text = text.replace("VARIANT_SOURCE", imports + given.rstrip()).replace("REPOSITORY_URL", repository_url())
    notebook = jupytext.reads(text.replace("HOMEWORK_SALT", SALT), fmt="md:myst")
    notebook.cells = public_tests(extract_all_fenced_otter_cells(notebook.cells))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def build(name: str) -> None:
    """Write the student's notebook, the solution and the autograder's zip of one homework."""
    import nbformat

    work = BUILT / "work" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for part in (SOURCES / "answers.py", SOURCES / f"{name.split('_')[0]}_checks.py"):
        (work / part.name).write_text(part.read_text(encoding="utf8").replace("HOMEWORK_SALT", SALT), encoding="utf8")
    nbformat.write(master(name), work / f"{name}.ipynb")
    command = [OTTER, "assign", "--no-pdfs", "--no-run-tests", f"{name}.ipynb", "made"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"otter assign failed on {name}:\n{done.stderr}")
    shutil.copy(work / "made" / "student" / f"{name}.ipynb", BUILT / f"{name}.ipynb")
    shutil.copy(work / "made" / "autograder" / f"{name}.ipynb", BUILT / f"{name}-solution.ipynb")
    (zipped,) = (work / "made" / "autograder").glob("*-autograder_*.zip")
    shutil.copy(zipped, BUILT / f"{name}-autograder.zip")


# --- grade


def read(path: Path):
    """The notebook in a file, or in the zip that a learning platform wrapped around it."""
    import nbformat

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                inside = [n for n in zipped.namelist() if n.endswith(".ipynb") and "__MACOSX" not in n]
                if len(inside) != 1:
                    raise Unreadable(f"{len(inside)} notebooks in the zip")
                text = zipped.read(inside[0]).decode("utf8")
        else:
            text = path.read_text(encoding="utf8")
        notebook = nbformat.reads(text, as_version=4)
        assert [cell.source for cell in notebook.cells if cell.cell_type == "code"], "no code in it"
    except Unreadable:
        raise
    except Exception as error:  # whatever is wrong with the file, the others must still be graded
        raise Unreadable(f"not a notebook ({type(error).__name__})") from None
    return notebook


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def student(notebook) -> str:
    """The id that was typed in, or nothing."""
    found = [match[2] for cell in code(notebook) if (match := ID.search(cell.source))]
    return " ".join(found[0].split()) if found else ""


def prepared(notebook, name: str, seconds: int, log: Path):
    """Return the submission's code cells, in its order, between a guard that stops a long cell and the end of it.

    In front go the cells that were given (imports, variants) and the student's id, in case they were deleted or moved.
    Outputs and foreign kernels go: `otter run` would look for the kernel of the student's own machine. The guard adds
    a letter to ``log`` for each cell or test that it stops, and starts after the imports, which a busy machine slows.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    imports, _, variants = (cell.source for cell in code(read(BUILT / f"{name}.ipynb"))[:3])
    guard = GUARD.format(seconds=seconds, log=str(log))
    first = [imports, guard, variants.replace("card(STUDENT)", ""), f"STUDENT = {student(notebook)!r}"]
    kept = [cell.source for cell in code(notebook) if not cell.source.startswith("# Public tests of")]
    made = new_notebook(cells=[new_code_cell(source) for source in [*first, *kept, UNGUARD.format(seconds=seconds)]])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return made


def otter_run(path: Path, name: str, seconds: int = RUN_SECONDS) -> dict:
    """Return the points of each question, as `otter run` says. Raises Unreadable where it says nothing."""
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
    return points


def questions(name: str) -> dict[str, tuple[float, bool]]:
    """Each question's points, and whether a person grades it."""
    text = (SOURCES / f"{name}.md").read_text(encoding="utf8")
    found = {}
    for block in re.findall(r"```otter\n# BEGIN QUESTION\n(.*?)```", text, re.DOTALL):
        entry = dict(re.findall(r"^(\w+): *(.*)$", block, re.MULTILINE))
        found[entry["name"]] = (sum(json.loads(f"[{entry['points'].strip('[]')}]")), entry.get("manual") == "true")
    return found


def grade_one(path: Path, name: str, due: datetime.datetime | None, seconds: int) -> dict:
    """One row of the table of marks. A submission that cannot be graded has a note instead of points."""
    import nbformat

    row = {"file": path.name, "student": "", "late_hours": "", "note": ""}
    handed_in = datetime.datetime.fromtimestamp(path.stat().st_mtime)
    if due:
        row["late_hours"] = round(max(0.0, (handed_in - due).total_seconds() / 3600), 1)
    automatic = {q: points for q, (points, manual) in questions(name).items() if not manual}
    try:
        notebook = read(path)
        row["student"] = student(notebook)
        if not row["student"]:
            row["note"] = "no id typed in"
        with tempfile.TemporaryDirectory() as folder:
            copy, log = Path(folder) / "submission.ipynb", Path(folder) / "stopped"
            nbformat.write(prepared(notebook, name, seconds, log), copy)
            row |= otter_run(copy, name)
            if log.exists():
                row["note"] = f"{len(log.read_text())} time(s) stopped after {seconds} s"
    except Unreadable as problem:
        row |= dict.fromkeys(automatic, 0) | {"note": f"look at it by hand: {problem}"}
    row["automatic"] = sum(row[q] for q in automatic)
    return row


def grade(paths: list[Path], name: str, out: Path, due: datetime.datetime | None = None, seconds=CELL_SECONDS) -> list:
    """Grade submissions, one a core, and write a CSV; the columns for a person's points are left empty."""
    with ThreadPoolExecutor(WORKERS) as pool:
        rows = list(pool.map(lambda path: grade_one(path, name, due, seconds), paths))
    seen = {}
    for row in rows:
        other = seen.setdefault(row["student"].lower(), row["file"])
        if row["student"] and other != row["file"]:
            row["note"] = "; ".join(filter(None, [row["note"], f"same id as {other}"]))
    columns = ["file", "student", "late_hours", *questions(name), "automatic", "note"]
    with out.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return rows


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
    for kind, points in zip(alone, given, strict=True):
        assert points == alone[kind], f"{name}: otter run on the {kind}: {points}, expected {alone[kind]}"
        print(f"{name}: otter run on the {kind}: {sum(points.values()):g} of {sum(automatic.values())}", flush=True)

    due = datetime.datetime.now() + datetime.timedelta(hours=1)
    rows = grade(sorted(folder / file for file in expected), name, BUILT / f"{name}-planted.csv", due, seconds=15)
    wrong = []
    for row in rows:
        points, note = expected[row["file"]]
        got = {q: row[q] for q in automatic}
        good = got == automatic | points and (note in row["note"] if note else not row["note"])
        good &= (row["late_hours"] > 0) == ("late" in row["file"])
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
    grading.add_argument("name", choices=names())
    grading.add_argument("files", nargs="+", type=Path)
    grading.add_argument("--out", type=Path, default=Path("marks.csv"))
    grading.add_argument("--due", type=datetime.datetime.fromisoformat, help="local time, 2027-03-01T12:00")
    cards = commands.add_parser("card")
    cards.add_argument("name", choices=names())
    cards.add_argument("ids", nargs="+")
    options = parser.parse_args(arguments)
    if options.command == "card":
        for card in (module(options.name, "checks").variant(one, SALT) for one in options.ids):
            print("\n".join(f"{key}: {value}" for key, value in vars(card).items()))
    elif options.command == "grade":
        if not (BUILT / f"{options.name}-autograder.zip").exists():  # else as it was built, with its salt
            BUILT.mkdir(parents=True, exist_ok=True)
            build(options.name)
        rows = grade(options.files, options.name, options.out, options.due)
        print(f"{len(rows)} submissions, {sum(bool(row['note']) for row in rows)} with a note: {options.out}")
    else:
        BUILT.mkdir(parents=True, exist_ok=True)
        for name in options.names or names():
            {"build": build, "check": check}[options.command](name)
            print(f"{name}: student's notebook, solution and autograder are in {BUILT.relative_to(ROOT)}/", flush=True)


if __name__ == "__main__":
    main()
