"""The answers for all sizes against the definition on instances and against the search of all schedules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import prod

import pytest
from passes_cases import TABLE, Row, sizes_of, text_of
from passes_oracle import TooLarge, searches
from passes_points import Program, shape_sizes
from passes_programs import FAMILIES, PassProgram, program

from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.passes.instance import instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.types import ShapeName

FAST = 25
SLOW = 2000
MOST_POINTS = 4000  # of an instance


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


def too_many(made: PassProgram, found: PassAnalysis) -> Iterator[str]:
    """Where the proven passes are more than the definition gives at the least sizes for which they are said to hold."""
    given = {s: max(n, found.least) for s, n in made.sizes.items()}
    sizes = shape_sizes(found.cascade, given)
    if prod(sorted(sizes.values())[-2:]) * len(found.cascade.einsums) > MOST_POINTS:
        return
    small = instance_of(found.cascade, given)
    ranks = {(r.tensor, r.rank): r for r in owned_ranks(found.cascade)}
    for answer in found.passes:
        if not small.elements.get(answer.tensor) or not all(holds(w, sizes) for w in answer.when):
            continue
        for direct, count in ((False, answer.passes), (True, answer.direct)):
            levels = reference_levels(small, ranks[answer.tensor, answer.rank], direct=direct)
            if levels is None or answer.method != "static":
                continue
            same = (
                levels.passes == at(count, sizes) if answer.exact and not direct else levels.passes >= at(count, sizes)
            )
            if not same:
                where = f"({answer.tensor}, {answer.rank}) direct={direct} at {given}"
                yield f"{where}: {count} passes, by definition {levels.passes}"


def too_few(made: PassProgram, answers: Iterable[RankPasses]) -> Iterator[str]:
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
    found = analyze(parse(made.text))
    return [f"{c}\n{made.text}{dict(made.sizes)}" for c in (*too_many(made, found), *too_few(made, found.passes))]


HARD = {
    "two neighbours at once": ("input A[k]\nB[k] = A[k] * A[k+1] for k+1 < K\n", {"K": 5}),
    "every pair": ("shape P = M\ninput A[m]\nS = sum[m, p] A[m] * A[p]\n", {"M": 4}),
    "pairs that mirror": ("input A[k]\nX[k] = exp(A[k])\nS = sum[k] A[k] * X[K-1-k]\n", {"K": 5}),
    "an absent operand": (
        "shape P = M\ninput A[m], Q[p]\nB[m: m<=p, p] = Q[p] * A[m]\nC[m: p<=m, p] = max(A[m], B[m,p])\n"
        "S = sum[m, p] C[m,p]\nZ[m,p] = max(C[m,p], S)\n",
        {"M": 4},
    ),
    "an absent operand of a window": (
        "shape P = M, W = 2\ninput A[m], Q[p]\nB[m: p<=m<p+W, p] = A[m] * Q[p]\nS = sum[m, p] B[m,p]\n"
        "D[p] = sum[m] max(B[m,p], S)\nZ[m,p] = max(B[m,p], S) - D[p]\n",
        {"M": 4},
    ),
    "a tensor and its transpose": (
        "shape P = M\ninput A[m]\nB[p] = A[p]\nC[m,p] = max(B[p], exp(A[m]))\nD[p] = min[m] C[p,m] + C[m,p]\n"
        "S = max[m] exp(D[m])\nZ = min[m] max(S, square(D[m]))\n",
        {"M": 4},
    ),
    "scans that meet": (
        "input A[k]\nstop: j >= K\nstop: k >= K\ninit: S[0] = 0\nS[j+1] = S[j] + A[K-1-j]\ninit: T[0] = 0\n"
        "T[k+1] = S[K-k] / S[K-k-1] + T[k]\nB[k] = A[k] * A[k+1] for k+1 < K\nC = min[k] square(A[k])\n",
        {"K": 6},
    ),
    "a scan within chunks": (
        "shape M = M1*M0\ninput A[m]\nstop: m0 >= M0\nstop: m1 >= M1\ninit: S[m1,0] = 0\n"
        "S[m1,m0+1] = S[m1,m0] * A[m1*M0+m0]\ninit: T[0] = 0\nT[m1+1] = S[m1,M0] + T[m1]\n"
        "init: U[0] = 0\nU[m1+1] = S[m1,M0] * T[M1] + U[m1]\n",
        {"M1": 3, "M0": 2},
    ),
    "a scan of neighbours": (
        "input A[k]\nstop: k >= K\nT[k] = A[k] * A[k+1] for k+1 < K\ninit: R[0] = 0\n"
        "R[k+1] = R[k] * exp((-T[k]) - T[k])\n",
        {"K": 5},
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_answers_for_all_sizes_hold_where_they_once_did_not(name: str) -> None:
    text, sizes = HARD[name]
    assert complaints(PassProgram(f"cascade hard\n{text}", sizes, "hard")) == []


@cache
def analysed(name: str) -> PassAnalysis:
    return analyze(load(name))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_answer_for_all_sizes_is_the_known_number_of_passes(row: Row) -> None:
    answer = analysed(row.cascade).row(row.tensor, row.rank)
    sizes = shape_sizes(load(row.cascade), sizes_of(row))
    assert at(answer.passes, sizes) == row.passes
    assert answer.exact
    assert value(answer.lookahead, sizes) >= row.room - 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_for_all_sizes_hold_on_random_cascades(family: str) -> None:
    assert [c for seed in range(FAST) for c in complaints(program(seed, family))] == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_for_all_sizes_hold_on_many_random_cascades(family: str) -> None:
    assert [c for seed in range(SLOW // len(FAMILIES)) for c in complaints(program(20_000 + seed, family))] == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_known_answers_have_a_schedule_at_small_sizes(row: Row) -> None:
    made = PassProgram(text_of(row.cascade), sizes_of(row), "known")
    answer = analysed(row.cascade).row(row.tensor, row.rank)
    assert list(too_few(made, [answer])) == []


@pytest.mark.parametrize("layers", [1, 3, 9])
def test_every_layer_of_a_stack_of_softmax_needs_passes_of_its_own(layers: int) -> None:
    text = ["input X0[n,k]"]
    for i in range(layers):
        text += [f"G{i}[n] = max[k] X{i}[n,k]", f"S{i}[n,k] = exp(X{i}[n,k] - G{i}[n])", f"D{i}[n] = sum[k] S{i}[n,k]"]
        text += [f"A{i}[n,k] = S{i}[n,k] / D{i}[n]", f"X{i + 1}[n,k] = A{i}[n,k] * X{i}[n,k]"]
    row = analyze(parse("\n".join(text))).row("X0", "K")
    assert (row.passes, row.exact, row.method) == (PassCount(constant=2 * layers + 1), True, "static")
