"""`fusemap run`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome

from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.scope import shape_of
from fusemap.einsum_cascade.sized import check_sizes

Run = Callable[..., Outcome]


def test_the_report_tells_sizes_seed_and_outputs(fusemap: Run) -> None:
    outcome = fusemap("run", "attention-1pass", "--size", "M=1K", "--size", "M0=256", "--seed", "3")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "attention-1pass: M=1024, M1=4, M0=256, E=16, P=16, F=16"
    assert lines[1] == "sizes chosen here, --size sets others: E, P, F"
    assert lines[2] == "standard normal inputs, seed 3"
    assert lines[6].split()[:2] == ["AV", "16x16"]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    "declared, drawn",
    [
        ("input A[m], I[j], B[j]\nZ[j] = A[I[j]] * B[j]", "standard normal inputs, uniform coordinates in I, seed 0"),
        (
            "input A[m], I[j], L[i]\nZ[j] = A[I[j]]\nY[i] = A[L[i]]",
            "standard normal inputs, uniform coordinates in I, L",
        ),
        ("input I[j], L[i]\nC[m] = val(m)\nZ[j] = C[I[j]]\nY[i] = C[L[i]]", "uniform coordinates in I, L, seed 0"),
    ],
)
def test_the_report_tells_which_inputs_are_coordinates(declared: str, drawn: str, fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "gather.cascade"
    path.write_text(f"{declared}\n")
    outcome = fusemap("run", str(path))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[2].startswith(drawn)


def test_the_document_has_the_agreed_fields(fusemap: Run) -> None:
    found = fusemap("run", "attention-3pass-causal", "--size", "M=8", "--size", "P=8", "--json").json()
    assert found["schema"] == "fusemap/run/1"
    assert found["cascade"] == "attention-3pass-causal"
    assert found["sizes"] == {"E": 16, "P": 8, "M": 8, "F": 16}
    assert found["sizes_chosen"] == ["E", "F"]
    assert found["seed"] == 0
    (output,) = found["outputs"]
    assert (output["tensor"], output["shape"], output["absent"], output["not_finite"]) == ("AV", [16, 8], 0, 0)
    assert output["min"] <= output["mean"] <= output["max"]
    assert "values" not in output
    exps = [o for o in found["operations"] if o["operator"] == "exp"]
    assert [(o["einsum"], o["count"], o["kind"], o["exact"]) for o in exps] == [("SN", 36, "map", True)]


def test_small_outputs_are_printed_with_absent_and_infinite_elements(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "small.cascade"
    path.write_text("input A[k]\nZ[k] = 1 / (A[k]-A[k]) * (val(k)-1) for k > 0\n")
    (output,) = fusemap("run", str(path), "--size", "K=3", "--json").json()["outputs"]
    assert output["values"] == [None, "nan", "inf"]
    assert (output["absent"], output["not_finite"], output["min"]) == (1, 2, None)
    row = fusemap("run", str(path), "--size", "K=3").out.splitlines()[-3]
    assert row.split()[:7] == ["Z", "3", "-", "-", "-", "1", "2"]


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(fusemap: Run) -> None:
    first, again, other = (
        fusemap("run", "softmax", "--seed", seed, "--json").json()["outputs"][0]["checksum"] for seed in "001"
    )
    assert first == again != other


def test_inputs_and_outputs_travel_in_archives(fusemap: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "in.npz", tmp_path / "out.npz"
    path = tmp_path / "two.cascade"
    path.write_text("input A[k]\nY[k] = A[k] for k > 0\nZ = sum[k] A[k]\n")
    np.savez(source, A=np.array([1.0, 2.0, 4.0]))
    outcome = fusemap("run", str(path), "--input", str(source), "--out", str(target), "--json")
    assert outcome.json()["sizes"] == {"K": 3}
    assert outcome.json()["seed"] is None
    with np.load(target) as archive:
        assert {n: archive[n].tolist() for n in archive.files} == {
            "Y": [0, 2, 4],
            "Y.present": [False, True, True],
            "Z": 7,
        }


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", names())
def test_every_cascade_runs_without_any_size(name: str, fusemap: Run) -> None:
    outcome = fusemap("run", name)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize(
    "argv, message",
    [
        (["attention-3pas"], "error: unknown cascade 'attention-3pas'\n  did you mean attention-3pass?"),
        (["softmax", "--size", "K"], "error: --size K is not NAME=N"),
        (["softmax", "--size", "K=-1"], "error: --size K=-1 is not NAME=N"),
        (["softmax", "--size", "K=0"], "error: size K must be an integer of at least 1, found 0"),
        (["softmax", "--size", "K=4", "--size", "K=5"], "error: --size gives K twice: 4 and 5"),
        (["softmax", "--size", "Q=4"], "error: unknown shape Q"),
        (["softmax", "--size", "K=900000G"], "error: the tensors of softmax have"),
        (["attention-1pass", "--size", "M=10", "--size", "M0=4"], "M = M1*M0 does not hold"),
        (["softmax", "--input", "absent.npz"], "error: cannot read absent.npz: No such file or directory"),
        (["softmax", "--input", "."], "error: cannot read .: Is a directory"),
        (["softmax", "--out", "no/such/dir.npz"], "error: no/such/dir.npz: No such file or directory"),
        (["softmax", "--seed", "-1"], "Invalid value for '--seed'"),
        ([], "Missing argument 'CASCADE'"),
    ],
)
def test_wrong_arguments_exit_with_two_and_one_message(argv: list[str], message: str, fusemap: Run) -> None:
    outcome = fusemap("run", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"text", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_archive_is_refused(content: bytes, fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    outcome = fusemap("run", "softmax", "--input", str(path))
    assert (outcome.code, outcome.out) == (2, "")
    assert str(path) in outcome.err


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"X": np.ones(3)}, "input X has shape (3,), expected"),
        ({"X": np.ones((2, 0))}, "input X has shape (2, 0), expected"),
        ({"Y": np.ones((2, 3))}, "softmax has no input Y"),
        ({"X": np.array([["a"]])}, "input X holds <U1"),
        ({"X": np.array([[None]])}, "is no .npz archive of numbers (ValueError)"),
        ({"X": np.full((2, 3), np.nan)}, "input X is NaN at [0, 0]"),
    ],
)
def test_an_archive_of_other_arrays_is_refused(
    arrays: dict[str, np.ndarray], message: str, fusemap: Run, tmp_path: Path
) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, **arrays)
    outcome = fusemap("run", "softmax", "--input", str(path))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_a_single_array_is_no_archive(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "one.npy"
    np.save(path, np.ones(3))
    assert "holds a single array" in fusemap("run", "softmax", "--input", str(path)).err


# --- chosen sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, given, expected",
    [
        ("input A[m]\nZ = A[m]", {}, {"M": 16}),
        ("shape P = M\ninput A[m,p]\nZ = A[m,p]", {}, {"M": 16, "P": 16}),
        ("shape P = M\ninput A[m,p]\nZ = A[m,p]", {"P": 6}, {"M": 6, "P": 6}),
        ("shape M = M2*M1*M0\ninput A[m]\nZ = A[m]", {"M": 24, "M0": 2}, {"M": 24, "M0": 2}),
        ("shape M = M1*M0\ninput A[m]\nZ[m1] = A[m1*M0+m0]", {"M": 7}, {"M": 7, "M1": 7, "M0": 1}),
        ("shape M = M1*M0\ninput A[m]\nZ[m1] = A[m1*M0+m0]", {"M1": 3}, {"M": 12, "M1": 3, "M0": 4}),
        ("shape W = 8\ninput A[m]\nZ[m] = A[m] for m < W", {}, {"M": 16, "W": 8}),
        ("shape W\ninput A[m]\nZ[m] = A[m] for m < W", {}, {"M": 16, "W": 4}),
        ("input A[m]\nstop: t >= T\ninit: S[0,m] = 0\nS[t+1,m] = S[t,m] + A[m]\nZ[m] = S[T,m]", {}, {"M": 16, "T": 4}),
        ("shape P = M\ninput A[p]\nZ = sum[m] val(m)\nY = A[p]", {}, {"P": 16, "M": 16}),
        ("shape P = M, T = P\ninput A[t]\nZ = sum[m] val(m)\nY = A[t]", {}, {"P": 16, "M": 16, "T": 16}),
        ("input A[m]\nI[j] = topk[m; j] A[m]", {}, {"M": 16, "J": 2}),
        ("input A[m], B[j]\nI[j] = topk[m; j] A[m]\nZ = A[I[j]] * B[j]", {}, {"M": 16, "J": 2}),
        ("shape J = J1*J0\ninput A[m]\nI[j] = topk[m; j] A[m]", {}, {"M": 16, "J": 4, "J1": 2, "J0": 2}),
        ("shape J = J1*J0\ninput A[m]\nI[j] = topk[m; j] A[m]", {"J": 9}, {"J": 9, "J1": 3, "J0": 3}),
        ("shape M = M1*M0\ninput A[m]\nB[m1] = A[m1*M0+m0]\nI[j] = topk[m1; j] B[m1]", {}, {"M": 16, "M1": 4, "J": 2}),
    ],
)
def test_open_sizes_fit_the_shape_lines(text: str, given: dict[str, int], expected: dict[str, int]) -> None:
    cascade = parse(text)
    filled, chosen = fill_sizes(cascade, given)
    assert expected.items() <= dict(check_sizes(cascade, filled)).items()
    assert not set(chosen) & set(given)


@pytest.mark.parametrize("name", names())
def test_open_sizes_of_the_library_are_small_and_even(name: str) -> None:
    cascade = load(name)
    sizes = check_sizes(cascade, fill_sizes(cascade, {})[0])
    constants = {s.name for s in cascade.shapes if s.constant is not None}
    assert all(size in (2, 4, 16) for name, size in sizes.items() if name not in constants)


@pytest.mark.parametrize("name", names())
def test_a_ranking_of_the_library_leaves_some_out(name: str) -> None:
    """By default, so that what depends on the selection can be seen; a shape of a given size is as it is."""
    cascade = load(name)
    sizes = check_sizes(cascade, fill_sizes(cascade, {})[0])
    for einsum in cascade.einsums:
        if einsum.reduce is not None and einsum.reduce.places is not None:
            place, (ranked,) = shape_of(einsum.reduce.places), (shape_of(v.var) for v in einsum.reduce.variables)
            constant = any(s.name == place and s.constant is not None for s in cascade.shapes)
            assert constant or sizes[place] < sizes[ranked]
