"""What the figures of a study show, as data: each point computed and, where there is one, published."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.figures_scatter import ScatterData, scatter_data
from fusemap.validation.published import Published
from fusemap.validation.reproduce import StudyRow
from fusemap.validation.reproduction import Reproduction
from fusemap.validation.rows import EndToEndRow
from fusemap.validation.study import FigureModel, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value of a figure; `part` is empty unless the figure splits an array's time by Einsum."""

    configuration: str
    model: str
    seq_len: int
    part: str
    computed: float
    published: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureData:
    """A figure's points, configuration by configuration in the study's order."""

    name: str
    shows: str
    axis: str
    points: tuple[Point, ...]

    @property
    def largest_difference(self) -> float:
        """max |computed / published - 1|; 0 without published points."""
        pairs = [(p.computed, p.published) for p in self.points if p.published]
        return max((abs(computed / published - 1) for computed, published in pairs), default=0.0)

    def to_json(self) -> dict[str, object]:
        """The figure as a JSON object."""
        points = [
            {
                "configuration": p.configuration,
                "model": p.model,
                "seq_len": p.seq_len,
                "part": p.part,
                "computed": p.computed,
                "published": p.published,
            }
            for p in self.points
        ]
        return {"figure": self.name, "shows": self.shows, "points": points}


Key: TypeAlias = tuple[str, str, int]  # configuration, model, length
Values: TypeAlias = Mapping[Key, Mapping[str, float]]  # quantity -> value
AnyFigure: TypeAlias = FigureData | ScatterData


def choose_figures(study: Study, name: str) -> tuple[str, ...]:
    """The figures that a name or `all` stands for; InputError for one that is unknown or not modelled."""
    figures, missing = study.model.figures, study.model.not_modelled
    if name == "all":
        return tuple(figures)
    valid = ", ".join([*figures, "all"])
    if name in missing:
        raise input_error(f"figure {name} ({missing[name]}) is not modelled yet", hint=f"figures that are: {valid}")
    if name not in figures:
        raise input_error(
            f"unknown figure {name}", hint=did_you_mean(name, [*figures, *missing, "all"], noun="figures")
        )
    return (name,)


def study_figure(found: Reproduction, name: str) -> AnyFigure:
    """A figure of a reproduced study."""
    if found.study.model.figures[name].study == "pareto":
        return scatter_data(found.study, name, found.pareto, found.published)
    return figure_data(found.study, name, found.rows, found.published, whole=found.whole)


def figure_data(
    study: Study,
    name: str,
    rows: Sequence[StudyRow],
    values: Iterable[Published],
    *,
    whole: Sequence[EndToEndRow] = (),
) -> FigureData:
    """The points of a figure of the attention's `rows`, or of the `whole`; a row that is missing leaves a gap."""
    figure = study.model.figures[name]
    tables: dict[str, dict[Key, dict[str, float]]] = {}
    for v in values:
        table = tables.setdefault(v.study, {})
        table.setdefault((v.configuration, v.model, v.seq_len), {})[v.quantity] = v.value
    published: Values = tables.get(study.model.experiment, {})
    if figure.study == "end_to_end":
        computed = {(r.configuration, r.model, r.seq_len): r.quantities() for r in whole}
        points = _bars(figure, computed, _sums(study, published, tables.get("linear", {})))
    elif figure.parts:
        points = _parts(figure, rows, published)
    else:
        named = {(r.configuration, r.model, r.seq_len): r.quantities(study.model.utilization) for r in rows}
        points = _bars(figure, named, published)
    return FigureData(name=name, shows=figure.shows, axis=figure.axis, points=tuple(points))


def _sums(study: Study, attention: Values, linear: Values) -> Values:
    """What was published end to end: each value of the attention and that of the linear layers beside it."""
    beside = study.model.linear.beside if study.model.linear is not None else {}
    return {
        (c, model, n): {q: value + layers[q] for q, value in values.items() if q in layers}
        for (c, model, n), values in attention.items()
        if (layers := linear.get((beside.get(c, ""), model, n))) is not None
    }


def _bars(figure: FigureModel, computed: Values, published: Values) -> Iterable[Point]:
    for key in computed:
        value = _quantity(figure, computed, key)
        if value is not None:
            yield _point(key, "", value, _quantity(figure, published, key))


def _quantity(figure: FigureModel, values: Values, key: Key) -> float | None:
    """The figure's quantity of one row, over that of `relative_to` (or that over it); None where one is missing."""
    quantity = figure.quantity or ""
    value = values.get(key, {}).get(quantity)
    if figure.relative_to is None or value is None:
        return value
    base = values.get((figure.relative_to, *key[1:]), {}).get(quantity)
    if base is None:
        return None
    return base / value if figure.inverted else value / base


def _parts(figure: FigureModel, rows: Sequence[StudyRow], published: Values) -> Iterable[Point]:
    """The share of each part's Einsums in the array's time, for the rows of the figure's model."""
    for row in rows:
        if row.model != figure.model or row.configuration not in figure.configurations:
            continue
        key = (row.configuration, row.model, row.seq_len)
        shares = {t.einsum: row.report.einsum_utilization(t) for t in row.report.einsums if t.array == figure.array}
        printed = published.get(key, {})
        for part, einsums in figure.parts.items():
            found = [e for e in einsums if e in shares]
            given = [printed[f"utilization of {e}"] for e in found if f"utilization of {e}" in printed]
            if found:
                yield _point(key, part, sum(shares[e] for e in found), sum(given) if given else None)


def _point(key: Key, part: str, computed: float, published: float | None) -> Point:
    configuration, model, seq_len = key
    return Point(
        configuration=configuration, model=model, seq_len=seq_len, part=part, computed=computed, published=published
    )


def to_csv(data: AnyFigure) -> str:
    """The points as CSV text, numbers with all their digits."""
    if isinstance(data, ScatterData):
        return data.to_csv()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["configuration", "model", "seq_len", "part", "computed", "published"])
    for p in data.points:
        published = "" if p.published is None else p.published
        writer.writerow([p.configuration, p.model, p.seq_len, p.part, p.computed, published])
    return text.getvalue()


def short_length(seq_len: int) -> str:
    """A sequence length as papers print it.

    >>> short_length(65536), short_length(1 << 20), short_length(1000)
    ('64K', '1M', '1000')
    """
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if seq_len >= size and seq_len % size == 0:
            return f"{seq_len // size}{unit}"
    return str(seq_len)
