"""Parse PTX text (PTX ISA, chapters 4 and 5) as the CUDA compilers write it for kernels without calls."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_ptx_tokens import Token, tokens
from fusemap.validation.cuda_ptx_types import (
    WIDTHS,
    Address,
    Entry,
    FloatBits,
    Instruction,
    Integer,
    Module,
    Operand,
    Pair,
    Register,
    Symbol,
    Variable,
    Vector,
    ptx_error,
)

_LINKING = {".visible", ".weak", ".extern"}


def parse_ptx(text: str, *, file: str = "kernel.ptx") -> Module:
    """The module that a PTX text says. InputError: with line and column, what is no PTX or is not modelled.

    >>> text = ".version 9.0\\n.target sm_90a\\n.entry k(.param .u32 n) { .reg .b32 %r<2>; ret; }"
    >>> entry = parse_ptx(text).entries["k"]
    >>> [step.name for step in entry.instructions], entry.registers
    (['ret'], mappingproxy({'%r0': 'b32', '%r1': 'b32'}))
    """
    return _Parser(text, file).module()


class _Parser:
    """A cursor over the tokens of one text."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.at = text, file, 0
        self.tokens = tuple(tokens(text, file))

    def module(self) -> Module:
        heads = {".version": "", ".target": "", ".address_size": ""}
        shared: list[Variable] = []
        entries: dict[str, Entry] = {}
        while self.peek().kind != "end":
            token = self.take()
            if token.text in heads:
                heads[token.text] = self.head(token.line)
            elif token.text == ".entry":
                entry = self.entry()
                entries[entry.name] = entry
            elif token.text == ".shared":
                shared.append(self.variable())
            elif token.text not in _LINKING:
                raise self.error(token, f"{token.text} is not modelled: expected .entry or .shared")
        whole = {name: _with_shared(entry, tuple(shared)) for name, entry in entries.items()}
        return Module(
            file=self.file,
            text=self.text,
            version=heads[".version"],
            target=heads[".target"],
            entries=MappingProxyType(whole),
        )

    def head(self, line: int) -> str:
        words = []
        while self.peek().line == line and self.peek().kind != "end":
            words.append(self.take().text)
        return "".join(words)

    def entry(self) -> Entry:
        name = self.take("word").text
        parameters: dict[str, str] = {}
        if self.peek().text == "(":
            self.take()
            while self.peek().text != ")":
                key, kind = self.parameter()
                parameters[key] = kind
                self.skip(",")
            self.take()
        while self.peek().text != "{":  # .maxntid and the like: hints that change nothing here
            if self.take().kind == "end":
                raise self.error(self.peek(), f"entry {name} has no body")
        return self.body(name, parameters)

    def parameter(self) -> tuple[str, str]:
        self.expect(".param")
        kind = self.kind()
        while self.peek().text in (".ptr", ".align", ".global"):
            if self.take().text == ".align":
                self.take("integer")
        return self.take("word").text, kind

    def body(self, name: str, parameters: dict[str, str]) -> Entry:
        self.expect("{")
        registers: dict[str, str] = {}
        spaces: dict[str, list[Variable]] = {".shared": [], ".local": []}
        labels: dict[str, int] = {}
        steps: list[Instruction] = []
        while self.peek().text != "}":
            token = self.peek()
            if token.text == ".reg":
                registers |= self.registers()
            elif token.text in spaces:
                spaces[self.take().text].append(self.variable())
            elif token.text == ".pragma":
                while self.take().text != ";":
                    pass
            elif token.kind == "word" and self.peek(1).text == ":":
                if token.text in labels:
                    raise self.error(token, f"label {token.text} is there twice")
                labels[self.take().text] = len(steps)
                self.take()
            elif token.kind == "word" or token.text == "@":
                steps.append(self.instruction())
            else:
                raise self.error(token, f'expected an instruction, found "{token.text}"')
        self.take()
        return Entry(
            name=name,
            parameters=MappingProxyType(parameters),
            registers=MappingProxyType(registers),
            shared=tuple(spaces[".shared"]),
            local=tuple(spaces[".local"]),
            labels=MappingProxyType(labels),
            instructions=tuple(steps),
        )

    def registers(self) -> dict[str, str]:
        self.expect(".reg")
        kind = self.kind()
        found: dict[str, str] = {}
        while True:
            name = self.take("word").text
            if self.skip("<"):
                found |= {f"{name}{i}": kind for i in range(self.integer())}
                self.expect(">")
            else:
                found[name] = kind
            if not self.skip(","):
                self.expect(";")
                return found

    def variable(self) -> Variable:
        align = self.integer() if self.skip(".align") else 4
        width = WIDTHS[self.kind()] // 8
        name = self.take("word").text
        while self.skip("["):
            if self.peek().text == "]":
                raise self.error(self.peek(), f"{name} has no size: dynamic shared memory is not modelled")
            width *= self.integer()
            self.expect("]")
        self.expect(";")
        return Variable(name=name, size_bytes=width, align=align)

    def instruction(self) -> Instruction:
        guard = None
        if self.skip("@"):
            negated = self.skip("!")
            guard = Register(self.take("word").text, negated)
        at = self.take("word")
        modifiers = []
        while self.peek().kind == "directive":
            modifiers.append(self.take().text[1:])
        operands = []
        while self.peek().text != ";":
            operands.append(self.operand())
            if not self.skip(","):
                break
        self.expect(";")
        return Instruction(
            opcode=at.text,
            modifiers=tuple(modifiers),
            operands=tuple(operands),
            guard=guard,
            line=at.line,
            column=at.column,
        )

    def operand(self) -> Operand:
        if self.skip("["):
            address = self.address()
            self.expect("]")
            return address
        if self.skip("{"):
            parts = [self.scalar()]
            while self.skip(","):
                parts.append(self.scalar())
            self.expect("}")
            return Vector(tuple(parts))
        first = self.scalar()
        if isinstance(first, Register) and self.skip("|"):
            second = self.scalar()
            if not isinstance(second, Register):
                raise self.error(self.peek(), "expected a register after |")
            return Pair(first, second)
        return first

    def address(self) -> Address:
        base = self.scalar()
        if isinstance(base, FloatBits):
            raise self.error(self.peek(), "an address is no floating-point number")
        if isinstance(base, Integer):
            return Address(None, base.value)
        sign = -1 if self.peek().text == "-" else 1
        if self.skip("+") or self.skip("-"):
            sign = -sign if self.skip("-") else sign
            return Address(base, sign * self.integer())
        return Address(base, 0)

    def scalar(self) -> Register | Integer | FloatBits | Symbol:
        negated, minus = self.skip("!"), self.skip("-")
        token = self.take()
        if token.kind == "integer":
            return Integer((-1 if minus else 1) * int(token.text.rstrip("U"), 0))
        if token.kind == "float" and not minus:
            return FloatBits(int(token.text[2:], 16), 32 if token.text[1] in "fF" else 64)
        if token.kind != "word" or minus:
            raise self.error(token, f'expected an operand, found "{token.text}"')
        if not token.text.startswith("%"):
            return Symbol(token.text)
        component = self.take().text if self.peek().text in (".x", ".y", ".z") else ""
        return Register(token.text + component, negated)

    def kind(self) -> str:
        token = self.take("directive")
        if token.text[1:] not in WIDTHS:
            raise self.error(token, f'expected a type, found "{token.text}"')
        return token.text[1:]

    def integer(self) -> int:
        return int(self.take("integer").text.rstrip("U"), 0)

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self, kind: str = "") -> Token:
        token = self.peek()
        if (kind and token.kind != kind) or token.kind == "end":
            raise self.error(token, f'expected {kind or "more"}, found "{token.text}"')
        self.at += 1
        return token

    def skip(self, text: str) -> bool:
        found = self.peek().text == text
        self.at += found
        return found

    def expect(self, text: str) -> None:
        if not self.skip(text):
            raise self.error(self.peek(), f'expected "{text}", found "{self.peek().text}"')

    def error(self, token: Token, message: str) -> InputError:
        return ptx_error(self.file, self.text, token.line, token.column, message, length=len(token.text))


def _with_shared(entry: Entry, shared: tuple[Variable, ...]) -> Entry:
    return replace(entry, shared=shared + entry.shared)
