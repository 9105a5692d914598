"""A cascade that was read from another program's file, and notes on what it does not hold."""

from __future__ import annotations

from dataclasses import dataclass

from fusemap.diagnostics import Span
from fusemap.einsum_cascade.types import Cascade


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that the file says and the cascade holds otherwise or not, and why it computes the same."""

    message: str
    span: Span | None = None

    def __str__(self) -> str:
        return f"note: {self.message}" if self.span is None else f"{self.span}: note: {self.message}"


def comment(text: str) -> str:
    """A line of a cascade that holds the text as a comment, whatever line breaks it has.

    >>> comment("a name\\nZ = A")
    '# a name Z = A\\n'
    """
    return f"# {' '.join(text.split())}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """`cascade` and its `text`, which can be saved as a `.cascade` file; `format` and `file` say where from."""

    cascade: Cascade
    text: str
    format: str
    file: str
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/import/1`; notes on a binary file have no line."""
        notes = [
            {
                "line": note.span.line if note.span else None,
                "column": note.span.column if note.span else None,
                "message": note.message,
            }
            for note in self.notes
        ]
        return {
            "schema": "fusemap/import/1",
            "format": self.format,
            "file": self.file,
            "cascade": self.cascade.name,
            "text": self.text,
            "notes": notes,
        }
