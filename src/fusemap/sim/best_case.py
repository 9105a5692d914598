"""Search for a mapping as a user asks for it: sizes that override the workload's, and a refusal that says what fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from fusemap.archspec.reader import LARGEST
from fusemap.archspec.types import Machine, Rank, Workload
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError, did_you_mean, input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow
from fusemap.mappers.dataflow_text import dataflow_text
from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.sim.best import find_best
from fusemap.sim.best_candidate import Candidate, Cut, Finished, Progress
from fusemap.sim.best_choices import BestChoice, best_choice
from fusemap.sim.best_fit import refused
from fusemap.sim.best_outcome import Best


def map_case(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    objective: Objective = "latency",
    sizes: Mapping[str, int] | None = None,
    space: Mapspace | None = None,
    budget: int | None = None,
    seed: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda progress: None,
    done: Mapping[Cut, Finished] | None = None,
    finished: Callable[[Finished], None] = lambda finished: None,
) -> Best | BestChoice:
    """The best mapping of a cascade on a machine, or with a dataflow the best setting of its choices.

    `sizes` replace ranks of the workload (`B`, `M`) and give the cascade's other shapes (`M0`). The rest is as in
    `find_best`. InputError: something does not match or is not known. DoesNotFit: nothing fits; it says what would.
    """
    sized, added = resized(cascade, workload, sizes or {}, dataflow.model.tiles if dataflow is not None else ())
    if dataflow is not None:
        if space is not None or budget is not None or seed is not None:
            message = f"the choices of dataflow {dataflow.name} are evaluated one and all: no space, budget or seed"
            raise input_error(message, hint="leave them out, or the dataflow")
        return best_choice(cascade, machine, sized, dataflow, objective=objective, sizes=added)
    try:
        return find_best(
            cascade,
            machine,
            sized,
            objective=objective,
            sizes=added,
            space=space or EVERYTHING,
            stop=stop,
            watch=watch,
            budget=budget,
            seed=seed,
            done=done,
            finished=finished,
        )
    except DoesNotFit as answer:
        if stop():
            raise
        raise refused(answer, cascade, machine, sized, added, space or EVERYTHING) from None


def resized(
    cascade: Cascade, workload: Workload, sizes: Mapping[str, int], tiles: Iterable[str] = ()
) -> tuple[Workload, dict[str, int]]:
    """The workload with the sizes that are its own, and the others; InputError for names that nothing has.

    >>> from fusemap.archspec.workloads import load_workload
    >>> from fusemap.einsum_cascade.catalog import load
    >>> of, added = resized(load("attention-1pass"), load_workload("BERT@4K"), {"B": 1, "M0": 256})
    >>> of.name, added
    ('BERT@4K with B=1', {'M0': 256})
    """
    valid = [*map(str, scope.known_shapes(cascade)), *tiles, *workload.sizes]
    wrong = []
    for name, size in sizes.items():
        if name not in valid:
            hint = did_you_mean(name, valid, noun="names")
            wrong.append(Diagnostic(message=f"no rank is named {name}, but a size is given for it", hint=hint))
        elif not 1 <= size <= LARGEST:
            wrong.append(Diagnostic(message=f"size {name} = {size} is not a whole number from 1 to 2^40"))
    if wrong:
        raise InputError(tuple(wrong))
    own = {rank: size for rank, size in sizes.items() if rank in workload.sizes and workload.sizes[rank] != size}
    added = {name: size for name, size in sizes.items() if name not in workload.sizes}
    if not own:
        return workload, added
    ranks = tuple(Rank(name=r.name, size=own[r.name], source="given") if r.name in own else r for r in workload.ranks)
    name = f"{workload.name} with {', '.join(f'{rank}={size}' for rank, size in own.items())}"
    return dataclasses.replace(workload, name=name, ranks=ranks), added


def as_dataflow(
    cascade: Cascade,
    workload: Workload,
    best: Candidate,
    *,
    description: str,
    source: str,
    in_place: tuple[tuple[str, ...], ...] = (),
) -> str:
    """A found mapping as the text of a dataflow file; it has the cascade's sizes that the workload lacks."""
    shapes = {str(shape) for shape in scope.known_shapes(cascade)} - set(workload.sizes)
    constant = {str(shape.name) for shape in cascade.shapes if shape.constant is not None}
    tiles = {name: size for name, size in best.problem.sizes if name in shapes - constant}
    return dataflow_text(
        best.problem, best.mapping, tiles=tiles, description=description, source=source, in_place=in_place
    )
