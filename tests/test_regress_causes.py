"""The causes of a change add up to it, and name the factor that was changed, held against one-at-a-time replacement."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from regress_cases import snapshots

import fusemap as fm
from fusemap.validation.regress_causes import bandwidth, causes, split
from fusemap.validation.regress_compare import Change, Tolerances, within
from fusemap.validation.regress_snapshot import Snapshot, snapshot

SOME = examples(15, 1000)


def total(found: Snapshot, metric: str) -> float:
    return dict(found.metrics).get(metric, 0.0)


def close(one: float, other: float, scale: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9 * scale)


@SOME
@given(snapshots(), snapshots())
def test_they_add_up(recorded: Snapshot, found: Snapshot) -> None:
    why = causes(recorded, found)
    for metric in ("energy_pj", "latency_s", "traffic_bytes"):
        before, after = total(recorded, metric), total(found, metric)
        parts = [cause for cause in why if cause.metric == metric]
        if metric != "traffic_bytes" or parts:  # what is not known of traffic is left out, and not made up
            added = sum(cause.change for cause in parts)
            rounding = sum(abs(factor.change) for cause in parts for factor in cause.factors)
            if math.isfinite(rounding):  # products beyond the largest float add up to nothing
                assert close(added, after - before, max(abs(before), abs(after), rounding)), metric


def test_a_split_that_leaves_something_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, found = on("components: {mac: {energy: {mac: 20 pJ}}}\n"), on("", workload="BERT@4K")
    change = total(found, "energy_pj") - total(recorded, "energy_pj")
    assert sum(c.change for c in causes(recorded, found) if c.metric == "energy_pj") == pytest.approx(change)
    monkeypatch.setattr("fusemap.validation.regress_causes.split", lambda *given: split(*given)[:1])
    assert sum(c.change for c in causes(recorded, found) if c.metric == "energy_pj") != pytest.approx(change)


@given(*[st.floats(1e-3, 1e6)] * 4)
def test_a_product_is_split_as_by_replacing_one_factor_at_a_time(a: float, b: float, x: float, y: float) -> None:
    """The mean over both orders of replacing the recorded factors by the found ones, step by step."""
    shares = {"a": 0.0, "b": 0.0}
    for order in itertools.permutations(("a", "b")):
        now = {"a": a, "b": b}
        for name in order:
            before = now["a"] * now["b"]
            now[name] = {"a": x, "b": y}[name]
            shares[name] += (now["a"] * now["b"] - before) / 2
    got = {factor.name: factor.change for factor in split(("a", "b"), (a, b), (x, y))}
    for name, share in shares.items():
        assert close(got.get(name, 0.0), share, max(a, x) * max(b, y))


@SOME
@given(snapshots())
def test_nothing_changed_has_no_cause(found: Snapshot) -> None:
    assert causes(found, found) == ()


@SOME
@given(snapshots().filter(lambda s: len(s.actions) > 1), st.data(), st.sampled_from(["count", "unit_energy_pj"]))
def test_the_factor_that_is_changed_is_named(found: Snapshot, data: st.DataObject, factor: str) -> None:
    chosen = data.draw(st.sampled_from(found.actions))
    planted = dataclasses.replace(chosen, **{factor: getattr(chosen, factor) * 1.5})
    changed = dataclasses.replace(found, actions=tuple(planted if a is chosen else a for a in found.actions))
    (cause,) = [c for c in causes(found, changed) if c.metric == "energy_pj"]
    assert (cause.component, cause.what) == (chosen.component, chosen.words)
    assert [(f.name, f.recorded, f.found) for f in cause.factors] == [
        (factor, getattr(chosen, factor), getattr(planted, factor))
    ]
    assert cause.change == pytest.approx(chosen.energy_pj / 2)


# --- machines that differ in one number ------------------------------------------------------------


def on(machine: str, workload: str = "BERT@1K", dataflow: str = "fusemax-binding") -> Snapshot:
    """A snapshot of FuseMax with some lines of its file replaced."""
    from fusemap.archspec.archs import parse_arch

    arch = parse_arch(f"extends: fusemax-cloud\nsource: a test\n{machine}", file="chip.yaml")
    return snapshot(fm.evaluate("attention-1pass", arch=arch, workload=workload, dataflow=dataflow), arch)


PLANTED: list[tuple[str, str, Callable[[str, str, str], bool]]] = [
    ("clock: 900 MHz\n", "latency_s", lambda component, factor, note: factor == "clock_hz"),
    (
        "memories: {dram: {bandwidth: 100 GiB/s}}\n",
        "latency_s",
        lambda component, factor, note: component == "dram" and note.startswith("limited by dram (0.00375 s), was by"),
    ),
    (
        "components: {sram: {sizes: {16MiB_4096: {capacity: 16 MiB, width: 4096 bit, "
        "energy: {read: 1 pJ, write: 15751.460572 pJ}}}}}\n",
        "energy_pj",
        lambda component, factor, note: (component, factor) == ("global_buffer", "unit_energy_pj"),
    ),
    (
        "components: {mac: {energy: {mac: 20 pJ}}}\n",
        "energy_pj",
        lambda component, factor, note: component.endswith(".mac") and factor == "unit_energy_pj",
    ),
    (
        "components: {mac: {area: 2000 um^2}}\n",
        "area_um2",
        lambda component, factor, note: component in ("array_2d", "array_1d") and note.endswith(" um^2"),
    ),
]


@pytest.mark.parametrize(("machine", "metric", "is_right"), PLANTED, ids=[p[0].split("\n")[0][:40] for p in PLANTED])
def test_a_changed_machine(machine: str, metric: str, is_right: Callable[[str, str, str], bool]) -> None:
    recorded, found = on(""), on(machine)
    why = [cause for cause in causes(recorded, found) if cause.metric == metric]
    assert why and all(is_right(c.component, ", ".join(f.name for f in c.factors), c.note) for c in why)
    assert sum(c.change for c in why) == pytest.approx(total(found, metric) - total(recorded, metric), rel=1e-9)
    assert {c.metric for c in causes(recorded, found)} == {metric}


def test_a_memory_that_limits_is_split_into_traffic_and_bandwidth() -> None:
    slow = "memories: {dram: {bandwidth: 50 GiB/s}}\n"
    recorded, found = on(slow), on(slow.replace("50", "40"), workload="BERT@4K")
    (cause,) = [c for c in causes(recorded, found) if c.metric == "latency_s"]
    assert [(f.name, f.recorded, f.found) for f in cause.factors] == [
        ("bytes", total(recorded, "traffic_bytes"), total(found, "traffic_bytes")),
        ("bytes_per_s", pytest.approx(50 * 2**30), pytest.approx(40 * 2**30)),
    ]
    assert bandwidth(found) == pytest.approx(40 * 2**30)


def test_traffic_is_explained_by_accesses_of_the_outermost_memory() -> None:
    recorded, found = on("", workload="BERT@1K"), on("", workload="BERT@16K")
    why = [c for c in causes(recorded, found) if c.metric == "traffic_bytes"]
    assert {c.component for c in why} == {"dram"} and {f.name for c in why for f in c.factors} == {"count"}
    change = total(found, "traffic_bytes") - total(recorded, "traffic_bytes")
    assert sum(c.change for c in why) == pytest.approx(change, rel=1e-12)


def test_stalls_are_a_component_of_their_own() -> None:
    recorded, found = on("", dataflow="fusemax-binding"), on("", dataflow="fusemax-arch")
    why = [c for c in causes(recorded, found) if c.metric == "latency_s"]
    assert any(c.component == "stall" and c.note == "new" and c.change > 0 for c in why)


def test_a_stage_that_is_gone_is_no_change_of_the_clock() -> None:
    recorded, slower = on(""), on("clock: 900 MHz\n")
    (phase,) = slower.phases
    without = dataclasses.replace(phase, cycles=phase.cycles[1:])
    gone, *others = causes(recorded, dataclasses.replace(slower, phases=(without,)))
    assert (gone.note, [f.name for f in gone.factors]) == ("gone", ["cycles"])
    assert gone.change == pytest.approx(-recorded.phases[0].cycles[0][1][1][1] / recorded.clock_hz)
    assert all(f.name == "clock_hz" for cause in others for f in cause.factors)


def test_a_memory_whose_words_are_not_the_traffic_is_not_taken_for_it() -> None:
    report = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@1K", dataflow="fusemax-binding")
    assert snapshot(report).outermost == "dram"
    buffer_first = sorted(report.rows, key=lambda row: row.component != "global_buffer")
    odd = dataclasses.replace(report, rows=tuple(buffer_first), traffic_bytes=report.traffic_bytes * 1.01)
    assert snapshot(odd).outermost == ""
    assert [c for c in causes(snapshot(odd), snapshot(report)) if c.metric == "traffic_bytes"] == []


@pytest.mark.parametrize(
    ("metric", "recorded", "found", "is_within"),
    [
        ("energy_pj", None, 0.0, False),
        ("energy_pj", 0.0, None, False),
        ("energy_pj.dram", None, 0.0, True),
        ("energy_pj.dram", None, 1.0, False),
        ("latency_s", 1.0, float("nan"), False),
        ("latency_s", 0.0, 0.0, True),
        ("latency_s", 0.0, 1e-30, False),
        ("latency_s", 2.0, 2.0 * (1 - 0.9e-6), True),
        ("latency_s", 2.0, 2.0 * (1 - 1.1e-6), False),
    ],
)
def test_what_is_as_recorded(metric: str, recorded: float | None, found: float | None, is_within: bool) -> None:
    change = Change(metric=metric, recorded=recorded, found=found, tolerance=Tolerances().of(metric))
    assert within(change) is is_within
