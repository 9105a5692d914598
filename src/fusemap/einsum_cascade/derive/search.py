"""The search over rules: hoisted or not, running or merged, how many sums go along; ranked by passes, then by cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from fusemap.diagnostics import InputError, did_you_mean, input_error
from fusemap.einsum_cascade.derive.clean import cleaned
from fusemap.einsum_cascade.derive.gate import Gate, gate, trial_of
from fusemap.einsum_cascade.derive.hoist import expanded, hoisted
from fusemap.einsum_cascade.derive.roles import CannotStreamError, roles_of
from fusemap.einsum_cascade.derive.step import Draft, Step
from fusemap.einsum_cascade.derive.stream import Form, streamed
from fusemap.einsum_cascade.notebook import table_html
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.passes.footprints import joint_footprint
from fusemap.einsum_cascade.points import point_operators
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.scope import all_variables, iterative_ranks, known_shapes, shape_of, variables_of
from fusemap.einsum_cascade.types import Cascade

FORMS: tuple[Form, ...] = ("scan", "tree")


@dataclass(frozen=True)
class Derived:
    """A cascade that was derived: its steps, and the most passes of any tensor over the rank (`exact`: a schedule has
    as many).

    `operations` are those at the sizes of `_sizes`, `footprint` the elements that are live at once in the order of
    loops that `analyze` takes: a formula, and its value there. `gate` executes the cascade against the original.
    """

    name: str
    text: str
    cascade: Cascade
    steps: tuple[Step, ...]
    passes: int
    exact: bool
    operations: int
    footprint: str
    live: float
    original: Cascade
    rank: str

    @property
    def conditions(self) -> tuple[str, ...]:
        """What has to hold for it, from all steps."""
        return tuple(dict.fromkeys(c for step in self.steps for c in step.conditions))

    @property
    def rules(self) -> str:
        """The rules in order, each once, as in `hoist, partition, correct`."""
        return ", ".join(dict.fromkeys(step.rule for step in self.steps))

    def to_json(self) -> dict[str, object]:
        """The candidate as a JSON object."""
        return {
            "name": self.name,
            "passes": self.passes,
            "exact": self.exact,
            "steps": [asdict(step) for step in self.steps],
            "conditions": list(self.conditions),
            "operations": self.operations,
            "footprint": self.footprint,
            "gate": self.gate.to_json(),
            "text": self.text,
        }

    @cached_property
    def gate(self) -> Gate:
        """What executions say."""
        inner = next((str(f) for s in self.cascade.shapes if s.name == self.rank for f in s.factors[1:]), None)
        return gate(self.original, self.cascade, trial_of(self.original, self.rank), inner=inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """All cascades that the rules give and that execute as the original, best first.

    `refused` are those that do not; `reasons` say what the rules cannot do, and why.
    """

    original: Cascade
    rank: str
    passes: int
    candidates: tuple[Derived, ...]
    refused: tuple[Derived, ...]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/derive/1`."""
        best = self.best
        return {
            "schema": "fusemap/derive/1",
            "cascade": self.original.name,
            "rank": self.rank,
            "passes": self.passes,
            "best": None if best is None else best.name,
            "candidates": [c.to_json() for c in self.candidates],
            "refused": [c.to_json() for c in self.refused],
            "reasons": list(self.reasons),
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: the candidates, best first."""
        rows = [
            [c.name, str(c.passes), f"{c.operations:,}", c.rules, "as the original" if c.gate.safe else "see its gate"]
            for c in self.candidates
        ]
        caption = f"{self.original.name}: {self.passes} passes over {self.rank}"
        return table_html(caption, ["cascade", "passes", "operations", "rules", "accuracy"], rows)

    def named(self, name: str) -> Derived:
        """The candidate of that name, or of the name without that of the cascade; InputError with the nearest one."""
        known = {c.name: c for c in self.candidates}
        found = known.get(name) or known.get(f"{self.original.name}-{name}")
        if found is None:
            short = [c.removeprefix(f"{self.original.name}-") for c in known]
            raise input_error(f"no candidate {name}", hint=did_you_mean(name, short, noun="candidates"))
        return found

    @property
    def best(self) -> Derived | None:
        """The first with fewer passes than the original that executes as it does; of those with as few, a safe one."""
        good = [c for c in self.candidates if c.passes < self.passes]
        least = [c for c in good if c.passes == good[0].passes]
        return next((c for c in least if c.gate.safe), next(iter(least), None))


def derive(
    cascade: Cascade, rank: str, *, safe: bool = False, progress: Callable[[str], None] = lambda text: None
) -> Derivation:
    """Equivalent cascades with fewer passes over a rank, ranked by (passes, conditions, operations, footprint).

    `safe` writes corrections so that they hold where the first chunks have no element (as under filters always).
    InputError: the cascade has no such rank.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> found = derive(load("attention-3pass"), "M")
    >>> found.passes, found.best.passes, found.best.name
    (3, 1, 'attention-3pass-hoist-scan-2')
    """
    ranks = {str(shape_of(v)) for v in all_variables(cascade)} | {str(s) for s in known_shapes(cascade)}
    if rank not in ranks:
        raise input_error(f"{cascade.name} has no rank {rank}", hint=did_you_mean(rank, sorted(ranks), noun="ranks"))
    before = passes_of(cascade, rank)
    reasons: dict[str, None] = {}
    found: dict[str, Derived] = {}
    for draft in _drafts(cascade, rank, safe, reasons):
        progress(draft.cascade.name)
        made = _derived(cascade, draft, rank, reasons)
        if made is not None:
            found.setdefault(made.text.partition("\n")[2], made)
    ranked = sorted(found.values(), key=lambda d: (d.passes, len(d.conditions), d.operations, d.live, d.name))
    good = tuple(d for d in ranked if d.gate.passed)
    least = min((d.passes for d in good), default=before[0])
    for reason in _irreducible(cascade, rank, least):
        reasons.setdefault(reason)
    return Derivation(
        original=cascade,
        rank=rank,
        passes=before[0],
        candidates=good,
        refused=tuple(d for d in ranked if not d.gate.passed),
        reasons=tuple(reasons),
    )


def most_passes(cascade: Cascade) -> str:
    """The rank with most passes, the first of those with as many; InputError where every rank has one."""
    label = {str(rank): count.constant + count.steps for rank, count in analyze(cascade).label.items()}
    rank = max(label, key=lambda r: label[r], default="")
    if not rank or label[rank] < 2:
        raise input_error(f"{cascade.name} needs one pass over every rank", hint="name one all the same: --rank M")
    return rank


def passes_of(cascade: Cascade, rank: str) -> tuple[int, bool]:
    """The most passes of any tensor over the rank, and whether schedules have as many; InputError without that rank."""
    rows = [row for row in analyze(cascade, rank=rank).passes if row.rank == rank]
    counts = [(row.passes.constant + row.passes.steps, row.exact) for row in rows]
    return max((c for c, _ in counts), default=1), all(e for _, e in counts)


def _drafts(cascade: Cascade, rank: str, safe: bool, reasons: dict[str, None]) -> Iterator[Draft]:
    try:
        starts = _starts(cascade, rank)
    except CannotStreamError as error:
        reasons[str(error)] = None
        return
    for start in starts:
        if start.steps:
            yield start
        dependent = len(roles_of(start.cascade, rank).dependent)
        for form in FORMS:
            for merged in range(1, dependent + 1):
                try:
                    draft = streamed(start, rank, form, merged, safe=safe)
                except (CannotStreamError, ValueError) as error:
                    reasons[str(error)] = None
                    break
                name = f"{start.cascade.name}-{form}" + (f"-{merged}" if dependent > 1 else "")
                yield replace(draft, cascade=cleaned(replace(draft.cascade, name=name)))


def _starts(cascade: Cascade, rank: str) -> list[Draft]:
    """The cascade as it is, with factors drawn out of sums, and with polynomials taken apart."""
    plain = Draft(cascade=cleaned(cascade))
    out = hoisted(plain, rank)
    powers = expanded(out, rank)
    found: dict[str, Draft] = {}
    for suffix, draft in (("", plain), ("-hoist", out), ("-expand", powers)):
        body = format_cascade(cleaned(draft.cascade)).partition("\n")[2]
        named = replace(cleaned(draft.cascade), name=f"{cascade.name}{suffix}")
        found.setdefault(body, replace(draft, cascade=named))
    return list(found.values())


def _derived(original: Cascade, draft: Draft, rank: str, reasons: dict[str, None]) -> Derived | None:
    text = format_cascade(draft.cascade)
    try:
        again = parse(text, file=f"{draft.cascade.name}.cascade")
        passes, exact = passes_of(again, rank)
    except InputError as error:
        reasons[f"{draft.cascade.name} is no cascade: {error.diagnostics[0].message}"] = None
        return None
    footprint, live = _footprint(again, _sizes(original, rank))
    return Derived(
        footprint=footprint,
        live=live,
        name=draft.cascade.name,
        text=text,
        cascade=again,
        steps=draft.steps,
        passes=passes,
        exact=exact,
        operations=_operations(again, _sizes(original, rank)),
        original=original,
        rank=rank,
    )


def _sizes(cascade: Cascade, rank: str) -> dict[str, int]:
    """Sizes at which operations are compared: the rank 4096 in chunks of 256, all else 64."""
    sizes = {str(name): 64 for name in trial_of(cascade, rank).sizes}
    return sizes | {rank: 4096, f"{rank}1": 16, f"{rank}0": 256, f"{rank}11": 16, f"{rank}00": 256}


def _operations(cascade: Cascade, sizes: Mapping[str, int]) -> int:
    """Operators times points of the iteration spaces, filters left out: they cut all candidates alike."""
    stops = {v: str(s.bound.terms[0].shape) for v, s in iterative_ranks(cascade).items()}
    total = 0
    for einsum in cascade.einsums:
        points = math.prod(sizes.get(stops.get(v, shape_of(v)), 64) for v in variables_of(einsum))
        found = point_operators(einsum)
        total += points * (len(found.map) + (found.reduce is not None))
    return total


def _footprint(cascade: Cascade, sizes: Mapping[str, int]) -> tuple[str, float]:
    """Elements that are live at once: a formula, and its value at sizes."""
    count = joint_footprint(cascade, None).count
    return str(count), float(count.subs({s: sizes.get(str(s), 64) for s in count.free_symbols}))


def _irreducible(cascade: Cascade, rank: str, least: int) -> Iterator[str]:
    """Why no cascade has fewer passes: an output owns the rank and needs a complete statistic."""
    if least <= 1:
        return
    try:
        roles = roles_of(cascade, rank)
    except CannotStreamError:
        return
    for name in sorted(roles.outputs()):
        if roles.is_stream(name) and roles.depends(name):
            needed = ", ".join(sorted(roles.after[name]))
            yield f"{name} owns {rank} and needs {needed} complete: at least 2 passes"
