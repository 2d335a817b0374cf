"""Training one layer: it finds the construction, and however a run is cut up, saved or spoilt, it tells the truth."""

import pickle
import sys
from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from safetensors.torch import save_file
from strategies import seeded

import icl_lib as icl
from icl_lib import checkpoints, training
from icl_lib.one_step import TOKENS

SMALL = {"steps": 12, "batch": 8, "n": 5, "lr": 0.1, "snapshots": (0, 4, 12), "checkpoint_every": 4, "progress": False}


def start(d=2, seed=0, **kind):
    return icl.SoftmaxAttention.random(d, generator=seeded(seed), **kind)


def train(layer=None, task=None, teacher="ngd", seed=1, generator=None, **settings):
    """A small run: settings are SMALL's unless told otherwise."""
    layer = start() if layer is None else layer
    generator = seeded(seed) if generator is None else generator
    return icl.train_one_step(layer, task or icl.LinearTask(layer.d), teacher, generator=generator, **SMALL | settings)


def matrices(layer):
    return torch.stack([layer.score.detach(), layer.value.detach()]).clone()


def assert_same_run(a, b):
    """Bit for bit, the clock apart."""
    assert a.settings == b.settings
    assert (a.diverged, a.final_distance) == (b.diverged, b.final_distance)
    assert torch.equal(a.loss, b.loss)
    assert a.distance.keys() == b.distance.keys()
    assert all(torch.equal(a.distance[k], b.distance[k]) for k in a.distance)
    assert torch.equal(matrices(a.layer), matrices(b.layer))
    assert list(a.snapshots) == list(b.snapshots)
    assert all(torch.equal(x, y) for k in a.snapshots for x, y in zip(a.snapshots[k], b.snapshots[k], strict=True))


class Interrupted:
    """The NGD teacher, and a reader who presses Ctrl-C at the given step, counted over all sessions."""

    def __init__(self, *at):
        self.at, self.calls = at, 0

    def __call__(self, w, z, step):
        self.calls += 1
        if self.calls in self.at:
            raise KeyboardInterrupt
        return icl.TEACHERS["ngd"](w, z, step)


# --- it finds the construction --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learning_rates():
    """Half the edge of stability."""
    return {d: icl.stable_learning_rate(icl.LinearTask(d), generator=seeded(), batch=2048) for d in (2, 8)}


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(("dtype", "target", "steps"), [(torch.float32, 1e-6, 130), (torch.float64, 1e-12, 230)])
@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_training_finds_the_construction(learning_rates, seed, d, dtype, target, steps, tokens):
    """From entries of size 0.01, plain SGD on fresh prompts: up to rounding, every identifiable block."""
    layer = start(d, seed, tokens=tokens, dtype=dtype)
    run = train(layer, lr=learning_rates[d], steps=steps, batch=64, n=40, tokens=tokens, seed=100 + seed, snapshots=())
    assert not run.diverged
    assert run.final_distance < target
    assert run.final_distance == max(icl.distance_to_construction(layer, 1.0).values())
    assert float(run.loss[-1]) < 1e-10


@pytest.mark.parametrize("step", [0.6, 2.0])
def test_training_finds_the_teacher_s_step(step):
    """Not much below: the curvature of the scores goes with step^2, and at step 0.3 they take ten times as long."""
    lr = icl.stable_learning_rate(icl.LinearTask(2), generator=seeded(), step=step, batch=1024)
    run = train(step=step, lr=lr, steps=300, batch=64, n=40, snapshots=())
    assert run.final_distance < 1e-6
    assert float(run.layer.value[2, 0]) == pytest.approx(step, abs=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "settings", "target"),
    [
        ("adam", {"lr": 0.1, "decay": "linear"}, 1e-3),
        ("sign", {"lr": 0.05, "decay": "linear"}, 1e-2),  # the last steps are 0.05/200 long
        ("full-batch", {"lr": 0.6}, 1e-9),
    ],
)
def test_every_optimiser_finds_the_construction(optimizer, settings, target):
    run = train(optimizer=optimizer, steps=200, batch=128, n=40, **settings)
    assert run.final_distance < target


@pytest.mark.parametrize("optimizer", icl.OPTIMIZERS)
def test_full_tokens_move_three_blocks_only(optimizer):
    """What no prompt can see stays where it starts, to the bit, under every optimiser; the leak goes to 0."""
    layer = start(tokens="full", scale=0.3)
    before = matrices(layer)
    run = train(layer, tokens="full", optimizer=optimizer, steps=60, lr=0.05, decay="linear", n=40)
    moved = matrices(layer) != before
    score, value = moved
    assert not score[:, :2].any()
    assert not score[2:].any()
    assert not value[:, 2:].any()
    assert score[:2, 2:].all()
    assert value[:, :2].all()
    assert float(run.distance["leak"][-1]) < float(run.distance["leak"][0]) / 3


@pytest.mark.parametrize("optimizer", icl.OPTIMIZERS)
def test_state_tokens_move_two_blocks_only(optimizer):
    for kind in TOKENS:  # the other blocks start at 0, or not
        layer = start(tokens=kind)
        before = matrices(layer)
        train(layer, optimizer=optimizer)
        score, value = matrices(layer) != before
        assert (int(score.sum()), int(value.sum())) == (4, 4)
        assert score[:2, 2:].all()
        assert value[2:, :2].all()


@pytest.mark.parametrize("optimizer", icl.OPTIMIZERS)
def test_states_of_zero_train_the_value_alone(optimizer):
    layer = start(scale=0.3)
    before = matrices(layer)
    run = train(layer, w_scale=0.0, optimizer=optimizer, steps=100)
    assert torch.equal(layer.score, before[0])
    assert torch.equal(run.distance["score"], run.distance["score"][:1].expand(100))
    assert float(run.distance["value"][-1]) < float(run.distance["value"][0]) / 3


def test_the_loss_is_seen_before_the_step():
    layer = start()
    run = train(layer, steps=1, snapshots=(0, 1))
    before = start()
    assert {k: float(v) for k, v in run.distance.items()} == icl.distance_to_construction(before, 1.0)
    assert torch.equal(torch.stack(run.snapshots[0]), matrices(before))
    assert torch.equal(torch.stack(run.snapshots[1]), matrices(layer))


def test_plain_sgd_is_the_gradient_of_the_loss_times_the_learning_rate():
    layer, g = start(), seeded(1)
    run = train(layer, steps=1, lr=0.1, snapshots=())
    p = icl.LinearTask(2).sample(8, 5, generator=g, dtype=torch.float64)
    w = torch.randn(8, 2, generator=g, dtype=torch.float64) / 2**0.5
    target = icl.ngd(p.z, 1.0, 1, w)[-1]
    score, value = (m.clone().requires_grad_() for m in matrices(start()))
    q = torch.softmax(torch.einsum("bd,cd,bnc->bn", w, score[:2, 2:], p.z), -1)
    loss = (w + torch.einsum("bn,bnd,cd->bc", q, p.z, value[2:, :2]) - target).square().sum(-1).mean()
    loss.backward()
    assert float(run.loss[0]) == pytest.approx(loss.item(), rel=1e-13)
    torch.testing.assert_close(layer.score, score - 0.1 * score.grad, rtol=0, atol=1e-15)
    torch.testing.assert_close(layer.value, value - 0.1 * value.grad, rtol=0, atol=1e-15)


def test_sign_descent_moves_every_entry_by_the_learning_rate():
    layer = start()
    train(layer, optimizer="sign", steps=1, lr=0.125, snapshots=())
    moved = (matrices(layer) - matrices(start())).abs()
    assert torch.equal(moved > 0.1, moved != 0)
    torch.testing.assert_close(moved[moved > 0], torch.full((8,), 0.125).double())


def test_a_linear_decay_ends_at_zero():
    """After all but one of 8 steps the sign's learning rate is an eighth."""
    layer = start()
    run = train(layer, optimizer="sign", decay="linear", steps=8, lr=0.8, snapshots=range(9))
    lengths = [float((run.snapshots[k + 1][0] - run.snapshots[k][0]).abs().max()) for k in range(8)]
    assert lengths == pytest.approx([0.1 * k for k in range(8, 0, -1)])


def test_full_batch_descent_keeps_its_sample():
    """Its loss never rises at a small learning rate, and it uses up one sample's worth of random numbers."""
    g, h = seeded(1), seeded(1)
    run = train(optimizer="full-batch", generator=g, steps=30)
    assert (run.loss.diff() < 0).all()
    train(steps=1, generator=h, snapshots=())
    assert torch.equal(g.get_state(), h.get_state())


# --- it leaves no trace ---------------------------------------------------------------------------------------------


def test_the_global_generator_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    for optimizer in icl.OPTIMIZERS:
        train(optimizer=optimizer, checkpoint=tmp_path / optimizer)
    icl.stable_learning_rate(icl.LinearTask(2), generator=seeded(), batch=10)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_seed_gives_one_run_and_another_seed_another():
    assert_same_run(train(), train())
    assert not torch.equal(train().loss, train(seed=2).loss)


@pytest.mark.parametrize("at", [(), (3,)])
def test_the_layer_is_frozen_again(at):
    layer = start()
    try:
        train(layer, teacher=Interrupted(*at))
    except KeyboardInterrupt:
        assert at
    for p in layer.parameters():
        assert not p.requires_grad
        assert p.grad is None


def test_a_run_remembers_its_end_when_the_layer_is_trained_again():
    layer = start()
    run = train(layer)
    seen = run.final_distance
    train(layer)
    assert run.final_distance == seen != max(icl.distance_to_construction(layer, 1.0).values())
    with pytest.raises(FrozenInstanceError):
        run.diverged = True


def test_a_run_says_in_a_line_how_it_went():
    run = train()
    assert repr(run).startswith("TrainingRun(sgd, lr = 0.1, d = 2: 12 steps, last loss ")
    assert len(repr(run)) < 160
    assert run.cpu_s > 0
    assert run.wall_s > 0


# --- teachers and tasks ---------------------------------------------------------------------------------------------


def test_a_function_may_teach():
    run = train(teacher=lambda w, z, step: w - step * icl.log_mean_exp_grad(w, z))
    assert torch.equal(run.loss, train().loss)
    assert run.settings["teacher"].endswith("<lambda>")


def test_a_teacher_may_use_autograd_and_gets_no_gradient_itself():
    def by_autograd(w, z, step):
        w = w.clone().requires_grad_()
        return w - step * torch.autograd.grad(icl.log_mean_exp(w, z).sum(), w)[0]

    torch.testing.assert_close(train(teacher=by_autograd).loss, train().loss, rtol=1e-10, atol=0)
    knob = torch.ones((), dtype=torch.float64, requires_grad=True)
    train(teacher=lambda w, z, step: knob * w)
    assert knob.grad is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda w: w[:, :1], r"got shape \[8, 1\], expected shape \[B, d\] with d = 2"),
        (lambda w: w[:1], r"got shape \[1, 2\], expected shape \[B, d\] with B = 8"),
        (lambda w: w.float(), "got torch.float32 on cpu, expected the dtype and device of w"),
        (lambda w: w / 0, r"got 16 non-finite entries \(infinity\), expected finite numbers"),
        (lambda w: w.numpy(), "got ndarray, expected a torch.Tensor"),
        (lambda w: None, "got NoneType, expected a torch.Tensor"),
    ],
)
def test_a_malformed_answer_of_the_teacher_is_refused(answer, message):
    with pytest.raises(icl.BadInput, match=f"^teacher: {message}"):
        train(teacher=lambda w, z, step: answer(w))


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


def test_a_notebook_s_cell_can_simply_be_run_again(tmp_path):
    """The same layer, half trained, and the same generator, advanced: the file knows better."""
    layer, g, teacher = start(), seeded(1), Interrupted(7)
    with pytest.raises(KeyboardInterrupt):
        train(layer, teacher=teacher, generator=g, checkpoint=tmp_path / "run")
    again = train(layer, teacher=teacher, generator=g, checkpoint=tmp_path / "run")
    assert_same_run(again, train(teacher=Interrupted()))


@pytest.mark.parametrize("every", [1, 5, 12, 100])
def test_saving_changes_nothing(tmp_path, every):
    run = train(checkpoint=tmp_path / "run", checkpoint_every=every)
    assert_same_run(run, train())
    assert checkpoints.load(tmp_path / "run")[1]["progress"]["done"] == 12
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_interrupt_while_saving_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    replace, calls = training.checkpoints.os.replace, []

    def interrupted(*names):
        calls.append(names)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*names)

    monkeypatch.setattr(training.checkpoints.os, "replace", interrupted)
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
    for _ in range(2):
        train(optimizer="adam", checkpoint=tmp_path / "run")


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


def test_optimisers_of_bounded_steps_wander_rather_than_diverge():
    """Sign descent at a learning rate far too large: the layer is useless, but no number has run away."""
    run = train(optimizer="sign", lr=5.0, steps=50, snapshots=())
    assert not run.diverged
    assert run.final_distance > 1


def test_a_diverging_run_diverges_the_same_way_when_resumed(tmp_path):
    settings = {"lr": 30.0, "n": 40, "steps": 2000, "checkpoint_every": 1, "snapshots": (0,)}
    whole = train(**settings)
    assert whole.diverged
    cut = train(**settings, checkpoint=tmp_path / "run")
    assert_same_run(cut, whole)
    progress = checkpoints.load(tmp_path / "run")[1]["progress"]
    assert progress["done"] == len(whole.loss) - 1
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


# --- the bar --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bars(monkeypatch):
    """The options of every bar that is made, outside notebooks unless a test says otherwise."""
    import tqdm

    made, real = [], tqdm.tqdm
    monkeypatch.setattr(
        tqdm, "tqdm", lambda *a, **options: made.append(options) or real(*a, **options | {"disable": True})
    )
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    return made


def test_no_bar_in_a_log(capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    train(progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_bar_where_somebody_watches(bars, monkeypatch):
    train(progress=True)
    assert bars.pop()["disable"] is True
    with monkeypatch.context() as terminal:
        terminal.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        train(progress=True)
        assert "disable" not in bars.pop()  # so TQDM_DISABLE=1 still has its say
        train(progress=False)
        assert bars.pop()["disable"] is True
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    train(progress=True)
    assert "disable" not in bars.pop()


def test_a_resumed_bar_starts_where_the_run_does(bars, tmp_path):
    teacher = Interrupted(7)
    with pytest.raises(KeyboardInterrupt):
        train(teacher=teacher, checkpoint=tmp_path / "run")
    train(teacher=teacher, checkpoint=tmp_path / "run")
    assert [(b["initial"], b["total"]) for b in bars] == [(0, 12), (4, 12)]
