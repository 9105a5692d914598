"""Predictions held against executed kernels: what the source does, what compiled code does, what a GPU measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.notebook import table_html
from fusemap.validation.cuda_counts import ELEMENT_BYTES, SECTOR_BYTES, FlopKind, KernelRun, mul_add
from fusemap.validation.cuda_gpu_check import GpuRow, check_recording
from fusemap.validation.cuda_gpu_recording import RecordingModel, recordings
from fusemap.validation.cuda_kernels import Kernel, checked_sizes, kernel_names, load_kernel
from fusemap.validation.cuda_prediction import Prediction, predict
from fusemap.validation.cuda_prediction_counts import KINDS, Operation
from fusemap.validation.cuda_ptx import PtxRun, run_ptx
from fusemap.validation.cuda_reference import make_inputs, reference
from fusemap.validation.cuda_source import run_source

Executor: TypeAlias = Literal["source", "ptx"]
Relation: TypeAlias = Literal["=", "<=", ">="]
Number: TypeAlias = int | float
EXECUTORS: tuple[Executor, ...] = ("source", "ptx")
_NAMES: Mapping[Operation, tuple[FlopKind, ...]] = MappingProxyType(
    {"max": ("max",), "exp": ("exp",), "div": ("div", "rcp"), "log": ("lg2",)}  # a reciprocal is a division
)
ROUNDING = 1e-5  # of the largest output, against float64: fp32 sums over a few hundred keys, exp to 2 units


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A predicted number and what executions counted, which is `relation` to it (equal, at most, at least).

    `least` is, where it is at least that, the part of an execution's number that the prediction must reach (0: any).
    """

    name: str
    relation: Relation
    predicted: Mapping[Executor, Number]
    executed: Mapping[Executor, Number]
    least: float = 1.0

    def to_json(self) -> dict[str, object]:
        """The count as a JSON object."""
        numbers = {"predicted": dict(self.predicted), "executed": dict(self.executed)}
        return {"name": self.name, "relation": self.relation, **numbers, "least": self.least}

    def holds(self, executor: Executor) -> bool:
        """Whether an execution counts what was predicted."""
        predicted, executed = self.predicted[executor], self.executed[executor]
        if self.relation == "=":
            return executed == predicted
        if self.relation == "<=":
            return executed <= predicted
        return self.least * executed <= predicted <= executed


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCheck:
    """One kernel at one set of sizes: predicted counts beside those of the executions that there were.

    `errors` are the largest differences to the cascade in float64 over its largest output; `absent` says of an
    executor why it did not run.
    """

    kernel: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: Mapping[str, int]
    prediction: Prediction
    counts: tuple[Count, ...]
    errors: Mapping[Executor, float]
    faults: tuple[str, ...]
    absent: Mapping[Executor, str]
    seconds: Mapping[Executor, float]
    compiler: str = ""

    def disagreements(self) -> tuple[str, ...]:
        """What does not hold, in words; empty if all does."""
        wrong = [
            f"{c.name}: {e} {c.executed[e]:,} is not {c.relation} predicted {c.predicted[e]:,}"
            for c in self.counts
            for e in c.executed
            if not c.holds(e)
        ]
        wrong += [f"{e}: relative error {x:.1e} is above {ROUNDING:g}" for e, x in self.errors.items() if x > ROUNDING]
        return (*wrong, *self.faults)

    def to_json(self) -> dict[str, object]:
        """The check as a JSON object."""
        return {
            "kernel": self.kernel,
            "sizes": dict(self.sizes),
            "cascade": self.prediction.algorithm,
            "passes_of": self.prediction.analysed,
            "passes_proven": self.prediction.proven,
            "passes_if_stored": self.prediction.stored,
            "compulsory_bytes": self.prediction.compulsory_bytes,
            "dram_bytes": self.prediction.dram_bytes,
            "roofline_s": self.prediction.seconds,
            "counts": [c.to_json() for c in self.counts],
            "relative_error": dict(self.errors),
            "absent": dict(self.absent),
            "compiler": self.compiler,
            "disagreements": list(self.disagreements()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaCheck:
    """All kernels at all sizes, and what was measured on GPUs."""

    checks: tuple[KernelCheck, ...] = ()
    gpu: tuple[GpuRow, ...] = ()

    @property
    def agrees(self) -> bool:
        """No count, output or access of any kernel is wrong, nor a measurement."""
        return not any(check.disagreements() for check in self.checks) and all(row.holds for row in self.gpu)

    @property
    def executed(self) -> frozenset[Executor]:
        """The executors that ran at least one kernel."""
        return frozenset(e for check in self.checks for e in check.errors)

    def _repr_html_(self) -> str:
        """What a notebook shows: for each kernel the predictions that hold, and the error of its output."""
        rows = [
            [
                check.kernel,
                str(check.prediction.proven),
                f"{sum(c.holds(e) for c in check.counts for e in c.executed):,}",
                f"{sum(len(c.executed) for c in check.counts):,}",
                ", ".join(f"{e} {error:.0e}" for e, error in check.errors.items()) or "not executed",
            ]
            for check in self.checks
        ]
        headers = ["kernel", "passes proven", "counts as predicted", "counts", "relative error"]
        return table_html("kernels, executed", headers, rows)

    def to_json(self) -> dict[str, object]:
        """The check as a JSON object."""
        return {
            "agrees": self.agrees,
            "kernels": [check.to_json() for check in self.checks],
            "gpu": [row.to_json() for row in self.gpu],
        }


def check_kernels(
    kernels: Sequence[str] | None = None,
    sizes: Sequence[Mapping[str, int]] | None = None,
    *,
    folder: Path | None = None,
    executors: Sequence[Executor] = EXECUTORS,
    recorded: Mapping[str, RecordingModel] | None = None,
    progress: Callable[[int, int], None] = lambda number, of: None,
) -> CudaCheck:
    """Every kernel at every set of sizes, by default all and those of `kernels.yaml`: first all at their first sizes.

    `folder` has other kernels than the package, with a `kernels.yaml`. `recorded` are measurements on GPUs by name, by
    default those that come with the package.
    """
    named = kernels or kernel_names(folder)
    chosen = {name: checked_sizes(name, folder) if sizes is None else tuple(sizes) for name in named}
    most = max(map(len, chosen.values()))
    cases = [load_kernel(name, of[i], folder=folder) for i in range(most) for name, of in chosen.items() if i < len(of)]
    checks = []
    for number, kernel in enumerate(cases):
        progress(number, len(cases))
        checks.append(check_kernel(kernel, executors=executors))
    progress(len(cases), len(cases))
    found = recordings() if recorded is None else recorded
    measured = [row for name, recording in found.items() for row in check_recording(name, recording)]
    return CudaCheck(checks=tuple(checks), gpu=tuple(measured))


def check_kernel(
    kernel: Kernel,
    *,
    executors: Sequence[Executor] = EXECUTORS,
    predictions: Mapping[Executor, Prediction] | None = None,
) -> KernelCheck:
    """Executes a kernel and holds it against its predictions (of the source as written, of PTX as compiled).

    An executor without a compiler is left out, with the reason; InputError where a kernel's source is at fault.
    """
    predicted = predictions or {"source": predict(kernel), "ptx": predict(kernel, "compiled")}
    inputs = make_inputs(kernel)
    wanted = reference(kernel, inputs)
    runs: dict[Executor, KernelRun] = {}
    absent: dict[Executor, str] = {}
    for executor in executors:
        try:
            runs[executor] = run_source(kernel, inputs) if executor == "source" else run_ptx(kernel, inputs)
        except InputError as error:
            if not _no_compiler(error):
                raise
            absent[executor] = str(error)
    ptx = runs.get("ptx")
    return KernelCheck(
        kernel=kernel.name,
        inputs=kernel.inputs,
        outputs=kernel.outputs,
        sizes=MappingProxyType({**kernel.sizes, **kernel.constants}),
        prediction=predicted["source"],
        counts=tuple(_counts(kernel, predicted, runs)),
        errors=MappingProxyType({e: relative_error(run.outputs, wanted) for e, run in runs.items()}),
        faults=tuple(f"{e}: {fault}" for e, run in runs.items() for fault in run.faults),
        absent=MappingProxyType(absent),
        seconds=MappingProxyType({e: run.seconds for e, run in runs.items()}),
        compiler=ptx.compiler if isinstance(ptx, PtxRun) else "",
    )


def relative_error(got: Mapping[str, NDArray[np.float32]], wanted: Mapping[str, NDArray[np.float64]]) -> float:
    """The largest difference of any output over its largest value; NaN counts as infinite."""
    errors = [float(np.abs(got[name] - want).max() / np.abs(want).max()) for name, want in wanted.items()]
    return float("inf") if any(np.isnan(errors)) else max(errors)


def _no_compiler(error: InputError) -> bool:
    return any("compiler" in d.message and "no " in d.message for d in error.diagnostics)


def _counts(
    kernel: Kernel, predicted: Mapping[Executor, Prediction], runs: Mapping[Executor, KernelRun]
) -> list[Count]:
    found = []
    for tensor in kernel.shapes:
        one = {e: predicted[e].tensors[tensor] for e in runs}
        exact = all(p.exact for p in one.values())
        relation: Relation = "=" if exact else "<="
        for what in ("loads", "stores", "passes"):
            numbers = {e: getattr(p, what) for e, p in one.items()}
            executed = {e: getattr(run.tensors[tensor], what) for e, run in runs.items()}
            if any(numbers.values()) or any(executed.values()):
                found.append(_count(f"{what} of {tensor}", relation, numbers, executed))
        if exact and all(p.loads and p.shared for p in one.values()):
            least = {e: -(-p.loads * ELEMENT_BYTES // SECTOR_BYTES) for e, p in one.items()}
            sectors = {e: run.tensors[tensor].load_sectors for e, run in runs.items()}
            found.append(_count(f"sectors of {tensor}", ">=", least, sectors, least=0.0))
    return [*found, *_bytes(predicted, runs), *_operations(predicted, runs)]


def _bytes(predicted: Mapping[Executor, Prediction], runs: Mapping[Executor, KernelRun]) -> list[Count]:
    """Bytes that threads load and store, which are at least the inputs and outputs once."""
    relation: Relation = "=" if all(t.exact for p in predicted.values() for t in p.tensors.values()) else "<="
    moved = {e: sum(t.bytes for t in run.tensors.values()) for e, run in runs.items()}
    all_bytes = {e: predicted[e].load_bytes + predicted[e].store_bytes for e in runs}
    return [_count("bytes", relation, all_bytes, moved)]


def _operations(predicted: Mapping[Executor, Prediction], runs: Mapping[Executor, KernelRun]) -> list[Count]:
    found = []
    for kind in KINDS:
        numbers = {e: predicted[e].operations[kind] for e in runs}
        executed = {e: _executed(run, kind) for e, run in runs.items()}
        if not any(numbers.values()) and not any(executed.values()):
            continue
        if all(p.repeated == 0 for p in predicted.values()):
            relation: Relation = "=" if all(p.operations_exact for p in predicted.values()) else "<="
            found.append(_count(kind, relation, numbers, executed))
        elif kind == "mul+add":
            repeated = max(p.repeated for p in predicted.values())
            found.append(_count(kind, ">=", numbers, executed, least=1 - repeated))
    return found


def _executed(run: KernelRun, kind: Operation) -> int:
    """Operations of a kind; those of compiled code in the terms of the source."""
    flops = run.written if isinstance(run, PtxRun) else run.flops
    if kind == "mul+add":
        return mul_add(flops)
    return sum(flops.get(name, 0) for name in _NAMES[kind])


def _count(
    name: str,
    relation: Relation,
    predicted: Mapping[Executor, Number],
    executed: Mapping[Executor, Number],
    least: float = 1.0,
) -> Count:
    return Count(
        name=name,
        relation=relation,
        predicted=MappingProxyType(dict(predicted)),
        executed=MappingProxyType(dict(executed)),
        least=least,
    )
