"""What a course needs around the grading of homeworks: the files as a platform hands them out, whose code is alike,
the table of marks with what a person typed into it, feedback for the students, and sheets for who reads.

homework.py is the command and does the grading; nothing here runs a submission.
"""

import ast
import base64
import csv
import datetime
import io
import os
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import nbformat

ID = re.compile(r"^STUDENT\s*=\s*(['\"])(.*?)\1", re.MULTILINE)
SALTED = re.compile(r"^def variant\(student, salt=(['\"])(.*?)\1", re.MULTILINE)
PUBLIC = "# Public tests of"
SMALL, TINY = 40, 12  # nodes of the syntax tree: a shorter answer two people may well both write; a stray line


class Unreadable(Exception):
    """A file that is no submission; the message says why."""


# --- the files


class Submission(NamedTuple):
    """``file``: its name in the table of marks, ``text``: of the notebook, or None and the ``problem`` with it."""

    file: str
    text: str | None
    handed_in: datetime.datetime
    problem: str = ""

    def read(self):
        """The notebook. Raises Unreadable."""
        if self.text is None:
            raise Unreadable(self.problem)
        try:
            notebook = nbformat.reads(self.text, as_version=4)
            assert any(cell.source for cell in code(notebook)), "no code in it"
        except Exception as error:  # whatever is wrong with the file, the others must still be graded
            raise Unreadable(f"not a notebook ({type(error).__name__})") from None
        return notebook


def is_work(name: str, kinds=(".ipynb", ".zip")) -> bool:
    """Whether a path may be a student's, and not what an operating system or Jupyter has put beside it."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return name.lower().endswith(kinds) and not hidden


def unpacked(file: str, data: bytes, handed_in: datetime.datetime) -> list[Submission]:
    """Return what is in a file: the notebook, the one notebook of a zip, or a row for each of its many."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        try:
            return [Submission(file, data.decode("utf8"), handed_in)]
        except UnicodeDecodeError:
            return [Submission(file, None, handed_in, "not a notebook (UnicodeDecodeError)")]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            inside = [entry for entry in zipped.infolist() if is_work(entry.filename)]
            if len(inside) == 1:
                return [one._replace(file=file) for one in unpacked(file, zipped.read(inside[0]), handed_in)[:1]]
            found = []
            for entry in inside:
                saved = datetime.datetime(*entry.date_time)
                found += unpacked(f"{file}/{entry.filename}", zipped.read(entry), saved)
    except Exception as error:  # damaged, locked by a password, a date that is none
        return [Submission(file, None, handed_in, f"a zip that cannot be opened ({type(error).__name__})")]
    return found or [Submission(file, None, handed_in, "no notebook in the zip")]


def submissions(paths: list[Path]) -> list[Submission]:
    """Return the submissions in files, zips, folders a student, and a folder of those; each ``file`` but once."""
    named: list[tuple[str, Path]] = []
    for path in paths:
        if not path.is_dir():
            named.append((path.name, path))
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and is_work(p.relative_to(path).as_posix()))
        children = {p.relative_to(path).parts[0] for p in inside if p.parent != path}
        top = path if children and all(p.parent != path for p in inside) else path.absolute().parent
        named += [(p.absolute().relative_to(top.absolute()).as_posix(), p) for p in inside]
        if not inside:
            named.append((path.name, path))
    named = list({path.resolve(): (file, path) for file, path in named}.values())
    files = [file for file, _ in named]
    found = []
    for file, path in named:
        if files.count(file) > 1:  # submissions/*/homework.ipynb
            file = f"{path.absolute().parent.name}/{file}"
        try:
            handed_in = datetime.datetime.fromtimestamp(path.stat().st_mtime)
            if path.is_dir():
                found.append(Submission(file, None, handed_in, "no notebook in the folder"))
            else:
                found += unpacked(file, path.read_bytes(), handed_in)
        except OSError as error:
            found.append(Submission(file, None, datetime.datetime.now(), f"cannot be read ({type(error).__name__})"))
    seen: dict[str, int] = {}
    for place, one in enumerate(found):
        seen[one.file] = seen.get(one.file, 0) + 1
        if seen[one.file] > 1:
            found[place] = one._replace(file=f"{one.file} ({seen[one.file]})")
    return found


# --- what is in a notebook


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def student(notebook) -> str:
    """The id that was typed in, or nothing."""
    found = [match[2] for cell in code(notebook) if (match := ID.search(cell.source))]
    return next((" ".join(one.split()) for one in found if one.strip()), "")


def salt(text: str) -> str | None:
    """The salt in the source of ``variant``, or None where there is no such function."""
    found = SALTED.search(text)
    return found[2] if found else None


def same_salt(notebook, checks: str) -> bool:
    """Whether a submission was handed out with the salt that the tests have; true where it cannot be seen."""
    found = [one for cell in code(notebook) if (one := salt(cell.source)) is not None]
    return not found or found[0] == salt(checks)


class Parts:
    """Finds the question of each cell, by the handed-out notebook and each question's first heading."""

    TOP = re.compile(r"^(?:(?:def|class) +(?=\w+\W))?(?:(?<= )|(?=\w+(?:\[[^]]*\])? *=(?!=)))(\w+)", re.MULTILINE)

    def __init__(self, handed_out, headings: dict[str, str]):
        self.headings = {line: None for cell in handed_out.cells for line in self.lines(cell)}
        self.headings |= {heading: question for question, heading in headings.items()}
        self.given = {cell.source.strip() for cell in handed_out.cells}
        self.stubs = {one for cell in code(handed_out) for one in statements(cell.source)}
        self.texts, self.defined = {}, {}
        for cell, question in self.of(handed_out):
            if cell.cell_type == "markdown" and question:
                self.texts.setdefault(question, cell.source)
            elif question and not cell.source.startswith(PUBLIC):
                self.defined |= dict.fromkeys(self.TOP.findall(cell.source), question)

    @staticmethod
    def lines(cell) -> list[str]:
        return re.findall(r"^#{1,4} .+$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else []

    def of(self, notebook) -> list[tuple]:
        """Each cell with its question or None: that of what it defines, else of the heading above it."""
        found, question = [], None
        for cell in notebook.cells:
            for line in self.lines(cell):
                question = self.headings.get(line, question)
            own = {} if cell.cell_type != "code" else getattr(self, "defined", {})
            names = [own[name] for name in self.TOP.findall(cell.source) if name in own]
            found.append((cell, names[0] if names else question))
        return found

    def answers(self, notebook) -> dict[str, list]:
        """The cells of each question that are not as they were handed out."""
        found: dict[str, list] = {}
        for cell, question in self.of(notebook):
            if question and cell.source.strip() not in self.given and not cell.source.startswith(PUBLIC):
                found.setdefault(question, []).append(cell)
        return found


# --- whose code is alike


def statements(source: str) -> list[str]:
    """The syntax tree of each statement, without comments and docstrings; nothing if it is no Python."""
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        return [ast.dump(node) for node in tree.body]
    except (SyntaxError, ValueError, RecursionError):
        return []


def fingerprints(parts: Parts, notebook) -> dict[str, tuple]:
    """For each question with code of some length: what two equal answers have in common."""
    found = {}
    for question, cells in parts.answers(notebook).items():
        own = {one for cell in cells if cell.cell_type == "code" for one in statements(cell.source)} - parts.stubs
        sizes = {one: one.count("(") for one in own}  # a pair of brackets a node
        own = {one for one in own if sizes[one] >= TINY}
        if sum(sizes[one] for one in own) >= SMALL:
            found[question] = tuple(sorted(own))
    return found


def runs(questions: list[str], order: list[str]) -> str:
    """``q1, q3-q5`` of q1, q3, q4, q5."""
    places, spans = sorted(order.index(q) for q in questions), []
    for place in places:
        if spans and spans[-1][1] == place - 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return ", ".join(order[a] if a == b else f"{order[a]}-{order[b]}" for a, b in spans)


def alike(prints: dict[str, dict[str, tuple]], order: list[str]) -> dict[str, str]:
    """file -> ``q2-q7: same code as ben.ipynb and 1 more``, of file -> fingerprints; named is who shares most."""
    groups: dict[tuple, list[str]] = {}
    for file, own in prints.items():
        for key in own.items():
            groups.setdefault(key, []).append(file)
    notes = {}
    for file, own in prints.items():
        shared: dict[str, list[str]] = {}
        for question, answer in own.items():
            for other in groups[question, answer]:
                shared.setdefault(other, []).append(question)
        shared.pop(file, None)
        if shared:
            most = max(shared, key=lambda other: len(shared[other]))
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            notes[file] = f"{runs(shared[most], order)}: same code as {most}{more}"
    return notes


# --- the table of marks


def load(path: Path, name: str, questions: dict) -> dict[str, dict]:
    """file -> row of a table of marks, as a spreadsheet may have saved it. Exits where it is another's table."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8-sig")
    head = text.split("\n", 1)[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ","))
    if not {"file", *questions} <= set(csv.DictReader(io.StringIO(head.replace(";", ","))).fieldnames or ()):
        raise SystemExit(f"{path} is no table of marks of {name}; give --out another name")
    return {row["file"]: {key: value for key, value in row.items() if key} for row in rows}


def number(value, question: str, row: dict, most: float) -> float | None:
    """A mark, None if there is none yet. Exits where it cannot be one."""
    text = str(value if value is not None else "").strip().replace(",", ".")
    if not text:
        return None
    try:
        mark = float(text)
        assert 0 <= mark <= most
    except (ValueError, AssertionError):
        raise SystemExit(f"{row['file']}, {question}: got {value!r}, expected points from 0 to {most:g}") from None
    return mark


def with_total(row: dict, questions: dict) -> dict:
    """The row with its ``total``: of 100, and empty as long as a mark is missing."""
    marks = [number(row.get(q), q, row, points) for q, (points, _) in questions.items()]
    return row | {"total": "" if None in marks else f"{round(sum(marks), 4):g}"}


def merged(old: dict[str, dict], rows: list[dict], questions: dict) -> list[dict]:
    """The old table with these rows in it: marks by hand, columns of the lecturer's and other files' rows stay."""
    manual = [q for q, (_, by_hand) in questions.items() if by_hand]
    table = dict(old)
    for row in rows:
        before = old.get(row["file"], {})
        kept = {q: before.get(q) or "" for q in manual}
        table[row["file"]] = before | row | kept
    return [with_total(row, questions) for row in table.values()]


def save(path: Path, rows: list[dict], questions: dict) -> None:
    """Write the table, whole or not at all."""
    columns = ["file", "student", "late_hours", *questions, "automatic", "total", "note"]
    columns += dict.fromkeys(key for row in rows for key in row if key not in columns)
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(made.getvalue(), encoding="utf8", newline="")
    os.replace(beside, path)


def total(path: Path, name: str, questions: dict) -> str:
    """Fill the column ``total`` of a table. Return a sentence on what is still missing."""
    if not path.exists():
        raise SystemExit(f"{path}: no such table")
    rows = merged(load(path, name, questions), [], questions)
    save(path, rows, questions)
    missing = {q: sum(not str(row[q] or "").strip() for row in rows) for q in questions}
    done = sum(bool(row["total"]) for row in rows)
    return "; ".join([f"{done} of {len(rows)} totals"] + [f"{q}: {n} missing" for q, n in missing.items() if n])


# --- feedback, and what a person reads


def written(folder: Path, file: str, suffix: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (re.sub(r"[^\w.+() -]", "__", file) + suffix)).write_text(text, encoding="utf8")


def feedback(row: dict, questions: dict, failed: dict[str, list[str]], raised: list[tuple]) -> str:
    """What a student may be sent: points, the sentences of the tests that failed, the cells that raised."""
    lines = [row["file"], f"id: {row['student'] or 'none'}", ""]
    for question, (points, by_hand) in questions.items():
        mark = row.get(question)
        read = "not read yet" if by_hand and mark in ("", None) else f"{mark}"
        lines.append(f"{question}: {read} of {points:g}" + (" (read by a person)" if by_hand else ""))
        lines += [f"    failed: {one}" for one in failed.get(question, [])]
        lines += [f"    a cell raised {error}: {words}" for asked, error, words in raised if asked == question]
    other = [f"a cell outside of the questions raised {error}: {words}" for q, error, words in raised if q is None]
    if row["note"].startswith("look at"):  # and nothing else of the note, which may name other students
        other.append(row["note"].split("; ")[0].replace("look at it by hand", "not graded yet"))
    lines = [line.rstrip(": ") for line in lines]
    return "\n".join([*lines, *other]) + "\n"


def sheet(one: Submission, who: str, parts: Parts, questions: dict) -> str:
    """What a person reads of a submission, in Markdown: each manual question with its rubric, then the answer."""
    made = [f"# {one.file}", f"id: {who or 'none'}"]
    try:
        answers = parts.answers(one.read())
    except Unreadable as problem:
        return "\n\n".join([*made, f"Cannot be read: {problem}\n"])
    for question in (q for q, (_, by_hand) in questions.items() if by_hand):
        made += [
            f"---\n\n**{question}**, {questions[question][0]:g} points",
            re.sub(r"<!--.*?-->\s*", "", parts.texts.get(question, "")),
        ]
        made += ["**The answer**", *(shown(cell) for cell in answers.get(question, []))]
        if question not in answers:
            made.append("*nothing*")
    return "\n\n".join(made) + "\n"


def shown(cell) -> str:
    """A cell as Markdown, with pasted photographs, printouts and figures in it."""
    if cell.cell_type == "markdown":
        text = cell.source
        for name, kinds in cell.get("attachments", {}).items():
            for kind, data in kinds.items():
                text = text.replace(f"attachment:{name}", f"data:{kind};base64,{joined(data)}")
        return text
    made = [f"```python\n{cell.source}\n```"]
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            made.append(f"![figure](data:image/png;base64,{''.join(joined(data['image/png']).split())})")
        elif "image/svg+xml" in data:
            drawn = base64.b64encode(joined(data["image/svg+xml"]).encode()).decode()
            made.append(f"![figure](data:image/svg+xml;base64,{drawn})")
        elif text := joined(output.get("text", data.get("text/plain", ""))).strip():
            made.append(f"```text\n{text[:4000]}\n```")
    return "\n\n".join(made)


def joined(text) -> str:
    return text if isinstance(text, str) else "".join(text)
