"""Why a number: every number of a report as a term over loop bounds, unit energies, clocks and their sources."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fusemap.sim.choose import Evaluation
from fusemap.sim.explain_energy import (
    OperandTraffic,
    area_terms,
    bytes_per_word,
    energy_terms,
    moved_by_einsum,
    traffic_of,
    traffic_terms,
)
from fusemap.sim.explain_time import Relief, cycles_term, latency_term, reliefs, utilization_term
from fusemap.sim.terms import Term, product, total

METRICS = ("latency", "energy", "traffic", "area", "utilization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A contribution to a metric: what it is due to (empty where that does not apply), and its term."""

    term: Term
    einsum: str = ""
    component: str = ""
    tensor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A metric's terms (utilization has one per array, the others one) and the parts that one may ask about.

    The parts of latency are cycles of Einsums and memory times of phases, those of energy the rows of the
    report, those of traffic operands, those of area components, those of utilization Einsums.
    """

    metric: str
    terms: tuple[Term, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All numbers of an evaluation derived; each term has the value of the report and recomputes to it."""

    evaluation: Evaluation
    derivations: tuple[Derivation, ...]
    reliefs: tuple[Relief, ...]

    def derivation(self, metric: str) -> Derivation:
        """The derivation of a metric (`METRICS`); KeyError for another name."""
        return {d.metric: d for d in self.derivations}[metric]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/explain/1` with every metric."""
        return document(self, {d.metric: d.terms for d in self.derivations})


def explain(evaluation: Evaluation) -> Explanation:
    """Derive every number of an evaluation's report anew, from its mapping and machine.

    ArithmeticError if a derivation does not lead to the number in the report: a fault of the model.
    """
    moved = moved_by_einsum(evaluation)
    case, report = evaluation, evaluation.report
    outermost = case.machine.memories[0].name
    memories = dict.fromkeys((outermost, *(phase.memory for phase in report.phases)))
    traffic = {memory: traffic_terms(evaluation, moved, memory) for memory in memories}
    cycles = {
        time.einsum: cycles_term(time.einsum, case.problem, case.mapping, case.machine, case.accounting)
        for time in report.einsums
    }
    derivations = (
        _latency(evaluation, cycles, traffic),
        _energy(evaluation, energy_terms(evaluation, moved)),
        _traffic(evaluation, traffic[outermost]),
        _area(evaluation),
        _utilization(evaluation, cycles),
    )
    for derivation in derivations:
        _hold(derivation, evaluation)
    return Explanation(evaluation=evaluation, derivations=derivations, reliefs=reliefs(report))


def document(explanation: Explanation, terms: Mapping[str, Sequence[Term]]) -> dict[str, object]:
    """The JSON document of an explanation, with the given terms by metric."""
    report = explanation.evaluation.report
    return {
        "schema": "fusemap/explain/1",
        "cascade": report.cascade,
        "arch": report.arch,
        "workload": report.workload,
        "dataflow": report.dataflow,
        "accounting": report.accounting,
        "metrics": {metric: [term.to_json() for term in found] for metric, found in terms.items()},
        "reliefs": [relief.to_json() for relief in explanation.reliefs],
    }


def _latency(
    evaluation: Evaluation, cycles: Mapping[str, Term], traffic: Mapping[str, Sequence[OperandTraffic]]
) -> Derivation:
    machine, mapping, times = evaluation.machine, evaluation.mapping, evaluation.report.phases
    moved = [
        (machine.memory(time.memory), traffic_of(phase.einsums, traffic[time.memory], machine))
        for phase, time in zip(mapping.binding, times, strict=True)
    ]
    term = latency_term(mapping, machine, cycles, moved)
    parts = [
        Part(term=cycles[time.einsum], einsum=time.einsum, component=time.array) for time in evaluation.report.einsums
    ]
    for phase, time in zip(term.parts, times, strict=True):
        memory = dataclasses.replace(phase.parts[-1], name=f"memory in {phase.name}")
        parts.append(Part(term=memory, component=time.memory))
    return Derivation(metric="latency", terms=(term,), parts=tuple(parts))


def _energy(evaluation: Evaluation, terms: Sequence[Term]) -> Derivation:
    rows = zip(evaluation.report.rows, terms, strict=True)
    parts = tuple(Part(term=t, einsum=r.einsum, component=r.component, tensor=r.tensor) for r, t in rows)
    return Derivation(metric="energy", terms=(total("energy", terms, "pJ"),), parts=parts)


def _traffic(evaluation: Evaluation, traffic: Sequence[OperandTraffic]) -> Derivation:
    machine = evaluation.machine
    term = traffic_of([space.name for space in evaluation.problem.spaces], traffic, machine)
    memory = machine.memories[0].name
    parts = [
        Part(
            term=product(f"{operand.einsum}, {operand.words.name}", operand.words, bytes_per_word(machine), unit="B"),
            einsum=operand.einsum,
            component=memory,
            tensor=operand.label,
        )
        for operand in traffic
    ]
    return Derivation(metric="traffic", terms=(term,), parts=tuple(parts))


def _area(evaluation: Evaluation) -> Derivation:
    found = area_terms(evaluation.machine)
    parts = tuple(Part(term=term, component=structure) for structure, term in found)
    return Derivation(metric="area", terms=(total("area", [term for _, term in found], "um^2"),), parts=parts)


def _utilization(evaluation: Evaluation, cycles: Mapping[str, Term]) -> Derivation:
    report = evaluation.report
    terms = {array: utilization_term(array, report, cycles) for array in report.utilization}
    parts = tuple(
        Part(term=part, einsum=part.name, component=array) for array, term in terms.items() for part in term.parts
    )
    return Derivation(metric="utilization", terms=tuple(terms.values()), parts=parts)


def _hold(derivation: Derivation, evaluation: Evaluation) -> None:
    """ArithmeticError unless the terms have the values in the report, up to the rounding of floating point."""
    report = evaluation.report
    reported: Mapping[str, Sequence[float]] = {
        "latency": (report.latency_s,),
        "energy": (report.energy_pj, *(row.energy_pj for row in report.rows)),
        "traffic": (report.traffic_bytes,),
        "area": (report.area_um2,),
        "utilization": tuple(report.utilization.values()),
    }
    derived = [term.value for term in derivation.terms]
    if derivation.metric == "energy":
        derived += [part.term.value for part in derivation.parts]
    for value, expected in zip(derived, reported[derivation.metric], strict=True):
        if not partial(math.isclose, rel_tol=1e-12)(value, expected):
            raise ArithmeticError(f"{derivation.metric} is reported as {expected} but derived as {value}")
