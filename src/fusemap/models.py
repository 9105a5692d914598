"""The functions of the package about whole models: their configurations, their layers, their inference."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

from fusemap.loading import ArchLike, WorkloadLike, as_workload

if TYPE_CHECKING:
    from fusemap.archspec.types import Machine
    from fusemap.validation.inference import Inference
    from fusemap.validation.model_table import ModelTable


def inference(workload: WorkloadLike, *, arch: ArchLike, sizes: Mapping[str, int] | None = None) -> Inference:
    """Every layer of a workload's model in its fastest mapping on a machine: a prompt, or one decoding step.

    `sizes` replace ranks of the workload (`B`). InputError: the workload names no layers of a whole model, or a rank
    is not known. DoesNotFit: no cascade of a layer fits the machine.
    """
    from fusemap.validation.inference import inference as inferred

    return inferred(as_workload(workload), _machine(arch), sizes=sizes)


def model_table(
    workload: WorkloadLike,
    *,
    arch: ArchLike | None = None,
    sizes: Mapping[str, int] | None = None,
    word_bits: int | None = None,
) -> ModelTable:
    """A workload's model by kinds of layers: weights, caches, work; with a machine latency and energy.

    Bytes are of `word_bits` a word, by default those of the machine, 16 without one. Errors as `inference`.

    >>> found = model_table("Mixtral-8x7B-decode@4K", sizes={"B": 2})
    >>> found.total.parameters, found.experts.touched, [row.kind for row in found.rows][:2]
    (46702792704, 4, ['full attention', 'mixture of experts'])
    """
    from fusemap.validation.model_table import model_table as tabled

    machine = None if arch is None else _machine(arch)
    return tabled(as_workload(workload), machine, sizes=sizes, word_bits=word_bits)


def _machine(arch: ArchLike) -> Machine:
    from fusemap.archspec import load_arch

    return load_arch(arch) if isinstance(arch, str | PathLike) else arch
