"""The README's code runs as it stands, and what it shows is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf8")


def test_the_code_runs_and_classifies():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["error"].shape == ()
    assert names["error"] < 0.2  # chance is 0.5


def test_it_fits_a_screen():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    assert len(TEXT.splitlines()) <= 80


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if "://" in link] == []
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_both_commands_are_there():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT))
    assert {"book", "test"} <= named
    assert named <= set(targets)
