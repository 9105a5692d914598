"""A cascade on a small instance, point by point: which elements every point reads and writes.

This is the definition side of the pass analysis: no algebra, only enumeration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from operator import eq, ge, gt, itemgetter, le, lt

from fusemap.einsum_cascade.linear import value
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.resolve import Sizes, extent
from fusemap.einsum_cascade.scope import accesses, conditions_of, shape_of, variables_of
from fusemap.einsum_cascade.sized import check_sizes, written_boxes
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Einsum,
    Expr,
    FloorDiv,
    Lookup,
    RankExpr,
    TensorName,
    VarName,
)

Element = tuple[TensorName, tuple[int, ...]]
_Form = Callable[[tuple[int, ...]], int]
_RELATIONS = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An access of a point and the elements it may read: one, or all candidates of a data-dependent read."""

    access: Access
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of an Einsum's iteration space; `reads` has present elements only."""

    einsum: Einsum
    at: tuple[int, ...]
    reads: tuple[Read, ...]
    writes: Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """All points of a cascade at small sizes, each after everything it needs; and the elements by tensor."""

    cascade: Cascade
    sizes: Sizes
    points: tuple[Point, ...]
    elements: Mapping[TensorName, frozenset[tuple[int, ...]]]
    reach: Mapping[TensorName, tuple[int, ...]]

    def extents(self, tensor: TensorName) -> tuple[int, ...]:
        """How far the tensor reaches at each index, filters left out."""
        return self.reach[tensor]


def instance_of(cascade: Cascade, sizes: Mapping[str, int], *, operators: Operators = BUILTIN) -> Instance:
    """The points of the cascade at `sizes`, in an order of execution; absent points are left out.

    A reduction's result is ready when all points that contribute to it have run. An index that is read
    from data (K[e, IDX[j,p]]) may be any coordinate. InputError as `check_sizes`.
    """
    known = check_sizes(cascade, sizes)
    present: set[Element] = set()
    for access in cascade.inputs:
        shape = [range(known[shape_of(v)]) for i in access.indices for v in _variables(i.expr)]
        present.update((access.tensor, at) for at in product(*shape))
    drafts = [d for e in (*cascade.inits, *cascade.einsums) for d in _drafts(cascade, known, e)]
    points = []
    reachable = _Reachable({d.writes for d in drafts} | present)
    for draft in _ordered(drafts, reachable):
        reads = tuple(
            Read(access=r.access, elements=kept)
            for r in draft.reads
            if (kept := tuple(e for e in reachable.candidates(r) if e in present))
        )
        whole = len(reads) == len(draft.reads)
        if whole or _is_present(draft.einsum.expr, {r.access for r in reads}, operators):
            points.append(Point(einsum=draft.einsum, at=draft.at, reads=reads, writes=draft.writes))
            present.add(draft.writes)
    elements: dict[TensorName, set[tuple[int, ...]]] = {}
    for tensor, at in present:
        elements.setdefault(tensor, set()).add(at)
    return Instance(
        cascade=cascade,
        sizes=known,
        points=tuple(points),
        elements={t: frozenset(c) for t, c in elements.items()},
        reach={
            t: tuple(max(last for _, last in sides) + 1 for sides in zip(*boxes, strict=True))
            for t, boxes in written_boxes(cascade, known).items()
        },
    )


def _variables(expr: RankExpr) -> tuple[VarName, ...]:
    return tuple(t.var for t in expr.terms if t.var is not None) if isinstance(expr, Affine) else ()


@dataclass(frozen=True, slots=True)
class _AnyOf:
    """A read before presence is known: coordinates with None where only data tell."""

    access: Access
    pattern: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    einsum: Einsum
    at: tuple[int, ...]
    reads: tuple[_AnyOf, ...]
    writes: Element


def _drafts(cascade: Cascade, sizes: Sizes, einsum: Einsum) -> Iterator[_Draft]:
    variables = variables_of(einsum)
    chains = conditions_of(einsum)
    form = partial(_form, variables=variables, sizes=sizes)
    filters = [([form(o) for o in c.operands], [_RELATIONS[r] for r in c.relations]) for c in chains]
    left = [form(i.expr) for i in einsum.output.indices]
    right = [(a, [None if isinstance(i.expr, Lookup) else form(i.expr) for i in a.indices]) for a in accesses(einsum)]
    for at in product(*(range(extent(cascade, sizes, v)) for v in variables)):
        if all(_holds(operands, relations, at) for operands, relations in filters):
            reads = tuple([_AnyOf(a, tuple([None if f is None else f(at) for f in forms])) for a, forms in right])
            yield _Draft(einsum, at, reads, (einsum.name, tuple([f(at) for f in left])))


def _form(expr: RankExpr, *, variables: tuple[VarName, ...], sizes: Sizes) -> _Form:
    """The coordinate that an index is at a point, given by its variables in order."""
    if isinstance(expr, Affine):
        coefficients, constant = value(expr, sizes)
        terms = [(variables.index(v), c) for v, c in coefficients.items()]
        if len(terms) == 1 and terms[0][1] == 1 and not constant:
            return itemgetter(terms[0][0])
        return lambda at: constant + sum(c * at[n] for n, c in terms)
    if isinstance(expr, Lookup):
        raise TypeError("only data tell this coordinate")
    place, size = variables.index(expr.var), sizes[expr.shape]
    return (lambda at: at[place] // size) if isinstance(expr, FloorDiv) else (lambda at: at[place] % size)


def _holds(operands: Iterable[_Form], relations: Iterable[Callable[[int, int], bool]], at: tuple[int, ...]) -> bool:
    values = [f(at) for f in operands]
    return all(holds(a, b) for (a, b), holds in zip(pairwise(values), relations, strict=True))


class _Reachable:
    """The elements that may be present."""

    def __init__(self, elements: set[Element]) -> None:
        self.elements = elements
        self.found: dict[tuple[TensorName, tuple[int | None, ...]], tuple[Element, ...]] = {}

    def candidates(self, read: _AnyOf) -> tuple[Element, ...]:
        """Those that a read may return."""
        key = read.access.tensor, read.pattern
        if key not in self.found:
            self.found[key] = self._candidates(*key)
        return self.found[key]

    def _candidates(self, tensor: TensorName, pattern: tuple[int | None, ...]) -> tuple[Element, ...]:
        if None not in pattern:
            fixed = tuple(c for c in pattern if c is not None)
            return ((tensor, fixed),) if (tensor, fixed) in self.elements else ()
        return tuple(
            sorted(
                (t, at)
                for t, at in self.elements
                if t == tensor and all(p is None or p == c for p, c in zip(pattern, at, strict=True))
            )
        )


def _ordered(drafts: list[_Draft], reachable: _Reachable) -> Iterator[_Draft]:
    """Every point after all points that write what it reads; depth first, without recursion."""
    writers: dict[Element, list[int]] = {}
    for number, draft in enumerate(drafts):
        writers.setdefault(draft.writes, []).append(number)
    done: set[int] = set()
    for first in range(len(drafts)):
        stack = [(first, False)]
        while stack:
            number, expanded = stack.pop()
            if number in done:
                continue
            if expanded:
                done.add(number)
                yield drafts[number]
                continue
            stack.append((number, True))
            for read in drafts[number].reads:
                for element in reachable.candidates(read):
                    stack += [(w, False) for w in writers.get(element, ()) if w not in done and w != number]


def _is_present(expr: Expr, present: set[Access], operators: Operators) -> bool:
    """Is the value present, if just these of its reads are?"""
    if isinstance(expr, Access):
        return expr in present
    if not isinstance(expr, Apply):
        return True
    parts = [_is_present(a, present, operators) for a in expr.args]
    return any(parts) if operators.map(expr.operator).union else all(parts)
