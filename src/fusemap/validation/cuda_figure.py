"""Kernels as a picture: what reading K again costs, and where the bytes of each kernel go."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.validation.cuda_check import CudaCheck, Executor, KernelCheck
from fusemap.validation.cuda_counts import ELEMENT_BYTES
from fusemap.validation.waterfall import RC, figure_bytes

WIDTH_IN, HEIGHT_IN = 7.0, 3.6
KIB, MIB = 1 << 10, 1 << 20
MARKS: tuple[tuple[Executor, str, str], ...] = (("source", "o", "source, executed"), ("ptx", "x", "PTX, executed"))
PARTS = {  # Okabe and Ito
    "Q": "#CC79A7",
    "K": "#0072B2",
    "V": "#56B4E9",
    "other inputs": "#999999",
    "output": "#009E73",
    "between kernels": "#E69F00",
}
NAME_WIDTH, ROWS = 14, 9  # letters in a line of a name, rows that bars are drawn for
WIDEST = 2.9  # MiB; a longer bar is cut, with its length beside it


def render_kernels(found: CudaCheck, suffix: str) -> bytes:
    """The picture of the first sizes of a check, as the content of a `png`, `pdf` or `svg` file."""
    return figure_bytes(lambda: draw_kernels(_first(found)), suffix, "the cross-check of CUDA kernels")


def _first(found: CudaCheck) -> list[KernelCheck]:
    sizes = [tuple(c.sizes[name] for name in ("P", "M", "E", "F")) for c in found.checks]
    return [check for check, size in zip(found.checks, sizes, strict=True) if size == sizes[0]]


def draw_kernels(checks: Sequence[KernelCheck]) -> Figure:
    """Left: K traffic of all threads against the passes of a block. Right: bytes by tensor, as written and compiled."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
        _passes(left, checks)
        _bytes(right, checks)
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.135, top=0.91, wspace=0.42)
        return figure


def _passes(axes: Axes, checks: Sequence[KernelCheck]) -> None:
    """K loads over compulsory loads per block row: passes predicted, and executed."""
    shown = [check for check in checks if "BP" in check.sizes and check.sizes["BP"] == checks[0].sizes["BP"]]
    shown = [check for check in shown if check.prediction.tensors["K"].exact]
    per_pass = _per_pass(shown[0])
    shown = [check for check in shown if _per_pass(check) == per_pass]
    axes.plot(
        [0.5, 3.5], [0.5 * per_pass, 3.5 * per_pass], color="#999999", lw=0.8, label="predicted: P / BP |K| per pass"
    )
    for executor, mark, label in MARKS:
        points = [
            (_executed(c, "passes of K", executor), 4 * _executed(c, "loads of K", executor) / KIB)
            for c in shown
            if executor in c.errors
        ]
        if not points:  # no compiler for it
            continue
        hollow = "none" if mark == "o" else None
        axes.plot(
            *zip(*points, strict=True), mark, ms=7 if mark == "o" else 5, mfc=hollow, color="#0072B2", label=label
        )
    for passes in sorted({c.prediction.tensors["K"].passes for c in shown}):
        names = [c.kernel for c in shown if c.prediction.tensors["K"].passes == passes]
        axes.annotate("\n".join(names), (passes, passes * per_pass), (7, -4), textcoords="offset points", va="top")
    axes.set_xlim(0.5, 3.9)
    axes.set_ylim(0, 3.6 * per_pass)
    axes.set_xticks([1, 2, 3])
    axes.set_xlabel("passes of a block over K")
    axes.set_ylabel("K loaded by all threads (KiB)")
    axes.legend(loc="upper left", frameon=False, handlelength=1.4)
    axes.set_title("Reading K again", loc="left")


def _per_pass(check: KernelCheck) -> float:
    """K traffic of one pass of all blocks, in KiB."""
    found = check.prediction.tensors["K"]
    return 4 * found.loads / found.passes / KIB


def _executed(check: KernelCheck, name: str, executor: Executor) -> float:
    found = next(c for c in check.counts if c.name == name)
    return float(found.executed[executor])


def _bytes(axes: Axes, checks: Sequence[KernelCheck]) -> None:
    """Bytes loaded and stored by all threads per kernel and tensor; small kernels have a shorter axis."""
    longest = max(_total(check, executor) for check in checks for executor, _, _ in MARKS)
    widest = min(WIDEST, 1.5 * longest or WIDEST)
    for row, check in enumerate(checks):
        for half, (executor, _, _) in zip((-0.2, 0.2), MARKS, strict=True):
            _bar(axes, row + half, check, executor, widest)
    for label, colour in PARTS.items():
        axes.barh([0], [0], color=colour, label=label)
    axes.set_yticks(range(len(checks)), [textwrap.fill(c.kernel, NAME_WIDTH) for c in checks])
    axes.invert_yaxis()
    if len(checks) < ROWS:  # few bars stay as thin as many, with room for the legend below them
        axes.set_ylim(ROWS - 0.5, -0.5)
    axes.set_xlim(0, widest)
    axes.set_xlabel("loaded and stored by all threads (MiB)")
    axes.legend(loc="lower right", frameon=False, handlelength=1.2, labelspacing=0.35)
    axes.set_title("Bytes of all threads: as written, below compiled", loc="left")


def _bar(axes: Axes, at: float, check: KernelCheck, executor: Executor, widest: float) -> None:
    start = 0.0
    for part, colour in PARTS.items():
        tensors = [tensor for tensor in check.prediction.tensors if _part(check, tensor) == part]
        width = sum(_moved(check, tensor, executor) for tensor in tensors)
        axes.barh([at], [width], left=[start], height=0.36, color=colour, lw=0)
        start += width
    if start > widest:
        axes.text(widest * 0.985, at, f"{start:.1f} MiB \N{RIGHTWARDS ARROW}", va="center", ha="right", color="white")


def _total(check: KernelCheck, executor: Executor) -> float:
    """Bytes of all tensors, in MiB."""
    return sum(_moved(check, tensor, executor) for tensor in check.prediction.tensors)


def _part(check: KernelCheck, tensor: str) -> str:
    """What a tensor is to a kernel, one of PARTS."""
    if tensor in ("Q", "K", "V"):
        return tensor
    if tensor in check.inputs:
        return "other inputs"
    return "output" if tensor in check.outputs else "between kernels"


def _moved(check: KernelCheck, tensor: str, executor: Executor) -> float:
    names = (f"loads of {tensor}", f"stores of {tensor}")
    return sum(ELEMENT_BYTES * c.executed.get(executor, 0) for c in check.counts if c.name in names) / MIB
