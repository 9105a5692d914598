"""Why nothing fits, and the nearest change after which something does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError, Violation
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.mapspace.factorings import factorings
from fusemap.mappers.mapspace.front import Front, Tally, explore
from fusemap.mappers.mapspace.plan import plans
from fusemap.mappers.mapspace.search import prepared
from fusemap.mappers.mapspace.space import Mapspace
from fusemap.mappers.search import divisors
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import Problem
from fusemap.sim.mapcost import prices


def refused(
    answer: DoesNotFit,
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    added: Mapping[str, int],
    space: Mapspace,
) -> DoesNotFit:
    """The refusal of a search, with the room that is needed and what would fit: another size, or another buffer."""
    buffer = machine.memories[1]
    limit = buffer.capacity_bytes
    if limit is None:
        return answer
    given = {**workload.sizes, **added}
    needs = [
        need_bytes(cascade, make_problem(cascade, workload, {**added, **cut}), machine, space)
        for cut in factorings(cascade, given)
    ]
    need = min(needs, default=math.inf)
    if not limit < need < math.inf:
        return answer
    short = f"{buffer.name} is {_kib(need - limit)} short"
    fitting = next(_other_sizes(cascade, machine, workload, added, space), None)
    enough = f"{fitting} fits" if fitting is not None else f"one of {need:,.0f} B is enough"
    hint = f"{short}; {enough}"
    what = f"{buffer.name}: the smallest tiles, every Einsum on its own"
    return DoesNotFit(answer.subject, (Violation(what=what, need=need, limit=limit, unit="B", hint=hint),))


def need_bytes(cascade: Cascade, problem: Problem, machine: Machine, space: Mapspace) -> float:
    """Room in the buffer that is enough: every Einsum (or recurrence) on its own, with its smallest tiles.

    Infinite where an Einsum has no legal plan.
    """
    nothing = dataclasses.replace(machine.memories[1], capacity_bytes=0)
    empty = dataclasses.replace(machine, memories=(machine.memories[0], nothing, *machine.memories[2:]))
    setting = prepared(cascade, problem, empty, prices(machine, priced=False), space=space).setting
    inside = {name for group in setting.flow.recurrences for name in group}
    blocks = [*setting.flow.recurrences, *(frozenset({s.name}) for s in problem.spaces if s.name not in inside)]
    need = 0.0
    for block in blocks:
        tally = Tally()
        for plan in plans(setting.flow, problem, block, space):
            explore(plan, setting, Front(objective="latency"), tally)
        need = max(need, tally.least_need_words)
        setting.memo.clear()
        setting.costs.clear()
    return need * machine.word_bytes * space.buffers


def _other_sizes(
    cascade: Cascade, machine: Machine, workload: Workload, added: Mapping[str, int], space: Mapspace
) -> Iterator[str]:
    """Given parts of a rank, cut otherwise, with which something fits: those nearest to what was given first."""
    limit = machine.memories[1].capacity_bytes or 0
    tried = []
    for shape in cascade.shapes:
        names = [str(f) for f in shape.factors]
        whole = {**workload.sizes, **added}.get(str(shape.name))
        for name in names if len(names) > 1 else ():
            if name in added and whole is not None:
                others = [d for d in divisors(whole) if d != added[name]]
                tried += [(abs(math.log(d / added[name])), name, d, set(names) - {name}) for d in others]
    for _, name, size, rest in sorted(tried, key=lambda t: t[:3]):
        changed = {n: s for n, s in added.items() if n not in rest} | {name: size}
        try:
            cuts = list(factorings(cascade, {**workload.sizes, **changed}))
            problems = [make_problem(cascade, workload, {**changed, **cut}) for cut in cuts]
        except InputError:
            continue
        if any(need_bytes(cascade, problem, machine, space) <= limit for problem in problems):
            yield f"{name}={size}"


def _kib(size_bytes: float) -> str:
    return f"{size_bytes / 1024:,.1f} KiB" if size_bytes >= 1024 else f"{size_bytes:,.0f} B"
