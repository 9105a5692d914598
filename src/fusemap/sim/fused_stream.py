"""Operands that are streamed between DRAM and the array: every unit holds one word of each in its registers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusemap.einsum_cascade.operators import Operator
from fusemap.mappers.types import EinsumMapping
from fusemap.sim.fused_faults import Faults
from fusemap.sim.fused_memory import Held, Memory
from fusemap.sim.fused_slots import in_dram
from fusemap.sim.fused_words import Floats, Ints, Touch, Words


def combine(operator: Operator | None, into: Floats, numbers: Ints, values: Floats) -> None:
    """Reduce values into the words with these numbers; without a reduction, a value replaces the word."""
    if operator is None:
        into[numbers] = values
        return
    function = operator.function()
    if not isinstance(function, np.ufunc):
        raise ValueError(f"reduction {operator.name} is no NumPy ufunc")
    function.at(into, numbers, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What the units of an array hold of an output: the word, its sum so far, and how many points are in it."""

    einsum: str
    touch: Touch
    operator: Operator | None
    numbers: Ints
    value: Floats
    count: Ints


class Registers:
    """The registers of all arrays, as far as streamed operands use them."""

    def __init__(self, words: Words, memory: Memory, faults: Faults) -> None:
        self.words = words
        self.memory = memory
        self.faults = faults
        self.users: dict[str, str] = {}
        self.inputs: dict[tuple[str, Touch], Ints] = {}
        self.sums: dict[str, _Sums] = {}

    def enter(self, einsum: str, array: str) -> None:
        """The Einsum takes over the array: what another one had in the registers is written or forgotten."""
        user = self.users.get(array)
        if user is not None and user != einsum:
            self._leave(user)
        self.users[array] = einsum

    def release(self) -> None:
        """All Einsums leave."""
        for einsum in tuple(self.users.values()):
            self._leave(einsum)
        self.users.clear()

    def settle(self, einsum: str, needed: Ints) -> None:
        """Write the Einsum's output if it is complete, so that others can read it."""
        sums = self.sums.get(einsum)
        if sums is None:
            return
        held = self.memory.dram[sums.touch.tensor]
        total = np.bincount(sums.numbers, weights=sums.count, minlength=needed.size).astype(np.int64)
        here = np.unique(sums.numbers)
        if np.all((total + held.count)[here] >= needed[here]):
            self._drain(einsum)

    def read(self, nest: EinsumMapping, touch: Touch, numbers: Ints) -> Held:
        """DRAM's words of an operand; `numbers` (steps, units) are those that the units take."""
        dram, tensor = self.memory.dram[touch.tensor], touch.operand.tensor
        self._check(nest, touch, numbers, dram)
        before = self.inputs.get((nest.einsum, touch), np.full(numbers.shape[1], -1, np.int64))
        changed = np.vstack((before, numbers[:-1])) != numbers
        step, _ = np.nonzero(changed)
        taken = np.unique(np.stack((step, numbers[changed])), axis=1)
        self.memory.reads[nest.einsum, tensor] += taken.shape[1]
        self.inputs[nest.einsum, touch] = numbers[-1]
        return dram

    def _check(self, nest: EinsumMapping, touch: Touch, numbers: Ints, dram: Held) -> None:
        kept = in_dram(nest, touch.operand.tensor)
        absent = np.unique(numbers[dram.count[numbers] == 0] if kept else numbers)
        if absent.size:
            at = self.words.coordinate(touch.tensor, int(absent[0]))
            where = "not in DRAM" if kept else "in no memory of its nest"
            message = f"{nest.einsum} streams {touch.tensor}{list(at)}, which is {where}"
            self.faults.add("absent", message, einsum=nest.einsum, tensor=touch.tensor, at=at, words=absent.size)

    def write(
        self, nest: EinsumMapping, touch: Touch, numbers: Ints, values: Floats, operator: Operator | None, made: Ints
    ) -> None:
        """Sum the values of the points in the units' registers; `made` are the points of each word so far."""
        if not in_dram(nest, touch.operand.tensor):
            at = self.words.coordinate(touch.tensor, int(numbers.ravel()[0]))
            message = f"{nest.einsum} writes {touch.tensor}{list(at)}, for which its nest has no memory"
            self.faults.add("absent", message, einsum=nest.einsum, tensor=touch.tensor, at=at, words=numbers.size)
        for word, number in zip(values, numbers, strict=True):
            sums = self.sums.get(nest.einsum)
            if sums is None or not np.array_equal(sums.numbers, number):
                self._drain(nest.einsum)
                sums = self._begin(nest.einsum, touch, operator, number)
                self.sums[nest.einsum] = sums
            lane = np.arange(number.size)
            combine(operator, sums.value, lane, word)
            sums.count[:] += 1
        np.add.at(made, numbers.ravel(), 1)

    def _begin(self, einsum: str, touch: Touch, operator: Operator | None, number: Ints) -> _Sums:
        """Fetch the partial sums that DRAM has: one unit gets the sum, those that share the word nothing."""
        dram = self.memory.dram[touch.tensor]
        identity = 0.0 if operator is None or operator.identity is None else operator.identity
        value, count = np.full(number.shape, identity), np.zeros(number.shape, np.int64)
        _, first = np.unique(number, return_index=True)
        back = first[dram.count[number[first]] > 0]
        value[back] = dram.value[number[back]]
        self.memory.reads[einsum, touch.operand.tensor] += back.size
        return _Sums(einsum=einsum, touch=touch, operator=operator, numbers=number, value=value, count=count)

    def _drain(self, einsum: str) -> None:
        """Write the units' sums, added up word by word."""
        sums = self.sums.pop(einsum, None)
        if sums is None:
            return
        dram, words = self.memory.dram[sums.touch.tensor], np.unique(sums.numbers)
        identity = 0.0 if sums.operator is None or sums.operator.identity is None else sums.operator.identity
        dram.value[words] = identity
        combine(sums.operator, dram.value, sums.numbers, sums.value)
        np.add.at(dram.count, sums.numbers, sums.count)
        self.memory.writes[einsum, sums.touch.operand.tensor] += words.size

    def _leave(self, einsum: str) -> None:
        self._drain(einsum)
        self.inputs = {key: numbers for key, numbers in self.inputs.items() if key[0] != einsum}
