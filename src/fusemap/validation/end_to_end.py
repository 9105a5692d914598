"""The linear layers of a study's models, and the attention with them, end to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from fusemap.archspec.document import Document
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.types import Rank, Workload
from fusemap.archspec.yamlnodes import parse_document
from fusemap.validation.reproduce import Accountings, Bench, Failure, StudyRow, attempted
from fusemap.validation.rows import EndToEndRow, LinearRow
from fusemap.validation.study import Study


class LayersModel(SpecModel):
    """Layers by name: the sizes of their cascade's ranks as expressions of a model's ranks."""

    description: str
    source: str
    layers: dict[str, dict[str, ExpressionField]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A validated file of layers with the places of its parts."""

    model: LayersModel
    document: Document = field(repr=False)

    def workload(self, layer: str, of: Workload) -> Workload:
        """The layer's sizes for a model at a length; InputError for one that is not a positive integer."""
        ranks = []
        for rank, expression in self.model.layers[layer].items():
            path = ("layers", layer, rank)
            size = expression.at(self.document.place(path)).evaluate(of.sizes)
            if size != int(size) or size < 1:
                message = f"{rank} of layer {layer} is {size:g} for {of.name}, expected a positive integer"
                raise self.document.error(path, message)
            ranks.append(Rank(name=rank, size=int(size), source=f"{expression} of {of.name}"))
        return dataclasses.replace(of, name=f"{of.name} {layer}", ranks=tuple(ranks), batch=())


@lru_cache(maxsize=8)
def load_layers(name: str) -> Layers:
    """The layers of a file of `layers/`.

    >>> list(load_layers("transformer").model.layers)[:2]
    ['queries', 'keys']
    """
    path = resources.files("fusemap.validation") / "layers" / f"{name}.yaml"
    document = parse_document(path.read_text(encoding="utf-8"), file=f"{name}.yaml")
    return Layers(model=validate(document, LayersModel), document=document)


def linear_rows(bench: Bench, accountings: Accountings) -> tuple[LinearRow, ...]:
    """The linear layers of every model and length in every one of their configurations; raises what one raises."""
    return tuple(linear_row(bench, *point, accountings) for point in _points(bench.study))


def linear_attempts(bench: Bench, accountings: Accountings) -> tuple[tuple[LinearRow, ...], tuple[Failure, ...]]:
    """As `linear_rows`, but one that fails loses no other."""
    return attempted(_points(bench.study), lambda c, m, n: linear_row(bench, c, m, n, accountings))


def linear_row(bench: Bench, configuration: str, model: str, length: str, accountings: Accountings) -> LinearRow:
    """One row; layers of equal sizes are evaluated once."""
    assert bench.study.model.linear is not None
    layers = load_layers(bench.study.model.linear.layers)
    whole = bench.workload(f"{model}@{length}")
    accounting = accountings[configuration]
    reports = []
    for name in layers.model.layers:
        sized = layers.workload(name, whole)
        key = f"{', '.join(f'{rank.name} = {rank.size}' for rank in sized.ranks)} of a layer"
        bench.workloads.setdefault(key, sized)
        reports.append((name, bench.report(configuration, key, accounting)))
    return LinearRow(configuration=configuration, model=model, seq_len=whole.length or 0, layers=tuple(reports))


def _points(study: Study) -> list[tuple[str, str, str]]:
    model = study.model
    found = model.linear.configurations if model.linear is not None else {}
    return [(c, m, n) for c in found for m in model.models for n in model.lengths]


def end_to_end(study: Study, rows: Iterable[StudyRow], linear: Iterable[LinearRow]) -> tuple[EndToEndRow, ...]:
    """Each row of the attention with the linear layers that run beside it; one without them is left out."""
    layers = {(r.configuration, r.model, r.seq_len): r for r in linear}
    beside: Mapping[str, str] = study.model.linear.beside if study.model.linear is not None else {}
    found = []
    for row in rows:
        partner = layers.get((beside.get(row.configuration, ""), row.model, row.seq_len))
        if partner is not None:
            found.append(
                EndToEndRow(
                    configuration=row.configuration,
                    model=row.model,
                    seq_len=row.seq_len,
                    attention=row.report,
                    linear=partner,
                )
            )
    return tuple(found)
