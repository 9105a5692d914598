"""Live footprints: how many elements of every tensor are live at once, as expressions of the shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import sympy as sp

from fusemap.einsum_cascade.counts_zones import Expr, is_nonnegative
from fusemap.einsum_cascade.passes.edges import Links
from fusemap.einsum_cascade.passes.footprint_derived import Live, derived_live
from fusemap.einsum_cascade.passes.footprint_extents import NONE, Count, Extents
from fusemap.einsum_cascade.passes.footprint_inputs import Use, input_live, reads_of, touches_of
from fusemap.einsum_cascade.passes.footprint_loops import loops_of
from fusemap.einsum_cascade.passes.footprint_schedule import Schedule, schedule_of
from fusemap.einsum_cascade.passes.model import model_of
from fusemap.einsum_cascade.scope import input_names
from fusemap.einsum_cascade.types import Cascade, TensorName


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The most elements of `tensor` that are live at once, for one coordinate of the ranks that are fixed.

    `store`: every element is produced once and kept to its last use. `recompute`, of an input: only inputs are
    kept, and what carries a coordinate of one is made again from it. Neither is ever too small; `exact` if both
    are reached wherever all ranks have at least two coordinates and the tensor has elements.
    """

    tensor: TensorName
    store: Expr
    recompute: Expr | None = None
    exact: bool = True


def footprints(cascade: Cascade, order: Sequence[str] | None = None) -> tuple[Footprint, ...]:
    """The live footprint of every tensor, inputs first, in elements.

    The schedule. `order` are rank variables, outermost to innermost; by default as `footprint_loops.loops_of`
    says. The leading ranks that no Einsum couples (queries, heads) are fixed: footprints are those for one
    coordinate of them. At each further loop, in one iteration of the loops outside it, the Einsums that have
    it run in ascending sweeps, all others between the sweeps. An Einsum reads in its own sweep only what lies
    at its coordinate or before; a later sweep, or an Einsum between sweeps, finds all of it. An Einsum that
    reduces the loop's rank (or another digit of it) or steps along the loop runs in the first sweep that its
    operands allow, every other one in the last that its readers allow. Inside a sweep the next loop is laid
    out in the same way.

    The footprint. An element lives from its first contribution to its last read; an element may take the
    place of one of its own tensor that the same point is the last to read. From the outermost loop inwards:
    as long as the Einsum that writes T and all that read it share a sweep and a coordinate, the factor is 1
    (between sweeps: as long as they share the gap); where a read lags D coordinates behind, D times the rest
    of T inside, plus what of it is new before the oldest is read; where they do not share the sweep, or the
    loop is reduced into T, or the lag has no bound, all of T's elements that belong to the iteration outside:
    the product of its extents over this and all inner loops. An extent under a filter is the greatest width
    of the filter, so that of a window W is W.

    An input lives from its first to its last read. For `recompute` every Einsum that touches it counts as a
    read: one that reads a carrier of one of its ranks (see `carriers`) needs all that it was made from.

    Source: FuseMax (MICRO 2024), Sections III-IV; the live footprints there are M for the tensors of the
    3-pass cascade and independent of M for those of the 1-pass cascade.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [f"{f.tensor} {f.store}" for f in footprints(load("attention-3pass")) if f.tensor in ("QK", "SN", "A")]
    ['QK M', 'SN M', 'A 1']
    >>> [str(f.recompute) for f in footprints(load("attention-3pass")) if f.recompute is not None]
    ['E', 'E*M', '1']
    """
    found = []
    bench = _Bench.of(cascade, order)
    for tensor in input_names(cascade):
        store, again = (bench.input(tensor, uses(bench.extents, tensor)) for uses in (reads_of, touches_of))
        exact = store.exact and again.exact
        found.append(Footprint(tensor=tensor, store=store.count, recompute=again.count, exact=exact))
    for tensor in bench.derived:
        size = derived_live(bench.extents, bench.schedule, tensor).size
        found.append(Footprint(tensor=tensor, store=size.count, exact=size.exact))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointFootprint:
    """The most elements of all tensors together that are live at once: never too small, exact if `exact`.

    `moments` has, for every Einsum, the most that is live while it runs.
    """

    order: tuple[str, ...]
    count: Expr
    moments: tuple[tuple[TensorName, Expr], ...]
    exact: bool = False


def joint_footprint(cascade: Cascade, order: Sequence[str] | None = None) -> JointFootprint:
    """The joint live footprint of all tensors, inputs included, in the schedule of `footprints`.

    While an Einsum runs, a tensor counts with its footprint from the sweep in which it is first made to that in
    which it is last read. Tensors that a sweep makes or frees slab by slab are together the most at the first or
    at the last iteration of the sweep, so that QK and SN of 3-pass attention are M + 1 and not 2 M. Operands count
    while they are read. An upper bound: the footprints of several tensors need not be reached at one moment.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> joint_footprint(load("cascade-2"), ("k",)).count
    4
    """
    bench = _Bench.of(cascade, order)
    lives = bench.lives()
    sums = [(s.name, _at(bench.schedule, lives, s.number)) for s in bench.extents.model.statements]
    order = (*bench.extents.loops.batch, *bench.extents.loops.order)
    return JointFootprint(
        order=order,
        count=_greatest([count for _, counts in sums for count in counts]),
        moments=tuple((name, _greatest(counts)) for name, counts in sums),
    )


def _greatest(counts: Sequence[Expr]) -> Expr:
    """The maximum, without those that are never more than another one."""
    kept: list[Expr] = []
    for count in dict.fromkeys(counts):
        if not any(_never_less(other, count) for other in kept):
            kept = [*(other for other in kept if not _never_less(count, other)), count]
    return kept[0] if len(kept) == 1 else sp.Max(*kept, evaluate=False)


def _never_less(one: Expr, other: Expr) -> bool:
    rest = one - other
    return all(c >= 0 for c in rest.as_coefficients_dict().values()) or is_nonnegative(rest)


def _at(schedule: Schedule, lives: Sequence[Live], number: int) -> list[Expr]:
    """What is live while a statement runs, in the first or in the last iteration of every loop around it."""
    path = schedule.paths[number]
    ends: dict[int, tuple[Expr, Expr]] = {}
    for live in lives:
        level = live.level
        if path[:level] == schedule.paths[live.user][:level] and live.first <= path[level] <= live.last:
            start, stop = _first_and_last(schedule, live, path)
            known = ends.get(level, (sp.Integer(0), sp.Integer(0)))
            ends[level] = (known[0] + start, known[1] + stop)
    return [sp.Add(*chosen) for chosen in product(*(dict.fromkeys(pair) for pair in ends.values()))]


def _precedes(path: tuple[int, ...], other: tuple[int, ...], level: int) -> bool:
    """In an iteration of the loop at `level`, is one statement done before the other begins?"""
    apart = next((n for n in range(level + 1, len(path)) if path[n] != other[n]), len(path))
    return apart < len(path) and path[apart] < other[apart] and not any(p % 2 for p in path[level + 1 : apart])


def _first_and_last(schedule: Schedule, live: Live, path: tuple[int, ...]) -> tuple[Expr, Expr]:
    """What of a tensor is live in the first and in the last iteration of a sweep, as its slabs come and go."""
    start = stop = live.size.count
    phase = path[live.level]
    before = phase == live.first and all(_precedes(path, schedule.paths[n], live.level) for n in live.makers)
    after = phase == live.last and all(_precedes(schedule.paths[n], path, live.level) for n in live.enders)
    if phase % 2 == 0 and live.level < len(path) - 1:
        return (sp.Integer(0),) * 2 if before or after else (start, stop)
    if live.slab is None:
        return start, stop
    slab = live.slab.count
    if live.grows and phase == live.first:
        start, stop = (0 * slab, stop - slab) if before else (slab, stop)
    if live.shrinks and phase == live.last:
        start, stop = (start - slab, 0 * slab) if after else (start, slab)
    return start, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What all tensors of a cascade share."""

    extents: Extents
    schedule: Schedule
    derived: tuple[TensorName, ...]

    @staticmethod
    def of(cascade: Cascade, order: Sequence[str] | None) -> _Bench:
        model = model_of(cascade)
        links, loops = Links(model), loops_of(model, order)
        derived = tuple(dict.fromkeys(s.name for s in model.statements))
        return _Bench(extents=Extents(links, loops), schedule=schedule_of(links, loops), derived=derived)

    def input(self, tensor: TensorName, uses: Sequence[Use]) -> Count:
        live = input_live(self.extents, self.schedule, tensor, uses)
        return NONE if live is None else live.size

    def lives(self) -> list[Live]:
        """All tensors that are stored: the inputs that are read, and what is computed."""
        inputs = input_names(self.extents.model.cascade)
        read = [input_live(self.extents, self.schedule, t, reads_of(self.extents, t)) for t in inputs]
        made = [derived_live(self.extents, self.schedule, t) for t in self.derived]
        return [live for live in (*read, *made) if live is not None]
