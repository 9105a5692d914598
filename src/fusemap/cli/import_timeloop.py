"""`fusemap import timeloop`: a Timeloop v4 design as a cascade, a machine, a workload and a dataflow."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusemap.cli.files import write_whole
from fusemap.cli.output import emit_json, table
from fusemap.diagnostics import input_error

if TYPE_CHECKING:
    from fusemap.validation.timeloop.reading.imported import ImportedDesign
    from fusemap.validation.timeloop.reading.phrases import Value

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?!0[0-9])[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?")
_AFFECTS = {
    "inputs": "counts of inputs are upper bounds",
    "latency": "limits of time that are left out",
    "energy": "energies that are left out",
    "search": "what only a search uses",
    "nothing": "without effect on counts",
}


@click.command("timeloop", short_help="A Timeloop v4 design: cascade, machine, workload, dataflow.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--out", "folder", metavar="DIR", required=True, help="Write the files into this folder, called after it."
)
@click.option(
    "--define", "defines", metavar="NAME=VALUE", multiple=True, help="A variable of templates or `variables`."
)
@click.option("--ert", "energies", metavar="FILE", help="Accelergy's energy table of the design, for prices.")
@click.option("--art", "areas", metavar="FILE", help="Accelergy's area table.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    files: tuple[str, ...],
    folder: str,
    defines: tuple[str, ...],
    energies: str | None,
    areas: str | None,
    as_json: bool,
) -> None:
    """Write what a Timeloop v4 design is in fusemap's formats.

    FILEs are the problem, architecture, components, variables, mapping and constraints, or a template (.jinja2)
    that includes them. With a mapping `fusemap evaluate` counts it; without one `fusemap map` searches. What
    changes counts and fusemap cannot say is refused with its line, all else that is left out is a note.

    \b
    Example:
      fusemap import timeloop arch.yaml problem.yaml mapping.yaml --ert ERT.yaml --out design
      fusemap import timeloop top.yaml.jinja2 --define architecture=eyeriss_like --out eyeriss
    """
    from fusemap.validation.timeloop.reading.imported import import_timeloop

    target = Path(os.path.abspath(folder))
    if target.exists() and not target.is_dir():
        raise input_error(f"--out {folder} is a file: expected a folder")
    prices = [path for path in (energies, areas) if path is not None]
    found = import_timeloop(*files, defines=dict(map(_defined, defines)), prices=prices, name=target.name or "imported")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in found.files:
        write_whole(str(target / name), text.encode())
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo("\n\n".join(_summary(found, folder)))


def _defined(text: str) -> tuple[str, Value]:
    """NAME=VALUE, the value a number where it is written as one (`07` is a text)."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise input_error(f'--define takes NAME=VALUE, found "{text[:60]}"')
    if _INTEGER.fullmatch(value):
        return name, int(value)
    return name, float(value) if _DECIMAL.fullmatch(value) else value


def _summary(found: ImportedDesign, folder: str) -> Iterator[str]:
    """Files, levels, notes by what they affect, and the command that goes on."""
    yield "\n".join(f"written to {os.path.join(folder, name)}" for name, _ in found.files)
    yield table([[name, what] for name, what in found.levels], ["Timeloop", "fusemap"])
    for affects, heading in _AFFECTS.items():
        notes = [str(note) for note in found.notes if note.affects == affects]
        if notes:
            lines = [
                line
                for note in notes
                for line in textwrap.wrap(
                    note, 110, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
                )
            ]
            yield "\n".join([f"{heading}:", *lines])
    stem = os.path.join(folder, found.name)
    paths = {
        end: shlex.quote(f"{stem}{end}") for end in (".cascade", "-machine.yaml", "-workload.yaml", "-dataflow.yaml")
    }
    case = f"{paths['.cascade']} --arch {paths['-machine.yaml']} --workload {paths['-workload.yaml']}"
    if not found.mapped:
        yield f"next: fusemap map {case}"
        return
    no_energy = "" if found.priced else " --no-energy"
    yield f"next: fusemap evaluate {case} --dataflow {paths['-dataflow.yaml']}{no_energy}"
