"""What a search may do, as data: a YAML file, or the built-in space with everything allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from fusemap.archspec.schema import SpecModel, validate
from fusemap.archspec.yamlnodes import load_document


class MapspaceModel(SpecModel):
    """A file that narrows the space of mappings; what it leaves out is allowed.

    `fuse`: Einsums may share loops. `hold`, `spill`, `recompute`: what may become of a tensor that is needed on
    both sides of a barrier (`recompute` is the number of Einsums that may run again). `tiles`: which sizes tiles may
    have. `buffers`: copies of each tile that the buffer has room for (2: transfers and Einsums overlap on
    separate copies). `arrays`: the array that computes an Einsum.
    """

    description: str = ""
    fuse: bool = True
    hold: bool = True
    spill: bool = True
    recompute: int = Field(default=4, ge=0)
    tiles: Literal["divisors", "powers of two"] = "divisors"
    buffers: int = Field(default=1, ge=1, le=2)
    arrays: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapspace:
    """The limits of a search (see `MapspaceModel`)."""

    fuse: bool = True
    hold: bool = True
    spill: bool = True
    recompute: int = 4
    powers: bool = False
    buffers: int = 1
    arrays: tuple[tuple[str, str], ...] = ()

    def array_of(self, einsum: str) -> str | None:
        """The array that the space prescribes for an Einsum or a copy of it."""
        return dict(self.arrays).get(einsum.split("@")[0])


EVERYTHING = Mapspace()


def load_mapspace(path: str) -> Mapspace:
    """The space that a YAML file describes; InputError where it is wrong."""
    model = validate(load_document(path), MapspaceModel)
    return Mapspace(
        fuse=model.fuse,
        hold=model.hold,
        spill=model.spill,
        recompute=model.recompute,
        powers=model.tiles == "powers of two",
        buffers=model.buffers,
        arrays=tuple(model.arrays.items()),
    )
