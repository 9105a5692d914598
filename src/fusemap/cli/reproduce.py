"""`fusemap reproduce`: recompute a published study, say why its configurations differ, compare, draw."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from fusemap.cli.output import emit_json, table
from fusemap.validation.figures import AnyFigure, choose_figures, study_figure, to_csv
from fusemap.validation.figures_picture import PictureData, picture_data
from fusemap.validation.reasons import listed
from fusemap.validation.reproduce import Failure, load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.study import load_study
from fusemap.validation.tables import (
    Table,
    agreement_sentences,
    claims_table,
    configurations_table,
    figure_table,
    lengths_table,
    step_sentences,
)

WIDTH = 100


@click.command("reproduce", short_help="Recompute a published study and compare.")
@click.argument("study", metavar="STUDY")
@click.option("--figure", default="all", show_default=True, help="Only this figure, e.g. 8; all draws every one.")
@click.option(
    "--accounting",
    type=click.Choice(["published", "principled"]),
    default="published",
    show_default=True,
    help="Charge as the study did, its slips included, or correctly.",
)
@click.option("--out", metavar="DIR", help="Where the figures go (PNG, PDF, CSV).  [default: out/STUDY]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; draws only with --out.")
def command(study: str, figure: str, accounting: str, out: str | None, as_json: bool) -> None:
    """Recompute STUDY (fusemax): every configuration on every workload, with the reasons, against the published values.

    The exit code is 1 when a published value is not met or a row cannot be evaluated.

    \b
    Example:
      fusemap reproduce fusemax
      fusemap reproduce fusemax --figure 8 --out figures
    """
    loaded = load_study(study)
    chosen = choose_figures(loaded, figure)
    bench = load_bench(loaded)
    found = reproduce(bench, accounting)
    figures = [study_figure(found, name) for name in chosen]
    if as_json:
        emit_json(found.to_json() | ({} if figure == "all" else {"figures": [f.to_json() for f in figures]}))
    else:
        click.echo(report(found, figures if figure != "all" else ()))
    for line in failure_lines(found.failures):
        click.echo(line, err=True)
    if out is not None or not as_json:
        picture = picture_data(bench, found) if figure == "all" else None
        write(found, figures, picture, Path(out or f"out/{study}"), quiet=as_json)
    if not found.agrees:
        click.get_current_context().exit(1)


def report(found: Reproduction, figures: Sequence[AnyFigure] = ()) -> str:
    """The study for people: claims, configurations, reasons, agreement; or the claims and the figures' numbers."""
    model = found.study.model
    labels = {c: m.label for c, m in model.configurations.items()}
    blocks = [wrapped(_heading(found)), as_table(claims_table(found)), wrapped(_footnote(found))]
    if figures:
        blocks += [f"Figure {f.name}: {f.shows}\n\n{as_table(figure_table(f, labels))}" for f in figures]
    else:
        blocks += [f"{_means(found)}\n\n{as_table(configurations_table(found))}"]
        blocks += [as_table(lengths_table(found, q, model.models[0])) for q in ("latency_s", "energy_pj")]
        blocks += ["Why", *(wrapped([step_sentences(s, labels)]) for s in found.steps)]
    blocks += ["Agreement\n" + wrapped(agreement_sentences(found))]
    return "\n\n".join(blocks)


def _heading(found: Reproduction) -> Iterable[str]:
    model = found.study.model
    yield model.description
    yield f"source: {model.source}"
    other = {
        "published": "as the study charged, slips included; --accounting principled corrects them",
        "principled": "every known slip corrected; --accounting published charges as the study did",
    }
    yield f"accounting: {found.accounting} ({other[found.accounting]}; fusemap audit sizes each slip)"


def _footnote(found: Reproduction) -> Iterable[str]:
    name = found.study.model.sensitivity
    if name is not None:
        what_if = found.study.model.what_if[name]
        yield f"{name}: {what_if.title}. {what_if.what}"


def _means(found: Reproduction) -> str:
    if not found.steps:
        return "No configuration could be evaluated."
    first = found.steps[0].configuration
    label = found.study.model.configurations[first].label
    count = sum(r.configuration == first for r in found.rows)
    return f"Means over {count} workloads; speed-up and energy are against {label}."


def failure_lines(failures: Iterable[Failure], most: int = 3) -> Iterable[str]:
    """Each reason once, with the rows that it stopped."""
    places: dict[str, list[str]] = {}
    for failure in failures:
        places.setdefault(failure.message, []).append(f"{failure.configuration} on {failure.model}@{failure.length}")
    for message, rows in places.items():
        more = f" and {len(rows) - most} more" if len(rows) > most else ""
        yield f"not evaluated: {', '.join(rows[:most])}{more}\n  {message}"


def as_table(found: Table) -> str:
    """A table as text; a number stays with its percent sign where a cell wraps."""
    rows = [[cell.replace(" %", "\0%") for cell in row] for row in found.rows]
    return table(rows, found.headers, found.align, WIDTH).replace("\0%", " %")


def wrapped(paragraphs: Iterable[str]) -> str:
    """Each paragraph filled to the width; a number stays with its percent sign."""
    bound = (p.replace(" %", "\0%") for p in paragraphs)
    lines = (textwrap.fill(p, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for p in bound)
    return "\n".join(lines).replace("\0%", " %")


def write(
    found: Reproduction, figures: Sequence[AnyFigure], picture: PictureData | None, directory: Path, *, quiet: bool
) -> None:
    """Draw the figures into a directory, each as PNG and PDF with its numbers as CSV, and the study's picture."""
    from fusemap.validation.figures_draw import draw, save  # matplotlib loads only to draw
    from fusemap.validation.figures_picture_draw import draw_picture

    directory.mkdir(parents=True, exist_ok=True)
    labels = {c: m.label for c, m in found.study.model.configurations.items()}
    names = []
    for data in figures:
        if data.points:
            names.append(f"figure-{data.name}")
            (directory / f"{names[-1]}.csv").write_text(to_csv(data), encoding="utf-8")
            save(draw(data, labels), directory, names[-1])
    if picture is not None:
        names.append(picture.name)
        save(draw_picture(picture), directory, picture.name, note=picture.fingerprint)
    if names and not quiet:
        click.echo(f"\n{wrapped([f'drawn in {directory}, each as PNG and PDF: {listed(names)}'])}")
