"""Evaluate a question as a user asks it: sizes that override the workload's, and a dataflow that may be left open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.archspec.reader import LARGEST
from fusemap.archspec.types import Machine, Rank, Workload
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError, did_you_mean
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow, names
from fusemap.mappers.match import matches
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.mappers.types import Problem
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.cost import operand_traffic
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping
from fusemap.sim.report import Report, Timing

AccountingOf: TypeAlias = Callable[[str], Accounting]
Refused: TypeAlias = InputError | DoesNotFit


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A report with all that it was computed from."""

    machine: Machine
    workload: Workload
    problem: Problem
    mapping: CascadeMapping
    accounting: Accounting
    report: Report


def evaluate_case(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    accounting: AccountingOf = lambda dataflow: PRINCIPLED,
    sizes: Mapping[str, int] | None = None,
) -> Evaluation:
    """Evaluate a cascade on a machine; without a dataflow, under the best built-in one (see `choose_dataflow`).

    `accounting` gives the rules of charging for a dataflow's name. `sizes` replace ranks of the workload
    (`B`, `M`) and tiles of the dataflow (`P1`), and give the cascade's other shapes (`M0`). InputError:
    something does not match or is not known; DoesNotFit: no mapping is legal.
    """
    chosen, choice = _chosen(cascade, machine, workload, dataflow, sizes or {}, priced=True)
    found = _evaluated(cascade, machine, workload, chosen, accounting(chosen.name), sizes or {})
    return dataclasses.replace(found, report=dataclasses.replace(found.report, dataflow_choice=choice))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A mapping with the question that it answers; `dataflow_choice` says why its dataflow was taken."""

    machine: Machine
    workload: Workload
    problem: Problem
    mapping: CascadeMapping
    accounting: Accounting
    dataflow_choice: str


def plan_case(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    accounting: AccountingOf = lambda dataflow: PRINCIPLED,
    sizes: Mapping[str, int] | None = None,
) -> Planned:
    """The mapping that `evaluate_case` evaluates; where prices are missing, the one that `time_case` does."""
    given = sizes or {}
    try:
        found = evaluate_case(cascade, machine, workload, dataflow, accounting=accounting, sizes=given)
    except InputError:
        chosen, choice = _chosen(cascade, machine, workload, dataflow, given, priced=False)
        rules = accounting(chosen.name)
        sized, added = _given(cascade, workload, chosen, given)
        problem, mapping = plan(cascade, machine, sized, chosen, accounting=rules, sizes=added, cost=operand_traffic)
        return Planned(
            machine=machine,
            workload=sized,
            problem=problem,
            mapping=mapping,
            accounting=rules,
            dataflow_choice=choice,
        )
    return Planned(
        machine=machine,
        workload=found.workload,
        problem=found.problem,
        mapping=found.mapping,
        accounting=found.accounting,
        dataflow_choice=found.report.dataflow_choice,
    )


def time_case(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    accounting: AccountingOf = lambda dataflow: PRINCIPLED,
    sizes: Mapping[str, int] | None = None,
) -> Timing:
    """As `evaluate_case` without energy and area: the machine may lack their prices.

    A dataflow that is left open is the one of least latency, then traffic; a search minimises traffic.
    """
    chosen, choice = _chosen(cascade, machine, workload, dataflow, sizes or {}, priced=False)
    found = _timed(cascade, machine, workload, chosen, accounting(chosen.name), sizes or {})
    return dataclasses.replace(found, dataflow_choice=choice)


def _chosen(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None,
    sizes: Mapping[str, int],
    *,
    priced: bool,
) -> tuple[Dataflow, str]:
    """The dataflow that was asked for, or the best built-in one and why; InputError for sizes that nothing uses."""
    candidates = [dataflow] if dataflow is not None else [load_dataflow(name) for name in names()]
    _check_names(cascade, workload, candidates, sizes)
    if dataflow is not None:
        return dataflow, ""
    return choose_dataflow(cascade, machine, workload, sizes=sizes, priced=priced)


def choose_dataflow(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    *,
    sizes: Mapping[str, int] | None = None,
    priced: bool = True,
) -> tuple[Dataflow, str]:
    """The built-in dataflow of least latency, then energy (traffic unless `priced`), and why it was chosen.

    Candidates are the dataflows whose `cascades` name this one; where none of them is legal, all others
    whose nests fit its Einsums, a search over mappings (`otherwise: search`) being one. The comparison is
    made in the principled accounting. When nothing is legal: the error of the likeliest candidate.
    """
    loaded = [d for d in map(load_dataflow, names()) if matches(cascade, d)]
    meant = [d for d in loaded if cascade.name in d.model.cascades]
    refusals: list[tuple[Dataflow, Refused]] = []
    for group in (meant, [d for d in loaded if d not in meant]):
        legal: list[tuple[float, float, Dataflow]] = []
        for candidate in group:
            try:
                cost = _cost(cascade, machine, workload, candidate, sizes or {}, priced=priced)
            except (InputError, DoesNotFit) as refusal:
                refusals.append((candidate, refusal))
            else:
                legal.append((*cost, candidate))
        if legal:
            fastest, _, best = min(legal, key=lambda item: item[:2])
            slower = [d.name for latency, _, d in legal if latency > fastest]
            return best, _reason(slower, [d.name for d, _ in refusals if d in meant], alone=len(legal) == 1)
    raise _likeliest(refusals, meant)


def _cost(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    sizes: Mapping[str, int],
    *,
    priced: bool,
) -> tuple[float, float]:
    """Latency, and energy or traffic."""
    if not priced:
        timing = _timed(cascade, machine, workload, dataflow, PRINCIPLED, sizes)
        return timing.latency_s, timing.traffic_bytes
    report = _evaluated(cascade, machine, workload, dataflow, PRINCIPLED, sizes).report
    return report.latency_s, report.energy_pj


def _reason(slower: Sequence[str], illegal: Sequence[str], *, alone: bool) -> str:
    """Why a dataflow was chosen, in a few words."""
    parts = ["the only one that fits"] if alone else []
    if not alone:
        parts.append(f"faster than {', '.join(slower)}" if slower else "no other is faster")
    if illegal:
        parts.append(f"{', '.join(illegal)} {'do' if len(illegal) > 1 else 'does'} not fit")
    return "; ".join(parts)


def _likeliest(refusals: Sequence[tuple[Dataflow, Refused]], meant: Sequence[Dataflow]) -> Refused:
    """The refusal to show: what all have in common, else that of a candidate meant for the cascade, else the search's.

    Among candidates meant for the cascade, one that is too big comes before one that does not match.
    """
    first, *others = (r.diagnostics if isinstance(r, InputError) else () for _, r in refusals)
    shared = tuple(d for d in first if all(d in other for other in others))
    if shared:
        return InputError(shared)
    ranked = sorted(
        refusals,
        key=lambda item: (
            item[0] not in meant,
            item[0].model.otherwise != "search" if item[0] not in meant else isinstance(item[1], InputError),
        ),
    )
    return ranked[0][1]


def _timed(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    accounting: Accounting,
    sizes: Mapping[str, int],
) -> Timing:
    sized, added = _given(cascade, workload, dataflow, sizes)
    problem, mapping = plan(cascade, machine, sized, dataflow, accounting=accounting, sizes=added, cost=operand_traffic)
    return time_mapping(problem, mapping, machine, accounting=accounting)


def _given(
    cascade: Cascade, workload: Workload, dataflow: Dataflow, sizes: Mapping[str, int]
) -> tuple[Workload, dict[str, int]]:
    """The workload with the sizes that are its own, and the others."""
    _check_names(cascade, workload, [dataflow], sizes)
    return _resized(workload, sizes), {name: size for name, size in sizes.items() if name not in workload.sizes}


def _evaluated(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    accounting: Accounting,
    sizes: Mapping[str, int],
) -> Evaluation:
    sized, added = _given(cascade, workload, dataflow, sizes)
    problem, mapping = plan(cascade, machine, sized, dataflow, accounting=accounting, sizes=added)
    return Evaluation(
        machine=machine,
        workload=sized,
        problem=problem,
        mapping=mapping,
        accounting=accounting,
        report=evaluate_mapping(problem, mapping, machine, accounting=accounting),
    )


def _resized(workload: Workload, sizes: Mapping[str, int]) -> Workload:
    """The workload with ranks replaced, and named so."""
    own = {rank: size for rank, size in sizes.items() if rank in workload.sizes and workload.sizes[rank] != size}
    if not own:
        return workload
    ranks = tuple(Rank(name=r.name, size=own[r.name], source="given") if r.name in own else r for r in workload.ranks)
    given = ", ".join(f"{rank}={size}" for rank, size in own.items())
    return dataclasses.replace(workload, name=f"{workload.name} with {given}", ranks=ranks)


def _check_names(cascade: Cascade, workload: Workload, dataflows: Sequence[Dataflow], sizes: Mapping[str, int]) -> None:
    """InputError for sizes that nothing uses."""
    tiles = [tile for dataflow in dataflows for tile in dataflow.model.tiles]
    valid = [*map(str, scope.known_shapes(cascade)), *tiles, *workload.sizes]
    wrong = []
    for name, size in sizes.items():
        if name not in valid:
            hint = did_you_mean(name, valid, noun="names")
            wrong.append(Diagnostic(message=f"no rank or tile is named {name}, but a size is given for it", hint=hint))
        elif not 1 <= size <= LARGEST:
            wrong.append(Diagnostic(message=f"size {name} = {size} is not a whole number from 1 to 2^40"))
    if wrong:
        raise InputError(tuple(wrong))
