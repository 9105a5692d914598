"""The analysis of a cascade as a user asks for it: passes, live footprints and operations, with sizes or without."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusemap.einsum_cascade.analysis_rows import ONE, extent_of, is_plain, rows_in_order
from fusemap.einsum_cascade.analysis_sizes import at_sizes, known_sizes
from fusemap.einsum_cascade.analysis_text import certificate, certificates, counted
from fusemap.einsum_cascade.latex import inline
from fusemap.einsum_cascade.notebook import table_html
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.resolve import Sizes
from fusemap.einsum_cascade.types import Cascade, ShapeName

if TYPE_CHECKING:
    import sympy

    from fusemap.einsum_cascade.counts_record import OperationCount
    from fusemap.einsum_cascade.passes.footprints import Footprint, JointFootprint


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Analysis:
    """Passes of every (tensor, rank), live footprints and operation counts of a cascade.

    `sizes` are those that are given or follow, `open` the shapes without one. The passes are those at these sizes
    and for all open ones of at least `pass_analysis.least`; of open factors of a given size any. Footprints
    (elements; `joint` of all tensors together) and counts are formulas in the shapes.
    """

    pass_analysis: PassAnalysis
    footprints: tuple[Footprint, ...]
    joint: JointFootprint
    operations: tuple[OperationCount, ...]
    sizes: Sizes
    open: tuple[ShapeName, ...]
    workload: str | None = None

    @property
    def cascade(self) -> Cascade:
        """The cascade that was analysed."""
        return self.pass_analysis.cascade

    @property
    def passes(self) -> tuple[RankPasses, ...]:
        """One row per (tensor, rank), in the order of the text."""
        return self.pass_analysis.passes

    @property
    def label(self) -> dict[ShapeName, PassCount]:
        """The most passes of any tensor by rank, sequences first: "N-pass cascade on M"."""
        found = self.pass_analysis.label
        return {row.rank: found[row.rank] for row in rows_in_order(self.cascade, self.passes)}

    def row(self, tensor: str, rank: str) -> RankPasses:
        """The answer for one (tensor, rank); KeyError if nothing reads the tensor along it."""
        return self.pass_analysis.row(tensor, rank)

    def hardest(self) -> tuple[tuple[RankPasses, ...], ...]:
        """The rows with the most passes on every rank that needs several; those with one proof together."""
        label = self.label
        rows = rows_in_order(self.cascade, self.passes)
        return tuple(certificates(r for r in rows if label[r.rank] != ONE and r.passes == label[r.rank]))

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/analyze/1`; footprints and counts are formulas where a size is open."""
        return {
            "schema": "fusemap/analyze/1",
            "cascade": self.cascade.name,
            "workload": self.workload,
            "sizes": dict(self.sizes),
            "open": list(self.open),
            "least": self.pass_analysis.least,
            "label": {rank: self._number(count) for rank, count in self.label.items()},
            "passes": [self._row(row) for row in self.passes],
            "footprints": [
                {
                    "tensor": f.tensor,
                    **self._formula("store", f.store),
                    **self._formula("recompute", f.recompute),
                    "exact": f.exact,
                }
                for f in self.footprints
            ],
            "joint_footprint": {"loops": list(self.joint.order), **self._formula("elements", self.joint.count)},
            "operations": [
                {
                    "einsum": c.einsum,
                    "operator": c.operator,
                    "kind": c.kind,
                    **self._formula("count", c.count),
                    "exact": c.exact,
                }
                for c in self.operations
            ],
        }

    def _row(self, row: RankPasses) -> dict[str, Any]:
        return {
            "tensor": row.tensor,
            "rank": row.rank,
            "passes": self._number(row.passes),
            "upper": None if row.upper is None else self._number(row.upper),
            "exact": row.exact,
            "direct": self._number(row.direct),
            "lookahead": row.lookahead if row.upper is not None else None,
            "method": row.method,
            "assignment": dict(row.assignment),
            "barriers": [
                {"before": list(b.before), "visited_by": list(b.visited_by), "kind": b.kind} for b in row.barriers
            ],
            "when": list(row.when),
            "note": row.note,
        }

    def _number(self, count: PassCount) -> int | str:
        number = count.at(self.sizes)
        return count.to_json() if number is None else max(1, number)

    def _formula(self, name: str, formula: sympy.Expr | None) -> dict[str, object]:
        """A quantity, a number where its sizes are known, and its formula."""
        text = None if formula is None else str(formula)
        return {name: self.value(formula), f"{name}_formula": text}

    def value(self, formula: sympy.Expr | None) -> int | str | None:
        """The number that a formula gives, or its text where sizes are open; None where there is none."""
        return None if formula is None else at_sizes(formula, _by_name(self.sizes))

    def headline(self) -> str:
        """What a paper would call the cascade, and where it needs more.

        >>> from fusemap.einsum_cascade.catalog import load
        >>> analyze_cascade(load("attention-2pass")).headline()
        'attention-2pass: a 2-pass cascade on M; 3 passes on M1, M0; 1 pass on E, P, F'
        """
        (first, count), *others = self.label.items() or [(ShapeName(""), ONE)]
        if not first:
            return f"{self.cascade.name}: nothing reads a tensor along a rank"
        by_count: dict[str, list[str]] = {}
        for rank, number in sorted(others, key=lambda item: item[1] == ONE):
            by_count.setdefault(self._about(rank, counted(number)), []).append(rank)
        rest = "".join(f"; {number} on {', '.join(ranks)}" for number, ranks in by_count.items())
        words = self._about(first, counted(count))
        noun = f"a {count}-pass cascade" if words == counted(count) and not count.steps else words
        return f"{self.cascade.name}: {noun} on {first}{rest}"

    def _about(self, rank: ShapeName, number: str) -> str:
        """The number of passes over a rank, said as it is known."""
        rows = [row for row in self.passes if row.rank == rank]
        most = extent_of(self.label[rank])
        if any(row.method == "instance" for row in rows):
            return f"{number} (on a small instance)"
        reached = all(row.upper is not None and extent_of(row.upper) <= most for row in rows)
        return number if reached else f"at least {number}"

    def __str__(self) -> str:
        return "\n".join([self.headline(), *("\n" + certificate(rows) for rows in self.hardest())])

    def __repr__(self) -> str:
        return f"<Analysis of {self.headline()}>"

    def _table(self) -> list[list[str]]:
        rows = rows_in_order(self.cascade, self.passes)
        shown = [row for row in rows if not is_plain(row)] or list(rows)
        return [
            [f"({r.tensor}, {r.rank})", str(r.passes), "-" if r.upper is None else str(r.upper), str(r.direct)]
            for r in shown
        ]

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for every (tensor, rank) with something to say, and the proofs."""
        proofs = html.escape("\n\n".join(certificate(rows) for rows in self.hardest()))
        shown = table_html(self.headline(), ["", "passes", "schedule", "all stored"], self._table())
        return f'{shown}<pre style="text-align:left;line-height:1.35">{proofs}</pre>' if proofs else shown

    def _repr_latex_(self) -> str:
        """The formulas of the cascade and the table, for a notebook that is made a paper."""
        body = r" \\ ".join(
            " & ".join([rf"\mathrm{{{name}}}".replace("_", r"\_"), *(c.replace("*", r" \cdot ") for c in cells)])
            for name, *cells in self._table()
        )
        head = r"(\mathrm{tensor}, \mathrm{rank}) & \text{passes} & \text{schedule} & \text{all stored}"
        return f"{inline(self.cascade)}\n\n$$\\begin{{array}}{{lrrr}} {head} \\\\ \\hline {body} \\end{{array}}$$"


def analyze_cascade(
    cascade: Cascade,
    *,
    sizes: Mapping[str, int] | None = None,
    workload: str | None = None,
    tensor: str | None = None,
    rank: str | None = None,
    order: Sequence[str] | None = None,
) -> Analysis:
    """The analysis of a cascade at the sizes that are given; `workload` is the name of where they come from.

    `tensor` and `rank` restrict the passes; `order` is that of the loops for footprints, rank variables
    outermost to innermost, by default one that `footprints` chooses. InputError for names that the cascade does not
    have, and for sizes that contradict its `shape` lines.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> found = analyze_cascade(load("attention-3pass"), sizes={"M": 4096, "P": 64})
    >>> [(c.operator, found.value(c.count)) for c in found.operations if c.einsum == "AV"]
    [('mul', '262144*F'), ('sum', '262080*F')]
    """
    from fusemap.einsum_cascade.counts import operation_counts  # SymPy loads after what is wrong is refused
    from fusemap.einsum_cascade.passes.footprints import footprints, joint_footprint

    known, still_open = known_sizes(cascade, sizes or {})
    passes = analyze(cascade, sizes=_by_name(known) if sizes else None, tensor=tensor, rank=rank)
    return Analysis(
        pass_analysis=passes,
        footprints=footprints(cascade, order),
        joint=joint_footprint(cascade, order),
        operations=operation_counts(cascade),
        sizes=known,
        open=still_open,
        workload=workload,
    )


def _by_name(sizes: Sizes) -> dict[str, int]:
    return {str(name): size for name, size in sizes.items()}
