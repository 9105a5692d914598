"""Find the best mapping of a cascade: the searched space, and every built-in dataflow that fits, in one comparison."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError, Violation, input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.auto import require_arrays
from fusemap.mappers.dataflow import load_dataflow, names
from fusemap.mappers.legality import require_legal
from fusemap.mappers.mapspace.count import census, count
from fusemap.mappers.mapspace.factorings import factorings, require_free
from fusemap.mappers.mapspace.flow import flow_of
from fusemap.mappers.mapspace.front import TIE, Objective
from fusemap.mappers.mapspace.search import Chain, Found, Search, again, prepared, search, value
from fusemap.mappers.mapspace.settle import NAME, settled
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.match import matches
from fusemap.mappers.recurrence import recurrences
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.mappers.types import Problem
from fusemap.sim.best_candidate import Candidate, Cut, Finished, Progress, key
from fusemap.sim.best_outcome import Best
from fusemap.sim.best_partial import composed, sampled, unsearched
from fusemap.sim.cost import operand_costs, operand_traffic
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping
from fusemap.sim.mapcost import prices
from fusemap.sim.report import Report, Timing

__all__ = ["Best", "Candidate", "Cut", "Finished", "Progress", "built_in", "find_best"]

Sizes: TypeAlias = Mapping[str, int]


def find_best(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    *,
    objective: Objective = "latency",
    sizes: Sizes | None = None,
    space: Mapspace = EVERYTHING,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda progress: None,
    dataflows: bool = True,
    budget: int | None = None,
    seed: int | None = None,
    done: Mapping[Cut, Finished] | None = None,
    finished: Callable[[Finished], None] = lambda finished: None,
) -> Best:
    """The best mapping of a cascade on a machine in a space of mappings, open cuts of ranks (`M0`) included.

    Everything is priced by the principled accounting, as `evaluate` does. InputError: something does not match,
    or a size is open that changes what the cascade computes. DoesNotFit: no mapping of the space fits the buffer.
    `stop` ends the search early; what was found by then is returned with its gap. So does a `budget` of tile sizes to
    price (up to a block more are); with a `seed` plans are then explored in a random order, not by promise. Cuts that
    are `done` are not searched again; `finished` is told of each that was searched to its end.
    """
    start = time.perf_counter()
    _require_buffer(machine)
    added = dict(sizes or {})
    require_free(cascade, {**workload.sizes, **added})
    priced = _has_prices(machine)
    if not priced and objective != "latency":
        prices(machine)  # says which price is missing
    problems = _problems(cascade, machine, workload, added)
    others = built_in(cascade, machine, workload, added, priced=priced) if dataflows else ()
    before = [done[cut] for cut, _ in problems if cut in done] if done else []
    known = [*others, *(c for f in before for c in f.candidates)]
    limit = min((key(objective, c)[0] for c in known), default=math.inf) if objective != "pareto" else math.inf
    if objective == "latency" and not before:
        limit *= 1 + 2 * TIE  # a mapping that takes as long may cost less

    def tell(cut: Cut, problem: Problem, found: Found) -> None:
        own = tuple(_candidate(cascade, machine, cut, problem, chain, priced) for chain in found.best)
        finished(_finished(cut, own, found))

    left = [(cut, problem) for cut, problem in problems if not done or cut not in done]
    effort = _Effort(stop=stop, budget=budget, seed=seed, watch=watch, finished=tell, before=len(before))
    found = _searched(cascade, machine, left, objective, space, priced, limit, effort)
    chains = [(sizes_, problem, chain) for sizes_, problem, f in found for chain in f.best]
    searched = [_candidate(cascade, machine, s, p, c, priced) for s, p, c in chains]
    every = [*searched, *known]
    if not every:
        raise _nothing_fits(cascade, machine, workload, [f for _, _, f in found])
    counted = _counted(cascade, machine, problems, space)
    seconds = time.perf_counter() - start
    return _outcome(objective, every, others, before, found, counted, len(problems), seconds)


def _outcome(
    objective: Objective,
    every: Sequence[Candidate],
    others: Sequence[Candidate],
    before: Sequence[Finished],
    found: _Found,
    counted: int,
    cuts: int,
    seconds: float,
) -> Best:
    best = min(every, key=lambda c: key(objective, c))
    bounds = [f.bound for f in before if f.candidates]
    bounds += [f.bound for _, _, f in found if f.best or not f.proven]
    looked = [*before, *(_finished(cut, (), f) for cut, _, f in found)]
    return Best(
        objective=objective,
        best=best,
        front=_front(every) if objective == "pareto" else (best,),
        others=tuple(others),
        proven=all(f.proven for _, _, f in found),
        bound=min([*bounds, key(objective, best)[0]]),
        counted=counted,
        priced=sum(f.priced for f in looked),
        pruned=sum(f.pruned for f in looked),
        unfit=sum(f.unfit for f in looked),
        segments=max(f.segments for f in looked),
        explored=sum(f.explored for f in looked),
        cuts=cuts,
        seconds=seconds,
    )


def _finished(cut: Cut, candidates: tuple[Candidate, ...], found: Found) -> Finished:
    return Finished(
        cut=cut,
        candidates=candidates,
        bound=found.bound,
        priced=found.tally.priced,
        pruned=found.tally.pruned,
        unfit=found.tally.unfit,
        segments=found.segments,
        explored=found.explored,
    )


def _counted(
    cascade: Cascade, machine: Machine, problems: Sequence[tuple[tuple[tuple[str, int], ...], Problem]], space: Mapspace
) -> int:
    """Mappings of the space over all cuts (see `count`)."""
    known = census(flow_of(cascade, problems[0][1]), problems[0][1], space)
    return sum(count(known, problem, machine, space) for _, problem in problems)


def _require_buffer(machine: Machine) -> None:
    if sum(not memory.per for memory in machine.memories) < 2:
        message = f"machine {machine.name} has no memory besides {machine.memories[0].name} to keep tiles in"
        raise input_error(message, hint="a search needs an outer memory and a buffer")


def _has_prices(machine: Machine) -> bool:
    try:
        prices(machine)
    except InputError:
        return False
    return True


def _problems(
    cascade: Cascade, machine: Machine, workload: Workload, added: Sizes
) -> list[tuple[tuple[tuple[str, int], ...], Problem]]:
    """A problem for every way to cut the ranks that are left open."""
    found = []
    for cut in factorings(cascade, {**workload.sizes, **added}):
        problem = make_problem(cascade, workload, {**added, **cut})
        require_arrays(cascade, problem.spaces, machine)
        found.append((tuple(cut.items()), problem))
    if not found:
        make_problem(cascade, workload, added)  # says which sizes do not go together
    return found


_Found: TypeAlias = list[tuple[Cut, Problem, Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effort:
    """How long a search goes on, and who is told of it; `before` cuts were done by an earlier one."""

    stop: Callable[[], bool]
    budget: int | None
    seed: int | None
    watch: Callable[[Progress], None]
    finished: Callable[[Cut, Problem, Found], None]
    before: int


def _searched(
    cascade: Cascade,
    machine: Machine,
    problems: Sequence[tuple[Cut, Problem]],
    objective: Objective,
    space: Mapspace,
    priced: bool,
    limit: float,
    effort: _Effort,
) -> _Found:
    """What the search finds for each cut that is below a limit, the most promising first; each lowers the limit."""
    cost = prices(machine, priced=priced)
    ready: list[tuple[Cut, Problem, Search]] = []

    def over() -> bool:
        spent = effort.budget is not None and sum(s.tally.priced for _, _, s in ready) >= effort.budget
        return spent or effort.stop()

    ready += [
        (c, p, prepared(cascade, p, machine, cost, objective=objective, space=space, stop=over)) for c, p in problems
    ]
    ready.sort(key=lambda r: r[2].promise)
    found: _Found = []
    met: list[tuple[float, float]] = []
    for number, (cut, problem, state) in enumerate(ready):
        if over() and any(f.best for _, _, f in found):
            found.append((cut, problem, unsearched(state)))
            continue
        effort.watch(Progress(done=effort.before + number, total=effort.before + len(ready), best=limit))
        sampling = effort.budget is not None and effort.seed is not None
        result = sampled(state, effort.seed or 0) if sampling else search(state, limit=limit, known=met)
        if result.proven:
            effort.finished(cut, problem, result)
        elif not result.best:
            result = dataclasses.replace(result, best=composed(state))
        found.append((cut, problem, result))
        met += [(chain.latency_s, chain.energy_pj) for chain in result.best]
        for chain in result.best if objective != "pareto" else ():
            limit = min(limit, value(objective, chain.latency_s, chain.energy_pj)[0])
    if objective in ("latency", "energy") and not over():
        _settle_ties(found, {cut: state for cut, _, state in ready}, objective)
    return found


def _settle_ties(found: _Found, states: Mapping[Cut, Search], objective: Objective) -> None:
    """Among cuts that take no longer than the best one, the one that costs least with the same plans.

    A search is not begun for a cut that can but tie; how the ranks are cut may still matter for the energy. Its
    neighbours are tried, and theirs, while they cost less.
    """
    winners = [(value(objective, c.latency_s, c.energy_pj), f, c) for _, _, f in found for c in f.best]
    if not winners:
        return
    best, _, chain = min(winners, key=lambda w: w[0])
    order = sorted(range(len(found)), key=lambda i: [size for _, size in found[i][0]])
    at = next(n for n, i in enumerate(order) if chain in found[i][2].best)
    for side in (order[at + 1 :], order[:at][::-1]):
        for i in side:  # away from the best cut, as long as it gets better
            cut, problem, result = found[i]
            tied = states[cut].promise[0] <= best[0] * (1 + TIE)
            other = again(states[cut], chain) if tied else None
            if other is None or value(objective, other.latency_s, other.energy_pj) >= best:
                break
            best = value(objective, other.latency_s, other.energy_pj)
            found[i] = (cut, problem, dataclasses.replace(result, best=(other,)))


def _candidate(
    cascade: Cascade,
    machine: Machine,
    sizes: tuple[tuple[str, int], ...],
    problem: Problem,
    chain: Chain,
    priced: bool,
) -> Candidate:
    """The chain as a mapping, evaluated as any other; its report must say what the search said."""
    copied, mapping = settled(problem, flow_of(cascade, problem), machine, chain.points)
    require_legal(copied, mapping, machine)
    mapping = dataclasses.replace(mapping, tiles=(*sizes, *mapping.tiles))
    report, energy = _report(copied, mapping, machine, priced)
    agree = math.isclose(report.latency_s, chain.latency_s, rel_tol=1e-9)
    agree = agree and (energy is None or math.isclose(energy, chain.energy_pj, rel_tol=1e-9))
    if not agree:
        raise AssertionError(
            f"search and evaluation disagree on {problem.cascade}: {chain.latency_s} {report.latency_s}"
        )
    return Candidate(name=NAME, problem=copied, mapping=mapping, report=report, energy_pj=energy, sizes=sizes)


def _report(problem: Problem, mapping: CascadeMapping, machine: Machine, priced: bool) -> tuple[Timing, float | None]:
    if not priced:
        return time_mapping(problem, mapping, machine), None
    report: Report = evaluate_mapping(problem, mapping, machine)
    return report, report.energy_pj


def built_in(
    cascade: Cascade, machine: Machine, workload: Workload, added: Sizes, *, priced: bool
) -> tuple[Candidate, ...]:
    """Every built-in dataflow that maps the cascade legally, with its report.

    One that maps the Einsums of a recurrence each on its own is left out: nothing makes their loops step together.
    """
    found = []
    for dataflow in map(load_dataflow, names()):
        if not matches(cascade, dataflow):
            continue
        try:
            cost = operand_costs if priced else operand_traffic
            problem, mapping = plan(cascade, machine, workload, dataflow, sizes=added, cost=cost)
            report, energy = _report(problem, mapping, machine, priced)
        except (InputError, DoesNotFit):
            continue  # it is not for this machine or size; the search goes on without it
        if any(len(g) > 1 and not set(g) <= set(dataflow.model.einsums) for g in recurrences(problem.reads)):
            continue
        found.append(Candidate(name=dataflow.name, problem=problem, mapping=mapping, report=report, energy_pj=energy))
    return tuple(found)


def _front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates that no other one beats in latency and energy."""
    kept: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (c.report.latency_s, c.energy_pj or 0.0)):
        if not kept or (c.energy_pj or 0.0) < (kept[-1].energy_pj or 0.0):
            kept.append(c)
    return tuple(kept)


def _nothing_fits(cascade: Cascade, machine: Machine, workload: Workload, found: Sequence[Found]) -> DoesNotFit:
    buffer = machine.memories[1]
    need = min((f.tally.least_need_words for f in found), default=math.inf) * machine.word_bytes
    limit = buffer.capacity_bytes or 0
    subject = f"{cascade.name} for {workload.name} on {machine.name}, in the space that was searched"
    if not math.isfinite(need) or need <= limit:
        hint = "an Einsum, or a recurrence with the loop that it steps through, must have one"
        return DoesNotFit(subject, (Violation(what="no plan is legal", need=1, limit=0, unit="plan", hint=hint),))
    what, hint = f"{buffer.name}: the smallest tiles that were tried", f"{buffer.name} is {need - limit:,.0f} B short"
    return DoesNotFit(subject, (Violation(what=what, need=need, limit=limit, unit="B", hint=hint),))
