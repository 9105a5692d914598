"""The audit: every slip has a size, all of them corrected is the principled accounting, and the text says so."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from functools import cache

import pytest
from conftest import Outcome
from studies import STUDY, bench

from fusemap.diagnostics import InputError
from fusemap.sim.accounting import PRINCIPLED
from fusemap.validation.accounting import accounting
from fusemap.validation.audit import QUANTITIES, Audit, Finding, audit
from fusemap.validation.reproduce import Claim, accountings, claims
from fusemap.validation.study import Study
from fusemap.validation.tables_audit import changed, matrix, size_sentence, what_if_sentences

Run = Callable[..., Outcome]
SLIPS = tuple(STUDY.model.slips)
FLAT_ENERGY = "attention energy relative to FLAT"
UNFUSED_ENERGY = "attention energy relative to unfused"
SPEED_UP = "attention speed-up over FLAT"


@cache
def found() -> Audit:
    """The audit of the study."""
    return audit(bench())


def finding(name: str, findings: tuple[Finding, ...] | None = None) -> Finding:
    """A finding by name; of a slip alone unless others are given."""
    return next(f for f in (findings or found().slips) if f.name == name)


def value(of: tuple[Claim, ...], claim: str) -> float:
    return next(c.computed for c in of if c.claim == claim)


def size(of: Finding, configuration: str, quantity: str = "energy_pj") -> float:
    """The largest relative change, 0 where there is none."""
    return next((s.change for s in of.sizes if (s.configuration, s.quantity) == (configuration, quantity)), 0.0)


# --- all slips together ---------------------------------------------------------------------------


def test_every_slip_corrected_is_the_principled_accounting() -> None:
    last = found().cumulative[-1].claims
    assert [c.claim for c in last] == [c.claim for c in found().principled]
    for corrected, principled in zip(last, found().principled, strict=True):
        assert corrected.ratios == pytest.approx(principled.ratios, rel=1e-12)


def test_the_principled_claims_differ_from_the_published_ones() -> None:
    pairs = zip(found().published, found().principled, strict=True)
    differ = {before.claim for before, after in pairs if changed(after, before)}
    whole = {claim.replace("attention", "end-to-end") for claim in (FLAT_ENERGY, UNFUSED_ENERGY)}
    assert differ == {FLAT_ENERGY, UNFUSED_ENERGY, *whole, "share of 2D-array multiply-accumulates in the energy"}


def test_a_slip_left_out_is_noticed() -> None:
    slips = {n: s for n, s in STUDY.model.slips.items() if n != "overflow"}
    partial = dataclasses.replace(STUDY, model=STUDY.model.model_copy(update={"slips": slips}))
    switched = accountings(partial, "published")
    rows = claims(STUDY, bench().rows(switched))
    assert value(rows, FLAT_ENERGY) != pytest.approx(value(found().published, FLAT_ENERGY), rel=1e-3)


def test_the_cumulative_corrections_start_from_the_published_claims_and_follow_one_another() -> None:
    assert [f.name for f in found().cumulative] == list(SLIPS)
    base = found().published
    for step in found().cumulative:
        assert [c.ratios for c in step.base] == [c.ratios for c in base]
        base = step.claims
    assert [c.ratios for c in found().cumulative[0].claims] == [c.ratios for c in found().slips[0].claims]


# --- each slip, against what is known of it -------------------------------------------------------


@pytest.mark.parametrize("slip", SLIPS)
def test_every_slip_has_a_title_a_text_and_a_size(slip: str) -> None:
    one = finding(slip)
    assert one.title and one.what.endswith(".")
    assert one.sizes, f"{slip} changes nothing"
    concerned = STUDY.model.slips[slip].dataflows
    dataflows = {STUDY.model.parts[s.configuration].dataflow for s in one.sizes}
    assert concerned is None or dataflows <= set(concerned)
    assert {s.quantity for s in one.sizes} <= set(QUANTITIES)


@pytest.mark.parametrize(
    ("slip", "configuration", "percent"),
    [  # sizes measured on the published tables by other means
        ("overflow", "flat", 2.9),
        ("overflow", "cascade", 7.1),
        ("overflow", "binding", 0.5),
        ("exp-energy-dropped", "cascade", 3.5),
    ],
)
def test_sizes_that_are_known(slip: str, configuration: str, percent: float) -> None:
    assert round(abs(size(finding(slip), configuration)) * 100, 1) == percent


def test_slips_of_energy_leave_the_latency_alone() -> None:
    for name in ("one-register-file", "overflow", "exp-energy-dropped", "projections", "spill-charged-twice"):
        assert {s.quantity for s in finding(name).sizes} == {"energy_pj"}
    assert {s.quantity for s in finding("exp-two-cycles").sizes} == {"latency_s"}


def test_a_size_is_the_largest_change_and_says_where_it_is() -> None:
    one = finding("overflow")
    (flat,) = [s for s in one.sizes if s.configuration == "flat"]
    without = {c: accounting("published", m.dataflow, without=["overflow"]) for c, m in parts().items()}
    before = {(r.model, r.seq_len): r.report.energy_pj for r in bench().rows(accountings(STUDY, "published")) if of(r)}
    after = {(r.model, r.seq_len): r.report.energy_pj for r in bench().rows(without) if of(r)}
    changes = {w: after[w] / before[w] - 1 for w in before}
    assert flat.change == changes[flat.model, flat.seq_len]
    assert abs(flat.change) == max(map(abs, changes.values()))
    assert all(change == 0 for (_, seq_len), change in changes.items() if seq_len < 1 << 16)


def parts() -> dict[str, object]:
    return dict(STUDY.model.configurations)


def of(row: object, configuration: str = "flat") -> bool:
    return getattr(row, "configuration", "") == configuration


# --- register files -------------------------------------------------------------------------------


def test_idle_register_files_make_the_difference() -> None:
    idle_too = finding("every-register-file", found().what_if)
    assert value(idle_too.claims, FLAT_ENERGY) == pytest.approx(0.59, abs=0.005)
    assert value(idle_too.base, FLAT_ENERGY) == pytest.approx(0.878, abs=5e-4)
    assert value(found().principled, FLAT_ENERGY) == pytest.approx(0.824, abs=5e-4)
    assert value(finding("overflow", found().cumulative).claims, FLAT_ENERGY) == value(idle_too.base, FLAT_ENERGY)
    shares = found().elements_in_use["array_2d"]
    assert shares["flat"] < 0.5 and all(share == 1 for c, share in shares.items() if c != "flat")


def test_the_text_makes_it_plain_from_the_computed_values() -> None:
    sentences = " ".join(what_if_sentences(found(), finding("every-register-file", found().what_if)))
    assert f"{FLAT_ENERGY}: 0.590 with it, 0.878 without" in sentences
    assert "one-register-file and overflow corrected in both" in sentences
    assert "0.824 with every slip corrected" in sentences
    assert "while array_2d works, FLAT uses 42 % of its processing elements, the others all" in sentences
    planted = dataclasses.replace(found(), elements_in_use={"array_2d": {"flat": 0.123, "binding": 1.0}})
    assert "FLAT uses 12 %" in " ".join(what_if_sentences(planted, planted.what_if[0]))


# --- what-ifs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "speed_up"), [("flat-exp-seven-cycles", 15.9), ("flat-exp-two-cycles", 8.0)])
def test_the_exponential_on_flat(name: str, speed_up: float) -> None:
    one = finding(name, found().what_if)
    assert round(value(one.claims, SPEED_UP), 1) == speed_up
    assert [c.ratios for c in one.base] == [c.ratios for c in found().published]
    assert size(one, "flat", "latency_s") > 0.1 and size(one, "unfused", "latency_s") == 0


# --- accountings by name --------------------------------------------------------------------------


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_switched_off_by_name(slip: str) -> None:
    for configuration in STUDY.model.configurations.values():
        concerned = STUDY.model.slips[slip].dataflows
        same = accounting("published", configuration.dataflow) == accounting(
            "published", configuration.dataflow, without=[slip]
        )
        assert same == (concerned is not None and configuration.dataflow not in concerned)


def test_names_of_accountings() -> None:
    assert accounting("principled", "flat") == PRINCIPLED
    with pytest.raises(InputError, match=r"unknown accounting publishd\n  did you mean published"):
        accounting("publishd", "flat")
    with pytest.raises(InputError, match=r"unknown slip overflw\n  did you mean overflow"):
        accounting("published", "flat", without=["overflw"])
    with pytest.raises(InputError, match="principled has none"):
        accounting("principled", "flat", without=["overflow"])


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use the audit that is there already."""
    monkeypatch.setattr("fusemap.cli.audit.load_bench", lambda study: bench())


@pytest.mark.usefixtures("remembered")
def test_the_text_shows_every_slip_what_if_and_limit_in_100_columns(fusemap: Run) -> None:
    outcome = fusemap("audit", "fusemax")
    assert (outcome.code, outcome.err) == (0, "")
    assert max(map(len, outcome.out.splitlines())) <= 100
    text = " ".join(outcome.out.split())
    for name, slip in {**STUDY.model.slips, **STUDY.model.what_if}.items():
        assert f"{name}: {slip.title}. {' '.join(slip.what.split())}" in text
    for limit in STUDY.model.limits:
        assert " ".join(limit.split()) in text
    assert text.count("Largest change when corrected") == len(SLIPS)


@pytest.mark.usefixtures("remembered")
def test_json_holds_every_slip_and_its_claims(fusemap: Run) -> None:
    document = fusemap("audit", "fusemax", "--json").json()
    assert document["schema"] == "fusemap/audit/1"
    assert [s["id"] for s in document["slips"]] == [s["id"] for s in document["cumulative"]] == list(SLIPS)
    assert [s["id"] for s in document["what_if"]] == list(STUDY.model.what_if)
    assert document["limits"] == list(STUDY.model.limits)
    for one in (*document["slips"], *document["cumulative"], *document["what_if"]):
        assert one.keys() >= {"title", "what", "sizes", "claims"}
        assert all(c.keys() >= {"claim", "before", "computed", "mean"} for c in one["claims"])
        assert all(s.keys() >= {"configuration", "quantity", "largest_change"} for s in one["sizes"])
    for claim, last in zip(document["claims"], document["cumulative"][-1]["claims"], strict=True):
        assert claim["corrected"] == pytest.approx(last["computed"], rel=1e-12)


def test_the_matrix_marks_what_stays(study: Study = STUDY) -> None:
    table = matrix(found(), found().slips)
    assert table.headers == ("", *(c.short for c in study.model.claims if not c.end_to_end))
    assert [row[0] for row in table.rows] == ["published", *SLIPS]
    by_name = {row[0]: row[1:] for row in table.rows}
    assert by_name["exp-energy-dropped"] == (".",) * 6
    assert by_name["overflow"] == (".", ".", "0.794", "0.771", ".", ".")
    whole = {row[0]: row[1:] for row in matrix(found(), found().slips, end_to_end=True).rows}
    assert whole["overflow"] == (".", ".", "0.840", "0.824")
    assert whole["exp-energy-dropped"] == (".",) * 4


def test_a_finding_without_a_size_says_so() -> None:
    assert size_sentence(found(), ()) == ""


def test_an_unknown_study(fusemap: Run) -> None:
    outcome = fusemap("audit", "flat")
    assert (outcome.code, outcome.out) == (2, "")
    assert "unknown study flat" in outcome.err


def test_the_mean_of_a_share_is_its_least() -> None:
    claim = Claim(claim="share", pick="least", ratios=(0.9, 0.5))
    assert (claim.computed, claim.mean) == (0.5, "least")
    assert Claim(claim="c", pick="mean", ratios=(1.0, 4.0)).computed == statistics.fmean((1.0, 4.0))
