"""Build a homework: book/homework/NAME.md (with solutions) in, three files in _build/homework/ out.

homework.py is the command, and says what a master looks like.
"""

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from icl_project import ROOT, repository_url

SOURCES = ROOT / "book" / "homework"
BUILT = ROOT / "_build" / "homework"
OTTER = Path(sys.executable).with_name("otter")
SALT = os.environ.get("HOMEWORK_SALT", "public")  # another word, other numbers for every student
HIDDEN = re.compile(r"^# HIDDEN (\w+)\((.*)\): (.+)$", re.MULTILINE)


def names() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("hw*.md"))


def module(name: str, part: str):
    """The Python file beside a homework: NAME's number and ``checks`` or ``planted``."""
    path = SOURCES / f"{name.split('_')[0]}_{part}.py"
    if str(SOURCES) not in sys.path:
        sys.path.append(str(SOURCES))  # they share answers.py, given.py and planting.py
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def headings(name: str) -> dict[str, str]:
    """Each question's first heading, by which a cell of a submission is told to belong to it."""
    text = (SOURCES / f"{name}.md").read_text(encoding="utf8")
    return dict(re.findall(r"# BEGIN QUESTION\nname: *(\S+)\n.*?^(#+ .+?)$", text, re.DOTALL | re.MULTILINE))


def questions(name: str) -> dict[str, tuple[float, bool]]:
    """Each question's points, and whether a person grades it."""
    text = (SOURCES / f"{name}.md").read_text(encoding="utf8")
    found = {}
    for block in re.findall(r"```otter\n# BEGIN QUESTION\n(.*?)```", text, re.DOTALL):
        entry = dict(re.findall(r"^(\w+): *(.*)$", block, re.MULTILINE))
        found[entry["name"]] = (sum(json.loads(f"[{entry['points'].strip('[]')}]")), entry.get("manual") == "true")
    return found


def hidden_tests(cells: list, checks: str) -> list:
    """Return the cells with each line ``# HIDDEN name(answer): words`` as a test of its own, as otter reads it."""
    from nbformat.v4 import new_code_cell

    done = []
    for cell in cells:
        found = HIDDEN.findall(cell.source)
        if not found:
            done.append(cell)
        else:
            assert len(found) == len(cell.source.splitlines()), f"a hidden test that cannot be read in:\n{cell.source}"
        for number, (test, arguments, words) in enumerate(found):
            given = ", ".join(part for part in arguments.split(", ") if part.isidentifier())
            head = f'# HIDDEN\ndef test_{test}_{number}({given}):\n    """{words}"""\n'
            done.append(new_code_cell(f"{head}    import {checks}\n\n    {checks}.{test}({arguments})"))
    return done


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
    checks = module(name, "checks")
    import given  # module() has put its folder on the path

    imports = "import hashlib\nimport math\nimport random\nfrom types import SimpleNamespace"
    card = "\n\n\n".join([imports, *(inspect.getsource(f).rstrip() for f in (given.begin, checks.variant))])
    text = text.replace("VARIANT_SOURCE", card).replace("CHECK_SOURCE", inspect.getsource(given.check).rstrip())
    text = text.replace("REPOSITORY_URL", repository_url()).replace("HOMEWORK_SALT", SALT)
    notebook = jupytext.reads(text, fmt="md:myst")
    cells = extract_all_fenced_otter_cells(notebook.cells)
    notebook.cells = public_tests(hidden_tests(cells, f"{name.split('_')[0]}_checks"))
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
    work = BUILT / "work" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for part in (SOURCES / file for file in ("answers.py", "given.py", f"{name.split('_')[0]}_checks.py")):
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
