"""A study's machines of many sizes: chip area against the latency of the attention (a Pareto study)."""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.archspec.archs import load_arch
from fusemap.archspec.area import area_rows
from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.sim.report import Timing
from fusemap.validation.reproduce import Accountings, Bench, Failure, attempted
from fusemap.validation.rows import ParetoRow, array_seconds, memory_seconds
from fusemap.validation.study import ParetoModel

MOST_DOUBLINGS = 20


def pareto_attempts(bench: Bench, accountings: Accountings) -> tuple[tuple[ParetoRow, ...], tuple[Failure, ...]]:
    """Every model on every machine of the study; one that fails loses no other."""
    study = bench.study.model.pareto
    if study is None:
        return (), ()
    machines: dict[tuple[tuple[str, int], ...], Machine] = {}
    values = {f"{study.parameter}={value}": value for value in study.points[study.parameter]}
    points = [(name, model, study.length) for model in bench.study.model.models for name in values]
    return attempted(
        points, lambda name, model, length: _row(bench, study, accountings, machines, f"{model}@{length}", values[name])
    )


def _row(
    bench: Bench,
    study: ParetoModel,
    accountings: Accountings,
    machines: dict[tuple[tuple[str, int], ...], Machine],
    workload: str,
    value: int,
) -> ParetoRow:
    """The first machine of the doubling sequence on which memory takes no longer than the array."""
    sized = bench.workload(workload)
    sizes = {name: int(expression.evaluate(sized.sizes)) for name, expression in study.sizes.items()}
    for doublings in range(MOST_DOUBLINGS + 1):
        parameters = {study.parameter: value, **sizes, study.doubles: 1 << doublings}
        machine = _machine(machines, study.arch, parameters)
        timing = bench.timing(study.configuration, machine, workload, accountings[study.configuration])
        if memory_seconds(timing) <= array_seconds(timing, study.array):
            return _priced(study, machine, timing, sized.model, sized.length or 0, value)
    message = f"memory takes longer than {study.array} however often {study.doubles} is doubled"
    raise input_error(f"{study.arch} with {study.parameter} = {value} for {workload}: {message}")


def _machine(machines: dict[tuple[tuple[str, int], ...], Machine], arch: str, parameters: Mapping[str, int]) -> Machine:
    key = tuple(parameters.items())
    if key not in machines:
        machines[key] = load_arch(arch, parameters=parameters)
    return machines[key]


def _priced(study: ParetoModel, machine: Machine, timing: Timing, model: str, seq_len: int, value: int) -> ParetoRow:
    """The row with the areas of the chip and its arrays; InputError names a component without one."""
    rows = area_rows(machine)
    buffers = [memory.capacity_bytes or 0 for memory in machine.memories if memory.on_chip]
    return ParetoRow(
        model=model,
        seq_len=seq_len,
        parameter=study.parameter,
        value=value,
        buffer_bytes=sum(buffers),
        timing=timing,
        area_um2=sum(row.total_um2 for row in rows),
        areas_um2={a.name: sum(r.total_um2 for r in rows if r.structure == a.name) for a in machine.arrays},
    )
