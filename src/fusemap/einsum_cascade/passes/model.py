"""A cascade in difference-bound form: every index as a coordinate plus an offset, sizes as coordinates.

A rank that is read in digits (m1*M0+m0, h//G) is one coordinate per digit. An index that runs against its
variable (A[K-1-j]) is made to run along by mirroring variables and ranks (j' = K-1-j). What is no difference
(p-m of two variables, a width that is a symbol) has no form; the analysis then claims less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fusemap.einsum_cascade.interpreter_schedule import components
from fusemap.einsum_cascade.passes.carriers import Facts, facts_of
from fusemap.einsum_cascade.passes.conditions import Cut, cuts_of
from fusemap.einsum_cascade.passes.frame import Frame, Slot, frame_of
from fusemap.einsum_cascade.passes.taps import pinned_chain, pinned_expr, taps_of
from fusemap.einsum_cascade.passes.zones import Bound, Place, Ranges, Space, Union, Zone, within
from fusemap.einsum_cascade.scope import accesses, conditions_of, variables_of
from fusemap.einsum_cascade.types import Access, Cascade, Einsum, Lookup, ShapeName, TensorName, VarName

Slots = tuple[tuple[Slot, ...], ...]  # per index, per digit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A read with the form of every digit of every index; `found` are zones that were carried through it."""

    access: Access
    slots: Slots
    found: dict[Zone, Zone | None] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An init or Einsum: coordinates with their ranges, reads, the written place, and its conditions.

    `sure` are bounds that imply the conditions (None: nothing is known to imply them), `implied` are bounds
    that the conditions imply.
    """

    number: int
    einsum: Einsum
    ranges: Mapping[str, Place]
    reads: tuple[Reading, ...]
    writes: Slots
    cut: Cut

    @property
    def name(self) -> TensorName:
        return self.einsum.name

    def bounds(self, nodes: Iterable[str]) -> frozenset[Bound]:
        """The ranges of some of its coordinates."""
        return frozenset(b for n in nodes if n in self.ranges for b in within(n, self.ranges[n]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found with the same ranges: rows that are alike, and levels of a row, ask again.

    `spaces` are those of a tensor's indices by its name, and of a statement's variables by its number; `beside` is
    that of the coordinates that no statement owns.
    """

    beside: Space
    spaces: dict[TensorName | int, Space] = field(default_factory=dict)
    written: dict[tuple[int, Union, Union], Union] = field(default_factory=dict)
    covered: dict[tuple[int, tuple[tuple[str, Place], ...], Union], Union] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The statements of a cascade in difference-bound form, inits first.

    `groups` are statements that need each other together, each group after those it needs. `found` is by the ranges
    of the coordinates that no statement owns; a model with other statements must begin with none.
    """

    cascade: Cascade
    frame: Frame
    statements: tuple[Statement, ...]
    index_ranges: Mapping[TensorName, Ranges]
    facts: Facts
    written_by: Mapping[TensorName, tuple[Statement, ...]]
    groups: tuple[tuple[Statement, ...], ...]
    found: dict[frozenset[tuple[str, Place]], Found] = field(default_factory=dict, compare=False, repr=False)

    def writers(self, tensor: TensorName) -> tuple[Statement, ...]:
        """The statements that write a tensor."""
        return self.written_by.get(tensor, ())


def model_of(
    cascade: Cascade,
    sizes: Mapping[ShapeName, int] | None = None,
    *,
    pinned: bool = False,
    facts: Facts | None = None,
) -> Model:
    """The model of a cascade; `sizes` turn shapes that bound no rank into numbers (a window's width).

    With `pinned` it has fewer points, of which more is known: of a convolution's taps, K[m+s], the one with s at a
    constant. What holds for a lower bound there holds for all points. `facts` are those of another model of it.
    """
    frame = frame_of(cascade, sizes or {})
    statements = []
    for number, einsum in enumerate((*cascade.inits, *cascade.einsums)):
        pins = taps_of(frame, einsum) if pinned else {}
        ranges = {n: p for v in variables_of(einsum) if v not in pins for n, p in frame.ranges(number, v)}
        reads = tuple(Reading(access=a, slots=_slots(frame, number, a, pins)) for a in accesses(einsum))
        statements.append(
            Statement(
                number=number,
                einsum=einsum,
                ranges=ranges,
                reads=reads,
                writes=_slots(frame, number, einsum.output, {}),
                cut=cuts_of(frame, number, [pinned_chain(c, pins) for c in conditions_of(einsum)]),
            )
        )
    reach = {t: _index_ranges(frame, t) for t in frame.ranks}
    writers: dict[TensorName, tuple[Statement, ...]] = {}
    for statement in statements:
        writers[statement.name] = (*writers.get(statement.name, ()), statement)
    return Model(
        cascade=cascade,
        frame=frame,
        statements=tuple(statements),
        index_ranges=reach,
        facts=facts_of(cascade) if facts is None else facts,
        written_by=writers,
        groups=_groups(tuple(statements), len(cascade.inits)),
    )


def index_node(position: int, digit: int) -> str:
    """The coordinate of a digit of a tensor's index."""
    return f"@{position}.{digit}"


def _index_ranges(frame: Frame, tensor: TensorName) -> Ranges:
    """The greatest value of every digit of every index of a tensor."""
    found: dict[str, Place] = {}
    for position in range(len(frame.ranks[tensor])):
        digits = frame.digits(tensor, position)
        for digit, shape in enumerate(digits):
            last = frame.lasts.get((tensor, position)) if len(digits) == 1 else frame.size(shape, -1)
            if last is not None:
                found[index_node(position, digit)] = last
    return found


def _slots(frame: Frame, number: int, access: Access, pins: Mapping[VarName, int]) -> Slots:
    found = []
    for position, index in enumerate(access.indices):
        digits = frame.digits(access.tensor, position)
        if isinstance(index.expr, Lookup):
            found.append((Slot(any=True),) * len(digits))
        else:
            found.append(frame.slots(number, access.tensor, position, pinned_expr(index.expr, pins)))
    return tuple(found)


def _groups(statements: tuple[Statement, ...], inits: int) -> tuple[tuple[Statement, ...], ...]:
    writers: dict[TensorName, set[int]] = {}
    for s in statements:
        writers.setdefault(s.name, set()).add(s.number)
    waits = [{w for r in s.reads for w in writers.get(r.access.tensor, ())} for s in statements]
    # an init is in the group of what continues it, so that a tensor is complete after its group
    for numbers in writers.values():
        begun = {n for n in numbers if n < inits}
        for number in numbers - begun:
            waits[number] |= begun
    return tuple(tuple(statements[n] for n in sorted(group)) for group in components(waits))
