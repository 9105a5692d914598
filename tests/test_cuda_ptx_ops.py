"""Every opcode of the PTX interpreter on hand-written snippets, against exact arithmetic or NumPy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ptx_snippets import evaluate, run_text

from fusemap.validation.cuda_ptx_ops import DTYPES
from fusemap.validation.cuda_ptx_translate import OPCODES

LANES = 64
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=4, deadline=None)
LIMIT = Fraction(float(np.finfo(np.float32).max))


def values(kind, rng):
    """Random values of a type: floats of many magnitudes with ties and subnormals, integers of many lengths."""
    if kind == "pred":
        return rng.integers(0, 2, LANES).astype(bool)
    dtype = np.dtype(DTYPES[kind])
    if dtype.kind == "f":
        size = rng.choice([-140, -30, -3, 0, 3, 20], LANES).astype(np.float64)
        few = rng.integers(-8, 9, LANES) * 0.25
        found = np.where(rng.random(LANES) < 0.3, few, rng.standard_normal(LANES) * 2.0**size)
        return found.astype(dtype)
    bits = 8 * dtype.itemsize
    whole = rng.integers(0, 2**bits, LANES, dtype=np.uint64 if bits == 64 else np.int64)
    short = whole.astype(np.uint64) >> rng.integers(0, bits, LANES).astype(np.uint64)
    return short.astype(f"u{bits // 8}").view(dtype)


def nearest(exact, mode):
    """The float32 that an exact value rounds to, by trying the neighbours."""
    if abs(exact) > LIMIT:
        return None
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    around = [x for x in around if np.isfinite(x)]
    exactly = {float(x): Fraction(float(x)) for x in around}
    if mode == "rm":
        return max(x for x, f in exactly.items() if f <= exact)
    if mode == "rp":
        return min(x for x, f in exactly.items() if f >= exact)
    if mode == "rz":
        return nearest(exact, "rm" if exact >= 0 else "rp")
    even = {float(x): int(x.view(np.uint32)) & 1 for x in around}
    return min(exactly, key=lambda x: (abs(exactly[x] - exact), even[x]))


def exactly(function, mode="rn"):
    def rounded(*operands):
        found = []
        for row in zip(*(a.astype(np.float64).tolist() for a in operands), strict=True):
            found.append(nearest(function(*map(Fraction, row)), mode))
        return np.array([np.nan if x is None else x for x in found], np.float32)

    return rounded


def lanewise(function):
    return lambda *operands: np.array([function(*(int(x) for x in row)) for row in zip(*operands, strict=True)], object)


def towards_zero(a, b):
    return -1 if b == 0 else (1 if (a < 0) == (b < 0) else -1) * (abs(a) // abs(b))


def after(a, b):
    return a if b == 0 else a - b * towards_zero(a, b)


ARITHMETIC = [
    *(
        (f"fma.{mode}.f32 %f0, %f1, %f2, %f3", ["f32"] * 3, "f32", exactly(lambda a, b, c: a * b + c, mode))
        for mode in ("rn", "rm", "rp", "rz")
    ),
    ("mad.rn.f32 %f0, %f1, %f2, %f3", ["f32"] * 3, "f32", exactly(lambda a, b, c: a * b + c)),
    ("add.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a + b)),
    ("add.rz.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a + b, "rz")),
    ("sub.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a - b)),
    ("sub.rm.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a - b, "rm")),
    ("mul.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a * b)),
    ("mul.rp.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", exactly(lambda a, b: a * b, "rp")),
    ("add.s32 %r0, %r1, %r2", ["s32"] * 2, "s32", lanewise(lambda a, b: a + b)),
    ("add.s32 %r0, %r1, -128", ["s32"], "s32", lanewise(lambda a: a - 128)),
    ("sub.s64 %rd0, %rd1, %rd2", ["s64"] * 2, "s64", lanewise(lambda a, b: a - b)),
    ("mul.lo.s32 %r0, %r1, %r2", ["s32"] * 2, "s32", lanewise(lambda a, b: a * b)),
    ("mul.hi.u32 %r0, %r1, %r2", ["u32"] * 2, "u32", lanewise(lambda a, b: a * b >> 32)),
    ("mul.wide.s32 %rd0, %r1, %r2", ["s32"] * 2, "s64", lanewise(lambda a, b: a * b)),
    ("mul.wide.u16 %r0, %h1, %h2", ["u16"] * 2, "u32", lanewise(lambda a, b: a * b)),
    ("mad.lo.s32 %r0, %r1, %r2, %r3", ["s32"] * 3, "s32", lanewise(lambda a, b, c: a * b + c)),
    ("mad.wide.u32 %rd0, %r1, %r2, %rd3", ["u32", "u32", "u64"], "u64", lanewise(lambda a, b, c: a * b + c)),
    ("div.s32 %r0, %r1, %r2", ["s32"] * 2, "s32", lanewise(towards_zero)),
    ("div.u64 %rd0, %rd1, %rd2", ["u64"] * 2, "u64", lanewise(lambda a, b: a // b if b else -1)),
    ("rem.s32 %r0, %r1, %r2", ["s32"] * 2, "s32", lanewise(after)),
    ("max.s32 %r0, %r1, %r2", ["s32"] * 2, "s32", lanewise(max)),
    ("min.u32 %r0, %r1, %r2", ["u32"] * 2, "u32", lanewise(min)),
    ("max.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", np.maximum),
    ("min.f32 %f0, %f1, %f2", ["f32"] * 2, "f32", np.minimum),
    ("abs.f32 %f0, %f1", ["f32"], "f32", np.abs),
    ("neg.f32 %f0, %f1", ["f32"], "f32", np.negative),
    ("neg.s32 %r0, %r1", ["s32"], "s32", lanewise(lambda a: -a)),
    ("and.b32 %r0, %r1, %r2", ["b32"] * 2, "b32", np.bitwise_and),
    ("and.pred %p0, %p1, !%p2", ["pred"] * 2, "pred", lambda a, b: a & ~b),
    ("or.b64 %rd0, %rd1, %rd2", ["b64"] * 2, "b64", np.bitwise_or),
    ("xor.b32 %r0, %r1, %r2", ["b32"] * 2, "b32", np.bitwise_xor),
    ("not.b32 %r0, %r1", ["b32"], "b32", np.invert),
    ("not.pred %p0, %p1", ["pred"], "pred", np.invert),
    ("lop3.b32 %r0, %r1, %r2, %r3, 0xE8", ["b32"] * 3, "b32", lambda a, b, c: a & b | a & c | b & c),
    ("bfe.u32 %r0, %r1, 5, 9", ["u32"], "u32", lambda a: a >> np.uint32(5) & np.uint32(511)),
    ("popc.b32 %r0, %r1", ["b32"], "u32", lanewise(lambda a: a.bit_count())),
    ("clz.b64 %r0, %rd1", ["b64"], "u32", lanewise(lambda a: 64 - a.bit_length())),
    ("selp.f32 %f0, %f1, %f2, %p3", ["f32", "f32", "pred"], "f32", lambda a, b, p: np.where(p, a, b)),
    ("mov.b32 %r0, %f1", ["f32"], "b32", lambda a: a.view(np.uint32)),
    ("mov.f32 %f0, 0f3FB8AA3B", ["f32"], "f32", lambda a: np.full(LANES, 1.4426950216293335, np.float32)),
    ("mov.b64 %rd0, {%r1, %r2}", ["b32"] * 2, "b64", lanewise(lambda a, b: a | b << 32)),
    ("mov.b64 {%r2, %r0}, %rd1", ["b64"], "b32", lanewise(lambda a: a >> 32)),
    ("cvta.to.global.u64 %rd0, %rd1", ["u64"], "u64", np.array),
    ("membar.gl; fence.acq_rel.gpu; mov.u32 %r0, %r1", ["u32"], "u32", np.array),
]
CONVERSIONS = [
    ("cvt.s64.s32 %rd0, %r1", ["s32"], "s64", np.array),
    ("cvt.u64.u32 %rd0, %r1", ["u32"], "u64", np.array),
    ("cvt.u32.u64 %r0, %rd1", ["u64"], "u32", lanewise(int)),
    ("cvt.rn.f32.s32 %f0, %r1", ["s32"], "f32", exactly(lambda a: a)),
    ("cvt.rn.f32.u64 %f0, %rd1", ["u64"], "f32", lambda a: np.array([nearest(Fraction(int(x)), "rn") for x in a])),
    ("cvt.rzi.s32.f32 %r0, %f1", ["f32"], "s32", lanewise(int)),
    ("cvt.rmi.s32.f32 %r0, %f1", ["f32"], "s32", lambda a: np.clip(np.floor(a.astype(float)), -(2**31), 2**31 - 1)),
    ("cvt.f64.f32 %fd0, %f1", ["f32"], "f64", np.array),
    ("cvt.rn.f32.f64 %f0, %fd1", ["f64"], "f32", lambda a: np.array([nearest(Fraction(x), "rn") for x in a.tolist()])),
    ("cvt.sat.f32.f32 %f0, %f1", ["f32"], "f32", lambda a: np.clip(a, 0, 1)),
    ("cvt.rni.f32.f32 %f0, %f1", ["f32"], "f32", np.rint),
]
APPROXIMATE = [
    ("div.rn.f32 %f0, %f1, %f2", 2, np.divide, 0),
    ("div.full.f32 %f0, %f1, %f2", 2, np.divide, 2),
    ("rcp.rn.f32 %f0, %f1", 1, np.reciprocal, 0),
    ("rcp.approx.f32 %f0, %f1", 1, np.reciprocal, 1),
    ("sqrt.rn.f32 %f0, %f1", 1, np.sqrt, 0),
    ("rsqrt.approx.f32 %f0, %f1", 1, lambda a: 1 / np.sqrt(a), 2),
    ("ex2.approx.f32 %f0, %f1", 1, np.exp2, 2),
    ("lg2.approx.f32 %f0, %f1", 1, np.log2, 2),
]
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater}


@pytest.mark.parametrize("case", ARITHMETIC + CONVERSIONS, ids=lambda case: case[0])
@FEW
@given(seed=SEEDS)
def test_opcode(case, seed):
    instruction, kinds, output, reference = case
    rng = np.random.default_rng(seed)
    operands = [values(kind, rng) for kind in kinds]
    found = evaluate(instruction, list(zip(operands, kinds, strict=True)), output)
    expected = np.asarray(reference(*operands))
    if expected.dtype == object or (expected.dtype.kind in "iu" and found.dtype.kind in "iu"):
        bits = (1 << 8 * found.dtype.itemsize) - 1
        assert [int(x) & bits for x in found] == [int(x) & bits for x in expected]
    else:
        known = expected == expected  # beyond the largest float the oracle gives no answer
        np.testing.assert_array_equal(found[known], expected[known])


@pytest.mark.parametrize("case", APPROXIMATE, ids=lambda case: case[0])
@FEW
@given(seed=SEEDS)
def test_division_and_functions_are_within_their_ulps(case, seed):
    instruction, count, reference, ulps = case
    rng = np.random.default_rng(seed)
    operands = [(rng.uniform(0.01, 30, LANES)).astype(np.float32) for _ in range(count)]
    found = evaluate(instruction, [(a, "f32") for a in operands], "f32")
    exact = reference(*(a.astype(np.float64) for a in operands)).astype(np.float32)
    assert (np.abs(found.view(np.int32).astype(int) - exact.view(np.int32)) <= ulps).all()


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("kind", ["s32", "u32", "f32", "s64"])
def test_setp(name, kind):
    rng = np.random.default_rng(3)
    a, b = values(kind, rng), values(kind, rng)
    b = np.where(rng.random(LANES) < 0.3, a, b)
    prefix = {"f32": "%f", "s64": "%rd"}.get(kind, "%r")
    found = evaluate(f"setp.{name}.{kind} %p0, {prefix}1, {prefix}2", [(a, kind), (b, kind)], "pred")
    np.testing.assert_array_equal(found, COMPARE[name](a, b))


def test_setp_with_nan_and_with_two_destinations():
    a = np.array([np.nan, 1, 1, 2] * 16, np.float32)
    b = np.array([1, 2, 1, 1] * 16, np.float32)
    lt, gtu, ltu = (
        evaluate(f"setp.{c}.f32 %p0, %f1, %f2", [(a, "f32"), (b, "f32")], "pred") for c in ("lt", "gtu", "ltu")
    )
    assert lt[:4].tolist() == [False, True, False, False]
    assert gtu[:4].tolist() == [True, False, False, True]
    assert ltu[:4].tolist() == [True, True, False, False]
    p = np.array([True, False] * 32)
    both = "setp.lt.and.f32 %p5|%p0, %f1, %f2, %p3"
    found = evaluate(both, [(a, "f32"), (b, "f32"), (p, "pred")], "pred")
    np.testing.assert_array_equal(found, ~(a < b) & p)


@pytest.mark.parametrize("kind", ["b32", "b64"])
def test_shifts(kind):
    rng = np.random.default_rng(4)
    a, by = values(kind, rng), rng.integers(0, 80, LANES).astype(np.uint32)
    r, bits = ("%rd", 64) if kind == "b64" else ("%r", 32)
    operands = [(a, kind), (by, "u32")]
    left = evaluate(f"shl.{kind} {r}0, {r}1, %r2", operands, kind)
    right = evaluate(f"shr.u{bits} {r}0, {r}1, %r2", operands, f"u{bits}")
    signed = evaluate(f"shr.s{bits} {r}0, {r}1, %r2", operands, f"s{bits}")
    rows = list(zip(a.tolist(), a.view(f"i{bits // 8}").tolist(), by.tolist(), strict=True))
    assert left.tolist() == [u << n & (1 << bits) - 1 for u, _, n in rows]
    assert right.tolist() == [u >> n for u, _, n in rows]
    assert signed.tolist() == [s >> n for _, s, n in rows]


def test_ftz_flushes_operands_and_results():
    tiny = np.array([1e-40, -1e-40, 1e-30, 3.0] * 16, np.float32)
    scale = np.array([1.0, 1.0, 1e-10, 2.0] * 16, np.float32)
    found = evaluate("mul.ftz.f32 %f0, %f1, %f2", [(tiny, "f32"), (scale, "f32")], "f32")
    assert found[:4].tolist() == [0, 0, 0, 6] and np.signbit(found[1])


def test_max_takes_the_number_beside_a_nan():
    a, b = np.full(LANES, np.nan, np.float32), np.ones(LANES, np.float32)
    assert (evaluate("max.f32 %f0, %f1, %f2", [(a, "f32"), (b, "f32")], "f32") == 1).all()


def test_every_opcode_has_a_test():
    here = {case[0].split()[0].split(".")[0] for case in ARITHMETIC + CONVERSIONS + APPROXIMATE}
    elsewhere = {"setp", "shl", "shr", "fence", "ld", "st", "bra", "ret", "exit", "bar", "barrier", "shfl", "vote"}
    assert set(OPCODES) == here | elsewhere


def test_registers_start_apart_and_guards_keep_what_is_off():
    body = """
    mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 4; add.s64 %rd2, %rd10, %rd1;
    mov.f32 %f1, 0f3F800000;
    setp.lt.u32 %p1, %r1, 5;
    @%p1 mov.f32 %f1, 0f40000000;
    @!%p1 add.f32 %f1, %f1, %f1;
    @%p1 add.f32 %f1, %f1, 0f3F800000;
    st.global.f32 [%rd2], %f1; ret;"""
    run = run_text(body, arrays=[np.zeros(32, np.float32)])
    assert run.outputs["A"].tolist() == [3.0] * 5 + [2.0] * 27
    assert run.flops == {"add": 32} and run.instructions["mov.f32"] == 37
