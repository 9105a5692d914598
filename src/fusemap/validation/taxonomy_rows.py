"""The taxonomy of attentions by passes: what the analysis proves of every form of every attention.

FuseMax (MICRO 2024), Table I, sorts attention algorithms by the passes of their cascades; here the
passes come from the analysis and are compared with those that were expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.passes.types import Method, PassCount
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.taxonomy import (
    ESTIMATES,
    FORMS,
    EntryModel,
    LeftOutModel,
    WhyModel,
    load_families,
    split_fiber,
)
from fusemap.validation.taxonomy_operations import Operations, operations
from fusemap.validation.taxonomy_state import State, running_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Fiber:
    """Passes over a rank: the most of any tensor with that rank, or those of `tensor`.

    `passes` is proven for every mapping, `upper` is reached by a schedule (None: none was found), `stored` is the
    count if every derived tensor is stored. `method` is `instance` where `passes` was counted at small sizes and
    is not proven for others. `when` lists relations that the count needs. `estimate` was derived by
    hand before; `difference` says why the analysis differs, `inexact` why `upper` is more than `passes`.
    """

    key: str
    passes: PassCount
    upper: PassCount | None
    stored: PassCount
    method: Method
    when: tuple[str, ...]
    estimate: int | str
    difference: str
    inexact: str

    @property
    def exact(self) -> bool:
        """Do proof and schedule agree?"""
        return self.upper == self.passes and self.method == "static"

    @property
    def as_estimated(self) -> bool:
        """Is the number that was expected among those that the analysis leaves open?"""
        if self.method == "instance":
            return True
        if isinstance(self.estimate, str):
            return str(self.estimate) in (str(self.passes), str(self.upper))
        if self.passes.steps or (self.upper is not None and self.upper.steps):
            return False
        return self.passes.constant <= self.estimate and (self.upper is None or self.estimate <= self.upper.constant)

    @property
    def label(self) -> str:
        """The rank, or tensor and rank in brackets."""
        tensor, rank = split_fiber(self.key)
        return f"({tensor}, {rank})" if tensor else rank

    @property
    def text(self) -> str:
        """The passes as text: from the proven number to that of the schedule where they differ."""
        if self.exact:
            return str(self.passes)
        if self.method == "instance":
            return f"{self.passes} at small sizes"
        return f"{self.passes} or more" if self.upper is None else f"{self.passes} to {self.upper}"

    def to_json(self) -> dict[str, object]:
        """The fields, and the tensor and rank of the key."""
        tensor, rank = split_fiber(self.key)
        return {
            "tensor": tensor,
            "rank": rank,
            "passes": self.passes.to_json(),
            "upper": None if self.upper is None else self.upper.to_json(),
            "exact": self.exact,
            "method": self.method,
            "stored": self.stored.to_json(),
            "when": list(self.when),
            "estimate": self.estimate,
            "difference": self.difference or None,
            "inexact": self.inexact or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One form of an attention; the first fiber is the one it is grouped by, `state` see `running_state`."""

    entry: EntryModel
    form: str
    cascade: str
    fibers: tuple[Fiber, ...]
    state: State | None
    operations: Operations

    @property
    def name(self) -> str:
        """The attention, and who computes it by this form."""
        users = self.entry.used_by.direct if self.form == "direct" else self.entry.used_by.streaming
        return f"{self.entry.name} ({users})" if users else self.entry.name

    def to_json(self) -> dict[str, object]:
        """One element of `rows`."""
        return {
            "name": self.name,
            "paper": self.entry.paper,
            "citation": self.entry.citation,
            "source": self.entry.source,
            "simplified": self.entry.simplified or None,
            "form": self.form,
            "cascade": self.cascade,
            "fibers": [fiber.to_json() for fiber in self.fibers],
            "state": None if self.state is None else self.state.to_json(),
            "operations": self.operations.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxonomy:
    """All rows in the order of the files, and the papers that were left out."""

    rows: tuple[Row, ...]
    left_out: tuple[LeftOutModel, ...]

    @property
    def groups(self) -> tuple[tuple[PassCount, tuple[Row, ...]], ...]:
        """The rows by the passes of their first fibers, most passes first, formulas last."""
        counts = sorted({r.fibers[0].passes for r in self.rows}, key=lambda c: (c.steps, -c.constant))
        return tuple((c, tuple(r for r in self.rows if r.fibers[0].passes == c)) for c in counts)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/taxonomy/1`."""
        return {
            "schema": "fusemap/taxonomy/1",
            "rows": [row.to_json() for row in self.rows],
            "left_out": [{"name": paper.name, "reason": paper.reason} for paper in self.left_out],
        }


def taxonomy() -> Taxonomy:
    """Analyse every form of every attention of the taxonomy."""
    families = load_families()
    entries = [entry for family in families for entry in family.model.encoded]
    return Taxonomy(
        rows=rows_of(entries), left_out=tuple(paper for family in families for paper in family.model.left_out)
    )


def rows_of(entries: Sequence[EntryModel]) -> tuple[Row, ...]:
    """One row for every form of the entries."""
    return tuple(_row(entry, form) for entry in entries for form in FORMS if entry.cascade(form) is not None)


def _row(entry: EntryModel, form: str) -> Row:
    name = entry.cascade(form)
    assert name is not None
    cascade = load(name)
    return Row(
        entry=entry,
        form=form,
        cascade=name,
        fibers=tuple(_fiber(entry, form, cascade, key) for key in entry.estimate),
        state=running_state(cascade, split_fiber(next(iter(entry.estimate)))[1]),
        operations=operations(cascade),
    )


def _fiber(entry: EntryModel, form: str, cascade: Cascade, key: str) -> Fiber:
    """What the analysis says of the tensors with a rank, the most of them all."""
    tensor, rank = split_fiber(key)
    found = analyze(cascade, tensor=tensor, rank=rank).passes
    passes = max((row.passes for row in found), key=_size)
    uppers = [row.upper for row in found]
    kind = ESTIMATES[form]
    return Fiber(
        key=key,
        passes=passes,
        upper=None if None in uppers else max((u for u in uppers if u is not None), key=_size),
        stored=max((row.direct for row in found), key=_size),
        method="instance" if any(row.method == "instance" for row in found) else "static",
        when=tuple(dict.fromkeys(w for row in found if row.passes == passes for w in row.when)),
        estimate=getattr(entry.estimate[key], kind),
        difference=_why(entry.difference, key, kind),
        inexact=_why(entry.inexact, key, kind),
    )


def _size(count: PassCount) -> tuple[int, int]:
    return count.steps, count.constant


def _why(whys: dict[str, WhyModel], key: str, kind: str) -> str:
    return getattr(whys[key], kind) or "" if key in whys else ""
