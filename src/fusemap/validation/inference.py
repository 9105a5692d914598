"""Decoder inference: every layer of a model mapped by search, for a prompt (prefill) or one decoding step.

A layer reads its inputs from the outer memory and writes its outputs there; layers run one after another, each as fast
as the best mapping of any of its cascades. Left out: normalization, rotation, the gate's product, residual sums
and the lookup of embeddings, all without a product of matrices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.types import Machine, Rank, Workload
from fusemap.diagnostics import DoesNotFit, did_you_mean, input_error
from fusemap.mappers.types import Problem
from fusemap.sim.best import Candidate, find_best
from fusemap.sim.report import Timing
from fusemap.validation.inference_block import load_block
from fusemap.validation.inference_types import Experts, Layer

_MULTIPLY_ADD = ("mul", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another cascade of a layer: its latency in its best mapping, or why it has none."""

    cascade: str
    latency_s: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """A layer in its best mapping; quantities are of one of its `times`.

    `macs`: multiply-accumulates of its products. `least_bytes`: its inputs and outputs moved once, which no mapping
    goes below. `energy_pj` is None where the machine lacks a price. `proven`: no mapping of the space is faster.
    """

    layer: str
    kind: str
    times: int
    in_blocks: bool
    cascade: str
    mapping: str
    parameters: int
    macs: int
    least_bytes: int
    energy_pj: float | None
    proven: bool
    report: Timing = field(repr=False)
    others: tuple[Alternative, ...] = ()

    @property
    def latency_s(self) -> float:
        """Latency of one of its times."""
        return self.report.latency_s

    @property
    def compute_s(self) -> float:
        """Time that the arrays take in this mapping, which need not hurry where memory takes longer."""
        return sum(phase.compute_s for phase in self.report.phases)

    @property
    def memory_s(self) -> float:
        """Time that the slowest memory takes."""
        return sum(phase.memory_s for phase in self.report.phases)

    @property
    def flops_per_byte(self) -> float:
        """Arithmetic intensity: two operations a multiply-accumulate, over bytes moved off chip."""
        return 2 * self.macs / self.report.traffic_bytes

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "times": self.times,
            "in_blocks": self.in_blocks,
            "cascade": self.cascade,
            "mapping": self.mapping,
            "proven": self.proven,
            "parameters": self.parameters,
            "macs": self.macs,
            "latency_s": self.latency_s,
            "compute_s": self.compute_s,
            "memory_s": self.memory_s,
            "energy_pj": self.energy_pj,
            "traffic_bytes": self.report.traffic_bytes,
            "least_bytes": self.least_bytes,
            "flops_per_byte": self.flops_per_byte,
            "utilization": self.report.utilization,
            "bottleneck": self.report.bottleneck,
            "alternatives": [dataclasses.asdict(other) for other in self.others],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Sums over rows, each as often as it runs."""

    latency_s: float
    compute_s: float
    memory_s: float
    energy_pj: float | None
    traffic_bytes: float
    least_bytes: float
    macs: float

    @property
    def flops_per_byte(self) -> float:
        """Arithmetic intensity of all layers together; 0 without any."""
        return 2 * self.macs / self.traffic_bytes if self.traffic_bytes else 0.0

    def to_json(self) -> dict[str, object]:
        """The sums as a JSON object."""
        return dataclasses.asdict(self) | {"flops_per_byte": self.flops_per_byte}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A model at one length on a machine: `tokens` are those that it works on, `cached` those in its cache.

    `cache_bytes_per_token` is over all blocks, as long as each keeps the token; `cache_bytes` what all sequences hold.
    """

    workload: str
    arch: str
    block: str
    source: str
    phase: str
    sequences: int
    tokens: int
    cached: int
    blocks: int
    parameters: int
    cache_bytes_per_token: int
    cache_bytes: int
    causal: bool
    experts: Experts | None
    rows: tuple[LayerRow, ...]

    @property
    def per_block(self) -> Total:
        """One block; the mean one where blocks differ."""
        return _total(tuple(r for r in self.rows if r.in_blocks), 1 / self.blocks)

    @property
    def total(self) -> Total:
        """All layers."""
        return _total(self.rows)

    @property
    def bottleneck(self) -> str:
        """What limits the layers that take longest together."""
        waits: dict[str, float] = {}
        for row in self.rows:
            waits[row.report.bottleneck] = waits.get(row.report.bottleneck, 0.0) + row.times * row.latency_s
        return max(waits, key=lambda name: waits[name])

    @property
    def tokens_per_s(self) -> float:
        """Tokens of all sequences over the latency of all layers."""
        return self.tokens / self.total.latency_s

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/inference/1`."""
        return {
            "schema": "fusemap/inference/1",
            "workload": self.workload,
            "arch": self.arch,
            "block": self.block,
            "source": self.source,
            "phase": self.phase,
            "sequences": self.sequences,
            "tokens": self.tokens,
            "cached": self.cached,
            "blocks": self.blocks,
            "parameters": self.parameters,
            "cache_bytes_per_token": self.cache_bytes_per_token,
            "cache_bytes": self.cache_bytes,
            "causal": self.causal,
            "experts": self.experts.to_json() if self.experts else None,
            "tokens_per_s": self.tokens_per_s,
            "latency_s": self.total.latency_s,
            "energy_pj": self.total.energy_pj,
            "traffic_bytes": self.total.traffic_bytes,
            "bottleneck": self.bottleneck,
            "total": self.total.to_json(),
            "per_block": self.per_block.to_json(),
            "rows": [row.to_json() for row in self.rows],
        }


_Key: TypeAlias = tuple[object, ...]
_Found: TypeAlias = dict[_Key, tuple[Candidate, bool, tuple[Alternative, ...]]]


def inference(
    workload: Workload,
    machine: Machine,
    *,
    sizes: Mapping[str, int] | None = None,
    only: str = "",
    watch: Callable[[str], None] = lambda layer: None,
) -> Inference:
    """Every layer of the workload's model in its fastest mapping; decoding where P is 1 or less than M, else prefill.

    `sizes` replace ranks of the workload (`B`); `only` names one layer, the others are left out. `watch` is told the
    layer that is mapped next. InputError: the workload names no block, or a rank or layer is not known.
    DoesNotFit: no cascade of a layer fits the machine.
    """
    sized = resized(workload, sizes or {})
    block = load_block(sized)
    names = [layer.name for layer in block.layers]
    if only and only not in names:
        raise input_error(f'{sized.name} has no layer "{only}"', hint=did_you_mean(only, names, noun="layers"))
    found: _Found = {}
    rows = []
    for layer in (layer for layer in block.layers if only in ("", layer.name)):
        watch(layer.name)
        rows.append(_row(layer, machine, found))
    batch, positions, cached = (sized.size(rank) for rank in "BPM")
    return Inference(
        workload=sized.name,
        arch=machine.name,
        block=block.description,
        source=block.source,
        phase=phase_of(sized),
        sequences=batch,
        tokens=batch * positions,
        cached=batch * cached,
        blocks=block.blocks,
        parameters=block.parameters,
        cache_bytes_per_token=block.words_of_a_token * machine.word_bytes,
        cache_bytes=batch * block.words_held * machine.word_bytes,
        causal=block.causal,
        experts=block.experts,
        rows=tuple(rows),
    )


def phase_of(workload: Workload) -> str:
    """Decoding where P is 1 or less than M, else prefill."""
    return "decode" if workload.size("P") == 1 or workload.size("P") < workload.size("M") else "prefill"


def resized(workload: Workload, sizes: Mapping[str, int]) -> Workload:
    """The workload with other sizes of some of its ranks; InputError for one that it does not have."""
    for name in sizes:
        if name not in workload.sizes:
            hint = did_you_mean(name, list(workload.sizes), noun="ranks")
            raise input_error(f"workload {workload.name} has no rank {name}", hint=hint)
    ranks = [Rank(name=r.name, size=sizes[r.name], source="given") if r.name in sizes else r for r in workload.ranks]
    changed = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    name = f"{workload.name} with {changed}" if changed else workload.name
    return dataclasses.replace(workload, name=name, ranks=tuple(ranks))


def least_words(problem: Problem) -> int:
    """Words of a cascade's inputs and outputs, each once: no mapping moves fewer to and from the outer memory."""
    sizes: dict[str, int] = {}
    for space in problem.spaces:
        extents = dict(space.ranks)
        for operand in space.operands:
            if operand.tensor in problem.external:
                words = math.prod(extents[rank] for rank in operand.ranks)
                source = problem.shown(operand.tensor)
                sizes[source] = max(words, sizes.get(source, 0))
    return sum(sizes.values())


def multiply_accumulates(problem: Problem) -> int:
    """Points of the Einsums that multiply and sum up: the products of matrices of a cascade."""
    return sum(space.points for space in problem.spaces if space.operators == _MULTIPLY_ADD)


def _row(layer: Layer, machine: Machine, found: _Found) -> LayerRow:
    """The layer's row; layers of equal cascades and sizes are mapped once."""
    sizes = tuple((rank.name, rank.size) for rank in layer.workload.ranks)
    key = (tuple(c.name for c in layer.cascades), sizes, layer.workload.batch)
    if key not in found:
        found[key] = _fastest(layer, machine)
    best, proven, others = found[key]
    return LayerRow(
        layer=layer.name,
        kind=layer.kind,
        times=layer.times,
        in_blocks=layer.in_blocks,
        cascade=best.problem.cascade,
        mapping=best.name,
        parameters=layer.parameters,
        macs=multiply_accumulates(best.problem),
        least_bytes=least_words(best.problem) * machine.word_bytes,
        energy_pj=best.energy_pj,
        proven=proven,
        report=best.report,
        others=others,
    )


def _fastest(layer: Layer, machine: Machine) -> tuple[Candidate, bool, tuple[Alternative, ...]]:
    """The fastest of the layer's cascades in their best mappings, and the others; DoesNotFit where none fits."""
    bests = []
    others = []
    refusals = []
    for cascade in layer.cascades:
        try:
            bests.append(find_best(cascade, machine, layer.workload))
        except DoesNotFit as refusal:
            refusals.append(refusal)
            others.append(Alternative(cascade=cascade.name, latency_s=None, reason=str(refusal)))
    if not bests:
        raise refusals[0]
    winner = min(bests, key=lambda b: (b.best.report.latency_s, b.best.energy_pj or 0.0))
    slower = (b.best for b in bests if b is not winner)
    others += [Alternative(cascade=c.problem.cascade, latency_s=c.report.latency_s) for c in slower]
    return winner.best, winner.proven, tuple(others)


def _total(rows: tuple[LayerRow, ...], scale: float = 1) -> Total:
    energies = [row.times * row.energy_pj for row in rows if row.energy_pj is not None]
    return Total(
        latency_s=scale * sum(row.times * row.latency_s for row in rows),
        compute_s=scale * sum(row.times * row.compute_s for row in rows),
        memory_s=scale * sum(row.times * row.memory_s for row in rows),
        energy_pj=scale * sum(energies) if len(energies) == len(rows) else None,
        traffic_bytes=scale * sum(row.times * row.report.traffic_bytes for row in rows),
        least_bytes=scale * sum(row.times * row.least_bytes for row in rows),
        macs=scale * sum(row.times * row.macs for row in rows),
    )
