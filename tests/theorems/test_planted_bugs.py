"""Would we notice? Every theorem must catch an algorithm, a constant or an assumption that is slightly wrong."""

from dataclasses import replace

import pytest
import torch
from strategies import seeded

import icl_lib as icl
from icl_lib.contexts import FAMILIES
from icl_lib.theorems import acceleration, classes, construction, depth, loop, regression

FAMILY_AND_SEED = [(family, seed) for family in FAMILIES for seed in range(4)]


def violated(theorem) -> bool:
    """Whether some instance shows that the theorem, as it stands now, is wrong."""
    made = (theorem.instance(seeded(seed), 32, family) for family, seed in FAMILY_AND_SEED)
    return any(bool((theorem.check(instance) < 0).any()) for instance in made)


def wrong(layer, **changes):
    """A layer maker like ``layer``, with its matrices or its mask changed."""

    def make(d, step):
        right = layer(d, step)
        score, value = right.score.detach(), right.value.detach()
        new = {"score": score, "value": value, "own_token": right.own_token}
        new.update({key: change(new[key]) for key, change in changes.items()})
        return icl.SoftmaxAttention(**new)

    return make


def other(own_token):
    return {"masked": "seen", "seen": "masked"}[own_token]


LAYER_BUGS = {
    "the sign of the scores": {"score": lambda m: -m},
    "the sign of the values": {"value": lambda m: -m},
    "averaging instead of softmax": {"score": torch.zeros_like},
    "scores divided by sqrt(2)": {"score": lambda m: m / 2**0.5},
    "a step off by 1e-9": {"value": lambda m: m * (1 + 1e-9)},
    "a score off by 1e-9": {"score": lambda m: m * (1 + 1e-9)},
    "twice the step": {"value": lambda m: 2 * m},
    "the mask": {"own_token": other},
}


LAYERS = {"thm-one-head": "ngd_layer", "thm-scale": "ngd_layer", "thm-sink-loss": "sink_layer"}
# the layer of thm-scale takes the matrices from ngd_layer, and sees to the mask itself
PLANTED = [(n, b) for n in LAYERS for b in LAYER_BUGS if (n, b) != ("thm-scale", "the mask")]


@pytest.mark.parametrize(("name", "bug"), PLANTED)
def test_a_theorem_on_a_layer_notices_a_wrong_layer(monkeypatch, name, bug):
    theorem, maker = icl.THEOREMS[name], LAYERS[name]
    monkeypatch.setattr(construction, maker, wrong(getattr(icl, maker), **LAYER_BUGS[bug]))
    assert violated(theorem)


RATIO_BUGS = {key: bug for key, bug in LAYER_BUGS.items() if "values" not in key}


@pytest.mark.parametrize("bug", RATIO_BUGS.values(), ids=RATIO_BUGS.keys())
@pytest.mark.parametrize("maker", ["ngd_layer", "sink_layer"])
def test_the_ratio_of_sink_and_step_notices_either_being_wrong(monkeypatch, maker, bug):
    monkeypatch.setattr(construction, maker, wrong(getattr(icl, maker), **bug))
    assert violated(icl.THEOREMS["thm-sink-ratio"])


def ascending(z, step, steps, w0=None):
    return -icl.ngd(z, step, steps, w0)


def averaging(z, step, steps, w0=None):
    w = torch.zeros_like(z[:, 0]) if w0 is None else w0
    step = step[:, None] if isinstance(step, torch.Tensor) else step
    return torch.stack([w + t * step * z.mean(1) for t in range(steps + 1)])


def half_as_far(z, step, steps, w0=None):
    return icl.ngd(z, step / 2, steps, w0)


def one_step_late(z, step, steps, w0=None):
    path = icl.ngd(z, step, steps, w0)
    return torch.cat([path[:1], path[:-1]])


def still(z, step, steps, w0=None):
    return 0 * icl.ngd(z, step, steps, w0)


PATH_BUGS = {
    "thm-descent": [ascending, half_as_far, one_step_late, still],
    "thm-separation": [ascending, averaging, half_as_far, one_step_late, still],
    "thm-margin-rate": [ascending, averaging],
    "thm-attention-norm": [ascending, averaging, still],
    "thm-support": [ascending, still],
    "thm-decaying": [ascending, averaging],
}


@pytest.mark.parametrize(("name", "bug"), [(name, bug) for name, bugs in PATH_BUGS.items() for bug in bugs])
def test_a_theorem_on_depth_notices_a_wrong_algorithm(monkeypatch, name, bug):
    theorem = icl.THEOREMS[name]
    monkeypatch.setattr(depth, "ngd", bug)
    assert violated(theorem)


@pytest.mark.parametrize("bug", [ascending, averaging], ids=lambda f: f.__name__)
def test_the_theorem_on_inverse_roots_notices_a_wrong_algorithm(monkeypatch, bug):
    monkeypatch.setattr(depth, "ngd_decaying", bug)
    assert violated(icl.THEOREMS["thm-inverse-root"])


def shrunk(theorem, factor):
    """The theorem with a bound that claims too much: its larger side times ``factor``."""
    return replace(
        theorem, sides=lambda i: (lambda s: s._replace(larger=factor * s.larger))(theorem.sides(i))
    )  # fmt: skip


@pytest.mark.parametrize("name", ["thm-descent", "thm-separation", "thm-attention-norm", "thm-direction"])
def test_a_tight_bound_cannot_claim_one_per_cent_more(name):
    assert violated(shrunk(icl.THEOREMS[name], 0.99))


LOOSE = {"thm-margin-rate": 0.2, "thm-support": 0.1, "thm-decaying": 0.2, "thm-inverse-root": 0.15}


@pytest.mark.parametrize(("name", "factor"), LOOSE.items())
def test_a_loose_bound_is_not_loose_without_end(name, factor):
    assert violated(shrunk(icl.THEOREMS[name], factor))


def with_gamma(theorem, factor):
    """The theorem with sides computed from a wrong margin, after its assumptions were checked with the right one."""
    return replace(
        theorem, sides=lambda i: theorem.sides(replace(i, context=replace(i.context, margin=factor * i.context.margin)))
    )


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("thm-descent", 1.01), ("thm-separation", 1.01), ("thm-attention-norm", 0.99), ("thm-direction", 1.01),
        ("thm-margin-rate", 2.0), ("thm-support", 0.5), ("thm-decaying", 2.0), ("thm-inverse-root", 2.0),
    ],
)  # fmt: skip
def test_a_wrong_margin_is_noticed(name, factor):
    """Upwards for lower bounds, downwards for upper ones. (A margin too small makes the direction bound weaker.)"""
    if name == "thm-direction":
        factor = 1 / factor
    assert violated(with_gamma(icl.THEOREMS[name], factor))


def without_log_n(monkeypatch):
    monkeypatch.setattr(depth, "_log_n", lambda i: torch.tensor(0.0, dtype=torch.float64))


@pytest.mark.parametrize("name", ["thm-separation", "thm-attention-norm", "thm-support"])
def test_the_price_of_many_tokens_cannot_be_left_out(monkeypatch, name):
    without_log_n(monkeypatch)
    assert violated(icl.THEOREMS[name])


@pytest.mark.parametrize("name", ["thm-descent", "thm-separation"])
@pytest.mark.parametrize(
    "rate",
    [
        lambda i: 1.01 * i.relative_step * (i.context.margin / i.context.radius) ** 2,
        lambda i: i.relative_step * (1 - i.relative_step / 2) * i.context.margin / i.context.radius,
    ],
    ids=["more than c gamma^2", "gamma for gamma^2"],
)
def test_descent_is_not_faster_than_it_is(monkeypatch, name, rate):
    """(That c gamma^2 itself, without the factor 1 - c/2, is not refuted here is no accident: see the margin rate.)"""
    monkeypatch.setattr(depth, "_rate", rate)
    assert violated(icl.THEOREMS[name])


@pytest.mark.parametrize("name", ["thm-attention-norm", "thm-support"])
def test_attention_that_stays_uniform_is_noticed(monkeypatch, name):
    monkeypatch.setattr(depth, "exponential_weights", lambda w, z: torch.ones_like(icl.margins(w, z)) / z.shape[1])
    assert violated(icl.THEOREMS[name])


@pytest.mark.parametrize("name", ["thm-attention-norm", "thm-support"])
def test_attention_on_the_largest_margin_is_noticed(monkeypatch, name):
    monkeypatch.setattr(depth, "exponential_weights", lambda w, z: icl.exponential_weights(-w, z))
    assert violated(icl.THEOREMS[name])


# The certificate


@pytest.mark.parametrize("bug", [half_as_far, one_step_late, still], ids=lambda f: f.__name__)
def test_the_certificate_notices_a_path_that_is_not_made_of_attention(monkeypatch, bug):
    """(Averaging is made of weights too, and uphill a sign changes no length: both certify just as well.)"""
    monkeypatch.setattr(depth, "ngd", bug)
    assert violated(icl.THEOREMS["thm-certificate"])


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_certificate_notices_a_wrong_margin(factor):
    """Too small, and a margin reached lies above it; too large, and it lies above a mean of the tokens."""
    assert violated(with_gamma(icl.THEOREMS["thm-certificate"], factor))


def test_weights_that_do_not_sum_to_one_certify_nothing(monkeypatch):
    right = icl.exponential_weights
    monkeypatch.setattr(depth, "exponential_weights", lambda w, z: 0.99 * right(w, z))
    assert violated(icl.THEOREMS["thm-certificate"])


# The loop of a learned layer


@pytest.mark.parametrize("bug", [ascending, averaging, half_as_far, one_step_late, still], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["thm-loop-error", "thm-loop-linear"])
def test_a_theorem_on_the_loop_notices_a_wrong_path(monkeypatch, name, bug):
    monkeypatch.setattr(loop, "ngd", bug)
    assert violated(icl.THEOREMS[name])


def preconditioner(change):
    """The theorem's C, made from blocks that ``change`` mistakes for others."""
    right = loop._preconditioner
    return lambda i: right(replace(i, flaws=change(i.flaws)))


MISTAKES = {
    "B A instead of A B": lambda flaws: flaws.flip(0),
    "both transposed": lambda flaws: flaws.mT,
    "a perfect layer": torch.zeros_like,
    "the wrong sign": torch.neg,
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_the_preconditioner_is_this_product_and_no_other(monkeypatch, mistake):
    monkeypatch.setattr(loop, "_preconditioner", preconditioner(mistake))
    assert violated(icl.THEOREMS["thm-preconditioner"])


@pytest.mark.parametrize("name", ["thm-loop-error", "thm-loop-linear", "thm-loop-margin"])
def test_a_bound_on_the_loop_cannot_claim_one_per_cent_more(name):
    assert violated(shrunk(icl.THEOREMS[name], 0.99))


def test_the_margin_of_a_learned_layer_needs_its_log_n():
    """Without log n the bound would be that of a single token."""
    theorem = icl.THEOREMS["thm-loop-margin"]

    def sides(i):
        s = theorem.sides(i)
        return s._replace(larger=s.larger - torch.tensor(i.context.z.shape[1]).log())

    assert violated(replace(theorem, sides=sides))


def test_a_layer_too_far_off_is_refused():
    """The margin theorem needs a C whose symmetric part is positive and below 1/R^2."""
    theorem = icl.THEOREMS["thm-loop-margin"]
    for flaws in (torch.tensor([0.0, -1.1]), torch.tensor([0.0, 1.1])):
        instance = theorem.given(torch.tensor([[[3.0, 4.0]]], dtype=torch.float64), 0.5)
        blocks = flaws[:, None, None] * torch.eye(2, dtype=torch.float64)
        with pytest.raises(icl.BadInput, match="flaws: got .*, expected below 1, above 0"):
            theorem.check(replace(instance, flaws=blocks))


# Momentum


def with_carry(beta, grow=lambda t: 1.0):
    """NGD with another carry ``beta(t)``, or with steps that grow without one."""

    def path(z, step, steps, w0=None):
        w = torch.zeros_like(z[:, 0]) if w0 is None else w0
        v, out, step = torch.zeros_like(w), [w], torch.as_tensor(step).to(z).reshape(-1, 1)
        for t in range(steps):
            g = torch.einsum("bn,bnd->bd", icl.exponential_weights(w, z), z)
            v = beta(t) * (v + g)
            w = w + step * grow(t) * (v + g)
            out.append(w)
        return torch.stack(out)

    return path


def momentum_ascending(z, step, steps, w0=None):
    return -icl.momentum_ngd(z, step, steps, w0)


MOMENTUM_BUGS = {
    "uphill": momentum_ascending,
    "the mean of the tokens": averaging,
    "no carry": icl.ngd,
    "a carry that does not depend on the depth": with_carry(lambda t: 0.9),
    "the carry's sign": with_carry(lambda t: -t / (t + 1)),
    "steps that grow, no carry": with_carry(lambda t: 0.0, lambda t: (t + 2) / 2),
}


@pytest.mark.parametrize("bug", MOMENTUM_BUGS.values(), ids=MOMENTUM_BUGS.keys())
def test_the_theorem_on_momentum_notices_another_algorithm(monkeypatch, bug):
    monkeypatch.setattr(acceleration, "momentum_ngd", bug)
    assert violated(icl.THEOREMS["thm-momentum"])


@pytest.mark.parametrize("bug", [momentum_ascending, averaging, icl.ngd, still], ids=lambda f: f.__name__)
def test_the_theorem_on_the_velocity_notices_another_algorithm(monkeypatch, bug):
    monkeypatch.setattr(acceleration, "momentum_ngd", bug)
    assert violated(icl.THEOREMS["thm-velocity"])


@pytest.mark.parametrize(("name", "factor"), [("thm-momentum", 0.7), ("thm-velocity", 0.99)])
def test_the_bounds_on_momentum_cannot_claim_much_more(name, factor):
    assert violated(shrunk(icl.THEOREMS[name], factor))


@pytest.mark.parametrize(("name", "factor"), [("thm-momentum", 1.5), ("thm-velocity", 0.99)])
def test_momentum_notices_a_wrong_margin(name, factor):
    assert violated(with_gamma(icl.THEOREMS[name], factor))


@pytest.mark.parametrize("name", ["thm-momentum", "thm-velocity"])
def test_momentum_pays_for_many_tokens(monkeypatch, name):
    monkeypatch.setattr(acceleration, "_log_n", lambda i: torch.tensor(0.0, dtype=torch.float64))
    assert violated(icl.THEOREMS[name])


def test_the_velocity_is_a_mean_with_these_weights(monkeypatch):
    """Even weights over the depths would keep the early, long outputs for too long."""
    theorem = icl.THEOREMS["thm-velocity"]

    def sides(i):
        s, path = theorem.sides(i), icl.momentum_ngd(i.context.z, i.step, i.steps)[1:]
        read = torch.einsum("tbn,bnd->tbd", icl.exponential_weights(path, i.context.z), i.context.z)
        even = read.cumsum(0) / torch.arange(1, i.steps + 1).to(read)[:, None, None]
        return s._replace(smaller=(even / i.context.radius[:, None]).square().sum(-1))

    assert violated(replace(theorem, sides=sides))


# Regression


def linear_layer(**changes):
    """The maker of least-squares layers, with its matrices changed."""

    def make(d, step, preconditioner=None):
        layer = icl.least_squares_layer(d, step, preconditioner)
        for name, change in changes.items():
            matrix = getattr(layer, name)
            matrix.data = change(matrix.data)
        return layer

    return make


LINEAR_BUGS = {
    "the sign of the scores": {"score": lambda m: -m},
    "the sign of the values": {"value": lambda m: -m},
    "no residual: the labels themselves": {"score": lambda m: m * (m > 0)},
    "a step off by 1e-9": {"value": lambda m: m * (1 + 1e-9)},
    "a score off by 1e-9": {"score": lambda m: m * (1 + 1e-9)},
}


@pytest.mark.parametrize("bug", LINEAR_BUGS.values(), ids=LINEAR_BUGS.keys())
@pytest.mark.parametrize("name", ["thm-linear-head", "thm-one-step-error"])
def test_a_theorem_on_regression_notices_a_wrong_head(monkeypatch, name, bug):
    if name == "thm-one-step-error":  # from 0 on the residual is the label, and the fast path has no score matrix
        bug = {"value": bug["value"]} if "value" in bug else {"value": lambda m: m * (1 + 1e-9)}
    monkeypatch.setattr(regression, "least_squares_layer", linear_layer(**bug))
    assert violated(icl.THEOREMS[name])


@pytest.mark.parametrize("factor", [-1.0, 1 + 1e-9, 0.5])
def test_the_theorem_on_many_steps_notices_a_wrong_step(monkeypatch, factor):
    monkeypatch.setattr(regression, "least_squares_layer", linear_layer(value=lambda m: factor * m))
    assert violated(icl.THEOREMS["thm-residual-steps"])


RIGHT_FEATURES = regression.orthonormal


@pytest.mark.parametrize("atoms", [lambda z: z[:, : regression.ATOMS], lambda z: 2 * RIGHT_FEATURES(z)])
def test_the_error_of_one_step_needs_orthonormal_features(monkeypatch, atoms):
    monkeypatch.setattr(regression, "orthonormal", atoms)
    assert violated(icl.THEOREMS["thm-one-step-error"])


WHITENING_BUGS = {
    "a value of -0.4 u": lambda layer: layer.value.data.mul_(0.8),
    "no carry": lambda layer: layer.carry.data.mul_(0.0),
    "a carry off by 1e-9": lambda layer: layer.carry.data.mul_(1 + 1e-9),
    "the sign of the scores": lambda layer: layer.score.data.neg_(),
    "context not written": lambda layer: setattr(layer, "writes", "state"),
}


@pytest.mark.parametrize("bug", WHITENING_BUGS.values(), ids=WHITENING_BUGS.keys())
def test_newton_schulz_notices_another_iteration(monkeypatch, bug):
    def make(d, scale=1.0):
        layer = icl.newton_schulz_layer(d, scale)
        bug(layer)
        return layer

    monkeypatch.setattr(regression, "newton_schulz_layer", make)
    assert violated(icl.THEOREMS["thm-newton-schulz"])


def test_newton_schulz_is_not_cubic_in_what_is_missing():
    """The square cannot be claimed to be a power of 2.1."""
    theorem = icl.THEOREMS["thm-newton-schulz"]

    def sides(i):
        s = theorem.sides(i)
        return s._replace(larger=s.larger**1.05)

    assert violated(replace(theorem, sides=sides))


def kesler_with(codes):
    """Kesler's tokens with other codes: a function of e_{y_i} [B, n, 1, K] and e_c [K, K]; all c, the own one too."""

    def make(x, y, K):
        unit = torch.eye(K).to(x)
        z = torch.einsum("bnck,bnd->bnckd", codes(unit[y][:, :, None], unit), x).flatten(3)
        rivals = (torch.arange(K) != y[..., None])[..., None].expand(z.shape)
        z = z[rivals].view(len(x), -1, z.shape[-1])
        return icl.Prompts(z, torch.ones_like(z[..., 0]))

    return make


def own_class_kept(x, y, K):
    right = icl.kesler_prompts(x, y, K)
    z = torch.cat([right.z, torch.zeros_like(right.z[:, : x.shape[1]])], 1)  # a point against its own class
    return icl.Prompts(z, torch.ones_like(z[..., 0]))


def one_rival_missing(x, y, K):
    right = icl.kesler_prompts(x, y, K)
    return icl.Prompts(right.z[:, 1:], right.y[:, 1:]) if right.z.shape[1] > 1 else right


KESLER_BUGS = {
    "the sign": kesler_with(lambda own, rival: rival - own),
    "a plus between the classes": kesler_with(lambda own, rival: own + rival),
    "no rival": kesler_with(lambda own, rival: own + 0 * rival),
    "all rivals at once": kesler_with(lambda own, rival: own - (1 - own) / (rival.shape[-1] - 1) + 0 * rival),
    "tokens of length one": kesler_with(lambda own, rival: (own - rival) / 2**0.5),
    "the own class kept": own_class_kept,
    "one rival missing": one_rival_missing,
}


def test_the_planted_tokens_differ_from_the_right_ones_by_their_bug_only(monkeypatch):
    monkeypatch.setattr(classes, "kesler_prompts", kesler_with(lambda own, rival: own - rival))
    assert not violated(icl.THEOREMS["thm-kesler"])


@pytest.mark.parametrize("bug", KESLER_BUGS.values(), ids=KESLER_BUGS.keys())
def test_the_theorem_on_many_classes_notices_other_tokens(monkeypatch, bug):
    monkeypatch.setattr(classes, "kesler_prompts", bug)
    assert violated(icl.THEOREMS["thm-kesler"])


@pytest.mark.parametrize("bug", ["the sign of the scores", "a step off by 1e-9", "the mask"])
def test_the_theorem_on_many_classes_notices_a_wrong_layer(monkeypatch, bug):
    monkeypatch.setattr(classes, "ngd_layer", wrong(icl.ngd_layer, **LAYER_BUGS[bug]))
    assert violated(icl.THEOREMS["thm-kesler"])
