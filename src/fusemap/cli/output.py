"""What commands print: one JSON document, or plain tables that fit a terminal."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from fusemap.diagnostics import DoesNotFit

_SCHEMA = re.compile(r"fusemap/[a-z][a-z0-9-]*/[1-9][0-9]*")


def emit_json(document: Mapping[str, Any]) -> None:
    """Print `document` as one JSON document, `schema` first, the other keys in their given order.

    Raises ValueError when `schema` is missing or malformed (`fusemap/NAME/VERSION`), or a number is not
    finite: JSON has no NaN, and one in a result is a fault to be found here.

    >>> emit_json({"names": ["a"], "schema": "fusemap/list/1"})
    {
      "schema": "fusemap/list/1",
      "names": [
        "a"
      ]
    }
    """
    schema = document.get("schema")
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise ValueError(f"a document's schema is 'fusemap/NAME/VERSION', not {schema!r}")
    bad = next(_not_finite(document, ""), None)
    if bad is not None:
        raise ValueError(f"{bad[0]} is {bad[1]}, which JSON cannot hold")
    click.echo(json.dumps({"schema": schema, **document}, indent=2, allow_nan=False))


def refusal(command: str, answer: DoesNotFit) -> dict[str, object]:
    """The document of a command whose answer is that nothing fits.

    >>> from fusemap.diagnostics import Violation
    >>> need = Violation(what="global_buffer", need=40, limit=32, unit="MiB")
    >>> refusal("evaluate", DoesNotFit("softmax", (need,)))["violations"]
    [{'what': 'global_buffer', 'need': 40, 'limit': 32, 'unit': 'MiB', 'hint': ''}]
    """
    return {
        "schema": f"fusemap/{command}/1",
        "fits": False,
        "subject": answer.subject,
        "violations": [asdict(violation) for violation in answer.violations],
    }


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], align: str = "", width: int = 100) -> str:
    """A plain table of cells, columns two spaces apart; no line is longer than `width` if wrapping can help.

    `align` has one letter per column, `l` or `r`; all left when empty. The widest left column wraps.

    >>> print(table([["BERT", "12"], ["T5", "3"]], ["model", "layers"], "lr"))
    model  layers
    -----  ------
    BERT       12
    T5          3
    """
    align = align or "l" * len(headers)
    ragged = [row for row in rows if len(row) != len(headers)]
    if len(align) != len(headers) or set(align) - set("lr") or ragged:
        raise ValueError(f"{len(headers)} headers need as many cells per row and letters l, r: {align!r} {ragged[:1]}")
    widths = _widths([headers, *rows], align, width)
    rule = ["-" * w for w in widths]
    lines = [line for row in (headers, rule, *rows) for line in _lines(row, align, widths)]
    return "\n".join(lines)


def _widths(rows: Sequence[Sequence[str]], align: str, width: int, narrowest: int = 12) -> list[int]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    left = [i for i, letter in enumerate(align) if letter == "l"]
    if excess > 0 and left:
        widest = max(left, key=lambda i: widths[i])
        widths[widest] = max(min(narrowest, widths[widest]), widths[widest] - excess)
    return widths


def _lines(row: Sequence[str], align: str, widths: Sequence[int]) -> Iterator[str]:
    cells = [textwrap.wrap(cell, w) or [""] if len(cell) > w else [cell] for cell, w in zip(row, widths, strict=True)]
    for i in range(max(len(cell) for cell in cells)):
        texts = [cell[i] if i < len(cell) else "" for cell in cells]
        padded = [t.rjust(w) if a == "r" else t.ljust(w) for t, a, w in zip(texts, align, widths, strict=True)]
        yield "  ".join(padded).rstrip()


def _not_finite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_finite(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{path}[{index}]")
