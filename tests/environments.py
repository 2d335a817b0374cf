"""Environments for the tests of the wheel: the oldest and the newest releases that its bounds allow.

A *base* holds what takes long to fetch (torch, numpy, scipy, ...) and no icl_lib; it lies in _build/wheel and is used
again for a week. A *layer* is a folder of seconds on top of a base: a virtual environment that sees everything in the
base and installs into itself. So no test can spoil what another one finds, and a base is fetched once.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import nbformat
import pytest
from icl_project import ROOT
from nbclient import NotebookClient

BASES = ROOT / "_build" / "wheel"
# What Colab lacks: there the first cell has to fetch these two. Everything else is in a base, as it is on Colab.
ABSENT = {"jaxtyping", "quadprog"}
CPU_INDEX = "https://download.pytorch.org/whl/cpu/"  # torch without CUDA, a tenth of the download: used if it answers
# A proxy that nobody listens on: whatever asks the network fails at once, also on a machine that is online.
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
OFFLINE |= {"PIP_RETRIES": "0", "no_proxy": "", "NO_PROXY": ""}
LIMIT = 900  # seconds for one install: 3 GB on a slow line
ROOM = 12 * 10**9  # bytes on the disk, for a download and what is unpacked from it


def requirements() -> dict[str, str]:
    """The library's dependencies by name, each with the line that stands in pyproject.toml."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]["dependencies"]
    return {line.partition(">=")[0]: line for line in lines}


def pinned(kind: str, names: set[str]) -> list[str]:
    """What to ask pip for: the lower bound itself, or the newest there is."""
    lines = [line for name, line in requirements().items() if name in names]
    return [line.replace(">=", "==") if kind == "oldest" else line.partition(">=")[0] for line in lines]


def call(*command, cwd=None, env=None, limit=LIMIT) -> str:
    """What the command printed; raises with all of it if the command fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=limit,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False


@dataclass
class Environment:
    """A Python of its own, and what it runs."""

    python: Path
    kernels: Path

    def versions(self) -> dict[str, str]:
        """Every installed distribution and its version, as the interpreter finds them."""
        code = (
            "import json; from importlib.metadata import distributions as d\n"
            "print(json.dumps({x.name.lower().replace('_', '-'): x.version for x in reversed(list(d()))}))"
        )
        return json.loads(call(self.python, "-c", code, cwd=self.kernels))

    def pip(self, *arguments, **options) -> str:
        return call(self.python, "-m", "pip", *arguments, "--disable-pip-version-check", **options)

    def run(self, notebook, folder: Path, env=None, allow_errors=False, timeout=600):
        """Execute the notebook in the empty folder, in a kernel of this environment that knows of nothing else."""
        assert list(folder.glob("*")) in ([], [folder / "lone.ipynb"])
        kernel = self.kernels / "kernels" / "lone" / "kernel.json"
        kernel.parent.mkdir(parents=True, exist_ok=True)
        clean = {"PYTHONPATH": "", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | (env or {})
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "lone", "language": "python", "env": clean}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(self.kernels))
            client = NotebookClient(
                notebook,
                timeout=timeout,
                kernel_name="lone",
                allow_errors=allow_errors,
                resources={"metadata": {"path": str(folder)}},
            )
            client.execute()
        return notebook


def fetch(python: Path, lines: list[str]) -> None:
    """Install with pip, patiently: a line that breaks off is tried again, and what was fetched whole is kept by pip."""
    index = ["--extra-index-url", CPU_INDEX] if answers(CPU_INDEX + "torch/") else []
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    for left in (1, 0):
        try:
            call(*command, "--retries", "10", "--timeout", "60", *index, *lines)
            return
        except (AssertionError, subprocess.TimeoutExpired):
            if not left:
                raise


def interpreter(kind: str) -> str:
    """The Python for a base. Lower bounds are tested with the lowest Python: the oldest torch has no later wheels."""
    if kind == "newest" or sys.version_info[:2] == (3, 11):
        return sys.executable
    if (path := shutil.which("python3.11")) and subprocess.run(
        [path, "--version"], capture_output=True
    ).returncode == 0:
        return path
    pytest.skip("the lower bounds are tested with Python 3.11, and there is none here")


def base(kind: str) -> Path:
    """The interpreter of the base, which is made unless one from this week, and from these bounds, lies there."""
    python = interpreter(kind)
    lines = [*pinned(kind, requirements().keys() - ABSENT), "ipykernel"]
    week = "" if kind == "oldest" else str(date.today().isocalendar()[:2])
    key = hashlib.sha256(json.dumps([lines, week, call(python, "--version")]).encode()).hexdigest()
    folder = BASES / kind
    stamp = folder / ".made-from"
    if not (stamp.exists() and stamp.read_text() == key):
        shutil.rmtree(folder, ignore_errors=True)
        if shutil.disk_usage(ROOT).free < ROOM:
            pytest.skip(f"no {ROOM // 10**9} GB are free for the {kind} releases")
        call(python, "-m", "venv", folder)
        fetch(folder / "bin" / "python", lines)
        stamp.write_text(key)
    return folder / "bin" / "python"


def layer(below: Path, folder: Path) -> Environment:
    """An environment that holds nothing of its own yet and sees all that the base below holds, pip included."""
    call(below, "-m", "venv", "--without-pip", folder)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = folder / "bin" / "python"
    seen, own = (call(one, "-c", where).strip() for one in (below, python))
    Path(own, "base.pth").write_text(f"import site; site.addsitedir({seen!r})\n")
    kernels = folder / "jupyter"
    kernels.mkdir()
    return Environment(python, kernels)


def notebook_cells(path: Path):
    """The notebook as a reader gets it, and its code cells."""
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
