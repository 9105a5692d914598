"""Predictions from cascade and mapping against executed kernels; wrong predictions and wrong kernels are caught."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from cuda_source_cases import NO_COMPILER, edited, exact_output

from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade import load
from fusemap.mappers.dataflow import Dataflow, parse_dataflow
from fusemap.validation import cuda_check
from fusemap.validation.cuda_check import CudaCheck, KernelCheck, check_kernel, check_kernels
from fusemap.validation.cuda_kernels import Kernel, checked_sizes, kernel_names, load_kernel
from fusemap.validation.cuda_prediction import Prediction, gpu, peak_operations, predict
from fusemap.validation.cuda_reference import make_inputs, reference, run_cascade

needs_compiler = pytest.mark.skipif(NO_COMPILER, reason="needs g++ or clang++")
KERNELS = Path(cuda_check.__file__).parent / "kernels"
SMALL = {"P": 64, "M": 128}

# The specification's reference table: loads, passes and sectors of K, loads of V, multiplications and additions.
TABLE = {
    "3pass": (196_608, 3, 24_576, 65_536, 16_982_016),
    "2pass": (131_072, 2, 16_384, 65_536, 12_918_784),
    "1pass": (65_536, 1, 8_192, 65_536, 10_756_096),
    "3pass-spilled": (65_536, 1, 8_192, 65_536, 8_527_872),
}
PROVEN = {"3pass": 3, "3pass-spilled": 3, "2pass": 2, "agent": 2}  # others: 1
OFTEN = ("3pass", "1pass", "1pass-warp", "splitk")  # at two sizes in the quick run, the others at one
QUICK = [(n, sizes) for n in kernel_names() for sizes in checked_sizes(n)[:: max(1, len(checked_sizes(n)) - 1)]]
QUICK = [(name, sizes) for name, sizes in QUICK if name in OFTEN or sizes == checked_sizes(name)[0]]
CASES = [
    pytest.param(name, sizes, marks=() if (name, sizes) in QUICK else pytest.mark.slow)
    for name in kernel_names()
    for sizes in checked_sizes(name)
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NVCC", "no-such-compiler")  # PTX as recorded, wherever the tests run
        yield


@pytest.mark.parametrize("name", TABLE)
def test_the_reference_table_is_predicted(name: str) -> None:
    found = predict(load_kernel(name))
    k, v = found.tensors["K"], found.tensors["V"]
    assert (k.loads, k.passes, k.loads * 4 // 32, v.loads, found.operations["mul+add"]) == TABLE[name]
    scores = [found.tensors[t] for t in ("QK", "SN") if t in found.tensors]
    spilled = 131_072 if name == "3pass-spilled" else 0
    assert sum(t.loads for t in scores) == sum(t.stores for t in scores) == spilled


@pytest.mark.parametrize("name", kernel_names())
def test_passes_are_those_that_analyze_proves(name: str) -> None:
    found = predict(load_kernel(name))
    assert (found.proven, found.stored) == (PROVEN.get(name, 1), 1)
    tensor = found.analysed.partition(" ")[0]
    made = [t for t in found.tensors.values() if t.tensor in (tensor, "QK", "SN") and t.loads]
    assert sum(t.passes * t.launches for t in made) >= found.proven  # over it, and what is as long and made of it
    assert found.compulsory_bytes <= found.load_bytes + found.store_bytes


@pytest.mark.sampled(2)
@needs_compiler
@pytest.mark.parametrize(
    ("name", "sizes"), CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values()))
)
def test_kernels_do_what_is_predicted(name: str, sizes: dict[str, int]) -> None:
    recorded = load_kernel(name, sizes).constants == load_kernel(name).constants  # others need a compiler
    found = check_kernel(load_kernel(name, sizes), executors=("source", "ptx") if recorded else ("source",))
    assert found.disagreements() == ()
    assert set(found.errors) == ({"source", "ptx"} if recorded else {"source"})
    least = {c.name: c for c in found.counts}["sectors of K"] if name != "1pass-causal" else None
    assert least is None or set(least.executed.values()) == set(least.predicted.values())


@pytest.mark.parametrize("name", kernel_names())
def test_a_kernels_cascade_computes_its_algorithm(name: str) -> None:
    kernel = load_kernel(name, SMALL)
    assert kernel.prediction is not None
    cascade = load(KERNELS / kernel.prediction.cascade)
    inputs = make_inputs(kernel)
    tiles = {"M0": kernel.constants.get("M0", kernel.constants["BM"]), "L": 32, "K0": kernel.constants["BM"] // 32}
    found, wanted = run_cascade(kernel, cascade, inputs, tiles), reference(kernel, inputs)
    for output in kernel.outputs:
        assert np.abs(found[output] - wanted[output]).max() < 1e-12 * np.abs(wanted[output]).max()
        assert np.allclose(wanted[output], exact_output(kernel, inputs), rtol=0, atol=1e-12)


def mapped(kernel: Kernel, old: str, new: str) -> Dataflow:
    """The kernel's mapping with a piece of its text replaced."""
    assert kernel.prediction is not None
    text = (KERNELS / kernel.prediction.mapping).read_text()
    assert old in text
    return parse_dataflow(text.replace(old, new))


# What is wrong with a mapping, and the counts that then do not hold.
MAPPINGS = {
    "3pass": ("loops: [m: M / BM], keep: [K]}", "loops: [m: M / BM], keep: [K, Q]}", {"loads of Q"}),
    "2pass": ("loops: [m: M / BM], keep: [K, V, AV]}", "loops: [m: M / BM], keep: [V, AV]}", {"loads of K"}),
    "1pass": ("SLNV: {nest: thread, keep: {shared: [BV]}}", "SLNV: {nest: thread}", {"loads of V"}),
    "3pass-spilled": ("keep: {hbm: [SN], shared: [V]}", "keep: {shared: [V]}", {"loads of SN"}),
    "lightning": ("loops: [m1: M1], keep: []}", "loops: [m1: M1], keep: [BV]}", {"loads of V"}),
    "agent": ("keep: {hbm: [AG], shared: [AG]}", "keep: {shared: [AG]}", {"loads of AG"}),
    "splitk": ("GM: {nest: merge, keep: {hbm: [LM]}}", "GM: {nest: merge}", {"loads of LM"}),
}


@needs_compiler
@pytest.mark.parametrize("name", MAPPINGS)
def test_a_wrong_prediction_is_caught(name: str) -> None:
    old, new, counts = MAPPINGS[name]
    kernel = load_kernel(name, SMALL)
    wrong = predict(kernel, dataflow=mapped(kernel, old, new))
    found = check_kernel(kernel, executors=("source",), predictions={"source": wrong})
    assert counts <= named(found) <= {f"{what} of {t}" for what in WHAT for t in kernel.shapes} | {"bytes"}


WHAT = ("loads", "stores", "passes", "sectors")


def named(found: KernelCheck) -> set[str]:
    """The counts that do not hold, and what else is wrong."""
    return {text.partition(":")[0] for text in found.disagreements()}


@needs_compiler
def test_a_compiler_that_keeps_more_in_registers_is_another_prediction() -> None:
    kernel = load_kernel("1pass-warp", SMALL)
    both = predict(kernel)
    found = check_kernel(kernel, predictions={"source": both, "ptx": both})
    assert named(found) == {"loads of Q", "passes of Q", "bytes"}
    assert all("ptx" in text for text in found.disagreements())


# An edit of a kernel, and what then does not hold.
EDITS = {
    "reads K once more": ("1pass", "q[e] * BK[m1 + m0][e]", "q[e] * K[(m + m1 + m0) * E + e]", {"loads of K", "bytes"}),
    "leaves a pass out": (
        "3pass",
        "SD += expf(QK - GM);",
        "SD += expf(QK - GM); if (m1 > 0) break;",
        {"exp", "source"},
    ),
    "forgets the correction": ("1pass", "RD *= PRM;", "", {"mul+add", "source"}),
    "a product too many": ("2pass", "SNV[f] * part", "SNV[f] * part * 1.0f", {"mul+add"}),
    "stores twice": ("1pass", "AV[p * F + f] = RNV", "AV[p * F + f] = 0.0f, AV[p * F + f] = RNV", {"stores of AV"}),
    "goes beside K": ("2pass", "BK[i / E][i % E] = K[m * E + i];", "BK[i / E][i % E] = K[m * E + i + 1];", {"source"}),
    "a barrier that is not reached": ("1pass", "__syncthreads();", "if (p % 2) __syncthreads();", {"source"}),
    "the state does not fade": ("lightning", "KV[e][f] * DC", "KV[e][f]", {"mul+add", "source"}),
    "sees the next key": ("lightning", "m0 <= p0; ++m0) {", "m0 <= p0 + 1 && m0 < BM; ++m0) {", {"mul+add", "source"}),
    "a state too old": ("lightning", "        __syncthreads(); // all", "        // all", {"source"}),
    "pools again": ("agent", "q[e] = Q[p * E + e]", "q[e] = Q[p * E + e] + 0.0f * Q[p * E + e]", {"loads of Q"}),
    "a chunk is left out": ("agent", "m < M; m += BM", "m < M - BM; m += BM", {"loads of K", "exp", "source"}),
    "sums in another order": (
        "1pass",
        "for (int e = 0; e < E; ++e) s +=",
        "for (int e = E - 1; e >= 0; --e) s +=",
        set(),
    ),
}


@pytest.mark.sampled(2)
@needs_compiler
@pytest.mark.parametrize("what", EDITS)
def test_a_wrong_kernel_is_caught(what: str) -> None:
    name, old, new, counts = EDITS[what]
    found = check_kernel(edited(load_kernel(name, SMALL), old, new), executors=("source",))
    assert counts <= named(found)
    assert bool(named(found)) == bool(counts)


def test_no_compiler_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = check_kernel(load_kernel("splitk", SMALL))
    assert set(found.errors) == {"ptx"} and found.disagreements() == ()
    assert 'no C++ compiler: "no-such-compiler" is not found' in found.absent["source"]


def test_a_tile_that_shared_memory_cannot_hold() -> None:
    with pytest.raises(DoesNotFit, match="shared in phase attention"):
        predict(load_kernel("1pass", {"BM": 256, "M0": 1}))


def test_names_are_checked() -> None:
    with pytest.raises(InputError, match="did you mean 2pass"):
        check_kernels(["2pas"], sizes=[{}])
    with pytest.raises(InputError, match="no cascade and mapping"):
        predict(replace(load_kernel("1pass"), prediction=None))


def test_the_roofline_is_that_of_the_data_sheet() -> None:
    assert peak_operations(gpu()) == pytest.approx(66.9e12, rel=1e-3)  # NVIDIA gives 67 TFLOPS
    long = predict(load_kernel("1pass", {"P": 4224, "M": 1 << 20, "E": 64, "F": 64}))
    assert long.seconds == long.operations["mul+add"] / peak_operations(gpu())
    passes = [dram_of_k(predict(load_kernel(name, {"P": 4224, "M": 1 << 20}))) for name in ("3pass", "2pass", "1pass")]
    assert passes == [3, 2, 1]


def dram_of_k(found: Prediction) -> float:
    """Reads of K from DRAM over its size, when all blocks are at work at the same time."""
    others = found.input_bytes - 4 * (1 << 20) * 32
    return (found.dram_read_bytes - others) / (4 * (1 << 20) * 32)


@needs_compiler
def test_the_page(fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_check, "checked_sizes", lambda *_: (SMALL, {"P": 32, "M": 64}))
    outcome = fusemap("validate", "cuda", "--kernel", "3pass", "--kernel", "1pass-warp")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert outcome.code == 0
    assert "3pass passes proven for attention-3pass 3 (1 if all is stored) - -" in lines
    assert "loads of K 24,576 24,576 24,576" in lines and "passes of K 3 3 3" in lines
    assert "loads of Q, as compiled 131,072 - 131,072" in lines
    assert "P=32 M=64 E=32 F=32: 2 kernels, 50 of 50 counts as predicted" in outcome.out
    assert "GPU: no recording yet" in outcome.out
    assert "kernels at sizes: 4, all as predicted (ptx and source)" in outcome.out


@needs_compiler
def test_a_disagreement_is_marked_and_ends_with_1(
    fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = edited(load_kernel("1pass", SMALL), "RD *= PRM;", "")
    monkeypatch.setattr(cuda_check, "load_kernel", lambda name, sizes, **_: broken)
    monkeypatch.setattr(cuda_check, "checked_sizes", lambda *_: (SMALL,))
    outcome = fusemap("validate", "cuda", "--kernel", "1pass")
    assert outcome.code == 1 and "2 disagreements" in outcome.out
    assert "no PTX is recorded" in outcome.out and " !" in outcome.out
    document = json.loads(fusemap("validate", "cuda", "--kernel", "1pass", "--json").out)
    (kernel,) = document["cuda"]["kernels"]
    assert document["agrees"] is False and len(kernel["disagreements"]) == 2


@pytest.mark.parametrize("option", [("--kernel", "1pass"), ("--record", "x.json"), ("--recording", "x.json")])
def test_options_of_another_check_are_refused(fusemap: Callable[..., Outcome], option: tuple[str, str]) -> None:
    outcome = fusemap("validate", "published", *option)
    assert outcome.code == 2 and f"No such option '{option[0]}'" in outcome.err


def test_an_empty_check_agrees_with_nothing() -> None:
    assert CudaCheck().agrees and CudaCheck().executed == frozenset()
