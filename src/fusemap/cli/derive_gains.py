"""`fusemap derive --arch A --workload W`: what hardware gains from fewer passes, as a table and a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.derive_page import heading
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.map_run import watched
from fusemap.cli.output import table
from fusemap.cli.quantities import binary, joules, percent, si
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.derive.search import Derivation
from fusemap.validation.derive_gains import SAME, SECONDS, Gain, Gains, Mapped, gains

WIDTH = 100
PICTURES = ("png", "svg", "pdf")
WIDTHS = {"column": 3.5, "page": 7.0}
Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--arch", metavar="ARCH", help="Map the candidates on this machine: a built-in name or a YAML file."),
    click.option("--workload", metavar="NAME@LENGTH", help="At these sizes: BERT@4K, or a YAML file."),
    click.option(
        "--size", "sizes", multiple=True, metavar="NAME=N", help="Set a rank (B=1) or a part of one (M0=256)."
    ),
    click.option("--compare", multiple=True, metavar="NAME", help="Map these; else the best of each form and passes."),
    click.option("--all-chunks", is_flag=True, help="Search the size of chunks for each candidate; takes minutes."),
    click.option(
        "--seconds", type=click.FloatRange(min=0), default=SECONDS, show_default=True, help="For each search (CPU)."
    ),
    click.option("--figure", metavar="FILE", help="Draw the comparison (.png, .svg, .pdf)."),
    click.option("--width", type=click.Choice(tuple(WIDTHS)), default="page", show_default=True, help="Of the figure."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The options as they were given."""

    arch: str | None
    workload: str | None
    sizes: tuple[str, ...]
    compare: tuple[str, ...]
    all_chunks: bool
    seconds: float
    figure: str | None
    width: str

    @property
    def asked(self) -> bool:
        """Is anything asked that needs a machine?"""
        return any((self.arch, self.workload, self.sizes, self.compare, self.all_chunks, self.figure))


def gains_options(command: Command) -> Command:
    """Give a command the options of `Hardware`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def hardware_of(given: dict[str, Any]) -> Hardware:
    """The options among a command's arguments; InputError for some that make no sense alone."""
    found = Hardware(**{field.name: given.pop(field.name) for field in fields(Hardware)})
    if found.asked and not (found.arch and found.workload):
        raise input_error("a comparison on hardware needs --arch and --workload", hint="such as fusemax-cloud, BERT@4K")
    if found.figure:
        suffix_of(found.figure, PICTURES)  # before a long search, not after it
    return found


def searched(found: Derivation, hardware: Hardware) -> Gains:
    """The mappings of the original and of candidates; a terminal shows how far it is."""
    assert hardware.arch is not None and hardware.workload is not None
    with watched("latency") as watcher:
        return gains(
            found,
            load_arch(hardware.arch),
            load_workload(hardware.workload),
            sizes=parse_sizes(hardware.sizes),
            compare=hardware.compare,
            all_chunks=hardware.all_chunks,
            seconds=hardware.seconds,
            stop=watcher.stop,
            watch=watcher.watch,
        )


def draw(of: Gains, hardware: Hardware) -> None:
    """The picture, if one is asked for."""
    if hardware.figure:
        from fusemap.validation.derive_figure import render_gains  # matplotlib loads only when a picture is asked for

        content = render_gains(of, suffix_of(hardware.figure, PICTURES), width=WIDTHS[hardware.width])
        write_whole(hardware.figure, content)


def gains_page(found: Derivation, of: Gains) -> str:
    """The table, and what it says of passes."""
    head = f"{heading(found)}\nbest mappings on {of.arch}, {of.workload}"
    rows = [cells(row, of.rows) for row in of.rows]
    headers = ["cascade", "passes", "latency", "", "energy", "traffic", "on chip", "operations", "limit", "proven"]
    refused = [f"{short(row, of.rows)} does not fit: {row.refusal}" for row in of.rows if row.mapped is None]
    text = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in (*refused, *_chunks(of), *_verdict(of))]
    return "\n\n".join([head, table(rows, headers, "lrrrrrrrll", width=WIDTH), "\n".join(text)])


def short(row: Gain, rows: Sequence[Gain]) -> str:
    """The name without that of the original."""
    original = next(r.name for r in rows if r.form == "as written")
    return "as written" if row.name == original else row.name.removeprefix(f"{original}-")


def cells(row: Gain, rows: Sequence[Gain]) -> list[str]:
    """A row of the table as text, latencies relative to the first of the rows."""
    name, found = short(row, rows), row.mapped
    if found is None:
        return [name, str(row.passes), *["-"] * 8]
    return [
        name,
        str(row.passes),
        si(found.latency_s, "s"),
        f"{found.latency_s / next(r.mapped.latency_s for r in rows if r.mapped):.3g}x",
        "-" if found.energy_pj is None else joules(found.energy_pj),
        binary(found.traffic_bytes),
        binary(found.buffer_bytes),
        si(found.operations, "").strip(),
        found.limited_by,
        "yes" if found.proven else f"{percent(1 - 1 / (1 + found.gap))} off" if found.gap < float("inf") else "no",
    ]


def _chunks(of: Gains) -> Iterator[str]:
    """The sizes of chunks: one where all have the same, and whose search chose it."""
    sizes = [(short(row, of.rows), row.mapped.chunks[-1]) for row in of.rows if row.mapped and row.mapped.chunks]
    if sizes:
        same = {f"{part} = {size:,}" for _, (part, size) in sizes}
        each = ", ".join(f"{part} = {size:,} in {name}" for name, (part, size) in sizes)
        chooser = next((short(row, of.rows) for row in of.rows if row.name == of.chunks_of), "")
        taken = f", searched for {chooser}; the others are proven for it" if chooser and len(sizes) > 1 else ""
        yield f"chunks: {next(iter(same)) if len(same) == 1 else each}{taken}"


def _verdict(of: Gains) -> Iterator[str]:
    """Whether fewer passes pay: in time, then in energy and traffic."""
    fastest, fewest = of.fastest, of.fewest()
    if fastest is None or fewest is None or fastest.mapped is None or fewest.mapped is None:
        return
    name, other = short(fastest, of.rows), short(fewest, of.rows)
    if fastest.passes == fewest.passes:
        rest = [row for row in of.rows if row.mapped and row.passes > fewest.passes]
        if rest:
            best = min(rest, key=lambda row: row.mapped.latency_s if row.mapped else 0.0)
            yield f"fewer passes pay: {name} against {short(best, of.rows)}, {_against(fastest.mapped, best.mapped)}"
        return
    slower = fewest.mapped.latency_s / fastest.mapped.latency_s - 1
    much = "as fast as" if slower <= SAME else f"{percent(slower)} faster than"
    yield (
        f"fewer passes do not pay in time: {name} with {fastest.passes} is {much} {other} with {fewest.passes}; "
        f"{other} against it, {_against(fewest.mapped, fastest.mapped)}"
    )


def _against(one: Mapped, other: Mapped | None) -> str:
    assert other is not None
    parts = [("latency", one.latency_s, other.latency_s), ("traffic", one.traffic_bytes, other.traffic_bytes)]
    if one.energy_pj is not None and other.energy_pj is not None:
        parts.insert(1, ("energy", one.energy_pj, other.energy_pj))
    return ", ".join(f"{what} {a / b:.4g}x" for what, a, b in parts)
