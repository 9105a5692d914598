"""Every memory with a bandwidth limits its phase, wherever it lies; the words are those of the report's rows."""

from __future__ import annotations

import dataclasses

import pytest

import fusemap as fm

GIB = 2**30
CASES = [
    ("attention-1pass", "fusemax-cloud", "fusemax-binding"),
    ("attention-3pass", "flat-cloud", "flat"),
    ("attention-3pass", "unfused-cloud", "unfused"),
]


def with_bandwidth(arch: str, memory: str, bytes_per_s: float | None) -> fm.Machine:
    machine = fm.load_arch(arch)
    memories = tuple(
        dataclasses.replace(m, bandwidth_bytes_per_s=bytes_per_s) if m.name == memory else m for m in machine.memories
    )
    return dataclasses.replace(machine, memories=memories)


def seconds(report: fm.Report, memory: str, einsums: set[str], bytes_per_s: float) -> float:
    words = sum(r.words or 0 for r in report.rows if r.component == memory and r.einsum in einsums)
    return 2 * words / bytes_per_s


@pytest.mark.parametrize(("cascade", "arch", "dataflow"), CASES, ids=lambda x: x)
@pytest.mark.parametrize("gib_per_s", [50, 800, 100_000])
def test_an_inner_memory_limits_like_the_outer_one(cascade: str, arch: str, dataflow: str, gib_per_s: int) -> None:
    free = fm.evaluate(cascade, arch=arch, workload="BERT@16K", dataflow=dataflow)
    slow = fm.evaluate(
        cascade,
        arch=with_bandwidth(arch, "global_buffer", gib_per_s * GIB),
        workload="BERT@16K",
        dataflow=dataflow,
    )
    for before, after in zip(free.phases, slow.phases, strict=True):
        einsums = {t.einsum for t in slow.einsums} if len(slow.phases) == 1 else _einsums(slow, after.name)
        expected = seconds(slow, "global_buffer", einsums, gib_per_s * GIB)
        assert dict(after.memory_times)["global_buffer"] == pytest.approx(expected, rel=1e-12)
        assert after.latency_s == pytest.approx(max(before.latency_s, expected), rel=1e-12)
        assert after.memory_s == max(t for _, t in after.memory_times)
        if expected > before.latency_s:
            assert after.bottleneck == "global_buffer"
    assert (slow.energy_pj, slow.traffic_bytes) == (free.energy_pj, free.traffic_bytes)


def _einsums(report: fm.Report, phase: str) -> set[str]:
    softmax = {"GM", "SN", "SD", "A"}
    return {"scores": {"QK"}, "softmax": softmax, "values": {"AV"}}[phase]


def test_without_any_bandwidth_compute_alone_counts() -> None:
    machine = with_bandwidth("flat-cloud", "dram", None)
    report = fm.evaluate("attention-3pass", arch=machine, workload="BERT@1M", dataflow="flat")
    assert report.latency_s == sum(p.compute_s for p in report.phases)
    assert report.bottleneck == "array_1d"


def test_explain_follows_the_memory_that_limits() -> None:
    machine = with_bandwidth("fusemax-cloud", "global_buffer", 500 * GIB)
    explanation = fm.explain("attention-1pass", arch=machine, workload="BERT@4K", dataflow="fusemax-binding")
    (phase,) = explanation.derivation("latency").terms[0].parts
    assert phase.parts[1].parts[1].name == "global_buffer bandwidth"
    reliefs = {r.resource: r.latency_s for r in explanation.reliefs}
    assert reliefs["global_buffer"] < reliefs["dram"] == phase.value
