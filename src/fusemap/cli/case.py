"""What `evaluate` and `explain` are asked about: the options they share, resolved into an evaluation."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from fusemap import einsum_cascade
from fusemap.archspec.archs import load_arch
from fusemap.archspec.registry import names
from fusemap.archspec.workloads import load_workload
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import Diagnostic, InputError
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.choose import Evaluation, evaluate_case, time_case
from fusemap.sim.report import Timing
from fusemap.validation.accounting import NAMES, accounting

Command = TypeVar("Command", bound=Callable[..., Any])
Answer = TypeVar("Answer", Evaluation, Timing)

_OPTIONS = (
    click.argument("cascade", metavar="CASCADE"),
    click.option("--arch", metavar="ARCH", help="Machine: a built-in name or a YAML file.  [required]"),
    click.option("--workload", metavar="NAME@LENGTH", help="Sizes: BERT@4K, or a YAML file.  [required]"),
    click.option(
        "--dataflow", metavar="NAME", help="Mapping: a built-in name or a YAML file; by default the fastest that fits."
    ),
    click.option(
        "--accounting", type=click.Choice(NAMES), default=NAMES[0], show_default=True, help="Rules of charging."
    ),
    click.option(
        "--without", multiple=True, metavar="SLIP", help="Switch off a slip that fusemap audit lists; repeatable."
    ),
    click.option(
        "--size", "sizes", multiple=True, metavar="NAME=N", help="Set a rank or tile (B=1, M0=256); repeatable."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The arguments as they were given."""

    cascade: str
    arch: str | None
    workload: str | None
    dataflow: str | None
    accounting: str
    without: Sequence[str]
    sizes: Sequence[str]

    @property
    def arguments(self) -> str:
        """The same arguments as text, for a command that asks on."""
        parts = [self.cascade, "--arch", self.arch or "", "--workload", self.workload or ""]
        parts += ["--dataflow", self.dataflow] if self.dataflow else []
        parts += ["--accounting", self.accounting] if self.accounting != NAMES[0] else []
        parts += [word for slip in self.without for word in ("--without", slip)]
        return shlex.join([*parts, *(word for size in self.sizes for word in ("--size", size))])


def case_options(command: Command) -> Command:
    """Give a command the argument and options of a `Case`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def case_from(given: dict[str, Any]) -> Case:
    """The case in a command's arguments, which are taken out of `given`."""
    return Case(**{field.name: given.pop(field.name) for field in fields(Case)})


def evaluated(case: Case) -> Evaluation:
    """The evaluation of a case; InputError and DoesNotFit as `evaluate_case`."""
    return _ask(case, evaluate_case)


def timed(case: Case) -> Timing:
    """Latency, traffic and utilization of a case alone; errors as `evaluated`, but no price need be known."""
    return _ask(case, time_case)


def _ask(case: Case, question: Callable[..., Answer]) -> Answer:
    sizes = parse_sizes(case.sizes)
    cascade = einsum_cascade.load(case.cascade)
    arch, workload = required(case)
    return question(
        cascade,
        load_arch(arch),
        load_workload(workload),
        load_dataflow(case.dataflow) if case.dataflow else None,
        accounting=lambda dataflow: accounting(case.accounting, dataflow, without=case.without),
        sizes=sizes,
    )


def required(case: Case) -> tuple[str, str]:
    """Arch and workload; InputError that lists what there is when they are missing."""
    wrong = []
    if not case.arch:
        hint = f"built-in: {', '.join(names('arch'))}; or a YAML file"
        wrong.append(Diagnostic(message="--arch is missing: on which machine?", hint=hint))
    if not case.workload:
        hint = f"built-in: {', '.join(names('workload'))}, with a length, such as {names('workload')[0]}@4K"
        wrong.append(Diagnostic(message="--workload is missing: at which sizes?", hint=hint))
    if wrong:
        raise InputError(tuple(wrong))
    return case.arch or "", case.workload or ""
