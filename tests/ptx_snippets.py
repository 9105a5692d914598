"""Hand-written PTX, run on small tensors."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from fusemap.validation.cuda_kernels import Kernel, Launch
from fusemap.validation.cuda_ptx import PtxRun, run_module
from fusemap.validation.cuda_ptx_ops import DTYPES
from fusemap.validation.cuda_ptx_parse import parse_ptx
from fusemap.validation.cuda_ptx_types import WIDTHS

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
REGISTERS = (
    ".reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<30>; .reg .f32 %f<30>; .reg .b64 %rd<30>; .reg .f64 %fd<9>;\n"
)
PREFIX = {"pred": "%p", "f32": "%f", "f64": "%fd", "b16": "%h", "s16": "%h", "u16": "%h"}


def run_text(body, *, arrays, threads=32, blocks=1, before=""):
    """Runs a body with parameters A, B, ... (tensors, A is the output) and n; %rd10.. hold the tensors' addresses."""
    names = [chr(ord("A") + i) for i in range(len(arrays))]
    parameters = ", ".join([*(f".param .u64 p{name}" for name in names), ".param .u32 n"])
    load = "".join(f"ld.param.u64 %rd{10 + i}, [p{name}];\n" for i, name in enumerate(names))
    text = f"{HEAD}.visible .entry k({parameters})\n{{\n{REGISTERS}{before}{load}{body}\n}}\n"
    kernel = Kernel(
        name="snippet",
        description="",
        source="",
        cascade="",
        sizes=MappingProxyType({"n": threads}),
        constants=MappingProxyType({}),
        shapes=MappingProxyType({name: a.shape for name, a in zip(names, arrays, strict=True)}),
        inputs=tuple(names),
        outputs=("A",),
        scratch=(),
        launches=(Launch(entry="k", grid=(blocks, 1, 1), block=(threads, 1, 1), arguments=(*names, "n")),),
    )
    inputs = dict(zip(names, arrays, strict=True))
    return run_module(kernel, parse_ptx(text, file="snippet.ptx"), inputs)


def evaluate(instruction, operands, output):
    """The result of `instruction` with operands (array, type) in %X1, %X2, ... and the destination in %X0."""
    lanes = len(operands[0][0])
    arrays = [np.zeros(2 * lanes, np.float32)]
    body = "mov.u32 %r20, %tid.x;\nmul.wide.u32 %rd20, %r20, 8;\nadd.s64 %rd10, %rd10, %rd20;\n"
    for i, (values, kind) in enumerate(operands, 1):
        arrays.append(_words(values))
        body += f"add.s64 %rd21, %rd{10 + i}, %rd20;\n"
        body += _load(kind, i)
    body += instruction + ";\n" + _store(output) + "ret;"
    run = run_text(body, arrays=arrays, threads=lanes)
    assert not run.faults
    pairs = run.outputs["A"].view(np.uint64)
    if output == "pred":
        return pairs != 0
    return pairs.astype(f"u{WIDTHS[output] // 8}").view(DTYPES[output])


def _words(values):
    if values.dtype == np.bool_:
        values = values.astype(np.uint32)
    unsigned = values.view(f"u{values.dtype.itemsize}")
    return unsigned.astype(np.uint64).view(np.uint32).view(np.float32)


def _load(kind, i):
    if kind == "pred":
        return f"ld.global.u32 %r21, [%rd21];\nsetp.ne.u32 %p{i}, %r21, 0;\n"
    if WIDTHS[kind] == 16:
        return f"ld.global.u32 %r21, [%rd21];\ncvt.u16.u32 %h{i}, %r21;\n"
    return f"ld.global.{kind} {PREFIX.get(kind, '%rd' if WIDTHS[kind] == 64 else '%r')}{i}, [%rd21];\n"


def _store(kind):
    if kind == "pred":
        return "selp.u32 %r21, 1, 0, %p0;\nst.global.u32 [%rd10], %r21;\n"
    if WIDTHS[kind] == 16:
        return "cvt.u32.u16 %r21, %h0;\nst.global.u32 [%rd10], %r21;\n"
    return f"st.global.{kind} [%rd10], {PREFIX.get(kind, '%rd' if WIDTHS[kind] == 64 else '%r')}0;\n"


__all__ = ["PtxRun", "evaluate", "run_text"]
