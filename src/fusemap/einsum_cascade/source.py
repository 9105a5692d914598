"""Source texts: size and character limits, lines, and diagnostics that quote them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fusemap.diagnostics import Diagnostic, InputError, Span, did_you_mean
from fusemap.einsum_cascade.types import NOWHERE, Cascade

MAX_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffd]")
_SUGGESTIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A text split into lines, with the name of its file."""

    file: str
    text: str
    lines: tuple[str, ...]

    def diagnostic(self, span: Span, message: str, hint: str = "") -> Diagnostic:
        """A diagnostic at `span` that quotes its line; without a place if the tree came from no text."""
        if span == NOWHERE:
            return Diagnostic(message=message, hint=hint)
        quoted = self.lines[span.line - 1] if 1 <= span.line <= len(self.lines) else ""
        return Diagnostic(span=span, message=message, source=quoted, hint=hint)


def source_of(text: str, file: str) -> Source:
    """`text` with unified line ends and without byte-order mark; InputError when it is no text."""
    if len(text) > MAX_BYTES:
        raise _refused(file, f"the file has more than {MAX_BYTES} bytes, the limit for a cascade")
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    control = _CONTROL.search(plain)
    if control:
        line = plain.count("\n", 0, control.start()) + 1
        raise _refused(file, f"not a text file: character U+{ord(control.group()):04X} in line {line}")
    return Source(file=file, text=plain, lines=tuple(plain.split("\n")))


def cascade_source(cascade: Cascade) -> Source:
    """The text that a cascade was read from, for diagnostics at its spans."""
    return Source(file=cascade.file, text=cascade.text, lines=tuple(cascade.text.split("\n")))


def read_text(path: Path) -> str:
    """The text of a file of at most MAX_BYTES in UTF-8; InputError for anything else."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _refused(file, f"cannot read the file: {reason}") from error
    if len(data) > MAX_BYTES:
        raise _refused(file, f"the file has more than {MAX_BYTES} bytes, the limit for a cascade")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(file, f"not a text file: byte 0x{data[error.start]:02X} in line {line} is not UTF-8") from error


def suggest(name: str, valid: Iterable[str], noun: str) -> str:
    """`did_you_mean` over a bounded number of names, so that a huge file still fails fast."""
    return did_you_mean(name, heapq.nsmallest(_SUGGESTIONS, set(valid)), noun=noun)


def _refused(file: str, message: str) -> InputError:
    return InputError((Diagnostic(span=Span(file=file, line=1, column=1), message=message),))
