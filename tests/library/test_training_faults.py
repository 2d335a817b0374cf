"""However a run is cut up, saved, spoilt or misused: it goes on bit for bit, or says what is wrong."""

import pickle
from dataclasses import dataclass

import pytest
import torch
from runs import Interrupted, assert_same_run, matrices, start, train
from safetensors.torch import save_file
from strategies import seeded

import icl_lib as icl
from icl_lib import checkpoints
from icl_lib.one_step import TOKENS

# --- resume ---------------------------------------------------------------------------------------------------------

EVERY = [
    (o, decay, dtype, tokens)
    for o in icl.OPTIMIZERS
    for decay in ("constant", "linear")
    for dtype in (torch.float32, torch.float64)
    for tokens in TOKENS
]


@pytest.mark.parametrize(("optimizer", "decay", "dtype", "tokens"), EVERY)
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, optimizer, decay, dtype, tokens):
    """Cut twice, between saves, by Ctrl-C; the generator too is left as it would have been."""
    path = tmp_path / "run"

    def run(teacher, generator, **where):
        layer = start(dtype=dtype, tokens=tokens)
        settings = {"optimizer": optimizer, "decay": decay, "tokens": tokens}
        return train(layer, teacher=teacher, generator=generator, **settings, **where)

    whole, g = run(Interrupted(), end := seeded(1)), seeded(1)
    teacher = Interrupted(7, 12)  # steps 7 and, after going back to 5, 9: the saves are at 4 and 8
    for saved in (4, 8):
        with pytest.raises(KeyboardInterrupt):
            run(teacher, g := seeded(1), checkpoint=path)
        assert checkpoints.load(path)[1]["progress"]["done"] == saved
    assert_same_run(run(teacher, g := seeded(1), checkpoint=path), whole)
    assert torch.equal(g.get_state(), end.get_state())
    calls = teacher.calls
    assert_same_run(run(teacher, g := seeded(1), checkpoint=path), whole)
    assert teacher.calls == calls  # a finished run comes back from the file
    assert torch.equal(g.get_state(), end.get_state())


@pytest.mark.parametrize("optimizer", icl.OPTIMIZERS)
def test_a_notebook_s_cell_can_simply_be_run_again(tmp_path, optimizer):
    """The same layer, half trained, and the same generator, advanced: the file knows better."""
    layer, teacher = start(), Interrupted(7)
    same = {"teacher": teacher, "generator": seeded(1), "optimizer": optimizer, "checkpoint": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        train(layer, **same)
    assert_same_run(train(layer, **same), train(teacher=Interrupted(), optimizer=optimizer))


@pytest.mark.parametrize("every", [1, 5, 12, 100])
def test_saving_changes_nothing(tmp_path, every):
    run = train(checkpoint=tmp_path / "run", checkpoint_every=every)
    assert_same_run(run, train())
    assert checkpoints.load(tmp_path / "run")[1]["progress"]["done"] == 12
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_interrupt_while_saving_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    replace, calls = checkpoints.os.replace, []

    def interrupted(*names):
        calls.append(names)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*names)

    monkeypatch.setattr(checkpoints.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "run")
    assert checkpoints.load(tmp_path / "run")[1]["progress"]["done"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert_same_run(train(checkpoint=tmp_path / "run"), train())


OTHER = {
    "lr": 0.2,
    "steps": 13,
    "batch": 9,
    "n": 6,
    "w_scale": 0.5,
    "step": 0.5,
    "decay": "linear",
    "optimizer": "adam",
    "tokens": "full",
    "teacher": "gd",
    "seed": 2,
    "snapshots": (0, 4),
    "task": icl.LinearTask(2, flip=0.1),
    "dtype": torch.float32,
    "layer": icl.SoftmaxAttention(torch.zeros(4, 4).double(), torch.zeros(4, 4).double(), own_token="seen"),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_setting_is_refused_by_name(tmp_path, name):
    """More steps too: with a decay they would be another run. To go on, train the layer again."""
    path, layer = tmp_path / "run", start()
    train(checkpoint=path)
    before, untouched = path.read_bytes(), matrices(layer)
    other = {"layer": start(dtype=torch.float32)} if name == "dtype" else {"layer": layer} | {name: OTHER[name]}
    with pytest.raises(icl.BadInput, match=rf"^checkpoint: got run, saved with {name} = .*this run, {name} = "):
        train(checkpoint=path, **other)
    assert path.read_bytes() == before
    assert torch.equal(matrices(layer), untouched)


def test_all_settings_that_differ_are_named(tmp_path):
    train(checkpoint=tmp_path / "run")
    message = r"saved with lr = 0\.1, steps = 12, expected the settings of this run, lr = 0\.3, steps = 20 \(or another"
    with pytest.raises(icl.BadInput, match=message):
        train(checkpoint=tmp_path / "run", lr=0.3, steps=20)


def write(path, what):
    if what == "truncated":
        train(checkpoint=path)
        path.write_bytes(path.read_bytes()[:-9])
    elif what == "another checkpoint":
        checkpoints.save(path, {"score": torch.zeros(2)}, {"lr": 0.1})
    elif what == "plain safetensors":
        save_file({"score": torch.zeros(2)}, path)
    elif what == "a pickle":
        path.write_bytes(pickle.dumps([1]))
    elif what == "a folder":
        path.mkdir()
    else:
        path.write_text(what, encoding="utf8")


@pytest.mark.parametrize(
    "what", ["", "my thesis", "truncated", "another checkpoint", "plain safetensors", "a pickle", "a folder"]
)
def test_a_foreign_file_is_refused_before_anything_is_trained(tmp_path, what):
    path, layer, g, teacher = tmp_path / "run", start(), seeded(1), Interrupted()
    write(path, what)
    before, kept = path.is_dir() or path.read_bytes(), matrices(layer)
    with pytest.raises(icl.BadInput, match="^checkpoint: got '?run"):
        train(layer, teacher=teacher, generator=g, checkpoint=path)
    assert teacher.calls == 0
    assert (path.is_dir() or path.read_bytes()) == before
    assert torch.equal(matrices(layer), kept)
    assert torch.equal(g.get_state(), seeded(1).get_state())


@pytest.mark.parametrize("path", ["nowhere/run", ""])
def test_a_path_without_a_place_is_refused_before_anything_is_trained(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    teacher = Interrupted()
    with pytest.raises(icl.BadInput, match="^checkpoint: got "):
        train(teacher=teacher, checkpoint=path)
    assert teacher.calls == 0


def test_training_unpickles_nothing(tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("unpickled")

    for module, name in ((torch, "load"), (torch, "save"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, name, never)
    for _ in range(2):  # once to write the file, once to read it
        run = train(optimizer="adam", checkpoint=tmp_path / "run")
    assert not run.diverged


@dataclass(frozen=True)
class Stretched:
    """A law of prompts of the reader's own: anisotropic points."""

    d: int = 2

    def sample(self, batch, n, *, generator, dtype):
        p = icl.LinearTask(self.d).sample(batch, n, generator=generator, dtype=dtype)
        return icl.Prompts(p.x * torch.arange(1, self.d + 1), p.y)


@pytest.mark.parametrize("task", [Stretched(), icl.LinearTask(2, law="cube", flip=0.1), icl.DatasetTask("iris")])
def test_every_law_of_prompts_can_be_resumed(tmp_path, task):
    def run(teacher, path=None):
        return train(start(task.d), task, teacher, n=4, lr=0.01, checkpoint=path)

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(6), tmp_path / "run")
    assert_same_run(run(Interrupted(), tmp_path / "run"), run(Interrupted()))


# --- divergence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "lr"), [(o, 1e6) for o in icl.OPTIMIZERS] + [("sgd", 30.0), ("full-batch", 30.0), ("sgd", 3.0)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_run_that_blows_up_says_so(optimizer, lr, dtype):
    """Flagged, histories up to there, and a layer that is still finite."""
    run = train(start(dtype=dtype), optimizer=optimizer, lr=lr, steps=2000, n=40, snapshots=(0, 2000))
    assert run.diverged
    length = len(run.loss)
    assert 1 <= length < 2000
    assert all(len(d) == length for d in run.distance.values())
    assert torch.isfinite(run.loss[:-1]).all()
    assert all(torch.isfinite(d).all() for d in run.distance.values())
    assert torch.isfinite(matrices(run.layer)).all()
    assert 0 < run.final_distance < float("inf")
    assert list(run.snapshots) == [0]
    assert f"diverged after {length - 1} of 2000 steps" in repr(run)


def test_matrices_that_overflow_are_put_back():
    """The loss is finite, the step is not: Adam squares a gradient of about 1e24, and float32 ends at 3e38."""
    value = torch.zeros(4, 4)
    value[2:, :2] = 1e6 * torch.eye(2)
    layer = icl.SoftmaxAttention(torch.zeros(4, 4), value)
    before = matrices(layer)
    run = train(layer, teacher=lambda w, z, step: 3e18 + w, optimizer="adam", steps=5, snapshots=())
    assert run.diverged
    assert len(run.loss) == 1
    assert torch.isfinite(run.loss).all()
    assert torch.equal(matrices(layer), before)


def test_a_run_may_diverge_at_its_first_step():
    layer = start()
    run = train(layer, teacher=lambda w, z, step: 1e200 + w, snapshots=(0,))
    assert run.diverged
    assert run.loss.tolist() == [float("inf")]
    assert torch.equal(matrices(layer), matrices(start()))
    assert "diverged after 0 of 12 steps, last loss inf" in repr(run)


def test_a_diverging_run_diverges_the_same_way_when_resumed(tmp_path):
    settings = {"lr": 30.0, "n": 40, "steps": 2000, "checkpoint_every": 1, "snapshots": (0,)}
    whole = train(**settings)
    assert whole.diverged
    cut = train(**settings, checkpoint=tmp_path / "run")
    assert_same_run(cut, whole)
    assert checkpoints.load(tmp_path / "run")[1]["progress"]["done"] == len(whole.loss) - 1
    assert_same_run(train(**settings, checkpoint=tmp_path / "run"), whole)


# --- wrong input ----------------------------------------------------------------------------------------------------


def unlike():
    """A layer of two dtypes."""
    layer = start()
    layer.value.data = layer.value.data.float()
    return layer


def spoilt():
    """A layer that holds NaN."""
    layer = start()
    layer.value.fill_(float("nan"))
    return layer


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 1}, "n: got 1, expected a whole number >= 2"),
        ({"batch": 0}, "batch: got 0"),
        ({"steps": 0}, "steps: got 0"),
        ({"steps": 2.0}, "steps: got 2.0"),
        ({"lr": 0.0}, "lr: got 0.0"),
        ({"lr": float("nan")}, "lr: got nan"),
        ({"lr": 1e7}, r"lr: got 1e\+07|lr: got 10000000.0, expected a number from 0 to 1e\+06"),
        ({"step": -1.0}, "step: got -1.0"),
        ({"w_scale": -0.1}, "w_scale: got -0.1"),
        ({"optimizer": "lion"}, "optimizer: got 'lion', expected one of 'adam', 'full-batch', 'sgd', 'sign'"),
        ({"decay": "cosine"}, "decay: got 'cosine', expected one of 'constant', 'linear'"),
        ({"tokens": "some"}, "tokens: got 'some', expected one of 'full', 'state'"),
        ({"teacher": "svm"}, "teacher: got 'svm', expected one of 'gd', 'logistic', 'ngd'"),
        ({"teacher": None}, "teacher: got None"),
        ({"generator": 3}, "generator: got int"),
        ({"checkpoint_every": 0}, "checkpoint_every: got 0"),
        ({"snapshots": (13,)}, "snapshots: got 13, expected steps from 0 to 12"),
        ({"snapshots": (-1,)}, "snapshots: got -1"),
        ({"snapshots": (0.5,)}, "snapshots: got 0.5"),
        ({"task": icl.LinearTask(3)}, "layer: got d = 2, expected the task's dimension, 3"),
        ({"layer": unlike()}, "layer.value: got torch.float32 on cpu, expected the dtype and device of layer.score"),
        ({"layer": start().half()}, "layer.score: got dtype torch.float16"),
        ({"layer": icl.ngd_layer(2, torch.ones(3).double())}, r"layer.value: got shape \[3, 4, 4\]"),
        ({"layer": spoilt()}, r"layer.value: got 16 non-finite entries \(NaN\), expected finite numbers"),
        ({"layer": icl.GatedFold(2)}, "layer: got GatedFold, expected a SoftmaxAttention"),
    ],
)
def test_training_refuses(wrong, message, tmp_path):
    with pytest.raises(icl.BadInput, match=f"^{message}"):
        train(**wrong, checkpoint=tmp_path / "run")
    assert not list(tmp_path.iterdir())
