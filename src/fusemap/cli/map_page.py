"""What `fusemap map` prints: the mapping as a tree of loops, its costs beside those of others, and how sure it is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from fusemap.cli.output import table
from fusemap.cli.quantities import area, binary, joules, part_of, percent, si
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Fusion, Group, Loop, Phase, Problem, Storage
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.sim.best_candidate import Candidate
from fusemap.sim.best_choices import BestChoice
from fusemap.sim.best_outcome import Best
from fusemap.sim.report import Report

WIDTH = 100
WHAT = {
    "latency": "least latency",
    "energy": "least energy",
    "edp": "least energy-delay product",
    "pareto": "least latency and energy",
}


def page(found: Best, *, interrupted: str = "") -> str:
    """The outcome of a search of the space of mappings; `interrupted` says why it ended early."""
    best = found.best
    sizes = ", ".join(f"{name} = {size:,}" for name, size in best.sizes)
    chosen = f"mapping {best.name}" if best.name == "searched" else f"the built-in dataflow {best.name}"
    title = f"{WHAT[found.objective]}: {chosen}" + (f", {sizes}" if sizes else "")
    blocks = [_heading(best, title), *_tree(best), _totals(best)]
    if found.objective == "pareto" and len(found.front) > 1:
        blocks.append(_front(found.front))
    blocks += [_beside(best, found.others), _fill(_sureness(found, interrupted)), *_notes(best)]
    return "\n\n".join(block for block in blocks if block)


def choice_page(found: BestChoice) -> str:
    """The outcome of a search of a dataflow's choices."""
    result, best = found.result, found.best
    settings = ", ".join(f"{name} = {value:,.6g}" for name, value in result.best.settings)
    ties = f"{result.ties:,} settings are equally good" if result.ties > 1 else "no other setting is as good"
    sure = (
        f"proven: all {result.space_size:,} settings of the choices of dataflow {best.name} were evaluated, "
        f"{result.feasible:,} are legal, none is better, and {ties}; {si(found.seconds, 's')}"
    )
    title = f"{WHAT[found.objective]}: dataflow {best.name} with its best choices"
    blocks = [_heading(best, title), _fill(f"choices  {settings}", indent=9), *_tree(best), _totals(best)]
    if found.objective == "pareto":
        rows = [[*_costs(p.latency_s, p.energy_pj, p.traffic_bytes), _listed(p.settings)] for p in result.pareto]
        blocks.append(table(rows, ["latency", "energy", "traffic", "choices"], "rrrl", width=WIDTH))
    return "\n\n".join([*blocks, _beside(best, found.others), _fill(sure), *_notes(best)])


def _listed(settings: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:,.6g}" for name, value in settings)


def _heading(best: Candidate, title: str) -> str:
    return f"{best.report.cascade} on {best.report.arch}, {best.report.workload}\n{_fill(title)}"


def _fill(text: str, indent: int = 2) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


# --- the tree of loops ------------------------------------------------------------------------------


def _tree(best: Candidate) -> Iterator[str]:
    """Phase after phase its shared loops, groups and nests, and what becomes of the tensors between them."""
    mapping = best.mapping
    for i, phase in enumerate(mapping.binding):
        fusion = mapping.fusion[i] if mapping.fusion else _unfused(phase)
        head = _phase_line(phase, fusion, i, len(mapping.binding))
        yield "\n".join([head, *_groups(best.problem, mapping, fusion)])
    if mapping.fusion:
        yield "\n".join(_fill(line, indent=14) for line in _fates(best.problem, mapping))


def _unfused(phase: Phase) -> Fusion:
    """A phase of which no shared loops are known: its Einsums in order."""
    return Fusion(loops=(), groups=(Group(loops=(), einsums=phase.einsums),))


def _phase_line(phase: Phase, fusion: Fusion, index: int, phases: int) -> str:
    overlap = "arrays overlap" if phase.pipelined else "one after another"
    if len(phase.einsums) == 1:
        overlap = "alone"
    name = f"phase {index + 1} of {phases}: " if phases > 1 else ""
    return f"{name}{_for(fusion.loops) or 'once'}  ({overlap})"


def _for(loops: Sequence[Loop]) -> str:
    """Loops as a line, outside in."""
    return ", ".join(f"for {loop.rank} in {loop.bound:,}" for loop in loops if loop.bound > 1)


def _groups(problem: Problem, mapping: CascadeMapping, fusion: Fusion) -> Iterator[str]:
    for g, group in enumerate(fusion.groups):
        name = f"group {g + 1}" if len(fusion.groups) > 1 else "together"
        chunks = _for(group.loops)
        yield f"  {name}{': ' + chunks if chunks else ''}"
        outer = _counted((*fusion.loops, *group.loops))
        rows = [_row(problem.space(e), mapping.nest(e), outer) for e in group.einsums if _has(problem, e)]
        headers = ["Einsum", "array", "lanes", "loops inside, outside in", "outer memory", "kept in the buffer"]
        yield textwrap.indent(table(rows, headers, "llllll", width=WIDTH - 4), "    ")


def _has(problem: Problem, einsum: str) -> bool:
    return any(s.name == einsum for s in problem.spaces)


def _counted(loops: Iterable[Loop]) -> dict[str, int]:
    found: dict[str, int] = {}
    for loop in loops:
        found[loop.rank] = found.get(loop.rank, 1) * loop.bound
    return found


def _row(space: EinsumSpace, nest: EinsumMapping, outer: dict[str, int]) -> list[str]:
    spread = " x ".join(
        " ".join(f"{p.rank} {p.bound:,}" for p in level.loops)
        for level in nest.levels
        if isinstance(level, Fanout)
        if level.loops
    )
    stores = [level for level in nest.levels if isinstance(level, Storage)]
    left, inner = dict(outer), []
    for loop in (loop for level in stores for loop in level.loops):
        if left.get(loop.rank, 1) >= loop.bound > 1 and left[loop.rank] % loop.bound == 0:
            left[loop.rank] //= loop.bound  # a loop that is shown above
        elif loop.bound > 1:
            inner.append(f"{loop.rank} {loop.bound:,}")
    far = " ".join(_moved(space, stores[0]))
    near = sorted({o.tensor for o in space.operands for s in stores[1:-1] if s.keeps(o.tensor)})
    return [space.name, nest.array, spread or "1", ", ".join(inner) or "-", far or "-", " ".join(near) or "-"]


def _moved(space: EinsumSpace, outermost: Storage) -> Iterator[str]:
    """What an Einsum reads from the outer memory and, after an arrow, writes to it."""
    reads = dict.fromkeys(o.tensor for o in space.inputs if outermost.keeps(o.tensor))
    yield from reads
    if outermost.keeps(space.output.tensor):
        yield f"-> {space.output.tensor}"


def _fates(problem: Problem, mapping: CascadeMapping) -> Iterator[str]:
    """What becomes of the tensors that pass from Einsum to Einsum, and which inputs pass the buffer by."""
    held = {t for fusion in mapping.fusion for t in fusion.held}
    inner = {s.output.tensor for s in problem.spaces} - problem.external
    far = {s.output.tensor for s in problem.spaces if _outermost(mapping.nest(s.name)).keeps(s.output.tensor)}
    copies = [f"{s.name} computes {s.name.split('@')[0]} again" for s in problem.spaces if "@" in s.name]
    streamed = sorted({t for s in problem.spaces for t in _streamed(s, mapping.nest(s.name))})
    for name, tensors in (
        ("held", sorted(held)),
        ("spilled", sorted(inner & far)),
        ("recomputed", copies),
        ("streamed", streamed),
    ):
        if tensors:
            yield f"{name.ljust(12)}{', '.join(tensors)}  ({_EXPLAINED[name]})"


_EXPLAINED = {
    "held": "on chip from the group that has it first to the last that reads it",
    "spilled": "written to the outer memory and read back",
    "recomputed": "instead of keeping its result",
    "streamed": "between outer memory and registers, past the buffer, as each word is used once",
}


def _outermost(nest: EinsumMapping) -> Storage:
    return next(level for level in nest.levels if isinstance(level, Storage))


def _streamed(space: EinsumSpace, nest: EinsumMapping) -> Iterator[str]:
    stores = [level for level in nest.levels if isinstance(level, Storage)]
    for operand in space.operands:
        if stores[0].keeps(operand.tensor) and not any(s.keeps(operand.tensor) for s in stores[1:-1]):
            yield operand.tensor


# --- numbers ----------------------------------------------------------------------------------------


def _totals(best: Candidate) -> str:
    report = best.report
    cycles = report.latency_s * report.clock_hz
    memory_s = sum(phase.memory_s for phase in report.phases)
    moved = f"takes the memory {part_of(memory_s, report.latency_s)} of the latency"
    busy = ", ".join(f"{array} {percent(share)}" for array, share in report.utilization.items())
    lines = [("latency", si(report.latency_s, "s"), f"{cycles:,.0f} cycles, limited by {report.bottleneck}")]
    if isinstance(report, Report):
        power = f"{si(report.energy_pj * 1e-12 / report.latency_s, 'W')} on average"
        lines.append(("energy", joules(report.energy_pj), power))
    lines.append(("traffic", binary(report.traffic_bytes), moved))
    if isinstance(report, Report):
        lines.append(("area", area(report.area_um2), ""))
    lines.append(("utilization", "", busy))
    names, values = (max(len(line[i]) for line in lines) for i in (0, 1))
    return "\n".join(f"{n.ljust(names)}  {v.rjust(values)}  {remark}".rstrip() for n, v, remark in lines)


def _costs(latency_s: float, energy_pj: float | None, traffic_bytes: float) -> list[str]:
    return [si(latency_s, "s"), "-" if energy_pj is None else joules(energy_pj), binary(traffic_bytes)]


def _front(front: Sequence[Candidate]) -> str:
    rows = []
    for c in front:
        sizes = ", ".join(f"{name} {size:,}" for name, size in c.mapping.tiles if isinstance(size, int))
        rows.append([c.name, *_costs(c.report.latency_s, c.energy_pj, c.report.traffic_bytes), sizes])
    headers = ["no other is better in both", "latency", "energy", "traffic", "sizes and tiles"]
    return table(rows, headers, "lrrrl", width=WIDTH)


def _beside(best: Candidate, others: Sequence[Candidate]) -> str:
    """The best mapping beside the built-in dataflows, with the factors between them."""
    if not others:
        return "no built-in dataflow is legal here"
    rows = []
    for c in (best, *(o for o in others if o.name != best.name or o.mapping != best.mapping)):
        latency, energy, traffic = _costs(c.report.latency_s, c.energy_pj, c.report.traffic_bytes)
        ratios = [_times(c.report.latency_s, best.report.latency_s), _times(c.energy_pj, best.energy_pj)]
        ratios.append(_times(c.report.traffic_bytes, best.report.traffic_bytes))
        rows.append([c.name, latency, ratios[0], energy, ratios[1], traffic, ratios[2]])
    return table(rows, ["mapping", "latency", "", "energy", "", "traffic", ""], "lrrrrrr", width=WIDTH)


def _times(value: float | None, of: float | None) -> str:
    return "-" if value is None or not of else f"{value / of:.3g}x"


def _sureness(found: Best, interrupted: str) -> str:
    """How sure it is that nothing is better, and what that rests on."""
    cuts = f" over {found.cuts} ways to cut a rank" if found.cuts > 1 else ""
    looked = f"{found.counted:.3g} mappings counted{cuts}, {found.priced:,} tile sizes priced"
    time = si(found.seconds, "s")
    if found.proven:
        return (
            f"proven: no mapping of the space and no built-in dataflow is better ({looked}, the rest left out by "
            f"bounds or by what fits; {time})"
        )
    gap = f"at most {percent(1 - found.bound / found.value)} better" if found.bound > 0 else "not bounded"
    of = {"latency": "s", "energy": "J", "edp": "J s", "pareto": "J s"}[found.objective]
    bound = found.bound * (1e-12 if found.objective != "latency" else 1)
    why = f"{interrupted}: " if interrupted else ""
    return f"{why}not proven: the optimum is {gap} (no mapping is below {si(bound, of)}; {looked}; {time})"


def _notes(best: Candidate) -> Iterator[str]:
    if best.report.notes:
        yield "\n".join(_fill(f"note: {note}") for note in best.report.notes)
