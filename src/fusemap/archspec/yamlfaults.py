"""What a YAML parser's error means to the writer of the file: tabs, brackets and quotes that are left open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import yaml

_PAIRS = {"{": "}", "[": "]"}
_BRACKET = re.compile(
    r"""(?<=[\s,:\[{])'(?:[^']|'')*+'|(?<=[\s,:\[{])"(?:[^"\\]|\\.)*+"|(?<=\s)\#[^\n]*|[\[\]{}]""", re.DOTALL
)


class _Mark(Protocol):
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


def position(mark: _Mark | None) -> tuple[int, int]:
    """Line and column from 0 of a parser's mark."""
    return (mark.line, mark.column) if mark is not None else (0, 0)


def explain(
    error: yaml.MarkedYAMLError, lines: Sequence[str], collection: tuple[int, int] | None
) -> tuple[tuple[int, int], str]:
    """Where the cause of a parser's error stands (line and column from 0) and what it is.

    `collection` is where the innermost open mapping or list starts. A parser notices an open bracket or
    quote where the text no longer fits, often lines later; the cause is where it was opened.
    """
    at = position(error.problem_mark or error.context_mark)
    line = lines[at[0]] if at[0] < len(lines) else ""
    if line[at[1] :].startswith("\t") and not line[: at[1]].strip():
        return at, "invalid YAML: indentation uses spaces, found a tab"
    if "quoted scalar" in (error.context or "") and "end of stream" in (error.problem or ""):
        return position(error.context_mark), "invalid YAML: the quote is not closed"
    opening = "".join(lines[collection[0] : collection[0] + 1])[collection[1] :][:1] if collection else ""
    if collection and opening in _PAIRS and not _closed(lines, collection):
        rest = any(text.strip() for text in (line[at[1] :], *lines[at[0] + 1 :]))
        by = f"on line {at[0] + 1}" if rest else "by the end of the file"
        return collection, f'invalid YAML: "{opening}" is not closed: expected "," or "{_PAIRS[opening]}" {by}'
    return at, f"invalid YAML: {error.problem or error.context}"


def _closed(lines: Sequence[str], start: tuple[int, int]) -> bool:
    """Whether the bracket at `start` has its counterpart (quotes and comments are skipped)."""
    row, column = start
    text = "\n".join((lines[row][column:], *lines[row + 1 :]))
    opened: list[str] = []
    for match in _BRACKET.finditer(text):
        bracket = match.group()
        if bracket in _PAIRS:
            opened.append(_PAIRS[bracket])
        elif bracket in _PAIRS.values():
            if bracket != opened.pop():
                return False
            if not opened:
                return True
    return False
