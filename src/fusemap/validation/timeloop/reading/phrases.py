"""Expressions of templates: the part of jinja2 that public Timeloop files use, computed here and nothing else.

expression := either ["or" either]..., with `and`, `not`, comparisons, `~` (joins texts), `+ - * / // %`,
`name|default(value)`, calls of the functions a template has, texts in quotes, numbers, `true`, `false`, `none`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.document import TextFault
from fusemap.diagnostics import did_you_mean

Value: TypeAlias = str | int | float | bool | None
MAX_DEPTH = 30
MAX_TOKENS = 300
MAX_TEXT = 10_000
LARGEST = 1 << 64
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,2})?)"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>//|==|!=|<=|>=|[-+*/%~|(),<>]))"""
)
_WORDS: Mapping[str, Value] = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None"), None),
}
_COMPARE: Mapping[str, Callable[..., Value]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Mapping[str, Callable[..., Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


@dataclass(frozen=True, slots=True)
class Undefined:
    """What an unknown name stands for until somebody needs its value."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of a template, which takes `least` to `most` texts."""

    least: int
    most: int
    apply: Callable[..., Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What an expression may use: variables, and functions of texts."""

    variables: Mapping[str, Value]
    functions: Mapping[str, Function]


def compute(text: str, names: Names) -> Value:
    """The value of an expression; TextFault at what is not known or not of this part of the language.

    >>> names = Names(variables={"arch": "eyeriss"}, functions={"cwd": Function(least=0, most=0, apply=lambda: "here")})
    >>> compute("cwd() ~ '/' ~ arch ~ (depth|default(4))", names)
    'here/eyeriss4'
    """
    reader = _Reader(tokens=_tokens(text), end=len(text), names=names)
    value = reader.settled(reader.either())
    if reader.kind != "end":
        raise reader.fault("an operator")
    return value


def shown(value: Value) -> str:
    """A value as a template prints it.

    >>> shown(True), shown(None), shown(8)
    ('True', 'None', '8')
    """
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> Sequence[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or len(tokens) >= MAX_TOKENS:
            at += len(text[at:]) - len(text[at:].lstrip())
            message = "the expression is too long" if match else f'"{text[at]}" is not understood in a template'
            raise TextFault(message, offset=at, length=1)
        kind = match.lastgroup or ""
        tokens.append(_Token(kind=kind, text=match[kind], offset=match.start(kind)))
        at = match.end()
    return tokens


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads and computes in one go, by descent."""

    tokens: Sequence[_Token]
    end: int
    names: Names
    at: int = 0
    depth: int = 0
    _end: _Token = field(init=False)

    def __post_init__(self) -> None:
        self._end = _Token(kind="end", text="", offset=self.end)

    @property
    def token(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else self._end

    @property
    def kind(self) -> str:
        return self.token.kind

    def fault(self, expected: str) -> TextFault:
        found = f'"{self.token.text}"' if self.kind != "end" else "the end"
        return TextFault(
            f"expected {expected}, found {found}", offset=self.token.offset, length=max(1, len(self.token.text))
        )

    def take(self, *texts: str) -> _Token | None:
        token = self.token
        if token.kind in ("mark", "name") and token.text in texts:
            self.at += 1
            return token
        return None

    def expect(self, text: str) -> None:
        if self.take(text) is None:
            raise self.fault(f'"{text}"')

    def settled(self, value: Value | Undefined) -> Value:
        if isinstance(value, Undefined):
            hint = did_you_mean(value.name, sorted({*self.names.variables, *self.names.functions}), noun="names")
            hint = f"give it with --define {value.name}=VALUE" + (f"; {hint}" if hint else "")
            message = f'the template uses "{value.name}", which is not defined'
            raise TextFault(message, offset=value.offset, length=len(value.name), hint=hint)
        return value

    def either(self) -> Value | Undefined:
        left = self.both()
        while self.take("or") is not None:
            right = self.both()
            left = self.settled(left) or self.settled(right)
        return left

    def both(self) -> Value | Undefined:
        left = self.negated()
        while self.take("and") is not None:
            right = self.negated()
            left = self.settled(left) and self.settled(right)
        return left

    def negated(self) -> Value | Undefined:
        if self.take("not") is not None:
            return not self.settled(self.negated())
        left = self.joined()
        if (token := self.take(*_COMPARE)) is not None:
            return self.apply(_COMPARE[token.text], token, left, self.joined())
        return left

    def joined(self) -> Value | Undefined:
        left = self.sum()
        while (token := self.take("~")) is not None:
            left = self.bounded(shown(self.settled(left)) + shown(self.settled(self.sum())), token)
        return left

    def bounded(self, value: Value, token: _Token) -> Value:
        """The value, which must not grow beyond reason when a template computes with what it computed."""
        if (isinstance(value, str) and len(value) > MAX_TEXT) or (isinstance(value, int) and abs(value) > LARGEST):
            what = "the text is too long" if isinstance(value, str) else "the number is too large"
            raise TextFault(what, offset=token.offset, length=len(token.text))
        return value

    def sum(self) -> Value | Undefined:
        left = self.product()
        while (token := self.take("+", "-")) is not None:
            left = self.apply(_ARITHMETIC[token.text], token, left, self.product())
        return left

    def product(self) -> Value | Undefined:
        left = self.filtered()
        while (token := self.take("*", "/", "//", "%")) is not None:
            left = self.apply(_ARITHMETIC[token.text], token, left, self.filtered())
        return left

    def apply(
        self, function: Callable[..., Value], token: _Token, left: Value | Undefined, right: Value | Undefined
    ) -> Value:
        a, b = self.settled(left), self.settled(right)
        texts = isinstance(a, str) and isinstance(b, str)
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        allowed = numbers or (texts and token.text in ("+", *_COMPARE)) or token.text in ("==", "!=")
        if not allowed:
            raise TextFault(f'"{token.text}" of a text and a number', offset=token.offset, length=len(token.text))
        try:
            return self.bounded(function(a, b), token)
        except ArithmeticError as error:
            raise TextFault(str(error), offset=token.offset, length=len(token.text)) from None

    def filtered(self) -> Value | Undefined:
        value = self.atom()
        while self.take("|") is not None:
            token = self.token
            if self.take("default", "d") is None:
                message = f'the filter "{token.text[:40]}" is not supported'
                raise TextFault(message, offset=token.offset, length=max(1, len(token.text)), hint="supported: default")
            self.expect("(")
            other = self.settled(self.either())
            self.expect(")")
            value = other if isinstance(value, Undefined) else value
        return value

    def atom(self) -> Value | Undefined:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TextFault("nested too deeply", offset=self.token.offset, length=1)
        try:
            return self._atom()
        finally:
            self.depth -= 1

    def _atom(self) -> Value | Undefined:
        token = self.token
        if token.kind == "text":
            self.at += 1
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.kind == "number":
            self.at += 1
            return int(token.text) if token.text.isdigit() else float(token.text)
        if token.kind == "name":
            self.at += 1
            return self.called(token) if self.take("(") is not None else self.named(token)
        if self.take("-") is not None:
            return self.apply(operator.sub, token, 0, self.atom())
        if self.take("(") is not None:
            value = self.either()
            self.expect(")")
            return value
        raise self.fault("a name, a text or a number")

    def named(self, token: _Token) -> Value | Undefined:
        if token.text in self.names.variables:
            return self.names.variables[token.text]
        return _WORDS[token.text] if token.text in _WORDS else Undefined(token.text, token.offset)

    def called(self, token: _Token) -> Value:
        given: list[Value] = []
        while self.take(")") is None:
            if given:
                self.expect(",")
            given.append(self.settled(self.either()))
        function = self.names.functions.get(token.text)
        if function is None:
            hint = did_you_mean(token.text, sorted(self.names.functions), noun="functions")
            raise TextFault(
                f'unknown function "{token.text[:40]}"', offset=token.offset, length=len(token.text), hint=hint
            )
        if not function.least <= len(given) <= function.most or not all(isinstance(v, str) for v in given):
            wanted = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
            message = f"{token.text} takes {wanted} texts"
            raise TextFault(message, offset=token.offset, length=len(token.text))
        try:
            return function.apply(*given)
        except TextFault as fault:
            raise TextFault(fault.message, offset=token.offset, length=len(token.text), hint=fault.hint) from None
