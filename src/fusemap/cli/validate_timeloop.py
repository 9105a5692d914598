"""`fusemap validate timeloop`: our counts, cycles and energies against Timeloop's."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from fusemap.cli.files import write_whole
from fusemap.cli.output import table
from fusemap.cli.sizes import parse_sizes
from fusemap.cli.validate_outcome import conclude
from fusemap.diagnostics import input_error
from fusemap.validation.timeloop.cases import Case, planned_cases
from fusemap.validation.timeloop.check import ComparedCase, TimeloopCheck, check_timeloop, chosen_cases
from fusemap.validation.timeloop.peer import EXECUTABLE, HOW_TO_GET, PYTHON, Answers, named_tool
from fusemap.validation.timeloop.quantities import CAUSES
from fusemap.validation.timeloop.recording import recording_text

WIDTH = 100


@click.command("timeloop", short_help="Counts, cycles and energies against Timeloop's.")
@click.option("--executable", metavar="PATH", help=f"timeloop-model.  [default: ${EXECUTABLE}]")
@click.option("--python", metavar="PATH", help=f"An interpreter that has the v4 front end.  [default: ${PYTHON}]")
@click.option(
    "--case", "names", metavar="NAME", multiple=True, help="Only this case, or those with this in their name."
)
@click.option(
    "--cascade", metavar="CASCADE", help="Compare the Einsums of this cascade instead of the package's cases."
)
@click.option("--arch", metavar="ARCH", help="With --cascade: the machine, a built-in name or a file.")
@click.option("--workload", metavar="WORKLOAD", help="With --cascade: sizes of the ranks, e.g. BERT@1K, or a file.")
@click.option("--dataflow", metavar="NAME", help="With --cascade: the mapping; by default the fastest.")
@click.option(
    "--size", "sizes", metavar="NAME=N", multiple=True, help="With --cascade: set a rank or tile; repeatable."
)
@click.option("--record", metavar="FILE", help="Write the results of this run to a file.")
@click.option("--commit", metavar="SHA", default="", help="What --record writes as Timeloop's version.")
@click.option("--recording", metavar="FILE", default="", help="Read results from this file, run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    executable: str | None,
    python: str | None,
    names: tuple[str, ...],
    record: str | None,
    commit: str,
    recording: str,
    as_json: bool,
    **asked: Any,
) -> int:
    """Hold single Einsums on given nests against Timeloop: reads, fills, updates, energy by tensor and level, cycles.

    Timeloop runs where --executable or --python (or their variables) names it, with the python's v4 front end
    where one is named; else its recorded results are read. Every difference has a cause whose formula gives
    Timeloop's number exactly; one without makes the exit code 1.

    \b
    Example:
      fusemap validate timeloop
      fusemap validate timeloop --case matmul
      fusemap validate timeloop --cascade attention-3pass --arch chip.yaml --workload T5@1K --python tl/bin/python
    """
    if recording and (executable or python or record):
        raise input_error("--recording reads results; --executable, --python and --record make them")
    tool = None if recording else named_tool(executable, python)
    if record is not None and tool is None:
        raise input_error("--record needs Timeloop", hint=HOW_TO_GET)
    own = _own_cases(**asked)
    if own is not None and tool is None and not recording:
        raise input_error("nothing is recorded of cascades of your own: name Timeloop", hint=HOW_TO_GET)
    chosen = chosen_cases(names, own)
    found, answers = check_timeloop(tool, recording=recording, chosen=chosen)
    if record is not None:
        versions = {"timeloop": commit or "not given", **answers.versions}
        kept = Answers(versions=versions, stats=answers.stats, errors=answers.errors)
        write_whole(record, recording_text(chosen, kept).encode())
    return conclude({"timeloop": found}, timeloop_page(found), as_json=as_json, written=record)


def _own_cases(
    cascade: str | None, arch: str | None, workload: str | None, dataflow: str | None, sizes: tuple[str, ...]
) -> tuple[Case, ...] | None:
    """The Einsums that the options name, None without options; InputError where one is missing."""
    if not (cascade or arch or workload or dataflow or sizes):
        return None
    if not cascade or not arch or not workload:
        raise input_error("--cascade, --arch and --workload go together", hint="--dataflow and --size go with them")
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.workloads import load_workload
    from fusemap.einsum_cascade.catalog import load
    from fusemap.mappers.dataflow import load_dataflow

    parts = load(cascade), load_arch(arch), load_workload(workload)
    return planned_cases(*parts, load_dataflow(dataflow) if dataflow else None, sizes=parse_sizes(sizes))


def timeloop_page(found: TimeloopCheck) -> list[str]:
    """A row per case, the causes with what they change, the verdict."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    origin = f"recorded, {found.recording}" if found.recording else "run now"
    head = f"Timeloop ({origin}: {versions}): {len(found.cases)} single Einsums"
    return [textwrap.fill(head, WIDTH), _rows(found), _causes(found), _verdict(found)]


def _rows(found: TimeloopCheck) -> str:
    headers = ["case", "numbers", "equal", "caused", "open", "causes"]
    return table([_row(case) for case in found.cases], headers, "lrrrrl", width=WIDTH)


def _row(case: ComparedCase) -> list[str]:
    equal = sum(q.equal for q in case.quantities)
    wrong = sum(not q.explained for q in case.quantities)
    causes = ", ".join(f"{cause} {n}" for cause, n in case.causes.items())
    counts = [len(case.quantities), equal, len(case.quantities) - equal - wrong, wrong]
    return [case.name, *(str(n) for n in counts), case.error or causes or "-"]


def _causes(found: TimeloopCheck) -> str:
    lines = []
    for cause, text in CAUSES.items():
        changed = sum(case.causes.get(cause, 0) for case in found.cases)
        if changed:
            head = f"{cause} ({changed} quantities): {text}"
            lines.append(textwrap.fill(head, WIDTH, subsequent_indent="  "))
    return "\n".join(lines) or "no cause was needed"


def _verdict(found: TimeloopCheck) -> str:
    quantities = [q for case in found.cases for q in case.quantities]
    equal = sum(q.equal for q in quantities)
    if found.agrees:
        return f"{len(quantities)} quantities: {equal} equal, {len(quantities) - equal} equal with their causes"
    wrong = [f"  {case.name}: {case.error}" for case in found.cases if case.error]
    wrong += [
        f"  {case.name}: {q} is {q.timeloop:,.15g}, not {q.predicted:,.15g}"
        for case in found.cases
        for q in case.quantities
        if not q.explained
    ]
    return "\n".join([f"{len(wrong)} differences without a cause", *wrong])
