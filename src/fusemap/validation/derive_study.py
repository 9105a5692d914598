"""Every cascade of the library through `derive`, over every rank with more than one pass: what comes out, or why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.derive.gate import Gate
from fusemap.einsum_cascade.derive.search import Derivation, derive
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.scope import (
    accesses,
    depends_on_data,
    iterative_ranks,
    output_variables,
    outputs,
    plain_variable,
    rank_variables,
)
from fusemap.einsum_cascade.types import Cascade

Kind: TypeAlias = Literal["one", "fewer", "owned", "steps", "data", "product", "index", "apart"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A cascade and a rank: passes before and after (equal where nothing was found), how, and how accurate.

    `kind`: reduced to `one` pass or to `fewer`; else why not: an output with the rank needs what is complete (`owned`),
    the cascade `steps` through a rank already, reads at coordinates that are `data`, has the rank as a declared
    `product` or a part of one, or in a sum of an `index`, or has terms that do not come `apart`. `reasons` are those of
    the rules, also of what they could not reduce further. `seconds` are of the processor.
    """

    cascade: str
    rank: str
    before: int
    after: int
    kind: Kind
    best: str
    rules: str
    accuracy: tuple[str, ...]
    safe: bool
    reasons: tuple[str, ...]
    candidates: int
    refused: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {
            "cascade": self.cascade,
            "rank": self.rank,
            "before": self.before,
            "after": self.after,
            "kind": self.kind,
            "best": self.best or None,
            "rules": self.rules.split(", ") if self.rules else [],
            "accuracy": list(self.accuracy),
            "safe": self.safe,
            "reasons": list(self.reasons),
            "candidates": self.candidates,
            "refused": self.refused,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The rows of all cascades, in the order of their names."""

    rows: tuple[StudyRow, ...]

    def of(self, *kinds: Kind) -> tuple[StudyRow, ...]:
        """The rows of some kinds."""
        return tuple(row for row in self.rows if row.kind in kinds)

    @property
    def slowest(self) -> StudyRow:
        """The row whose derivation took longest."""
        return max(self.rows, key=lambda row: row.seconds)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/derive-study/1`."""
        return {"schema": "fusemap/derive-study/1", "rows": [row.to_json() for row in self.rows]}


def study(cascades: Iterable[str] | None = None, *, progress: Callable[[str], None] = lambda text: None) -> Study:
    """All rows of some cascades of the library, by default of all."""
    rows: list[StudyRow] = []
    for name in names() if cascades is None else cascades:
        for rank in ranks_of(name):
            progress(f"{name} over {rank}")
            rows.append(row_of(name, rank))
    return Study(rows=tuple(rows))


def ranks_of(name: str) -> tuple[str, ...]:
    """The ranks over which some tensor of a cascade needs more than one pass.

    >>> ranks_of("softmax"), ranks_of("qk-norm-attention"), ranks_of("linear-attention")
    (('K',), ('E', 'M'), ())
    """
    found = analyze(load(name)).label
    return tuple(str(rank) for rank, count in found.items() if count.constant + count.steps > 1)


def row_of(name: str, rank: str) -> StudyRow:
    """The row of a cascade of the library and a rank."""
    start = time.process_time()
    found = derive(load(name), rank)
    best = found.best
    return StudyRow(
        cascade=name,
        rank=rank,
        before=found.passes,
        after=found.passes if best is None else best.passes,
        kind=_kind(found),
        best="" if best is None else best.name.removeprefix(f"{name}-"),
        rules="" if best is None else best.rules,
        accuracy=() if best is None else accuracy(best.gate),
        safe=best is not None and best.gate.safe,
        reasons=found.reasons,
        candidates=len(found.candidates),
        refused=len(found.refused),
        seconds=time.process_time() - start,
    )


def accuracy(gate: Gate) -> tuple[str, ...]:
    """Where a candidate is less accurate than the original, with its verdict, and where the original itself fails."""
    found = []
    for regime in gate.regimes:
        if not regime.reference:
            found.append(f"not finite at {regime.name}, as the original")
        elif regime.verdict != "equal":
            found.append(f"{regime.verdict} at {regime.name}")
    return tuple(found)


def _kind(found: Derivation) -> Kind:
    """What came out, by the structure of the cascade."""
    cascade, rank = found.original, found.rank
    if found.best is not None:
        return "one" if found.best.passes == 1 else "fewer"
    if iterative_ranks(cascade):
        return "steps"
    if any(depends_on_data(einsum) for einsum in cascade.einsums):
        return "data"
    declared = {str(s.name): (s.factors, s.constant) for s in cascade.shapes}
    if declared.get(rank, ((), None)) != ((), None) or any(rank in s.factors for s in cascade.shapes):
        return "product"
    if not _is_plain(cascade, rank.lower()):
        return "index"
    owned = {str(v) for e in cascade.einsums if e.name in outputs(cascade) for v in output_variables(e.output)}
    return "owned" if rank.lower() in owned else "apart"


def _is_plain(cascade: Cascade, var: str) -> bool:
    """Has every index with the variable nothing else in it?"""
    every = (i.expr for e in cascade.einsums for a in (e.output, *accesses(e)) for i in a.indices)
    return all(plain_variable(expr) is not None for expr in every if var in rank_variables(expr))
