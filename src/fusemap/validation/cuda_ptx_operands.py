"""Operands of PTX instructions as readers and writers of lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_ptx_float import Array
from fusemap.validation.cuda_ptx_lanes import Lanes, Mask
from fusemap.validation.cuda_ptx_ops import DTYPES
from fusemap.validation.cuda_ptx_types import (
    WIDTHS,
    Address,
    Entry,
    FloatBits,
    Instruction,
    Integer,
    Module,
    Operand,
    Register,
    Symbol,
    Variable,
    instruction_error,
)

Reader: TypeAlias = Callable[[Lanes], Array]
Writer: TypeAlias = Callable[[Lanes, Array, Mask], None]

UNSIGNED: Mapping[int, type[np.generic]] = {1: np.bool_, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SPECIAL = ("%laneid", *(f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the names in an entry stand for: registers by number, variables by byte address in their space."""

    module: Module
    entry: Entry
    numbers: Mapping[str, int]
    addresses: Mapping[str, int]
    shared_words: int
    local_words: int

    def error(self, at: Instruction, message: str) -> InputError:
        """An error at an instruction."""
        return instruction_error(self.module, at, message)

    def width(self, at: Instruction, register: Register, kind: str) -> int:
        """A register's number. InputError: it is not declared, or has another width than the type."""
        name = register.name
        if name not in self.numbers:
            raise self.error(at, f"register {name} is not declared")
        have = self.entry.registers[name]
        if WIDTHS[have] != WIDTHS[kind]:
            raise self.error(at, f"{name} is .{have}, the instruction wants .{kind}")
        return self.numbers[name]

    def reader(self, at: Instruction, operand: Operand, kind: str) -> Reader:
        """Reads an operand as a type. InputError: what is not declared, or does not fit the type."""
        dtype = DTYPES[kind]
        if isinstance(operand, Register):
            return self._register(at, operand, kind)
        if isinstance(operand, Integer) and dtype is not np.float32 and dtype is not np.float64 and kind != "pred":
            bits = operand.value & ((1 << WIDTHS[kind]) - 1)
            return _constant(np.array(bits, UNSIGNED[WIDTHS[kind]]).view(dtype)[()])
        if isinstance(operand, FloatBits) and operand.width == WIDTHS[kind]:
            return _constant(np.array(operand.bits, UNSIGNED[operand.width]).view(dtype)[()])
        if isinstance(operand, Symbol) and operand.name in self.addresses and WIDTHS[kind] >= 32:
            return _constant(np.array(self.addresses[operand.name], dtype)[()])
        name = operand.name if isinstance(operand, Symbol) else "operand"
        raise self.error(at, f"{name} is not known, or no value of type .{kind}")

    def _register(self, at: Instruction, register: Register, kind: str) -> Reader:
        dtype, name = DTYPES[kind], register.name
        if name in SPECIAL:
            if WIDTHS[kind] != 32:
                raise self.error(at, f"{name} has 32 bits, the instruction wants .{kind}")
            return lambda lanes: lanes.special[name].view(dtype)
        number = self.width(at, register, kind)
        if dtype is np.bool_:
            if register.negated:
                return lambda lanes: ~lanes.registers[number]
            return lambda lanes: lanes.registers[number]
        return lambda lanes: lanes.registers[number].view(dtype)

    def writer(self, at: Instruction, operand: Operand, kind: str) -> Writer:
        """Writes a register where the mask is on."""
        if not isinstance(operand, Register):
            raise self.error(at, "expected a register as destination")
        if operand.name == "_":
            return lambda lanes, value, mask: None
        number = self.width(at, operand, kind)
        unsigned = UNSIGNED[WIDTHS[kind]]

        def write(lanes: Lanes, value: Array, mask: Mask) -> None:
            bits = value.view(unsigned)
            if mask is not None:
                bits = np.where(mask, bits, lanes.registers[number])
            elif bits.ndim == 0:
                bits = np.full(lanes.count, bits)
            lanes.registers[number] = bits

        return write

    def address(self, at: Instruction, operand: Operand, space: str) -> Reader:
        """Reads the byte address `[base + offset]` of a space, as int64."""
        if not isinstance(operand, Address):
            raise self.error(at, "expected an address in brackets")
        offset = np.int64(operand.offset)
        if isinstance(operand.base, Register):
            name = operand.base.name
            wide = WIDTHS[self.entry.registers.get(name, "b64")] == 64
            base = self.reader(at, operand.base, "s64" if wide else "u32")
            return lambda lanes: base(lanes).astype(np.int64) + offset
        if isinstance(operand.base, Symbol) and operand.base.name not in self.addresses:
            raise self.error(at, f"{operand.base.name} is no variable in .{space}")
        start = np.int64(self.addresses[operand.base.name] if isinstance(operand.base, Symbol) else 0)
        return lambda lanes: np.full(lanes.count, start + offset)


def make_scope(module: Module, entry: Entry) -> Scope:
    """The names of an entry; variables follow one another in their space as their alignment allows."""
    shared, shared_bytes = _laid_out(entry.shared)
    local, local_bytes = _laid_out(entry.local)
    return Scope(
        module=module,
        entry=entry,
        numbers={name: i for i, name in enumerate(entry.registers)},
        addresses=shared | local,
        shared_words=-(-shared_bytes // 4),
        local_words=-(-local_bytes // 4),
    )


def _laid_out(variables: tuple[Variable, ...]) -> tuple[dict[str, int], int]:
    places: dict[str, int] = {}
    end = 0
    for variable in variables:
        start = -(-end // variable.align) * variable.align
        places[variable.name] = start
        end = start + variable.size_bytes
    return places, end


def _constant(value: Array) -> Reader:
    return lambda lanes: value
