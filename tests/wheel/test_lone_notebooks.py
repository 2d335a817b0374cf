"""Every notebook from its own file alone, with the oldest and the newest releases that the wheel's bounds allow."""

import re
from importlib.metadata import version

import nbformat
import pytest
from environments import ABSENT, OFFLINE, call, layer, notebook_cells, requirements
from icl_project import chapter_sources, repository_url
from packaging.version import Version

from notebooks import notebook_path

pytestmark = pytest.mark.filterwarnings("default")  # jupyter_client's own

PATHS = [notebook_path(source) for source in chapter_sources()]


def printed(cell) -> str:
    """All that a cell printed, an error's traceback included, without colours."""
    parts = [o.get("text", "") + "\n".join(o.get("traceback", [])) for o in cell.outputs]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))


def drawings(cells) -> list[int]:
    return [sum("image/svg+xml" in output.get("data", {}) for output in cell.outputs) for cell in cells]


def first_cell():
    """The first code cell, which is the same in all notebooks, as a notebook of its own."""
    notebook, cells = notebook_cells(PATHS[0])
    notebook.cells = [cells[0]]
    cells[0].outputs = []
    return notebook


def added(before: dict, after: dict) -> dict:
    """What changed, a distribution that went missing as None."""
    return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_first_cell_is_the_same_in_all_notebooks():
    firsts = {notebook_cells(path)[1][0].source for path in PATHS}
    assert firsts == {first_cell().cells[0].source}


class LoneNotebooks:
    """What must hold at either end of the bounds. `--dist loadscope` keeps a class, and its download, in one worker."""

    def test_the_wheel_changes_nothing_that_is_there(self, kind, installed):
        _, before, after = installed
        assert added(before, after) == {"icl-lib": version("icl_lib")}
        bounds = {name: line.partition(">=")[2] for name, line in requirements().items()}
        there = {name: after[name].partition("+")[0] for name in bounds}
        if kind == "oldest":
            assert {name: Version(v) for name, v in there.items()} == {name: Version(v) for name, v in bounds.items()}
        else:
            assert [name for name in bounds if Version(there[name]) < Version(version(name).partition("+")[0])] == []

    @pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
    def test_a_lone_notebook_runs(self, path, installed, tmp_path):
        environment, _, after = installed
        notebook, cells = notebook_cells(path)
        wanted = drawings(cells)
        for cell in cells:
            cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, tmp_path / "lone.ipynb")
        where = nbformat.v4.new_code_cell("print(icl.__file__)")
        notebook.cells.append(where)
        environment.run(notebook, tmp_path, env=OFFLINE)  # raises if a cell does
        assert cells[0].outputs == [], "the first cell has nothing to do where the library is installed"
        assert drawings(cells) == wanted
        assert printed(where).startswith(str(environment.python.parents[1])), "another icl_lib than the wheel's was run"
        assert environment.versions() == after, "a notebook installed something"

    def test_on_colab_the_first_cell_installs_the_library_and_spares_what_is_there(self, below, published, tmp_path):
        (tmp_path / "empty").mkdir()
        environment = layer(below, tmp_path / "venv")
        before = environment.versions()
        assert before.keys().isdisjoint({"icl-lib", *ABSENT})
        environment.run(first_cell(), tmp_path / "empty", env=published)
        after = environment.versions()
        new = added(before, after)
        assert new.keys() >= {"icl-lib", *ABSENT}
        assert new.keys().isdisjoint(before), "pip replaced what was there"
        # Versions as the interpreter sees them, not as the metadata say: what a layer hides would still be imported.
        code = "import numpy, torch; print(numpy.__version__, torch.__version__, numpy.__file__, torch.__file__)"
        run = [call(python, "-c", code, cwd=tmp_path / "empty") for python in (below, environment.python)]
        assert run[0] == run[1]

    def test_without_a_network_the_first_cell_says_what_is_missing(self, below, tmp_path):
        (tmp_path / "empty").mkdir()
        environment = layer(below, tmp_path / "venv")
        before = environment.versions()
        notebook = first_cell()
        environment.run(notebook, tmp_path / "empty", env=OFFLINE, allow_errors=True)
        message = printed(notebook.cells[0])
        assert f"unable to access '{repository_url()}" in message  # git's own words
        assert "No module named 'icl_lib'" in message
        assert environment.versions() == before


class TestOldest(LoneNotebooks):
    kind = "oldest"


class TestNewest(LoneNotebooks):
    kind = "newest"
