"""Counts, times and energies of both tools side by side; what differs has a cause, or the check fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Phase, Problem, Stage
from fusemap.mappers.types import Mapping as Mapped
from fusemap.sim.evaluate import evaluate_mapping
from fusemap.sim.reuse import analyse
from fusemap.validation.accelforge.cases import NestCase
from fusemap.validation.accelforge.machine import peer_name

TOLERANCE = 1e-6  # AccelForge keeps latencies in single precision
CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "drain": (
            "AccelForge reads a word of an output once more when it leaves a level for the one above; here it "
            "leaves with the update that completes it"
        ),
        "barrier": (
            "AccelForge lets an Einsum read a tensor after its loop has ended, though only a tile of it was kept: "
            "what it claims is below what any execution moves"
        ),
        "space": "AccelForge also searches mappings that keep tiles in registers, ours keep one value of an operand",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One quantity of a case. `expected` is ours with what the cause adds; `cause` a key of `CAUSES` or empty."""

    case: str
    quantity: str
    unit: str
    ours: float
    theirs: float
    expected: float
    cause: str = ""

    @property
    def agrees(self) -> bool:
        """Is theirs what is expected?"""
        return math.isclose(self.theirs, self.expected, rel_tol=TOLERANCE, abs_tol=1e-30)

    def to_json(self) -> dict[str, object]:
        """The quantity as a JSON object."""
        names = ("case", "quantity", "unit", "ours", "theirs", "expected", "cause", "agrees")
        return {name: getattr(self, name) for name in names}


def compare_nest(case: NestCase, answer: Mapping[str, Any]) -> tuple[Compared, ...]:
    """Words of every operand at every level, read and written, then energy and latency."""
    machine, space = case.machine, case.space
    ours = _Ours(space, case.nest, machine)
    theirs: dict[tuple[str, str, str], float] = {}
    for _, component, tensor, action, count in answer["actions"]:
        theirs[component, tensor, action] = theirs.get((component, tensor, action), 0.0) + count
    found = []
    for (level, tensor, action), words in ours.words.items():
        added = ours.drained.get((level, tensor), 0.0) if action == "read" else 0.0
        counted = theirs.pop((peer_name(level), tensor.replace("#", "_"), action), 0.0)
        found.append(
            Compared(
                case=case.name,
                quantity=f"{level} {action} {tensor}",
                unit="words",
                ours=words,
                theirs=counted * ours.per_access[level],
                expected=words + added,
                cause="drain" if added else "",
            )
        )
    left = {key: count for key, count in theirs.items() if count and key[2] != "compute"}
    found += [  # what they count and we do not
        Compared(case=case.name, quantity=" ".join(key), unit="actions", ours=0, theirs=n, expected=0)
        for key, n in left.items()
    ]
    return (*found, *_totals(case, ours, answer))


def _totals(case: NestCase, ours: _Ours, answer: Mapping[str, Any]) -> Iterator[Compared]:
    energy, energy_drained = ours.energy_j()
    latency, latency_drained = ours.latency_s()
    for quantity, unit, value, expected, theirs in (
        ("energy", "J", energy, energy_drained, answer["energy_j"]),
        ("latency", "s", latency, latency_drained, answer["latency_s"]),
    ):
        cause = "" if expected == value else "drain"
        yield Compared(
            case=case.name, quantity=quantity, unit=unit, ours=value, theirs=theirs, expected=expected, cause=cause
        )


class _Ours:
    """Our evaluation of one Einsum alone, and the words that AccelForge counts besides."""

    def __init__(self, space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> None:
        self.machine = machine
        self.report = evaluate_mapping(_alone(space), _mapped(nest), machine)
        self.words: dict[tuple[str, str, str], float] = {}
        self.drained: dict[tuple[str, str], float] = {}
        self.per_access = {memory.name: float(memory.words_per_access) for memory in machine.memories}
        self.per_access |= {f"{array.name}.registers": 1.0 for array in machine.arrays}
        outermost: dict[str, bool] = {}
        for count in analyse(space, nest):
            label = count.operand.label
            for action in ("read", "write"):
                self.words[count.memory, label, action] = 0.0
            if count.operand.is_output and label in outermost:
                self.drained[count.memory, label] = float((count.fills + count.partition) * count.instances)
            outermost[label] = True
        for row in self.report.rows:
            if row.words is not None:
                self.words[row.component, row.tensor, row.action] += row.words

    def energy_j(self) -> tuple[float, float]:
        """The report's energy, and with the reads of leaving words."""
        price = {array.name + ".registers": array.registers.component for array in self.machine.arrays}
        price |= {memory.name: memory.component for memory in self.machine.memories}
        extra = sum(
            words / self.per_access[level] * float(price[level].energy("read").value)
            for (level, _), words in self.drained.items()
        )
        return self.report.energy_pj * 1e-12, (self.report.energy_pj + extra) * 1e-12

    def latency_s(self) -> tuple[float, float]:
        """The report's latency, and with the reads of leaving words at memories whose bandwidth is a limit."""
        (phase,) = self.report.phases
        extra: dict[str, float] = {}
        for (level, _), words in self.drained.items():
            extra[level] = extra.get(level, 0.0) + words
        bandwidths = {m.name: m.bandwidth_bytes_per_s for m in self.machine.memories}
        times = [phase.compute_s]
        for name, seconds in phase.memory_times:
            bandwidth = bandwidths[name]
            assert bandwidth is not None, name
            times.append(seconds + extra.get(name, 0.0) * self.machine.word_bytes / float(bandwidth))
        return phase.latency_s, max(times)


def _alone(space: EinsumSpace) -> Problem:
    external = frozenset(operand.tensor for operand in space.operands)
    return Problem(cascade=space.name, workload="", spaces=(space,), sizes=(), external=external)


def _mapped(nest: EinsumMapping) -> Mapped:
    stage = Stage(name=nest.einsum, work=((nest.array, (nest.einsum,)),))
    return Mapped(dataflow="given", einsums=(nest,), binding=(Phase(name=nest.einsum, stages=(stage,)),))
