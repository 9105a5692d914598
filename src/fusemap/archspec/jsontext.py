"""JSON text to plain data with the place of every key and value.

A JSON document is a YAML 1.2 one but for tabs between its values and halves of surrogate pairs in its strings; with
these out of the way the reader of YAML gives the places. Only JSON is accepted: no comments, no trailing commas. The
words NaN and Infinity, which Python writes, are texts.
"""

from __future__ import annotations

import json
import os
import re

from fusemap.archspec.document import Document
from fusemap.archspec.yamlnodes import parse_document, read_text
from fusemap.diagnostics import Diagnostic, InputError, Span

_SURROGATE = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def load_json(path: str | os.PathLike[str]) -> Document:
    """Read a JSON file of at most 1 MiB of UTF-8; InputError names the file and the place."""
    return parse_json(read_text(path), file=str(path))


def parse_json(text: str, *, file: str = "<text>") -> Document:
    """Parse JSON text into a Document; InputError for what is no JSON, a key that is given twice, too deep a nesting.

    >>> found = parse_json('{"eps": 1e-05, "window": null}')
    >>> found.data, found.place(("window",)).span.column
    ({'eps': 1e-05, 'window': None}, 26)
    """
    _check(text, file)
    plain = _SURROGATE.sub(r"\1\\ufffd", text.replace("\t", " "))
    return parse_document(plain, file=file)


def _check(text: str, file: str) -> None:
    """InputError where the text is no JSON."""
    try:
        json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        source = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
        span = Span(file=file, line=error.lineno, column=error.colno, length=1)
        message = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise InputError((Diagnostic(message=message, span=span, source=source),)) from None
    except RecursionError:
        raise InputError((_whole(file, "nested too deeply"),)) from None
    except ValueError as error:
        raise InputError((_whole(file, f"not JSON: {error}"),)) from None


def _whole(file: str, message: str) -> Diagnostic:
    return Diagnostic(message=message, span=Span(file=file, line=1, column=1))
