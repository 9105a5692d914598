"""The loops of a cascade and their default order, for the schedule that footprints are counted in.

A loop is a rank variable, or a digit of one; variables that different Einsums use for one rank (h//G that
reads what is written at hk) are one loop if no Einsum has both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.einsum_cascade.passes.model import Model, Statement
from fusemap.einsum_cascade.passes.ranks import factors_of
from fusemap.einsum_cascade.passes.zones import SIZE, ZERO, Place, Zone
from fusemap.einsum_cascade.scope import all_variables, output_variables, rank_variables, shape_of
from fusemap.einsum_cascade.types import Access, Apply, Expr, Index, Lookup, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """Loops outermost to innermost: `batch` are fixed, `order` run; `of` maps coordinates to their
    loop. `coupled` are those that some Einsum reduces, steps along, or reads at another coordinate than its own."""

    of: Mapping[str, str]
    batch: tuple[str, ...]
    order: tuple[str, ...]
    coupled: frozenset[str]
    ranks: Mapping[str, str]
    descending: frozenset[str]

    def nodes(self, statement: Statement) -> dict[str, str]:
        """The coordinate of a statement at each of its loops."""
        return {self.of[n]: n for n in statement.ranges}

    def left(self, statement: Statement) -> dict[str, str]:
        """The coordinate of a statement at each of its loops that is on its left side."""
        kept = output_variables(statement.einsum.output)
        return {loop: n for loop, n in self.nodes(statement).items() if n.split(".")[0] in kept}

    def lag(self, zone: Zone, reader: Statement, writer: Statement, loop: str) -> int | None:
        """The most iterations of the loop by which a read comes after the write, None if unbounded."""
        return self._apart(zone, reader, writer, loop, loop not in self.descending)

    def ahead(self, zone: Zone, reader: Statement, writer: Statement, loop: str) -> int | None:
        """The most iterations of the loop by which a write comes after the read, None if unbounded."""
        return self._apart(zone, reader, writer, loop, loop in self.descending)

    def _apart(self, zone: Zone, reader: Statement, writer: Statement, loop: str, rising: bool) -> int | None:
        ends = (self.nodes(reader)[loop], f"~{self.nodes(writer)[loop]}")
        wanted = ends if rising else ends[::-1]
        return next((c for a, b, c in zone if (a, b) == wanted), None)


def loops_of(model: Model, order: Sequence[str] | None = None) -> Loops:
    """The loops in the given order of rank variables, or in the default one; variables left out come innermost.

    Default: ranks that no Einsum couples and that all Einsums with the most frequent of them have (queries,
    heads, rows) are fixed; then iterative ranks, then reduced ranks, the one that most Einsums reduce
    outermost (of several the one named last), the digits of a rank from outer to inner; then the other
    uncoupled ranks. In a given order the leading uncoupled ranks are fixed. InputError for a name that is
    no rank variable.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.model import model_of
    >>> loops = loops_of(model_of(load("attention-1pass")))
    >>> loops.batch, loops.order
    (('p',), ('m1', 'm0', 'e', 'f'))
    """
    of = _merged(model)
    ranks = {loop: _rank(model, loop) for loop in of.values()}
    coupled = _coupled(model, of)
    default = _default(model, of, coupled, ranks)
    turned = {(v, n) for (v, n), t in model.frame.mirrored.items() if t}
    descending = frozenset(of[v] for v, _ in turned if v in of)
    if order is None:
        batch, rest = default
        return Loops(of=of, batch=batch, order=rest, coupled=coupled, ranks=ranks, descending=descending)
    every = (*default[0], *default[1])
    named = _named(model, of, order)
    whole = (*named, *(loop for loop in every if loop not in named))
    most = next((n for n, loop in enumerate(whole) if loop in coupled or loop not in named), len(whole))
    return Loops(of=of, batch=whole[:most], order=whole[most:], coupled=coupled, ranks=ranks, descending=descending)


def _named(model: Model, of: Mapping[str, str], order: Sequence[str]) -> tuple[str, ...]:
    """The loops that names stand for: m is m1, m0 where M is read in digits."""
    found: list[str] = []
    for name in order:
        parts = factors_of(model.cascade, shape_of(VarName(name)))
        loops = [of[n] for n in of if n == name or n.startswith(f"{name}.")]
        loops = loops or [of[p.lower()] for p in parts if p.lower() in of]
        if not loops:
            known = tuple(all_variables(model.cascade))
            hint = did_you_mean(name, known, noun="rank variables")
            raise input_error(f"{model.cascade.name} has no rank variable {name}", hint=hint)
        found += [loop for loop in dict.fromkeys(loops) if loop not in found]
    return tuple(found)


def _rank(model: Model, node: str) -> str:
    """The rank a loop is a part of: M of m, m1 and m0."""
    shape = shape_of(VarName(node.split(".")[-1]))
    same = model.frame.same.get(shape, shape)
    products = (s.name for s in model.cascade.shapes if len(s.factors) > 1 and same in s.factors)
    return str(next(products, same))


def _merged(model: Model) -> dict[str, str]:
    """The loop of every coordinate: those that a read ties to a write, unless some statement has both."""
    of = {n: n for s in model.statements for n in s.ranges}
    turned = {v for (v, _), t in model.frame.mirrored.items() if t}
    for written, read in _ties(model):
        a, b = of.get(written), of.get(read)
        if a is None or b is None or a == b or {a, b} & turned or not _alike(model, a, b):
            continue
        if not any({a, b} <= {of[n] for n in s.ranges} for s in model.statements):
            kept, gone = (b, a) if "." in a else (a, b)
            of = {n: kept if loop == gone else loop for n, loop in of.items()}
    return of


def _ties(model: Model) -> Iterator[tuple[str, str]]:
    """The coordinates at which a digit is written and read, where both have the same offset."""
    for _, written, read in _digits(model):
        if written is not None and read is not None and written[1] == read[1]:
            yield written[0], read[0]


def _digits(model: Model) -> Iterator[tuple[tuple[Index, Index], Place | None, Place | None]]:
    """Every digit of every read of a computed tensor: where it is written, and where it is read."""
    for s in model.statements:
        for reading in s.reads:
            for writer in model.writers(reading.access.tensor):
                sides = zip(writer.einsum.output.indices, reading.access.indices, strict=True)
                for index, made, read in zip(sides, writer.writes, reading.slots, strict=True):
                    yield from ((index, w.place, r.place) for w, r in zip(made, read, strict=True))


def _alike(model: Model, one: str, other: str) -> bool:
    """Have two coordinates one range?"""
    ranges = {n: p for s in model.statements for n, p in s.ranges.items()}
    return ranges[one] == ranges[other]


def _coupled(model: Model, of: Mapping[str, str]) -> frozenset[str]:
    """Loops that some Einsum reduces, steps along, or reads at another coordinate than its own."""
    found: set[str] = {of[v] for v in (s.var for s in model.cascade.stops) if v in of}
    for s in model.statements:
        found |= _reduced(s, of)
        for access in _lookups(s.einsum.expr):
            found |= {of[n] for r in s.reads if r.access == access for n in _nodes(r.slots) if n in of}
    for indices, made, used in _digits(model):
        if made is None or used is None:  # of no form: any of its variables may shift it
            variables = {v for index in indices for v in rank_variables(index.expr)}
            found |= {loop for n, loop in of.items() if n.split(".")[0] in variables}
        else:
            found |= _shifted(used, made, of)
    return frozenset(found)


def _shifted(read: Place, written: Place, of: Mapping[str, str]) -> set[str]:
    """The loops that a digit ties to another coordinate than their own; what an init writes ties none."""
    loops = {of[n] for n in (read[0], written[0]) if n in of}
    same = len(loops) == 1 and read[1] == written[1] and read[0] in of and written[0] in of
    return set() if same or written[0] == ZERO else loops


def _lookups(expr: Expr) -> Iterator[Access]:
    if isinstance(expr, Access) and any(isinstance(i.expr, Lookup) for i in expr.indices):
        yield expr
    for arg in expr.args if isinstance(expr, Apply) else ():
        yield from _lookups(arg)


def _nodes(slots: Sequence[Sequence[object]]) -> Iterator[str]:
    for digits in slots:
        for slot in digits:
            place = getattr(slot, "place", None)
            if place is not None and place[0] != ZERO and not place[0].startswith(SIZE):
                yield place[0]


def _default(
    model: Model, of: Mapping[str, str], coupled: frozenset[str], ranks: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The loops that are fixed, and the order of the others; see `loops_of`."""
    every = tuple(dict.fromkeys(of.values()))
    having = {loop: [s for s in model.statements if loop in {of[n] for n in s.ranges}] for loop in every}
    free = [loop for loop in every if loop not in coupled]
    first = max(free, key=lambda loop: len(having[loop]), default="")
    working = [s for s in having.get(first, ()) if isinstance(s.einsum.expr, Apply)]
    batch = tuple(n for n in free if n == first or (working and all(s in having[n] for s in working)))
    iterative = {of[v] for v in (s.var for s in model.cascade.stops) if v in of}
    most: dict[str, tuple[bool, int]] = {}
    for loop in every:
        key = (loop in iterative, sum(loop in _reduced(s, of) for s in having[loop]))
        most[ranks[loop]] = max(most.get(ranks[loop], key), key)
    digits = {f.lower(): n for d in model.cascade.shapes if len(d.factors) > 1 for n, f in enumerate(d.factors)}
    seen = list(dict.fromkeys(ranks[loop] for loop in every))

    def place(loop: str) -> tuple[bool, bool, int, int, int]:
        iterates, count = most[ranks[loop]]
        digit = digits.get(loop.split(".")[-1].lower(), 0)
        return loop not in coupled, not iterates, -count, -seen.index(ranks[loop]), digit

    return batch, tuple(sorted((loop for loop in every if loop not in batch), key=place))


def _reduced(s: Statement, of: Mapping[str, str]) -> set[str]:
    """The loops that a statement reduces."""
    kept = output_variables(s.einsum.output)
    return {of[n] for n in s.ranges if n.split(".")[0] not in kept}
