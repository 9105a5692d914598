"""The one message for what cannot be emitted."""

from __future__ import annotations

from fusemap.diagnostics import Diagnostic, InputError
from fusemap.einsum_cascade.printer import format_einsum
from fusemap.einsum_cascade.types import NOWHERE, Cascade, Einsum


class CannotEmitError(Exception):
    """A statement that has no form here, with the reason; whoever knows the Einsum makes `refused` of it."""


def refused(cascade: Cascade, einsum: Einsum, why: str) -> InputError:
    """An InputError that names the Einsum, with its text or its place in the file."""
    message = f"cannot emit Einsum {einsum.name} of {cascade.name}: {why}"
    lines = cascade.text.split("\n")
    if einsum.span == NOWHERE or einsum.span.line > len(lines):
        return InputError((Diagnostic(message=f"{message}: {format_einsum(einsum)}"),))
    return InputError((Diagnostic(span=einsum.span, message=message, source=lines[einsum.span.line - 1]),))
