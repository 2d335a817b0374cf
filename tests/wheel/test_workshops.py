"""What other machines are told to do: GitHub's workflows and the environment of Binder and conda."""

import os
import re
import tomllib

import pytest
import yaml
from icl_project import ROOT
from packaging.specifiers import SpecifierSet

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["requires-python"])


def read(path):
    return yaml.load(path.read_text("utf8"), yaml.BaseLoader)  # so that `on` and 3.10 stay what they are


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_what_there_is(path):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf8"), re.MULTILINE)
    workflow = read(path)
    for job in workflow["jobs"].values():
        assert int(job["timeout-minutes"]) <= 90
        for command in [step["run"] for step in job["steps"] if "run" in step]:
            program, *arguments = command.split()
            if program == "make":
                assert set(arguments) <= set(targets)
            else:
                assert os.access(ROOT / program, os.X_OK), command
        asked = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
        versions = job.get("strategy", {}).get("matrix", {}).get("python-version", asked)
        assert versions
        assert [version for version in versions if version not in PYTHONS] == []


def test_the_tests_run_every_week_and_for_the_lowest_python():
    workflow = read(ROOT / ".github" / "workflows" / "test.yml")
    (entry,) = workflow["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", entry["cron"])
    (job,) = workflow["jobs"].values()
    lowest = re.fullmatch(r">=(3\.\d+)", str(PYTHONS))[1]
    assert lowest in job["strategy"]["matrix"]["python-version"]


def test_the_environment_names_files_that_are_there():
    listed = read(ROOT / "environment.yml")["dependencies"]
    (python,) = [line.partition("=")[2] for line in listed if isinstance(line, str) and line.startswith("python=")]
    tested = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert python in tested
    (lines,) = [line["pip"] for line in listed if isinstance(line, dict)]
    local = [line.split()[1] for line in lines if line.split()[0] in {"-r", "-c", "-e"}]
    assert local == ["requirements.txt", "."]
    assert [name for name in local if not (ROOT / name).exists()] == []
