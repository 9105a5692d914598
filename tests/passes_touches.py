"""Which coordinates of a fiber every point of a small instance touches, from the rule of carriers alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from passes_points import Element, Point, Program, rank_variables, read_accesses

from fusemap.einsum_cascade.types import Access, Affine, Einsum, RankExpr

Key = tuple[frozenset[int], int]  # the indices that tell the coordinate, and 1 or -1: does it rise or fall with them
Along = frozenset[tuple[str, int]]  # the variables of a read, each with the direction in which the coordinate changes
Coordinates = frozenset[int]


@dataclass(frozen=True, slots=True)
class Touch:
    """A read that touches the fiber at what its indices `key` tell; what is written carries it under `onto`."""

    access: Access
    key: Key
    onto: Key | None


class Carriers:
    """Which reads touch a fiber of a tensor: T carries itself; an Einsum that reads a carrier at variables v in the
    rank's position touches the fiber, and what it writes carries it again if all of v is on its left side.

    Of several reads along the same variables in the same direction (RM[m1] and RM[m1+1]) those are touches that tell
    the coordinate best: reads of T; else of tensors that do not need the Einsum's result; and of these, or of the
    others, those that are read where they are written.

    Reads in opposite directions (A[k] and X[K-1-k]) are different touches. The direction is that in which the
    coordinate changes: S[j] and A[K-1-j] go the same way where S[j+1] = S[j] + A[K-1-j].
    """

    def __init__(self, program: Program, tensor: str, positions: tuple[int, ...], *, direct: bool = False) -> None:
        self.program, self.tensor, self.direct = program, tensor, direct
        self.keys: dict[str, set[Key]] = {tensor: {(frozenset(positions), 1)}}
        self.needs = needed_tensors(program.statements)
        self.touches: dict[int, list[Touch]] = {}
        size = 0
        while size != sum(map(len, self.keys.values())):
            size = sum(map(len, self.keys.values()))
            self.touches = {id(e): self._of(e) for e in program.statements}
            for einsum in program.statements:
                for touch in self.of(einsum):
                    if touch.onto is not None:
                        self.keys.setdefault(einsum.name, set()).add(touch.onto)

    def of(self, einsum: Einsum) -> list[Touch]:
        """The touches of a statement."""
        return self.touches[id(einsum)]

    def _of(self, einsum: Einsum) -> list[Touch]:
        own: dict[Along, list[Touch]] = {}
        derived: dict[Along, list[tuple[tuple[bool, bool], Touch]]] = {}
        for access in read_accesses(einsum.expr):
            for key in sorted(self.keys.get(access.tensor, ()), key=str):
                touch, along = self._touch(einsum, access, key)
                if access.tensor == self.tensor:
                    own.setdefault(along, []).append(touch)
                elif along:
                    derived.setdefault(along, []).append((self._order(einsum, access, key), touch))
        best = [
            touch
            for along, found in derived.items()
            for order, touch in found
            if along not in own and order == min(o for o, _ in found)
        ]
        return [*(t for found in own.values() for t in found), *best]

    def _touch(self, einsum: Einsum, access: Access, key: Key) -> tuple[Touch, Along]:
        """The touch, and along which variables it goes, each with the direction in which the coordinate changes."""
        positions, way = key
        ways = {v: way * sign for p in positions for v, sign in signs(access.indices[p].expr)}
        left = {v: sign for i in einsum.output.indices for v, sign in signs(i.expr)}
        again = bool(ways) and ways.keys() <= left.keys() and einsum.name != self.tensor and not self.direct
        onto = frozenset(n for n, i in enumerate(einsum.output.indices) if ways.keys() & dict(signs(i.expr)).keys())
        after = next((w * left[v] for v, w in ways.items() if v in left), 1)
        return Touch(access, key, (onto, after) if again else None), frozenset(ways.items())

    def _order(self, einsum: Einsum, access: Access, key: Key) -> tuple[bool, bool]:
        written = [e.output for e in self.program.cascade.einsums if e.name == access.tensor]
        sides = [[a.indices[p].expr for p in sorted(key[0])] for a in (access, *written)]
        origins = [[self.program.coordinate(r, dict.fromkeys(rank_variables(r), 0)) for r in s] for s in sides]
        lags = any(o != origins[0] for o in origins[1:])
        return einsum.name in self.needs[access.tensor], lags


def signs(expr: RankExpr) -> Iterator[tuple[str, int]]:
    """The variables of a rank expression, each with its sign."""
    if isinstance(expr, Affine):
        yield from ((t.var, t.sign) for t in expr.terms if t.var is not None)
    else:
        yield from ((v, 1) for v in rank_variables(expr))


def needed_tensors(statements: tuple[Einsum, ...]) -> Mapping[str, frozenset[str]]:
    """All tensors that a tensor needs, directly or not."""
    reads: dict[str, set[str]] = {}
    for einsum in statements:
        reads.setdefault(einsum.name, set()).update(a.tensor for a in read_accesses(einsum.expr))

    def closed(name: str) -> frozenset[str]:
        seen: set[str] = set()
        waiting = list(reads.get(name, ()))
        while waiting:
            tensor = waiting.pop()
            if tensor not in seen:
                seen.add(tensor)
                waiting += reads.get(tensor, ())
        return frozenset(seen)

    return {name: closed(name) for name in {*reads, *(t for r in reads.values() for t in r)}}


class Fiber:
    """One fiber of (tensor, rank): the coordinates that every point touches."""

    def __init__(self, carriers: Carriers, positions: tuple[int, ...], fixed: tuple[int, ...]) -> None:
        self.program, self.carriers = carriers.program, carriers
        self.positions, self.fixed = positions, fixed
        self.extents = tuple(self.program.reach(carriers.tensor)[p] for p in positions)
        self._carried: dict[tuple[Element, Key], Coordinates] = {}

    def touched(self, point: Point) -> Coordinates:
        """The coordinates that have to be resident for a point."""
        return frozenset(c for t in self.carriers.of(point.einsum) for c in self._read(point, t))

    def _read(self, point: Point, touch: Touch) -> Coordinates:
        found = [self.carried(e, touch.key) for access, e in point.reads if access is touch.access]
        return frozenset(c for coordinates in found for c in coordinates)

    def carried(self, element: Element, key: Key) -> Coordinates:
        """The coordinates of the fiber that an element stands for."""
        tensor, at = element
        if tensor == self.carriers.tensor:
            here = tuple(c for n, c in enumerate(at) if n not in self.positions) == self.fixed
            number = 0
            for position, extent in zip(self.positions, self.extents, strict=True):
                number = number * extent + at[position]
            return frozenset({number} if here else ())
        if (element, key) not in self._carried:
            self._carried[element, key] = frozenset(
                c
                for point in self.program.points(element)
                for touch in self.carriers.of(point.einsum)
                if touch.onto == key
                for c in self._read(point, touch)
            )
        return self._carried[element, key]


def rank_positions(program: Program, tensor: str, rank: str) -> tuple[int, ...]:
    """The indices of a tensor that make up the rank: the one of that name, or one for each factor of it."""
    names = rank_names(program, tensor)
    if rank in names:
        return (names.index(rank),)
    factors = next(s.factors for s in program.cascade.shapes if s.name == rank)
    return tuple(names.index(f) for f in factors)


def rank_names(program: Program, tensor: str) -> list[str]:
    """The rank at every index of a tensor, from the variables with which it is declared or written."""
    names: list[str] = []
    for access in (*program.cascade.inputs, *(e.output for e in program.statements)):
        if access.tensor == tensor:
            here = ["*".join(v.upper() for v in rank_variables(i.expr)) for i in access.indices]
            names = [n or h for n, h in zip(names or here, here, strict=True)]
    return names


def told_by(touch: Touch) -> Iterator[str]:
    """The variables that tell the coordinate of a touch."""
    for position in touch.key[0]:
        yield from rank_variables(touch.access.indices[position].expr)
