"""`fusemap map`: the best mapping of a cascade on a machine, with the proof that no other is better."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from fusemap import einsum_cascade
from fusemap.archspec.archs import load_arch
from fusemap.archspec.registry import names
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.map_binding import binding
from fusemap.cli.map_page import choice_page, page
from fusemap.cli.map_run import Resume, Watcher, fingerprint, watched
from fusemap.cli.map_simulated import simulated, simulated_text
from fusemap.cli.output import emit_json
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError, input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import load_dataflow
from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.space import Mapspace, load_mapspace
from fusemap.sim.best_case import as_dataflow, map_case, resized
from fusemap.sim.best_choices import BestChoice
from fusemap.sim.best_outcome import Best

INTERRUPTED, NOTHING_FOUND = 130, 1
PICTURES = ("png", "svg", "pdf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments, as they were given."""

    cascade: str
    arch: str | None
    workload: str | None
    dataflow: str | None
    objective: Objective
    sizes: tuple[str, ...]
    space: str | None
    budget: int | None
    seed: int | None
    resume: str | None
    out: str | None
    waterfall: str | None


@click.command("map", short_help="Find the best mapping of a cascade on an accelerator.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--arch", metavar="ARCH", help="Machine: a built-in name or a YAML file.  [required]")
@click.option("--workload", metavar="NAME@LENGTH", help="Sizes: BERT@4K, or a YAML file.  [required]")
@click.option(
    "--objective",
    type=click.Choice(get_args(Objective)),
    default="latency",
    show_default=True,
    help="What is to be least; pareto: latency and energy.",
)
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="Set a rank (B=1) or a part of one (M0=256).")
@click.option("--space", metavar="FILE", help="A YAML file that narrows the space of mappings.")
@click.option("--dataflow", metavar="NAME", help="Search only what this dataflow leaves to choose (flat).")
@click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Stop after N tile sizes were priced.")
@click.option("--seed", type=int, metavar="N", help="With a budget: explore in a random order.")
@click.option("--resume", metavar="FILE", help="Note finished cuts here, and go on from those that are noted.")
@click.option("--out", metavar="FILE", help="Write the mapping as a dataflow file (.yaml).")
@click.option("--waterfall", metavar="FILE", help="Draw its schedule (.png, .svg, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool, **given: Any) -> int:
    """Search the mappings of CASCADE (a built-in name or a file) on a machine, all of them.

    The space: which Einsums share loops, tile sizes, loop orders, arrays and lanes, what is held on chip, moved
    through the outer memory or computed again, and how a rank is cut (M = M1*M0). What is found is proven
    to be the best, unless a budget or Ctrl-C ends the search: then the page says how far it can be from it.

    \b
    Exit code: 0 found; 1 nothing fits, or Ctrl-C came before anything was found; 2 wrong input;
    130 Ctrl-C ended the search and the best so far is printed.

    \b
    Example:
      fusemap map attention-3pass --arch flat-cloud --workload BERT@4K
      fusemap map attention-1pass --arch fusemax-cloud --workload BERT@4K --out best.yaml
      fusemap map attention-3pass --arch flat-cloud --workload BERT@4K --dataflow flat
    """
    asked = Asked(**given)
    _check_files(asked)
    arch, workload = _required(asked)
    cascade, machine, of = einsum_cascade.load(asked.cascade), load_arch(arch), load_workload(workload)
    with watched(asked.objective) as watcher:
        found = _searched(asked, cascade, machine, of, watcher)
    if found is None:
        click.echo("interrupted before any mapping was found", err=True)
        return NOTHING_FOUND
    if as_json:
        emit_json(found.to_json())
    else:
        compared = simulated_text(simulated(cascade, machine, found))
        bound = "\n\n".join(text for text in (compared, binding(cascade, found.best, machine)) if text)
        click.echo(_text(asked, found, bound, interrupted=watcher.interrupted))
    _write(asked, found, cascade, machine, of)
    return INTERRUPTED if watcher.interrupted else 0


def _searched(
    asked: Asked, cascade: Cascade, machine: Machine, workload: Workload, watcher: Watcher
) -> Best | BestChoice | None:
    """The outcome, or None where Ctrl-C came first."""
    sizes, space = parse_sizes(asked.sizes), load_mapspace(asked.space) if asked.space else None
    if asked.dataflow:
        if asked.resume:
            raise input_error("--resume is for a search of all mappings", hint="leave --dataflow or --resume out")
        dataflow = load_dataflow(asked.dataflow)
        return map_case(
            cascade,
            machine,
            workload,
            dataflow,
            objective=asked.objective,
            sizes=sizes,
            space=space,
            budget=asked.budget,
            seed=asked.seed,
        )
    resume = _resume(asked, cascade, machine, workload, sizes, space)
    try:
        return map_case(
            cascade,
            machine,
            workload,
            objective=asked.objective,
            sizes=sizes,
            space=space,
            budget=asked.budget,
            seed=asked.seed,
            stop=watcher.stop,
            watch=watcher.watch,
            done=resume.done,
            finished=resume.finished,
        )
    except DoesNotFit:
        if watcher.interrupted:
            return None
        raise


def _resume(
    asked: Asked,
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    sizes: Mapping[str, int],
    space: Mapspace | None,
) -> Resume:
    sized, added = resized(cascade, workload, sizes)
    key = fingerprint(cascade, machine, sized, added, space, asked.objective) if asked.resume else ""
    found = Resume(path=asked.resume, key=key, cascade=cascade, machine=machine, workload=sized, sizes=added)
    found.read()
    return found


def _text(asked: Asked, found: Best | BestChoice, bound: str, *, interrupted: bool) -> str:
    text = choice_page(found) if isinstance(found, BestChoice) else page(found, interrupted=_why(asked, interrupted))
    text += f"\n\n{bound}" if bound else ""
    if asked.out:
        return f"{text}\n\nwritten to {asked.out}: fusemap evaluate {_case(asked, asked.out)}"
    return f"{text}\n\nas a file to evaluate, explain and edit: --out best.yaml"


def _why(asked: Asked, interrupted: bool) -> str:
    if interrupted:
        return "interrupted"
    return f"the budget of {asked.budget:,} tile sizes is spent" if asked.budget else ""


def _case(asked: Asked, dataflow: str) -> str:
    """The arguments that evaluate a written mapping."""
    sizes = [word for size in asked.sizes for word in ("--size", size)]
    parts = [asked.cascade, "--arch", asked.arch or "", "--workload", asked.workload or "", "--dataflow", dataflow]
    return shlex.join([*parts, *sizes])


def _write(asked: Asked, found: Best | BestChoice, cascade: Cascade, machine: Machine, workload: Workload) -> None:
    """The files that were asked for."""
    if asked.out:
        best, report = found.best, found.best.report
        what = f"{best.name} mapping of {report.cascade} on {report.arch}, {report.workload}: least {asked.objective}"
        sized, _ = resized(
            cascade, workload, {k: v for k, v in parse_sizes(asked.sizes).items() if k in workload.sizes}
        )
        text = as_dataflow(
            cascade,
            sized,
            best,
            description=what,
            source=f"fusemap map {_case(asked, '').split(' --dataflow')[0]}",
            in_place=found.in_place if isinstance(found, BestChoice) else (),
        )
        write_whole(asked.out, text.encode())
    if asked.waterfall:
        from fusemap.cli.map_waterfall import waterfall  # matplotlib loads only when a picture is asked for

        write_whole(asked.waterfall, waterfall(cascade, found.best, machine, suffix_of(asked.waterfall, PICTURES)))


def _check_files(asked: Asked) -> None:
    """InputError, before a long search, for files that could not be written after it."""
    if asked.out:
        suffix_of(asked.out, ("yaml", "yml"))
    if asked.waterfall:
        suffix_of(asked.waterfall, PICTURES)
    for path in (asked.out, asked.waterfall, asked.resume):
        if path and not Path(path).resolve().parent.is_dir():
            raise input_error(f"cannot write {path}: no directory {Path(path).parent}")


def _required(asked: Asked) -> tuple[str, str]:
    """Arch and workload; InputError that lists what there is when they are missing."""
    wrong = []
    if not asked.arch:
        hint = f"built-in: {', '.join(names('arch'))}; or a YAML file"
        wrong.append(Diagnostic(message="--arch is missing: on which machine?", hint=hint))
    if not asked.workload:
        hint = f"built-in: {', '.join(names('workload'))}, with a length, such as {names('workload')[0]}@4K"
        wrong.append(Diagnostic(message="--workload is missing: at which sizes?", hint=hint))
    if wrong:
        raise InputError(tuple(wrong))
    return asked.arch or "", asked.workload or ""
