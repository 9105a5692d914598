"""What a TeAAL file says, as far as a dense cascade can hold it, and what came out of an import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.archspec.document import Place
from fusemap.diagnostics import Span
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.teaal.expression import Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One expression of the `einsum` section and where it stands."""

    expression: Expression
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A dense partitioning of one rank in one Einsum: steps from outer to inner, (`shape` or `nway`, size).

    `shape` cuts pieces of that many coordinates, `nway` that many pieces; a size is a number or a name.
    """

    einsum: str
    rank: str
    steps: tuple[tuple[str, int | str], ...]
    place: Place

    @property
    def parts(self) -> tuple[str, ...]:
        """The ranks that come out, outer first: K2, K1, K0."""
        return tuple(f"{self.rank}{i}" for i in range(len(self.steps), -1, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that the file says and the cascade does not hold, and why it computes the same."""

    message: str
    span: Span

    def __str__(self) -> str:
        return f"{self.span}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A TeAAL file: declared ranks by tensor, expressions in order, dense splits, notes on the rest."""

    file: str
    declaration: Mapping[str, tuple[str, ...]]
    statements: tuple[Statement, ...]
    splits: tuple[Split, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A cascade that was read from another program's file; `text` can be saved as a `.cascade` file."""

    cascade: Cascade
    text: str
    format: str
    file: str
    notes: tuple[Note, ...]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/import/1`."""
        notes = [{"line": note.span.line, "column": note.span.column, "message": note.message} for note in self.notes]
        return {
            "schema": "fusemap/import/1",
            "format": self.format,
            "file": self.file,
            "cascade": self.cascade.name,
            "text": self.text,
            "notes": notes,
        }
