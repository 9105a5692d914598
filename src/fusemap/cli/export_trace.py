"""`fusemap export trace`: a simulation in time for Perfetto."""

from __future__ import annotations

from typing import Any

import click

from fusemap.cli.case import case_from, case_options
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.diagnostics import input_error
from fusemap.sim.simulate import RECORDED
from fusemap.sim.timeline import Timeline


@click.command("trace", short_help="A simulation in time, for Perfetto.")
@case_options
@click.option("--record", type=click.IntRange(min=1), default=RECORDED, show_default=True, help="Iterations to keep.")
@click.option("--out", "target", metavar="FILE", help="Write to this .json or .json.gz file, not to standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: what the trace holds.")
def command(record: int, target: str | None, as_json: bool, **given: Any) -> None:
    """Write the beginning of a simulation of CASCADE as trace events.

    As `fusemap simulate --trace`, without its page.

    \b
    Example:
      fusemap export trace attention-1pass --arch fusemax-cloud --workload BERT@4K --out run.json.gz
    """
    from fusemap.cli.simulate import planned_case
    from fusemap.sim.simulate import simulate_tiles
    from fusemap.validation.trace import render_trace

    packed = target is not None and suffix_of(target, ("json", "gz")) == "gz"
    cascade, planned = planned_case(case_from(given))
    found = simulate_tiles(
        cascade, planned.problem, planned.mapping, planned.machine, accounting=planned.accounting, record=record
    )
    timeline = found.longest.timeline
    if timeline is None:
        raise input_error("nothing was recorded")
    content = render_trace(timeline, "json.gz" if packed else "json")
    if target is not None:
        write_whole(target, content)
        click.echo(f"written to {target}", err=True)
    if as_json:
        emit_json({"schema": "fusemap/export/1", "format": "trace", **_held(timeline)})
    elif target is None:
        click.echo(content, nl=False)


def _held(timeline: Timeline) -> dict[str, Any]:
    """What a trace holds."""
    return {
        "name": timeline.name,
        "tracks": list(timeline.tracks),
        "cycles": timeline.cycles(timeline.last),
        "spans": len(timeline.spans),
        "flows": len(timeline.flows),
        "counters": [counter.name for counter in timeline.counters],
    }
