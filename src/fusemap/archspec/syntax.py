"""The grammar of expressions: text to a tree.

expression := sum [(== | != | < | <= | > | >=) sum]
sum        := product {(+ | -) product}
product    := unary {(* | / | // | %) unary}
unary      := (- | +) unary | power
power      := atom [** unary]
atom       := number | name | function(...) | (expression)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.arithmetic import FUNCTIONS, Arity, Value
from fusemap.archspec.document import TextFault
from fusemap.diagnostics import did_you_mean

MAX_LENGTH = 2000
MAX_TOKENS = 300
MAX_DEPTH = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
    r"|(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%<>(),]))"
)
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A literal, an int or a finite float."""

    value: Value
    offset: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name that the caller of `evaluate` gives a value, e.g. `array_2d.rows`."""

    name: str
    offset: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operator or function on its operands; `-x` is the operator `neg`."""

    function: str
    operands: tuple[Node, ...]
    offset: int = field(default=0, compare=False, repr=False)


Node: TypeAlias = Number | Name | Call


def parse_tree(text: str) -> Node:
    """The tree of an expression; TextFault at what does not fit the grammar."""
    parser = _Parser(tokens=_tokens(text), end=len(text))
    tree = parser.expression()
    parser.expect_end()
    return tree


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_LENGTH:
        raise TextFault(f"expression too long: more than {MAX_LENGTH} characters")
    tokens: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise TextFault(f'unexpected character "{text[at]}" in an expression', offset=at, length=1)
        kind = match.lastgroup or ""
        tokens.append(_Token(kind=kind, text=match[kind], offset=match.start(kind)))
        at = match.end()
        if kind == "number" and at < end and (text[at].isalnum() or text[at] in "_."):
            raise TextFault("expected an operator after the number", offset=at, length=1)
    if not tokens:
        raise TextFault("expected an expression, found nothing")
    if len(tokens) > MAX_TOKENS:
        last = tokens[MAX_TOKENS].offset
        raise TextFault(f"expression too long: more than {MAX_TOKENS} symbols", offset=last, length=1)
    return tokens


@dataclass(slots=True, kw_only=True)
class _Parser:
    tokens: list[_Token]
    end: int
    index: int = 0
    depth: int = 0

    @property
    def token(self) -> _Token:
        if self.index < len(self.tokens):
            return self.tokens[self.index]
        return _Token(kind="end", text="", offset=self.end)

    def take(self, *operators: str) -> _Token | None:
        token = self.token
        if token.kind == "operator" and token.text in operators:
            self.index += 1
            return token
        return None

    def fault(self, expected: str) -> TextFault:
        token = self.token
        found = f'"{token.text}"' if token.kind != "end" else "the end"
        return TextFault(f"expected {expected}, found {found}", offset=token.offset, length=max(1, len(token.text)))

    def expect(self, operator: str) -> None:
        if self.take(operator) is None:
            raise self.fault(f'"{operator}"')

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.fault("an operator")

    def expression(self) -> Node:
        left = self.sum()
        if (token := self.take(*COMPARISONS)) is not None:
            left = Call(function=token.text, operands=(left, self.sum()), offset=token.offset)
        return left

    def sum(self) -> Node:
        left = self.product()
        while (token := self.take("+", "-")) is not None:
            left = Call(function=token.text, operands=(left, self.product()), offset=token.offset)
        return left

    def product(self) -> Node:
        left = self.unary()
        while (token := self.take("*", "/", "//", "%")) is not None:
            left = Call(function=token.text, operands=(left, self.unary()), offset=token.offset)
        return left

    def unary(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TextFault(f"nested too deeply: more than {MAX_DEPTH} levels", offset=self.token.offset, length=1)
        node = self.signed()
        self.depth -= 1
        return node

    def signed(self) -> Node:
        if (token := self.take("-")) is not None:
            return Call(function="neg", operands=(self.unary(),), offset=token.offset)
        if self.take("+") is not None:
            return self.unary()
        base = self.atom()
        if (token := self.take("**")) is not None:
            return Call(function="**", operands=(base, self.unary()), offset=token.offset)
        return base

    def atom(self) -> Node:
        token = self.token
        if token.kind == "number":
            self.index += 1
            return Number(value=_number(token), offset=token.offset)
        if token.kind == "name":
            self.index += 1
            return self.call(token) if self.token.text == "(" else Name(name=token.text, offset=token.offset)
        if self.take("(") is not None:
            node = self.expression()
            self.expect(")")
            return node
        raise self.fault("a number, a name or a parenthesis")

    def call(self, name: _Token) -> Node:
        function = FUNCTIONS.get(name.text)
        if function is None:
            hint = did_you_mean(name.text, list(FUNCTIONS), noun="functions")
            raise TextFault(f'unknown function "{name.text}"', offset=name.offset, length=len(name.text), hint=hint)
        self.expect("(")
        operands = [self.expression()]
        while self.take(",") is not None:
            operands.append(self.expression())
        self.expect(")")
        _check_arity(name, function.arity, len(operands))
        return Call(function=name.text, operands=tuple(operands), offset=name.offset)


def _check_arity(name: _Token, arity: Arity, given: int) -> None:
    if arity.least <= given <= arity.most:
        return
    wanted = str(arity.least) if arity.least == arity.most else f"{arity.least} to {arity.most}"
    message = f"{name.text} takes {wanted} arguments, found {given}"
    raise TextFault(message, offset=name.offset, length=len(name.text))


def _number(token: _Token) -> Value:
    if len(token.text) > 100:
        raise TextFault("number too long: more than 100 digits", offset=token.offset, length=len(token.text))
    if token.text.isdigit():
        return int(token.text)
    value = float(token.text)
    if value == float("inf"):
        raise TextFault("number too large", offset=token.offset, length=len(token.text))
    return value
