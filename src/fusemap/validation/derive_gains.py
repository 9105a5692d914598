"""What hardware gains from derived cascades: the best mapping of the original and of candidates, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, did_you_mean, input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.derive.search import Derivation, Derived
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.legality import resident_words
from fusemap.mappers.room import group_words
from fusemap.sim.best import find_best
from fusemap.sim.best_candidate import Candidate, Progress
from fusemap.sim.best_case import resized
from fusemap.sim.best_outcome import Best

Form: TypeAlias = Literal["as written", "factored", "merged", "running"]
FORMS: tuple[Form, ...] = ("as written", "factored", "merged", "running")
SECONDS = 10.0  # of the processor, for each search
SAME = 1e-3  # latencies that differ by less are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The best mapping that was found: SI units, energy in pJ (None where the machine lacks prices).

    `operations` count those done again, `buffer_bytes` the most that the buffer holds at once; `gap`: how far the
    latency may be above the least, 0 where it is `proven`.
    """

    latency_s: float
    energy_pj: float | None
    traffic_bytes: float
    buffer_bytes: float
    operations: int
    limited_by: str
    chunks: tuple[tuple[str, int], ...]
    proven: bool
    gap: float

    def to_json(self) -> dict[str, object]:
        """The fields; a gap that is not bounded is null."""
        found = asdict(self)
        return found | {"chunks": dict(self.chunks), "gap": self.gap if self.gap < float("inf") else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A cascade with its passes and its mapping, or why it has none.

    `form`: as written; with factors out of sums, `factored`; in chunks that are `merged` at the end or kept `running`.
    """

    name: str
    form: Form
    passes: int
    rules: str
    mapped: Mapped | None
    refusal: str
    seconds: float

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {
            "name": self.name,
            "form": self.form,
            "passes": self.passes,
            "rules": self.rules.split(", ") if self.rules else [],
            "mapping": None if self.mapped is None else self.mapped.to_json(),
            "refusal": self.refusal or None,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """The original first, then candidates with ever fewer passes, on one machine at one size.

    `chunks_of` is the row whose search chose the size of chunks that others took over (empty: none did).
    """

    arch: str
    workload: str
    rank: str
    rows: tuple[Gain, ...]
    chunks_of: str

    @property
    def fastest(self) -> Gain | None:
        """The row with the least latency; of those as fast the one with least energy (or traffic)."""
        found = [(row, row.mapped) for row in self.rows if row.mapped is not None]
        least = min((m.latency_s for _, m in found), default=0.0)
        same = [(row, m) for row, m in found if m.latency_s <= least * (1 + SAME)]
        return min(same, key=lambda item: item[1].energy_pj or item[1].traffic_bytes, default=(None, None))[0]

    def fewest(self) -> Gain | None:
        """The fastest of the rows with fewest passes."""
        found = [(row, row.mapped.latency_s) for row in self.rows if row.mapped is not None]
        return min(found, key=lambda item: (item[0].passes, item[1]), default=(None, 0.0))[0]

    def to_json(self) -> dict[str, object]:
        """The value of `gains` in the document `fusemap/derive/1`."""
        rows = [row.to_json() for row in self.rows]
        return {"arch": self.arch, "workload": self.workload, "chunks_of": self.chunks_of or None, "rows": rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the searches of all rows share: a machine, a workload, how long each goes on, and who is told."""

    machine: Machine
    workload: Workload
    seconds: float
    stop: Callable[[], bool]
    watch: Callable[[Progress], None]


def gains(
    found: Derivation,
    machine: Machine,
    workload: Workload,
    *,
    sizes: Mapping[str, int] | None = None,
    compare: Sequence[str] = (),
    all_chunks: bool = False,
    seconds: float = SECONDS,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Gains:
    """The search of `fusemap map` for the original and for candidates: `compare`, or the best of each kind.

    The size of chunks is searched for the first candidate that has them and taken over by the others, which makes them
    comparable and the search short; with `all_chunks` it is searched for each. A search ends after so many `seconds` of
    the processor, and the row has a gap then. InputError: sizes or names that nothing has, or as `find_best`.
    """
    given = dict(sizes or {})
    chosen = tuple(found.named(name) for name in compare) or chosen_of(found)
    _require_known(given, [found.original, *(c.cascade for c in found.candidates)], workload)
    setting = Setting(machine=machine, workload=workload, seconds=seconds, stop=stop, watch=watch)
    rows = [_gain(found, None, given, setting)]
    chunk: dict[str, int] = {}
    chooser = ""
    for candidate in sorted(chosen, key=lambda c: (form_of(c) == "merged", c.passes)):
        row = _gain(found, candidate, chunk | given, setting)
        if row.mapped is None and chunk:
            row = _gain(found, candidate, given, setting)  # its own chunks may fit
        if row.mapped is not None and row.mapped.chunks and not (all_chunks or chunk):
            chunk = dict(row.mapped.chunks[-1:])
            chooser = "" if set(chunk) & set(given) else row.name
        rows.append(row)
    ordered = sorted(rows, key=lambda row: (FORMS.index(row.form) > 0, -row.passes, FORMS.index(row.form)))
    name = _sized_name(workload, given)
    return Gains(arch=machine.name, workload=name, rank=found.rank, rows=tuple(ordered), chunks_of=chooser)


def chosen_of(found: Derivation) -> tuple[Derived, ...]:
    """The best candidate of each number of passes and form; those with fewer passes than the original, if any have."""
    fewer = [c for c in found.candidates if c.passes < found.passes] or list(found.candidates)
    best: dict[tuple[int, Form], Derived] = {}
    for candidate in sorted(fewer, key=lambda c: not c.gate.safe):
        best.setdefault((candidate.passes, form_of(candidate)), candidate)
    return tuple(best.values())


def form_of(candidate: Derived) -> Form:
    """The form of a candidate, by its structure."""
    if candidate.cascade.stops:
        return "running"
    split = any(s.name == candidate.rank and len(s.factors) > 1 for s in candidate.cascade.shapes)
    return "merged" if split else "factored"


def _gain(found: Derivation, candidate: Derived | None, sizes: Mapping[str, int], setting: Setting) -> Gain:
    """The row of a candidate, or of the original."""
    start = time.process_time()
    cascade = found.original if candidate is None else candidate.cascade
    known = {*map(str, scope.known_shapes(cascade)), *setting.workload.sizes}
    mapped, refusal = None, ""
    try:
        own = {name: size for name, size in sizes.items() if name in known}
        sized, added = resized(cascade, setting.workload, own)
        best = find_best(  # as `map_case`, without its search for sizes that would fit
            cascade,
            setting.machine,
            sized,
            sizes=added,
            stop=lambda: setting.stop() or time.process_time() - start > setting.seconds,
            watch=setting.watch,
        )
        mapped = _mapped(best, cascade, found.rank, setting.machine)
    except DoesNotFit as answer:
        refusal = "; ".join(f"{v.what} (needs {v.need:,.0f} {v.unit} of {v.limit:,.0f})" for v in answer.violations)
    return Gain(
        name=cascade.name,
        form="as written" if candidate is None else form_of(candidate),
        passes=found.passes if candidate is None else candidate.passes,
        rules="" if candidate is None else candidate.rules,
        mapped=mapped,
        refusal=refusal,
        seconds=time.process_time() - start,
    )


def _mapped(found: Best, cascade: Cascade, rank: str, machine: Machine) -> Mapped:
    best = found.best
    parts = [str(f) for s in cascade.shapes if s.name == rank and len(s.factors) > 1 for f in s.factors]
    return Mapped(
        latency_s=best.report.latency_s,
        energy_pj=best.energy_pj,
        traffic_bytes=best.report.traffic_bytes,
        buffer_bytes=max(_held_words(best, machine.memories[1].name), default=0.0) * machine.word_bytes,
        operations=sum(s.points * len(s.operators) for s in best.problem.spaces),
        limited_by=best.report.bottleneck,
        chunks=tuple((part, dict(best.problem.sizes)[part]) for part in parts),
        proven=found.proven,
        gap=found.gap,
    )


def _held_words(best: Candidate, memory: str) -> Iterator[float]:
    """Words that the memory holds at once, phase by phase and group by group."""
    mapping = best.mapping
    for number, phase in enumerate(mapping.binding):
        if mapping.fusion:
            for group in group_words(best.problem, mapping, mapping.fusion[number], memory):
                yield sum(group.values())
        else:
            yield sum(resident_words(best.problem, mapping, phase, memory).values())


def _require_known(sizes: Mapping[str, int], cascades: Sequence[Cascade], workload: Workload) -> None:
    known = {str(s) for c in cascades for s in scope.known_shapes(c)} | set(workload.sizes)
    for name in sizes:
        if name not in known:
            hint = did_you_mean(name, sorted(known), noun="names")
            raise input_error(f"no rank is named {name}, but a size is given for it", hint=hint)


def _sized_name(workload: Workload, sizes: Mapping[str, int]) -> str:
    """The workload's name with the sizes that were set."""
    shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return f"{workload.name} with {shown}" if shown else workload.name
