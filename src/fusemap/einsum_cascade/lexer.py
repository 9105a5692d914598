"""Tokens of one line of a cascade."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fusemap.diagnostics import InputError, Span
from fusemap.einsum_cascade.source import Source

MAX_NAME = 64
MAX_LINE = 10_000
_TOKEN = re.compile(
    r"(?P<space>[ \t]+)|(?P<comment>\#.*)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?P<tail>[A-Za-z0-9_.]*))"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<op>//|<=|>=|==|[-+*/%<>=()\[\],:;&])"
)
_LOOKALIKES = {
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{MIDDLE DOT}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{INFINITY}": "inf",
}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `name`, `number`, `op` or `end`; `column` is 1-based."""

    kind: str
    text: str
    line: int
    column: int

    @property
    def end(self) -> int:
        """The column after the last character."""
        return self.column + len(self.text)

    def described(self) -> str:
        """How a message calls the token."""
        return "the end of the line" if self.kind == "end" else f"'{self.text[:MAX_NAME]}'"


def tokens_of(source: Source, line: int) -> tuple[Token, ...]:
    """The tokens of 1-based `line`, closed by an `end` token; InputError at the first bad character.

    >>> from fusemap.einsum_cascade.source import source_of
    >>> [t.text for t in tokens_of(source_of("Q[e] # query", "a.cascade"), 1)]
    ['Q', '[', 'e', ']', '']
    """
    text = source.lines[line - 1]
    if len(text) > MAX_LINE:
        raise _error(source, line, 0, text[:1], f"line of more than {MAX_LINE} characters")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _bad_character(source, line, at)
        if match["tail"]:
            raise _error(source, line, at, match.group(), f"malformed number {match.group()[:MAX_NAME]}")
        kind = "number" if match["number"] else match.lastgroup or ""
        if kind == "name" and len(match.group()) > MAX_NAME:
            raise _error(source, line, at, match.group(), f"name of more than {MAX_NAME} characters")
        if kind in ("name", "number", "op"):
            tokens.append(Token(kind, match.group(), line, at + 1))
        at = match.end()
    last = tokens[-1].end if tokens else 1
    return (*tokens, Token("end", "", line, last))


def _bad_character(source: Source, line: int, at: int) -> InputError:
    char = source.lines[line - 1][at]
    plain = _LOOKALIKES.get(char)
    hint = f"write {plain}" if plain else ""
    return _error(source, line, at, char, f"unexpected character '{char}'", hint)


def _error(source: Source, line: int, at: int, text: str, message: str, hint: str = "") -> InputError:
    span = Span(file=source.file, line=line, column=at + 1, length=len(text))
    return InputError((source.diagnostic(span, message, hint),))
