"""The machines and sizes behind a store's rows, made again from their columns.

A store names archs, cascades and workloads as its sweep did, and its columns carry the section that they come from:
`dram.bandwidth_bytes_per_s` is a number of a machine, `pe` a parameter where all archs have one of that name, and
otherwise a size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fusemap.archspec.archs import ArchSource, find_arch
from fusemap.archspec.batches import collapsed, run
from fusemap.archspec.divergence import Texts
from fusemap.archspec.document import Path
from fusemap.archspec.lanes import Lanes
from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.validation.store_layout import Layout
from fusemap.validation.traffic_bound import on_chip_bytes

_PLAIN: Mapping[str, Path] = {"clock_hz": ("clock",), "word_bytes": ("word",)}
_OF_MEMORY = {"capacity_bytes": "capacity", "bandwidth_bytes_per_s": "bandwidth", "width_bits": "width"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """The numeric axes of a store by what they replace: parameters and numbers of a machine, sizes of ranks."""

    parameters: tuple[str, ...]
    machine: tuple[tuple[str, Path], ...]
    sizes: tuple[str, ...]
    archs: Mapping[str, ArchSource] = field(repr=False)

    @property
    def of_machine(self) -> tuple[str, ...]:
        """The columns that make a machine, beside `arch`."""
        return (*self.parameters, *(column for column, _ in self.machine))


def sections(layout: Layout, archs: Iterable[str]) -> Sections:
    """What each axis replaces on some archs; InputError for an arch that is not found (a path is seen from here)."""
    sources = {name: find_arch(name) for name in archs}
    known = [{parameter for parameter, _ in source.machine().parameters} for source in sources.values()]
    numbers = [a for a in layout.axes if layout.kinds[a] != "TEXT" and a != "length"]
    parameters = [a for a in numbers if known and all(a in names for names in known)]
    machine = [(a, place_of(a)) for a in numbers if a not in parameters and ("." in a or a in _PLAIN)]
    taken = {*parameters, *(column for column, _ in machine)}
    return Sections(
        parameters=tuple(parameters),
        machine=tuple(machine),
        sizes=tuple(a for a in numbers if a not in taken),
        archs=sources,
    )


def place_of(column: str) -> Path:
    """Where a machine's file has the number of a column.

    >>> place_of("dram.bandwidth_bytes_per_s"), place_of("array_2d.rows"), place_of("clock_hz")
    (('memories', 'dram', 'bandwidth'), ('arrays', 'array_2d', 'dims', 'rows'), ('clock',))
    """
    if column in _PLAIN:
        return _PLAIN[column]
    owner, _, what = column.rpartition(".")
    return ("memories", owner, _OF_MEMORY[what]) if what in _OF_MEMORY else ("arrays", owner, "dims", what)


def rooms(found: Sections, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
    """The bytes that fit on chip, registers included, for machines given as (arch, numbers of `of_machine`...)."""
    rooms: dict[tuple[Any, ...], int] = {}
    for arch in dict.fromkeys(key[0] for key in keys):
        mine = [key for key in keys if key[0] == arch]
        texts = Texts()
        columns = zip(*(key[1:] for key in mine), strict=True)
        batch = {c: collapsed(np.array(v), texts) for c, v in zip(found.of_machine, columns, strict=True)}
        source = found.archs[arch]

        def room(numbers: Mapping[str, Any], source: ArchSource = source) -> Any:
            return on_chip_bytes(_machine(found, source, numbers))

        for group in run(room, batch, np.arange(len(mine))):
            if group.refusal is not None or group.result is None:
                message = f"{arch}: not known how much fits on chip"
                raise group.refusal or input_error(message, hint="a memory inside the outermost one is unbounded")
            for lane, place in enumerate(group.index.tolist()):
                value = group.result
                rooms[mine[place]] = int(value.lane(lane) if isinstance(value, Lanes) else value)
    return rooms


def _machine(found: Sections, source: ArchSource, numbers: Mapping[str, Any]) -> Machine:
    return source.machine(
        {name: numbers[name] for name in found.parameters}, {path: numbers[column] for column, path in found.machine}
    )
