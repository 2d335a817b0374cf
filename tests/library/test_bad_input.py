"""Wrong input is refused where it enters: a ValueError that names the argument, what was seen, what was expected.

And right input, however large or small, never comes out as NaN.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal, seeded, seeds

import icl_lib as icl
from icl_lib import contexts

W, Z, X, Y = normal(2, 3), normal(2, 4, 3), normal(2, 4, 3), torch.ones(2, 4, dtype=torch.float64)
PROMPTS = icl.Prompts(X, Y)
ASKED = icl.Prompts(X, Y, None, X[:, :2], Y[:, :2])
LAYER = icl.ngd_layer(3, 1.0)
STATE = normal(2, 6)
G = seeded()


class Case(NamedTuple):
    """A call that must be refused, and the argument that the message must name and what it must say besides."""

    call: object
    name: str
    says: str = ""


CASES: dict[str, Case] = {}


def refuse(label: str, call, name: str, says: str = "") -> None:
    assert label not in CASES, label
    CASES[label] = Case(call, name, says)


def spoiled(t: torch.Tensor, value: float) -> torch.Tensor:
    t = t.clone()
    t.view(-1)[0] = value
    return t


def tensors(label: str, call, name: str, good: torch.Tensor) -> None:
    """What is wrong with any tensor argument; ``call`` takes the spoiled one."""
    for what, bad, says in [
        ("a list", good.tolist(), "got list, expected a torch.Tensor"),
        ("NumPy", good.numpy(), "got ndarray, expected a torch.Tensor"),
        ("integers", good.long(), "got dtype torch.int64, expected torch.float32 or torch.float64"),
        ("half precision", good.half(), "got dtype torch.float16"),
        ("one axis too few", good[0], "got shape"),
        ("NaN", spoiled(good, math.nan), r"got 1 non-finite entries \(NaN\), expected finite numbers"),
        ("infinity", spoiled(good, math.inf), r"got 1 non-finite entries \(infinity\)"),
        ("nothing", good[:0], r"expected shape .*>= 1|expected shape"),
    ]:
        refuse(f"{label}: {name} is {what}", lambda bad=bad: call(bad), name, says)


def steps_(label: str, call, batch: int | None = 2) -> None:
    """What is wrong with a step; ``call`` takes the spoiled one."""
    for bad in (0, 0.0, -1.0, math.nan, math.inf, True, "1", None, 1j):
        refuse(f"{label}: step is {bad!r}", lambda bad=bad: call(bad), "step", "expected a finite number > 0")
    for what, bad in {
        "with a zero": torch.tensor([1.0, 0.0]).double(),
        "with a negative": torch.tensor([1.0, -1.0]).double(),
    }.items():
        refuse(f"{label}: step is a tensor {what}", lambda bad=bad: call(bad), "step", "expected step > 0")
    for what, bad in {
        "of NaN": torch.tensor([1.0, math.nan]).double(),
        "of integers": torch.ones(2, dtype=torch.int64),
        "without an axis": torch.tensor(1.0).double(),
        "with two axes": torch.ones(2, 1).double(),
    }.items():
        refuse(f"{label}: step is a tensor {what}", lambda bad=bad: call(bad), "step")
    if batch:
        refuse(f"{label}: three steps for two prompts", lambda: call(torch.ones(3).double()), "step", "B = 2")
        refuse(f"{label}: steps in float32", lambda: call(torch.ones(2)), "step", "the dtype and device of z")


def wholes(label: str, call, name: str, least: int) -> None:
    for bad in (least - 1, 1.0, "3", None, True):
        says = f"got {re.escape(repr(bad))}, expected a whole number >= {least}"
        refuse(f"{label}: {name} is {bad!r}", lambda bad=bad: call(bad), name, says)


def generators(label: str, call) -> None:
    for bad in (None, 0, np.random.default_rng(0)):
        says = rf"got {type(bad).__name__}, expected a torch\.Generator"
        refuse(f"{label}: generator is a {type(bad).__name__}", lambda bad=bad: call(bad), "generator", says)


# losses and the margin

for f in (
    icl.margins, icl.exponential_loss, icl.log_mean_exp, icl.logistic_loss, icl.exponential_weights,
    icl.exponential_loss_grad, icl.log_mean_exp_grad, icl.logistic_loss_grad, icl.normalized_margin,
):  # fmt: skip
    name = f.__name__
    tensors(name, lambda z, f=f: f(W, z), "z", Z)
    tensors(name, lambda w, f=f: f(w, Z), "w", W)
    refuse(f"{name}: another dimension", lambda f=f: f(normal(2, 4), Z), "w", "d = 3")
    refuse(f"{name}: another batch", lambda f=f: f(normal(5, 3), Z), "w", "B = 2")
    refuse(f"{name}: mixed dtypes", lambda f=f: f(W.float(), Z), "w", "torch.float32 on cpu, .* dtype and device of z")
    refuse(f"{name}: empty context", lambda f=f: f(W, Z[:, :0]), "z", r"got shape \[2, 0, 3\], .* n >= 1")

# algorithms

for f in (icl.ngd, icl.gd, icl.ngd_decaying, icl.momentum_ngd):
    name = f.__name__
    tensors(name, lambda z, f=f: f(z, 1.0, 2), "z", Z)
    tensors(name, lambda w, f=f: f(Z, 1.0, 2, w), "w0", W)
    steps_(name, lambda s, f=f: f(Z, s, 2))
    wholes(name, lambda T, f=f: f(Z, 1.0, T), "steps", 0)
    refuse(f"{name}: empty context", lambda f=f: f(Z[:, :0], 1.0, 2), "z", "n >= 1")
    refuse(f"{name}: no dimension", lambda f=f: f(Z[..., :0], 1.0, 2), "z", "d >= 1")
    refuse(f"{name}: w0 of another dtype", lambda f=f: f(Z, 1.0, 2, W.float()), "w0", "the dtype and device of z")
    refuse(f"{name}: w0 of another shape", lambda f=f: f(Z, 1.0, 2, W[:1]), "w0", "B = 2")
refuse("gd: unknown loss", lambda: icl.gd(Z, 1.0, 2, loss="hinge"), "loss", "one of 'exponential', 'logistic'")
refuse("gd: a path that overflows", lambda: icl.gd(torch.cat([Z, -3 * Z], 1), 1e9, 50), "step", "smaller step")
tensors("max_margin", icl.max_margin, "z", Z)
for bad in (0.0, -1.0, math.nan, "a"):
    refuse(f"max_margin: tol is {bad!r}", lambda bad=bad: icl.max_margin(Z.abs(), tol=bad), "tol")
refuse("max_margin: not separable", lambda: icl.max_margin(torch.cat([Z, -Z], 1)), "z", "prompt 0 is not separable")

# prompts

tensors("Prompts", lambda x: icl.Prompts(x, Y), "x", X)
tensors("Prompts", lambda y: icl.Prompts(X, y), "y", Y)
tensors("Prompts", lambda w: icl.Prompts(X, Y, w), "w_star", W)
tensors("Prompts", lambda q: icl.Prompts(X, Y, None, q), "x_query", X)
tensors("Prompts", lambda q: icl.Prompts(X, Y, None, X, q), "y_query", Y)
for label, call in {"y": lambda y: icl.Prompts(X, y), "y_query": lambda y: icl.Prompts(X, Y, None, X, y)}.items():
    hint = r"expected -1 and \+1 only \(0/1 labels: pass 2 \* y - 1\)"
    refuse(f"Prompts: {label} is 0/1", lambda c=call: c(spoiled(Y, 0.0)), label, rf"got values \[0.0, 1.0\], {hint}")
    refuse(f"Prompts: {label} is all 0", lambda c=call: c(0 * Y), label, hint)
    refuse(
        f"Prompts: {label} holds a 2",
        lambda c=call: c(spoiled(Y, 2.0)),
        label,
        r"got values \[1.0, 2.0\], expected -1 and \+1 only$",
    )
    refuse(
        f"Prompts: {label} holds -1, 0, 1",
        lambda c=call: c(torch.tensor([[0.0, 1, -1, 1]] * 2).double()),
        label,
        r"only$",
    )
    refuse(f"Prompts: {label} in float32", lambda c=call: c(Y.float()), label, "the dtype and device of x")
    refuse(f"Prompts: {label} too short", lambda c=call: c(Y[:, :3]), label, r"got shape \[2, 3\]")
refuse(
    "Prompts: one bad label in 20,000",
    lambda: icl.Prompts(torch.ones(1, 20_000, 1), torch.cat([torch.ones(1, 19_999), torch.zeros(1, 1)], 1)),
    "y", r"got values \[0.0, 1.0\]",
)  # fmt: skip
refuse("Prompts: empty context", lambda: icl.Prompts(X[:, :0], Y[:, :0]), "x", "n >= 1")
refuse("Prompts: w_star in float32", lambda: icl.Prompts(X, Y, W.float()), "w_star", "the dtype and device of x")
refuse("Prompts: w_star of another dimension", lambda: icl.Prompts(X, Y, W[:, :2]), "w_star", "d = 3")
refuse("Prompts: x_query in float32", lambda: icl.Prompts(X, Y, None, X.float()), "x_query", "dtype and device of x")
refuse("Prompts: x_query of another batch", lambda: icl.Prompts(X, Y, None, X[:1]), "x_query", "B = 2")
refuse("Prompts: labels without queries", lambda: icl.Prompts(X, Y, None, None, Y), "y_query", "both, or neither")
refuse(
    "normalized: zeros",
    lambda: icl.Prompts(spoiled(X, 1.0) * torch.tensor([1.0, 0.0]).double()[:, None, None], Y).normalized(),
    "x",
    "only zeros in prompt 1",
)
refuse("raw_tokens: no query", PROMPTS.raw_tokens, "x_query", "got None, expected prompts sampled with queries >= 1")
refuse("raw_tokens: no such query", lambda: ASKED.raw_tokens(2), "query", "one of 2 queries")
refuse("raw_tokens: counted from the end", lambda: ASKED.raw_tokens(-1), "query", "a whole number >= 0")
refuse("map: features of another batch", lambda: PROMPTS.map(lambda x: x[:1]), "y", "B = 1")
refuse("map: features that overflow", lambda: PROMPTS.map(lambda x: x / 0), "x", "non-finite")
refuse("map: features that are no tensor", lambda: PROMPTS.map(lambda x: x.numpy()), "x", "got ndarray")

x_, y_ = X.numpy(), Y.numpy()
refuse("from_arrays: a list", lambda: icl.Prompts.from_arrays(x_.tolist(), y_), "x", "a NumPy array or a torch.Tensor")
refuse("from_arrays: a list of labels", lambda: icl.Prompts.from_arrays(x_, y_.tolist()), "y", "a NumPy array")
refuse(
    "from_arrays: integers", lambda: icl.Prompts.from_arrays(np.ones((3, 2), int), np.ones(3)), "x", "dtype torch.int64"
)
refuse("from_arrays: words", lambda: icl.Prompts.from_arrays(np.array([["a"]]), np.ones(1)), "x", "an array of numbers")
refuse(
    "from_arrays: objects", lambda: icl.Prompts.from_arrays(np.array([[None]]), np.ones(1)), "x", "an array of numbers"
)
refuse("from_arrays: complex labels", lambda: icl.Prompts.from_arrays(x_, y_ + 0j), "y", "an array of numbers")
refuse(
    "from_arrays: float labels of another dtype",
    lambda: icl.Prompts.from_arrays(x_, y_.astype("f")),
    "y",
    "dtype and device of x",
)
refuse("from_arrays: 0/1 labels", lambda: icl.Prompts.from_arrays(x_, y_.astype(int) * 0), "y", r"pass 2 \* y - 1")
refuse("from_arrays: truth values", lambda: icl.Prompts.from_arrays(x_, y_ > 0), "y", "got dtype torch.bool")
refuse("from_arrays: one point", lambda: icl.Prompts.from_arrays(x_[0, 0], y_[0]), "x", "expected shape")
refuse("from_arrays: labels of another length", lambda: icl.Prompts.from_arrays(x_[0], y_[0, :3]), "y", "n = 4")
refuse("from_arrays: no point", lambda: icl.Prompts.from_arrays(x_[0, :0], y_[0, :0]), "x", "n >= 1")

# tasks

wholes("LinearTask", icl.LinearTask, "d", 1)
refuse(
    "LinearTask: unknown law",
    lambda: icl.LinearTask(2, law="cauchy"),
    "law",
    "got 'cauchy', expected one of 'anisotropic', 'clusters'",
)
refuse("LinearTask: a list of laws", lambda: icl.LinearTask(2, law=["cube"]), "law", "expected one of")
for name, values in {
    "margin": (-0.1, math.nan, math.inf, "1", None, True),
    "flip": (-0.1, 1.1, math.nan, True),
}.items():
    for bad in values:
        refuse(
            f"LinearTask: {name} is {bad!r}",
            lambda n=name, b=bad: icl.LinearTask(2, **{n: b}),
            name,
            "a number from 0 to",
        )
refuse("DatasetTask: unknown name", lambda: icl.DatasetTask("mnist"), "name", "one of 'breast_cancer', 'digits'")
for bad in ((0, 0), (0, 7), (0,), (0, 1, 0), 5, "ab", None):
    refuse(
        f"DatasetTask: classes are {bad!r}",
        lambda b=bad: icl.DatasetTask("iris", b),
        "classes",
        r"two different classes out of \[0, 1, 2\]",
    )
for label, task, least in (("LinearTask", icl.LinearTask(2), 1), ("DatasetTask", icl.DatasetTask("iris"), 2)):
    wholes(label, lambda b, t=task: t.sample(b, 4, generator=G), "batch", 1)
    wholes(label, lambda n, t=task: t.sample(1, n, generator=G), "n", least)
    wholes(label, lambda q, t=task: t.sample(1, 4, q, generator=G), "queries", 0)
    generators(label, lambda g, t=task: t.sample(1, 4, generator=g))
    for bad in (torch.int64, torch.float16, "float32", None):
        refuse(
            f"{label}: dtype is {bad}",
            lambda b=bad, t=task: t.sample(1, 4, generator=G, dtype=b),
            "dtype",
            "torch.float32 or torch.float64",
        )
refuse(
    "DatasetTask: more rows than there are",
    lambda: icl.DatasetTask("iris").sample(1, 500, generator=G),
    "n",
    "got 500 with queries=0",
)
refuse(
    "DatasetTask: more queries than there are",
    lambda: icl.DatasetTask("iris").sample(1, 4, 500, generator=G),
    "n",
    "got 4 with queries=500",
)

# layers

for f in (icl.ngd_layer, icl.sink_layer):
    wholes(f.__name__, lambda d, f=f: f(d, 1.0), "d", 1)
    steps_(f.__name__, lambda s, f=f: f(2, s), batch=None)
square = torch.eye(4)
tensors("SoftmaxAttention", lambda s: icl.SoftmaxAttention(s, square), "score", square)
refuse(
    "SoftmaxAttention: an odd score matrix",
    lambda: icl.SoftmaxAttention(torch.eye(3), torch.eye(3)),
    "score",
    r"expected shape \[2d, 2d\]",
)
refuse(
    "SoftmaxAttention: a flat score matrix",
    lambda: icl.SoftmaxAttention(torch.ones(2, 4), square),
    "score",
    r"expected shape \[2d, 2d\]",
)
refuse(
    "SoftmaxAttention: another value matrix",
    lambda: icl.SoftmaxAttention(square, torch.eye(2)),
    "value",
    r"expected shape \[4, 4\] or \[B, 4, 4\]",
)
refuse(
    "SoftmaxAttention: too many value matrices",
    lambda: icl.SoftmaxAttention(square, torch.ones(1, 2, 4, 4)),
    "value",
    "expected shape",
)
refuse("SoftmaxAttention: NaN values", lambda: icl.SoftmaxAttention(square, square * math.nan), "value", "NaN")
refuse(
    "SoftmaxAttention: unknown mask",
    lambda: icl.SoftmaxAttention(square, square, "hidden"),
    "own_token",
    "one of 'masked', 'seen'",
)
tensors("a layer on tokens", LAYER, "tokens", normal(2, 5, 6))
refuse("a layer on tokens: another dimension", lambda: LAYER(normal(2, 5, 4)), "tokens", "2d = 6")
refuse(
    "a layer on tokens: no context", lambda: LAYER(normal(2, 1, 6)), "tokens", "a context token before the state token"
)
refuse(
    "a layer: points of another dimension",
    lambda: LAYER.init(icl.Prompts(X[..., :2], Y)),
    "prompts",
    r"got points in R\^2, expected points in R\^3",
)
refuse("a layer: tokens for prompts", lambda: LAYER.init(Z), "prompts", "got Tensor, expected Prompts")
three = icl.ngd_layer(3, torch.ones(3).double())
refuse(
    "a layer: three steps for two prompts",
    lambda: three.init(PROMPTS),
    "prompts",
    "a batch of 2 for a layer with 3 values",
)
refuse("a layer: three steps for two token matrices", lambda: three(normal(2, 5, 6)), "prompts", "a batch of 2")
wholes("GatedFold", icl.GatedFold, "d", 1)
tensors("GatedFold", icl.GatedFold(2), "raw", normal(2, 5, 3))
refuse("GatedFold: another dimension", lambda: icl.GatedFold(3)(normal(2, 5, 3)), "raw", r"d\+1 = 4")
tensors("decide", icl.decide, "tokens", normal(2, 5, 6))
refuse(
    "decide: an odd number of entries", lambda: icl.decide(normal(2, 5, 3)), "tokens", r"expected shape \[B, N, 2d\]"
)

# depth

wholes("Looped", lambda depth: icl.Looped(LAYER, depth), "depth", 0)
refuse("Looped: no layer", lambda: icl.Looped("layer", 2), "layers", r"got \['str'\]")
refuse("Stacked: nothing", lambda: icl.Stacked([]), "layers", "at least one")
refuse("Stacked: a layer that is not in a list", lambda: icl.Stacked(LAYER), "layers", "a sequence of layers")
refuse(
    "Stacked: layers of two dimensions",
    lambda: icl.Stacked([LAYER, icl.ngd_layer(2, 1.0)]),
    "layers",
    r"got dimensions \[3, 2\]",
)
MODEL = icl.Looped(LAYER, 2)
for view in ("iterates", "final", "attention", "decision"):
    refuse(
        f"{view}: points of another dimension",
        lambda v=view: getattr(MODEL, v)(icl.Prompts(X[..., :2], Y, None, X[..., :2])),
        "prompts",
        r"R\^3",
    )
    if view != "decision":
        refuse(
            f"{view}: tokens for prompts",
            lambda v=view: getattr(MODEL, v)(Z),
            "prompts",
            "got Tensor, expected Prompts",
        )
refuse("decision: no query", lambda: MODEL.decision(PROMPTS), "x_query", "got None")
tensors("decision", lambda q: MODEL.decision(PROMPTS, q), "x_query", X)
refuse("decision: queries of another batch", lambda: MODEL.decision(PROMPTS, X[:1]), "x_query", "B = 2")
refuse("decision: queries of another dimension", lambda: MODEL.decision(PROMPTS, X[..., :2]), "x_query", "d = 3")
refuse(
    "decision: queries in float32", lambda: MODEL.decision(PROMPTS, X.float()), "x_query", "dtype and device of prompts"
)

# metrics

refuse("error_rate: 0/1 labels", lambda: icl.error_rate(X, spoiled(X.sign(), 0.0).abs()), "y", r"pass 2 \* y - 1")
refuse("error_rate: NaN decision", lambda: icl.error_rate(spoiled(Y, math.nan), Y), "decision", "NaN")
refuse("error_rate: mixed dtypes", lambda: icl.error_rate(Y.float(), Y), "y", "dtype and device of decision")
refuse(
    "error_rate: other queries", lambda: icl.error_rate(Y, Y[:, :3]), "y", r"got shape \[2, 3\], expected .*\[2, 4\]"
)
refuse("error_rate: another batch", lambda: icl.error_rate(Y, torch.cat([Y, Y])), "y", r"got shape \[4, 4\]")
refuse("error_rate: a number", lambda: icl.error_rate(torch.tensor(1.0), torch.tensor(1.0)), "decision", "shape")
for k, name in enumerate(("u", "v")):

    def either(bad, k=k):
        return icl.angle(bad, W) if k == 0 else icl.angle(W, bad)

    refuse(
        f"angle: {name} has a zero row",
        lambda f=either: f(W * torch.tensor([[1.0], [0.0]]).double()),
        name,
        "got a zero vector, expected a direction",
    )
    refuse(f"angle: {name} is NaN", lambda f=either: f(spoiled(W, math.nan)), name, "NaN")
    refuse(f"angle: {name} is a list", lambda f=either: f([1.0, 2.0, 3.0]), name, "got list")
refuse("angle: mixed dtypes", lambda: icl.angle(W, W.float()), "v", "dtype and device of u")
refuse("angle: two dimensions", lambda: icl.angle(W, W[:, :2]), "v", "d = 3")
for what, bad in {
    "one sample": torch.ones(1),
    "a number": torch.tensor(1.0),
    "an empty axis": torch.ones(3, 0),
    "a list": [1.0, 2.0],
    "integers": torch.arange(3),
    "NaN": torch.tensor([1.0, math.nan]),
}.items():
    refuse(f"bootstrap_interval: {what}", lambda b=bad: icl.bootstrap_interval(b, generator=G), "samples")
for bad in (-0.1, 95, math.nan, "0.9", True):
    refuse(
        f"bootstrap_interval: level is {bad!r}",
        lambda b=bad: icl.bootstrap_interval(Y, generator=G, level=b),
        "level",
        "a number from 0 to 1",
    )
wholes("bootstrap_interval", lambda r: icl.bootstrap_interval(Y, generator=G, resamples=r), "resamples", 1)
generators("bootstrap_interval", lambda g: icl.bootstrap_interval(Y, generator=g))

# contexts and theorems

refuse(
    "separable: unknown family", lambda: contexts.separable("evil", 1, G), "family", "one of 'collinear', 'duplicates'"
)
wholes("separable", lambda b: contexts.separable("random", b, G), "batch", 1)
generators("separable", lambda g: contexts.separable("random", 1, g))
for bad in (0.0, -1.0, math.nan):
    refuse(
        f"scaled by {bad}",
        lambda b=bad: contexts.separable("random", 1, seeded()).scaled(b),
        "factor",
        "a finite number > 0",
    )
THEOREM = icl.THEOREMS["thm-descent"]
generators("Theorem.instance", THEOREM.instance)
refuse("Theorem.instance: unknown family", lambda: THEOREM.instance(G, family="evil"), "family", "one of")
wholes("Theorem.instance", lambda b: THEOREM.instance(seeded(), b), "batch", 1)
tensors("Theorem.given", THEOREM.given, "z", Z)
wholes("Theorem.given", lambda T: THEOREM.given(Z.abs(), 1.0, T), "steps", 1)
for bad in (0.0, -1.0, math.nan, True, "1"):
    refuse(
        f"Theorem.given: relative_step is {bad!r}",
        lambda b=bad: THEOREM.given(Z.abs(), b),
        "relative_step",
        "a finite number > 0",
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_is_refused_by_name(case):
    with pytest.raises(icl.BadInput) as caught:
        case.call()
    message = str(caught.value)
    assert message.startswith(f"{case.name}: "), message
    assert "expected" in message
    assert re.search(case.says, message), message
    assert len(message) < 400, "a message is read by a person: no tensors in it"


# What is not refused


def test_numbers_may_come_from_numpy():
    depth, step = np.int64(3), np.float32(0.5)
    path = icl.Looped(icl.ngd_layer(np.int32(3), step), depth).iterates(PROMPTS)
    assert torch.equal(path, icl.Looped(icl.ngd_layer(3, 0.5), 3).iterates(PROMPTS))
    assert torch.equal(icl.ngd(Z, step, depth), icl.ngd(Z, 0.5, 3))
    assert icl.LinearTask(np.int64(2), margin=np.float64(0.1)).sample(
        np.int64(2), np.int64(3), generator=G
    ).x.shape == (2, 3, 2)


def test_a_step_may_be_a_whole_number():
    assert torch.equal(icl.ngd(Z, 2, 3), icl.ngd(Z, 2.0, 3))


# NaN never comes out

scales = st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6])


@dataclass
class Wild:
    """A context of any size, separable or not, with repeated, opposite and zero tokens."""

    z: torch.Tensor


@st.composite
def wild(draw):
    B, n, d, g = draw(st.integers(1, 3)), draw(st.integers(1, 8)), draw(st.integers(1, 5)), seeded(draw(seeds))
    z = torch.randn(B, n, d, generator=g, dtype=torch.float64)
    z = torch.cat([z, *draw(st.sampled_from([[], [z], [-z], [0 * z], [1e-3 * z, -1e3 * z]]))], 1)
    return Wild((draw(scales) * z).to(draw(st.sampled_from([torch.float32, torch.float64]))))


@given(wild(), st.sampled_from([1e-6, 1e-2, 1.0, 1e2, 1e4]), st.booleans())
def test_paths_of_any_context_are_finite(context, step, relative):
    z = context.z
    if relative:  # the step in units of 1/R^2, else as it is: margins then reach 1e20
        step = float(step / z.norm(dim=-1).max() ** 2)
    p = icl.Prompts(z, torch.ones_like(z[..., 0]), None, z)
    for algorithm in (icl.ngd, icl.ngd_decaying, icl.momentum_ngd):
        assert torch.isfinite(algorithm(z, step, 20)).all()
    for make in (icl.ngd_layer, icl.sink_layer):
        model = icl.Looped(make(z.shape[-1], step), 20)
        for view in ("iterates", "final", "decision", "attention"):
            assert torch.isfinite(getattr(model, view)(p)).all()
        tokens = model(icl.GatedFold(z.shape[-1])(p.raw_tokens())) if make is icl.ngd_layer else p.z
        assert torch.isfinite(tokens).all()


@given(wild(), st.sampled_from([1.0, 1e4]), seeds)
def test_losses_and_metrics_of_any_context_are_numbers(context, margin, seed):
    z = context.z
    w = normal(z.shape[0], z.shape[2], seed=seed).to(z)
    w = margin * w / icl.margins(w, z).abs().amax(-1, keepdim=True)
    for f in (icl.margins, icl.log_mean_exp, icl.logistic_loss, icl.exponential_weights, icl.log_mean_exp_grad,
              icl.logistic_loss_grad, icl.normalized_margin):  # fmt: skip
        assert torch.isfinite(f(w, z)).all()
    for f in (icl.exponential_loss, icl.exponential_loss_grad):
        assert not f(w, z).isnan().any()
    assert torch.isfinite(icl.angle(w, z[:, 0].masked_fill(z[:, 0] == 0, 1.0))).all()


@given(wild())
def test_the_max_margin_of_any_context_is_a_number_or_refused(context):
    try:
        answer = icl.max_margin(context.z)
    except icl.NotSeparable:
        return
    assert all(torch.isfinite(part).all() for part in answer)
    assert (answer.margin > 0).all()
