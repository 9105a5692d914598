"""The definition of passes executed directly: levels of all touches of every fiber of a small instance.

level(z) = 1 + max{l >= 0 : every coordinate of the fiber has a touch of level >= l that precedes z};
passes = max over fibers of max{l : touches of level >= l hit every coordinate}, 1 if a fiber is touched only in part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from fusemap.einsum_cascade.passes.carriers import Carriers, Facts, Key, Touch, base_key, carriers_of
from fusemap.einsum_cascade.passes.instance import Element, Instance, Point
from fusemap.einsum_cascade.passes.ranks import Digit, RankOf
from fusemap.einsum_cascade.types import TensorName

Masks = tuple[int, ...]  # per level, from 1: the coordinates that have a touch of at least that level


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What the touches of one (tensor, rank) come to: passes, and the pass of every Einsum that covers a fiber."""

    passes: int
    assignment: tuple[tuple[TensorName, int], ...]


def reference_levels(
    instance: Instance, of: RankOf, *, direct: bool = False, facts: Facts | None = None
) -> Levels | None:
    """Passes of (tensor, rank) on the instance by its definition; None if nothing reads the tensor along the rank.

    `facts` are those of the instance's cascade, if known.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.instance import instance_of
    >>> from fusemap.einsum_cascade.passes.ranks import owned_ranks
    >>> cascade = load("cascade-1")
    >>> tiny = instance_of(cascade, {"K": 3})
    >>> [(r.tensor, reference_levels(tiny, r).passes) for r in owned_ranks(cascade) if r.tensor in "AB"]
    [('A', 2), ('B', 1)]
    """
    carriers = carriers_of(instance.cascade, of, direct=direct, facts=facts)
    if not carriers.touches:
        return None
    best: Levels | None = None
    steps = _steps(instance, carriers)
    for fiber in _fibers(instance, of):
        levels = _fiber_levels(steps, of, fiber)
        if levels is not None and (best is None or levels.passes > best.passes):
            best = levels
    return best


@dataclass(frozen=True, slots=True)
class _Step:
    """A point, the elements it reads, and those of them by which it may touch a fiber."""

    point: Point
    reads: tuple[Element, ...]
    touches: tuple[tuple[Touch, tuple[Element, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Fiber:
    coordinates: Mapping[Element, int]
    full: int


def _fibers(instance: Instance, of: RankOf) -> Iterator[_Fiber]:
    """Elements of the tensor by their other digits; a fiber's coordinate is the number of its rank's digits."""
    extents = instance.extents(of.tensor)
    fibers: dict[tuple[object, ...], dict[Element, int]] = {}
    length = 1
    for digit in of.digits:
        length *= digit_extent(instance, digit, extents)
    for at in sorted(instance.elements.get(of.tensor, ())):
        coordinate = 0
        fixed = list[int](at)
        for digit in of.digits:
            part = digit_value(instance, digit, at[digit.position])
            coordinate = coordinate * digit_extent(instance, digit, extents) + part
            fixed[digit.position] -= part * digit_stride(instance, digit)
        fibers.setdefault(tuple(fixed), {})[of.tensor, at] = coordinate
    for elements in fibers.values():
        yield _Fiber(elements, (1 << length) - 1)


def digit_stride(instance: Instance, digit: Digit) -> int:
    """How many coordinates of its index one step of the digit is."""
    stride = 1
    for shape in digit.inner:
        stride *= instance.sizes[shape]
    return stride


def digit_extent(instance: Instance, digit: Digit, extents: tuple[int, ...]) -> int:
    """The number of values of the digit."""
    return extents[digit.position] if digit.whole else instance.sizes[digit.shape]


def digit_value(instance: Instance, digit: Digit, coordinate: int) -> int:
    """The digit of an index's coordinate."""
    return coordinate if digit.whole else coordinate // digit_stride(instance, digit) % instance.sizes[digit.shape]


def _steps(instance: Instance, carriers: Carriers) -> list[_Step]:
    """The points that touch, and those that they need: no other adds to the level of a touch."""
    found: list[_Step] = []
    needed: set[Element] = set()
    for point in reversed(instance.points):
        touches = carriers.touches.get(point.einsum.name, ())
        if touches or point.writes in needed:
            reads = tuple(e for r in point.reads for e in r.elements)
            needed.update(reads)
            found.append(_Step(point, reads, tuple((t, _elements(point, t)) for t in touches)))
    found.reverse()
    return found


def _elements(point: Point, touch: Touch) -> tuple[Element, ...]:
    return tuple(e for read in point.reads if read.access == touch.access for e in read.elements)


def _fiber_levels(steps: Sequence[_Step], of: RankOf, fiber: _Fiber) -> Levels | None:
    key = base_key(of)
    carried: dict[tuple[Element, Key], int] = {(e, key): 1 << c for e, c in fiber.coordinates.items()}
    before: dict[Element, Masks] = {}
    covered: dict[TensorName, list[int]] = {}
    for step in steps:
        point = step.point
        touched, asked = _touch(carried, step) if step.touches else (0, 0)
        masks = _union([before[e] for e in step.reads if e in before])
        if touched | asked:
            level = 1 + next((n for n, m in enumerate(masks) if m != fiber.full), len(masks))
            masks = _union((masks, (touched,) * level if touched else ()))
            mine = covered.setdefault(point.einsum.name, [])
            mine += [0] * (level - len(mine))
            for n in range(level):
                mine[n] |= touched | asked
        if not masks:
            continue  # nothing of the fiber was touched up to here
        before[point.writes] = _union((before.get(point.writes, ()), masks))
    if not covered:
        return None
    total = _union(tuple(m) for m in covered.values())
    passes = max(1, sum(m == fiber.full for m in total))
    own = ((e, sum(m == fiber.full for m in masks)) for e, masks in covered.items())
    return Levels(passes=passes, assignment=tuple((e, n) for e, n in own if n))


def _touch(carried: dict[tuple[Element, Key], int], step: _Step) -> tuple[int, int]:
    """The coordinates that the point touches, and those of which it may touch any; what it writes carries the former.

    A data-dependent read may ask for any coordinate, but visits one: what follows it has not seen the fiber.
    """
    touched = asked = 0
    for touch, elements in step.touches:
        mask = 0
        for element in elements:
            mask |= carried.get((element, touch.key), 0)
        touched |= 0 if touch.gathers else mask
        asked |= mask if touch.gathers else 0
        if mask and touch.onto is not None:
            at = (step.point.writes, touch.onto)
            carried[at] = carried.get(at, 0) | mask
    return touched, asked


def _union(many: Iterable[Masks]) -> Masks:
    """Level by level, the coordinates in any of them."""
    total: Masks = ()
    for masks in many:
        if masks != total:
            total = tuple(a | b for a, b in zip_longest(total, masks, fillvalue=0)) if total else masks
    return total
