"""The page of `fusemap validate cuda`: kernels, predicted beside executed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from fusemap.cli.output import table
from fusemap.validation.cuda_check import ROUNDING, Count, CudaCheck, Executor, KernelCheck, Number
from fusemap.validation.cuda_gpu_check import GpuRow

_NONE = "-"


def cuda_page(found: CudaCheck) -> list[str]:
    """A table of the first sizes, a line for each of the others, what was measured on GPUs, and the verdict."""
    sizes = list(dict.fromkeys(_common(check) for check in found.checks))
    blocks = []
    if sizes:
        first = [check for check in found.checks if _common(check) == sizes[0]]
        blocks += [f"kernels at {sizes[0]}", _table(first)]
    if len(sizes) > 1:
        blocks.append("\n".join(_line(size, found) for size in sizes[1:]))
    return [*blocks, _gpu(found), _legend(), *_absent(found), _verdict(found)]


def _common(check: KernelCheck) -> str:
    return " ".join(f"{name}={check.sizes[name]}" for name in ("P", "M", "E", "F") if name in check.sizes)


def _table(checks: Sequence[KernelCheck]) -> str:
    rows = [[check.kernel if i == 0 else "", *cells] for check in checks for i, cells in enumerate(_kernel(check))]
    return table(rows, ["kernel", "quantity", "predicted", "source", "PTX"], "llrrr")


def _kernel(check: KernelCheck) -> Iterator[list[str]]:
    """A kernel's rows: passes, loads and stores per tensor, bytes, operations, the error of its output."""
    proven = f"{check.prediction.proven} ({check.prediction.stored} if all is stored)"
    tensor = check.prediction.analysed.partition(" ")[0]
    what = "passes" if tensor == "K" else f"passes of {tensor}"
    yield [f"{what} proven for {check.prediction.algorithm}", proven, _NONE, _NONE]
    for count in check.counts:
        if count.name.startswith("passes") and set(count.predicted.values()) == {1.0}:
            continue  # the rule; shown where it is not so
        if count.name.startswith("sectors") and count.name != "sectors of K":
            continue  # how a warp's addresses lie side by side is not in the model
        yield from _rows(count)
    errors = [f"{check.errors[e]:.1e}" if e in check.errors else _NONE for e in ("source", "ptx")]
    yield ["relative error", f"<= {ROUNDING:g}", *errors]


def _rows(count: Count) -> Iterator[list[str]]:
    """One row, or two where a compiler is predicted to do something else than what is written."""
    sign = "" if count.relation == "=" else f"{count.relation} "
    if len(set(count.predicted.values())) == 1:
        predicted = next(iter(count.predicted.values()))
        yield [count.name, f"{sign}{_number(predicted)}", _cell(count, "source"), _cell(count, "ptx")]
        return
    as_written, compiled = (_number(count.predicted[e]) for e in ("source", "ptx"))
    yield [f"{count.name}, as written", f"{sign}{as_written}", _cell(count, "source"), _NONE]
    yield [f"{count.name}, as compiled", f"{sign}{compiled}", _NONE, _cell(count, "ptx")]


def _cell(count: Count, executor: Executor) -> str:
    if executor not in count.executed:
        return _NONE
    return _number(count.executed[executor]) + ("" if count.holds(executor) else " !")


def _number(value: Number) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"


def _line(size: str, found: CudaCheck) -> str:
    checks = [check for check in found.checks if _common(check) == size]
    held = sum(c.holds(e) for check in checks for c in check.counts for e in c.executed)
    of = sum(len(c.executed) for check in checks for c in check.counts)
    worst = max((x for check in checks for x in check.errors.values()), default=math.nan)
    kernels = f"{len(checks)} kernel{'s' if len(checks) > 1 else ''}"
    return f"{size}: {kernels}, {held} of {of} counts as predicted, relative error at most {worst:.1e}"


def _gpu(found: CudaCheck) -> str:
    if not found.gpu:
        return "GPU: no recording yet; on a machine with an NVIDIA GPU: fusemap validate cuda --record FILE"
    rows = [[row.recording, row.kernel, _sizes(row.sizes), row.name, *_measured(row)] for row in found.gpu]
    headers = ["GPU recording", "kernel", "sizes", "quantity", "predicted", "measured", "error"]
    return table(rows, headers, "llllrrr", width=130)


def _sizes(sizes: Mapping[str, int]) -> str:
    return "x".join(str(sizes[name]) for name in ("P", "M", "E", "F"))


def _measured(row: GpuRow) -> list[str]:
    texts = [
        f"{value * 1e6:,.1f} us" if row.name == "time" else _number(value) for value in (row.predicted, row.measured)
    ]
    return [*texts, f"{row.error:+.2%}" + ("" if row.holds else " !")]


def _legend() -> str:
    return (
        "predicted: cascade and mapping of the kernel on the model of an H100; source: the .cu compiled as C++, every\n"
        "load and store seen; PTX: compiled for sm_90a and interpreted. loads, stores: elements, of all threads;\n"
        "passes: how often a block reads its part (1 where not shown); sectors: of 32 bytes; <=: the model counts a\n"
        "rectangle around a filter"
    )


def _absent(found: CudaCheck) -> list[str]:
    reasons = dict.fromkeys(f"{e} not executed: {text}" for check in found.checks for e, text in check.absent.items())
    return ["\n".join(reasons)] if reasons else []


def _verdict(found: CudaCheck) -> str:
    wrong = [
        f"  {check.kernel} at {_common(check)}: {text}" for check in found.checks for text in check.disagreements()
    ]
    wrong += [
        f"  {row.recording}, {row.kernel}: {row.name} measured {row.measured:g}" for row in found.gpu if not row.holds
    ]
    if wrong:
        return "\n".join([f"{len(wrong)} disagreements", *wrong])
    exact = sum(len(c.executed) for check in found.checks for c in check.counts if c.relation == "=")
    bounded = sum(len(c.executed) for check in found.checks for c in check.counts if c.relation != "=")
    executors = " and ".join(sorted(found.executed)) or "nothing"
    return (
        f"kernels at sizes: {len(found.checks)}, all as predicted ({executors}):\n"
        f"{exact:,} counts exactly, {bounded:,} within stated bounds"
    )
