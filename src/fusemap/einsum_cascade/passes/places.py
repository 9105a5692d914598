"""The coordinate of a fiber at which every statement stands, as a variable plus an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import Key, base_key, carriers_of
from fusemap.einsum_cascade.passes.model import Model, Statement
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.passes.zones import ZERO, Place
from fusemap.einsum_cascade.types import Access, TensorName

_Stand = tuple[int, int, int, int]  # the index and digit of a carrier that tell the coordinate, least and most to add


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Coordinates by statement, several if it touches several; `wild` touch one coordinate that has no form.

    `stuck` touch several of which one has no form: no sweep can run them. `kept` are constant coordinates of the
    tensor itself that are read all along.
    """

    known: Mapping[int, tuple[Place, ...]]
    wild: frozenset[int]
    stuck: frozenset[int]
    kept: frozenset[Place]


def places_of(model: Model, of: RankOf) -> Places:
    """Where the statements stand along one digit of a rank.

    A read at a constant coordinate (S[K]) is of a value that is kept, not of the passing fiber.
    """
    (digit,) = of.digits
    carriers = carriers_of(model.cascade, of, facts=model.facts)
    parts = model.frame.digits(of.tensor, digit.position)
    which = 0 if len(parts) == 1 else parts.index(digit.shape)
    stands: dict[tuple[TensorName, Key], _Stand | None] = {(of.tensor, base_key(of)): (digit.position, which, 0, 0)}
    known: dict[int, set[Place]] = {}
    formless: dict[int, set[Access]] = {}
    kept: set[Place] = set()
    for _ in range(2 * len(model.statements)):
        before = dict(stands)
        for s in model.statements:
            for touch in carriers.touches.get(s.name, ()):
                reading = next((r for r in s.reads if r.access == touch.access), None)
                if reading is None or (touch.access.tensor, touch.key) not in stands:
                    continue
                at = stands[touch.access.tensor, touch.key]
                slot = None if at is None else reading.slots[at[0]][at[1]]
                if at is None or slot is None or slot.place is None:
                    formless.setdefault(s.number, set()).add(touch.access)
                    found = None
                elif slot.place[0] not in s.ranges:
                    kept |= {slot.place} if touch.access.tensor == of.tensor else set()
                    continue
                else:
                    node, offset = slot.place
                    found = node, offset + at[2], offset + at[3]
                    known.setdefault(s.number, set()).update({(node, found[1]), (node, found[2])})
                if touch.onto is not None:
                    _carry(s, found, (s.name, touch.onto), stands)
        if stands == before:
            break
    wild = {n for n, reads in formless.items() if len(reads) == 1 and n not in known}
    stuck = formless.keys() - wild
    return Places(
        known={n: tuple(sorted(at)) for n, at in known.items() if n not in stuck},
        wild=frozenset(wild),
        stuck=frozenset(stuck),
        kept=frozenset(kept),
    )


def _carry(
    s: Statement,
    found: tuple[str, int, int] | None,
    key: tuple[TensorName, Key],
    stands: dict[tuple[TensorName, Key], _Stand | None],
) -> None:
    """What a statement writes stands for its coordinates: where its variable is on the left."""
    stand: _Stand | None = None
    for position, digits in enumerate(s.writes):
        for n, slot in enumerate(digits):
            if found is not None and slot.place is not None and slot.place[0] == found[0] != ZERO:
                stand = (position, n, found[1] - slot.place[1], found[2] - slot.place[1])
    known = stands.get(key, stand)
    if known is not None and stand is not None and known[:2] == stand[:2]:  # D[k] = X[k] - X[k-1]: for both
        stand = (*known[:2], min(known[2], stand[2]), max(known[3], stand[3]))
    elif known != stand:
        stand = None
    stands[key] = stand
