"""Sweeps for tests, and the one-by-one oracle: each point written out as a YAML file of its own and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusemap.archspec.archs import parse_arch
from fusemap.archspec.workloads import load_workload
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.choose import evaluate_case, time_case
from fusemap.validation.accounting import accounting
from fusemap.validation.sweep_points import reason_of, result_columns
from fusemap.validation.sweep_spec import Sweep, parse_sweep

FUSEMAX = """
cascade: attention-1pass
dataflow: [fusemax-binding, fusemax-arch, fusemax-cascade]
arch: fusemax-cloud
workload: [BERT, XLM]
length: [512, 1000, 1K, 3072, 64K, 1M]
parameters: {pe: {from: 32, to: 512, factor: 2}}
machine:
  clock: [940 MHz, 1.25 GHz, 333333333 Hz]
  dram.bandwidth: {from: 20 GiB/s, to: 1.6 TiB/s, count: 4, scale: log}
  global_buffer.capacity: [64 KiB, 1 MiB, 16 MiB, 32 MiB]
sizes: {B: [1, 64]}
"""
FLAT = """
cascade: attention-3pass
dataflow: [flat, unfused]
arch: [flat-cloud, flat-edge]
workload: BERT
length: [512, 1K, 1500, 64K]
parameters: {pe: [32, 256]}
machine: {dram.bandwidth: [50 GiB/s, 400 GiB/s]}
"""
DIMENSIONS = """
cascade: attention-1pass
dataflow: fusemax-binding
arch: fusemax-cloud
workload: T5
length: [1000, 1K, 2K, 6K]
machine: {array_2d.rows: [32, 64, 100], array_1d.lanes: [64, 256], word: [2 B, 4 B]}
sizes: {M0: [16, 32, 64], P1: [1, 2, 4]}
"""
SMALL = """
cascade: attention-1pass
dataflow: fusemax-binding
arch: fusemax-cloud
workload: BERT
length: {from: 1K, to: 16K, factor: 2}
parameters: {pe: [64, 128, 256]}
machine: {global_buffer.capacity: [8 KiB, 16 MiB]}
"""


def sweep(text: str, **changes: Any) -> Sweep:
    """A sweep of one of the texts, with further lines."""
    more = "".join(f"{key}: {value}\n" for key, value in changes.items())
    return parse_sweep(text + more, file="sweep.yaml")


def spec_file(directory: Path, text: str = SMALL) -> Path:
    """A sweep's file."""
    path = directory / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def alone(sweep: Sweep, number: int) -> dict[str, Any]:
    """The result columns of one point, evaluated from files that write it out."""
    point = sweep.space.point(number)
    sections = {axis.column: (axis.section, axis.key) for axis in sweep.space.axes}
    given: dict[str, dict[str, Any]] = {"parameters": {}, "machine": {}, "sizes": {}}
    for column, value in point.items():
        section, key = sections[column]
        if section in given:
            given[section][key] = value
    columns = dict.fromkeys(result_columns(sweep))
    try:
        machine = parse_arch(_arch(point["arch"], given), file=f"{point['arch']}.yaml")
        length = f"@{point['length']}" if "length" in point else ""
        workload = load_workload(f"{point['workload']}{length}")
        dataflow = load_dataflow(point["dataflow"]) if point["dataflow"] != "best" else None
        case = (load(point["cascade"]), machine, workload, dataflow)
        asked: Any = {"accounting": lambda name: accounting(sweep.accounting, name), "sizes": given["sizes"]}
        return columns | _priced(case, asked, energy=sweep.energy)
    except (InputError, DoesNotFit) as refusal:
        status = "does not fit" if isinstance(refusal, DoesNotFit) else "failed"
        return columns | {"status": status, "reason": reason_of(refusal)}


def _priced(case: Any, asked: Any, *, energy: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"status": "ok"}
    try:
        report: Any = evaluate_case(*case, **asked).report if energy else time_case(*case, **asked)
        if energy:
            found |= {"energy_pj": float(report.energy_pj), "area_um2": float(report.area_um2)}
    except InputError as refusal:
        try:
            report = time_case(*case, **asked)
        except (InputError, DoesNotFit):
            raise refusal from None
        found = {"status": "unpriced", "reason": reason_of(refusal)}
    found |= {"latency_s": float(report.latency_s), "traffic_bytes": float(report.traffic_bytes)}
    found |= {"bottleneck": report.bottleneck, "mapped_by": report.dataflow}
    return found | {f"utilization.{name}": float(value) for name, value in report.utilization.items()}


def _arch(base: str, given: Mapping[str, Mapping[str, Any]]) -> str:
    """An arch's file with the numbers of one point."""
    lines = [f"extends: {base}", f"name: {base}", "source: a test"]
    lines += ["parameters:", *(f"  {k}: {v!r}" for k, v in given["parameters"].items())] if given["parameters"] else []
    units = {"clock": "Hz", "word": "B", "capacity": "B", "bandwidth": "B/s", "width": "bit"}
    nested: dict[str, dict[str, list[str]]] = {"memories": {}, "arrays": {}}
    for key, value in given["machine"].items():
        owner, _, what = key.rpartition(".")
        if not owner:
            lines.append(f"{key}: {_decimal(value)} {units[key]}")
        elif what in units:
            nested["memories"].setdefault(owner, []).append(f"{what}: {_decimal(value)} {units[what]}")
        else:
            nested["arrays"].setdefault(owner, []).append(f"{what}: {value!r}")
    for section, owners in nested.items():
        lines += [f"{section}:"] if owners else []
        for owner, numbers in owners.items():
            inside = ", ".join(numbers)
            lines.append(f"  {owner}: {{{inside if section == 'memories' else f'dims: {{{inside}}}'}}}")
    return "\n".join(lines) + "\n"


def _decimal(value: Any) -> str:
    return repr(value)
