"""What must hold of the committed notebooks before anything executes them again."""

import json
import re

import notebooks as tool
import pytest
from icl_project import COSTS, ROOT, chapter_sources, repository_url

SOURCES = chapter_sources()
# The record is tested, so a slow day fails nobody; and CPU time, so that a busy machine may make the record.
BUDGET = {"cpu_s": 30, "peak_mb": 1500}
every_chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def cells(source) -> list[dict]:
    return json.loads(tool.notebook_path(source).read_text(encoding="utf8"))["cells"]


def code_cells(source) -> list[dict]:
    return [cell for cell in cells(source) if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]


def tags(cell) -> set:
    return set(cell["metadata"].get("tags", []))


def test_notebooks_are_made_from_the_present_text():
    assert tool.problems() == []  # otherwise: make notebooks


@every_chapter
def test_cost_is_within_budget(source):
    cost = tool.read_costs()[source.stem]
    assert {key: cost[key] for key in BUDGET if cost[key] > BUDGET[key]} == {}


def test_costs_name_the_chapters_and_nothing_else():
    assert sorted(json.loads(COSTS.read_text(encoding="utf8"))) == [path.stem for path in SOURCES]


@every_chapter
def test_every_cell_was_executed(source):
    # nbval compares nothing in a cell that has no execution count.
    skipped = {"skip-execution", "nbval-skip"}
    unexecuted = [c for c in code_cells(source) if c["execution_count"] is None and not tags(c) & skipped]
    assert ["".join(c["source"]) for c in unexecuted] == []


@every_chapter
def test_no_cell_stores_an_error(source):
    failed = [c for c in code_cells(source) if any(o["output_type"] == "error" for o in c["outputs"])]
    assert ["".join(c["source"]) for c in failed if "raises-exception" not in tags(c)] == []


@every_chapter
def test_outputs_name_no_machine(source):
    # A path, an object's address or a temporary name differs on every machine, and tells about ours.
    outputs = json.dumps([c["outputs"] for c in code_cells(source)])
    assert re.findall(r"\bat 0x[0-9a-f]{6,}|/(?:home|root|Users|tmp)/\S*|site-packages\S*|ipykernel_\d+", outputs) == []
    assert str(ROOT) not in outputs


@every_chapter
def test_no_token_is_left(source):
    assert not re.search("REPOSITORY_URL|CHAPTER_COST", json.dumps(cells(source)))


@every_chapter
def test_first_code_cell_installs_the_library_where_it_is_missing(source):
    first = "".join(code_cells(source)[0]["source"])
    assert "import icl_lib as icl" in first
    assert f"icl_lib @ git+{repository_url()}" in first


@every_chapter
def test_figures_are_drawings_with_an_alternative_text(source):
    # SVG follows the theme's ink and stays sharp; a picture made of dots does neither.
    data = [output["data"] for cell in code_cells(source) for output in cell["outputs"] if "data" in output]
    assert [kind for entry in data for kind in entry if kind in {"image/png", "image/jpeg"}] == []
    figures = ["".join(entry["image/svg+xml"]) for entry in data if "image/svg+xml" in entry]
    roots = [re.search(r"<svg\b[^>]*>", figure)[0] for figure in figures]
    assert [root for root in roots if 'role="img"' not in root or not re.search(r'aria-label="[^"]+"', root)] == []


def test_the_figure_of_the_readme_is_the_first_of_chapter_1():
    stem, path = tool.README_FIGURE
    source = next(source for source in SOURCES if source.stem == stem)
    assert path.read_text(encoding="utf8") == tool.first_svg(tool.notebook_path(source))


# --- the tool itself, on a chapter of its own

CHAPTER = """\
# A title

It costs CHAPTER_COST.

```{code-cell} ipython3
%s
```
"""


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """An empty workshop, and a function that writes its only chapter."""
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    source = tmp_path / "book" / "chapters" / "01_x.md"
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(tool, "COSTS", tmp_path / "notebooks" / "costs.json")
    monkeypatch.setattr(tool, "chapter_sources", lambda: [source])

    def write(code):
        source.write_text(CHAPTER % code, encoding="utf8")
        return tool.notebook_path(source)

    return write


@pytest.mark.filterwarnings("default")  # jupyter_client's own
def test_a_chapter_is_executed_once_and_a_failing_one_changes_nothing(workshop, capsys):
    path = workshop("print(1 + 1)")
    assert tool.main(["--check"]) == 1
    assert tool.main([]) == 0
    made = path.read_text(encoding="utf8")
    assert '"2\\n"' in made
    assert "CPU time" in made
    assert tool.main(["--check"]) == 0

    assert tool.main([]) == 0
    assert "0 of 1 chapters executed" in capsys.readouterr().out

    assert tool.main(["--all"]) == 0
    assert path.read_text(encoding="utf8") == made, "executing again changed the file"

    workshop("1 / 0")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        tool.main([])
    assert path.read_text(encoding="utf8") == made
    assert tool.main(["--check"]) == 1
