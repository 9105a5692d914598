"""`fusemap workload show`: a model by kinds of layers."""

from __future__ import annotations

import sys
import textwrap

import click

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.evaluate_model import WIDTH, counted, experts_note
from fusemap.cli.output import emit_json, table
from fusemap.cli.quantities import binary, joules, number, part_of, si
from fusemap.cli.sizes import parse_sizes
from fusemap.validation.model_table import KindRow, LayerLine, ModelTable, model_table


@click.command("show", short_help="Weights, cache, work and cost by kinds of layers.")
@click.argument("workload", metavar="NAME@LENGTH")
@click.option("--arch", metavar="ARCH", help="Latency and energy on this machine too: a built-in name or a YAML file.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="Set a rank (B=8); repeatable.")
@click.option(
    "--bits", type=click.IntRange(1, 1024), metavar="N", help="Bits of a word.  [default: the machine's, else 16]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(workload: str, arch: str | None, sizes: tuple[str, ...], bits: int | None, as_json: bool) -> None:
    """Show the model of a workload (a built-in name or a YAML file, and a length) by kinds of layers.

    \b
    Example:
      fusemap workload show Mixtral-8x7B-decode@4K --size B=8
      fusemap workload show gpt-oss-20b@8K --arch fusemax-cloud
    """
    if arch and bits:
        raise click.UsageError("--bits does not go with --arch, whose words are the machine's")
    machine = load_arch(arch) if arch else None
    found = model_table(load_workload(workload), machine, sizes=parse_sizes(sizes), word_bits=bits, watch=_watched)
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(_text(found))


def _watched(layer: str) -> None:
    """The layer that is mapped now, for those who sit before a terminal."""
    if sys.stderr.isatty():
        click.echo(f"mapping {layer}", err=True)


def _text(found: ModelTable) -> str:
    notes = [
        f"{found.block[:1].upper()}{found.block[1:]}.",
        "MACs are multiply-accumulates of products of matrices; FLOP/B is two operations each over inputs, weights and "
        "outputs moved once.",
        *([f"Other weights: {', '.join(found.others)}."] if found.others else []),
        *experts_note(found.experts),
    ]
    if found.tokens > found.sequences and found.causal:
        notes.append("The causal mask is not exploited: attention's work is an upper bound, by up to two.")
    if any(line.layer == "sliding attention" for row in found.rows for line in row.layers):
        notes.append(
            "A sliding layer's query sees W positions; a run of RUN queries reads those that any of them sees."
        )
    paragraphs = "\n".join(textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes)
    return "\n\n".join(
        part for part in (_heading(found), _kinds(found), _costs(found), _layers(found), paragraphs) if part
    )


def _heading(found: ModelTable) -> str:
    total = found.total
    where = f" on {found.arch}" if found.arch else ""
    lines = [
        f"{found.workload}{where}: {found.phase}, {counted(found.sequences, 'sequence')}, "
        f"{counted(found.tokens, 'token')}; {found.word_bytes:g} B a word",
        f"{number(total.parameters)} weights ({binary(total.parameters * found.word_bytes)})",
    ]
    if total.active_parameters != total.parameters:
        lines[1] += f", {number(total.active_parameters)} of them for a token"
    if total.cache_bytes:
        lines.append(f"cache: {binary(total.cache_bytes_per_token)} a token, {binary(total.cache_bytes)} in all")
    return "\n".join(lines)


def _kinds(found: ModelTable) -> str:
    total = found.total
    rows = [_kind(row, total) for row in (*found.rows, total)]
    headers = ["kind", "layers", "weights", "share", "cache/token", "cache", "MACs", "share", "FLOP/B"]
    return table(rows, headers, "lrrrrrrrr", width=WIDTH)


def _kind(row: KindRow, total: KindRow) -> list[str]:
    worked = row.layers and total.macs
    return [
        row.kind,
        number(row.times) if row.layers and row is not total else "",
        si(row.parameters, "").strip(),
        part_of(row.parameters, total.parameters),
        binary(row.cache_bytes_per_token) if row.cache_bytes else "",
        binary(row.cache_bytes) if row.cache_bytes else "",
        si(row.macs, "").strip() if worked else "",
        part_of(row.macs, total.macs) if worked else "",
        _intensity(row.flops_per_byte) if worked else "",
    ]


def _costs(found: ModelTable) -> str:
    """Latency and energy of the kinds, where a machine was given."""
    total = found.total
    if total.latency_s is None:
        return ""
    rows = []
    for row in (*found.rows, total):
        if row.layers and row.latency_s is not None:
            energy = "-" if row.energy_pj is None else joules(row.energy_pj)
            share = "-" if row.energy_pj is None or not total.energy_pj else part_of(row.energy_pj, total.energy_pj)
            latency = [si(row.latency_s, "s"), part_of(row.latency_s, total.latency_s)]
            each = si(row.latency_s / row.times, "s") if row is not total else ""
            rows.append([row.kind, *latency, each, energy, share])
    return table(rows, ["kind", "latency", "share", "of one layer", "energy", "share"], "lrrrrr", width=WIDTH)


def _layers(found: ModelTable) -> str:
    rows: list[list[str]] = []
    for row in found.rows:
        rows += [[row.kind, "", "", "", ""]] if row.layers else []
        rows += [
            [f"  {line.layer}", f"{line.times / row.times:g}", line.cascade, str(line.einsums), _sizes(line)]
            for line in row.layers
        ]
    return table(rows, ["layers", "in one", "cascade", "Einsums", "sizes"], "lrlrl", width=WIDTH)


def _sizes(line: LayerLine) -> str:
    return " ".join(f"{rank}={size}" for rank, size in line.sizes.items())


def _intensity(flops_per_byte: float) -> str:
    return f"{flops_per_byte:,.0f}" if flops_per_byte >= 1000 else f"{flops_per_byte:.3g}"
