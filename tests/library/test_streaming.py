"""A stream answers every prompt, in order, whatever else is in it."""

import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, seeded, seeds

import icl_lib as icl
from icl_lib import soak

MODEL = icl.Looped(icl.ngd_layer(3, 1.0), 12)


def sample(B, n=6, queries=2, d=3, seed=0, dtype=torch.float32):
    return icl.LinearTask(d).sample(B, n, queries, generator=seeded(seed), dtype=dtype).normalized()


def singles(p):
    return list(zip(p.x, p.y, p.x_query, strict=True))


class Lazy(Executor):
    """Runs nothing before its result is asked for; counts."""

    def __init__(self):
        self.submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        future = Future()
        future.result = lambda timeout=None: fn(*args, **kwargs)
        return future


def same(a, b):
    return len(a) == len(b) and all(
        (x.item, x.row, x.error) == (y.item, y.row, y.error)
        and (x.decision is y.decision is None or torch.equal(x.decision, y.decision))
        for x, y in zip(a, b, strict=True)
    )


# What comes out


def test_prompts_come_out_as_the_model_decides_them():
    p = sample(25)
    for source in ([p], singles(p), [(p.x, p.y, p.x_query)], [tuple(a.numpy() for a in q) for q in singles(p)]):
        answers = list(icl.stream(MODEL, source, batch=7))
        assert torch.equal(torch.stack([a.decision for a in answers]), MODEL.decision(p))
        assert {a.error for a in answers} == {""}
    assert [(a.item, a.row) for a in icl.stream(MODEL, [p, p])] == [(i, r) for i in range(2) for r in range(25)]


def mixed(seed):
    """Items of many kinds: batches and single prompts, three shapes, two dtypes, NumPy and integer labels, and bad."""
    kinds = [sample(9, seed=seed), sample(3, n=4, queries=1, seed=seed), sample(5, dtype=torch.float64, seed=seed)]
    x, y, asked = singles(kinds[0])[0]
    nan = kinds[0].x.clone()
    nan[4, 2, 1] = torch.nan
    items = [*kinds, *singles(kinds[0]), *singles(kinds[2]), (x, y.long(), asked), (x.numpy(), y.numpy() > 0, None)]
    items += [(nan, kinds[0].y, kinds[0].x_query), (x, 0 * y, asked), (x, y[1:], asked), None, (x, y)]
    items += [(1e25 * x, y, asked), (x, torch.ones_like(y), asked), (x[:, 1:], y, asked[:, 1:])]
    return [items[k] for k in torch.randperm(len(items), generator=seeded(seed)).tolist()]


@given(seeds)
def test_batches_of_any_size_give_the_same_bits(seed):
    items = mixed(seed)
    one = list(icl.stream(MODEL, items, batch=1))
    assert {bool(a.error) for a in one} == {True, False}
    for batch in (7, 1000):
        assert same(list(icl.stream(MODEL, items, batch=batch)), one)


@pytest.mark.parametrize("ahead", [1, 4])
def test_executors_of_any_kind_give_the_same_bits(ahead):
    items = mixed(0)
    here = list(icl.stream(MODEL, items, batch=7))
    with ThreadPoolExecutor(3) as threads:
        for executor in (threads, Lazy()):
            assert same(list(icl.stream(MODEL, items, batch=7, executor=executor, ahead=ahead)), here)


def test_a_pool_of_processes_gives_the_same_bits():
    import multiprocessing

    items = mixed(1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        found = list(icl.stream(MODEL, items, batch=9, executor=processes))
    assert same(found, list(icl.stream(MODEL, items, batch=1000)))


def test_options_reach_the_model():
    p = sample(20)
    model = icl.Looped(icl.ngd_layer(3, 4.0), 200)
    expected = model.decision(p, tol=0.3)
    assert not torch.equal(expected, model.decision(p))
    answers = list(icl.stream(model, [p], batch=6, tol=0.3, max_bytes=4000))
    assert torch.equal(torch.stack([a.decision for a in answers]), expected)


def test_no_gradient_is_kept():
    p = sample(2)
    x = p.x.clone().requires_grad_()
    assert not any(a.decision.requires_grad for a in icl.stream(MODEL, [(x, p.y, p.x_query)]))


# What is bad


GOOD = singles(sample(1))[0]


def spoiled(k, value):
    return tuple(value if j == k else a for j, a in enumerate(GOOD))


BAD = {
    "NaN": (spoiled(0, torch.nan * GOOD[0]), "x: got 18 non-finite entries"),
    "infinity in a query": (spoiled(2, torch.inf * GOOD[2]), "x_query: got 6 non-finite"),
    "labels 0 and 1": (spoiled(1, torch.tensor([0.0, 1, 0, 1, 0, 1])), r"y: got values \[0.0, 1.0\].*pass 2 \* y - 1"),
    "NaN label": (spoiled(1, torch.nan * GOOD[1]), "y: got"),
    "integer points": (spoiled(0, GOOD[0].long()), "x: got dtype torch.int64"),
    "labels of another dtype": (spoiled(1, GOOD[1].double()), "y: got torch.float64"),
    "queries of another dtype": (spoiled(2, GOOD[2].double()), "x_query: got torch.float64"),
    "a label too few": (spoiled(1, GOOD[1][1:]), r"item: got shapes \[\[1, 6, 3\], \[1, 5\], \[1, 2, 3\]\]"),
    "queries of another dimension": (spoiled(2, GOOD[2][:, 1:]), "item: got shapes"),
    "no points": (spoiled(0, GOOD[0][:0]), "item: got shapes"),
    "no points and no labels": ((GOOD[0][:0], GOOD[1][:0], GOOD[2]), "x: got shape"),
    "an empty batch": (tuple(a[None][:0] for a in GOOD), "item: got shapes"),
    "four axes": (tuple(a[None, None] for a in GOOD), "item: got shapes"),
    "one axis": (tuple(a[0] for a in GOOD), "item: got shapes"),
    "the wrong dimension for the layer": ((GOOD[0][:, 1:], GOOD[1], GOOD[2][:, 1:]), r"points in R\^2"),
    "scores that overflow": (spoiled(0, 1e25 * GOOD[0]), "scores that overflow torch.float32"),
    "no queries": (spoiled(2, None), "x_query: got None"),
    "prompts without queries": (icl.Prompts(GOOD[0][None], GOOD[1][None]), "x_query: got None"),
    "two of three": (GOOD[:2], "item: got tuple of 2"),
    "a list of numbers": (([1.0], [1.0], [1.0]), "x: got list"),
    "words": ("prompt", "item: got str"),
    "text in an array": (spoiled(0, np.array([["a"]])), "x: got dtype <U1"),
    "nothing": (None, "item: got NoneType"),
}


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_prompt_is_reported_in_its_place_and_the_rest_kept(kind, batch):
    bad, says = BAD[kind]
    answers = list(icl.stream(MODEL, [GOOD, GOOD, bad, GOOD, GOOD], batch=batch))
    assert [(a.item, a.row) for a in answers] == [(k, 0) for k in range(5)]
    expected = MODEL.decision(icl.Prompts.from_arrays(*GOOD[:2], GOOD[2]))[0]
    for k in (0, 1, 3, 4):
        assert torch.equal(answers[k].decision, expected)
    assert answers[2].decision is None
    with pytest.raises(icl.BadInput, match=says):
        raise icl.BadInput(answers[2].error)


def test_one_bad_row_of_a_batch_is_reported_alone():
    p = sample(10)
    x = p.x.clone()
    x[3], x[8] = torch.nan, 1e25 * x[8]
    for batch in (4, 1000):
        answers = list(icl.stream(MODEL, [(x, p.y, p.x_query)], batch=batch))
        assert [a.row for a in answers if a.error] == [3, 8]
        kept = [k for k in range(10) if k not in (3, 8)]
        assert torch.equal(torch.stack([answers[k].decision for k in kept]), MODEL.decision(p)[kept])


def test_one_class_only_is_fine():
    (answer,) = icl.stream(MODEL, [spoiled(1, torch.ones(6))])
    assert answer.error == ""


def test_other_layers_stream_too():
    p = sample(12)
    for make in (icl.momentum_layer, icl.logistic_block, icl.norm_layer):
        model = icl.Stacked([make(3, 0.5)] * 4)
        answers = list(icl.stream(model, singles(p), batch=5))
        assert_same(torch.stack([a.decision for a in answers]), model.decision(p), rtol=1e-5)


# What is not a prompt's fault


def test_whatever_the_source_raises_comes_after_the_answers():
    def source():
        yield from singles(sample(5))
        raise OSError("the disk is gone")

    with ThreadPoolExecutor(1) as threads:
        for executor in (None, threads):
            for batch in (2, 5, 100):
                got = []
                with pytest.raises(OSError, match="the disk is gone"):
                    got.extend(icl.stream(MODEL, source(), batch=batch, executor=executor))
                assert [a.item for a in got] == list(range(5))


def test_an_executor_that_breaks_is_not_hidden():
    class Broken(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(RuntimeError("a worker is gone"))
            return future

    with pytest.raises(RuntimeError, match="a worker is gone"):
        list(icl.stream(MODEL, [GOOD], executor=Broken()))


def test_a_source_without_end_is_read_no_further_than_needed():
    read = []

    def source():
        for k in count():
            read.append(k)
            yield GOOD

    assert len(list(islice(icl.stream(MODEL, source(), batch=8), 20))) == 20
    assert len(read) == 24
    read.clear()
    executor = Lazy()
    answers = icl.stream(MODEL, source(), batch=8, executor=executor, ahead=3)
    assert len(list(islice(answers, 8))) == 8
    assert len(read) == 24
    assert executor.submitted == 3
    answers.close()


def test_what_is_no_longer_wanted_is_cancelled():
    held, started = threading.Event(), threading.Event()

    def hold():
        started.set()
        held.wait(30)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        started.wait(30)
        answers = icl.stream(MODEL, [GOOD] * 5, batch=1, executor=threads, ahead=6)
        consumer = threading.Thread(target=lambda: next(answers, None))
        consumer.start()
        held.set()
        consumer.join(30)
        answers.close()
    assert not consumer.is_alive()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": icl.ngd_layer(3, 1.0)}, "model: got SoftmaxAttention"),
        ({"source": 3}, "source: got int"),
        ({"batch": 0}, "batch: got 0"),
        ({"ahead": 0}, "ahead: got 0"),
        ({"tol": 2.0}, "tol: got 2.0"),
        ({"max_bytes": 0}, "max_bytes: got 0"),
        ({"executor": "threads"}, "executor: got str"),
    ],
)
def test_bad_arguments_are_refused_at_once(change, says):
    """Not when the first answer is asked for."""
    with pytest.raises(icl.BadInput, match=says):
        icl.stream(**{"model": MODEL, "source": [GOOD], **change})


# Many


def test_twenty_thousand_prompts_none_lost_every_bad_one_reported():
    done = soak.soak(20_000, generator=seeded(1))
    assert done.answered == 20_000
    assert done.mistakes == 0
    assert 100 < done.bad < 300


@given(st.integers(1, 1200), st.sampled_from([1, 30, 1000]))
def test_the_soak_counts_what_it_should(prompts, batch):
    """(At depth 1 no score is computed but at w = 0: nothing can overflow.)"""
    assert soak.soak(min(prompts, 60 * batch), generator=seeded(prompts), batch=batch, depth=2).mistakes == 0


def test_the_soak_would_notice_a_lost_prompt(monkeypatch):
    right = icl.stream
    lose = lambda *args, **options: (a for k, a in enumerate(right(*args, **options)) if k != 7)  # noqa: E731
    monkeypatch.setattr(soak, "stream", lose)
    assert soak.soak(20, generator=seeded(0)).mistakes > 0


def test_the_soak_runs_as_a_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["soak", "--prompts", "600", "--depth", "2"])
    with pytest.raises(SystemExit) as end:
        soak.main()
    assert end.value.code == 0
    assert "600 prompts answered" in capsys.readouterr().out
