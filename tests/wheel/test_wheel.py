"""What must hold of the wheel itself, before anybody installs it."""

import re
import zipfile
from email.parser import HeaderParser

import pytest
from environments import requirements

# MB. A lone notebook fetches it before its first figure; most of it is the trained transformers of chapter 16.
BUDGET = 2


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as file:
        return sorted(file.namelist())


@pytest.fixture(scope="module")
def metadata(wheel, names):
    with zipfile.ZipFile(wheel) as file:
        return HeaderParser().parsestr(file.read(next(n for n in names if n.endswith("/METADATA"))).decode())


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < BUDGET * 1e6


def test_the_wheel_holds_the_library_and_nothing_else(tree, names):
    library = sorted(path.relative_to(tree).as_posix() for path in (tree / "icl_lib").rglob("*") if path.is_file())
    assert [name for name in names if ".dist-info/" not in name] == library
    assert {name.rsplit(".", 1)[-1] for name in library} >= {"py", "typed", "csv", "json", "safetensors"}


def test_one_wheel_fits_every_machine(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")


def test_nothing_that_the_wheel_asks_for_has_an_upper_bound(metadata):
    # So pip never has a reason to take an older torch or numpy than the one that is there.
    asked = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(asked) == sorted(requirements().values())
    assert [line for line in asked if not re.fullmatch(r"[a-z-]+>=[0-9.]+", line)] == []
    assert re.fullmatch(r">=3\.\d+", metadata["Requires-Python"])
