"""The study recomputed: every published value within its tolerance, proof that this can fail, claims, command."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from studies import STUDY, bench, reproduced

from fusemap.archspec import load_arch, load_components, load_workload
from fusemap.cli.reproduce import failure_lines
from fusemap.diagnostics import InputError, input_error
from fusemap.einsum_cascade import load
from fusemap.sim.evaluate import evaluate
from fusemap.sim.report import PhaseTime, Report, StageTime
from fusemap.validation import reproduce as reproduce_module
from fusemap.validation import reproduction as reproduction_module
from fusemap.validation.accounting import with_slips
from fusemap.validation.figures import choose_figures
from fusemap.validation.published import Published, load_published
from fusemap.validation.reasons import busy, steps, waits
from fusemap.validation.reproduce import Bench, StudyRow, accountings, claims, compare, load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.study import ClaimModel
from fusemap.validation.tables import agreement_sentences, step_sentences

Run = Callable[..., Outcome]
VALUES = load_published(STUDY)
CONFIGURATIONS = ("unfused", "flat", "cascade", "arch", "binding")
LABELS = {c: m.label for c, m in STUDY.model.configurations.items()}


def found(accounting: str = "published") -> Reproduction:
    """The reproduction under an accounting."""
    return reproduced(accounting)


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use the reports that are there already."""
    monkeypatch.setattr("fusemap.cli.reproduce.load_bench", lambda study: bench())


def missed(rows: Iterable[StudyRow], values: Iterable[Published] = VALUES) -> list[str]:
    """The published quantities that rows do not meet."""
    return [c.published.quantity for c in compare(STUDY, rows, values) if not c.agrees]


# --- agreement, and that it can fail --------------------------------------------------------------


@pytest.mark.parametrize("configuration", sorted({v.configuration for v in VALUES} - {""}))
def test_every_published_value_is_met_within_its_tolerance(configuration: str) -> None:
    values = [v for v in VALUES if v.configuration == configuration]
    comparisons = compare(STUDY, found().rows, values, linear=found().linear, pareto=found().pareto)
    assert len(comparisons) == len(values) > 0
    assert [c for c in comparisons if not c.agrees] == []


def test_nothing_published_is_left_out() -> None:
    assert len(found().comparisons) == 936 + 144 + 168
    assert [len(rows) for rows in (found().rows, found().linear, found().whole, found().pareto)] == [120, 48, 120, 24]
    assert found().agrees and found().failures == ()


def test_where_the_published_search_missed_the_best_mapping_ours_moves_less() -> None:
    wide = [c for c in found().comparisons if c.published.note]
    assert {(c.published.configuration, c.published.seq_len) for c in wide} == {("unfused", 1 << 18)}
    assert all(c.relative_error < -1e-9 for c in wide if c.published.quantity == "traffic_bytes")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("index", range(0, 1248, 7))
def test_a_changed_published_value_is_noticed(index: int) -> None:
    value = [v for v in VALUES if v.configuration][index]
    planted = dataclasses.replace(value, value=value.value * (1 + 3 * value.tolerance))
    (comparison,) = compare(STUDY, found().rows, [planted], linear=found().linear, pareto=found().pareto)
    assert not comparison.agrees


@pytest.mark.parametrize("slip", STUDY.model.slips)
def test_without_a_slip_published_values_are_missed(slip: str) -> None:
    slips = {n: s for n, s in STUDY.model.slips.items() if n != slip}
    concerned = STUDY.model.slips[slip].dataflows
    for configuration, parts in STUDY.model.configurations.items():
        if configuration == "unfused" or (concerned is not None and parts.dataflow not in concerned):
            continue
        switched = {configuration: with_slips(reproduce_module.PRINCIPLED, slips, parts.dataflow, name="published")}
        assert missed(bench().rows(switched)), f"{slip} does not matter to {configuration}"


def prices() -> list[tuple[str, str, str]]:
    """(configuration, component, action) of every price that its energies use."""
    uses = set()
    for configuration in ("flat", "binding"):
        machine = bench().machine(configuration)
        for array in machine.arrays:
            uses |= {(configuration, a.component, a.action) for cost in array.operators for a in cost.actions}
    memories = [("hbm2", "read"), ("hbm2", "write"), ("register_file", "read"), ("register_file", "write")]
    return sorted(uses | {("flat", *memory) for memory in memories})


def missed_with(configuration: str, component: str, override: str, directory: Path) -> list[str]:
    """What BERT@64K misses when a component of the configuration's machine is changed."""
    parts = STUDY.model.configurations[configuration]
    file = directory / "changed.yaml"
    file.write_text(f"extends: {parts.arch}\ncomponents: {{{component}: {{source: planted, {override}}}}}\n")
    changed = Bench(study=STUDY, machines={parts.arch: load_arch(str(file))})
    return missed([changed.row(configuration, "BERT", "64K", accountings(STUDY, "published")[configuration])])


@pytest.mark.parametrize(("configuration", "component", "action"), prices())
def test_a_changed_unit_energy_is_noticed(configuration: str, component: str, action: str, tmp_path: Path) -> None:
    entry = next(e for e in load_components("45nm").entries if e.name == component)
    price = str(dict(entry.energies)[action].text).removesuffix(" pJ")
    for factor, quantities in ((1.0, []), (1.001, ["energy_pj"])):
        override = f'energy: {{{action}: "({price}) * {factor} pJ"}}'
        assert missed_with(configuration, component, override, tmp_path) == quantities


@pytest.mark.parametrize("action", ["read", "write"])
@pytest.mark.parametrize(("configuration", "size"), [("flat", "32 MiB"), ("binding", "16 MiB")])
def test_a_changed_energy_of_the_buffer_is_noticed(configuration: str, size: str, action: str, tmp_path: Path) -> None:
    key = f"{size.replace(' ', '')}_4096"
    override = f"sizes: {{{key}: {{capacity: {size}, width: 4096 bit, energy: {{{action}: 20000 pJ}}}}}}"
    assert missed_with(configuration, "sram", override, tmp_path) == ["energy_pj"]


def test_remembered_mappings_give_what_evaluating_anew_gives() -> None:
    for name in ("published", "principled"):
        for configuration, parts in STUDY.model.configurations.items():
            accounting = accountings(STUDY, name)[configuration]
            machine, dataflow = bench().machine(configuration), bench().dataflow(configuration)
            anew = evaluate(load(parts.cascade), machine, load_workload("T5@64K"), dataflow, accounting=accounting)
            assert bench().report(configuration, "T5@64K", accounting) == anew


# --- claims ---------------------------------------------------------------------------------------


def test_claims_are_the_published_ones_to_two_digits() -> None:
    assert [c.claim.claim for c in found().claims] == [c.claim for c in STUDY.model.claims]
    for result in found().claims:
        assert result.comparison is not None and result.comparison.agrees, result.claim.claim


def test_means_are_arithmetic_over_24_workloads_and_geometric_beside() -> None:
    speed_up = found().claims[0].claim
    published = {(v.configuration, v.model, v.seq_len): v.value for v in VALUES if v.quantity == "latency_s"}
    ratios = [published["flat", m, n] / t for (c, m, n), t in published.items() if c == "binding"]
    assert len(ratios) == len(speed_up.ratios) == 24
    assert speed_up.computed == pytest.approx(statistics.fmean(ratios), rel=1e-9)
    assert speed_up.geometric == pytest.approx(statistics.geometric_mean(ratios), rel=1e-9)


@pytest.mark.parametrize(("index", "geometric"), [(0, 6.46), (1, 9.70), (4, 4.60), (5, 6.56)])
def test_geometric_means(index: int, geometric: float) -> None:
    assert round(found().claims[index].claim.geometric, 2) == geometric


def test_the_sensitivity_stands_beside_every_ratio_to_flat() -> None:
    concerned = {c.claim.claim for c in found().claims if c.sensitive is not None}
    assert concerned == {c.claim for c in STUDY.model.claims if "flat" in c.configurations}
    for index, expected in ((0, 15.9), (4, 12.0)):
        speed_up = found().claims[index].sensitive
        assert speed_up is not None and round(speed_up.computed, 1) == expected


def test_a_claim_is_taken_over_the_workloads_that_were_evaluated() -> None:
    rows = [r for r in found().rows if (r.configuration, r.model) != ("flat", "XLM")]
    by_name = {c.claim: c for c in claims(STUDY, rows)}
    assert len(by_name["attention speed-up over FLAT"].ratios) == 18
    assert len(by_name["attention speed-up over unfused"].ratios) == 24
    without = {c.claim for c in claims(STUDY, [r for r in rows if r.configuration != "flat"])}
    attention = [c for c in STUDY.model.claims if not c.end_to_end]
    assert without == {c.claim for c in attention if "flat" not in c.configurations}


def test_a_claim_has_one_form() -> None:
    with pytest.raises(ValueError, match="numerator and denominator"):
        ClaimModel(claim="c", short="c", numerator="flat")
    with pytest.raises(ValueError, match="a claim end to end is a ratio"):
        ClaimModel(claim="c", short="c", end_to_end=True, metric="area_um2", numerator="flat", denominator="arch")


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize("accounting", ["published", "principled"])
def test_what_bounds_the_time_adds_up_to_all_of_it(accounting: str) -> None:
    for row in found(accounting).rows:
        assert sum(waits(row.report).values()) == pytest.approx(1.0, rel=1e-12)
        assert all(0 <= share <= 1 + 1e-12 for share in busy(row.report).values())


def report_of(*phases: PhaseTime) -> Report:
    """A report of these phases at 1 Hz."""
    return Report(
        cascade="c",
        arch="a",
        workload="w",
        dataflow="d",
        accounting="principled",
        clock_hz=1.0,
        traffic_bytes=0.0,
        area_um2=0.0,
        rows=(),
        phases=phases,
        einsums=(),
    )


def stage(stalls: int = 0, **cycles: int) -> StageTime:
    return StageTime(name="s", busy_cycles=tuple(cycles.items()), stall_cycles=stalls, stalls=())


def phase(*stages: StageTime, memory_s: float = 0.0) -> PhaseTime:
    compute_s = float(sum(s.cycles for s in stages))
    return PhaseTime(name="p", stages=stages, compute_s=compute_s, memory_s=memory_s, memory="dram")


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([phase(stage(x=3, y=1))], {"x": 1.0}),
        ([phase(stage(x=3, y=3), stage(y=1))], {"x and y": 0.75, "y": 0.25}),
        ([phase(stage(x=1, stalls=3))], {"x": 0.25, "stalls": 0.75}),
        ([phase(stage(x=1)), phase(stage(x=1), memory_s=3.0)], {"x": 0.25, "dram": 0.75}),
    ],
)
def test_a_stage_waits_for_its_longest_arrays_and_a_phase_for_its_memory(
    phases: list[PhaseTime], expected: dict[str, float]
) -> None:
    assert waits(report_of(*phases)) == expected


def test_reasons_of_each_step() -> None:
    by_name = {s.configuration: s for s in found().steps}
    assert [s.previous for s in found().steps] == [None, *CONFIGURATIONS[:-1]]
    changes = {name: "; ".join(step.changes) for name, step in by_name.items()}
    assert changes["unfused"] == ""
    assert "3 phases one after another become 1" in changes["flat"]
    assert "runs on" not in changes["flat"], "the unfused baseline has the same machine"
    assert "attention-1pass instead of attention-3pass" in changes["cascade"]
    assert "LM, SLN and SLD on array_2d instead of array_1d" in changes["arch"]
    assert "stalls 0 % -> 52 % (the column maxima drain" in changes["arch"]
    assert "RNV runs in stage scores instead of values" in changes["binding"]
    assert [w.resource for w in by_name["flat"].waits] == ["array_1d", "dram"]
    assert by_name["flat"].waits[1].lengths == (1 << 18, 1 << 20)


def test_reasons_are_computed_from_the_reports() -> None:
    changed = [r for r in found().rows if r.configuration != "flat"]
    sentences = [step_sentences(s, LABELS) for s in steps(bench(), changed)]
    assert [s.partition(":")[0] for s in sentences] == ["Unfused", "+Cascade", "+Architecture", "+Binding"]
    assert "the energy of Unfused" in sentences[1]
    slower = [s for s in steps(bench(), [*found().sensitive_rows]) if s.configuration == "flat"]
    assert step_sentences(slower[0], LABELS) != step_sentences(found().steps[1], LABELS)


# --- the command ----------------------------------------------------------------------------------


TOTALS = ("configuration", "seq_len", "latency_s", "energy_pj")
FIELDS = {
    "attention": (*TOTALS, "traffic_bytes", "util_2d", "util_1d"),
    "linear": (*TOTALS, "traffic_bytes"),
    "end_to_end": TOTALS,
    "pareto": ("pe", "traffic_bytes", "latency_s", "area_um2", "array_2d_area_um2"),
}


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("accounting", ["published", "principled"])
def test_json_holds_the_contract(accounting: str, fusemap: Run) -> None:
    outcome = fusemap("reproduce", "fusemax", "--json", "--accounting", accounting)
    document = outcome.json()
    assert (outcome.code, outcome.err) == (0, "")
    assert next(iter(document)) == "schema" and document["schema"] == "fusemap/reproduce/1"
    assert document["accounting"] == accounting
    rows = {name: [row for row in document["rows"] if row["study"] == name] for name in FIELDS}
    assert {name: len(found) for name, found in rows.items()} == {
        "attention": 120,
        "linear": 48,
        "end_to_end": 120,
        "pareto": 24,
    }
    assert sum(map(len, rows.values())) == len(document["rows"])
    for name, fields in FIELDS.items():
        for row in rows[name]:
            assert row.keys() >= {"study", "model", *fields}
            assert all(type(row[field]) is int for field in ("seq_len", "pe") if field in row)
    for name in ("attention", "end_to_end"):
        assert [c for c in CONFIGURATIONS for _ in range(24)] == [row["configuration"] for row in rows[name]]
    assert {row["configuration"] for row in rows["linear"]} == {"32MiB", "16MiB"}
    for claim in document["claims"]:
        assert claim.keys() >= {"claim", "published", "computed", "mean", "geometric", "sensitivity"}
    assert [c["published"] for c in document["claims"]] == [6.7, 10, 0.79, 0.77, 5.3, 7.6, 0.83, 0.82, 0.95, 0.936]
    assert document["agreement"]["values"] == 1248
    assert (document["agreement"]["within_tolerance"] == 1248) == (accounting == "published")


@pytest.mark.usefixtures("remembered")
def test_json_draws_only_where_it_is_told_to(fusemap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fusemap("reproduce", "fusemax", "--json")
    assert list(tmp_path.iterdir()) == []
    document = fusemap("reproduce", "fusemax", "--json", "--figure", "9", "--out", "to/here").json()
    assert [f["figure"] for f in document["figures"]] == ["9"] and len(document["figures"][0]["points"]) == 120
    drawn = sorted(p.name for p in (tmp_path / "to/here").iterdir())
    assert drawn == ["figure-9.csv", "figure-9.pdf", "figure-9.png"]


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize(
    ("figure", "line"),
    [
        ("10", "XLM 1M 1.000 1.31 1.24 2.45 5.95"),
        ("11", "T5 1K 1.000 0.985 0.956 0.905 0.905"),
        ("12", "BERT 16 5.44123e+06 30266.7"),
    ],
)
def test_the_figures_of_the_whole_and_of_the_areas(figure: str, line: str, fusemap: Run, tmp_path: Path) -> None:
    outcome = fusemap("reproduce", "fusemax", "--figure", figure, "--out", str(tmp_path))
    assert (outcome.code, outcome.err) == (0, "")
    shown = [" ".join(row.split()) for row in outcome.out.splitlines()]
    assert any(row.startswith(line) for row in shown), outcome.out
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"figure-{figure}.{end}" for end in ("csv", "pdf", "png")]


def test_a_figure_that_is_not_modelled_says_so() -> None:
    planted = STUDY.model.model_copy(update={"not_modelled": {"99": "a figure of later"}})
    with pytest.raises(InputError, match=r"figure 99 \(a figure of later\) is not modelled yet\n.* 6a, 6b, 7, 8, 9"):
        choose_figures(dataclasses.replace(STUDY, model=planted), "99")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--figure", "6"], "did you mean 6b?"),
        (["--figure", "13"], "unknown figure 13"),
        (["--accounting", "principle"], "'published', 'principled'"),
    ],
)
def test_wrong_options(argv: list[str], message: str, fusemap: Run) -> None:
    outcome = fusemap("reproduce", "fusemax", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_an_unknown_study(fusemap: Run) -> None:
    outcome = fusemap("reproduce", "fusemaxx")
    assert (outcome.code, outcome.err) == (2, "error: unknown study fusemaxx\n  did you mean fusemax?\n")


@pytest.mark.usefixtures("remembered")
def test_a_directory_that_cannot_be_made_is_wrong_input(fusemap: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = fusemap("reproduce", "fusemax", "--figure", "9", "--out", str(tmp_path / "file/here"))
    assert outcome.code == 2
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1


@pytest.mark.usefixtures("remembered")
def test_the_text_names_claims_reasons_and_agreement(
    fusemap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fusemap("reproduce", "fusemax", "--figure", "8", "--accounting", "principled")
    assert (outcome.code, outcome.err) == (0, "")
    assert "accounting: principled" in outcome.out and "Figure 8: speed-up over unfused" in outcome.out
    assert (tmp_path / "out/fusemax/figure-8.png").exists()
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_rows_that_fail_lose_no_others(fusemap: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reproduce_module.plan

    def failing(cascade: Any, machine: Any, workload: Any, dataflow: Any, **options: Any) -> Any:
        if (workload.name, dataflow.name) == ("BERT@4K", "flat"):
            raise input_error("planted fault")
        if workload.name == "XLM@1M" and dataflow.name == "unfused":
            raise ZeroDivisionError("planted zero")
        return real(cascade, machine, workload, dataflow, **options)

    monkeypatch.setattr(reproduce_module, "plan", failing)
    outcome = fusemap("reproduce", "fusemax", "--json")
    document = outcome.json()
    assert outcome.code == 1
    assert [sum(r["study"] == name for r in document["rows"]) for name in FIELDS] == [118, 48, 118, 24]
    assert [(f["configuration"], f["model"], f["length"]) for f in document["failures"]] == [
        ("unfused", "XLM", "1M"),
        ("flat", "BERT", "4K"),
    ]
    assert outcome.err.splitlines() == [
        "not evaluated: unfused on XLM@1M",
        "  internal error: ZeroDivisionError: planted zero",
        "not evaluated: flat on BERT@4K",
        "  error: planted fault",
    ]
    assert all(c["computed"] for c in document["claims"])


def test_a_machine_that_does_not_load_loses_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str) -> Any:
        if name == "fusemax-cloud":
            raise input_error("planted fault")
        return load_arch(name)

    monkeypatch.setattr(reproduce_module, "load_arch", failing)
    broken = reproduce(load_bench(STUDY), "published")
    assert {r.configuration for r in broken.rows} == {"unfused", "flat", "cascade"}
    assert len(broken.failures) == 48 and not broken.agrees
    assert broken.disagreements == ()
    assert [s.configuration for s in broken.steps] == ["unfused", "flat", "cascade"]
    assert any("have no computed row" in s for s in agreement_sentences(broken))
    (text,) = failure_lines(broken.failures)
    assert text == (
        "not evaluated: arch on BERT@1K, arch on BERT@4K, arch on BERT@16K and 45 more\n  error: planted fault"
    )


def test_when_nothing_can_be_evaluated_the_report_says_so(
    fusemap: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(*arguments: Any, **options: Any) -> Report:
        raise input_error("planted fault")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce_module, "plan", failing)
    outcome = fusemap("reproduce", "fusemax")
    assert outcome.code == 1
    assert "No configuration could be evaluated." in outcome.out and "drawn" not in outcome.out
    assert outcome.err.count("planted fault") == 1


def test_a_bench_raises_what_one_row_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str) -> Any:
        raise input_error("planted fault")

    monkeypatch.setattr(reproduce_module, "load_arch", failing)
    with pytest.raises(InputError, match="planted fault"):
        load_bench(STUDY).rows(accountings(STUDY, "published"))


@pytest.mark.usefixtures("remembered")
def test_a_value_that_is_missed_is_shown_and_exits_with_1(
    fusemap: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    planted = (dataclasses.replace(VALUES[0], value=VALUES[0].value * 1.5), *VALUES[1:])
    monkeypatch.setattr(reproduction_module, "load_published", lambda study: planted)
    outcome = fusemap("reproduce", "fusemax", "--figure", "6a")
    assert outcome.code == 1
    assert "1 not met, at most unfused BERT 1K traffic_bytes: computed 6.8451e+09, published" in outcome.out
    assert "1.02677e+10 (-33 %)" in outcome.out
