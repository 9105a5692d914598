"""What a CUDA kernel loads, stores and computes, from its cascade, a GPU as a machine and its mapping.

No formula is written beside a kernel: words come from the reuse analysis that `evaluate` uses, operations from the
counts of `analyze`, passes from its proofs. The grid is a fanout whose blocks share nothing but memory, so that what a
block or a thread brings in is what its level is filled with, times the instances of that level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.sim.evaluate import plan
from fusemap.validation.cuda_counts import ELEMENT_BYTES
from fusemap.validation.cuda_kernels import Kernel
from fusemap.validation.cuda_prediction_counts import (
    Operation,
    TensorPrediction,
    counted_exactly,
    operations,
    tensors,
)
from fusemap.validation.inference import least_words

MACHINE = "h100.yaml"
Version: TypeAlias = Literal["written", "compiled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Counts of a kernel that its cascade and mapping give.

    algorithm: the library's cascade; proven: passes that each mapping of it needs for what is `analysed` ("K over M"),
    stored: the same when every tensor made of it is stored. operations: by kind, those of the kernel at least
    1 - repeated of them. input_bytes, output_bytes: inputs and outputs once, the compulsory traffic. dram_read_bytes,
    dram_written_bytes: with all blocks at work at the same time, so that what they read together comes once. seconds:
    the longer of mul+add at the peak of fused ones and these bytes at full bandwidth.
    """

    kernel: str
    version: Version
    algorithm: str
    analysed: str
    proven: int
    stored: int
    tensors: Mapping[str, TensorPrediction]
    operations: Mapping[Operation, int]
    operations_exact: bool
    repeated: float
    input_bytes: int
    output_bytes: int
    dram_read_bytes: int
    dram_written_bytes: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def compulsory_bytes(self) -> int:
        """Inputs and outputs once."""
        return self.input_bytes + self.output_bytes

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to DRAM."""
        return self.dram_read_bytes + self.dram_written_bytes

    @property
    def load_bytes(self) -> int:
        """Bytes that threads load."""
        return ELEMENT_BYTES * sum(t.loads for t in self.tensors.values())

    @property
    def store_bytes(self) -> int:
        """Bytes that threads store."""
        return ELEMENT_BYTES * sum(t.stores for t in self.tensors.values())


def predict(kernel: Kernel, version: Version = "written", *, dataflow: Dataflow | None = None) -> Prediction:
    """The counts of a kernel as it is written, or as a compiler that keeps more in registers makes it.

    `dataflow` replaces the kernel's mapping. InputError: the kernel has no model; DoesNotFit: its tiles exceed shared
    memory or registers, a block has too many threads.

    >>> from fusemap.validation.cuda_kernels import load_kernel
    >>> found = predict(load_kernel("3pass"))
    >>> found.proven, found.tensors["K"].loads, found.tensors["K"].passes, found.operations["mul+add"]
    (3, 196608, 3.0, 16982016)
    """
    model = kernel.prediction
    if model is None:
        raise input_error(f"kernel {kernel.name} has no cascade and mapping to predict its counts from")
    machine, cascade = gpu(), _cascade(model.cascade)
    mapped = dataflow or _dataflow(model.compiled if version == "compiled" and model.compiled else model.mapping)
    problem, mapping = plan(cascade, machine, _workload(tuple(kernel.sizes.items())), mapped, sizes=kernel.constants)
    entries = {launch.entry for launch in kernel.launches}
    moved, read, written = tensors(problem, mapping, machine.memories[0].name, entries)
    shows = {problem.shown(name): name for name in kernel.outputs}  # an output may be a view of what is stored
    moved, unwritten = _shown_alone(kernel, moved, shows)
    written -= unwritten
    copies = {e: m.copy_of for e, m in mapped.model.einsums.items() if m.copy_of}
    counted = operations(cascade, problem, copies)
    proven, stored = passes_of(kernel.cascade, *kernel.analysed)
    outputs = sum(math.prod(kernel.shapes[name]) for name in kernel.outputs)
    dram = machine.word_bytes * (read + written)
    return Prediction(
        kernel=kernel.name,
        version=version,
        algorithm=kernel.cascade,
        analysed=" over ".join(kernel.analysed),
        proven=proven,
        stored=stored,
        tensors=MappingProxyType({name: replace(moved[t], tensor=name) for t in moved for name in [shows.get(t, t)]}),
        operations=MappingProxyType(counted),
        operations_exact=counted_exactly(cascade, problem, copies),
        repeated=model.repeated,
        input_bytes=machine.word_bytes * (least_words(problem) - outputs),
        output_bytes=machine.word_bytes * outputs,
        dram_read_bytes=machine.word_bytes * read,
        dram_written_bytes=machine.word_bytes * written,
        seconds=max(counted["mul+add"] / peak_operations(machine), dram / bandwidth(machine)),
        notes=(*mapping.notes, *problem.notes),
    )


def _shown_alone(
    kernel: Kernel, moved: Mapping[str, TensorPrediction], shows: Mapping[str, str]
) -> tuple[dict[str, TensorPrediction], int]:
    """What threads move where an output shows the last of a running value, which alone is stored; words not stored."""
    found, less = dict(moved), 0
    for tensor, output in shows.items():
        elements = math.prod(kernel.shapes[output])
        if tensor != output and tensor in moved and elements < moved[tensor].stores and not moved[tensor].loads:
            found[tensor] = replace(moved[tensor], stores=elements)
            less += moved[tensor].stores - elements
    return found, less


@lru_cache(maxsize=1)
def gpu() -> Machine:
    """The GPU that the kernels are mapped to."""
    return load_arch(str(_file(MACHINE)))


def peak_operations(machine: Machine) -> float:
    """Multiplications and additions per second when every unit does a fused one in each cycle."""
    units = sum(part.count for part in machine.parts if part.component == "operation")
    return 2 * units * float(machine.clock_hz)


def bandwidth(machine: Machine) -> float:
    """Bytes per second to and from the outermost memory; InputError where the machine does not say."""
    memory = machine.memories[0]
    if memory.bandwidth_bytes_per_s is None:
        raise memory.where.error(f"{memory.name} of {machine.name} has no bandwidth")
    return float(memory.bandwidth_bytes_per_s)


@lru_cache(maxsize=64)
def passes_of(algorithm: str, tensor: str, rank: str) -> tuple[int, int]:
    """Passes of a tensor over a rank that every mapping of a library cascade makes, and those when all is stored."""
    row = analyze(load(algorithm), tensor=tensor, rank=rank).row(tensor, rank)
    assert not (row.passes.steps or row.direct.steps), algorithm  # no kernel here repeats passes
    return row.passes.constant, row.direct.constant


@lru_cache(maxsize=64)
def _cascade(file: str) -> Cascade:
    return load(_file(file))


@lru_cache(maxsize=64)
def _dataflow(file: str) -> Dataflow:
    return load_dataflow(str(_file(file)))


@lru_cache(maxsize=64)
def _workload(sizes: tuple[tuple[str, int], ...]) -> Workload:
    ranks = ", ".join(f"{name}: {size}" for name, size in sizes)
    return parse_workload(f"source: the kernel's arguments\nranks: {{{ranks}}}\n", file="kernel.yaml")


def _file(name: str) -> Path:
    return Path(__file__).parent / "kernels" / name
