"""The engine behind the loop: the same numbers however they are computed, certificates that hold, bounded memory."""

import os
import subprocess
import sys
import warnings
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, prompts, seeded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import icl_lib as icl
from icl_lib import engine, fused

HEADS = {"ngd": icl.ngd_layer, "sink": icl.sink_layer, "momentum": icl.momentum_layer}
LAYERS = HEADS | {"logistic": icl.logistic_block, "norm": icl.norm_layer}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
heads = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS.keys())
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def sample(B, n, d, dtype=torch.float64, seed=0, queries=2, margin=0.0):
    task = icl.LinearTask(d, margin=margin)
    return task.sample(B, n, queries, generator=seeded(seed), dtype=dtype).normalized()


def bytes_for(p, prompts_at_once):
    """What ``max_bytes`` must be for so many prompts at once: the least that is accepted, times their number."""
    model = icl.Looped(icl.ngd_layer(p.x.shape[-1], 1.0), 0)
    with pytest.raises(icl.BadInput, match="max_bytes: got 1, expected at least") as refused:
        model.final(p, max_bytes=1)
    return prompts_at_once * int(str(refused.value).split("at least ")[1].split(",")[0])


# The bound form of a layer


@layers
@given(prompts(normalized=True, queries=1), st.floats(0.01, 1.0), st.integers(0, 25))
def test_the_engine_gives_what_the_steps_give_bit_for_bit(make, p, step, depth):
    layer = make(p.x.shape[-1], step)
    state = layer.init(p)
    for t in range(depth):
        state = layer.step(state, p, t)
    model = icl.Looped(layer, depth)
    assert torch.equal(model.final(p), layer.read(state))
    assert torch.equal(model.iterates(p)[-1], layer.read(state))


@dtypes
@pytest.mark.parametrize("make", [icl.ngd_layer, icl.sink_layer])
def test_one_step_size_for_each_prompt(make, dtype):
    p, step = sample(6, 9, 3, dtype), torch.linspace(0.1, 1.0, 6, dtype=dtype)
    layer = make(3, step)
    alone = [icl.Looped(make(3, float(s)), 20).final(engine.rows(p, slice(b, b + 1))) for b, s in enumerate(step)]
    together = icl.Looped(layer, 20).final(p)
    assert_same(together, torch.cat(alone), rtol=1e-5 if dtype == torch.float32 else 1e-12)
    assert torch.equal(icl.Looped(layer, 20).final(p, max_bytes=bytes_for(p, 2)), together)
    assert torch.equal(icl.Stacked([layer] * 20).final(p, max_bytes=bytes_for(p, 4)), together)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.score.mul_(2),
        lambda m: m.score[0, 0].add_(0.1),
        lambda m: m.value[-1, 0].add_(0.1),
        lambda m: m.value[0, 0].add_(1.0),
        lambda m: m.requires_grad_(),
    ],
    ids=["scale", "score of the context block", "dense value", "writes its context block", "in training"],
)
def test_only_a_construction_has_a_short_form(change):
    """Other matrices go through ``step``; the short form would be wrong for them."""
    p, layer = sample(3, 5, 2), icl.ngd_layer(2, 0.5)
    assert layer.bind(p) is not None
    change(layer)
    assert layer.bind(p) is None
    state = layer.init(p)
    for t in range(7):
        state = layer.step(state, p, t)
    assert torch.equal(icl.Looped(layer, 7).final(p), layer.read(state))


@pytest.mark.parametrize("base", [icl.SoftmaxAttention, icl.MomentumAttention, icl.LogisticBlock])
def test_a_subclass_with_a_step_of_its_own_keeps_it(base):
    class Frozen(base):
        def step(self, state, prompts, t=0):
            return state

    plain = icl.ngd_layer(2, 1.0)
    layer = Frozen(plain.score, plain.value) if base is icl.SoftmaxAttention else Frozen(2, 1.0)
    assert not icl.Looped(layer, 5).final(sample(3, 5, 2)).any()


def test_gradients_reach_the_points_and_the_step():
    p = sample(3, 5, 2)
    x = p.x.clone().requires_grad_()
    layer = icl.ngd_layer(2, torch.ones(3, dtype=torch.float64)).requires_grad_()
    whole = torch.autograd.grad(icl.Looped(layer, 5).final(icl.Prompts(x, p.y)).sum(), [x, layer.value])
    parts = icl.Looped(layer, 5).final(icl.Prompts(x, p.y), max_bytes=bytes_for(p, 1)).sum()
    parts = torch.autograd.grad(parts, [x, layer.value])
    for a, b in zip(whole, parts, strict=True):
        assert a.abs().sum() > 0
        assert_same(b, a)


# Batches cut to fit


@dtypes
@heads
@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 3), (20, 5), (64, 16)])
def test_parts_of_any_size_give_the_same_bits(make, dtype, n, d):
    p = sample(30, n, d, dtype)
    model = icl.Looped(make(d, 1.0), 30)
    final, decision = model.final(p), model.decision(p)
    certified = model.certified(p, tol=0.2)
    for size in (1, 7, 1000):
        limit = bytes_for(p, size)
        assert torch.equal(model.final(p, max_bytes=limit), final)
        assert torch.equal(model.decision(p, max_bytes=limit), decision)
        for a, b in zip(model.certified(p, tol=0.2, max_bytes=limit), certified, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("make", [icl.logistic_block, icl.norm_layer])
def test_parts_give_the_same_up_to_rounding_with_other_layers(make):
    """A sigmoid's last bit may depend on where in a tensor its argument stands (whole vectors, then the rest)."""
    p = sample(30, 20, 5)
    model = icl.Looped(make(5, 1.0), 30)
    assert_same(model.final(p, max_bytes=bytes_for(p, 7)), model.final(p))


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside this block hold at one time."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        seen = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for made in tree_leaves(out):
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                if storage._cdata not in seen and storage._cdata not in self.known:
                    self.known[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.gone, storage._cdata)
                    made._keeps_its_storage_object = storage
        self.most = max(self.most, self.now)
        return out

    def gone(self, address):
        self.now -= self.known.pop(address, 0)


@heads
@pytest.mark.parametrize("tol", [None, 0.1])
def test_memory_stays_bounded(make, tol):
    """What is made on the way stays below the limit, however many prompts there are; the results come on top."""
    model, limits = icl.Looped(make(8, 1.0), 25), {}
    for B in (100, 400):
        p = sample(B, 40, 8, margin=0.1)
        limit = bytes_for(p, 20)
        with Peak() as peak:
            model.final(p, tol=tol, max_bytes=limit)
        results = 8 * B * (8 + 4)  # w, and for certificates three numbers and a flag a prompt
        assert 0.3 * limit < peak.most <= limit + 3 * results
        limits[B] = peak.most - 3 * results
    p = sample(400, 40, 8, margin=0.1)
    with Peak() as peak:
        model.final(p, tol=tol)
    assert peak.most > 5 * limit  # without a limit it is another matter


# Certificates


@layers
@given(prompts(), st.floats(0.01, 30.0), st.integers(0, 60), st.booleans())
def test_a_certificate_brackets_the_exact_max_margin(make, p, relative, depth, short):
    """Any layer, any step, separable or not (then the max margin is 0 or less: no margin > 0 may be claimed)."""
    if short:
        p = icl.Prompts(p.x.float(), p.y.float())
    p = p.normalized()
    found = icl.Looped(make(p.x.shape[-1], relative), depth).certified(p)
    for b in range(p.x.shape[0]):
        try:
            gamma = float(icl.max_margin(p.z[b : b + 1].double()).margin)
        except icl.NotSeparable:
            assert found.margin[b] <= 1e-6  # the solver, too, gives up at some small margin
            continue
        assert found.margin[b] <= gamma * (1 + 1e-9) + 1e-12
        assert found.bound[b] >= gamma * (1 - 1e-9)
    assert found.depth.tolist() == [depth] * p.x.shape[0]


@dtypes
@layers
@pytest.mark.parametrize("tol", [0.3, 0.05])
def test_what_stops_early_is_within_tol_of_the_exact_max_margin(make, dtype, tol):
    """w of every prompt that stopped, judged in float64 by quadratic programming."""
    p = sample(40, 12, 3, dtype, margin=0.1)
    step = 0.05 if make is icl.norm_layer else 4.0
    model = icl.Looped(make(3, step), 400)
    found = model.certified(p, tol=tol)
    stopped = found.depth < 400
    assert stopped.any() or (tol < 0.1 and make not in (icl.ngd_layer, icl.momentum_layer))
    gamma = icl.max_margin(p.z.double()).margin
    reached = icl.normalized_margin(found.w.double(), p.z.double())
    assert (reached >= (1 - tol) * gamma)[stopped].all()
    assert (found.margin >= (1 - tol) * found.bound)[stopped].all()
    assert torch.equal(model.final(p, tol=tol), found.w)
    for b in stopped.nonzero()[:2, 0].tolist():  # it is frozen where it stopped, and nobody else mattered
        alone = icl.Looped(make(3, step), int(found.depth[b])).final(engine.rows(p, slice(b, b + 1)))
        assert_same(alone, found.w[b : b + 1], rtol=1e-5 if dtype == torch.float32 else 1e-12)


@heads
def test_who_stops_does_not_depend_on_the_company(make):
    p = sample(60, 12, 3)
    model = icl.Looped(make(3, 4.0), 300)
    found = model.certified(p, tol=0.1)
    assert len(found.depth.unique()) > 3
    for chosen in (slice(0, 1), slice(10, 17), torch.tensor([59, 3, 30])):
        some = model.certified(engine.rows(p, chosen), tol=0.1)
        for a, b in zip(some, found, strict=True):
            assert torch.equal(a, b[chosen])


def test_a_stack_is_certified_without_knowing_its_layers():
    p = sample(10, 12, 3, margin=0.2)
    found = icl.Stacked([icl.ngd_layer(3, 4.0)] * 200).certified(p, tol=0.3)
    assert (found.depth < 200).any()
    gamma = icl.max_margin(p.z).margin
    assert ((found.margin <= gamma) & (gamma <= found.bound)).all()


def test_what_cannot_be_separated_goes_through_all_layers():
    z = sample(4, 6, 2).z
    both = torch.cat([z, -z], 1)
    found = icl.Looped(icl.ngd_layer(2, 1.0), 50).certified(icl.Prompts(both, torch.ones_like(both[..., 0])), tol=0.5)
    assert (found.depth == 50).all()
    assert (found.margin <= 0).all()


def test_the_mean_of_all_layers_certifies_where_the_last_one_does_not():
    """At a step far above 2/R^2 attention jumps from point to point, so the last layer alone proves little."""
    p = sample(50, 10, 3)
    model = icl.Looped(icl.ngd_layer(3, 64.0), 300)
    found, w = model.certified(p), model.final(p)
    last = engine.bracket(w, p)[1]
    assert (found.bound < 0.7 * last).double().mean() > 0.5


def test_a_wrong_mass_would_be_noticed(monkeypatch):
    p = sample(20, 6, 2, margin=0.2)
    right = icl.SoftmaxAttention.bind
    twice = lambda layer, p: (lambda b: b._replace(mass=lambda t: 1.5 * b.mass(t)))(right(layer, p))  # noqa: E731
    monkeypatch.setattr(icl.SoftmaxAttention, "bind", twice)
    found = icl.Looped(icl.ngd_layer(2, 1.0), 200).certified(p)
    assert (found.bound < icl.max_margin(p.z).margin).any()


def test_looking_for_certificates_costs_at_most_a_tenth_of_the_layers_or_a_look_a_block():
    for depth in (1, 10, 95, 1000, 12345):
        looks = list(engine.checkpoints(depth))
        assert looks[-1] == depth
        assert all(t % engine.BLOCK == 0 for t in looks[:-1])
        steps = [b - a for a, b in zip([0, *looks], looks, strict=False)]
        assert max(steps) <= max(engine.BLOCK, depth // 10)
    assert len(list(engine.checkpoints(100_000))) < 120


# Compiled: in one piece, data/fused.cpp


@pytest.fixture(scope="module")
def compiler():
    if isinstance(found := fused.library(os.environ.get("CXX")), str):
        pytest.skip(found)


FUSED = pytest.mark.parametrize("make", [icl.ngd_layer, icl.momentum_layer])
needs_compiler = pytest.mark.usefixtures("compiler")


@needs_compiler
@dtypes
@FUSED
@given(p=prompts(normalized=True, queries=1), step=st.floats(0.01, 1.0), depth=st.integers(0, 25))
def test_a_loop_in_one_piece_gives_the_same_up_to_rounding(make, dtype, p, step, depth):
    """At these steps no difference grows (theory 4.3): 25 roundings stay 25 roundings."""
    p = icl.Prompts(p.x.to(dtype), p.y.to(dtype), None, p.x_query.to(dtype))
    layer = make(p.x.shape[-1], step)
    plain, quick = icl.Looped(layer, depth), icl.Looped(layer, depth, compile=True)
    rtol = 3e-5 if dtype == torch.float32 else 1e-12
    assert_same(quick.final(p), plain.final(p), scale=step, rtol=rtol)
    assert_same(quick.decision(p), plain.decision(p), scale=step, rtol=rtol)


@needs_compiler
@dtypes
@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 17, 33])
def test_one_layer_in_one_piece_is_the_layer(dtype, n):
    """From any state, far-off ones included, whatever fills the last lanes: 1e-12, or a few roundings of float32."""
    p, scale = sample(70, n, 5, dtype), torch.logspace(-2, 5, 70, dtype=dtype)[:, None, None]
    w, v = scale * torch.randn(2, 70, 1, 5, generator=seeded(), dtype=dtype)
    for layer, state in ((icl.ngd_layer(5, 0.3 + torch.arange(70.0)), (w,)), (icl.momentum_layer(5, 0.7), (w, v))):
        bound = layer.bind(p)
        step = engine.advanced(bound, state, 3, 4, compile=True)
        expected = bound.advance(bound.data, state, 3)
        for made, right in zip(step, expected, strict=True):
            size = right.norm(dim=-1, keepdim=True)
            # a score of size |w| is rounded, and the weights inherit that error
            assert ((made - right).norm(dim=-1, keepdim=True) <= 200 * torch.finfo(dtype).eps * (size + scale)).all()
        assert torch.equal(state[0], w)


@needs_compiler
@FUSED
def test_in_one_piece_too_no_prompt_depends_on_another(make, monkeypatch):
    """Bit for bit: whatever the parts are, and however many threads share them."""
    p = sample(150, 12, 3, torch.float32, margin=0.1)
    model = icl.Looped(make(3, 4.0), 300, compile=True)
    whole, certified = model.final(p), model.certified(p, tol=0.3)
    assert len(certified.depth.unique()) > 2
    for few, threads in ((0, 1), (0, 2), (0, 3), (10**9, 2)):
        monkeypatch.setattr(fused, "FEW", few)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(model.final(p), whole)
    assert torch.equal(model.final(p, max_bytes=bytes_for(p, 7)), whole)
    for a, b in zip(model.certified(p, tol=0.3, max_bytes=bytes_for(p, 7)), certified, strict=True):
        assert torch.equal(a, b)


@needs_compiler
@FUSED
def test_what_is_certified_in_one_piece_is_within_tol(make):
    p = sample(40, 10, 4, torch.float32, margin=0.2)
    found = icl.Looped(make(4, 1.0), 100, compile=True).certified(p, tol=0.3)
    reached, gamma = icl.normalized_margin(found.w.double(), p.z.double()), icl.max_margin(p.z.double()).margin
    assert (found.depth < 100).any()
    assert (reached >= 0.7 * gamma)[found.depth < 100].all()


@needs_compiler
def test_overflow_is_refused_in_one_piece_too():
    for size in (1e19, 1e25):
        big = icl.Prompts(torch.full((3, 2, 2), size) * torch.tensor([1.0, -1.0]), torch.ones(3, 2))
        with pytest.raises(icl.BadInput, match="overflow"):
            icl.Looped(icl.ngd_layer(2, 1.0), 3, compile=True).final(big)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "python3 -c pass"])
def test_a_compiler_that_is_none_costs_nothing_but_a_warning(compiler, monkeypatch):
    monkeypatch.setenv("CXX", compiler)
    p, layer = sample(5, 6, 3), icl.momentum_layer(3, 1.0)
    with pytest.warns(RuntimeWarning, match="compile=True: the loops run as they are, uncompiled"):
        assert torch.equal(icl.Looped(layer, 20, compile=True).final(p), icl.Looped(layer, 20).final(p))


# Compiled by torch, in blocks


@needs_compiler
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("make", [icl.sink_layer])
def test_compiled_loops_give_the_same_up_to_rounding(make, monkeypatch):
    """Another dtype, batches that shrink as prompts stop, and depths that are not whole blocks, too."""
    monkeypatch.setattr(engine, "BLOCK", 2)  # five times faster to compile
    monkeypatch.setattr(engine, "_BLOCKS", {})
    layer = make(4, 1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # a step of 1/R^2 expands no difference (theory 4.3), so 25 roundings stay 25 roundings
        for dtype, rtol in ((torch.float32, 3e-5), (torch.float64, 1e-11)):
            p = sample(40, 10, 4, dtype, margin=0.2)
            compiled, eager = icl.Looped(layer, 25, compile=True), icl.Looped(layer, 25)
            assert_same(compiled.final(p), eager.final(p), rtol=rtol)
            assert_same(compiled.decision(p), eager.decision(p), rtol=rtol)
        found = icl.Looped(layer, 100, compile=True).certified(p, tol=0.3)
    assert [str(w.message) for w in caught if w.category is RuntimeWarning] == []
    assert callable(engine._BLOCKS[layer.bind(p).advance])
    reached, gamma = icl.normalized_margin(found.w.double(), p.z.double()), icl.max_margin(p.z.double()).margin
    assert (found.depth < 100).any()
    assert (reached >= 0.7 * gamma)[found.depth < 100].all()


def test_without_a_compiler_the_loops_run_as_they_are_and_say_so():
    """In a fresh process, with no compiler to be found and no cache of what one made before."""
    code = (
        "import torch, warnings, icl_lib as icl\n"
        "p = icl.LinearTask(3).sample(5, 8, 2, generator=torch.Generator().manual_seed(0)).normalized()\n"
        "for make in (icl.ngd_layer, icl.sink_layer):\n"
        "    with warnings.catch_warnings(record=True) as caught:\n"
        "        warnings.simplefilter('always')\n"
        "        seen = icl.Looped(make(3, 1.0), 20, compile=True).decision(p)\n"
        "    ours = [w for w in caught if w.category is RuntimeWarning and 'compile=True' in str(w.message)]\n"
        "    print(torch.equal(seen, icl.Looped(make(3, 1.0), 20).decision(p)), len(ours))\n"
    )
    nothing = {"CXX": "no-such-compiler", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **nothing}, check=False
    )
    assert run.stdout.split() == ["True", "1"] * 2, run.stderr[-2000:]


@pytest.mark.filterwarnings("default")
def test_a_failing_compiler_costs_nothing_but_a_warning(monkeypatch):
    def broken(function):
        def call(*args):
            raise RuntimeError("the compiler\nis not well")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(engine, "_BLOCKS", {})
    p, layer = sample(5, 6, 3), icl.sink_layer(3, 1.0)
    model = icl.Looped(layer, 20, compile=True)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="uncompiled .RuntimeError: the compiler is not well"):
            assert torch.equal(model.final(p), icl.Looped(layer, 20).final(p))


@pytest.mark.filterwarnings("default")
def test_a_layer_without_a_short_form_is_not_compiled():
    p, layer = sample(5, 6, 3), icl.norm_layer(3, 1.0)
    with pytest.warns(RuntimeWarning, match="no form to compile"):
        assert torch.equal(icl.Looped(layer, 20, compile=True).final(p), icl.Looped(layer, 20).final(p))


def test_with_gradients_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(engine, "_block", lambda advance: pytest.fail("compiled"))
    monkeypatch.setattr(fused, "loops", lambda *args: pytest.fail("compiled"))
    p = sample(3, 5, 2)
    for make in (icl.ngd_layer, icl.sink_layer):
        x = p.x.clone().requires_grad_()
        icl.Looped(make(2, 1.0), 20, compile=True).final(icl.Prompts(x, p.y)).sum().backward()
        assert x.grad.abs().sum() > 0


# Devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@layers
def test_a_gpu_gives_the_same_up_to_rounding(make):
    p = sample(20, 12, 4, margin=0.1)
    there = icl.Prompts(p.x.cuda(), p.y.cuda(), None, p.x_query.cuda())
    model = icl.Looped(make(4, 0.5), 30)
    for view in (model.final, model.iterates, model.decision, lambda q: model.certified(q).bound):
        assert view(there).is_cuda
        assert_same(view(there).cpu(), view(p), rtol=1e-10)


@layers
def test_no_tensor_is_made_on_another_device(make, monkeypatch):
    """Every tensor that is made says where: what would be made on the default device fails here."""
    p, model = sample(4, 6, 3), icl.Looped(make(3, 0.5), 25)
    expected = model.decision(p)
    torch.set_default_device("meta")
    try:
        assert torch.equal(model.decision(p), expected)
        assert torch.equal(model.decision(p, tol=1e-9), expected)
        assert torch.equal(model.iterates(p)[-1], model.final(p))
    finally:
        torch.set_default_device("cpu")


# What is refused


@pytest.mark.parametrize("tol", [0, 1, -0.1, 1.5, float("nan"), "0.1", True])
def test_a_tolerance_lies_between_0_and_1(tol):
    with pytest.raises(icl.BadInput, match="tol: got"):
        icl.Looped(icl.ngd_layer(3, 1.0), 3).final(sample(2, 4, 3), tol=tol)


@pytest.mark.parametrize("limit", [0, -1, 10, 1.5, "1 GB", True])
def test_a_limit_must_hold_one_prompt(limit):
    with pytest.raises(icl.BadInput, match="max_bytes: got"):
        icl.Looped(icl.ngd_layer(3, 1.0), 3).final(sample(2, 4, 3), max_bytes=limit)


def test_compile_is_yes_or_no():
    with pytest.raises(icl.BadInput, match="compile: got 1, expected True or False"):
        icl.Looped(icl.ngd_layer(3, 1.0), 3, compile=1)


def test_overflow_is_refused_with_a_tolerance_and_in_parts_too():
    x = torch.full((3, 2, 2), 1e19) * torch.tensor([1.0, -1.0])
    model, big = icl.Looped(icl.ngd_layer(2, 1.0), 3), icl.Prompts(x, torch.ones(3, 2))
    for options in ({"tol": 0.1}, {"max_bytes": 1000}, {}):
        with pytest.raises(icl.BadInput, match="overflow"):
            model.final(big, **options)
        with pytest.raises(icl.BadInput, match="overflow"):
            model.decision(big, x, **options)
    with pytest.raises(icl.BadInput, match="overflow"):
        model.certified(big)


@pytest.mark.parametrize("make", [icl.ngd_layer, icl.sink_layer, icl.norm_layer])
def test_tokens_that_overflow_are_refused_by_the_explicit_view(make):
    layer, p = make(2, 1.0), icl.Prompts(torch.full((1, 2, 2), 1e25), torch.ones(1, 2))
    with pytest.raises(icl.BadInput, match="tokens: got .* overflow"):
        layer(layer.tokens(1e25 * torch.ones_like(layer.init(p)), p))
