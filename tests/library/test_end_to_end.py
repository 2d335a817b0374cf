"""Training on final answers: it learns, it is the same twice, it goes on bit for bit; the shipped models are there."""

import math

import pytest
import torch
from strategies import normal, seeded

import icl_lib as icl
from icl_lib import checkpoints, end_to_end
from icl_lib.end_to_end import answer_loss, train_end_to_end
from icl_lib.experiments import end_to_end as experiment
from icl_lib.transformer import InContextTransformer


def small(seed=1):
    return InContextTransformer(2, width=8, depth=1, heads=2, generator=seeded(seed))


def run(model=None, **options):
    settings = {"steps": 12, "batch": 4, "n": 6, "queries": 3, "checkpoint_every": 4, "progress": False}
    return train_end_to_end(model or small(), icl.LinearTask(2), generator=seeded(3), **(settings | options))


def same(one, other):
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return torch.equal(one.loss, other.loss) and all(torch.equal(a, b) for a, b in pairs)


def test_it_learns_to_classify_in_context():
    made = run(steps=400, batch=32, n=10, queries=10, lr=1e-2)
    assert abs(made.loss[0] - math.log(2)) < 0.3  # a fresh model's logits are small
    assert made.loss[-50:].mean() < 0.5
    p = icl.LinearTask(2).sample(100, 10, 10, generator=seeded(9))
    assert icl.error_rate(made.model.decision(p).detach(), p.y_query).mean() < 0.25


def test_the_loss_is_the_cross_entropy_of_the_answers():
    p = icl.LinearTask(2).sample(5, 4, 3, generator=seeded())
    m = small()
    chance = torch.sigmoid(m.decision(p))
    right = torch.where(p.y_query > 0, chance, 1 - chance)
    torch.testing.assert_close(answer_loss(m, p), -right.log().mean())


def test_the_same_seed_gives_the_same_run_and_another_one_does_not():
    assert same(run(), run())
    assert not same(run(), run(lr=1e-3))


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    whole, calls = run(), 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == 9:  # after the checkpoint at step 8
            raise KeyboardInterrupt
        return answer_loss(*args)

    monkeypatch.setattr(end_to_end, "answer_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path / "run.safetensors")
    monkeypatch.undo()
    resumed = run(checkpoint=tmp_path / "run.safetensors")
    assert same(resumed, whole)
    assert same(run(small(7), checkpoint=tmp_path / "run.safetensors"), whole)  # finished: it comes back as it was


def test_a_file_of_another_run_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "run.safetensors"
    run(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(icl.BadInput, match=r"differs in \['lr'\]"):
        run(checkpoint=path, lr=1e-3)
    assert path.read_bytes() == before


def test_a_run_is_saved_and_loaded(tmp_path):
    made = run()
    made.save(tmp_path / "run.safetensors")
    back = end_to_end.load(tmp_path / "run.safetensors")
    assert back.settings == made.settings
    torch.testing.assert_close(back.loss, made.loss)  # kept in float32
    p = icl.LinearTask(2).sample(5, 4, 3, generator=seeded())
    assert torch.equal(back.model.decision(p), made.model.decision(p))
    assert "12 steps" in repr(back)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    checkpoints.save(tmp_path / "other.safetensors", {"score": normal(2, 2)}, {"run": {}, "progress": {}})
    with pytest.raises(icl.BadInput, match="holds no end-to-end run"):
        end_to_end.load(tmp_path / "other.safetensors")
    run().save(tmp_path / "run.safetensors")
    with pytest.raises(icl.BadInput, match="no state of the optimiser"):
        run(checkpoint=tmp_path / "run.safetensors")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 1}, "n: got 1"),
        ({"lr": 0.0}, "lr: got 0.0"),
        ({"decay": "cosine"}, "decay: got 'cosine'"),
        ({"steps": 0}, "steps: got 0"),
        ({"lr": 1e30}, "overflowed"),
        ({"model": InContextTransformer(3, width=8, depth=1, heads=2, generator=seeded())}, "model: got d = 3"),
    ],
)
def test_bad_settings_are_refused(options, told):
    with pytest.raises(icl.BadInput, match=told):
        run(**options)


# --- the models that come with the library


@pytest.mark.parametrize("depth", experiment.DEPTHS)
@pytest.mark.parametrize("seed", experiment.SEEDS)
def test_the_shipped_models_answer_far_better_than_untrained_ones(depth, seed):
    made = experiment.shipped(depth, seed)
    assert len(made.loss) == experiment.STEPS
    assert made.settings["seed"] == seed
    assert made.model.depth == depth
    p = icl.LinearTask(experiment.D).sample(200, experiment.N, 10, generator=seeded(11))
    trained, fresh = (
        icl.error_rate(m.decision(p).detach(), p.y_query).mean()
        for m in (made.model, experiment.untrained(depth, seed))
    )
    assert trained < 0.15
    assert fresh > 0.4


def test_the_shipped_files_are_small():
    from importlib.resources import files

    data = [file for file in (files("icl_lib") / "data").iterdir() if file.name.startswith("end_to_end")]
    assert len(data) == len(experiment.DEPTHS) * len(experiment.SEEDS)
    assert sum(len(file.read_bytes()) for file in data) < 1.5e6


def test_the_command_trains_what_is_missing_and_keeps_what_is_there(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--depth", "1", "--seeds", "0", "--steps", "2"]
    experiment.main(arguments)
    assert [path.name for path in tmp_path.iterdir()] == [experiment.name(1, 0)]
    before = (tmp_path / experiment.name(1, 0)).read_bytes()
    experiment.main(arguments)
    assert (tmp_path / experiment.name(1, 0)).read_bytes() == before
    assert "is kept" in capsys.readouterr().out


def test_the_environment_can_ask_for_retraining(monkeypatch):
    monkeypatch.setenv("RETRAIN", "1")
    monkeypatch.setattr(experiment, "train", lambda depth, seed: ("trained", depth, seed))
    experiment.shipped.cache_clear()
    assert experiment.shipped(1, 2) == ("trained", 1, 2)
    experiment.shipped.cache_clear()


@pytest.mark.parametrize(("depth", "seed", "told"), [(3, 0, "depth: got 3"), (1, 9, "seed: got 9")])
def test_there_are_no_other_models(depth, seed, told):
    with pytest.raises(icl.BadInput, match=told):
        experiment.shipped(depth, seed)
