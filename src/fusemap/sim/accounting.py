"""How words and operations are charged: the principled rules, and switches away from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.mappers.types import EinsumSpace, Fanout, Level, Operand
from fusemap.sim.reuse import Count, tiles

RegisterInstances: TypeAlias = Literal["in-use", "array", "one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Einsum `einsum` is taken to access `tensor` without these ranks."""

    einsum: str
    tensor: str
    dropped: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCycles:
    """An operator chain on an array takes this many cycles instead of what the machine says."""

    array: str
    pattern: tuple[str, ...]
    cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncharged:
    """Actions that are left out: of a component, or of a tensor of an Einsum at a memory."""

    component: str
    einsum: str = ""
    tensor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Rules of charging; the defaults are the principled ones.

    `register_instances`: register files that are charged: those in use, all of the array, or just one.
    `partition_bits`: width of the unsigned arithmetic of first-write counts (None: exact integers).
    `spill_keeps_buffer`: spilled accesses are charged to the buffer as well as to the outer memory.
    `names`: values that replace names of the dataflow's expressions.
    """

    name: str = "principled"
    register_instances: RegisterInstances = "in-use"
    partition_bits: int | None = None
    spill_keeps_buffer: bool = False
    projections: tuple[Projection, ...] = ()
    operator_cycles: tuple[OperatorCycles, ...] = ()
    uncharged: tuple[Uncharged, ...] = ()
    names: tuple[tuple[str, float], ...] = ()

    def projected(self, space: EinsumSpace) -> EinsumSpace:
        """The space with the accounting's projections applied to its operands."""
        dropped = {p.tensor: p.dropped for p in self.projections if p.einsum == space.name}
        if not dropped:
            return space
        operands = tuple(_drop(o, dropped.get(o.tensor, frozenset())) for o in space.operands)
        return EinsumSpace(
            name=space.name, ranks=space.ranks, operands=operands, operators=space.operators, notes=space.notes
        )

    def charges(self, component: str, einsum: str, tensor: str) -> bool:
        """False when the accounting leaves this component's actions out."""
        return not any(
            u.component == component and u.einsum in ("", einsum) and u.tensor in ("", tensor) for u in self.uncharged
        )

    def cycles(self, array: str, pattern: tuple[str, ...], cycles: int) -> int:
        """Cycles of an operator chain under this accounting."""
        for rule in self.operator_cycles:
            if (rule.array, rule.pattern) == (array, pattern):
                return rule.cycles
        return cycles

    def partition(self, levels: Sequence[Level], operand: Operand) -> list[Count]:
        """First-write counts per level in the unsigned arithmetic of `partition_bits`.

        p(l) = (p(l-1) * tile(l) mod 2^bits) // (tile(l-1) if l-1 is spatial else tile(l)), p(0) = words.
        """
        modulus = 1 << (self.partition_bits or 0)
        tile = tiles(levels, operand)
        result: list[Count] = [tile[0] % modulus]
        for i in range(1, len(levels)):
            reference = tile[i - 1] if isinstance(levels[i - 1], Fanout) else tile[i]
            result.append((result[-1] * tile[i]) % modulus // reference)
        return result


PRINCIPLED = Accounting()


def instances(accounting: Accounting, in_use: int, of_array: int | None) -> int:
    """How many instances of a level are charged; `of_array` is None for a memory that is no register file."""
    if of_array is None or accounting.register_instances == "in-use":
        return in_use
    return 1 if accounting.register_instances == "one" or in_use == 1 else of_array


def _drop(operand: Operand, ranks: frozenset[str]) -> Operand:
    return Operand(tensor=operand.tensor, label=operand.label, ranks=operand.ranks - ranks, is_output=operand.is_output)
