"""Statements about chance: their worlds know every error, their bounds hold, and false ones would be refuted."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup
from scipy import stats
from strategies import seeded

import icl_lib as icl
from icl_lib import reports, trials
from icl_lib.contexts import FAMILIES, separable
from icl_lib.theorems import Sample, Statistical, generalisation, realizable
from icl_lib.theorems.generalisation import consistent, leave_one_out_bound, vc_bound
from icl_lib.theorems.realizable import WORLDS

VC, LEAVE = icl.THEOREMS["thm-vc"], icl.THEOREMS["thm-leave-one-out"]
statements = pytest.mark.parametrize("theorem", [VC, LEAVE], ids=["vc", "leave-one-out"])
worlds = pytest.mark.parametrize("world", WORLDS)


# --- the worlds


@worlds
@pytest.mark.parametrize("away", [0.3, 3.0])
def test_the_error_of_a_world_is_what_counting_finds(world, away):
    d, count = 8, 100_000
    drawn = Sample.draw(world, 3, count, d, seeded(5))
    w = drawn.w_star + away * drawn.probe / d**0.5
    seen = (torch.einsum("bnd,bd->bn", drawn.z, w) <= 0).double().mean(-1)
    exact = drawn.error(w)
    assert (exact > 1e-4).any()
    assert ((seen - exact).abs() <= 5 * (exact * (1 - exact) / count).sqrt()).all()  # five standard errors


@worlds
def test_the_truth_never_errs_and_its_opposite_always_does(world):
    drawn = Sample.draw(world, 4, 9, 6, seeded(1))
    drawn.require(2)
    assert (drawn.error(drawn.w_star) == 0).all()
    torch.testing.assert_close(drawn.error(-3 * drawn.w_star), torch.ones(4).double(), rtol=0, atol=1e-6)


def test_the_boundary_counts_as_wrong():
    drawn = Sample.draw("axes", 2, 5, 8, seeded())
    w = drawn.w_star.clone()
    w[:, :2] = 0.0
    assert drawn.error(w).tolist() == [0.25, 0.25]


def test_without_a_push_the_quadrature_finds_the_angle(monkeypatch):
    monkeypatch.setattr(realizable, "PUSH", 0.0)
    angle = torch.tensor([0.05, 0.3, 1.0, math.pi / 2, 2.0, 3.0]).double()
    w, w_star = torch.stack([angle.cos(), angle.sin()], -1), torch.tensor([[1.0, 0.0]]).double().expand(6, -1)
    # 200 nodes resolve a step of width 0.05
    torch.testing.assert_close(WORLDS["pushed apart"].error(w, w_star), angle / math.pi, rtol=1e-7, atol=0)


# --- the statements


@statements
def test_a_statement_says_what_kind_it_is(theorem):
    assert isinstance(theorem, Statistical)
    assert (theorem.kind, theorem.delta) == {"thm-vc": ("high-probability", 0.05)}.get(
        theorem.id, ("expectation", None)
    )
    assert set(theorem.families) <= set(WORLDS)


@statements
def test_instances_are_realizable_and_come_from_the_generator_alone(theorem):
    before, sizes = torch.get_rng_state(), set()
    for seed in range(12):
        a, b = (theorem.instance(seeded(seed), 3) for _ in range(2))
        assert torch.equal(a.z, b.z)
        a.require(theorem.least_d)
        low, high = theorem.points
        assert low <= a.z.shape[1] <= high
        sizes.add((a.world, *a.z.shape))
        assert theorem.check(a).shape == (3,)
    assert len(sizes) > 8
    assert torch.equal(torch.get_rng_state(), before)


@statements
def test_slack_and_tightness_are_those_of_the_two_sides(theorem):
    drawn = theorem.instance(seeded(3), 5, "axes")
    smaller, larger, _ = theorem.sides(drawn)
    torch.testing.assert_close(theorem.check(drawn), larger - smaller, rtol=0, atol=2e-9)
    torch.testing.assert_close(theorem.tightness(drawn), smaller / larger)
    nothing = replace(theorem, sides=lambda s: theorem.sides(s)._replace(larger=larger * math.nan))
    assert (nothing.check(drawn) < 0).all()


@worlds
def test_classifiers_called_consistent_are_and_the_edge_is_the_worst_of_them(world):
    drawn = Sample.draw(world, 8, 40, 8, seeded(2))
    made = consistent(drawn)
    assert all((icl.margins(w, drawn.z) > 0).all() for w in made)
    best, edge, _ = (drawn.error(w).mean() for w in made)
    assert edge >= best  # it is looked for where errors are large


def test_the_loop_is_among_the_consistent_classifiers_once_it_has_separated_the_context():
    drawn = Sample.draw("gaussian", 8, 8, 8, seeded(2))
    best, _, loop = consistent(drawn)
    assert (icl.angle(best, loop) > 1e-6).sum() >= 4


def test_the_vc_bound_in_numbers():
    assert vc_bound(100, 2, 0.05) == pytest.approx(0.02 * (2 * math.log2(100 * math.e) + math.log2(40)))
    assert vc_bound(4, 2, 1.0) == pytest.approx(0.5 * (2 * math.log2(4 * math.e) + 1))
    assert vc_bound(4, 8, 0.5) == vc_bound(4, 9, 0.5) == vc_bound(4, 100, 0.5) == 0.5 * (8 + 2)  # vacuous
    errors = [vc_bound(n, 5) for n in (20, 40, 400, 4000)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 20])
def test_the_growth_term_is_at_least_the_sum_that_it_stands_for(d):
    """Sauer's lemma counts sum_{k <= d} C(2n, k) labelings of 2n points at most; d log2(2en/d) bounds its logarithm."""
    for n in range(1, 60):
        growth = vc_bound(n, d, 1.0) * n / 2 - 1
        assert math.log2(sum(math.comb(2 * n, k) for k in range(d + 1))) <= growth + 1e-9
        assert growth >= 1  # the proof needs it


def left_out(z, best):
    """For one context z [n, d]: which tokens are misjudged by the separator of the others."""
    wrong = []
    for p in range(len(z)):
        rest = torch.cat([z[:p], z[p + 1 :]])
        if best.dual[0, p] <= 0:
            continue  # not a support vector: the separator stays as it is
        v = icl.max_margin(rest[None]).direction[0]
        if float(v @ z[p]) <= -1e-9 * float(z[p].norm()):
            wrong.append(p)
    return wrong


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"one token", "one against many"}))
def test_leaving_one_out_goes_wrong_at_most_r_squared_over_gamma_squared_times(family):
    """The sure statement behind thm-leave-one-out, and its lemma: dual weight times ||z_p||^2 is 1 or more there."""
    seen = 0
    for seed in range(12):
        context = separable(family, 2, seeded(seed))
        for z in context.z:
            if len(z) < 2:
                continue
            best = icl.max_margin(z[None])
            wrong = left_out(z, best)
            seen += len(wrong)
            gamma = float(best.margin[0])
            assert len(wrong) <= (float(z.norm(dim=-1).max()) / gamma) ** 2 * (1 + 1e-6)
            for p in wrong:
                assert float(best.dual[0, p] * z[p].square().sum()) / gamma**2 >= 1 - 1e-6
    assert seen or family in ("duplicates", "one dimension", "collinear", "orthogonal")


def test_on_axes_both_sides_of_leave_one_out_are_known():
    """R = 1 and 1/gamma^2 is the number of different axes seen; a fresh axis that is not among them is an error."""
    d, n, count = 16, 12, 3000
    smaller, larger, _ = LEAVE.sides(Sample.draw("axes", count, n + 1, d, seeded(4)))
    unseen, different = (1 - 1 / d) ** n, d * (1 - (1 - 1 / d) ** (n + 1))
    for side, mean in ((smaller, unseen), (larger, different / (n + 1))):
        assert abs(float(side.mean()) - mean) < 5 * float(side.std()) / count**0.5
    assert (smaller > larger).any()  # one sample refutes nothing


def test_the_bound_of_leave_one_out_is_that_of_the_perceptron_by_the_number_of_tokens():
    z = torch.tensor([[[3.0, 4.0], [4.0, 3.0]]]).double()
    assert float(leave_one_out_bound(z)) == pytest.approx(25 / 24.5 / 2)


# --- what is refused


def test_samples_that_break_an_assumption_are_refused():
    drawn = VC.instance(seeded(), 2, "gaussian")
    for broken, name in (
        (replace(drawn, z=-drawn.z), "z: got .* on the wrong side"),
        (replace(drawn, z=drawn.z[:, :1]), "z: got 1 points"),
        (replace(drawn, z=drawn.z * math.nan), "z: got .* non-finite"),
        (replace(drawn, w_star=drawn.w_star[:1]), "w_star: got shape"),
        (replace(drawn, world="nowhere"), "world: got 'nowhere'"),
    ):
        for judge in (VC.check, VC.tightness):
            with pytest.raises(icl.BadInput, match=name):
                judge(broken)
    with pytest.raises(icl.BadInput, match="5 dimensions or more"):
        LEAVE.check(Sample.draw("gaussian", 1, 9, 4, seeded()))


def test_bad_arguments_are_refused():
    for call, name in (
        (lambda: VC.instance(seeded(), 0), "batch"),
        (lambda: VC.instance(None), "generator"),
        (lambda: LEAVE.instance(seeded(), 1, "heavy tails"), "family"),
        (lambda: vc_bound(0, 2), "n: got 0"),
        (lambda: vc_bound(5, 0), "d: got 0"),
        (lambda: vc_bound(5, 2, 0.0), "delta"),
        (lambda: vc_bound(5, 2, 1.5), "delta"),
        (lambda: replace(VC, kind="sure"), "kind"),
        (lambda: replace(VC, delta=None), "delta"),
        (lambda: replace(LEAVE, delta=0.1), "delta"),
        (lambda: trials.run(13, 0, [VC]), "instances"),
        (lambda: trials.run(100, -1, [VC]), "seed"),
    ):
        with pytest.raises(icl.BadInput, match=name):
            call()


# --- trials


@pytest.fixture(scope="module")
def rows():
    return trials.run(140, 3)


def test_no_statement_is_refuted(rows):
    assert [(row.theorem, row.world) for row in rows] == [(t.id, w) for t in (VC, LEAVE) for w in t.families]
    assert not any(row.refuted for row in rows)
    assert sum(row.instances for row in rows) == 280


def test_a_row_can_be_made_again_alone(rows):
    (row,) = (row for row in rows if (row.theorem, row.world) == (LEAVE.id, "corners"))
    alone = replace(LEAVE, families=("corners",))
    assert trials.run(row.instances, 3, [alone]) == [row]
    (other,) = trials.run(row.instances, 4, [alone])
    assert other.smaller != row.smaller


def claim(theorem, factor, *families):
    """The statement with its bound multiplied by ``factor``."""

    def sides(s):
        made = theorem.sides(s)
        return made._replace(larger=factor * made.larger)

    return replace(theorem, sides=sides, families=families or theorem.families)


def refuted(theorem, instances):
    return {row.world for row in trials.run(instances, 0, [theorem]) if row.refuted}


def test_bounds_that_are_too_small_are_refuted():
    assert refuted(claim(VC, 0.01, "gaussian", "corners"), 60) == {"gaussian", "corners"}
    assert refuted(claim(LEAVE, 0.5, "axes", "corners"), 800) == {"axes"}
    assert refuted(claim(LEAVE, -1.0, "axes", "corners"), 20) == {"axes", "corners"}


def test_a_classifier_that_is_not_consistent_refutes_the_vc_bound(monkeypatch):
    monkeypatch.setattr(generalisation, "consistent", lambda s: [-s.w_star])
    large = replace(VC, points=(290, 300), families=("gaussian", "sphere"))
    assert refuted(large, 20) == {"gaussian", "sphere"}


def row_of(delta=None, failures=0, instances=100, errors=0.0):
    return trials.Trial("thm-vc", "axes", 0, instances, delta, failures, *[0.5] * 6, errors)


def test_the_chance_of_a_result_is_that_of_a_statement_that_is_barely_true():
    for failures in (0, 3, 5, 12, 100):
        expected = stats.binom.sf(failures - 1, 100, 0.05)
        assert row_of(0.05, failures).chance == pytest.approx(expected, rel=1e-9)
    for errors in (-40.0, -4.0, -1.0, 0.0, 3.0):
        assert row_of(None, errors=errors).chance == pytest.approx(stats.norm.cdf(max(errors, -38)), rel=1e-9)
    assert [row_of(0.05, k).refuted for k in (5, 12, 13, 14)] == [False, False, False, True]
    assert [row_of(errors=e).refuted for e in (math.inf, 0.0, -3.0, -3.2, -math.inf)] == [False] * 3 + [True] * 2
    assert row_of(1.0, 100).chance == 1
    assert row_of(0.05, 7).rate == 0.07


def test_the_shipped_table_covers_the_statements_about_chance_and_refutes_none():
    table = trials.shipped()
    assert [(row.theorem, row.world) for row in table] == [(t.id, w) for t in trials.statements() for w in t.families]
    for theorem in trials.statements():
        own = [row for row in table if row.theorem == theorem.id]
        assert sum(row.instances for row in own) == 10_000
        assert {row.delta for row in own} == {theorem.delta}
        assert not any(row.refuted for row in own)
    assert all(row.smaller_low <= row.smaller <= row.smaller_high for row in table)
    assert all(row.larger_low <= row.larger <= row.larger_high for row in table)


def test_the_shipped_table_is_of_the_present_library():
    stored = next(row for row in trials.shipped() if (row.theorem, row.world) == (LEAVE.id, "sphere"))
    (fresh,) = trials.run(stored.instances, stored.seed, [replace(LEAVE, families=("sphere",))])
    assert fresh[:6] == stored[:6]
    assert fresh[6:] == pytest.approx(stored[6:], rel=0.01)  # three digits are kept


def test_the_command_writes_what_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trials, "THEOREMS", {LEAVE.id: LEAVE, "thm-scale": icl.THEOREMS["thm-scale"]})
    (tmp_path / "data").mkdir()
    out = tmp_path / "data" / "trials.csv"
    trials.main(["--instances", "24", "--seed", "1", "--out", str(out)])
    assert "thm-leave-one-out: refuted in no world" in capsys.readouterr().out
    with out.open(encoding="utf8") as file:
        assert {entry["delta"] for entry in csv.DictReader(file)} == {""}
    monkeypatch.setattr(reports, "files", lambda package: tmp_path)
    for seen, row in zip(trials.shipped(), trials.run(24, 1), strict=True):
        assert seen[:6] == row[:6]
        assert seen[6:] == pytest.approx(row[6:], rel=6e-3)


def test_the_table_says_for_each_kind_what_is_reported(rows):
    soup = BeautifulSoup(trials.table(rows), "html.parser")
    assert "20 to 24 samples a line" in soup.caption.text
    assert {cell["scope"] for cell in soup.find_all("th")} == {"row", "col"}
    body = [[cell.text for cell in line.find_all(["th", "td"])] for line in soup.tbody.find_all("tr")]
    assert len(body) == len(rows)
    assert {len(line) for line in body} == {len(soup.thead.find_all("th"))} == {7}
    assert [line[1] for line in body] == [row.world for row in rows]
    assert {tuple(line[2:4]) for line in body if line[0] == VC.title} == {("0.00%", "5%")}
    assert {tuple(line[2:4]) for line in body if line[0] == LEAVE.title} == {("\N{EN DASH}", "\N{EN DASH}")}
    assert {line[-1] for line in body} == {"no"}
    assert body[0][4] == f"{rows[0].smaller:.3g} [{rows[0].smaller_low:.3g}, {rows[0].smaller_high:.3g}]"
