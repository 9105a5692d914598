"""Every built-in cascade against an independent reference, and loading by name and path."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reductions_reference
import zoo
from attention_reference import attention, causal, grouped_attention, softmax, window

from fusemap import einsum_cascade as package
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.interpreter import execute, run
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.scope import output_variables, outputs
from fusemap.einsum_cascade.sized import check_sizes, written_boxes
from fusemap.einsum_cascade.types import Cascade

Arrays = Mapping[str, Any]
Reference = Callable[[Arrays, Mapping[str, int]], Arrays]

ATTENTION: Mapping[str, Callable[[int, int], Any]] = {
    "attention-naive": lambda m, p: None,
    "attention-naive-deferred": lambda m, p: None,
    "attention-3pass": lambda m, p: None,
    "attention-3pass-deferred": lambda m, p: None,
    "attention-3pass-causal": causal,
    "attention-3pass-window": lambda m, p: window(m, p, 4),
    "attention-2pass": lambda m, p: None,
    "attention-2pass-causal": causal,
    "attention-2pass-deferred": lambda m, p: None,
    "attention-splitk": lambda m, p: None,
    "attention-1pass": lambda m, p: None,
    "attention-1pass-causal": causal,
}
STABLE = tuple(n for n in ATTENTION if "naive" not in n)


def _attention(name: str) -> Reference:
    def reference(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
        return {"AV": attention(x["Q"], x["K"], x["V"], ATTENTION[name](x["K"].shape[1], x["Q"].shape[1]))}

    return reference


def _gqa(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"AV": grouped_attention(x["Q"], x["K"], x["V"])}


def _softmax(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Y": softmax(x["X"], axis=1)}


def _logsumexp(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"L": np.log(np.exp(x["X"].astype(np.longdouble)).sum(axis=1))}


def _layernorm(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    rows = x["X"].astype(np.longdouble)
    centred = rows - rows.mean(axis=1, keepdims=True)
    return {"Y": centred / np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5) * x["GA"] + x["BE"]}


def _rmsnorm(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    rows = x["X"].astype(np.longdouble)
    scaled = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + 1e-6)
    return {"Z": (scaled * x["GA"]) @ x["WT"].astype(np.longdouble)}


def _variance(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"VAR": np.var(x["X"].astype(np.longdouble))}


def _cross_entropy(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Z": -(x["T"] * np.log(softmax(x["X"], axis=1))).sum(axis=1)}


def _cascade_123(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Z": (x["A"] * x["B"]).sum() * x["A"].sum()}


def _linear_attention(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    scores = np.exp(x["K"]).T @ np.exp(x["Q"])
    return {"AV": x["V"] @ (scores / scores.sum(axis=0))}


def _linear_layer(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Z": x["A"].T @ x["B"]}


def _scan(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Z": np.cumsum(x["A"]) / x["A"].sum()}


def _prefix_suffix(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"Z": np.cumsum(x["A"]) * np.cumsum(x["A"][::-1])[::-1]}


def _power_iteration(x: Arrays, sizes: Mapping[str, int]) -> Arrays:
    vector = np.linalg.matrix_power(x["A"], sizes["T"]) @ x["X0"]
    return {"XT": vector / np.linalg.norm(vector)}


REFERENCES: Mapping[str, Reference] = {
    **zoo.REFERENCES,
    **reductions_reference.REFERENCES,
    **{name: _attention(name) for name in ATTENTION},
    "attention-3pass-gqa": _gqa,
    "attention-1pass-gqa": _gqa,
    "softmax": _softmax,
    "softmax-online": _softmax,
    "logsumexp": _logsumexp,
    "layernorm": _layernorm,
    "layernorm-moments": _layernorm,
    "rmsnorm-matmul": _rmsnorm,
    "rmsnorm-matmul-deferred": _rmsnorm,
    "variance": _variance,
    "variance-moments": _variance,
    "variance-welford": _variance,
    "cross-entropy": _cross_entropy,
    "cascade-1": _cascade_123,
    "cascade-2": _cascade_123,
    "cascade-3": _cascade_123,
    "linear-attention": _linear_attention,
    "linear-layer": _linear_layer,
    "scan-divide-by-total": _scan,
    "prefix-times-suffix": _prefix_suffix,
    "power-iteration": _power_iteration,
}


def sized(cascade: Cascade, **given: int) -> dict[str, int]:
    """`given` as far as the cascade leaves the shapes open, the others by default.

    A whole that the given factors do not divide is left to the factors.
    """
    known = {d.name for d in cascade.shapes} | {f for d in cascade.shapes for f in d.factors}
    known |= {v.upper() for a in cascade.inputs for v in output_variables(a)}
    known -= {d.name for d in cascade.shapes if len(d.factors) == 1 or d.constant is not None}
    known -= {d.name for d in cascade.shapes if given.get(d.name, 0) % prod(given.get(f, 1) for f in d.factors)}
    return fill_sizes(cascade, {k: v for k, v in given.items() if k in known})[0]


def random_inputs(cascade: Cascade, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """Standard normal inputs."""
    generator = np.random.default_rng(seed)
    boxes = written_boxes(cascade, check_sizes(cascade, sizes))
    return {a.tensor: generator.standard_normal([last + 1 for _, last in boxes[a.tensor][0]]) for a in cascade.inputs}


def assert_matches(name: str, inputs: Arrays, sizes: Mapping[str, int], tolerance: float = 1e-12) -> None:
    """The outputs of a built-in cascade equal its reference."""
    cascade = load(name)
    found = run(cascade, sizes, inputs)
    assert set(outputs(cascade)) == set(found)
    assert_equal(found, REFERENCES[name](inputs, check_sizes(cascade, sizes)), tolerance)


def assert_equal(found: Arrays, expected: Arrays, tolerance: float = 1e-12) -> None:
    """Every tensor equals the expected one, relative to its greatest magnitude, and is absent where that is NaN."""
    assert set(expected) == set(found)
    for tensor, values in expected.items():
        wanted = np.asarray(values, dtype=float)
        assert found[tensor].shape == wanted.shape
        np.testing.assert_array_equal(np.ma.getmaskarray(found[tensor]), np.isnan(wanted))
        there = ~np.isnan(wanted)
        scale = float(np.abs(wanted[there]).max(initial=0))
        data = np.ma.getdata(found[tensor])
        np.testing.assert_allclose(data[there], wanted[there], rtol=tolerance, atol=tolerance * scale)


def test_every_cascade_of_the_library_has_a_reference() -> None:
    assert set(names()) == set(REFERENCES)


# test_zoo.py runs the attentions of papers on more inputs.
@pytest.mark.parametrize("name, seed", [(n, s) for n in names() for s in ((0,) if n in zoo.REFERENCES else (0, 1))])
def test_a_cascade_of_the_library_equals_its_reference(name: str, seed: int) -> None:
    cascade = load(name)
    assert cascade.name == name
    assert cascade.text.startswith("# "), "a header says what it computes and where it comes from"
    sizes = sized(cascade, E=5, F=3, P=11, M=24, M0=4, HK=2, G=3, K=13, N=12, J=6, T=5)
    assert_matches(name, random_inputs(cascade, sizes, seed), sizes)


def test_the_references_can_tell_a_wrong_cascade() -> None:
    cascade = load("attention-1pass")
    sizes = sized(cascade, M=24, M0=4)
    inputs = random_inputs(cascade, sizes)
    right = attention(inputs["Q"], inputs["K"], inputs["V"])
    for wrong in (
        run(load("attention-1pass-causal"), sizes, inputs),
        run(replaced("attention-1pass", ("SLD[m1,p] + SPD", "SLD[m1,p] + RD")), sizes, inputs),
        run(replaced("attention-1pass", ("- RM[m1+1,p])\nSLD", "- RM[m1,p])\nSLD")), sizes, inputs),
    ):
        assert not np.allclose(wrong["AV"], right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("keys, chunk, queries", [(32, 4, 40), (32, 32, 7), (32, 1, 32), (1, 1, 1), (6, 2, 2)])
def test_attention_at_odd_shapes(name: str, keys: int, chunk: int, queries: int) -> None:
    """More queries than keys and the reverse: causal chunks wholly above the diagonal are fully masked."""
    cascade = load(name)
    sizes = sized(cascade, E=4, F=4, M=keys, M0=chunk, P=queries)
    assert_matches(name, random_inputs(cascade, sizes), sizes)


def huge_logits(keys: int, queries: int, spread: bool) -> dict[str, Any]:
    """Inputs with exactly representable logits near 1e4: apart by thousands, or by fractions (not `spread`)."""
    generator = np.random.default_rng(7)
    q, k = (generator.integers(-64, 65, n) / 32.0 for n in (queries, keys))
    if spread:
        logits = {"Q": np.stack([q * 0, q * 32]), "K": np.stack([k * 0, k * 128])}
    else:
        logits = {"Q": np.stack([q * 0 + 1, q]), "K": np.stack([k * 0 + 1e4, k])}
    return {**logits, "V": generator.standard_normal((3, keys))}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("spread", [False, True])
def test_stable_attention_on_logits_of_ten_thousand(name: str, spread: bool) -> None:
    cascade = load(name)
    inputs = huge_logits(32, 32, spread)
    assert_matches(name, inputs, sized(cascade, E=2, F=3, M=32, M0=4, P=32))


@pytest.mark.parametrize("name", [n for n in ATTENTION if "naive" in n])
def test_naive_attention_overflows_on_logits_of_ten_thousand(name: str) -> None:
    found = run(load(name), {"E": 2, "F": 3, "M": 32, "P": 32}, huge_logits(32, 32, False))
    assert not np.isfinite(found["AV"]).any()


def replaced(name: str, *changes: tuple[str, str]) -> Cascade:
    """A built-in cascade with parts of its text replaced."""
    text = load(name).text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse(text)


@pytest.mark.parametrize(
    "name, old, new",
    [("attention-3pass-causal", "m<=p", "m<p"), ("attention-2pass-causal", "m1*M0+m0 <= p", "m1*M0+m0 < p")],
)
def test_a_query_that_sees_no_key_is_absent(name: str, old: str, new: str) -> None:
    cascade = replaced(name, (old, new))
    sizes = sized(cascade, E=4, F=3, M=12, M0=4, P=9)
    inputs = random_inputs(cascade, sizes)
    found = run(cascade, sizes, inputs)["AV"]
    assert isinstance(found, np.ma.MaskedArray)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.broadcast_to(np.arange(9) == 0, (3, 9)))
    assert (found.data[:, 0] == 0).all()
    expected = attention(inputs["Q"], inputs["K"], inputs["V"], causal(12, 9, strict=True))
    np.testing.assert_allclose(found.data[:, 1:], expected[:, 1:], rtol=1e-12, atol=1e-12)


def test_fully_masked_leading_chunks_need_the_safe_operators_in_one_pass() -> None:
    """A window leaves the first chunks of late queries without keys: exp(-inf - -inf) is NaN, expsub is 1."""
    filtered = ("BK[e,m1,m0]\nLM", "BK[e,m1,m0] for p-5 < m1*M0+m0 < p\nLM")
    cascade = replaced("attention-1pass", filtered)
    safe = replaced(
        "attention-1pass",
        ("exp(RM[m1,p] - RM[m1+1,p])", "expsub(RM[m1,p], RM[m1+1,p])"),
        ("RNV[f,M1,p] / RD[M1,p]", "safediv(RNV[f,M1,p], RD[M1,p])"),
        filtered,
    )
    sizes = sized(cascade, E=4, F=3, M=24, M0=4, P=24)
    inputs = random_inputs(cascade, sizes)
    m, p = np.ogrid[:24, :24]
    expected = attention(inputs["Q"], inputs["K"], inputs["V"], (p - 5 < m) & (m < p))
    expected[:, 0] = 0
    np.testing.assert_allclose(run(safe, sizes, inputs)["AV"], expected, rtol=1e-12, atol=1e-12)
    assert np.isnan(run(cascade, sizes, inputs)["AV"][:, -1]).all()


def test_moments_lose_the_variance_of_a_large_mean_and_welford_does_not() -> None:
    data = {"X": np.random.default_rng(0).standard_normal(512) + 1e8}
    exact = np.var(data["X"].astype(np.longdouble))
    error = {n: abs(run(load(n), {"K": 512}, data)["VAR"] / exact - 1) for n in names() if n.startswith("variance")}
    assert error["variance"] < 1e-12
    assert error["variance-welford"] < 1e-6
    assert error["variance-moments"] > 0.1


def test_large_attention_runs_in_seconds_and_agrees_between_one_and_three_passes() -> None:
    sizes = {"E": 64, "F": 64, "M": 4096, "P": 512}
    inputs = random_inputs(load("attention-3pass"), sizes)
    three = run(load("attention-3pass"), sizes, inputs)["AV"]
    one = run(load("attention-1pass"), {**sizes, "M0": 256}, inputs)["AV"]
    np.testing.assert_allclose(one, three, rtol=0, atol=1e-12)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", names())
def test_matrix_products_change_no_element(name: str) -> None:
    cascade = load(name)
    sizes = sized(cascade, E=5, F=3, P=9, M=24, M0=4, K=7)
    inputs = random_inputs(cascade, sizes)
    fast, slow = execute(cascade, sizes, inputs), execute(cascade, sizes, inputs, matrix_products=False)
    assert list(fast) == list(slow)
    for tensor in fast:
        np.testing.assert_allclose(fast[tensor].values, slow[tensor].values, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(fast[tensor].present, slow[tensor].present)


# --- loading --------------------------------------------------------------------------------------


def test_a_path_is_loaded_like_the_built_in_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.cascade"
    path.write_text(load("softmax").text)
    assert load(path) == load(str(path)) == load("softmax")


def test_a_built_in_name_goes_before_a_file_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "softmax").write_text("input A[k]\nZ = A[k]\n")
    (tmp_path / "other").write_text("input A[k]\nZ = A[k]\n")
    monkeypatch.chdir(tmp_path)
    assert load("softmax").name == "softmax"
    assert [e.name for e in load("other").einsums] == ["Z"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("attention-3pas", "did you mean attention-3pass?"),
        ("zzzz", "valid cascades: acmil,"),
        ("no/such.cascade", "cannot read the file: No such file or directory"),
        ("", "unknown cascade ''"),
        ("a\0b", "unknown cascade"),
        ("x" * 5000, "unknown cascade"),
    ],
)
def test_an_unknown_cascade_is_an_input_error(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(name)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\xff\xfe", b"Z = ="])
def test_a_file_that_is_no_cascade_is_an_input_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.cascade"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_directory_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        load(tmp_path)


def test_importing_the_package_loads_neither_numpy_nor_sympy() -> None:
    code = (
        "import sys, fusemap.einsum_cascade as c; c.names(); c.load('attention-1pass'); c.point_operators; "
        "print([m for m in ('numpy', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_is_there() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(dir(package)) >= set(package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.__getattr__("nothing")
