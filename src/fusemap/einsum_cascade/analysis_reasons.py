"""Why an Einsum is in the pass it is in, and what one sweep carries along."""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.einsum_cascade.passes.carriers import Carriers, carriers_of, dependences
from fusemap.einsum_cascade.passes.ranks import RankOf, factors_of, owned_ranks
from fusemap.einsum_cascade.passes.types import Barrier, RankPasses
from fusemap.einsum_cascade.printer import format_access
from fusemap.einsum_cascade.scope import accesses, iterative_ranks, output_variables, shape_of, variables_of
from fusemap.einsum_cascade.types import Access, Cascade, Einsum, ShapeName, TensorName


def reasons(cascade: Cascade, row: RankPasses) -> dict[TensorName, str]:
    """For every Einsum why it is in its pass over the rank of the row's tensor, or in none.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.analyze import analyze
    >>> cascade = load("cascade-1")
    >>> reasons(cascade, analyze(cascade).row("A", "K"))
    {'Y': 'reads A along K', 'Z': 'Y is complete only after pass 1'}
    """
    carriers = carriers_of(cascade, rank_of(cascade, row))
    numbers = dict(row.assignment)
    waiting = {einsum: barrier for barrier in row.barriers for einsum in barrier.before}
    return {
        e.name: (_waits(cascade, e, waiting[e.name], numbers, carriers) if e.name in waiting else "")
        or (_follows(e, row, numbers, carriers) if e.name in carriers.touches else _beside(cascade, e, row))
        for e in cascade.einsums
    }


def rank_of(cascade: Cascade, row: RankPasses) -> RankOf:
    """The rank of a row as the digits of its tensor."""
    every = owned_ranks(cascade, parts=True)
    return next(r for r in every if (r.tensor, r.rank) == (row.tensor, row.rank))


def _waits(
    cascade: Cascade, einsum: Einsum, barrier: Barrier, numbers: Mapping[TensorName, int], carriers: Carriers
) -> str:
    """The operands that are complete, or say where to read, only after the pass before; empty without one."""
    before, needs = set(barrier.visited_by), dependences(cascade)
    touching = {t.access for t in carriers.touches[einsum.name]}
    late = [a for a in accesses(einsum) if a not in touching and (a.tensor in before or before & _needed(needs, a))]
    after = f"after pass {numbers[einsum.name] - 1}"
    if not late:
        return ""
    names = " and ".join(dict.fromkeys(_name(einsum, a) for a in late))
    several = len({_name(einsum, a) for a in late}) > 1
    if barrier.kind == "data":
        return f"{names} {'tell' if several else 'tells'} where to read, only {after}"
    return f"{names} {'are' if several else 'is'} complete only {after}"


def _needed(needs: Mapping[TensorName, frozenset[TensorName]], access: Access) -> frozenset[TensorName]:
    return needs.get(access.tensor, frozenset())


def _name(einsum: Einsum, access: Access) -> str:
    """The tensor, with its indices where the Einsum reads it at several."""
    several = len({a for a in accesses(einsum) if a.tensor == access.tensor}) > 1
    return format_access(access) if several else access.tensor


def _follows(einsum: Einsum, row: RankPasses, numbers: Mapping[TensorName, int], carriers: Carriers) -> str:
    """The operands that bring the fiber's coordinates."""
    number = numbers.get(einsum.name)
    if number is None:
        return f"does not visit all of {row.rank}"
    own = set(accesses(einsum))  # an `init:` of the same name touches too
    touched = [t.access for t in carriers.touches[einsum.name]]
    read = list(dict.fromkeys(a.tensor for a in touched if a in own or not own & set(touched)))
    same = [t for t in read if numbers.get(t) == number]
    if row.tensor in read:
        return f"reads {row.tensor} along {row.rank}"
    if same:
        return f"reads {', '.join(same)} of the same pass"
    if all(numbers.get(t, number) < number for t in read):
        return f"reads {', '.join(read)} again, kept or recomputed"
    later = any(numbers.get(t, number) > number for t in read)
    return f"reads {', '.join(read)}{' of a step before' if later else f' along {row.rank}'}"


def _beside(cascade: Cascade, einsum: Einsum, row: RankPasses) -> str:
    """Where an Einsum stands that reads nothing at the fiber's coordinates."""
    needs = dependences(cascade)[einsum.name]
    if row.tensor not in needs:
        return f"does not need {row.tensor}"
    parts = factors_of(cascade, row.rank)
    own = {shape for shape in map(shape_of, variables_of(einsum)) if shape in parts}
    if own and own == set(parts[:-1]):
        return f"works per {', '.join(parts[:-1])}, where {parts[-1]} is reduced"
    return f"reads no coordinate of {row.rank}"


def carried(cascade: Cascade, row: RankPasses) -> tuple[TensorName, ...]:
    """What a sweep over the fiber carries along: reductions over the rank, and tensors that step along it.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.analyze import analyze
    >>> cascade = load("attention-1pass")
    >>> carried(cascade, analyze(cascade).row("K", "M"))
    ('RM', 'RD', 'RNV')
    """
    of = rank_of(cascade, row)
    ranks = {of.rank, *factors_of(cascade, of.rank)}
    touching = set(carriers_of(cascade, of).touches)
    needs = dependences(cascade)
    return tuple(
        e.name
        for e in cascade.einsums
        if (_steps(cascade, e, ranks) and touching & needs[e.name]) or (e.name in touching and _reduces(e, ranks))
    )


def _steps(cascade: Cascade, einsum: Einsum, ranks: set[ShapeName]) -> bool:
    """Does the Einsum go on, along these ranks, from what an `init:` starts?"""
    stepping = {v for v in iterative_ranks(cascade) if shape_of(v) in ranks}
    started = any(e.name == einsum.name for e in cascade.inits)
    return started and bool(stepping & set(output_variables(einsum.output)))


def _reduces(einsum: Einsum, ranks: set[ShapeName]) -> bool:
    """Does the Einsum reduce these ranks wholly?"""
    reduced = {shape_of(v.var) for v in einsum.reduce.variables} if einsum.reduce is not None else set()
    return bool(ranks & reduced) and not ranks & {shape_of(v) for v in output_variables(einsum.output)}
