"""What Timeloop takes otherwise than our model, as sentences for comments and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusemap.mappers.types import EinsumMapping, EinsumSpace
from fusemap.sim.reuse import tiles
from fusemap.validation.timeloop.spec import DataSpace, Node, StorageNode
from fusemap.validation.timeloop.vocabulary import identifier


def too_full(space: EinsumSpace, nest: EinsumMapping, nodes: Sequence[Node]) -> Iterator[str]:
    """Levels whose tiles, each taken for itself, have more words than there is room."""
    for node in nodes:
        if isinstance(node, StorageNode) and node.level is not None and node.depth is not None:
            kept = [o for o in space.operands if identifier(o.label) in node.keep]
            need, room = sum(tiles(nest.levels, o)[node.level] for o in kept), node.depth * node.block_words
            if need > room:
                yield f"{node.name} has {room:,} words, and Timeloop counts {need:,}: it refuses this mapping"


def notes_of(space: EinsumSpace, spaces: Sequence[DataSpace], cycles: int) -> tuple[str, ...]:
    """Operators, cycles, recurrences and overlapping tiles, where Timeloop takes them otherwise."""
    notes = list(space.notes)
    if space.operators != ("mul", "sum"):
        chain = " + ".join(space.operators)
        notes.append(f"Timeloop multiplies and adds; here a point is {chain}, whose energy the compute unit has")
    if cycles != 1:
        notes.append(f"a point takes {cycles} cycles on our array, 1 in Timeloop")
    if space.sequential:
        ranks = ", ".join(sorted(space.sequential))
        notes.append(f"{ranks} steps through a recurrence; Timeloop takes its coordinates as independent")
    slid = ", ".join(s.label for s in spaces if s.slides)
    if slid:
        notes.append(f"{slid}: Timeloop keeps what overlapping tiles share, fusemap reads it again (an upper bound)")
    return tuple(notes)
