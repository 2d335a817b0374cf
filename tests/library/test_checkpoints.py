"""A checkpoint is read back whole or refused: cut, flipped, foreign, half written, or killed while it was written."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from strategies import normal

import icl_lib as icl
from icl_lib import checkpoints

TENSORS = {"score": normal(4, 4), "half": normal(3, seed=1).float(), "state": torch.arange(5, dtype=torch.uint8)}
SETTINGS = {"lr": 0.1, "name": "ngd", "steps": [1, 2], "nothing": None, "deep": {"umlaut": "ä"}}


@pytest.fixture
def path(tmp_path):
    """A checkpoint that is fine."""
    checkpoints.save(tmp_path / "run.safetensors", TENSORS, SETTINGS)
    return tmp_path / "run.safetensors"


def assert_whole(path):
    tensors, settings = checkpoints.load(path)
    assert settings == SETTINGS
    assert tensors.keys() == TENSORS.keys()
    for name, t in TENSORS.items():
        assert tensors[name].dtype == t.dtype
        assert torch.equal(tensors[name], t)


def test_what_was_saved_comes_back(path):
    assert_whole(path)
    assert_whole(str(path))
    assert [p.name for p in path.parent.iterdir()] == ["run.safetensors"]


def test_the_header_tells_the_version_and_the_settings(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert header["version"] == icl.__version__
    assert '"lr": 0.1' in header["settings"]


def test_a_saved_view_is_only_its_part(tmp_path):
    whole = normal(4, 6)
    checkpoints.save(tmp_path / "view", {"transposed": whole.mT, "column": whole[:, 2]}, {})
    tensors, _ = checkpoints.load(tmp_path / "view")
    assert torch.equal(tensors["transposed"], whole.mT)
    assert torch.equal(tensors["column"], whole[:, 2])


def test_an_old_checkpoint_is_replaced(path):
    checkpoints.save(path, {"score": torch.zeros(2)}, {})
    tensors, settings = checkpoints.load(path)
    assert (tensors.keys(), settings) == ({"score"}, {})


def test_a_link_stays_a_link(path):
    link = path.with_name("latest")
    link.symlink_to(path.name)
    checkpoints.save(link, TENSORS, SETTINGS | {"lr": 0.2})
    assert link.is_symlink()
    assert checkpoints.load(path)[1]["lr"] == 0.2


def test_the_file_is_as_readable_as_any_other(path):
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


FOREIGN = {
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("dear diary\n" * 100, encoding="utf8"),
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"score": [1.0]})),
    "torch.save's": lambda file: torch.save(TENSORS, file),
    "plain safetensors": lambda file: save_file(TENSORS, file),
    "another format": lambda file: save_file(TENSORS, file, metadata={"format": "pt"}),
    "without a digest": lambda file: save_file(
        TENSORS, file, metadata={"format": checkpoints.FORMAT, "settings": "{}"}
    ),
    "without settings": lambda file: save_file(TENSORS, file, metadata={"format": checkpoints.FORMAT, "sha256": "0"}),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_refused_by_name(tmp_path, what):
    FOREIGN[what](tmp_path / "mine")
    with pytest.raises(icl.BadInput, match=r"^checkpoint: got mine(, which cannot be read| with format)"):
        checkpoints.load(tmp_path / "mine")


@pytest.mark.parametrize("what", [w for w in FOREIGN if not w.startswith("without")])
def test_saving_never_overwrites_a_foreign_file(tmp_path, what):
    mine = tmp_path / "mine"
    FOREIGN[what](mine)
    before = mine.read_bytes()
    with pytest.raises(icl.BadInput, match="^checkpoint: got mine"):
        checkpoints.save(mine, TENSORS, SETTINGS)
    assert mine.read_bytes() == before
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("do", [checkpoints.load, lambda path: checkpoints.save(path, TENSORS, SETTINGS)])
def test_a_path_that_cannot_hold_a_file_is_refused(tmp_path, do):
    with pytest.raises(icl.BadInput, match="which is not a file, expected a file"):
        do(tmp_path)
    with pytest.raises(icl.BadInput, match="got run in a folder that does not exist, expected an existing folder"):
        do(tmp_path / "nowhere" / "run")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(icl.BadInput, match="^checkpoint: got no file run, expected a checkpoint written by icl_lib$"):
        checkpoints.load(tmp_path / "run")


def test_a_message_names_no_folder(tmp_path):
    (tmp_path / "mine").write_text("text", encoding="utf8")
    with pytest.raises(icl.BadInput) as refusal:
        checkpoints.load(tmp_path / "mine")
    assert str(tmp_path) not in str(refusal.value)


def test_no_flipped_bit_goes_unnoticed(path):
    """Every byte of the file, one at a time: the header's too."""
    whole, refused = path.read_bytes(), 0
    for k in range(len(whole)):
        flipped = bytearray(whole)
        flipped[k] ^= 1 << k % 8
        path.write_bytes(flipped)
        try:
            assert_whole(path)  # no harm: the file's version number, say, is nobody's setting
        except icl.BadInput:
            refused += 1
    assert refused > 0.95 * len(whole)


def test_no_cut_goes_unnoticed(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(icl.BadInput, match="run.safetensors, which cannot be read"):
            checkpoints.load(path)
    path.write_bytes(whole + b"tail")
    with pytest.raises(icl.BadInput, match="run.safetensors, which cannot be read"):
        checkpoints.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_neither_saved_nor_loaded(path, value, monkeypatch):
    with pytest.raises(icl.BadInput, match="run.safetensors with non-finite score, expected finite numbers"):
        checkpoints.save(path, {"score": torch.tensor([1.0, value])}, SETTINGS)
    assert_whole(path)
    with monkeypatch.context() as careless:
        careless.setattr(checkpoints, "_finite", lambda path, name, tensor: tensor)
        checkpoints.save(path, {"score": torch.tensor([1.0, value])}, SETTINGS)
    with pytest.raises(icl.BadInput, match="run.safetensors with non-finite score, expected finite numbers"):
        checkpoints.load(path)


def test_settings_that_are_not_json_leave_the_old_file(path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoints.save(path, TENSORS, {"lr": torch.tensor(1.0)})
    assert_whole(path)


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch, stage, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        checkpoints.save(path, {"score": torch.zeros(2)}, {})
    monkeypatch.undo()
    assert_whole(path)
    assert list(path.parent.iterdir()) == [path]


def test_stray_parts_of_a_killed_save_confuse_nobody(path):
    for name in (".run.safetensors.part", ".run.safetensors.0.part"):
        path.with_name(name).write_bytes(path.read_bytes()[:100])
    assert_whole(path)
    checkpoints.save(path, TENSORS, SETTINGS)
    assert_whole(path)


SAVE_FOR_EVER = """
import sys, time, torch
from icl_lib import checkpoints
end = time.monotonic() + 60
while time.monotonic() < end:
    k = time.monotonic_ns() % 1000
    checkpoints.save(sys.argv[1], {"a": torch.full((500_000,), float(k)), "b": torch.full((9,), float(k))}, {"k": k})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_kill_9_while_saving_leaves_a_whole_file(tmp_path):
    """A process that does nothing but save is killed, at a moment of no one's choosing, three times over."""
    path = tmp_path / "run"
    for delay in (0.0, 0.013, 0.037):
        seen = path.stat().st_mtime_ns if path.exists() else None
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, path])
        while not path.exists() or path.stat().st_mtime_ns == seen:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        tensors, settings = checkpoints.load(path)
        for tensor in tensors.values():
            assert (tensor == settings["k"]).all()
    others = {p.name for p in tmp_path.iterdir()} - {"run"}
    assert all(name.startswith(".run.") and name.endswith(".part") for name in others)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_ever_unpickled(path, tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("unpickled")

    bomb = tmp_path / "bomb"
    torch.save(Bomb(), bomb)
    monkeypatch.chdir(tmp_path)
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, never)
    with pytest.raises(icl.BadInput):
        checkpoints.load(bomb)
    assert_whole(path)
    assert not (tmp_path / "exploded").exists()


def test_the_library_never_reads_a_pickle():
    """Writing one is harmless: a sweep asks whether its cell can be sent to other processes."""
    reading = r"torch\.(load|save)\b|\bpickle\.(load|Unpickler)|\bimport (dill|joblib|shelve|marshal)|allow_pickle=True"
    pickling = re.compile(reading + r"|from pickle")
    for source in Path(icl.__file__).parent.rglob("*.py"):
        assert not pickling.search(source.read_text(encoding="utf8")), source.name
