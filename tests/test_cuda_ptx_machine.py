"""The PTX interpreter on hand-written programs: what it refuses, faults, counts, divergence, warps."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_snippets import HEAD, run_text

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_ptx_parse import parse_ptx
from fusemap.validation.cuda_ptx_translate import translate


def refused(body):
    text = f"{HEAD}.entry k()\n{{\n.reg .b32 %r<4>;\n.reg .f32 %f<4>;\n.reg .b64 %rd<4>;\n{body}\nret;\n}}\n"
    with pytest.raises(InputError) as caught:
        module = parse_ptx(text, file="k.ptx")
        translate(module, module.entries["k"], {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("wgmma.fence.sync.aligned;", "k.ptx:9:1: error: wgmma.fence.sync.aligned: unknown opcode"),
        ("cp.async.ca.shared.global [%r1], [%rd1], 16;", "k.ptx:9:1: error: cp.async.ca.shared.global: unknown opcode"),
        ("mov.u32 %r1, 0; add.f16 %r1, %r2, %r3;", "k.ptx:9:17: error: add.f16"),
        ("add.cc.u32 %r1, %r2, %r3;", "add.cc.u32: modifier .cc is not modelled"),
        ("add.s32 %r1, %r2;", "expected 3 operands, found 2"),
        ("add.s32 %r1, %r2, %f3;\nadd.s64 %rd1, %rd2, %r3;", "k.ptx:10:1: error: add.s64: %r3 is .b32"),
        ("add.s32 %r1, %r2, %q;", "register %q is not declared"),
        ("mov.u32 %r1, buffer;", "buffer is not known"),
        ("ld.f32 %f1, [%rd1];", "an access without a state space is not modelled"),
        ("bra $L;", "bra: expected a label of this entry"),
        ("bar.sync 1;", "only barrier 0 of the whole block is modelled"),
        ("bar.red.popc.u32 %r1, 0, %p1;", "only bar.sync is modelled"),
        ("add.s32 %r1 %r2;", 'k.ptx:9:13: error: expected ";", found "%r2"'),
        ("mov.u32 %r1, ?;", 'k.ptx:9:14: error: "?" is no PTX'),
        ("{ mov.u32 %r1, 0; }", 'k.ptx:9:1: error: expected an instruction, found "{"'),
    ],
)
def test_what_is_not_modelled_is_refused_with_its_place(body, message):
    assert message in refused(body)


INDEX = """
mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.s32 %r4, %r2, %r3, %r1;
mul.wide.s32 %rd1, %r4, 4; add.s64 %rd2, %rd10, %rd1; add.s64 %rd3, %rd11, %rd1;
"""


def test_out_of_bounds_is_a_fault_and_loads_zero():
    a, b = np.zeros(64, np.float32), np.ones(64, np.float32)
    run = run_text(INDEX + "ld.global.f32 %f1, [%rd3+8]; st.global.f32 [%rd2+-4], %f1; ret;", arrays=[a, b], blocks=2)
    assert [(f.kind, f.tensor, f.index, f.block, f.thread) for f in run.faults] == [
        ("out-of-bounds", "B", 64, 1, 30),
        ("out-of-bounds", "B", 65, 1, 31),
        ("out-of-bounds", "A", -1, 0, 0),
    ]
    assert str(run.faults[0]).startswith("out-of-bounds: B[64] by block 1, thread 30, line ")
    assert run.outputs["A"].tolist() == [1.0] * 61 + [0.0] * 3
    assert (run.tensors["B"].loads, run.tensors["B"].out_of_bounds, run.tensors["A"].stores) == (62, 2, 63)


def test_misaligned_and_wild_accesses_are_faults():
    a = np.zeros(32, np.float32)
    skew = run_text("ld.global.f32 %f1, [%rd10+2]; ret;", arrays=[a], threads=1)
    wild = run_text("mov.u64 %rd1, 64; ld.global.f32 %f1, [%rd1]; ret;", arrays=[a], threads=1)
    assert [f.kind for f in skew.faults] == ["misaligned"]
    assert [(f.kind, f.tensor, f.index) for f in wild.faults] == [("out-of-bounds", "memory", 16)]


def test_shared_memory_has_bounds():
    before = ".shared .align 4 .b8 buffer[16];\n"
    body = """mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; mov.u32 %r3, buffer; add.s32 %r3, %r3, %r2;
    st.shared.u32 [%r3], %r1; ret;"""
    run = run_text(body, arrays=[np.zeros(1, np.float32)], threads=6, before=before)
    assert [(f.tensor, f.index, f.thread) for f in run.faults] == [("shared", 4, 4), ("shared", 5, 5)]


@pytest.mark.parametrize(
    ("body", "waiting"),
    [
        ("setp.lt.u32 %p1, %r1, 5; @%p1 ret; bar.sync 0; ret;", "27 of 32 threads wait here, 5 have ended"),
        (
            "setp.lt.u32 %p1, %r1, 5; @%p1 bra $L; bar.sync 0; ret;\n$L:\nbar.sync 0; ret;",
            "5 of 32 threads wait here, 0 have",
        ),
    ],
)
def test_dead_lock_at_a_barrier(body, waiting):
    run = run_text("mov.u32 %r1, %tid.x;\n" + body, arrays=[np.zeros(1, np.float32)], blocks=2)
    assert [(f.kind, f.block) for f in run.faults] == [("dead-lock", 0), ("dead-lock", 1)]
    assert waiting in str(run.faults[0]) and "bar.sync" in str(run.faults[0])


def test_vectors_count_their_elements():
    a, b = np.zeros(256, np.float32), np.arange(256, dtype=np.float32)
    body = """mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 16; add.s64 %rd2, %rd10, %rd1; add.s64 %rd3, %rd11, %rd1;
    ld.global.nc.v4.f32 {%f1, %f2, %f3, %f4}, [%rd3]; st.global.v2.f32 [%rd2+8], {%f4, %f1}; ret;"""
    run = run_text(body, arrays=[a, b], threads=64)
    loaded, stored = run.tensors["B"], run.tensors["A"]
    assert (loaded.loads, loaded.load_requests, loaded.load_sectors) == (256, 2, 32)
    assert (stored.stores, stored.store_requests, stored.store_sectors) == (128, 2, 32)
    assert run.outputs["A"].reshape(-1, 4)[:, 2:].tolist() == [[4.0 * i + 3, 4.0 * i] for i in range(64)]


@pytest.mark.parametrize("stride", [1, 2, 8, 32])
def test_sectors_follow_the_stride(stride):
    a = np.zeros(32 * 32, np.float32)
    body = f"""mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, {4 * stride}; add.s64 %rd2, %rd10, %rd1;
    ld.global.f32 %f1, [%rd2];"""
    counts = run_text(body, arrays=[a]).tensors["A"]
    assert (counts.load_requests, counts.load_sectors) == (1, min(32, 4 * stride))


def test_passes_are_per_block():
    body = INDEX + "ld.global.f32 %f1, [%rd11]; ld.global.f32 %f1, [%rd11]; st.global.f32 [%rd2], %f1; ret;"
    counts = run_text(body, arrays=[np.zeros(16, np.float32)] * 2, threads=4, blocks=4).tensors["B"]
    assert (counts.loads, counts.passes) == (32, 8)  # 4 threads twice, of one element in each of 4 blocks


def test_diverged_lanes_meet_again():
    """Lane i goes round a loop i times; behind the loop the warp stores with one request."""
    body = (
        INDEX
        + """mov.u32 %r5, 0; mov.u32 %r6, 0;
    setp.eq.u32 %p1, %r1, 0; @%p1 bra $END;
    $LOOP: add.s32 %r6, %r6, %r5; add.s32 %r5, %r5, 1; setp.lt.u32 %p2, %r5, %r1; @%p2 bra.uni $LOOP;
    $END: cvt.rn.f32.u32 %f1, %r6; st.global.f32 [%rd2], %f1; exit;"""
    )
    run = run_text(body, arrays=[np.zeros(64, np.float32)] * 2, blocks=2)
    assert run.outputs["A"].tolist() == [float(sum(range(i))) for i in range(32)] * 2
    assert run.tensors["A"].store_requests == 2


SHUFFLES = {
    "bfly.b32 %r5|%p1, %r1, 3, 31": [i ^ 3 for i in range(32)],
    "idx.b32 %r5|%p1, %r1, 7, 31": [7] * 32,
    "up.b32 %r5|%p1, %r1, 2, 0": [max(i - 2, i if i < 2 else 0) for i in range(32)],
    "down.b32 %r5, %r1, 4, 31": [i + 4 if i < 28 else i for i in range(32)],
    "down.b32 %r5, %r1, 1, 6175": [i + 1 if i % 8 < 7 else i for i in range(32)],
}


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_shuffles(shuffle):
    body = INDEX + f"shfl.sync.{shuffle}, -1; st.global.u32 [%rd2], %r5; ret;"
    run = run_text(body, arrays=[np.zeros(64, np.float32)] * 2, threads=64)
    found = run.outputs["A"].view(np.uint32).tolist()
    assert found == SHUFFLES[shuffle] + [lane + 32 for lane in SHUFFLES[shuffle]]


def test_votes():
    body = (
        INDEX
        + """setp.lt.u32 %p1, %r1, 5; vote.sync.ballot.b32 %r5, %p1, -1; vote.sync.any.pred %p2, %p1, -1;
    vote.sync.all.pred %p3, %p1, -1; selp.b32 %r6, 256, 0, %p2; selp.b32 %r7, 512, 0, %p3; bar.warp.sync -1;
    or.b32 %r5, %r5, %r6; or.b32 %r5, %r5, %r7; st.global.u32 [%rd2], %r5; ret;"""
    )
    run = run_text(body, arrays=[np.zeros(32, np.float32)] * 2)
    assert set(run.outputs["A"].view(np.uint32).tolist()) == {31 + 256}


def test_a_warp_instruction_waits_for_the_lanes_that_it_names():
    body = (
        INDEX
        + """mov.u32 %r5, %r1; setp.gt.u32 %p1, %r1, 15; @%p1 bra $LATE;
    $MEET: shfl.sync.bfly.b32 %r6, %r5, 16, 31, -1; st.global.u32 [%rd2], %r6; ret;
    $LATE: add.s32 %r5, %r5, 100; bra $MEET;"""
    )
    run = run_text(body, arrays=[np.zeros(32, np.float32)] * 2)
    assert run.faults == () and run.outputs["A"].view(np.uint32).tolist() == [*range(116, 132), *range(16)]


def test_64_bits_and_local_memory():
    before = ".local .align 8 .b8 depot[16];\n"
    body = (
        INDEX
        + """mov.u64 %rd4, depot; ld.global.u64 %rd5, [%rd11]; st.local.b64 [%rd4+8], %rd5;
    ld.local.v2.u32 {%r5, %r6}, [depot+8]; add.s32 %r5, %r5, %r1; st.global.u32 [%rd2], %r5; ret;"""
    )
    run = run_text(body, arrays=[np.zeros(32, np.float32), np.ones(2, np.float32)], before=before)
    one = int(np.float32(1).view(np.uint32))
    assert run.outputs["A"].view(np.uint32).tolist() == [one + i for i in range(32)]
    assert run.tensors["B"].loads == 64
