"""Training one layer finds the construction, moves what can be identified and nothing else, and leaves no trace."""

import sys
from dataclasses import FrozenInstanceError

import pytest
import torch
from runs import Interrupted, assert_same_run, matrices, start, train
from strategies import seeded

import icl_lib as icl
from icl_lib.one_step import TOKENS

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


def test_optimisers_of_bounded_steps_wander_rather_than_diverge():
    """Sign descent at a learning rate far too large: the layer is useless, but no number has run away."""
    run = train(optimizer="sign", lr=5.0, steps=50, snapshots=())
    assert not run.diverged
    assert run.final_distance > 1


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
