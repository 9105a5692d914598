"""`fusemap sweep`: many points of a design space into a store, and a store into a table."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fusemap.cli.main import ANSWER_IS_NO, INTERNAL_ERROR, INTERRUPTED, LazyCommand
from fusemap.cli.output import emit_json
from fusemap.diagnostics import input_error

if TYPE_CHECKING:
    from fusemap.validation.sweep_run import Progress, SweepRun

EVERY_S = 0.2
_RUN = "run"


class SweepGroup(click.Group):
    """`sweep SPEC.yaml ...` runs a sweep; `sweep export ...` is a command below it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Arguments that name no command are those of the run."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = [_RUN, *args] if args else ["--help"]
        return super().parse_args(ctx, args)


@click.group("sweep", cls=SweepGroup, short_help="Evaluate many points of a design space into a store.")
def command() -> None:
    """Evaluate all points of a design space: fusemap sweep SPEC.yaml --out FILE.

    SPEC.yaml gives values for cascades, dataflows, machines and their numbers, workloads and lengths. The results
    go into an SQLite file as they come. `fusemap sweep run --help` shows the options, docs/sweeps.md the file.

    \b
    Example:
      fusemap sweep space.yaml --count
      fusemap sweep space.yaml --out results.sqlite
      fusemap sweep space.yaml --out results.sqlite --resume
      fusemap sweep export results.sqlite --to results.csv
    """


command.add_command(LazyCommand("export", "fusemap.cli.sweep_export:command", "A store as CSV or parquet."))


@command.command(_RUN, short_help="Evaluate the points of SPEC.yaml (the name `run` may be left out).")
@click.argument("spec", metavar="SPEC.yaml")
@click.option("--out", metavar="FILE", help="The store: an SQLite file.  [required]")
@click.option("--jobs", type=int, metavar="N", help="Processes on this machine.  [default: one per core]")
@click.option("--cluster", metavar="ADDRESS", help="A dask scheduler (tcp://HOST:8786), or slurm[:KEY=VALUE,...].")
@click.option("--resume", is_flag=True, help="Go on with a store that is there: do what it lacks.")
@click.option("--count", is_flag=True, help="Say how many points there are, and do nothing.")
@click.option("--block", type=click.IntRange(1, 1_000_000), help="Points that are evaluated and written together.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def run_command(spec: str, out: str | None, count: bool, quiet: bool, as_json: bool, **given: Any) -> int:
    """Evaluate the points of SPEC.yaml, and write a row for each into a store.

    A point that does not fit or fails is a row with the reason. Ctrl-C, a crash or a power cut leaves all rows so far;
    --resume does the others.

    \b
    Example:
      fusemap sweep space.yaml --out results.sqlite --jobs 4
      fusemap sweep space.yaml --out results.sqlite --cluster tcp://10.0.0.1:8786
      fusemap sweep space.yaml --out results.sqlite --cluster slurm:partition=short,timeout_min=60
    """
    from fusemap.validation.sweep import sweep
    from fusemap.validation.sweep_workers import WorkerError

    if count:
        return _count(spec, as_json=as_json)
    if out is None:
        raise input_error("--out is missing: where do the results go?", hint="such as --out results.sqlite")
    if given["block"] is None:
        del given["block"]
    display = Display(shown=not quiet and sys.stderr.isatty())
    try:
        found = sweep(spec, out=out, watch=display.watch, **given)
    except WorkerError as error:
        click.echo(f"error: {error}\n  what was written stays, and --resume goes on", err=True)
        return INTERNAL_ERROR
    finally:
        display.clear()
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(summary(found))
    if found.interrupted:
        click.echo(f"interrupted; --resume does the rest of {out}", err=True)
        return INTERRUPTED
    return 0 if found.useful else ANSWER_IS_NO


def _count(spec: str, *, as_json: bool) -> int:
    from fusemap.validation.sweep_spec import load_sweep

    sweep = load_sweep(spec)
    points, size = sweep.space.count(), sweep.space.size
    if as_json:
        axes = [{"column": axis.column, "values": len(axis.values)} for axis in sweep.space.axes]
        document = {"schema": "fusemap/sweep/1", "sweep": sweep.name, "digest": sweep.digest}
        emit_json({**document, "points": points, "combinations": size, "axes": axes})
        return 0
    varied = [f"{axis.column} {len(axis.values):,}" for axis in sweep.space.axes if len(axis.values) > 1]
    click.echo(f"{sweep.name}: {points:,} points")
    click.echo(f"  {' x '.join(varied) or 'one value of everything'}{f' = {size:,}' if varied else ''}")
    if points < size:
        click.echo(f"  conditions exclude {size - points:,}")
    return 0


def summary(found: SweepRun) -> str:
    """What a run did, in a few lines."""
    progress = found.progress
    lines = [f"{found.name}: {progress.done:,} of {progress.points:,} points in {found.store}"]
    lines += [f"  {status:<13}{count:>12,}" for status, count in found.statuses.items()]
    if progress.new:
        new = f"{progress.new:,} now, in {progress.seconds:.1f} s: {progress.rate:,.0f} points/s"
        lines.append(f"  {new}{_plain(progress)}")
    return "\n".join(lines)


def _plain(progress: Progress) -> str:
    return f"; {progress.plain:,} one by one (a search cannot be shared)" if progress.plain else ""


@dataclass(slots=True, kw_only=True)
class Display:
    """The progress on a terminal: a line that is drawn over."""

    shown: bool
    drawn: float = 0.0

    def watch(self, progress: Progress) -> None:
        """Draw the line from time to time."""
        now = time.perf_counter()
        if self.shown and now - self.drawn > EVERY_S:
            self.drawn = now
            click.echo(f"\r{progress_line(progress).ljust(_width())[: _width()]}", err=True, nl=False)

    def clear(self) -> None:
        """Wipe the line."""
        if self.drawn:
            click.echo(f"\r{' ' * _width()}\r", err=True, nl=False)


def _width() -> int:
    """Columns that a line may fill without wrapping; a terminal that has no size yet counts as a narrow one."""
    return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1


def progress_line(progress: Progress) -> str:
    """Where a sweep stands, its rate and the time left.

    >>> from fusemap.validation.sweep_run import Progress
    >>> progress_line(Progress(points=3000, done=2000, new=1000, plain=0, seconds=2.0))
    '2,000 of 3,000 points (67 %), 500 points/s, 2 s left'
    """
    share = 100 * progress.done / progress.points
    line = f"{progress.done:,} of {progress.points:,} points ({share:.0f} %)"
    if not progress.new:
        return f"{line}, starting"
    left = (progress.points - progress.done) / progress.rate
    return f"{line}, {progress.rate:,.0f} points/s, {duration(left)} left{_plain(progress)}"


def duration(seconds: float) -> str:
    """A time to wait, in the unit that suits it.

    >>> duration(45), duration(200), duration(9000)
    ('45 s', '3 min', '2 h 30 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
