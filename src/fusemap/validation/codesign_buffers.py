"""A buffer whose area is known and whose energy is not: what it changes in area, latency and the energy of DRAM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusemap.archspec.archs import load_arch
from fusemap.archspec.area import area_um2
from fusemap.archspec.workloads import load_workload
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.evaluate import evaluate, plan, time_mapping
from fusemap.sim.report import Report
from fusemap.validation.traffic_figure import with_buffer

ARCH, DATAFLOW, CASCADE = "fusemax-cloud", "fusemax-binding", "attention-1pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferCase:
    """A workload with another buffer, over FuseMax's: area, latency and traffic.

    `dram_share` is what its DRAM energy is of FuseMax's whole energy; `buffer_share` what FuseMax's buffer takes.
    """

    workload: str
    capacity_bytes: int
    area: float
    latency: float
    traffic: float
    memory_share: float
    dram_share: float
    buffer_share: float


def buffer_cases(references: Sequence[str], capacities: Sequence[int]) -> tuple[BufferCase, ...]:
    """Every workload with every buffer of 4096-bit rows; InputError without an area, DoesNotFit if too small."""
    return tuple(_case(reference, capacity) for reference in references for capacity in capacities)


def _case(reference: str, capacity_bytes: int) -> BufferCase:
    machine, workload, dataflow = load_arch(ARCH), load_workload(reference), load_dataflow(DATAFLOW)
    base = evaluate(load(CASCADE), machine, workload, dataflow)
    buffer = machine.memories[-1]
    bindings = {"capacity_bytes": capacity_bytes, "width_bits": buffer.width_bits}
    macro = machine.table.component(buffer.component.name, bindings=bindings, place=buffer.where).area()
    other = with_buffer(machine, capacity_bytes)
    timing = time_mapping(*plan(load(CASCADE), other, workload, dataflow), other)
    area = area_um2(machine)
    energy = base.energy_pj
    return BufferCase(
        workload=reference,
        capacity_bytes=capacity_bytes,
        area=(area - buffer.component.area().value + macro.value) / area,
        latency=timing.latency_s / base.latency_s,
        traffic=timing.traffic_bytes / base.traffic_bytes,
        memory_share=sum(p.memory_s for p in timing.phases) / timing.latency_s,
        dram_share=_energy(base, "dram") * timing.traffic_bytes / base.traffic_bytes / energy,
        buffer_share=_energy(base, "global_buffer") / energy,
    )


def _energy(report: Report, component: str) -> float:
    return sum(r.energy_pj for r in report.rows if r.component == component)


def buffers_table(cases: Iterable[BufferCase]) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| workload | buffer | area | latency | traffic | DRAM busy | DRAM energy | energy of FuseMax's buffer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in cases:
        size = f"{c.capacity_bytes >> 20} MiB" if c.capacity_bytes >= 1 << 20 else f"{c.capacity_bytes >> 10} KiB"
        shares = " | ".join(f"{100 * s:.2f} %" for s in (c.memory_share, c.dram_share, c.buffer_share))
        lines.append(f"| {c.workload} | {size} | {c.area:.4f} | {c.latency:.4f} | {c.traffic:.2f} | {shares} |")
    return "\n".join(lines) + "\n"
