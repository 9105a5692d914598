"""`fusemap simulate --level cycle`: every processing element in every cycle, with real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusemap.archspec.types import Machine
from fusemap.cli.output import table
from fusemap.cli.quantities import percent, si
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.choose import Planned
from fusemap.sim.cycle_accesses import Accesses
from fusemap.sim.cycle_chain import ChainRun
from fusemap.sim.cycle_run import CycleRun, run_cycles
from fusemap.sim.cycle_times import Order

WIDTH = 100
MOST_OPERATIONS = 1 << 28  # of all processing elements together


def cycle_run(cascade: Cascade, planned: Planned, *, order: Order | None, number: str, seed: int) -> CycleRun:
    """The run; without an order, stages one after another where the binding has stalls, else interleaved.

    InputError for a run of too many operations.
    """
    require_few(planned.problem)
    chosen = order if order is not None else binding_order(planned.mapping)
    return run_cycles(
        cascade, planned.problem, planned.mapping, planned.machine, order=chosen, number=number, seed=seed
    )


def require_few(problem: Problem) -> None:
    """InputError for more operations than anybody would wait for."""
    points = sum(space.points for space in problem.spaces)
    if points > MOST_OPERATIONS:
        raise input_error(
            f"the cycle level would run {points:,} operations, at most {MOST_OPERATIONS:,} are sensible",
            hint="give smaller sizes (--size B=1 --size H=1 --size P=256 --size M=512), or a smaller machine",
        )


def binding_order(mapping: Mapping) -> Order:
    """Stages one after another where the binding says that they wait, else the interleaving."""
    stalls = any(stage.stalls for phase in mapping.binding for stage in phase.stages)
    return "stages" if stalls else "interleaved"


def cycle_json(run: CycleRun, planned: Planned, formula: int) -> dict[str, Any]:
    """The document `fusemap/simulate/1` of a run at the cycle level."""
    return {
        "schema": "fusemap/simulate/1",
        "level": "cycle",
        "cascade": run.cascade,
        "arch": run.arch,
        "workload": planned.problem.workload,
        "dataflow": planned.mapping.dataflow,
        "dataflow_choice": planned.dataflow_choice,
        "order": run.order,
        "number": run.number,
        "cycles": run.cycles,
        "latency_s": run.cycles / planned.machine.clock_hz,
        "closed_form_cycles": formula,
        "iterations": run.iterations,
        "cycles_per_iteration": float(run.steady),
        "fill_cycles": float(run.fill),
        "drain_cycles": float(run.drain),
        "arrays": [
            {
                "array": a.array,
                "utilization": run.utilization(a.array),
                "registers": int(a.registers.max()),
                "register_depth": depth,
                "links": dict(a.links),
            }
            for a, depth in zip(run.arrays, run.depths, strict=True)
        ],
        "memories": [
            {"memory": m.memory, "ports": m.ports, "peak": m.peak, "reads": m.peak_reads, "writes": m.peak_writes}
            for m in run.accesses
        ],
        "outputs": {name: list(array.shape) for name, array in run.outputs.items()},
        "rounding": dict(run.rounding),
        "exp_error": dict(run.exp_error),
        "faults": [str(fault) for fault in run.faults],
    }


def cycle_page(run: CycleRun, problem: Problem, machine: Machine, formula: int) -> str:
    """Cycles and where they go, what the array's parts are used for, and how right the numbers are."""
    blocks = [_heading(run, problem), _cycles(run, machine, formula), _arrays(run), _memories(run), numbers(run)]
    if run.waits:
        blocks.append(_waits(run))
    blocks.append("no fault: no link or unit was given two values, every value was where it was needed")
    if run.faults:
        blocks[-1] = "\n".join([f"{len(run.faults)} faults", *(f"  {fault}" for fault in run.faults[:10])])
    return "\n\n".join(block for block in blocks if block)


def _heading(run: CycleRun, problem: Problem) -> str:
    how = {
        "interleaved": "unit steps interleaved, iterations overlapped",
        "whole": "tile tasks in one go, iterations overlapped",
        "stages": "the stages of the binding one after another",
    }[run.order]
    return f"{run.cascade} on {run.arch}, {problem.workload}\nsimulated cycle by cycle in {run.number}: {how}"


def _cycles(run: CycleRun, machine: Machine, formula: int) -> str:
    rows = [
        ["cycles", f"{run.cycles:,}", si(run.cycles / float(machine.clock_hz), "s")],
        ["formula of evaluate", f"{formula:,}", f"{run.cycles - formula:+,} cycles are left to fill and drain"],
        ["per iteration", f"{float(run.steady):,.4g}", f"in the middle of {run.iterations:,} iterations"],
        ["fill", f"{float(run.fill):,.4g}", "until the first iteration ends, less its own share"],
        ["drain", f"{float(run.drain):,.4g}", "after the last iteration's end at the first element"],
    ]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return "\n".join(f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c}" for a, b, c in rows)


def _arrays(run: CycleRun) -> str:
    rows = []
    for a, depth in zip(run.arrays, run.depths, strict=True):
        links = ", ".join(f"{name} {count:,}" for name, count in a.links if count)
        used = f"{int(a.registers.max())} of {depth}"
        rows.append([a.array, f"{a.rows} x {a.columns}", percent(run.utilization(a.array)), used, links or "-"])
    headers = ["array", "elements", "busy", "registers in use", "values on links"]
    return table(rows, headers, "lrrll", width=WIDTH)


def _memories(run: CycleRun) -> str:
    return accesses_table(run.accesses)


def accesses_table(accesses: Sequence[Accesses]) -> str:
    """Memories with the most accesses in a cycle, and the ports that there are."""
    rows = []
    for m in accesses:
        ports = "not known" if m.ports is None else str(m.ports)
        most = [str(n) for n in (m.peak_reads, m.peak_writes, m.peak)]
        rows.append([m.memory, *most, ports])
    headers = ["memory", "most reads in a cycle", "writes", "both", "ports"]
    return table(rows, headers, "lrrrr", width=WIDTH)


def numbers(run: CycleRun | ChainRun) -> str:
    """What was computed, and how far it is from the interpreter's."""
    lines = []
    for name, array in run.outputs.items():
        shape = " x ".join(map(str, array.shape))
        lines.append(
            f"computed {name} ({shape}): {run.rounding[name]:.2g} of its largest value from the interpreter with the "
            f"same exp,\n  which is {run.exp_error[name]:.2g} from the one with the exact exp"
        )
    return "\n".join(lines)


def _waits(run: CycleRun, shown: int = 6) -> str:
    """Who stood still for what, longest sums first."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for w in run.waits:
        sums.setdefault((w.array, w.einsum, f"{w.tensor} of {w.producer}"), []).append(w.end - w.start)
    ranked = sorted(sums.items(), key=lambda item: -sum(item[1]))[:shown]
    rows = [[a, e, what, f"{len(n):,}", f"{max(n):,}", f"{sum(n):,}"] for (a, e, what), n in ranked]
    return table(rows, ["array", "before", "waits for", "times", "longest", "cycles"], "lllrrr", width=WIDTH)
