"""A figure of a study's machines of many sizes, as data: one quantity against another, computed and published."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from fusemap.validation.published import Published
from fusemap.validation.rows import ParetoRow
from fusemap.validation.study import Study

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterPoint:
    """A machine (`value` of the parameter that sizes it) for one model; pairs are (x, y)."""

    model: str
    value: int
    computed: Pair
    published: Pair | None

    @property
    def difference(self) -> float:
        """max |computed / published - 1| of both coordinates; 0 without a published point."""
        pairs = zip(self.computed, self.published or self.computed, strict=True)
        return max(abs(computed / published - 1) for computed, published in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterData:
    """The points of such a figure: `quantity` over `against`, model by model, in ascending order of the parameter."""

    name: str
    shows: str
    quantity: str
    axis: str
    against: str
    against_axis: str
    parameter: str
    points: tuple[ScatterPoint, ...]

    @property
    def largest_difference(self) -> float:
        """The largest of the points' differences."""
        return max((p.difference for p in self.points), default=0.0)

    def to_json(self) -> dict[str, object]:
        """The figure as a JSON object."""
        return {"figure": self.name, "shows": self.shows, "points": [dict(self._cells(p)) for p in self.points]}

    def to_csv(self) -> str:
        """The points as CSV text, numbers with all their digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for i, point in enumerate(self.points):
            cells = dict(self._cells(point))
            if i == 0:
                writer.writerow(cells)
            writer.writerow("" if value is None else value for value in cells.values())
        return text.getvalue()

    def _cells(self, point: ScatterPoint) -> Iterable[tuple[str, object]]:
        yield "model", point.model
        yield self.parameter, point.value
        for i, name in enumerate((self.against, self.quantity)):
            yield name, point.computed[i]
            yield f"published_{name}", point.published[i] if point.published is not None else None


def scatter_data(study: Study, name: str, rows: Iterable[ParetoRow], values: Iterable[Published]) -> ScatterData:
    """The points of a figure of the study's machines of many sizes; a row that is missing leaves a gap."""
    figure = study.model.figures[name]
    x, y = figure.against or "", figure.quantity or ""
    printed = {(v.configuration, v.model, v.quantity): v.value for v in values if v.study == "pareto"}
    points = []
    for row in rows:
        quantities = row.quantities()
        given = [printed.get((row.configuration, row.model, q)) for q in (x, y)]
        published = (given[0], given[1]) if given[0] is not None and given[1] is not None else None
        computed = (quantities[x], quantities[y])
        points.append(ScatterPoint(model=row.model, value=row.value, computed=computed, published=published))
    return ScatterData(
        name=name,
        shows=figure.shows,
        quantity=y,
        axis=figure.axis,
        against=x,
        against_axis=figure.against_axis,
        parameter=study.model.pareto.parameter if study.model.pareto is not None else "",
        points=tuple(points),
    )
