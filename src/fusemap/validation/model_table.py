"""A whole model by kinds of layers: how many, their Einsums and sizes, weights, caches, work, and what they cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fusemap.archspec.types import Machine, Workload
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.mappers.space import make_problem
from fusemap.validation.inference import (
    Inference,
    LayerRow,
    inference,
    least_words,
    multiply_accumulates,
    phase_of,
    resized,
)
from fusemap.validation.inference_block import load_block
from fusemap.validation.inference_types import Block, Experts, Kind, Layer

OTHERS = "other weights"
WORD_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLine:
    """A layer: how often it runs in all, its cascade, the Einsums of one time, the sizes of its ranks.

    `macs` and `least_bytes` are of one time: multiply-accumulates, and inputs and outputs moved once.
    """

    layer: str
    times: int
    cascade: str
    einsums: int
    sizes: Mapping[str, int]
    macs: int
    least_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """All layers of a kind together: `times` of them, each with the same `layers`.

    `einsums`, `macs`, `least_bytes`, `latency_s` and `energy_pj` are of all of them; the last two None without a
    machine (or, energy, without its prices). `cache_bytes_per_token` is what a token leaves in the caches,
    `cache_bytes` what all sequences hold.
    """

    kind: str
    times: int
    layers: tuple[LayerLine, ...]
    parameters: int
    active_parameters: int
    cache_bytes_per_token: float
    cache_bytes: float
    latency_s: float | None = None
    energy_pj: float | None = None

    @property
    def einsums(self) -> int:
        """Einsums that compute."""
        return sum(line.times * line.einsums for line in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the products of matrices."""
        return sum(line.times * line.macs for line in self.layers)

    @property
    def least_bytes(self) -> float:
        """Inputs, weights and outputs of every layer, moved once."""
        return sum(line.times * line.least_bytes for line in self.layers)

    @property
    def flops_per_byte(self) -> float:
        """Operational intensity: two operations a multiply-accumulate over the least bytes; 0 without any."""
        return 2 * self.macs / self.least_bytes if self.least_bytes else 0.0

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {
            **dataclasses.asdict(self),
            "einsums": self.einsums,
            "macs": self.macs,
            "least_bytes": self.least_bytes,
            "flops_per_byte": self.flops_per_byte,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable:
    """The kinds of layers of a model at the sizes of a workload; its totals are sums over the rows.

    `others` are the weights that no layer multiplies by, which the last row has together.
    """

    workload: str
    block: str
    source: str
    phase: str
    sequences: int
    tokens: int
    cached: int
    word_bytes: float
    causal: bool
    experts: Experts | None
    others: Mapping[str, int]
    arch: str
    rows: tuple[KindRow, ...]

    @property
    def total(self) -> KindRow:
        """All rows together."""
        rows = self.rows
        latencies = [row.latency_s for row in rows if row.latency_s is not None]
        energies = [row.energy_pj for row in rows if row.energy_pj is not None]
        return KindRow(
            kind="all",
            times=sum(row.times for row in rows),
            layers=tuple(line for row in rows for line in row.layers),
            parameters=sum(row.parameters for row in rows),
            active_parameters=sum(row.active_parameters for row in rows),
            cache_bytes_per_token=sum(row.cache_bytes_per_token for row in rows),
            cache_bytes=sum(row.cache_bytes for row in rows),
            latency_s=sum(latencies) if len(latencies) == len(rows) else None,
            energy_pj=sum(energies) if len(energies) == len(rows) else None,
        )

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/workload/1`."""
        total = self.total.to_json()
        return {
            "schema": "fusemap/workload/1",
            "workload": self.workload,
            "arch": self.arch,
            "block": self.block,
            "source": self.source,
            "phase": self.phase,
            "sequences": self.sequences,
            "tokens": self.tokens,
            "cached": self.cached,
            "word_bytes": self.word_bytes,
            "causal": self.causal,
            "experts": self.experts.to_json() if self.experts else None,
            "others": dict(self.others),
            "total": {key: value for key, value in total.items() if key not in ("kind", "times", "layers")},
            "rows": [row.to_json() for row in self.rows],
        }


def model_table(
    workload: Workload,
    machine: Machine | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    word_bits: int | None = None,
    watch: Callable[[str], None] = lambda layer: None,
) -> ModelTable:
    """The workload's model by kinds of layers; with a machine, what each takes in the fastest mappings.

    Bytes are of `word_bits` a word, by default those of the machine, 16 without one. `sizes` replace ranks of the
    workload. Errors as `inference`.

    >>> from fusemap.archspec.workloads import load_workload
    >>> [(row.kind, row.times) for row in model_table(load_workload("Llama-3-8B@4K")).rows][:2]
    [('full attention', 32), ('dense feed-forward', 32)]
    """
    sized = resized(workload, sizes or {})
    block = load_block(sized)
    costs = inference(workload, machine, sizes=sizes, watch=watch) if machine else None
    bits = word_bits or (machine.word_bytes * 8 if machine else WORD_BITS)
    batch = sized.size("B")
    rows = _rows(block, costs, bits / 8, batch)
    return ModelTable(
        workload=sized.name,
        block=block.description,
        source=block.source,
        phase=phase_of(sized),
        sequences=batch,
        tokens=batch * sized.size("P"),
        cached=batch * sized.size("M"),
        word_bytes=bits / 8,
        causal=block.causal,
        experts=block.experts,
        others=dict(block.other_parameters),
        arch=machine.name if machine else "",
        rows=tuple(rows),
    )


def _rows(block: Block, costs: Inference | None, word_bytes: float, batch: int) -> Iterator[KindRow]:
    """A row per kind in the order of running, and one of the weights that nothing multiplies by."""
    evaluated = {row.layer: row for row in costs.rows} if costs else {}
    of_kind = {kind.name: kind for kind in block.kinds}
    for name in dict.fromkeys(layer.kind for layer in block.layers):
        layers = [layer for layer in block.layers if layer.kind == name]
        kind = of_kind.get(name) or Kind(name=name, times=block.blocks if layers[0].in_blocks else 1, held=0)
        per_token = block.cache_words * kind.times * word_bytes if kind.held else 0.0
        found = [evaluated[layer.name] for layer in layers if layer.name in evaluated]
        yield KindRow(
            kind=name,
            times=kind.times,
            layers=tuple(_line(layer, evaluated.get(layer.name), word_bytes) for layer in layers),
            parameters=sum(layer.times * layer.parameters for layer in layers),
            active_parameters=sum(layer.times * layer.active for layer in layers),
            cache_bytes_per_token=per_token,
            cache_bytes=batch * per_token * kind.held,
            latency_s=sum(row.times * row.latency_s for row in found) if costs else None,
            energy_pj=_energy(found) if costs else None,
        )
    others = sum(count for _, count in block.other_parameters)
    if others:
        free = 0.0 if costs else None
        yield KindRow(
            kind=OTHERS,
            times=1,
            layers=(),
            parameters=others,
            active_parameters=others,
            cache_bytes_per_token=0.0,
            cache_bytes=0.0,
            latency_s=free,
            energy_pj=free,
        )


def _line(layer: Layer, row: LayerRow | None, word_bytes: float) -> LayerLine:
    """The layer in the cascade that was fastest, else the first of its cascades."""
    cascade = next((c for c in layer.cascades if row and c.name == row.cascade), layer.cascades[0])
    problem = make_problem(cascade, layer.workload, {})
    used = {*known_shapes(cascade), *layer.workload.batch}
    return LayerLine(
        layer=layer.name,
        times=layer.times,
        cascade=cascade.name,
        einsums=len(problem.spaces),
        sizes={name: size for name, size in layer.workload.sizes.items() if name in used},
        macs=multiply_accumulates(problem),
        least_bytes=least_words(problem) * word_bytes,
    )


def _energy(rows: list[LayerRow]) -> float | None:
    energies = [row.times * row.energy_pj for row in rows if row.energy_pj is not None]
    return sum(energies) if len(energies) == len(rows) else None
