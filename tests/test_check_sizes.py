"""Errors once sizes are known, against enumeration of every element and every instance."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from test_library import sized

from fusemap.diagnostics import Diagnostic, InputError
from fusemap.einsum_cascade.parser import parse, parse_file
from fusemap.einsum_cascade.resolve import extent, required_shapes
from fusemap.einsum_cascade.scope import accesses, known_shapes, variables_of
from fusemap.einsum_cascade.sized import check_sizes, written_boxes
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Chain,
    Einsum,
    FloorDiv,
    RankExpr,
    ShapeName,
    TensorName,
    VarName,
)

LIBRARY = sorted((Path(__file__).parent.parent / "src/fusemap/einsum_cascade/library").glob("*.cascade"))
RECURRENCE = "input A[i]\nstop: i >= I\ninit: S[0] = 0\nS[i+1] = S[i] + A[i]\nZ = S[I]"


def problems(text: str, sizes: Mapping[str, int]) -> tuple[Diagnostic, ...]:
    """What check_sizes says about a statically right text; nothing if it is right."""
    cascade = parse(text)
    try:
        check_sizes(cascade, sizes)
    except InputError as error:
        return error.diagnostics
    return ()


def found(text: str, sizes: Mapping[str, int]) -> str:
    """The same as `line:column: message`, joined by bars."""
    return "|".join(
        f"{d.span.line}:{d.span.column}: {d.message}" if d.span else d.message for d in problems(text, sizes)
    )


# (class, wrong text, sizes, errors, the text put right, its sizes if they differ)
CASES = [
    ("missing size", "input A[k]\nZ = A[k]", {}, "1:7: missing size K", {"K": 3}),
    (
        "missing size of a divisor",
        "shape G\ninput A[k]\nZ[k] = A[k%G]",
        {"K": 3},
        "3:1: missing size G",
        {"K": 3, "G": 2},
    ),
    ("unknown name", "input A[k]\nZ = A[k]", {"k": 3}, "unknown shape k", {"K": 3}),
    ("size zero", "shape K\nZ = size(K)", {"K": 0}, "size K must be an integer of at least 1, found 0", {"K": 1}),
    (
        "size no integer",
        "shape K\nZ = size(K)",
        {"K": True},
        "size K must be an integer of at least 1, found True",
        {"K": 1},
    ),
    (
        "product",
        "shape M = M1*M0\nZ = size(M)",
        {"M": 6, "M1": 2, "M0": 4},
        "1:7: M = M1*M0 does not hold: M is 6, but the right side is 2*4 = 8",
        {"M": 8, "M1": 2, "M0": 4},
    ),
    (
        "no multiple",
        "shape M = M1*M0\nZ = size(M1)",
        {"M": 6, "M0": 4},
        "1:7: M = M1*M0 does not hold: M = 6 is no multiple of 4",
        {"M": 8, "M0": 4},
    ),
    (
        "alias",
        "shape P = M\nZ = size(P) + size(M)",
        {"P": 2, "M": 3},
        "1:7: P = M does not hold: P is 2, but the right side is 3",
        {"P": 3},
    ),
    (
        "constant",
        "shape W = 2\nZ = size(W)",
        {"W": 3},
        "1:7: W is the constant 2, but the size given is 3",
        {},
    ),
    (
        "empty iteration",
        "shape K\nstop: i >= K-3\nZ[i] = size(K)",
        {"K": 3},
        "2:7: i has no coordinate: i >= K-3 = 0 holds at once",
        {"K": 4},
    ),
]


@pytest.mark.parametrize(("text", "sizes", "message", "right"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_wrong_sizes(text: str, sizes: dict[str, int], message: str, right: dict[str, int]) -> None:
    assert found(text, sizes) == message
    assert found(text, right) == ""


ELEMENTS = [
    (
        "missing init",
        RECURRENCE.replace("init: S[0] = 0\n", ""),
        "3:10: S[0] is never written, but read at i = 0",
        RECURRENCE,
    ),
    (
        "past the end",
        RECURRENCE.replace("S[I]", "S[I+1]"),
        "5:5: S[5] is never written",
        RECURRENCE,
    ),
    (
        "neighbour before the first",
        "input A[i]\nZ[i] = A[i] - A[i-1]",
        "2:15: A[-1] is never written, but read at i = 0",
        "input A[i]\nZ[i] = A[i] - A[i-1] for i >= 1",
    ),
    (
        "neighbour after the last",
        "input A[i]\nZ[i] = A[i+1] - A[i]",
        "2:8: A[4] is never written, but read at i = 3",
        "input A[i]\nZ[i] = A[i+1] - A[i] for i < I-1",
    ),
    (
        "group too far",
        "shape G = 2, I = H*G\ninput A[h]\nZ[i] = A[i%I]",
        "3:8: A[2] is never written, but read at i = 2",
        "shape G = 2, I = H*G\ninput A[h]\nZ[i] = A[i//G]",
    ),
    (
        "element written twice by inits",
        RECURRENCE.replace("init: S[0] = 0", "init: S[0] = 0\ninit: S[0] = 1"),
        "4:7: element S[0] is written twice",
        RECURRENCE,
    ),
    (
        "element written twice by init and Einsum",
        RECURRENCE.replace("init: S[0] = 0", "init: S[0] = 0\ninit: S[3] = 1"),
        "5:1: element S[3] is written twice",
        RECURRENCE,
    ),
    (
        "element written before the first",
        "stop: i >= I\nS[i-1] = 1\nZ = S[I-2]",
        "2:3: S is written at i-1 = -1, before its first element",
        "stop: i >= I\nS[i+1] = 1\nZ = S[I]",
    ),
    (
        "flattening that folds",
        "stop: i >= V+1\nshape V = 2, I = V\nZ[u*V+i] = val(u)",
        "3:1: element Z[2] is written twice",
        "stop: i >= V\nshape V = 2, I = V\nZ[u*V+i] = val(u)",
    ),
    (
        "dependency cycle without iterative rank",
        "input A[i]\nX[i] = Y[i] + A[i]\nY[i] = X[i]\nZ[i] = Y[i]",
        "2:1: dependency cycle: X -> Y -> X",
        "input A[i]\nX[i] = W[i] + A[i]\nW[i] = A[i]\nZ[i] = X[i]",
    ),
    (
        "dependency cycle within a step",
        "input A[i]\nstop: i >= I\ninit: X[0] = 0\nX[i+1] = Y[i] + A[i]\nY[i] = X[i+1]\nZ = X[I]",
        "4:1: dependency cycle: X -> Y -> X",
        "input A[i]\nstop: i >= I\ninit: X[0] = 0\nX[i+1] = Y[i] + A[i]\nY[i] = X[i]\nZ = X[I]",
    ),
    (
        "dependency cycle through a total",
        "stop: i >= I\ninit: X[0] = 0\nX[i+1] = X[i] + T\nT = sum[k] X[k+1]\nZ = X[I]\nshape K = I",
        "3:1: dependency cycle: X -> T -> X",
        "stop: i >= I\ninit: X[0] = 0\nX[i+1] = X[i] + T\nT = X[0]\nZ = X[I]\nshape K = I",
    ),
    (
        "dependency cycle through an init",
        "stop: i >= I\ninit: X[0] = T\nX[i+1] = X[i] + 1\nT = X[I]\nZ = T",
        "2:7: dependency cycle: init: X -> T -> X -> init: X",
        "stop: i >= I\ninit: X[0] = 1\nX[i+1] = X[i] + 1\nT = X[I]\nZ = T",
    ),
]


@pytest.mark.parametrize(("wrong", "message", "right"), [c[1:] for c in ELEMENTS], ids=[c[0] for c in ELEMENTS])
def test_wrong_elements(wrong: str, message: str, right: str) -> None:
    assert found(wrong, _sizes(wrong)) == message
    assert found(right, _sizes(right)) == ""


def _sizes(text: str) -> dict[str, int]:
    """I = 4 and U = 2 where the text has them."""
    return {n: s for n, s in (("I", 4), ("U", 2)) if n in known_shapes(parse(text)) and f"shape V = 2, {n}" not in text}


def test_hint_names_what_is_written() -> None:
    (error,) = problems(RECURRENCE.replace("init: S[0] = 0\n", ""), {"I": 4})
    assert error.hint == "written: S[1..4]; is an init: of S missing?"


def test_sizes_follow_from_each_other() -> None:
    cascade = parse("shape M = M2*M1*M0, P = M, W = 2\nZ = size(M) + size(P) + size(W)")
    expected = {"M": 24, "M2": 3, "M1": 2, "M0": 4, "P": 24, "W": 2}
    for given_sizes in ({"P": 24, "M2": 3, "M0": 4}, {"M2": 3, "M1": 2, "M0": 4}, {"M": 24, "M1": 2, "M2": 3}):
        assert dict(check_sizes(cascade, given_sizes)) == expected


def test_unknown_names_may_be_ignored() -> None:
    cascade = parse("input A[k]\nZ = A[k]")
    assert dict(check_sizes(cascade, {"K": 2, "B": 64}, ignore_unknown=True)) == {"K": 2}


SMALL = {
    "E": 3,
    "F": 2,
    "M": 4,
    "M0": 2,
    "P": 4,
    "K": 4,
    "J": 3,
    "H": 4,
    "HK": 2,
    "G": 2,
    "T": 3,
    "N": 3,
    "D": 3,
    "C": 2,
}
LARGE = {n: {"M": 1 << 20, "P": 1 << 20, "M0": 256, "K": 1 << 20, "H": 16, "HK": 4, "G": 4}.get(n, 64) for n in SMALL}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.stem)
@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_library_is_right_and_checked_in_no_time(path: Path, sizes: dict[str, int]) -> None:
    cascade = parse_file(path)
    chosen = sized(cascade, **sizes)
    start = time.perf_counter()
    known = check_sizes(cascade, chosen)
    assert time.perf_counter() - start < 0.5
    assert set(required_shapes(cascade)) <= set(known)


# --- enumeration ----------------------------------------------------------------------------------


def coordinate(expr: RankExpr, point: Mapping[str, int], sizes: Mapping[ShapeName, int]) -> int:
    """The value of a rank expression at a point, straight from its definition."""
    if isinstance(expr, Affine):
        return sum(
            t.sign
            * (point[t.var] if t.var is not None else 1)
            * (sizes[t.shape] if t.shape is not None else 1)
            * (t.constant if t.constant is not None else 1)
            for t in expr.terms
        )
    value, divisor = point[expr.var], sizes[expr.shape]
    return value // divisor if isinstance(expr, FloorDiv) else value % divisor


def holds(chain: Chain, point: Mapping[str, int], sizes: Mapping[ShapeName, int]) -> bool:
    """Does a chained comparison hold at a point?"""
    compare = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__, "==": int.__eq__}
    values = [coordinate(o, point, sizes) for o in chain.operands]
    steps = zip(values, chain.relations, values[1:], strict=False)
    return all(compare[relation](left, right) for left, relation, right in steps)


def points(cascade: Cascade, einsum: Einsum, sizes: Mapping[ShapeName, int], *, cut: bool) -> Iterator[dict[str, int]]:
    """Every point of an Einsum, with or without its conditions."""
    variables = variables_of(einsum)
    filtered = [i.conditions for a in (einsum.output, *accesses(einsum)) for i in a.indices]
    chains = [c for conditions in (*filtered, einsum.conditions) for c in conditions]
    for values in itertools.product(*(range(extent(cascade, sizes, v)) for v in variables)):
        point: dict[str, int] = dict(zip(variables, values, strict=True))
        if not cut or all(holds(c, point, sizes) for c in chains):
            yield point


def element(access: Access, point: Mapping[str, int], sizes: Mapping[ShapeName, int]) -> tuple[int, ...]:
    """The coordinates of an access at a point."""
    return tuple(coordinate(i.expr, point, sizes) for i in access.indices)


def test_written_boxes_are_the_coordinates_written() -> None:
    cascade = parse("input A[i,p]\nstop: i >= I\ninit: S[0,p] = 0\nS[i+2,p] = A[i,p]\nshape M = M1*M0\nZ[m1*M0+m0] = 1")
    sizes = check_sizes(cascade, {"I": 3, "P": 2, "M1": 2, "M0": 3})
    boxes = written_boxes(cascade, sizes)
    assert boxes[TensorName("S")] == (((0, 0), (0, 1)), ((2, 4), (0, 1)))
    assert boxes[TensorName("Z")] == (((0, 5),),)
    for einsum in (*cascade.inits, *cascade.einsums):
        for point in points(cascade, einsum, sizes, cut=False):
            at = element(einsum.output, point, sizes)
            assert any(all(a <= x <= b for x, (a, b) in zip(at, box, strict=True)) for box in boxes[einsum.name])


INDICES = (
    "q",
    "r",
    "q+1",
    "q-1",
    "q+r",
    "q-r",
    "q//W",
    "q%W",
    "q%I",
    "m1*M0+m0",
    "0",
    "2",
    "I",
    "r*W-q",
    "m0",
    "i",
    "-1+r",
)
CONDITIONS = (
    "q<r",
    "q<=r",
    "r<q+2",
    "q>=1",
    "r<3",
    "q-r==0",
    "m1*M0+m0<=q",
    "q//W==r",
    "1<=q<I",
    "q*W<=r*M0",
    "i<q",
    "q%W==1",
)


@st.composite
def reading_cascades(draw: DrawFn) -> str:
    """A tensor with random inits and a random recurrence, read at random indices under random conditions."""
    inits = draw(st.lists(st.sampled_from(("0,p", "1,p", "I+1,p", "2,0", "0,0")), unique=True))
    step = draw(st.sampled_from(("i", "i+1", "i+2")))
    stop = draw(st.sampled_from(("I", "I-1", "2")))
    write = f"S[{step},p] = 1" + draw(st.sampled_from(("", " for i<=p", " for i>=1", " for p==0")))
    left = "q,r,m1,m0,i"
    read = f"Z[{left}] = S[{draw(st.sampled_from(INDICES))}, {draw(st.sampled_from(INDICES))}]"
    conditions = draw(st.lists(st.sampled_from(CONDITIONS), max_size=3))
    lines = ["shape M = M1*M0, W", f"stop: i >= {stop}", *(f"init: S[{i}] = 0" for i in inits), write]
    return "\n".join([*lines, read + (f" for {' & '.join(conditions)}" if conditions else "")])


@examples(84, 250)
@given(reading_cascades(), st.integers(2, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_reads_and_writes_agree_with_enumeration(text: str, i: int, q: int, w: int, m0: int) -> None:
    shapes = known_shapes(parse(text))
    wanted = {"I": max(i, 2), "P": 2, "Q": q, "R": 3, "W": w, "M1": 2, "M0": m0}
    sizes = {ShapeName(n): s for n, s in wanted.items() if n in shapes}
    cascade = parse(text)
    writers = [e for e in (*cascade.inits, *cascade.einsums) if e.name == "S"]
    inside: set[tuple[int, ...]] = set()
    written: dict[tuple[int, ...], int] = {}
    for einsum in writers:
        inside |= {element(einsum.output, p, sizes) for p in points(cascade, einsum, sizes, cut=False)}
        for at in (element(einsum.output, p, sizes) for p in points(cascade, einsum, sizes, cut=True)):
            written[at] = written.get(at, 0) + 1
    reader = cascade.einsums[-1]
    (access,) = accesses(reader)
    unwritten = {element(access, p, sizes) for p in points(cascade, reader, sizes, cut=True)} - inside
    messages = [d.message for d in problems(text, {str(n): s for n, s in sizes.items()})]
    twice = {_coordinates(m) for m in messages if "written twice" in m}
    missed = {_coordinates(m) for m in messages if "never written" in m}
    assert bool(twice) == any(n > 1 for n in written.values()) and all(written[at] > 1 for at in twice)
    assert bool(missed) == bool(unwritten) and missed <= unwritten
    assert not [m for m in messages if "cycle" in m]


def _coordinates(message: str) -> tuple[int, ...]:
    match = re.search(r"S\[([-0-9,]+)\]", message)
    assert match is not None
    return tuple(int(x) for x in match[1].split(","))


@st.composite
def circular_cascades(draw: DrawFn, ranks: tuple[str, ...]) -> str:
    """Three tensors that read each other at random distances on iterative ranks."""
    offsets = st.tuples(*(st.integers(-1, 2) for _ in ranks))
    writes = {t: tuple(max(0, o) for o in draw(offsets)) for t in "ABC"}
    lines = ["output A", *(f"stop: {r} >= {r.upper()}" for r in ranks)]
    for target in "ABC":
        terms = ["1"]
        for source in draw(st.lists(st.sampled_from("ABC"), max_size=2)):
            read = draw(offsets)
            if source != target or any(r < w for r, w in zip(read, writes[target], strict=True)):
                terms.append(_at(source, ranks, read))
        lines.append(f"{_at(target, ranks, writes[target])} = {' + '.join(terms)}")
    return "\n".join(lines)


def _at(tensor: str, ranks: tuple[str, ...], offsets: tuple[int, ...]) -> str:
    return f"{tensor}[{','.join(f'{r}{o:+d}' for r, o in zip(ranks, offsets, strict=True))}]"


Instance = tuple[str, tuple[int, ...]]


def _needs(cascade: Cascade, sizes: Mapping[ShapeName, int]) -> dict[Instance, set[Instance]]:
    """For every instance of an Einsum all instances it needs, directly or not."""
    instances = [
        (e, p, (str(e.name), tuple(p.values()))) for e in cascade.einsums for p in points(cascade, e, sizes, cut=True)
    ]
    written = {(e.name, element(e.output, p, sizes)): n for e, p, n in instances}
    needs: dict[Instance, set[Instance]] = {}
    for e, p, name in instances:
        read = [(a.tensor, element(a, p, sizes)) for a in accesses(e)]
        needs[name] = {written[at] for at in read if at in written}
    changed = True
    while changed:
        before = sum(len(n) for n in needs.values())
        needs = {name: direct.union(*(needs[d] for d in direct)) for name, direct in needs.items()}
        changed = sum(len(n) for n in needs.values()) > before
    return needs


def _runs_forward(cascade: Cascade, sizes: Mapping[ShapeName, int]) -> bool:
    """Can every set of tensors that need each other be computed in ascending order of nested iterative ranks?

    In some order of nesting, no instance may need one of its own tensor that is not before it.
    """
    needs = _needs(cascade, sizes)
    tensors = {t for t, _ in needs}
    mutual = {(t, u) for (t, _), needed in needs.items() for u, _ in needed}
    groups = {t: {u for u in tensors if u == t or ((t, u) in mutual and (u, t) in mutual)} for t in tensors}
    ranks = len(next(iter(needs))[1])

    def ascending(group: set[str], order: tuple[int, ...]) -> bool:
        return all(
            [y[k] for k in order] < [x[k] for k in order]
            for (t, x), needed in needs.items()
            for u, y in needed
            if t == u and t in group
        )

    orders = list(itertools.permutations(range(ranks)))
    return all(any(ascending(group, order) for order in orders) for group in groups.values())


@examples(50, 150)
@given(st.one_of(circular_cascades(("i",)), circular_cascades(("i", "j"))))
def test_dependency_cycles_agree_with_enumeration(text: str) -> None:
    sizes = {n: 8 for n in ("I", "J") if f"stop: {n.lower()} " in text}
    messages = [d.message for d in problems(text, sizes)]
    extents = {ShapeName(n): s for n, s in sizes.items()}
    assert any("dependency cycle" in m for m in messages) != _runs_forward(parse(text), extents)


def test_the_oracles_can_tell_right_from_wrong() -> None:
    sizes = {ShapeName("I"): 3}
    circle = parse("output X\nstop: i >= I\nX[i+1] = Y[i]\nY[i] = X[i+1]")
    backward = parse("output X\nstop: i >= I\nX[i] = Y[i]\nY[i] = X[i+1]")
    chain = parse("output X\nstop: i >= I\nX[i+1] = Y[i]\nY[i] = X[i]")
    assert [_runs_forward(c, sizes) for c in (circle, backward, chain)] == [False, False, True]
    point = {"h": 5}
    assert coordinate(FloorDiv(var=VarName("h"), shape=ShapeName("I")), point, sizes) == 1
