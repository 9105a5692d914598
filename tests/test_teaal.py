"""TeAAL files: what its own compiler computes, what NumPy computes, and every refusal with its place."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st
from teaal_cases import random_case

import fusemap as fm
from fusemap.archspec.yamlnodes import parse_document
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.validation.imported import Imported
from fusemap.validation.teaal.exporter import export_teaal
from fusemap.validation.teaal.importer import imported
from fusemap.validation.teaal.spec import read_spec

Run = Callable[..., Outcome]
DATA = Path(__file__).parent / "data" / "teaal"
COMPILED = {case["name"]: case for case in json.loads((DATA / "compiled.json").read_text())["cases"]}
OUTSIDE = "conv1d-outside"  # reads beyond a rank, where TeAAL goes on


def read(text: str, *, partitioned: bool = False, einsum_only: bool = False) -> Imported:
    """The import of a text."""
    return imported(read_spec(parse_document(text, file="t.yaml"), einsum_only=einsum_only), partitioned=partitioned)


def refusal(text: str, **options: bool) -> str:
    """The message that a text is refused with."""
    with pytest.raises(fm.InputError) as error:
        read(text, **options)
    return str(error.value)


def executed(found: Imported, case: Mapping[str, Any]) -> dict[str, Any]:
    """All tensors that the imported cascade computes from a case's inputs."""
    cascade = parse(found.text)
    assert cascade == found.cascade
    scalars = {
        note.message.split()[2].rstrip(","): note.message.split()[-1]
        for note in found.notes
        if "scalar" in note.message
    }
    values = {name: np.array(value) for name, value in case["inputs"].items()}
    values |= {scalars[name]: np.array(float(value)) for name, value in case["scalars"].items() if name in scalars}
    wanted = {access.tensor for access in cascade.inputs}
    sizes = {name: size for name, size in case["sizes"].items() if name in known_shapes(cascade)}
    return run(cascade, sizes, {n: v for n, v in values.items() if n in wanted}, tensors="all")


def agree(computed: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Are all expected tensors there, element by element? An element that is absent counts as 0, as in TeAAL."""
    return all(np.array_equal(np.ma.filled(computed[n], 0), np.array(expected[n])) for n in expected)


# --- what is computed -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in COMPILED if name != OUTSIDE])
def test_a_cascade_computes_what_teaal_s_own_compiler_computes(name: str) -> None:
    case = COMPILED[name]
    assert agree(executed(read(case["yaml"]), case), case["result"])


@pytest.mark.parametrize("name", ["matmul-tiled", "matmul-nway"])
def test_a_partitioned_cascade_computes_the_same(name: str) -> None:
    case = COMPILED[name]
    found = read(case["yaml"], partitioned=True)
    assert "K2" in known_shapes(found.cascade)
    assert agree(executed(found, case), case["result"])


def test_a_read_beyond_a_rank_is_refused_and_not_computed_otherwise() -> None:
    case = COMPILED[OUTSIDE]
    with pytest.raises(fm.InputError):
        executed(read(case["yaml"]), case)


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_random_einsums_compute_what_numpy_computes(first: int) -> None:
    for seed in range(first, first + 20):
        case = random_case(seed)
        given_case = {"inputs": case.inputs(), "scalars": case.scalars, "sizes": case.sizes}
        computed, expected = executed(read(case.yaml()), given_case), case.expected()
        assert agree(computed, {output[0]: expected[output[0]] for output, _ in case.statements}), case.yaml()


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("conv1d-stride", "2 * q + s", "1 * q + s"),
        ("conv1d-back", "q + -1 * s", "q"),
        ("mttkrp", "* C[j, n]", "* C[j, n] * C[j, n]"),
        ("sum-of-rows", "A[k, m] + B[k, m]", "A[k, m] * B[k, m]"),
    ],
)
def test_a_planted_fault_is_seen(name: str, right: str, wrong: str) -> None:
    case = COMPILED[name]
    assert right in case["yaml"]
    assert not agree(executed(read(case["yaml"].replace(right, wrong)), case), case["result"])


# --- and back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, case in COMPILED.items() if "a *" not in case["yaml"]])
def test_an_exported_cascade_is_imported_as_it_was(name: str) -> None:
    first = read(COMPILED[name]["yaml"]).cascade
    if any(einsum.conditions for einsum in first.einsums):
        with pytest.raises(fm.InputError, match="TeAAL cannot say a filter"):
            export_teaal(first)
        return
    again = read(export_teaal(first)).cascade
    assert (again.einsums, again.shapes) == (first.einsums, first.shapes)
    assert set(again.inputs) == set(first.inputs)


def test_of_the_library_what_is_a_sum_of_products_can_be_exported() -> None:
    said = []
    for name in fm.list_cascades():
        cascade = fm.load_cascade(name)
        try:
            text = export_teaal(cascade)
        except fm.InputError as error:
            assert f"{name}.cascade:" in str(error) and "TeAAL cannot say" in str(error)
        else:
            said.append(name)
            assert export_teaal(read(text).cascade).splitlines()[1:] == text.splitlines()[1:]
    assert said == ["cascade-1", "cascade-2", "linear-layer"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("Z[m] = max[k] A[k,m]", "the reduction max"),
        ("Z[m] = A[k,m] / B[m]", "the operator div"),
        ("Z[m] = 2 * A[k,m]", "a constant"),
        ("Z[m] = A[k: k<m, m]", "a filter"),
        ("Z[m] = A[m, m] * A[k,m]", "A twice in one expression"),
        ("Z[m] = A[k,m] + B[m]", "a sum whose terms have different variables"),
        ("Z[m] = A[m//G,m]", "the index m//G"),
        ("Z[m] = Y[m] * B[m]\nY[m] = A[k,m]", "a read of Y above the line that writes it"),
    ],
)
def test_what_teaal_cannot_say_is_named(line: str, what: str) -> None:
    with pytest.raises(fm.InputError, match="TeAAL cannot say ") as error:
        export_teaal(parse(f"shape G = 2\ninput A[k,m], B[m]\n{line}", file="c.cascade"))
    assert what in str(error.value) and "c.cascade:3:" in str(error.value)


# --- refusals -------------------------------------------------------------------------------------

MATMUL = """einsum:
  declaration:
    A: [K, M]
    B: [K, N]
    Z: [M, N]
  expressions:
    - Z[m, n] = A[k, m] * B[k, n]
"""


def with_expression(text: str) -> str:
    """The product with another expression on line 7, which starts in column 7."""
    return MATMUL.replace("Z[m, n] = A[k, m] * B[k, n]", text)


@pytest.mark.parametrize(
    ("expression", "column", "message"),
    [
        ("Z[m, n] = take(A[k, m], B[k, n], 1)", 17, "take() keeps what is stored"),
        ("Z[m, n] = max(A[k, m], B[k, n])", 17, "no function max()"),
        ("Z[m, n] = A[k, m] - B[k, n]", 25, "found '-'"),
        ("Z[m, n] = A[k, m] / B[k, n]", 25, "found '/'"),
        ("Z[m, n] = 2 * A[k, m]", 17, "not the constant, found '2'"),
        ("Z[m, n] <<= A[k, m]", 15, "expected '=', found '<<='"),
        ("Z[m, n] = A[k, m] *", 26, "found the end of the expression"),
        ("Z[m, n] = A[k, m * 2]", 22, "index is not affine"),
        ("Z[m, n] = A[k, m + 1] * B[k, n]", 27, "expected '*' and a variable"),
        ("Z[m, n] = A[k, 0 * m] * B[k, n]", 22, "a coefficient is an integer from 1"),
        ("Z[m, n] = A[k] * B[k, n]", 17, "A has 2 ranks, found 1 indices"),
        ("Z[m, n] = A[k, m] * BB[k, n]", 27, "BB is not declared"),
        ("Z[m, n] = A[k, m] * B", 27, "the tensor B stands without indices"),
        ("Z[m + n, n] = A[k, m] * B[k, n]", 7, "a scatter"),
        ("Z[m, m] = A[k, m] * B[k, n]", 7, "along a diagonal"),
        ("Z[m, n] = A[k, m] + B[k, n]", 27, "m, n is not in all of them"),
        ("Z[m, n] = Z[m, n] * A[k, m]", 17, "Z reads itself"),
        ("Z = A[k, m]", 7, "Z is written without indices"),
        ("Z[m, n] = A[k + -1 * m, m] + A[k, m]", 17, "may fall below 0 in one term of a sum"),
    ],
)
def test_an_expression_that_is_not_supported_is_refused_in_its_place(
    expression: str, column: int, message: str
) -> None:
    refused = refusal(with_expression(expression))
    assert f"t.yaml:7:{column}: error: " in refused and message in refused


@pytest.mark.parametrize(
    ("added", "place", "message"),
    [
        ("mapping: {partitioning: {Z: {K: [uniform_occupancy(A.4)]}}}", "8:34", "uniform_occupancy cuts a rank"),
        ("mapping: {partitioning: {Z: {'(K, M)': [flatten()]}}}", "8:41", "flatten joins ranks"),
        ("mapping: {partitioning: {Z: {K: [uniformShape(4)]}}}", "8:34", "did you mean uniform_shape?"),
        ("mapping: {partitioning: {Z: {K: [uniform_shape(0)]}}}", "8:34", "takes a positive integer"),
        ("mapping: {partitioning: {Z: {K: 4}}}", "8:33", "expected a list, found 4"),
        ("mapping: {partitions: {}}", "8:11", "did you mean partitioning?"),
        ("mapping: {loop-order: {Y: [K, M, N]}}", "8:24", "Y is none of the expressions of this file"),
        ("mapping: {loop-order: {Z: [K, K]}}", "8:31", "K stands here twice"),
        ("mapping: {rank-order: {A: [M, N]}}", "8:27", "the ranks of A in another order were expected"),
        ("mapping: {spacetime: {Z: {spaces: [K]}}}", "8:27", "did you mean space?"),
        ("format: {A: {default: {K: {format: C}}}}", "8:36", 'A is stored in the sparse format "C" along K'),
        ("formats: {}", "8:1", "did you mean format?"),
        ("architecture: 3", "8:15", "expected a mapping, found 3"),
    ],
)
def test_a_section_that_is_sparse_or_wrong_is_refused_in_its_place(added: str, place: str, message: str) -> None:
    refused = refusal(f"{MATMUL}{added}\n")
    assert f"t.yaml:{place}: error: " in refused and message in refused


def test_all_faults_come_together_and_the_einsums_alone_can_be_imported() -> None:
    text = MATMUL + "mapping: {partitioning: {Z: {K: [uniform_occupancy(A.4)]}}}\nformat: {A: {d: {K: {format: C}}}}\n"
    assert refusal(text).count("error: ") == 2
    found = read(text, einsum_only=True)
    assert [note.span.line for note in found.notes] == [8, 9]
    assert found.cascade.einsums == read(MATMUL).cascade.einsums


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mapping: {}", 't.yaml:1:1: error: missing key "einsum"'),
        ("einsum: {declaration: {A: [K]}, expression: ['Z[] = A[k]']}", "did you mean expressions?"),
        ("einsum: {declaration: {A: [K], Z: []}, expressions: []}", "expected at least one expression"),
        ("einsum: {declaration: {A: [K, K], Z: []}, expressions: ['Z[] = A[k, j]']}", "K stands here twice"),
        ("einsum: {declaration: {A: [K], Z: [K]}, expressions: ['Z[k] = A[k]', 'Z[k] = A[k]']}", "Z is written twice"),
        ("einsum: {declaration: {A: [K], Z: [], Y: []}, expressions: ['Z[] = Y[]', 'Y[] = A[k]']}", "Y is read before"),
        ("einsum: {declaration: {A: [K]}, expressions: [3]}", "expected an expression, found 3"),
    ],
)
def test_a_wrong_einsum_section_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("{M: [uniform_shape(4), uniform_shape(2)]}", "cut in two pieces at most"),
        ("{K: [uniform_shape(4), nway_shape(2)]}", "nway_shape after another step"),
        ("{K: [uniform_shape(5), uniform_shape(2)]}", "pieces of 5 are no multiple of pieces of 2"),
        ("{J: [uniform_shape(5)]}", "Z has no variable j to cut"),
    ],
)
def test_pieces_that_shapes_cannot_say_are_refused(mapping: str, message: str) -> None:
    text = f"{MATMUL}mapping: {{partitioning: {{Z: {mapping}}}}}\n"
    assert read(text).cascade.shapes == ()
    assert message in refusal(text, partitioned=True)


def test_pieces_are_shapes() -> None:
    text = (
        f"{MATMUL}mapping: {{partitioning: {{Z: {{K: [uniform_shape(K1), uniform_shape(8)], M: [nway_shape(4)]}}}}}}\n"
    )
    found = read(text, partitioned=True)
    lines = found.text.splitlines()
    assert lines[-1] == "Z[m1*M0+m0,n] = A[k2*K1_0+k1*K0+k0,m1*M0+m0]*B[k2*K1_0+k1*K0+k0,n]"
    shapes = {line.removeprefix("shape ") for line in lines if line.startswith("shape")}
    assert shapes == {"K1_0 = K1*K0", "K = K2*K1_0", "K0 = 8", "M = M1*M0", "M1 = 4"}
    assert any("TeAAL's size K1 is K1*K0" in note.message for note in found.notes)


def test_names_that_a_cascade_cannot_have_are_changed_and_said() -> None:
    text = "einsum: {declaration: {z: [FOR], A: [_X], B: [For]}, expressions: ['z[for] = a * A[_x] * B[For]']}"
    found = read(text)
    assert found.text.splitlines()[-1] == "Z[for_] = A_*A[v_x]*B[for_]"
    assert {"the tensor z is called Z"} < {note.message for note in found.notes}


def test_a_rank_with_a_line_break_stays_in_a_comment() -> None:
    found = read(MATMUL + 'mapping: {spacetime: {Z: {space: ["K\\nY = A"], time: []}}}\n')
    assert [einsum.name for einsum in found.cascade.einsums] == ["Z"]


@given(st.integers(0, len(MATMUL) - 1), st.sampled_from(list("[]{}:,*+-=()#'&!\n Zk9")))
def test_a_damaged_file_is_read_or_refused(at: int, character: str) -> None:
    text = MATMUL[:at] + character + MATMUL[at + 1 :]
    try:
        parse(read(text).text)
    except fm.InputError as error:
        assert "t.yaml:" in str(error)


# --- the commands ---------------------------------------------------------------------------------


def test_the_command_writes_a_cascade_that_others_read(fusemap: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "my gemm.yaml", tmp_path / "gemm.cascade"
    source.write_text(MATMUL + "mapping: {loop-order: {Z: [M, N, K]}}\n")
    outcome = fusemap("import", "teaal", str(source), "--out", str(target))
    assert (outcome.code, outcome.out) == (0, f"{target}: cascade my-gemm, 1 Einsum\n")
    assert outcome.err.splitlines() == [
        f"{source}:8:24: note: loop order of Z: M, N, K. Loops change when, not what is computed: left out",
    ]
    assert fusemap("analyze", str(target)).code == 0
    printed = fusemap("import", "teaal", str(source))
    assert printed.out == target.read_text() and "cascade my-gemm\n" in printed.out
    document = fusemap("import", "teaal", str(source), "--json").json()
    assert document == fm.import_teaal(source).to_json()
    assert document["schema"] == "fusemap/import/1" and document["notes"][0]["line"] == 8
    back = fusemap("export", "teaal", str(target))
    assert read(back.out).cascade.einsums == fm.load_cascade(target).einsums
    assert fusemap("export", "teaal", str(target), "--json").json()["teaal"] == back.out


def test_a_refusal_writes_nothing(fusemap: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "t.yaml", tmp_path / "t.cascade"
    source.write_text(with_expression("Z[m, n] = exp(A[k, m])"))
    outcome = fusemap("import", "teaal", str(source), "--out", str(target))
    assert outcome.code == 2 and f"{source}:7:17: error: " in outcome.err and not target.exists()
    assert fusemap("import", "teaal", str(source), "--out", str(tmp_path / "t.txt")).code == 2
    assert fusemap("import", "teaal", str(tmp_path / "none.yaml")).code == 2
    assert fusemap("export", "teaal", "softmax").code == 2


# --- public files ---------------------------------------------------------------------------------


def outcome_of(path: Path) -> str:
    """`imported`, or the first line of every error, without the file's name."""
    try:
        fm.import_teaal(path)
    except fm.InputError as error:
        return "; ".join(f"{d.span.line}:{d.span.column} {d.message}" for d in error.diagnostics if d.span)
    return "imported"


@pytest.mark.parametrize("repository", ["teaal-compiler", "micro23-teaal-artifact"])
def test_public_files_come_out_as_recorded(repository: str) -> None:
    """Checkouts of FPSG-UIUC's repositories in the folder that FUSEMAP_TEAAL names, at the recorded commits."""
    table = json.loads((DATA / "public.json").read_text())[repository]
    folder = os.environ.get("FUSEMAP_TEAAL")
    if not folder or not (Path(folder) / repository).is_dir():
        pytest.skip(f"FUSEMAP_TEAAL names no folder with a checkout of {repository} at {table['commit']}")
    root = Path(folder) / repository
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    assert head.stdout.strip() == table["commit"]
    found = sorted(path.relative_to(root).as_posix() for path in root.glob(table["files"]))
    assert {path: outcome_of(root / path) for path in found} == table["outcomes"]
