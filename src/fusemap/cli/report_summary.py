"""The top of a page, and the comparison at its end: the totals, the bottleneck with its reason, the other dataflows."""

from __future__ import annotations

from collections.abc import Sequence

from fusemap.cli.html_elements import Html, data, join, section, table, tag, text
from fusemap.cli.quantities import area, binary, joules, part_of, percent, si
from fusemap.cli.report_findings import Findings
from fusemap.cli.report_numbers import bar
from fusemap.sim.report import PhaseTime, Report


def summary(found: Findings) -> Html:
    """Latency, energy, area, traffic, utilization and the bottleneck as cards, and why it is the bottleneck."""
    report = found.report
    cycles = report.latency_s * report.clock_hz
    power = si(report.energy_pj * 1e-12 / report.latency_s, "W") if report.latency_s else "-"
    memory_s = sum(phase.memory_s for phase in report.phases)
    cards = [
        _card("latency", data(report.latency_s, si(report.latency_s, "s")), f"{cycles:,.0f} cycles"),
        _card("energy", data(report.energy_pj, joules(report.energy_pj)), f"{power} on average"),
        _card("area", data(report.area_um2, area(report.area_um2)), ""),
        _card(
            "traffic",
            data(report.traffic_bytes, binary(report.traffic_bytes)),
            f"takes the memory {part_of(memory_s, report.latency_s)} of the latency",
        ),
        *(_card(f"utilization of {name}", data(use, percent(use)), "") for name, use in report.utilization.items()),
        _card("limited by", text(report.bottleneck), ""),
    ]
    return section("Summary", tag("dl", *cards, class_="cards"), _reason(found), _reliefs(found), _remarks(report))


def _card(name: str, value: Html, remark: str) -> Html:
    more = [tag("dd", text(remark))] if remark else []
    return tag("div", tag("dt", text(name)), tag("dd", value, class_="value"), *more)


def _reason(found: Findings) -> Html:
    report = found.report
    phase = max(report.phases, key=lambda p: p.latency_s)
    share = part_of(phase.latency_s, report.latency_s)
    words = f"Phase {phase.name} takes {share} of the latency and is limited by {phase.bottleneck}: {_why(phase)}."
    return tag("p", text(words), id="reason")


def _why(phase: PhaseTime) -> str:
    """The two times of a phase, and which one is longer for what reason."""
    compute, memory = si(phase.compute_s, "s"), si(phase.memory_s, "s")
    if phase.memory_s > phase.compute_s:
        return f"{phase.memory} moves data for {memory}, the arrays compute for {compute}"
    if phase.bottleneck == "stall":
        stalled = sum(stage.stall_cycles for stage in phase.stages)
        return f"its stages stall for {stalled:,} cycles; the arrays take {compute}, {phase.memory} {memory}"
    longest = sum(dict(stage.busy_cycles).get(phase.bottleneck, 0) for stage in phase.stages)
    every = sum(stage.cycles for stage in phase.stages)
    worked = f"it works {part_of(longest, every)} of the {every:,} cycles"
    return f"{worked}; the arrays take {compute}, {phase.memory} {memory}"


def _reliefs(found: Findings) -> Html:
    rows = []
    for relief in found.explanation.reliefs:
        faster = f"{found.report.latency_s / relief.latency_s:.2f}x" if relief.latency_s else "nothing else takes time"
        change = "no change" if relief.latency_s == found.report.latency_s else faster
        rows.append([text(relief.resource), data(relief.latency_s, si(relief.latency_s, "s")), text(change)])
    headers = ["if this took no time", "latency", "faster"]
    return table("What would change the latency, at most", headers, rows, "lrr")


def _remarks(report: Report) -> Html:
    tiles = ", ".join(f"{name} = {value}" for name, value in report.tiles)
    lines = [f"Tiles: {tiles}."] if tiles else []
    return join(tag("p", text(line), class_="quiet") for line in [*lines, *(f"Note: {n}" for n in report.notes)])


def comparison(found: Findings) -> Html:
    """This dataflow beside the other built-in ones on the same question; those that are refused, with the reason."""
    reports = [found.report, *(rival.report for rival in found.rivals if rival.report)]
    reports.sort(key=lambda report: report.latency_s)
    slowest = max(report.latency_s for report in reports)
    rows = [_compared(report, found.report, slowest) for report in reports]
    headers = ["dataflow", "latency", "", "", "energy", "", "traffic", "", "limited by"]
    made = table("Latency, energy and traffic, and each against this dataflow", headers, rows, "lrrlrrrrl")
    refused = [rival for rival in found.rivals if not rival.report]
    if not refused:
        return section("Other dataflows", made)
    why = table(
        "Not possible here", ["dataflow", "reason"], [[text(r.dataflow), text(r.refusal)] for r in refused], "ll"
    )
    return section("Other dataflows", made, why)


def _compared(report: Report, own: Report, slowest: float) -> Sequence[Html]:
    mine = report is own
    name = text(f"{report.dataflow} (this one)" if mine else report.dataflow)
    times = [data(report.latency_s, si(report.latency_s, "s")), _against(report.latency_s, own.latency_s)]
    energies = [data(report.energy_pj, joules(report.energy_pj)), _against(report.energy_pj, own.energy_pj)]
    moved = [
        data(report.traffic_bytes, binary(report.traffic_bytes)),
        _against(report.traffic_bytes, own.traffic_bytes),
    ]
    return [name, *times, bar(report.latency_s, slowest), *energies, *moved, text(report.bottleneck)]


def _against(value: float, own: float) -> Html:
    return text(f"{value / own:.2f}x" if own else "-")
