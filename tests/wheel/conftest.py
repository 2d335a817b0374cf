"""The wheel, the clone that it is built from, and the environments that it is installed into."""

import shutil
import sys

import pytest
from environments import ABSENT, base, call, fetch, layer, pinned
from icl_project import ROOT, repository_url


@pytest.fixture(scope="class")
def kind(request):
    """``oldest`` or ``newest``, as the class of the test says."""
    return request.cls.kind


@pytest.fixture(scope="class")
def below(kind):
    return base(kind)


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The project as a clone would hold it: a git repository with every file that is tracked, or about to be."""
    folder = tmp_path_factory.mktemp("tree")
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    identity = ("-c", "user.name=reader", "-c", "user.email=reader@example.org", "-c", "commit.gpgsign=false")
    call("git", "init", "--quiet", cwd=folder)
    call("git", "add", "--all", "--force", ".", cwd=folder)
    call("git", *identity, "commit", "--quiet", "--no-verify", "--message", "as it lies", cwd=folder)
    call("git", "config", "uploadpack.allowFilter", "true", cwd=folder)  # as GitHub does
    return folder


@pytest.fixture(scope="session")
def published(tree):
    """Variables that make git find the project's clone under its public address."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tree.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": repository_url(),
    }


@pytest.fixture(scope="session")
def wheel(tree, tmp_path_factory):
    """The wheel, built from the clone without asking any index."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", folder)
    copy = shutil.copytree(tree, folder / "copy", ignore=shutil.ignore_patterns(".git", "notebooks"))
    call(sys.executable, "-m", "pip", "wheel", *options, copy)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="class")
def installed(kind, below, wheel, tmp_path_factory):
    """A layer with the wheel and all that it needs; with the versions before and after the wheel went in."""
    environment = layer(below, tmp_path_factory.mktemp("installed") / "venv")
    fetch(environment.python, pinned(kind, ABSENT))
    before = environment.versions()
    environment.pip("install", "--quiet", "--no-index", wheel)  # no index: it has to be content with what is there
    return environment, before, environment.versions()
