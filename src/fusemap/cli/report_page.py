"""One evaluation as one HTML file: no script, nothing to load, legible on a phone and in the dark."""

from __future__ import annotations

from importlib import resources

from fusemap.cli.explain_text import Sources
from fusemap.cli.html_elements import Html, join, slug, tag, text
from fusemap.cli.report_figures import cascade, in_time
from fusemap.cli.report_findings import Findings
from fusemap.cli.report_numbers import area_section, energy, time, traffic
from fusemap.cli.report_provenance import footer, provenance
from fusemap.cli.report_summary import comparison, summary

# Nothing may be loaded or run, whatever a name in a file says: styles and pictures are in the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SECTIONS = (
    *("Summary", "Latency", "Energy", "Traffic", "Area"),
    *("Cascade and passes", "In time", "Other dataflows", "Provenance"),
)


def html_page(found: Findings, target: str) -> str:
    """The page about an evaluation; `target` is the file that it goes to. Equal input, equal text."""
    sources = Sources()
    sections = [
        summary(found),
        time(found, sources),
        energy(found, sources),
        traffic(found, sources),
        area_section(found, sources),
        cascade(found),
        in_time(found),
        comparison(found),
        provenance(found, target, sources),
    ]
    main = tag("main", join(sections, "\n\n"))
    body = tag("body", _header(found), main, footer())
    return f"<!DOCTYPE html>\n{tag('html', _head(found), body, lang='en')}\n"


def title(found: Findings) -> str:
    """What was evaluated."""
    return f"{found.report.cascade} on {found.report.arch}, {found.report.workload}"


def _head(found: Findings) -> Html:
    style = Html((resources.files("fusemap.cli") / "report.css").read_text(encoding="utf-8"))
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", text(f"{title(found)} - fusemap")),
        tag("style", style),
    )


def _header(found: Findings) -> Html:
    report = found.report
    chosen = f" (chosen: {report.dataflow_choice})" if report.dataflow_choice else ""
    how = f"Dataflow {report.dataflow}{chosen}; {report.accounting} accounting."
    links = (tag("li", tag("a", text(name), href=f"#{slug(name)}")) for name in SECTIONS)
    contents = tag("nav", tag("ul", join(links)), aria_label="Sections")
    return tag("header", tag("h1", text(title(found))), tag("p", text(how), class_="quiet"), contents)
