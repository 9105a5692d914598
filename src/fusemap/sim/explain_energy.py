"""Derive the rows of a report (count * unit energy), the traffic of each operand, and the area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.archspec.area import area_rows
from fusemap.archspec.types import Machine
from fusemap.mappers.units import units
from fusemap.sim.actions import Moved, Place, moved_words, places
from fusemap.sim.choose import Evaluation
from fusemap.sim.explain_words import Direction, words_term
from fusemap.sim.report import Row
from fusemap.sim.terms import Term, given, product, quotient, total

MovedByEinsum = Mapping[str, tuple[Moved, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandTraffic:
    """Words that an Einsum moves at a memory for one operand."""

    einsum: str
    label: str
    words: Term


def moved_by_einsum(evaluation: Evaluation) -> dict[str, tuple[Moved, ...]]:
    """What each Einsum moves, as the simulator counts it."""
    machine, mapping = evaluation.machine, evaluation.mapping
    return {
        space.name: moved_words(space, mapping.nest(space.name), machine, evaluation.accounting)
        for space in evaluation.problem.spaces
    }


def energy_terms(evaluation: Evaluation, moved: MovedByEinsum) -> tuple[Term, ...]:
    """A term for each row of the report, in its order: count * unit energy.

    ValueError when there are more or fewer than rows: a fault of the model.
    """
    place_of = places(evaluation.machine)
    counts: list[Term] = []
    for space in evaluation.problem.spaces:
        for item in moved[space.name]:
            if evaluation.accounting.charges(item.count.memory, space.name, item.count.operand.tensor):
                counts += _accesses(evaluation, item, place_of[item.count.memory])
        counts += _operations(evaluation, space.name)
    return tuple(_energy(row, count) for row, count in zip(evaluation.report.rows, counts, strict=True))


def traffic_terms(evaluation: Evaluation, moved: MovedByEinsum, memory: str) -> tuple[OperandTraffic, ...]:
    """The words of every operand that is moved from and to a memory, in the order of the cascade."""
    found = []
    for einsum, items in moved.items():
        for item in items:
            parts = [words_term(evaluation.mapping.nest(einsum), item, d) for d, words in _directions(item) if words]
            if item.count.memory == memory and parts:
                label = item.count.operand.label
                name = f"words of {label}" + (f" spilled by {item.spilled_from}" if item.spilled_from else "")
                found.append(OperandTraffic(einsum=einsum, label=label, words=total(name, parts)))
    return tuple(found)


def traffic_of(einsums: Sequence[str], traffic: Sequence[OperandTraffic], machine: Machine) -> Term:
    """Bytes that some Einsums move at the memory of `traffic`."""
    words = [total(einsum, [operand.words for operand in traffic if operand.einsum == einsum]) for einsum in einsums]
    return product("traffic", total("words", words), bytes_per_word(machine), unit="B")


def bytes_per_word(machine: Machine) -> Term:
    """The word size of a machine."""
    source = dict(machine.sources).get("word_bytes", machine.source)
    return given("per word", machine.word_bytes, "B", source=source)


def area_terms(machine: Machine) -> tuple[tuple[str, Term], ...]:
    """Structure (`array_2d`, `chip`) and area of each of its kinds of component: instances * area of one."""
    found = []
    for row in area_rows(machine):
        each = given("each", row.area_um2.value, "um^2", source=row.area_um2.source)
        name = f"{row.component} of {row.structure}"
        found.append((row.structure, product(name, given("instances", row.count), each, unit="um^2")))
    return tuple(found)


def row_name(row: Row) -> str:
    """What a row of a report charges, in words."""
    if row.words is None:
        return f"{row.einsum} computes {row.action} with {row.component}"
    if row.action == "read":
        return f"{row.einsum} reads {row.tensor} from {row.component}"
    return f"{row.einsum} writes {row.tensor} to {row.component}"


def _energy(row: Row, count: Term) -> Term:
    action = row.action if row.words is not None else row.component.rpartition(".")[2]
    price = given(f"per {action}", row.unit_energy_pj, "pJ", source=row.source)
    return product(row_name(row), count, price, unit="pJ")


def _accesses(evaluation: Evaluation, item: Moved, place: Place) -> Iterator[Term]:
    """Accesses of a memory: words / words per access, where anything moves."""
    nest = evaluation.mapping.nest(item.count.einsum)
    width = given("words per access", place.words_per_access)
    for direction, words in _directions(item):
        if words:
            yield quotient("accesses", words_term(nest, item, direction), width)


def _directions(item: Moved) -> tuple[tuple[Direction, float], ...]:
    return (("read", item.read_words), ("write", item.written_words))


def _operations(evaluation: Evaluation, einsum: str) -> Iterator[Term]:
    """Actions of the operators: points of the iteration space times the actions at one point."""
    space = evaluation.problem.space(einsum)
    array = evaluation.machine.array(evaluation.mapping.nest(einsum).array)
    points = product("points", *(given(rank, extent, place=einsum) for rank, extent in space.ranks if extent != 1))
    for unit in units(evaluation.machine, array, space):
        for action in unit.actions:
            if evaluation.accounting.charges(f"{array.name}.{action.component}", einsum, ""):
                name = f"{action.component} per {' + '.join(unit.pattern)}"
                yield product("operations", points, given(name, action.count, source=unit.source))
