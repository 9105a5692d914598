"""The words of a PTX text, with their places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.validation.cuda_ptx_types import ptx_error

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<float>0[fF][0-9a-fA-F]{8}(?!\w)|0[dD][0-9a-fA-F]{16}(?!\w))"
    r"|(?P<number>[0-9]+\.[0-9]+)"
    r"|(?P<integer>0[xX][0-9a-fA-F]+U?|[0-9]+U?)"
    r"|(?P<word>[%$_A-Za-z][\w$]*)"
    r"|(?P<directive>\.[A-Za-z_]\w*(?:::\w+)*)"
    r"|(?P<string>\"[^\"\n]*\")"
    r"|(?P<mark>[@!{}\[\](),;:+\-|<>=])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text; `kind` is a group of the pattern, or "end"."""

    kind: str
    text: str
    line: int
    column: int


def tokens(text: str, file: str) -> Iterator[Token]:
    """The tokens of a text, then one of kind "end". InputError: a character that starts none."""
    at, line, start = 0, 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ptx_error(file, text, line, at - start + 1, f'"{text[at]}" is no PTX')
        found = match.group()
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), found, line, at - start + 1)
        if "\n" in found:
            line += found.count("\n")
            start = at + found.rindex("\n") + 1
        at = match.end()
    yield Token("end", "the end", line, at - start + 1)
