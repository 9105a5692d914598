"""The source executor against the reference table, an enumeration, float64, and kernels with planted faults."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import pytest
from cuda_source_cases import (
    NO_COMPILER,
    edited,
    exact_output,
    make_inputs,
    relative_error,
    row_accesses,
    shared_loads,
    totals,
)

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_counts import mul_add
from fusemap.validation.cuda_kernels import Kernel, kernel_names, load_kernel
from fusemap.validation.cuda_source import SourceRun, run_source

pytestmark = pytest.mark.skipif(NO_COMPILER, reason="needs g++ or clang++")
SINGLE = 1e-6

# At P = M = 256, E = F = 32, BP = BM = 32: loads, passes and sectors of K, loads of V, multiplications and additions.
TABLE = {
    "3pass": (196_608, 3, 24_576, 65_536, 16_982_016),
    "2pass": (131_072, 2, 16_384, 65_536, 12_918_784),
    "1pass": (65_536, 1, 8_192, 65_536, 10_756_096),
    "3pass-spilled": (65_536, 1, 8_192, 65_536, 8_527_872),
}
PASSES = {"3pass": 3, "2pass": 2, "1pass": 1, "3pass-spilled": 1}
SIZES = (
    {"P": 64, "M": 96, "E": 16, "F": 24, "BP": 32, "BM": 32},
    {"P": 48, "M": 40, "E": 8, "F": 12, "BP": 16, "BM": 8},
    {"P": 128, "M": 48, "E": 36, "F": 8, "BP": 64, "BM": 16},
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def run(kernel: Kernel) -> SourceRun:
    return run_source(kernel, make_inputs(kernel))


def error(kernel: Kernel, result: SourceRun) -> float:
    (output,) = kernel.outputs
    return relative_error(result.outputs[output], exact_output(kernel, make_inputs(kernel)))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", TABLE)
def test_the_reference_table(name: str) -> None:
    result = run(load_kernel(name))
    k, v = result.tensors["K"], result.tensors["V"]
    assert (k.loads, k.passes, k.load_sectors, v.loads, mul_add(result.flops)) == TABLE[name]
    assert result.faults == ()


def test_spilled_scores_make_four_trips() -> None:
    tensors = run(load_kernel("3pass-spilled")).tensors
    scores = [tensors[name] for name in ("QK", "SN")]
    assert [sum(t.loads for t in scores), sum(t.stores for t in scores)] == [131_072, 131_072]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", kernel_names())
def test_every_kernel_computes_its_attention(name: str) -> None:
    kernel = load_kernel(name)
    result = run(kernel)
    assert result.faults == ()
    assert error(kernel, result) < SINGLE
    assert all(result.tensors[output].stores == prod(kernel.shapes[output]) for output in kernel.outputs)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
@pytest.mark.parametrize("name", PASSES)
def test_accesses_are_those_of_an_enumeration(name: str, sizes: dict[str, int]) -> None:
    kernel = load_kernel(name, sizes)
    result = run(kernel)
    e, f = sizes["E"], sizes["F"]
    for tensor, width, passes in (("K", e, PASSES[name]), ("V", f, 1)):
        loads, requests, sectors = totals(shared_loads(kernel, width))
        got = result.tensors[tensor]
        assert loads == sizes["P"] // sizes["BP"] * sizes["M"] * width
        assert (got.loads, got.load_requests, got.load_sectors) == (passes * loads, passes * requests, passes * sectors)
        assert (got.passes, got.stores, got.load_bytes) == (passes, 0, 4 * passes * loads)
    q, av = result.tensors["Q"], result.tensors["AV"]
    assert (q.loads, q.load_requests, q.load_sectors) == totals(row_accesses(kernel, e))
    assert (av.stores, av.store_requests, av.store_sectors) == totals(row_accesses(kernel, f))
    assert error(kernel, result) < SINGLE


def products(sizes: dict[str, int], scores: int) -> int:
    """Multiplications and additions of `scores` products Q K, one product with V and one scaling of AV."""
    p, m, e, f = (sizes[name] for name in ("P", "M", "E", "F"))
    return p * m * (2 * e * scores + 2 * f) + p * f


@pytest.mark.parametrize("m0", (1, 4, 8))
@pytest.mark.parametrize("name", ("2pass", "1pass"))
def test_operations_follow_the_chunks_of_the_cascade(name: str, m0: int) -> None:
    sizes = SIZES[1]
    p, m, f = sizes["P"], sizes["M"], sizes["F"]
    result = run(load_kernel(name, {**sizes, "M0": m0}))
    chunks = p * m // m0
    once_more = {"2pass": p * m * 3 + 2 * chunks, "1pass": p * m * 2 + chunks * (2 + f)}[name]
    assert mul_add(result.flops) == products(sizes, {"2pass": 2, "1pass": 1}[name]) + once_more
    assert result.flops["exp"] == p * m * {"2pass": 2, "1pass": 1}[name] + chunks
    assert (result.flops["max"], result.flops["div"]) == (p * m, p)


@pytest.mark.parametrize(("name", "scores", "others"), [("3pass", 3, 3), ("3pass-spilled", 1, 2)])
def test_operations_of_three_passes(name: str, scores: int, others: int) -> None:
    sizes = SIZES[0]
    pairs = sizes["P"] * sizes["M"]
    flops = run(load_kernel(name, sizes)).flops
    assert mul_add(flops) == products(sizes, scores) + others * pairs
    assert (flops["exp"], flops["max"], flops["div"]) == (pairs * (others - 1), pairs, sizes["P"])


def test_a_causal_kernel_reads_nothing_above_the_diagonal() -> None:
    kernel = load_kernel("1pass-causal", {"P": 96, "M": 96, "BP": 32, "BM": 16})
    result = run(kernel)
    rows = sum(block + 32 for block in range(0, 96, 32))
    assert result.tensors["K"].loads == rows * kernel.constants["E"]
    assert result.tensors["K"].passes == 1
    assert result.flops["max"] == 96 * 97 // 2
    assert error(kernel, result) < SINGLE


def test_a_warp_reads_its_query_again_for_each_key() -> None:
    kernel = load_kernel("1pass-warp", {"P": 16, "M": 128, "BP": 2, "BM": 64})
    q = run(kernel).tensors["Q"]
    e = kernel.constants["E"]
    assert (q.loads, q.passes) == (16 * 128 * e, 128)
    assert q.load_requests == q.load_sectors == 16 * 128 * e // 32


def test_split_chunks_meet_in_memory() -> None:
    kernel = load_kernel("splitk", {"P": 64, "M": 128})
    tensors = run(kernel).tensors
    assert {name: (tensors[name].stores, tensors[name].loads) for name in kernel.scratch} == {
        "LM": (4 * 64, 2 * 4 * 64),
        "SLD": (4 * 64, 4 * 64),
        "SLNV": (4 * 32 * 64, 4 * 32 * 64),
    }
    assert tensors["Q"].loads == 4 * 64 * 32


SMALL = {"P": 64, "M": 64}
LOAD_K = "K[m * E + i]"


def test_planted_read_beside_a_tensor() -> None:
    kernel = edited(load_kernel("1pass", SMALL), LOAD_K, "K[(m + 1) * E + i]")
    result = run(kernel)
    k = result.tensors["K"]
    assert (k.out_of_bounds, k.loads) == (2 * 32, 2 * 63 * 32)
    first = result.faults[0]
    assert (first.kind, first.tensor, first.index, first.block, first.thread) == ("out-of-bounds", "K", 64 * 32, 0, 0)
    line = kernel.source[: kernel.source.index("K[(m + 1)")].count("\n") + 1
    assert first.where in ("attention_1pass", f"attention_1pass, line {line}")  # the line where addr2line is there
    assert result.faults[-1].block == 1


def test_planted_read_far_away_ends_the_run() -> None:
    kernel = edited(load_kernel("1pass", SMALL), LOAD_K, "K[m * E + i - 10000000]")
    result = run(kernel)
    assert [(f.kind, f.tensor, f.index) for f in result.faults] == [("out-of-bounds", "K", -10_000_000)]
    assert dict(result.flops) == {}


def test_planted_write_beside_a_tensor() -> None:
    kernel = edited(load_kernel("1pass", SMALL), "AV[p * F + f] =", "AV[p * F + f - 1] =")
    result = run(kernel)
    assert [(f.kind, f.tensor, f.index, f.thread) for f in result.faults] == [("out-of-bounds", "AV", -1, 0)]
    assert result.tensors["AV"].out_of_bounds == 1


@pytest.mark.parametrize(
    ("new", "thread", "text"),
    [
        ("if (threadIdx.x < 16) __syncthreads();", 0, "thread (16, 0, 0) waits at line"),
        ("if (threadIdx.x < 16) return; __syncthreads();", 16, "thread (0, 0, 0) ended before"),
    ],
)
def test_planted_barrier_in_a_branch(new: str, thread: int, text: str) -> None:
    kernel = edited(load_kernel("1pass", SMALL), "__syncthreads();", new)
    line = kernel.source[: kernel.source.index(new)].count("\n") + 1
    (fault,) = run(kernel).faults
    assert (fault.kind, fault.block, fault.thread) == ("dead-lock", 0, thread)
    assert f"attention_1pass, line {line}: {text}" in fault.where


def test_planted_shuffle_in_a_branch() -> None:
    old = "LM = fmaxf(LM, __shfl_xor_sync(0xffffffffu, LM, bit))"
    kernel = edited(load_kernel("1pass-warp", SMALL), old, f"if (lane != 3) {old}")
    (fault,) = run(kernel).faults
    assert (fault.kind, fault.thread) == ("dead-lock", 0)
    assert "lanes of its mask" in fault.where


def test_planted_missing_barrier_shows_in_the_result() -> None:
    kernel = edited(load_kernel("1pass", SMALL), "__syncthreads();", ";")
    assert error(kernel, run(kernel)) > SINGLE


def test_planted_second_reading_of_k() -> None:
    again = """
    float largest = 0.0f;
    for (int i = threadIdx.x; i < M * E; i += BP) largest = fmaxf(largest, K[i]);
    if (largest > 1e30f) AV[0] = largest;
    float q[E];"""
    kernel = edited(load_kernel("1pass", SMALL), "    float q[E];", again)
    result = run(kernel)
    assert error(kernel, result) < SINGLE
    assert (result.tensors["K"].passes, result.tensors["K"].loads) == (2, 2 * 2 * 64 * 32)


@pytest.mark.parametrize(
    "old, new", [(LOAD_K, "K[m * E + (i + 1) % (BM * E)]"), ("BV[i / F][i % F]", "BV[i % F][i / F]")]
)
def test_planted_wrong_index_shows_in_the_result(old: str, new: str) -> None:
    kernel = edited(load_kernel("1pass", SMALL), old, new)
    result = run(kernel)
    assert result.faults == ()
    assert result.tensors["K"].passes == 1
    assert error(kernel, result) > 1000 * SINGLE


def test_a_block_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"M / BM of kernel 1pass is 1\.5: it must be a whole number"):
        load_kernel("1pass", {"M": 48})
