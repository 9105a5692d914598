"""What Accelergy's tables say: components by name, energy per action in pJ, area in um^2, each of one instance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Place

VERSIONS = ("0.3", "0.4")
PART = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\[(?P<first>[0-9]+)\.\.(?P<last>[0-9]+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One component as Accelergy names it: `system.PE[0..3].mac` is four instances of `mac`.

    `notes` says what its numbers are for (the arguments of an action); `attributes` is what the flattened
    architecture says of it.
    """

    name: str
    energies: tuple[tuple[str, Value], ...] = ()
    area_um2: Value | None = None
    estimators: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    place: Place | None = field(default=None, compare=False, repr=False)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names on the way to the component, without ranges."""
        return tuple(match["name"] for match in PART.finditer(self.name))

    @property
    def instances(self) -> int:
        """The product of the ranges' lengths.

        >>> Estimate(name="chip.PE[0..3].spad[1..2]").instances
        8
        """
        count = 1
        for match in PART.finditer(self.name):
            if match["last"] is not None:
                count *= int(match["last"]) - int(match["first"]) + 1
        return count

    @property
    def energy_pj(self) -> Mapping[str, Value]:
        """The energy of each action."""
        return dict(self.energies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """An ERT and an ART together, in the order of the files; `files` names each with its digest."""

    version: str
    components: tuple[Estimate, ...]
    files: tuple[str, ...] = field(default=(), compare=False)
