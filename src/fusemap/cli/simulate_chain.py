"""`fusemap simulate --level cycle` of a cascade without a recurrence: one part after another."""

from __future__ import annotations

from typing import Any

import click

from fusemap.cli.output import emit_json, table
from fusemap.cli.quantities import si
from fusemap.cli.simulate_cycle import accesses_table, numbers, require_few
from fusemap.einsum_cascade.types import Cascade
from fusemap.sim.choose import Planned
from fusemap.sim.cycle_chain import ChainPart, ChainRun, run_chain

WIDTH = 100


def is_chain(planned: Planned) -> bool:
    """True when no Einsum steps through a recurrence."""
    return not any(space.sequential for space in planned.problem.spaces)


def chain(cascade: Cascade, planned: Planned, *, number: str, seed: int, as_json: bool) -> int:
    """Run and print; exit code 1 when a rule of an array was broken."""
    require_few(planned.problem)
    run = run_chain(cascade, planned.problem, planned.mapping, planned.machine, number=number, seed=seed)
    if as_json:
        emit_json(_document(run, planned))
    else:
        click.echo(_page(run, planned))
    return 1 if run.faults else 0


def _document(run: ChainRun, planned: Planned) -> dict[str, Any]:
    cycles = sum(part.cycles for part in run.parts)
    return {
        "schema": "fusemap/simulate/1",
        "level": "cycle",
        "cascade": run.cascade,
        "arch": run.arch,
        "workload": planned.problem.workload,
        "dataflow": planned.mapping.dataflow,
        "dataflow_choice": planned.dataflow_choice,
        "number": run.number,
        "cycles": cycles,
        "latency_s": cycles / planned.machine.clock_hz,
        "closed_form_cycles": sum(part.formula for part in run.parts),
        "parts": [_part(part) for part in run.parts],
        "outputs": {name: list(array.shape) for name, array in run.outputs.items()},
        "rounding": dict(run.rounding),
        "exp_error": dict(run.exp_error),
        "faults": [str(fault) for fault in run.faults],
    }


def _part(part: ChainPart) -> dict[str, Any]:
    names = ("array", "rests", "formula", "cycles", "repeats", "interval", "fill", "drain", "registers", "depth")
    return {"einsums": list(part.einsums), **{name: getattr(part, name) for name in names}}


def _page(run: ChainRun, planned: Planned) -> str:
    cycles = sum(part.cycles for part in run.parts)
    formula = sum(part.formula for part in run.parts)
    head = (
        f"{run.cascade} on {run.arch}, {planned.problem.workload}\n"
        f"dataflow {planned.mapping.dataflow}; simulated cycle by cycle in {run.number}, one part after another"
    )
    total = (
        f"cycles               {cycles:,}  {si(cycles / float(planned.machine.clock_hz), 's')}\n"
        f"formula of evaluate  {formula:,}  summed over the parts, which it overlaps"
    )
    rows = [
        [
            " ".join(part.einsums),
            part.array,
            part.rests or "-",
            *(f"{n:,}" for n in (part.formula, part.cycles, part.fill, part.repeats, part.interval, part.drain)),
            f"{part.registers} of {part.depth}",
        ]
        for part in run.parts
    ]
    headers = [
        "Einsums",
        "array",
        "at rest",
        "formula",
        "cycles",
        "= fill",
        "+ times",
        "x each",
        "+ drain",
        "registers",
    ]
    faults = "no fault: no link or unit was given two values, every value was where it was needed"
    if run.faults:
        faults = "\n".join([f"{len(run.faults)} faults", *(f"  {fault}" for fault in run.faults[:10])])
    parts = table(rows, headers, "lllrrrrrrr", width=WIDTH)
    ports = [f"{' '.join(part.einsums)}\n{accesses_table(part.accesses)}" for part in run.parts]
    return "\n\n".join([head, total, parts, *ports, numbers(run), faults])
