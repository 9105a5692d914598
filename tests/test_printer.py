"""The printer is the exact inverse of the parser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cascade_strategies import cascades
from examples import examples
from hypothesis import given

from fusemap.einsum_cascade.parser import parse, parse_file
from fusemap.einsum_cascade.printer import format_cascade, format_einsum
from fusemap.einsum_cascade.types import Cascade, Reduce

LIBRARY = sorted((Path(__file__).parent.parent / "src/fusemap/einsum_cascade/library").glob("*.cascade"))


@examples(27, 80)
@given(cascades())
def test_parsing_what_was_printed_gives_the_same_tree(cascade: Cascade) -> None:
    text = format_cascade(cascade)
    assert parse(text) == cascade
    assert format_cascade(parse(text)) == text


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.stem)
def test_library_cascades_survive_printing(path: Path) -> None:
    cascade = parse_file(path)
    text = format_cascade(cascade)
    assert parse(text) == cascade
    assert format_cascade(parse(text)) == text


HEAD = "input A[m], B[m]\nshape W = 2, M = M1*M0\n"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("Z[m]=A[m]-(B[m]-1)", "Z[m] = A[m] - (B[m] - 1)"),
        ("Z[m]=(A[m]-B[m])-1", "Z[m] = A[m] - B[m] - 1"),
        ("Z[m]=(A[m]+1)*B[m]", "Z[m] = (A[m] + 1)*B[m]"),
        ("Z[m]=A[m]/(B[m]*2)", "Z[m] = A[m] / (B[m]*2)"),
        ("Z[m]=-(A[m]+1)", "Z[m] = -(A[m] + 1)"),
        ("Z[m]=-A[m]*(-1)", "Z[m] = -A[m]*-1"),
        ("Z[m]=add(A[m],mul(2,B[m]))", "Z[m] = A[m] + 2*B[m]"),
        ("Z[m]=max(A[m] , expsub(B[m],1))", "Z[m] = max(A[m], expsub(B[m], 1))"),
        ("Z=sum [m:m<W & m>=1] A[m]", "Z = sum[m: m<W & m>=1] A[m]"),
        ("Z[m : m - W < m0 <= m, m0]=A[m]+val( m0 )", "Z[m: m-W<m0<=m, m0] = A[m] + val(m0)"),
        ("Z[m1,m0]=A[M0*m1+m0]*size( M )for m1==0", "Z[m1,m0] = A[m1*M0+m0]*size(M) for m1==0"),
    ],
)
def test_layout(written: str, printed: str) -> None:
    assert format_einsum(parse(HEAD + written).einsums[0]) == printed


def test_long_lists_of_inputs_are_printed_one_a_line() -> None:
    names = [f"Operand{i}[m]" for i in range(20)]
    cascade = parse(f"input {', '.join(names)}\nZ[m] = Operand3[m]")
    lines = format_cascade(cascade).splitlines()
    assert lines[1:21] == [f"input {n}" for n in names]
    assert parse("\n".join(lines)) == cascade


def test_a_reduction_that_would_not_be_implied_is_printed() -> None:
    cascade = parse("input A[m], B[k]\nZ = sum[k,m] A[m]*B[k]")
    einsum = cascade.einsums[0]
    reduce = einsum.reduce
    assert isinstance(reduce, Reduce)
    unsaid = replace(einsum, reduce=replace(reduce, explicit=False))
    assert format_einsum(unsaid) == "Z = sum[k, m] A[m]*B[k]"


def test_the_law_can_fail() -> None:
    cascade = parse("input A[m]\nZ[m] = A[m] - (A[m] - 1)")
    assert parse(format_cascade(cascade).replace("(", "").replace(")", "")) != cascade
