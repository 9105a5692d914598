"""A PTX program as data: entries with parameters, registers, variables, labels and instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.diagnostics import Diagnostic, InputError, Span

WIDTHS = {
    **{"pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16},
    **{"b32": 32, "u32": 32, "s32": 32, "f32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64},
}


@dataclass(frozen=True, slots=True)
class Register:
    """A register, or a special one such as %tid.x."""

    name: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer immediate; the instruction's type says how many bits of it count."""

    value: int


@dataclass(frozen=True, slots=True)
class FloatBits:
    """A floating-point immediate by its bits: 0f (32) or 0d (64)."""

    bits: int
    width: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A label, a parameter or a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """`[base + offset]`, offset in bytes."""

    base: Register | Symbol | None
    offset: int


@dataclass(frozen=True, slots=True)
class Vector:
    """`{a, b, ...}`."""

    parts: tuple[Register | Integer | FloatBits | Symbol, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """`d|p`: two destinations."""

    first: Register
    second: Register


Operand: TypeAlias = Register | Integer | FloatBits | Symbol | Address | Vector | Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """`@guard opcode.modifiers operands`, at a line and column of the text."""

    opcode: str
    modifiers: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Register | None
    line: int
    column: int

    @property
    def name(self) -> str:
        """The opcode with its modifiers: ld.global.f32."""
        return ".".join((self.opcode, *self.modifiers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a block (.shared) or of a thread (.local): its size and alignment in bytes."""

    name: str
    size_bytes: int
    align: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A kernel: `labels` name indices into `instructions` (the number of instructions stands for the end)."""

    name: str
    parameters: Mapping[str, str]
    registers: Mapping[str, str]
    shared: tuple[Variable, ...]
    local: tuple[Variable, ...]
    labels: Mapping[str, int]
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The entries of a PTX text, which `file` names in messages."""

    file: str
    text: str
    version: str
    target: str
    entries: Mapping[str, Entry]


def ptx_error(file: str, text: str, line: int, column: int, message: str, *, length: int = 1) -> InputError:
    """An error at a place in a PTX text."""
    lines = text.splitlines()
    source = lines[line - 1].expandtabs(1) if 0 < line <= len(lines) else ""
    span = Span(file=file, line=line, column=column, length=length)
    return InputError((Diagnostic(message=message, span=span, source=source),))


def instruction_error(module: Module, instruction: Instruction, message: str) -> InputError:
    """An error at an instruction of a module."""
    at = instruction
    return ptx_error(module.file, module.text, at.line, at.column, f"{at.name}: {message}", length=len(at.name))
