"""A page's figures: the cascade with its passes, and four iterations in time."""

from __future__ import annotations

import re

from fusemap.cli.html_elements import Html, data, join, paragraph, scrolled, section, slug, table, tag, text
from fusemap.cli.quantities import binary, part_of
from fusemap.cli.report_findings import Drawing, Findings
from fusemap.einsum_cascade.analysis_reasons import reasons
from fusemap.einsum_cascade.analysis_rows import rows_in_order
from fusemap.einsum_cascade.analysis_text import counted
from fusemap.einsum_cascade.notebook import source
from fusemap.einsum_cascade.printer import format_einsum
from fusemap.sim.simulation import PhaseSimulation, Simulation

_OUTSIDE = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|\sxmlns(:\w+)?=\"[^\"]*\"", re.S)
_ANCHOR = re.compile(r'(\bid="|href="#|url\(#)')
_SIZE = re.compile(r' width="([\d.]+)pt" height="[\d.]+pt"')
NARROWEST, READABLE = 320, 0.9  # CSS pixels, and the least share of its size to which a figure may shrink


def cascade(found: Findings) -> Html:
    """The text of the cascade, its passes and the reason of each, and the drawing."""
    blocks = [scrolled(tag("pre", text(source(found.cascade).strip())), "Text of the cascade")]
    blocks.append(paragraph(f"{found.graph.title}. By rank: {_by_rank(found)}. This is proven for every mapping."))
    rows = rows_in_order(found.cascade, found.passes.passes)
    if rows:
        row = rows[0]
        numbers, why = dict(row.assignment), reasons(found.cascade, row)
        cells = [
            [text(numbers.get(e.name, "-")), tag("code", text(format_einsum(e))), text(why[e.name])]
            for e in dict.fromkeys(found.cascade.einsums)
        ]
        blocks.append(table(f"Passes over {row.rank} of {row.tensor}", ["pass", "Einsum", "why"], cells, "lll"))
    caption = "Einsums by pass; an arrow is a read."
    if found.graph.barriers:
        caption += " A barrier is where a pass ends: what follows waits until a whole fiber was visited."
    blocks.append(figure(found.graph_drawing, found.graph.title, caption))
    return section("Cascade and passes", *blocks)


def _by_rank(found: Findings) -> str:
    """The most passes over any tensor, rank by rank."""
    return ", ".join(f"{rank} {counted(count)}" for rank, count in found.passes.label.items()) or "nothing is read"


def in_time(found: Findings) -> Html:
    """The way from the formula to simulated cycles, who worked and waited, and a stretch of the steady state."""
    if found.simulation is None:
        return section("In time", paragraph(f"Not simulated: {found.timeline.refusal}."))
    words = "The same mapping run tile by tile: what the formula leaves out, effect by effect."
    phases = [block for phase in found.simulation.phases for block in (_way(phase), _resources(phase))]
    title = f"Four steady iterations of {found.simulation.longest.name}"
    caption = "A row per resource, a colour per iteration; hatched is waiting. The tables above have the numbers."
    drawn = figure(found.timeline, title, caption)
    return section("In time", paragraph(words), *phases, *_notes(found.simulation), drawn)


def _way(phase: PhaseSimulation) -> Html:
    rows = [[text("formula"), data(phase.closed_form_cycles, f"{phase.closed_form_cycles:,.0f}"), text("")]]
    rows += [[text(a.words), data(a.cycles, f"{a.cycles:+,.0f}"), text(a.effect)] for a in phase.added]
    rows.append([text("simulated"), data(phase.cycles, f"{phase.cycles:,.0f}"), text("")])
    return table(f"Phase {phase.name}, from the formula to simulated cycles", ["", "cycles", "effect"], rows, "lrl")


def _resources(phase: PhaseSimulation, shown: int = 4) -> Html:
    rows = []
    for use in phase.resources:
        waits = "; ".join(f"{cause} {cycles:,.0f}" for cause, cycles in use.waits[:shown])
        busy = [data(use.busy_cycles, f"{use.busy_cycles:,.0f}"), text(part_of(use.busy_cycles, phase.cycles))]
        rows.append([text(use.name), *busy, data(use.waited_cycles, f"{use.waited_cycles:,.0f}"), text(waits or "-")])
    headers = ["resource", "busy cycles", "share", "waits", "for"]
    held = f"; {phase.buffer} holds at most {binary(phase.peak_buffer_bytes)}" if phase.peak_buffer_bytes else ""
    return table(f"Phase {phase.name}: who worked, and waited for what{held}", headers, rows, "lrrrl")


def _notes(simulation: Simulation) -> list[Html]:
    return [paragraph(f"Note: {note}", "quiet") for note in simulation.notes]


def figure(drawing: Drawing, title: str, caption: str) -> Html:
    """A drawing with its caption, or the reason why there is none."""
    if not drawing.svg:
        return paragraph(f"No drawing of {title}: {drawing.refusal}.", "quiet")
    body = scrolled(inline_svg(drawing.svg, title), title)
    return tag("figure", body, tag("figcaption", text(caption)))


def inline_svg(svg: bytes, title: str) -> Html:
    """A drawing as a part of the page: named for who cannot see it, its anchors its own, nothing that leads outside."""
    name = slug(title)
    found = svg.decode()
    found = _OUTSIDE.sub("", found[found.index("<svg") :])
    found = _ANCHOR.sub(lambda m: f"{m[1]}{name}-", found)
    size = _SIZE.search(found)
    width = float(size[1]) * 96 / 72 if size else NARROWEST
    style = f"min-width:{min(width, max(NARROWEST, READABLE * width)):.0f}px;max-width:{1.25 * width:.0f}px"
    named = f'<svg role="img" aria-labelledby="{name}-title" style="{style}"'
    head, rest = _SIZE.sub("", found, count=1).split(">", 1)
    heading = tag("title", text(title), id=f"{name}-title")
    return join([Html(head.replace("<svg", named, 1) + ">"), heading, Html(rest.strip())])
