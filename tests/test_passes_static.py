"""The answers for all sizes against the definition on instances and against the search of all schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod

import pytest
from passes_cases import TABLE, Row, sizes_of, text_of
from passes_oracle import TooLarge, searches
from passes_points import Program, shape_sizes
from passes_programs import FAMILIES, PassProgram, program

from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.instance import instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.types import ShapeName

analyze = pytest.importorskip("fusemap.einsum_cascade.passes.analyze").analyze

FAST = 40
SLOW = 2000
LARGER = 3  # how much longer ranks are where an answer for all sizes is compared, so that constants do not fill them


def value(text: str, sizes: Mapping[str, int]) -> int:
    """A sum of products of sizes and numbers, such as `W-1` or `2*M0 + 1`."""
    terms = re.findall(r"([+-]?)\s*([A-Z0-9*_a-z]+)", text)
    assert "".join(a + b for a, b in terms) == text.replace(" ", ""), text
    known = [(sign, [int(f) if f.isdigit() else sizes[f] for f in term.split("*")]) for sign, term in terms]
    return sum((-1 if sign == "-" else 1) * prod(factors) for sign, factors in known)


def holds(relation: str, sizes: Mapping[str, int]) -> bool:
    """A relation between sizes, such as `M >= P + 1`."""
    left, right = relation.split(">=")
    return value(left, sizes) >= value(right, sizes)


def at(count: PassCount, sizes: Mapping[str, int]) -> int:
    """A number of passes at sizes."""
    found = count.at({ShapeName(s): n for s, n in sizes.items()})
    assert isinstance(found, int)
    return found


def too_many(made: PassProgram, answers: tuple[RankPasses, ...]) -> Iterator[str]:
    """Where the proven passes are more than the definition gives at sizes for which they are said to hold."""
    cascade = parse(made.text)
    given = {s: n if s == "P" and "M" not in made.sizes else n + LARGER for s, n in made.sizes.items()}
    sizes = shape_sizes(cascade, given)
    small = instance_of(cascade, given)
    ranks = {(r.tensor, r.rank): r for r in owned_ranks(cascade)}
    for answer in answers:
        if not small.elements.get(answer.tensor) or not all(holds(w, sizes) for w in answer.when):
            continue
        for direct, count in ((False, answer.passes), (True, answer.direct)):
            levels = reference_levels(small, ranks[answer.tensor, answer.rank], direct=direct)
            passes = levels.passes if levels is not None else 0
            same = passes == at(count, sizes) if answer.exact and not direct else passes >= at(count, sizes)
            where = f"({answer.tensor}, {answer.rank}) direct={direct} at {given}"
            if not same:
                yield f"{where}: {count} passes, by definition {passes}"


def too_few(made: PassProgram, answers: tuple[RankPasses, ...]) -> Iterator[str]:
    """Where no schedule does with the passes and the look-ahead that one is said to have."""
    points = Program(made.text, made.sizes)
    for answer in answers:
        if answer.upper is None:
            continue
        room, most = value(answer.lookahead, points.sizes) + 1, at(answer.upper, points.sizes)
        for search in searches(points, answer.tensor, answer.rank):
            try:
                found = search.least_loads(room, at_most=most * search.length)
            except TooLarge:
                continue
            if found is None:
                yield f"({answer.tensor}, {answer.rank}): no schedule with {most} passes and room for {room}"


def complaints(made: PassProgram) -> list[str]:
    """Where the answers for all sizes contradict the definition or the search."""
    answers = analyze(parse(made.text)).passes
    return [f"{c}\n{made.text}{dict(made.sizes)}" for c in (*too_many(made, answers), *too_few(made, answers))]


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_answer_for_all_sizes_is_the_known_number_of_passes(row: Row) -> None:
    answers = analyze(load(row.cascade)).passes
    answer = next(a for a in answers if (a.tensor, a.rank) == (row.tensor, row.rank))
    sizes = shape_sizes(load(row.cascade), sizes_of(row))
    assert at(answer.passes, sizes) == row.passes
    assert answer.exact
    assert answer.lookahead == "W-1" or "window" not in row.cascade


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_for_all_sizes_hold_on_random_cascades(family: str) -> None:
    assert [c for seed in range(FAST) for c in complaints(program(seed, family))] == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_for_all_sizes_hold_on_many_random_cascades(family: str) -> None:
    assert [c for seed in range(SLOW // len(FAMILIES)) for c in complaints(program(20_000 + seed, family))] == []


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_known_answers_have_a_schedule_at_small_sizes(row: Row) -> None:
    made = PassProgram(text_of(row.cascade), sizes_of(row), "known")
    answers = tuple(a for a in analyze(load(row.cascade)).passes if (a.tensor, a.rank) == (row.tensor, row.rank))
    assert list(too_few(made, answers)) == []
