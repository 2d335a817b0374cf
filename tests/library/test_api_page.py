"""The page on the library lists what the library offers, and nothing that is not there."""

import re
from functools import reduce
from pathlib import Path
from types import ModuleType

import pytest

import icl_lib as icl

TEXT = (Path(__file__).resolve().parents[2] / "book" / "api.md").read_text(encoding="utf8")
DESCRIBED = re.findall(r"^\.\. auto(?:class|function|data|exception|module):: (\S+?)(?:\(\))?$", TEXT, re.MULTILINE)
SUMMARIES = re.findall(r"^\.\. autosummary::\n\n((?:   \S+\n)+)", TEXT, re.MULTILINE)
SUMMARISED = [name for summary in SUMMARIES for name in summary.split()]


def thing(name: str) -> object:
    return reduce(getattr, name.removeprefix("icl_lib.").split("."), icl)


@pytest.mark.parametrize("name", sorted(icl.__all__))
def test_every_public_name_is_described(name):
    if isinstance(getattr(icl, name), ModuleType):
        assert any(entry.startswith(f"icl_lib.{name}") for entry in DESCRIBED)
    else:
        assert name in {entry.rpartition(".")[2] for entry in DESCRIBED}


@pytest.mark.parametrize("name", sorted({*DESCRIBED, *SUMMARISED} - {"icl_lib.plots"}))
def test_what_is_described_is_there(name):
    assert thing(name) is not None


def test_a_summary_names_what_is_described_on_the_page():
    described = {entry.rpartition(".")[2] for entry in DESCRIBED}
    assert len(SUMMARISED) == len(set(SUMMARISED)) >= 50
    assert [name for name in SUMMARISED if name.rpartition(".")[2] not in described] == []
