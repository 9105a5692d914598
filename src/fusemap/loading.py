"""What the functions of the package are given, by name, path or as objects, loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fusemap.archspec.types import Machine, Workload
    from fusemap.einsum_cascade.types import Cascade
    from fusemap.mappers.dataflow import Dataflow
    from fusemap.sim.accounting import Accounting
    from fusemap.validation.reproduce import Bench

CascadeLike: TypeAlias = "str | PathLike[str] | Cascade"
ArchLike: TypeAlias = "str | PathLike[str] | Machine"
WorkloadLike: TypeAlias = "str | Workload"
DataflowLike: TypeAlias = "str | PathLike[str] | Dataflow"


def load_parts(
    cascade: CascadeLike, arch: ArchLike, workload: WorkloadLike, dataflow: DataflowLike | None
) -> tuple[Cascade, Machine, Workload, Dataflow | None]:
    """What is given by name or path, loaded."""
    from fusemap.archspec import load_arch
    from fusemap.mappers.dataflow import load_dataflow

    return (
        as_cascade(cascade),
        load_arch(arch) if isinstance(arch, str | PathLike) else arch,
        as_workload(workload),
        load_dataflow(str(dataflow)) if isinstance(dataflow, str | PathLike) else dataflow,
    )


def rules_of(accounting: str | Accounting, without: Sequence[str]) -> Callable[[str], Accounting]:
    """The accounting of a dataflow's name."""
    from fusemap.validation.accounting import accounting as accounting_of

    def rules(name: str) -> Accounting:
        return accounting_of(accounting, name, without=without) if isinstance(accounting, str) else accounting

    return rules


def load_bench(study: str) -> Bench:
    """The parts of a published study."""
    from fusemap.validation import reproduce
    from fusemap.validation.study import load_study

    return reproduce.load_bench(load_study(study))


def as_cascade(cascade: CascadeLike) -> Cascade:
    """A cascade that is given by name or path, or itself."""
    from pathlib import Path

    from fusemap.einsum_cascade import load

    if isinstance(cascade, str):
        return load(cascade)
    return load(Path(cascade)) if isinstance(cascade, PathLike) else cascade


def as_workload(workload: WorkloadLike) -> Workload:
    """A workload that is given by name, or itself."""
    from fusemap.archspec import load_workload

    return load_workload(workload) if isinstance(workload, str) else workload


def list_archs() -> tuple[str, ...]:
    """Names of the built-in machines."""
    from fusemap.archspec.registry import names

    return names("arch")


def list_workloads() -> tuple[str, ...]:
    """Names of the built-in workloads; a sequence length follows the name: `BERT@4K`."""
    from fusemap.archspec.registry import names

    return names("workload")
