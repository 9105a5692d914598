"""Machines and workloads as frozen data: what a file says, with SI numbers and the source of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

from fusemap.archspec.arithmetic import Value, divide
from fusemap.archspec.components import Component, ComponentTable, Quantity
from fusemap.archspec.document import Place
from fusemap.diagnostics import InputError, did_you_mean

Per: TypeAlias = Literal["pe", "column", "array", "chip"]

# The names that a cascade's operators have: maps, and reductions.
MAP_OPERATORS = (
    *("add", "sub", "mul", "div", "neg", "exp", "log", "sqrt", "rsqrt", "square", "abs", "relu"),
    *("sigmoid", "tanh", "recip", "max", "min", "expsub", "safediv"),
    *("gt", "ge", "eq", "where", "only", "pow", "sign", "softplus", "floor", "cos", "sin"),
)
REDUCE_OPERATORS = ("sum", "max", "min", "prod", "topk")
OPERATORS = tuple(dict.fromkeys((*MAP_OPERATORS, *REDUCE_OPERATORS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A storage level; `capacity_bytes` None is unbounded, `bandwidth_bytes_per_s` None is not a limit.

    `latency_s` and `ports` (accesses per cycle) are None where the file does not say; only simulations use them.
    `per` lists the dimensions of an array of which each coordinate has one (empty: the machine has one).
    """

    name: str
    capacity_bytes: int | None
    bandwidth_bytes_per_s: Value | None
    width_bits: int
    words_per_access: Value
    on_chip: bool
    component: Component
    sources: tuple[tuple[str, str], ...]
    where: Place = field(compare=False, repr=False)
    latency_s: Value | None = None
    ports: int | None = None
    per: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dim:
    """One dimension of an array, e.g. 256 rows."""

    name: str
    extent: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterFile:
    """The registers of one processing element."""

    depth_words: int
    component: Component
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`count` times an action of a component, e.g. 6 x mac.mac."""

    component: str
    action: str
    count: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """What one evaluation of an operator, or of a fused chain of them, costs one processing element."""

    pattern: tuple[str, ...]
    cycles: int
    actions: tuple[Action, ...]
    source: str
    where: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`count` instances of a component per processing element, column, array or chip (for the area)."""

    component: str
    per: Per
    count: int
    source: str
    where: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A spatial array of equal processing elements."""

    name: str
    dims: tuple[Dim, ...]
    registers: RegisterFile
    operators: tuple[OperatorCost, ...]
    parts: tuple[Part, ...]
    where: Place = field(compare=False, repr=False)

    @property
    def pes(self) -> int:
        """The number of processing elements: the product of the dimensions."""
        return math.prod(dim.extent for dim in self.dims)

    def dim(self, name: str) -> Dim:
        """The dimension of that name; InputError lists the valid ones."""
        return _named(self.dims, name, f"dimension of {self.name}", self.where)

    def find(self, pattern: Sequence[str]) -> OperatorCost | None:
        """The cost of an operator chain, or None when the array has no such unit."""
        return next((cost for cost in self.operators if cost.pattern == tuple(pattern)), None)

    def operator(self, *pattern: str) -> OperatorCost:
        """The cost of an operator chain; InputError lists what the array can do."""
        found = self.find(pattern)
        if found is not None:
            return found
        valid = ", ".join(" + ".join(cost.pattern) for cost in self.operators)
        message = f'{self.name} has no operator "{" + ".join(pattern)}"'
        raise self.where.error(message, hint=f"it has: {valid}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An accelerator: memories from the outermost in, arrays, and the table that prices their components."""

    name: str
    description: str
    clock_hz: Value
    word_bytes: int
    memories: tuple[Memory, ...]
    arrays: tuple[Array, ...]
    parts: tuple[Part, ...]
    parameters: tuple[tuple[str, Value], ...]
    table: ComponentTable
    source: str
    sources: tuple[tuple[str, str], ...]
    where: Place = field(compare=False, repr=False)
    technology_nm: Value | None = None

    def memory(self, name: str) -> Memory:
        """The memory of that name; InputError names the nearest one."""
        return _named(self.memories, name, f"memory of {self.name}", self.where)

    def array(self, name: str) -> Array:
        """The array of that name; InputError names the nearest one."""
        return _named(self.arrays, name, f"array of {self.name}", self.where)

    def instances(self, memory: Memory) -> int:
        """How many there are of a memory: one, or one for each coordinate of its dimensions."""
        return math.prod(dim.extent for array in self.arrays for dim in array.dims if dim.name in memory.per)

    def action_energy(self, action: Action) -> Quantity:
        """The energy of one occurrence of an action (not times its count), in pJ; InputError when it is not known."""
        return self.table.component(action.component, place=self.where).energy(action.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """A rank's size and where the number comes from."""

    name: str
    size: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The sizes of a model's ranks; a tensor that does not name a `batch` rank is batched over it.

    `block` names the layers that make the whole model (empty: not known): parts, each a built-in name or a path.
    """

    name: str
    model: str
    length: int | None
    ranks: tuple[Rank, ...]
    batch: tuple[str, ...]
    description: str
    source: str
    where: Place = field(compare=False, repr=False)
    block: tuple[str, ...] = ()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size of each rank."""
        return {rank.name: rank.size for rank in self.ranks}

    def size(self, rank: str) -> int:
        """The size of a rank; InputError names the nearest one."""
        return _named(self.ranks, rank, f"rank of {self.name}", self.where).size


def environment(machine: Machine) -> Mapping[str, Value]:
    """The names that a mapping's expressions may use, with their values.

    `word_bytes`, `clock_hz`; per array `NAME.DIM`, `NAME.pes`, `NAME.register_words`; per memory
    `NAME.width_bits`, and `NAME.capacity_bytes`, `NAME.bandwidth_bytes_per_s` where it has them.
    """
    names: dict[str, Value] = {"word_bytes": machine.word_bytes, "clock_hz": machine.clock_hz}
    for memory in machine.memories:
        names[f"{memory.name}.width_bits"] = memory.width_bits
        if memory.capacity_bytes is not None:
            names[f"{memory.name}.capacity_bytes"] = memory.capacity_bytes
        if memory.bandwidth_bytes_per_s is not None:
            names[f"{memory.name}.bandwidth_bytes_per_s"] = memory.bandwidth_bytes_per_s
    for array in machine.arrays:
        names |= {f"{array.name}.{dim.name}": dim.extent for dim in array.dims}
        names[f"{array.name}.pes"] = array.pes
        names[f"{array.name}.register_words"] = array.registers.depth_words
    return names


def absent_names(machine: Machine) -> Mapping[str, str]:
    """The names that `environment` lacks because the machine does not give their number, and why."""
    absent: dict[str, str] = {}
    for memory in machine.memories:
        of = f"{memory.name} of machine {machine.name} has no"
        if memory.capacity_bytes is None:
            absent[f"{memory.name}.capacity_bytes"] = f"{of} capacity: it is unbounded"
        if memory.bandwidth_bytes_per_s is None:
            absent[f"{memory.name}.bandwidth_bytes_per_s"] = f"{of} bandwidth: it is no limit"
    return absent


def words_per_access(width_bits: int, word_bytes: int) -> Value:
    """How many words one access of a memory moves: width / 8 / word size.

    >>> words_per_access(4096, 2)
    256
    """
    return divide(width_bits, 8 * word_bytes)


_Item = TypeVar("_Item", Memory, Array, Dim, Rank)


def _named(items: Sequence[_Item], name: str, noun: str, where: Place) -> _Item:
    for item in items:
        if item.name == name:
            return item
    raise _unknown(name, [item.name for item in items], noun, where)


def _unknown(name: str, valid: Sequence[str], noun: str, where: Place) -> InputError:
    return where.error(f'unknown {noun}: "{name}"', hint=did_you_mean(name, valid))
