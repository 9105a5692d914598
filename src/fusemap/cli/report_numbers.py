"""A page's numbers: what adds up to latency, energy, traffic and area, each with its count, price and source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fusemap.cli.explain_text import Sources, formula
from fusemap.cli.html_elements import Html, data, join, paragraph, section, table, tag, text
from fusemap.cli.quantities import area, binary, joules, number, part_of, percent, si
from fusemap.cli.report_findings import Findings
from fusemap.sim.explain import Part
from fusemap.sim.report import Row
from fusemap.sim.terms import Term

ROWS_SHOWN = 12
_MARK = re.compile(r" \[(\d+)\]")


def linked(words: str, sources: Sources) -> Html:
    """Words whose marks ` [1]` lead to the list of sources."""
    return Html(_MARK.sub(lambda m: _mark(m[0], int(m[1]), sources), text(words)))


def _mark(whole: str, index: int, sources: Sources) -> str:
    return f' <a href="#source-{index}">[{index}]</a>' if index <= len(sources.cited) else whole


def bar(part: float, whole: float) -> Html:
    """A share as a bar beside its number, which says the same."""
    width = f"width:{100 * part / whole if whole else 0:.2f}%"
    return tag("span", tag("span", style=width), class_="share", aria_hidden="true")


def time(found: Findings, sources: Sources) -> Html:
    """Phases, stages, and the cycles of each Einsum."""
    clock = found.explanation.derivation("latency").terms[0].parts[0].parts[0].parts[1]
    rule = "Latency is the sum over phases of max(compute, memory); a stage takes as long as its busiest array."
    words = f"{rule} The clock is {si(clock.value, 'Hz')}{sources.mark(clock.source)}."
    intro = tag("p", linked(words, sources))
    return section("Latency", intro, _phases(found), _stages(found), _einsums(found, sources))


def _phases(found: Findings) -> Html:
    report = found.report
    rows = []
    for phase in report.phases:
        times = [data(t, si(t, "s")) for t in (phase.latency_s, phase.compute_s, phase.memory_s)]
        share = text(part_of(phase.latency_s, report.latency_s))
        rows.append([text(phase.name), *times, share, bar(phase.latency_s, report.latency_s), text(phase.bottleneck)])
    headers = ["phase", "latency", "compute", "memory", "share", "", "limited by"]
    return table("Phases, one after another", headers, rows, "lrrrrll")


def _stages(found: Findings) -> Html:
    report = found.report
    rows = []
    for phase in report.phases:
        for stage in phase.stages:
            busy = dict(stage.busy_cycles)
            cells = [data(busy[a], number(busy[a])) if a in busy else text("-") for a in report.utilization]
            stall = data(stage.stall_cycles, number(stage.stall_cycles))
            named = [text(phase.name), text(stage.name), data(stage.cycles, number(stage.cycles))]
            rows.append([*named, *cells, stall, text("; ".join(stage.stalls) or "-")])
    arrays = list(report.utilization)
    headers = ["phase", "stage", "cycles", *arrays, "stall", "waits for"]
    return table("Stages: cycles that each array is busy", headers, rows, "llr" + "r" * len(arrays) + "rl")


def _einsums(found: Findings, sources: Sources) -> Html:
    times = {time.einsum: time for time in found.report.einsums}
    rows = []
    for part in found.explanation.derivation("latency").parts:
        if part.einsum:
            steps, per_point = part.term.parts
            use = found.report.einsum_utilization(times[part.einsum])
            cycles = [data(term.value, number(term.value)) for term in (part.term, steps, per_point)]
            operators = linked(formula(per_point, sources), sources)
            rows.append([text(part.einsum), text(part.component), *cycles, operators, data(use, percent(use))])
    headers = ["Einsum", "array", "cycles", "= steps", "x per point", "operators", "utilization"]
    return table("Einsums: cycles = steps x cycles per point", headers, rows, "llrrrlr")


def energy(found: Findings, sources: Sources) -> Html:
    """By component, by Einsum, and every row as count x unit energy."""
    report = found.report
    ranked = sorted(report.rows, key=lambda row: -row.energy_pj)
    headers = ["component", "Einsum", "action", "count", "x unit energy", "= energy", "share", "source"]
    first = _rows(ranked[:ROWS_SHOWN], report.energy_pj, sources)
    blocks = [
        paragraph(f"Energy is the sum of {len(ranked)} rows, each count x unit energy."),
        _energy_by("component", found),
        _energy_by("einsum", found),
        table(f"The {len(first)} largest rows", headers, first, "lllrrrrl"),
    ]
    if len(ranked) > ROWS_SHOWN:
        rest = _rows(ranked[ROWS_SHOWN:], report.energy_pj, sources)
        every = table(f"The other {len(rest)} rows", headers, rest, "lllrrrrl")
        blocks.append(tag("details", tag("summary", text(f"the other {len(rest)} rows")), every))
    return section("Energy", *blocks)


def _energy_by(key: str, found: Findings) -> Html:
    whole = found.report.energy_pj
    name = "Einsum" if key == "einsum" else key
    rows = [
        [text(label), data(pj, joules(pj)), text(part_of(pj, whole)), bar(pj, whole)]
        for (label,), pj in found.report.energy_by(key).items()
    ]
    return table(f"Energy by {name}", [name, "energy", "share", ""], rows, "lrrl")


def _rows(rows: Sequence[Row], whole: float, sources: Sources) -> list[list[Html]]:
    return [list(_row(row, whole, sources)) for row in rows]


def _row(row: Row, whole: float, sources: Sources) -> Iterator[Html]:
    yield text(row.component)
    yield text(row.einsum)
    yield text(f"{row.action} {row.tensor}".strip())
    yield data(row.count, number(row.count))
    yield data(row.unit_energy_pj, f"{number(row.unit_energy_pj)} pJ")
    yield data(row.energy_pj, joules(row.energy_pj))
    yield text(part_of(row.energy_pj, whole))
    yield linked(sources.mark(row.source), sources)


def traffic(found: Findings, sources: Sources) -> Html:
    """Bytes of each operand at the outermost memory."""
    derivation = found.explanation.derivation("traffic")
    whole = derivation.terms[0]
    rows = []
    for part in _largest_first(derivation.parts):
        words = linked(formula(part.term.parts[0], sources), sources)
        share = text(part_of(part.term.value, whole.value))
        value = data(part.term.value, binary(part.term.value))
        rows.append([text(part.term.name), value, share, bar(part.term.value, whole.value), words])
    headers = ["Einsum, operand", "bytes", "share", "", "words"]
    memory = found.explanation.evaluation.machine.memories[0].name
    made = table(f"Traffic between {memory} and the chip, by operand", headers, rows, "lrrll")
    return section("Traffic", tag("p", linked(f"{binary(whole.value)} = {formula(whole, sources)}", sources)), made)


def area_section(found: Findings, sources: Sources) -> Html:
    """Instances x area of one, for each kind of component."""
    derivation = found.explanation.derivation("area")
    whole = derivation.terms[0].value
    rows = []
    for part in _largest_first(derivation.parts):
        of_one = linked(formula(part.term, sources), sources)
        share = text(part_of(part.term.value, whole))
        value = data(part.term.value, area(part.term.value))
        rows.append([text(part.term.name), value, share, bar(part.term.value, whole), of_one])
    headers = ["component", "area", "share", "", "instances x area of one"]
    return section("Area", table("Area by component", headers, rows, "lrrll"))


def _largest_first(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.term.value)


def every_source(terms: Sequence[Term], sources: Sources) -> None:
    """Cite what is a source of any of the terms and was not cited yet."""
    for term in terms:
        for part in term.walk():
            sources.mark(part.source)


def source_list(sources: Sources) -> Html:
    """The sources under their numbers."""
    items = (tag("li", text(cited), id=f"source-{i}") for i, cited in enumerate(sources.cited, start=1))
    return tag("ol", join(items, "\n"), class_="sources")
