"""Emitted NumPy functions against the interpreter: derived, library and random cascades; wrong text is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from derived_cascades import derived
from examples import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from interpreter_programs import Program, programs
from test_interpreter_random import inputs_for

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import format_cascade, load, names, parse
from fusemap.einsum_cascade.emit.names import names_of
from fusemap.einsum_cascade.emit.numpy_text import numpy_source
from fusemap.einsum_cascade.emit.sizes import sizes_of
from fusemap.einsum_cascade.execution import random_inputs
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.interpreter_schedule import Loop, Pool, Step, schedule
from fusemap.einsum_cascade.interpreter_sizes import extents_of
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.scope import depends_on_data, outputs
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.types import Cascade

Run = Callable[..., Outcome]
DERIVED = (
    ("attention-3pass", "M"),
    ("attention-3pass-causal", "M"),
    ("attention-3pass-gqa", "M"),
    ("attention-3pass-window", "M"),
    ("softmax", "K"),
    ("layernorm", "K"),
    ("variance", "K"),
    ("cross-entropy", "K"),
    ("cascade-1", "K"),
    ("rmsnorm-matmul", "K"),
)


def executed(cascade: Cascade, text: str, sizes: Mapping[str, int], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of the text, run where nothing but it is known."""
    scope: dict[str, Any] = {}
    exec(text, scope)
    named = names_of(cascade)
    given = {n: sizes[s] for s, n in named.sizes.items() if n in sizes_of(cascade, named).given}
    made = scope[named.function](*(inputs[str(a.tensor)] for a in cascade.inputs), **given)
    results = made if isinstance(made, tuple) else (made,)
    return dict(zip(outputs(cascade), results, strict=True))


def difference(cascade: Cascade, sizes: Mapping[str, int] | None = None, *, text: str | None = None) -> float:
    """The largest difference to the interpreter over the largest output; infinite where presence or shape differ."""
    filled, _ = fill_sizes(cascade, sizes or {})
    extents = extents_of(cascade, filled)
    inputs = random_inputs(cascade, extents, 3)
    return apart(cascade, text or numpy_source(cascade), extents.shapes, run(cascade, filled, inputs), inputs)


def apart(
    cascade: Cascade, text: str, sizes: Mapping[Any, int], wanted: Mapping[str, Any], inputs: Mapping[str, Any]
) -> float:
    found = executed(cascade, text, sizes, inputs)
    worst = 0.0
    for tensor, right in wanted.items():
        left = found[tensor]
        if np.shape(left) != np.shape(right):
            return np.inf
        if not np.array_equal(np.ma.getmaskarray(left), np.ma.getmaskarray(right)):
            return np.inf
        one, other = np.ma.filled(left, 0.0), np.ma.filled(right, 0.0)
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0.0, np.abs(one - other)).max(initial=0.0)
        largest = np.abs(other).max(initial=0.0, where=np.isfinite(other))
        worst = np.nanmax([worst, np.inf if np.isnan(error) else error / (largest or 1.0)])
    return worst


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "rank"), DERIVED)
def test_every_derived_cascade(name: str, rank: str) -> None:
    found = derived(name, rank)
    assert found
    for candidate in found.values():
        assert difference(candidate) < 1e-12, format_cascade(candidate)


@settings(max_examples=12)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))
def test_sizes_follow_from_the_inputs(chunks: int, chunk: int, queries: int, features: int) -> None:
    sizes = {"M": chunks * chunk, "M0": chunk, "P": queries, "E": features, "F": features + 1}
    for name, suffix in (("attention-3pass", "hoist-scan-2"), ("attention-3pass-causal", "hoist-tree-2")):
        found = derived(name, "M")[suffix]
        assert difference(found, sizes) < 1e-12


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", names())
def test_the_library(name: str) -> None:
    cascade = load(name)
    if any(depends_on_data(e) for e in cascade.einsums):
        with pytest.raises(InputError, match=r"cannot emit Einsum \w+ of .*: it reads or selects at coordinates"):
            numpy_source(cascade)
        return
    assert difference(cascade) < 1e-11


def is_pool(step: Step) -> bool:
    return isinstance(step, Pool) or (isinstance(step, Loop) and any(map(is_pool, step.body)))


@examples(60, 250, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(programs(), st.integers(0, 2**32))
def test_random_programs(program: Program, seed: int) -> None:
    cascade = parse(program.text)
    try:
        sizes = check_sizes(cascade, program.sizes)
    except InputError:
        assume(False)
    inputs = inputs_for({str(s): n for s, n in sizes.items()}, seed)
    try:
        text = numpy_source(cascade)
    except InputError as error:
        # What no loop orders is refused, and nothing else.
        assert "no loop over an iterative rank orders" in str(error) and any(map(is_pool, schedule(cascade)))
        return
    assert apart(cascade, text, sizes, run(cascade, program.sizes, inputs), inputs) < 1e-12


PLANTED = [
    ("attention-3pass-causal", "hoist-scan-2", " <= np.arange(P)", " < np.arange(P)"),
    ("attention-3pass-causal", "hoist-scan-2", "np.where(has_LSN, LSN, 0.0)", "LSN"),
    ("attention-3pass-causal", "hoist-scan-2", "np.maximum(RGM, np.where(has_LGM, LGM, -np.inf))", "LGM"),
    ("attention-3pass", "hoist-scan-2", "        RGM = new_RGM\n", ""),
    ("attention-3pass", "hoist-scan-2", "np.full(P, -np.inf)", "np.full(P, 1e3)"),
    ("attention-3pass", "hoist-scan-2", "RSD = PSD + LSD", "RSD = RSD + LSD"),
    ("attention-3pass-gqa", "hoist", "np.arange(H) // G", "np.arange(H) % HK"),
    ("attention-3pass", "hoist-tree-2", "K.reshape(E, M1, M0)", "K.reshape(E, M0, M1).transpose(0, 2, 1)"),
]


@pytest.mark.parametrize(("name", "suffix", "right", "wrong"), PLANTED, ids=range(len(PLANTED)))
def test_a_wrong_emission_is_seen(name: str, suffix: str, right: str, wrong: str) -> None:
    cascade = derived(name, "M")[suffix]
    text = numpy_source(cascade)
    assert right in text, text
    sizes = {"M": 24, "P": 17, "H": 6, "G": 2} if "gqa" in name else {"M": 24, "M0": 4, "P": 17}
    assert difference(cascade, sizes, text=text.replace(right, wrong)) > 1e-3


def test_the_text_is_that_of_a_reader() -> None:
    found = derived("attention-3pass", "M")["hoist-scan-2"]
    text = numpy_source(found, notes=["correct SD: h = exp(GM - GM')"])
    for line in (
        "def attention_3pass_hoist_scan_2(Q, K, V, *, M0):",
        "    BK = K.reshape(E, M1, M0)",
        "    for m1 in range(M1):",
        '        BQK = np.einsum("ep,em->mp", Q, BK[:, m1])',
        "        new_RGM = np.maximum(RGM, LGM)",
        "        RUAV = PUAV + LUAV",
        "    AV = RUAV / RSD",
        "    correct SD: h = exp(GM - GM')",
    ):
        assert f"{line}\n" in text
    assert text.count("import") == 1


def test_wrong_shapes_are_one_message() -> None:
    cascade = derived("attention-3pass", "M")["hoist-scan-2"]
    scope: dict[str, Any] = {}
    exec(numpy_source(cascade), scope)
    attend = scope["attention_3pass_hoist_scan_2"]
    q, k = np.ones((3, 5)), np.ones((3, 8))
    assert attend(q, k, np.ones((2, 8)), M0=4).shape == (2, 5)
    with pytest.raises(ValueError, match=r"V has shape \(2, 9\), expected \(2, 8\)"):
        attend(q, k, np.ones((2, 9)), M0=4)
    with pytest.raises(ValueError, match=r"M = 8 is not M1\*M0 with M0 = 3"):
        attend(q, k, np.ones((2, 8)), M0=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input A[k], I[j]\nZ[j] = A[I[j]]", "cannot emit Einsum Z of unnamed: it reads or selects"),
        ("input A[k]\nstop: i >= K\ninit: Z[0] = 0\nZ[i+1] = sum[j: j<=i] Z[j]*A[i]\nshape J = K", "no loop"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        numpy_source(parse(text))


def test_an_operator_of_ones_own_is_refused() -> None:
    mine = BUILTIN.register_map("cube", 1, lambda a: a**3)
    with pytest.raises(InputError, match="cannot emit Einsum Z of unnamed: cube is no built-in operator"):
        numpy_source(parse("input A[k]\nZ[k] = cube(A[k])", operators=mine))


def test_the_commands_write_it(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "softmax.py"
    outcome = fusemap("derive", "softmax", "--show", "scan", "--numpy", str(path))
    assert outcome.code == 0 and outcome.out.endswith(f"wrote {path}\n")
    text = path.read_text(encoding="utf-8")
    assert difference(derived("softmax", "K")["scan"], text=text) < 1e-12
    assert "- correct SD: f(x, s') = h(s, s') f(x, s)" in text
    assert fusemap("export", "numpy", "softmax-online").out == numpy_source(load("softmax-online"))
    document = fusemap("export", "numpy", "softmax", "--json").json()
    assert document["format"] == "numpy" and document["numpy"] == numpy_source(load("softmax"))
    refused = fusemap("export", "numpy", "moba", "--out", str(tmp_path / "none.py"))
    assert refused.code == 2 and "cannot emit Einsum SEL of moba" in refused.err
    assert not (tmp_path / "none.py").exists()
