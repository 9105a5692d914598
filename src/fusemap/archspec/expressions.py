"""A small arithmetic language for sizes that follow from other sizes, parsed here (nothing is executed as code).

    expression := sum [(== | != | < | <= | > | >=) sum]          sum     := product {(+ | -) product}
    product    := unary {(* | / | // | %) unary}                 unary   := (- | +) unary | power
    power      := atom [** unary]                                atom    := number | name | function(…) | (expression)

Integers are exact; `/` gives an integer when it divides exactly, else a float; a comparison gives 1 or
0; `if(cond, a, b)` evaluates only the branch it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from fusemap.archspec.arithmetic import BINARY, FUNCTIONS, Arity, Function, Operation, Value, checked
from fusemap.archspec.document import Place, TextFault, text_place
from fusemap.diagnostics import did_you_mean

MAX_LENGTH = 2000
MAX_TOKENS = 300
MAX_DEPTH = 40

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
    r"|(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%<>(),]))"
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_PRECEDENCE = {**dict.fromkeys(_COMPARISONS, 1), "+": 2, "-": 2, "*": 3, "/": 3, "//": 3, "%": 3, "**": 5}
_NEGATION = 4


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression; equal to another one with the same tree, wherever it stands.

    >>> e = parse_expression("largest_divisor(P, 2 * pe) // pe")
    >>> e.evaluate({"P": 1024, "pe": 100}), sorted(e.names()), str(e)
    (1, ['P', 'pe'], 'largest_divisor(P, 2 * pe) // pe')
    """

    tree: Node
    text: str = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)
    operation: Operation = field(compare=False, repr=False)

    def names(self) -> frozenset[str]:
        """The names that `evaluate` must be given (both branches of an `if` count)."""
        return frozenset(node.name for node in _walk(self.tree) if isinstance(node, Name))

    def at(self, place: Place) -> Expression:
        """The same expression, whose errors point at another place."""
        return replace(self, place=place)

    def evaluate(self, names: Mapping[str, Value]) -> Value:
        """The value, finite, under the given names; InputError points into the expression.

        Errors: an unknown name, division by zero, a result that is not a finite real number,
        `largest_divisor` with a limit below 1 (nothing fits).
        """
        try:
            return self.operation(names)
        except TextFault as fault:
            raise fault.at(self.place) from None

    def evaluate_text(self, names: Mapping[str, Value]) -> Value:
        """As `evaluate`, but raises the bare TextFault, for a caller that places the text itself."""
        return self.operation(names)

    def __str__(self) -> str:
        return _format(self.tree)[0]

    def __reduce__(self) -> tuple[Callable[[str, Place], Expression], tuple[str, Place]]:
        """Pickled as its text, because the operation is a closure."""
        return parse_text, (self.text, self.place)


def parse_expression(text: str, *, place: Place | None = None) -> Expression:
    """Parse the text of an expression that stands at `place`; InputError points into it.

    >>> parse_expression("if(P > 4, P / 3, 2 ** 10)").evaluate({"P": 3})
    1024
    """
    place = place or text_place(text, "<expression>")
    try:
        return parse_text(text, place)
    except TextFault as fault:
        raise fault.at(place) from None


def parse_text(text: str, place: Place | None = None) -> Expression:
    """As `parse_expression`, but raises the bare TextFault."""
    parser = _Parser(tokens=_tokens(text), end=len(text))
    tree = parser.expression()
    parser.expect_end()
    return Expression(
        tree=tree, text=text, place=place or text_place(text, "<expression>"), operation=_compile(tree, text)
    )


def constant(value: Value, place: Place | None = None) -> Expression:
    """The expression of one number (negative ones are a negation, as when parsed)."""
    return parse_text(repr(value), place)


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
        if (token := self.take(*_COMPARISONS)) is not None:
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


def _compile(node: Node, text: str) -> Operation:
    """A closure that computes the node from the names; faults carry the node's offset."""
    if isinstance(node, Number):
        value = node.value
        return lambda names: value
    if isinstance(node, Name):
        return _compile_name(node)
    operands = tuple(_compile(operand, text) for operand in node.operands)
    if node.function == "if":
        condition, first, second = operands
        return lambda names: first(names) if condition(names) else second(names)
    function: Function = BINARY[node.function] if node.function in BINARY else FUNCTIONS[node.function]
    length = len(node.function) if node.function != "neg" else 1
    return checked(function.apply, operands, node.offset, length)


def _compile_name(node: Name) -> Operation:
    name, offset = node.name, node.offset

    def lookup(names: Mapping[str, Value]) -> Value:
        try:
            return names[name]
        except KeyError:
            hint = did_you_mean(name, sorted(names))
            raise TextFault(f'unknown name "{name}"', offset=offset, length=len(name), hint=hint) from None

    return lookup


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Call):
        for operand in node.operands:
            yield from _walk(operand)


def _format(node: Node) -> tuple[str, int]:
    """The text of a node and how tightly it binds (6: never needs parentheses)."""
    if isinstance(node, Number):
        return repr(node.value), 6
    if isinstance(node, Name):
        return node.name, 6
    if node.function == "neg":
        return f"-{_inside(node.operands[0], _NEGATION)}", _NEGATION
    if node.function not in _PRECEDENCE:
        return f"{node.function}({', '.join(_format(operand)[0] for operand in node.operands)})", 6
    level = _PRECEDENCE[node.function]
    left, right = level, level + 1
    if node.function == "**":
        left, right = 6, _NEGATION
    elif node.function in _COMPARISONS:
        left = level + 1
    return f"{_inside(node.operands[0], left)} {node.function} {_inside(node.operands[1], right)}", level


def _inside(node: Node, least: int) -> str:
    text, level = _format(node)
    return text if level >= least else f"({text})"
