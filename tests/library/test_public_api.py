"""What a user can count on: names, descriptions, and a light import."""

import inspect
import subprocess
import sys
import typing
from types import ModuleType

import pytest

import icl_lib as icl

NAMES = sorted(set(icl.__all__) - {"LAWS", "THEOREMS"})
CALLABLES = [name for name in NAMES if not isinstance(getattr(icl, name), ModuleType)]


def public_parts():
    """Every public function, class and method."""
    for name in CALLABLES:
        thing = getattr(icl, name)
        yield name, thing
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (callable(value) or isinstance(value, (property, classmethod))):
                    yield f"{name}.{attribute}", value


PARTS = dict(public_parts())


def test_names_are_sorted_and_there():
    assert icl.__all__ == sorted(icl.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert all(hasattr(icl, name) for name in icl.__all__)


@pytest.mark.parametrize("name", PARTS)
def test_everything_public_says_what_it_does(name):
    doc = inspect.getdoc(PARTS[name])
    assert doc, f"{name} has no docstring"
    assert len(doc) >= 20


FUNCTIONS = [name for name in CALLABLES if inspect.isfunction(getattr(icl, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_function_has_a_type(name):
    signature = inspect.signature(getattr(icl, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_shapes_in_signatures_can_be_evaluated():
    """jaxtyping's strings are real types, so an editor or a runtime checker can use them."""
    for name in FUNCTIONS:
        assert typing.get_type_hints(getattr(icl, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        icl.nothing  # noqa: B018


def test_errors_are_value_errors():
    assert issubclass(icl.BadInput, ValueError)
    assert issubclass(icl.NotSeparable, icl.BadInput)


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_library_loads_nothing_heavy():
    """matplotlib, scikit-learn and the solver of quadratic programmes are loaded only where they are used."""
    heavy = {"matplotlib", "sklearn", "quadprog", "scipy", "pandas", "IPython", "dask", "distributed", "torch._dynamo"}
    loaded = fresh("import sys, torch; old = set(sys.modules); import icl_lib; print(*set(sys.modules) - old)").split()
    assert "icl_lib.looped" in loaded
    assert not (heavy | {"icl_lib.theorems", "icl_lib.end_to_end"}) & set(loaded)


@pytest.mark.parametrize("name", ["THEOREMS", "Theorem", "theorems", "train_end_to_end", "EndToEndRun", "trials"])
def test_what_comes_later_comes_by_any_road(name):
    assert fresh(f"import icl_lib as icl; a = icl.{name}; from icl_lib import {name} as b; print(a is b)") == "True"


def test_figures_and_exercises_are_loaded_on_first_use():
    assert fresh("import icl_lib as icl; print(icl.plots.INK, icl.exercises.Exercise.__name__)") == "#757575 Exercise"


def test_the_version_is_that_of_the_package():
    from pathlib import Path

    text = (Path(icl.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf8")
    assert f'\nversion = "{icl.__version__}"\n' in text


def test_the_library_carries_its_types():
    from pathlib import Path

    assert (Path(icl.__file__).parent / "py.typed").exists()
