"""What a TeAAL file says, as far as a dense cascade can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.archspec.document import Place
from fusemap.validation.imported import Note
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
class Spec:
    """A TeAAL file: declared ranks by tensor, expressions in order, dense splits, notes on the rest."""

    file: str
    declaration: Mapping[str, tuple[str, ...]]
    statements: tuple[Statement, ...]
    splits: tuple[Split, ...]
    notes: tuple[Note, ...]
