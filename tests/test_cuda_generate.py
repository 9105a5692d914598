"""Kernels generated from derived cascades: executed, against the cascade they come from, counts as predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from cuda_source_cases import NO_COMPILER, edited
from derived_cascades import derived as candidates

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import format_cascade, load, parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.cuda_check import KernelCheck, check_kernel, check_kernels
from fusemap.validation.cuda_figure import render_kernels
from fusemap.validation.cuda_generate import generate_kernel
from fusemap.validation.cuda_kernels import Kernel, load_kernel
from fusemap.validation.cuda_prediction import predict
from fusemap.validation.cuda_reference import make_inputs, run_cascade
from fusemap.validation.cuda_source import run_source

Run = Callable[..., Outcome]
needs_compiler = pytest.mark.skipif(NO_COMPILER, reason="needs g++ or clang++")

# The entropy of the softmax beside its product with V: one more accumulator.
ENTROPY = """cascade attention-entropy
input Q[e,p], K[e,m], V[f,m]
output AV, H
QK[m,p] = Q[e,p]*K[e,m]
GM[p] = max[m] QK[m,p]
SN[m,p] = exp(QK[m,p] - GM[p])
SD[p] = sum[m] SN[m,p]
U[p] = sum[m] SN[m,p]*QK[m,p]
A[m,p] = SN[m,p] / SD[p]
AV[f,p] = A[m,p]*V[f,m]
H[p] = log(SD[p]) + GM[p] - U[p] / SD[p]
"""
CASES = {
    "attention-3pass-hoist-scan-2": {"M0": 8},
    "attention-3pass-scan-2": {"M0": 2},
    "attention-3pass-causal-hoist-scan-2": {},
    "attention-sink-logit-hoist-scan-2": {"H": 3},
    "attention-entropy-hoist-scan-3": {"M0": 4, "F": 24},
    "attention-3pass-window-hoist-scan-2": {},
}
SIZES = {"M": 64, "E": 16, "F": 16}


@pytest.fixture(scope="module", autouse=True)
def cache_of_builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def original(name: str) -> Cascade:
    if name.startswith("attention-entropy"):
        return parse(ENTROPY)
    return load(name.partition("-hoist")[0].removesuffix("-scan-2"))


@cache
def derived(name: str) -> Cascade:
    start = original(name)
    if "window" in name:  # as it is derived, without the time that it takes
        text = format_cascade(derived("attention-3pass-causal-hoist-scan-2")).replace("causal", "window")
        text = text.replace("m1*M0+m0<=p", "p-W<m1*M0+m0<=p").replace("shape M", "shape P = M\nshape W = 4\nshape M")
        return parse(text)
    text = ENTROPY if "entropy" in name else ""
    return candidates(start.name, "M", text)[name.removeprefix(f"{start.name}-")]


def kernel_of(name: str, folder: Path) -> Kernel:
    """The generated kernel at small sizes."""
    own = folder / name
    if not own.exists():
        own.mkdir()
        for file, text in generate_kernel(derived(name)).files.items():
            (own / file).write_text(text, encoding="utf-8")
    aliased = "window" in name  # P = M there
    return load_kernel(name, SIZES | ({} if aliased else {"P": 32}) | CASES[name], folder=own)


@cache
def checked(name: str, folder: Path) -> KernelCheck:
    return check_kernel(kernel_of(name, folder), executors=("source",))


@pytest.mark.sampled(2)
@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_counts_are_exactly_those_predicted(name: str, folder: Path) -> None:
    found = checked(name, folder)
    assert found.disagreements() == ()
    counts = {c.name: (c.predicted["source"], c.executed["source"]) for c in found.counts if "sectors" not in c.name}
    assert {"loads of Q", "loads of K", "loads of V", "stores of AV", "mul+add", "max", "exp"} <= set(counts)
    # Exactly, where the check asks for a bound too: a filtered kernel loads whole tiles.
    assert {n: c for n, c in counts.items() if c[0] != c[1]} == {}
    assert counts["passes of K"] == (1, 1) and found.prediction.proven == 1


@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_the_output_is_that_of_the_cascade_it_comes_from(name: str, folder: Path) -> None:
    kernel = kernel_of(name, folder)
    inputs = make_inputs(kernel)
    wanted = run_cascade(kernel, original(name), inputs, tiles={})
    found = run_source(kernel, inputs)
    assert not found.faults
    for output, right in wanted.items():
        assert np.abs(found.outputs[output] - right).max() < 1e-5 * np.abs(right).max()


@needs_compiler
def test_an_extra_accumulator_reads_nothing_more(folder: Path) -> None:
    """The entropy of every query for the loads of attention alone."""
    plain, more = checked("attention-3pass-hoist-scan-2", folder), checked("attention-entropy-hoist-scan-3", folder)
    for tensor in ("Q", "K"):
        assert more.prediction.tensors[tensor].loads == plain.prediction.tensors[tensor].loads
    assert more.prediction.operations["log"] == 32
    assert "H" in more.prediction.tensors and more.prediction.tensors["H"].stores == 32


FAULTS = [
    ("RGM = new_RGM;", "", "relative error"),
    ("tile_K[key + m0][e]", "K[(tile + key + m0) * E + e]", "loads of K"),
    ("= expf(RGM - new_RGM)", "= 1.0f", "exp"),
    ("LSD = LSD + LSN[m0]", "LSD = LSD", "mul+add"),
]


@needs_compiler
@pytest.mark.parametrize(("right", "wrong", "caught"), FAULTS, ids=[wrong or "dropped" for _, wrong, _ in FAULTS])
def test_a_wrong_kernel_is_caught(right: str, wrong: str, caught: str, folder: Path) -> None:
    kernel = kernel_of("attention-3pass-hoist-scan-2", folder)
    found = check_kernel(edited(kernel, right, wrong, count=-1), executors=("source",)).disagreements()
    assert any(caught in text for text in found), found


def test_a_wrong_mapping_is_another_prediction(folder: Path) -> None:
    name = "attention-sink-logit-hoist-scan-2"
    kernel = kernel_of(name, folder)
    assert kernel.prediction is not None
    text = (folder / name / "kernel.yaml").read_text(encoding="utf-8")
    wrong = folder / "again.yaml"
    wrong.write_text(text.replace("nest: again", "nest: thread"), encoding="utf-8")
    changed = replace(kernel, prediction=kernel.prediction.model_copy(update={"mapping": str(wrong)}))
    assert predict(kernel).tensors["SK"].loads == 3 * 32
    assert predict(changed).tensors["SK"].loads == 4 * 3 * 32  # once for each Einsum that reads it


def test_the_kernel_has_the_einsums_of_the_cascade_in_its_loop(folder: Path) -> None:
    text = kernel_of("attention-3pass-hoist-scan-2", folder).source
    before, _, rest = text.partition("for (int tile")
    loop = rest.partition("\n    }\n")[0]
    stepped = [e for e in derived("attention-3pass-hoist-scan-2").einsums if str(e.name) not in ("BK", "BV", "AV")]
    lines = format_cascade(replace(derived("attention-3pass-hoist-scan-2"), einsums=tuple(stepped), inits=()))
    wanted = [line for line in lines.splitlines() if " = " in line and not line.startswith("shape")]
    assert [line.strip()[3:] for line in loop.splitlines() if line.strip().startswith("// ")] == wanted
    assert before.count("// init:") == 3


REFUSED = {
    "attention-3pass": "iterates over no rank, where one rank is iterated",
    "attention-splitk": "iterates over no rank, where one rank is iterated",
    "softmax-online": "goes over K once more",
    "attention-1pass-gqa": "cannot emit Einsum BQK of .*: it reads BK at h//G, not at its own ranks",
    "aem-streaming": "cannot emit Einsum SG of .*: the counts of a kernel have no operator tanh",
    "attention-sinks-streaming": "cannot emit Einsum BQS of .*: its filter is not that of the other Einsums",
    "variance-welford": "a size or a coordinate as a value has no place",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_template_does_not_fit(name: str) -> None:
    with pytest.raises(InputError, match=REFUSED[name]):
        generate_kernel(load(name))


EXP = "exp(BQK[m1,m0,p] - RGM[m1+1,p])"
EDITS = [
    (
        "AV[f,p] = RUAV[M1,f,p] / RSD[M1,p]",
        "AV[f,p] = RUAV[M1-1,f,p] / RSD[M1,p]",
        "RUAV at M1-1, not at its own ranks",
    ),
    (f"= {EXP}", f"= {EXP}*BB[m1,m0,p]\nBB[m1,m0,p] = B[m1*M0+m0,p]", "no rank of queries shares the keys of M"),
    ("AV[f,p] = RUAV", "Z[p] = sum[m1,m0] LSN[m1,m0,p]\nAV[f,p] = Z[p]*RUAV", "Z goes over M once more"),
    ("BQK[m1,m0,p] = Q[e,p]*BK[e,m1,m0]", "BQK[m1,m0,p] = Q[e,m1]*BK[e,m1,m0]*BK[e,m1,m0]", "Q at m1, not at its"),
    ("output AV", "output AV, RSD", "output RSD is made in the loop"),
    ("max[m0] BQK", "min[m0] BQK", "cannot emit Einsum LGM of .*: the counts of a kernel have no reduction min"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), EDITS, ids=range(len(EDITS)))
def test_structure_decides_and_not_the_name(right: str, wrong: str, message: str) -> None:
    text = format_cascade(derived("attention-3pass-hoist-scan-2"))
    assert right in text
    changed = text.replace(right, wrong)
    if "B[m1*M0+m0,p]" in wrong:
        changed = changed.replace("input Q[e,p]", "input B[m,p], Q[e,p]")
    with pytest.raises(InputError, match=message):
        generate_kernel(parse(changed))


def test_the_commands(fusemap: Run, tmp_path: Path) -> None:
    target = tmp_path / "attention"
    outcome = fusemap("derive", "attention-3pass", "--show", "hoist-scan-2", "--cuda", str(target))
    assert outcome.code == 0 and f"wrote {target / 'kernel.cu'}" in outcome.out
    made = generate_kernel(derived("attention-3pass-hoist-scan-2")).files
    assert {p.name: p.read_text(encoding="utf-8") for p in target.iterdir()} == made
    none, text = tmp_path / "none", tmp_path / "softmax.py"
    refused = fusemap("derive", "softmax", "--show", "scan", "--cuda", str(none), "--numpy", str(text))
    assert refused.code == 2 and "SN goes over K once more" in refused.err
    assert not none.exists() and not text.exists()  # all or nothing


@needs_compiler
def test_a_folder_of_kernels_is_checked(folder: Path) -> None:
    name = "attention-3pass-hoist-scan-2"
    kernel_of(name, folder)
    found = check_kernels(None, [{"P": 32, **SIZES, "M0": 8}], folder=folder / name, executors=("source",), recorded={})
    assert found.agrees and [c.kernel for c in found.checks] == [name]
    assert render_kernels(found, "png").startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no kernel"):
        check_kernels(["1pass"], folder=folder / name)
