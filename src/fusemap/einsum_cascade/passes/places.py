"""The coordinate of a fiber at which every statement stands, as a variable plus an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import Key, base_key, carriers_of
from fusemap.einsum_cascade.passes.model import Model, Statement
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.passes.zones import ZERO, Place
from fusemap.einsum_cascade.types import Access, TensorName


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
    # of each carrier: the index digit that tells the coordinate, and what to add to it
    stands: dict[tuple[TensorName, Key], tuple[int, int, int] | None] = {
        (of.tensor, base_key(of)): (digit.position, which, 0)
    }
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
                    place = None
                elif slot.place[0] not in s.ranges:
                    kept |= {slot.place} if touch.access.tensor == of.tensor else set()
                    continue
                else:
                    place = (slot.place[0], slot.place[1] + at[2])
                    known.setdefault(s.number, set()).add(place)
                if touch.onto is not None:
                    _carry(s, place, (s.name, touch.onto), stands)
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
    place: Place | None,
    key: tuple[TensorName, Key],
    stands: dict[tuple[TensorName, Key], tuple[int, int, int] | None],
) -> None:
    """What a statement writes stands for its coordinate: where its variable is on the left."""
    found: tuple[int, int, int] | None = None
    for position, digits in enumerate(s.writes):
        for n, slot in enumerate(digits):
            if place is not None and slot.place is not None and slot.place[0] == place[0] != ZERO:
                found = (position, n, place[1] - slot.place[1])
    known = stands.get(key, found)
    if known is not None and found is not None and known[:2] == found[:2]:
        found = max(known, found)  # D[k] of X[k] - X[k-1] stands for the later of both
    elif known != found:
        found = None
    stands[key] = found
