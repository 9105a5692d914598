"""`fusemap validate components`: the shipped component table beside hwcomponents and its CACTI."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import table
from fusemap.cli.validate_outcome import conclude
from fusemap.diagnostics import input_error

if TYPE_CHECKING:
    from fusemap.validation.hwcomponents.compare import Compared, Comparison


WIDTH = 100


@click.command("components", short_help="The shipped component table beside hwcomponents and its CACTI.")
@click.option("--python", metavar="PYTHON", help="Ask the hwcomponents of this Python >= 3.12, not the recording.")
@click.option("--record", metavar="FILE", help="Write what it answers to this .json file.")
@click.option("--recording", metavar="FILE", help="Use this recording, not the package's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(python: str | None, record: str | None, recording: str | None, as_json: bool) -> int:
    """Hold each energy and area of the 45 nm table against hwcomponents, by default as recorded.

    What both make of the same parts has to be the same. For the rest the nearest model is shown with the reasons for
    the difference, or that there is none. The exit code is 1 where the same is not the same, or where a live run does
    not repeat the recording. --record alone takes the Python that FUSEMAP_HWCOMPONENTS_PYTHON names.

    \b
    Example:
      fusemap validate components
    """
    from fusemap.validation.hwcomponents.compare import compare, questions
    from fusemap.validation.hwcomponents.peer import HOW_TO_GET, ask, named_python, read_recording, recording_text

    if record is not None:
        suffix_of(record, ("json",))
    if recording is not None and (python or record):
        raise input_error("--recording is an earlier run, and --python and --record make a new one")
    found = named_python(python) if python or record else None
    if record is not None and found is None:
        raise input_error("--record needs a Python with hwcomponents", hint=HOW_TO_GET)
    peer = ask(found, questions()) if found is not None else read_recording(recording) if recording else None
    if record is not None and peer is not None:
        write_whole(record, recording_text(peer).encode())
    compared = compare(peer)
    return conclude({"components": compared}, components_page(compared), as_json=as_json, written=record)


def components_page(found: Comparison) -> list[str]:
    """A table for each model with the reasons for its differences, and what it comes to."""
    groups: dict[tuple[str, ...], list[Compared]] = {}
    for row in found.rows:
        groups.setdefault((row.kind, row.component, row.model, row.nodes, row.why), []).append(row)
    head = f"{found.table} (energy in pJ, area in um^2) beside {found.peer}"
    return [textwrap.fill(head, WIDTH), *(_block(rows) for rows in groups.values()), _verdict(found)]


def _block(rows: Sequence[Compared]) -> str:
    """One model of hwcomponents beside a component of ours, at all sizes."""
    first = rows[0]
    which = {"same": "the same parts", "nearest": "the nearest model", "none": "no model"}[first.kind]
    nodes = f" ({first.nodes})" if first.nodes else ""
    title = f"{first.component}: {which}{f', {first.model}' if first.model else ''}{nodes}"
    cells = [
        [row.size or "-", row.quantity, _number(row.ours), _number(row.peer), f"{row.ratio:.4g}" if row.ratio else "-"]
        for row in rows
    ]
    shown = table(cells, ["size", "", "ours", "hwcomponents", "ours/theirs"], "llrrr")
    return "\n".join(
        [textwrap.fill(title, WIDTH), textwrap.fill(first.why, WIDTH), *textwrap.indent(shown, "  ").split("\n")]
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


def _verdict(found: Comparison) -> str:
    """How many of the same numbers are the same, and how far the nearest models are."""
    same = [row for row in found.rows if row.kind == "same"]
    wrong = [row for row in same if not row.agrees]
    lines = [f"of the same parts: {len(same) - len(wrong)} of {len(same)} numbers are the same"]
    lines += [f"  differs: {row.component} {row.size} {row.quantity}: {row.ours} and {row.peer}" for row in wrong]
    near: dict[str, list[float]] = {}
    for row in found.rows:
        if row.kind == "nearest" and row.ratio is not None and row.unit == "pJ":
            near.setdefault(row.component, []).append(1 / row.ratio)
    spans = [f"{name} {min(factors):.3g} to {max(factors):.3g}" for name, factors in near.items()]
    lines.append(f"energy of the nearest models / ours: {'; '.join(spans)}")
    none = dict.fromkeys(row.component for row in found.rows if row.kind == "none")
    lines.append(f"no model of: {', '.join(none)}")
    lines += [f"  this run does not repeat the recording: {question}" for question in found.moved]
    return "\n".join(lines)
