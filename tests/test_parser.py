"""The parser: what each form of the grammar means as a tree, and that no text breaks it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import MAX_STATEMENTS, parse, parse_file
from fusemap.einsum_cascade.scope import accesses, iterative_ranks, known_shapes, outputs, variables_of
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.source import MAX_BYTES
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Einsum,
    Expr,
    FloorDiv,
    Index,
    Modulo,
    Number,
    OperatorName,
    Reduce,
    ReduceVar,
    ShapeDecl,
    ShapeName,
    SizeOf,
    TensorName,
    Term,
    ValueOf,
    VarName,
)

LIBRARY = Path(__file__).parent.parent / "src/fusemap/einsum_cascade/library"
ATTENTION_1PASS = """\
cascade attention-1pass            # Cascade 5
shape M = M1*M0
input Q[e,p], K[e,m], V[f,m]
stop: m1 >= M1
init: RM[0,p] = -inf
init: RD[0,p] = 0
init: RNV[f,0,p] = 0
BK[e,m1,m0] = K[e, m1*M0+m0]
BV[f,m1,m0] = V[f, m1*M0+m0]
BQK[m1,m0,p] = Q[e,p]*BK[e,m1,m0]
LM[m1,p] = max[m0] BQK[m1,m0,p]
RM[m1+1,p] = max(RM[m1,p], LM[m1,p])
SLN[m1,m0,p] = exp(BQK[m1,m0,p] - RM[m1+1,p])
SLD[m1,p] = sum[m0] SLN[m1,m0,p]
SLNV[f,m1,p] = SLN[m1,m0,p] * BV[f,m1,m0]
PRM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])
SPD[m1,p] = RD[m1,p] * PRM[m1,p]
RD[m1+1,p] = SLD[m1,p] + SPD[m1,p]
SPNV[f,m1,p] = RNV[f,m1,p] * PRM[m1,p]
RNV[f,m1+1,p] = SLNV[f,m1,p] + SPNV[f,m1,p]
AV[f,p] = RNV[f,M1,p] / RD[M1,p]
"""


def var(name: str, sign: int = 1) -> Term:
    return Term(sign=sign, var=VarName(name))


def shape(name: str, sign: int = 1) -> Term:
    return Term(sign=sign, shape=ShapeName(name))


def affine(*terms: Term) -> Affine:
    return Affine(terms=terms)


def tensor(name: str, *variables: str) -> Access:
    return Access(tensor=TensorName(name), indices=tuple(Index(expr=affine(var(v))) for v in variables))


def apply(operator: str, *args: Expr) -> Apply:
    return Apply(operator=OperatorName(operator), args=args)


def only(text: str, inputs: str = "input A[m], B[k,m], S\n") -> Einsum:
    """The last Einsum of a text."""
    return parse(inputs + text).einsums[-1]


def test_attention_of_the_paper() -> None:
    cascade = parse(ATTENTION_1PASS)
    assert cascade.name == "attention-1pass"
    assert cascade.shapes == (ShapeDecl(name=ShapeName("M"), factors=(ShapeName("M1"), ShapeName("M0"))),)
    assert [len(x) for x in (cascade.inputs, cascade.stops, cascade.inits, cascade.einsums)] == [3, 1, 3, 14]
    assert list(iterative_ranks(cascade)) == ["m1"]
    assert outputs(cascade) == ("AV",)
    assert set(known_shapes(cascade)) == {"E", "F", "P", "M", "M1", "M0"}
    step = cascade.einsums[4]
    assert step.output.indices[0].expr == affine(var("m1"), Term(constant=1))
    assert step.expr == apply("max", tensor("RM", "m1", "p"), tensor("LM", "m1", "p"))
    assert cascade.einsums[0].expr == Access(
        tensor=TensorName("K"),
        indices=(
            Index(expr=affine(var("e"))),
            Index(expr=affine(Term(var=VarName("m1"), shape=ShapeName("M0")), var("m0"))),
        ),
    )


def test_missing_reduce_is_a_sum_in_order_of_first_occurrence() -> None:
    einsum = only("Z = B[k,m] * A[m]")
    assert einsum.reduce == Reduce(
        operator=OperatorName("sum"),
        variables=(ReduceVar(var=VarName("k")), ReduceVar(var=VarName("m"))),
        explicit=False,
    )
    assert only("Z[m] = A[m]").reduce is None
    explicit = only("Z[m] = sum[k] B[k,m]").reduce
    assert explicit is not None and explicit.explicit


def test_precedence_and_associativity() -> None:
    a, one, two, three = tensor("A", "m"), Number(text="1"), Number(text="2"), Number(text="3.5e-2")
    assert only("Z[m] = A[m] - 1 - 2").expr == apply("sub", apply("sub", a, one), two)
    assert only("Z[m] = A[m] - 1*2/3.5e-2").expr == apply("sub", a, apply("div", apply("mul", one, two), three))
    assert only("Z[m] = A[m] - (1 - 2)").expr == apply("sub", a, apply("sub", one, two))
    assert only("Z[m] = -A[m]*2").expr == apply("mul", apply("neg", a), two)
    assert only("Z[m] = -(A[m]*2)").expr == apply("neg", apply("mul", a, two))
    assert only("Z[m] = A[m] + -inf").expr == apply("add", a, apply("neg", Number(text="inf")))
    assert only("Z[m] = max(A[m], 1) + S").expr == apply("add", apply("max", a, one), tensor("S"))


def test_values_of_sizes_and_coordinates() -> None:
    einsum = only("Z[m] = A[m] / size(M) + val(m+1)")
    value = ValueOf(expr=affine(var("m"), Term(constant=1)))
    assert einsum.expr == apply("add", apply("div", tensor("A", "m"), SizeOf(shape=ShapeName("M"))), value)
    assert variables_of(only("Z = sum[k] val(k)")) == ("k",)


def test_conditions_stand_at_indices_reductions_and_behind_for() -> None:
    causal = Chain(operands=(affine(var("m")), affine(var("p"))), relations=("<=",))
    window = Chain(
        operands=(affine(var("p"), shape("W", -1)), affine(var("m")), affine(var("p"))), relations=("<", "<=")
    )
    text = "shape W = 2\ninput Q[p]\n"
    left = only(text + "Z[m: m<=p, p] = A[m]*Q[p]")
    assert left.output.indices[0].conditions == (causal,)
    assert only(text + "Z[p] = sum[m: p-W<m<=p] A[m]*Q[p]").reduce == Reduce(
        operator=OperatorName("sum"), variables=(ReduceVar(var=VarName("m"), conditions=(window,)),)
    )
    right = only(text + "Z[p] = A[m: m<=p]*Q[p] for p >= W & p == 3")
    assert accesses(right)[0].indices[0].conditions == (causal,)
    assert right.conditions == (
        Chain(operands=(affine(var("p")), affine(shape("W"))), relations=(">=",)),
        Chain(operands=(affine(var("p")), affine(Term(constant=3))), relations=("==",)),
    )


def test_division_and_rest_of_a_variable() -> None:
    einsum = only("Z[h] = A[h//G] * A[h%G]", "shape H = HK*G\ninput A[hk]\n")
    assert [a.indices[0].expr for a in accesses(einsum)] == [
        FloorDiv(var=VarName("h"), shape=ShapeName("G")),
        Modulo(var=VarName("h"), shape=ShapeName("G")),
    ]


def test_products_in_an_index_may_stand_in_either_order() -> None:
    first, second = (only(f"Z[m1,m0] = A[{i}]", "shape M=M1*M0\ninput A[m]\n") for i in ("m1*M0+m0", "M0*m1 + m0"))
    assert first == second


def test_shapes_are_products_aliases_constants_or_bare() -> None:
    cascade = parse("shape M = M2*M1*M0, P = M\nshape W = 2, T\nZ = 1")
    assert [(s.name, s.factors, s.constant) for s in cascade.shapes] == [
        ("M", ("M2", "M1", "M0"), None),
        ("P", ("M",), None),
        ("W", (), 2),
        ("T", (), None),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("\ufeffcascade x\r\nZ = 1\r\n", 2), ("cascade x\rZ = 1", 2), ("\t cascade  x # c\n\n  Z=1 # d", 3)],
)
def test_line_ends_marks_and_blanks_do_not_matter(text: str, line: int) -> None:
    cascade = parse(text)
    assert cascade == parse("cascade x\nZ = 1")
    assert cascade.einsums[0].span.line == line


def test_a_cascade_without_name_is_called_by_its_file() -> None:
    assert parse("Z = 1", file="dir/soft-max.cascade").name == "soft-max"
    assert parse("Z = 1").name == "unnamed"


def test_names_of_sympy_constants_are_names() -> None:
    cascade = parse("input E[n], I[n], N[n], O[n], Q[n], S[n]\nPI[n] = E[n]*I[n] + N[n]*O[n] + Q[n]*S[n]")
    assert [a.tensor for a in accesses(cascade.einsums[0])] == ["E", "I", "N", "O", "Q", "S"]


def test_spans_cover_what_they_stand_for() -> None:
    span = only("Z[m] = A[m] * exp( A[m] )").expr.span
    assert (span.line, span.column, span.length) == (2, 8, 18)


def test_user_operators_parse_like_built_in_ones() -> None:
    operators = BUILTIN.register_map("gelu", 1, "numpy:tanh").register_reduce(
        "logsum", "numpy:logaddexp", float("-inf")
    )
    cascade = parse("input A[m]\nZ = logsum[m] gelu(A[m])", operators=operators)
    assert cascade.einsums[0].reduce is not None
    with pytest.raises(InputError, match="unknown operator gelu"):
        parse("input A[m]\nZ[m] = gelu(A[m])")


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.cascade"
    path.write_bytes(b"\xef\xbb\xbfZ = 1\r\n")
    assert parse_file(path).name == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x01\x02", "not a text file: character U+0000 in line 1"),
        (b"Z = 1\n\xff\xfe", "not a text file: byte 0xFF in line 2 is not UTF-8"),
        (b"", "the cascade has no Einsum"),
        (b"# only a comment\n", "the cascade has no Einsum"),
        (b"Z = 1\n" * 2_000_000, "the file has more than 1048576 bytes, the limit for a cascade"),
    ],
)
def test_files_that_are_no_cascade_give_one_message_fast(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.cascade"
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        parse_file(path)
    assert time.perf_counter() - start < 1
    assert [d.message for d in caught.value.diagnostics] == [message]
    assert str(caught.value.diagnostics[0].span) == f"{path}:1:1"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.cascade", tmp_path, Path("a\0b")):
        with pytest.raises(InputError, match="cannot read the file"):
            parse_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "A" * (MAX_BYTES + 1),
        "Z = " + "(" * 9_000,
        "Z = " + "-" * 9_000 + "1",
        "Z = " + "exp(" * 2_000,
        "Z = " + "1+" * 4_000 + "1",
        "Z = 1" + "1" * 20_000,
        "Z[" + "9" * 9_000 + "] = 1",
        "\n".join(f"Z{i} = 1" for i in range(MAX_STATEMENTS + 1)),
        "\n".join(f"Z{i} = Y{i}" for i in range(MAX_STATEMENTS - 1)),
        "Z = 1\n" + "\n".join(f"shape A{i} = A{i + 1}*A0" for i in range(MAX_STATEMENTS - 5)),
        "Z = 1 +\n" * 1_000,
    ],
    ids=range(11),
)
def test_extreme_texts_are_refused_fast(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        parse(text)
    assert time.perf_counter() - start < 5
    assert len(str(caught.value)) < 1_000_000
    assert len(caught.value.diagnostics) <= 100


def _parses_or_explains(text: str) -> None:
    """Any text either parses, and then its sizes are checked, or is refused with an InputError."""
    try:
        cascade: Cascade = parse(text)
        check_sizes(cascade, {s: 3 for s in known_shapes(cascade)})
    except InputError as error:
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            assert diagnostic.message
            if diagnostic.span is not None:
                assert 1 <= diagnostic.span.line <= text.count("\n") + text.count("\r") + 1


@given(st.text())
def test_any_text_parses_or_explains(text: str) -> None:
    _parses_or_explains(text)


WORDS = """cascade shape input output stop init for inf size val sum max exp A B Z K M m k i p h 0 1 2 1e5 .5
+ - * / // % ( ) [ ] , : & = == < <= >= > # m<=p Z[m] A[m] =1 stop:i>=K"""
VOCABULARY = (*WORDS.split(), "\n", "\n", "\n")


@given(st.lists(st.sampled_from(VOCABULARY), max_size=60).map(" ".join))
def test_any_words_parse_or_explain(text: str) -> None:
    _parses_or_explains(text)


@examples(67, 200, deadline=None)
@given(st.data())
def test_any_edit_of_a_library_cascade_parses_or_explains(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(sorted(LIBRARY.glob("*.cascade")))).read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        cut = data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.sampled_from([*VOCABULARY, "m1", "M0", ""])) + text[at + cut :]
    _parses_or_explains(text)
