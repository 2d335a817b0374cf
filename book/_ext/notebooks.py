"""Make notebooks/NAME.ipynb, executed, from book/chapters/NAME.md. One way only: a notebook is never edited by hand.

    python book/_ext/notebooks.py              the chapters whose text changed since they were last executed
    python book/_ext/notebooks.py 04_one_head  the chapters whose names begin so, changed or not
    python book/_ext/notebooks.py --all        every chapter (after a library change that could move a figure)
    python book/_ext/notebooks.py --check      execute nothing; fail if a notebook is missing, stale or left over

Whether a text changed is told by its hash, kept in the notebook, and not by file times, which a clone does not keep.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import time
from pathlib import Path

import icl_plain
from icl_project import COSTS, NOTEBOOKS, ROOT, chapter_sources, repository_url

TIMEOUT = 300  # seconds a cell; a chapter's budget is far below, tests/notebooks holds it
README_FIGURE = ("01_in_context_learning", ROOT / "book" / "assets" / "boundary-by-depth.svg")
MEASURE = """\
import json as _json, resource as _resource, sys as _sys
_own, _kids = (_resource.getrusage(who) for who in (_resource.RUSAGE_SELF, _resource.RUSAGE_CHILDREN))
_peak = _own.ru_maxrss / (2**20 if _sys.platform == "darwin" else 2**10)
print(_json.dumps([_own.ru_utime + _own.ru_stime + _kids.ru_utime + _kids.ru_stime, _peak]))"""


def source_text(path: Path) -> str:
    """The chapter's text, with the repository's address filled in."""
    return path.read_text(encoding="utf8").replace("REPOSITORY_URL", repository_url())


def source_hash(path: Path) -> str:
    return hashlib.sha256(source_text(path).encode()).hexdigest()


def notebook_path(source: Path) -> Path:
    return NOTEBOOKS / f"{source.stem}.ipynb"


def is_fresh(source: Path) -> bool:
    """Whether the notebook was executed from this very text."""
    path = notebook_path(source)
    if not path.exists() or source.stem not in read_costs():
        return False
    metadata = json.loads(path.read_text(encoding="utf8"))["metadata"]
    return metadata.get("icl", {}).get("source_sha256") == source_hash(source)


def read_costs() -> dict:
    return json.loads(COSTS.read_text(encoding="utf8")) if COSTS.exists() else {}


def write_atomically(path: Path, text: str) -> None:
    """A reader, or an interrupted run, sees the old file or the new one and never half of one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf8")
    draft.replace(path)


def convert(source: Path):
    """The chapter as a notebook that was not executed yet: nothing in it depends on when or where it was made."""
    import jupytext

    notebook = jupytext.reads(source_text(source), fmt="md:myst")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "icl": {"source": source.relative_to(ROOT).as_posix(), "source_sha256": source_hash(source)},
    }
    seen = {}
    for cell in notebook.cells:  # ids from the content: stable, and an inserted cell renames no other
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}"
    return notebook


def execute(notebook) -> dict:
    """Run all cells, store their outputs in the notebook, return what it cost."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # quiet about talking over the loopback interface
        record_timing=False,  # time stamps would make every run a diff
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    start = time.perf_counter()
    with client.setup_kernel():
        client.reset_execution_trackers()
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        wall = time.perf_counter() - start
        notebook.cells.append(new_code_cell(MEASURE))  # asked in the same kernel, and not kept
        client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
        cpu, peak = json.loads(notebook.cells.pop().outputs[0].text)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return {"cpu_s": math.ceil(cpu), "wall_s": math.ceil(wall), "peak_mb": 50 * math.ceil(peak / 50)}


def steady(new: dict, old: dict | None) -> dict:
    """The old record where the new one says much the same: running a chapter again then changes no file."""
    same = old and all(abs(new[key] - old[key]) <= max(0.3 * old[key], 2) for key in new)
    return old if same else new


def make(source: Path) -> None:
    """Convert, execute and write one chapter. A cell that fails raises, and the old notebook stays as it was."""
    import nbformat

    notebook = convert(source)
    cost = steady(execute(notebook), read_costs().get(source.stem))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            gap = "\N{NO-BREAK SPACE}"
            phrase = f"about {cost['cpu_s']}{gap}s of CPU time and {cost['peak_mb']}{gap}MB of memory"
            cell.source = icl_plain.plain(cell.source.replace("CHAPTER_COST", phrase))
    nbformat.validate(notebook)
    write_atomically(notebook_path(source), json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    known = {path.stem for path in chapter_sources()}
    costs = {stem: entry for stem, entry in (read_costs() | {source.stem: cost}).items() if stem in known}
    write_atomically(COSTS, json.dumps(costs, indent=1, sort_keys=True) + "\n")
    if source.stem == README_FIGURE[0] and (figure := first_svg(notebook_path(source))):
        write_atomically(README_FIGURE[1], figure)
    print(f"{source.stem}: {cost['cpu_s']} s CPU, {cost['wall_s']} s, {cost['peak_mb']} MB", flush=True)


def first_svg(path: Path) -> str | None:
    """The first SVG figure among a notebook's outputs (chapter 01's is the README's figure)."""
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        for output in cell.get("outputs", []):
            if "image/svg+xml" in output.get("data", {}):
                return "".join(output["data"]["image/svg+xml"]).rstrip() + "\n"
    return None


def problems() -> list[str]:
    """What is wrong with the notebooks as they lie there, a line each."""
    sources = chapter_sources()
    stale = [f"{path.stem}: the text changed since it was executed" for path in sources if not is_fresh(path)]
    made = {notebook_path(path) for path in sources}
    lying = sorted(NOTEBOOKS.glob("*.ipynb"))
    left = [f"{path.name}: no chapter source" for path in lying if path not in made]
    worded = [f"{path.name}: its words for other pages are old" for path in lying if icl_plain.reworded(path)]
    return stale + left + worded


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="execute the chapters whose names begin so")
    parser.add_argument("--all", action="store_true", help="execute every chapter")
    parser.add_argument("--check", action="store_true", help="execute nothing, only compare hashes")
    options = parser.parse_args(arguments)
    if options.check:
        print("\n".join(problems()) or "All notebooks are fresh.")
        return bool(problems())

    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # the kernel inherits them
    NOTEBOOKS.mkdir(exist_ok=True)
    wanted = [path for path in chapter_sources() if path.stem.startswith(tuple(options.names))]
    if not wanted and options.names:
        parser.error(f"no chapter begins with {' or '.join(options.names)}")
    if not options.names:
        wanted = [path for path in chapter_sources() if options.all or not is_fresh(path)]
    for number, source in enumerate(wanted, 1):
        print(f"[{number}/{len(wanted)}] {source.stem} ...", flush=True)
        make(source)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):  # a title elsewhere may have changed: that executes nothing
        if (text := icl_plain.reworded(path)) is not None:
            write_atomically(path, text)
    print(f"{len(wanted)} of {len(chapter_sources())} chapters executed; costs in {COSTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
