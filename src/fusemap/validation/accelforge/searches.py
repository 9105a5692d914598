"""The same problem searched by both: words to memory of the fastest mapping, on machines whose time is traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fusemap.archspec.archs import parse_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.sim.best import Best, find_best
from fusemap.validation.accelforge.machine import peer_architecture, peer_name
from fusemap.validation.accelforge.peer import Job
from fusemap.validation.accelforge.workload import peer_workload
from fusemap.validation.traffic_bound import workload_bound

_TRAFFIC = """extends: fusemax-cloud
description: two processing elements with {registers} registers, a buffer of {values} values, a very slow memory
source: made up so that time is traffic, and both searches look for the least
parameters: {{pe: 1, depth_2d: {registers}, depth_1d: {registers}}}
memories:
  dram: {{bandwidth: 1 MiB/s}}
  global_buffer: {{capacity: {bytes} B, width: 64 bit}}
components:
  sram:
    source: made up, no result depends on it
    sizes:
      mine: {{capacity: {bytes} B, width: 64 bit, energy: {{read: 1 pJ, write: 1 pJ}}, area: 1 um^2}}
"""
SUMS = "cascade sums\ninput A[m,p]\nB[m,p] = 2 * A[m,p]\nS[p]   = sum[m] B[m,p]\nC[m,p] = B[m,p] * S[p]\n"
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class SearchCase:
    """A cascade, sizes, and a buffer of so many values, for which both search the least latency.

    `cause` says why the results may differ (a key of `compare.CAUSES`); empty: they must not.
    """

    name: str
    cascade: str
    ranks: str
    values: int
    registers: int = 4
    cause: str = ""

    @cached_property
    def machine(self) -> Machine:
        """A machine whose time is traffic."""
        text = _TRAFFIC.format(values=self.values, bytes=2 * self.values, registers=self.registers)
        return parse_arch(text, file="traffic.yaml")

    @cached_property
    def program(self) -> Cascade:
        """The cascade."""
        return parse(self.cascade) if "\n" in self.cascade else load(self.cascade)

    @cached_property
    def workload(self) -> Workload:
        """The sizes."""
        return parse_workload(f"source: {self.name}\nranks: {{{self.ranks}}}\n", file="case.yaml")

    @cached_property
    def best(self) -> Best:
        """Our search, over its whole space and without the built-in dataflows."""
        return find_best(self.program, self.machine, self.workload, dataflows=False)

    @property
    def on_chip_values(self) -> int:
        """Values that the buffer and all registers have room for."""
        return self.values + sum(array.pes * array.registers.depth_words for array in self.machine.arrays)

    @cached_property
    def bound_words(self) -> float:
        """No execution with that room moves less: the bound of the passes."""
        word = self.machine.word_bytes
        return workload_bound(self.program, self.workload, word_bytes=word).bytes(word * self.on_chip_values) / word

    def job(self) -> Job:
        """What AccelForge is given."""
        peer = peer_workload(self.program, self.workload, {}, self.machine.word_bytes)
        arch = peer_architecture(self.machine, peer)
        return Job(name=self.name, arch=arch, workload=peer.to_yaml(), search="LATENCY")


_COLUMNS, _ROWS, _PRODUCT = "M: 1024, P: 4", "K: 1024, N: 4", "M: 64, N: 64, K: 64"
MINIMAL = SearchCase(name="sums 64 x 2, 16 values", cascade=SUMS, ranks="M: 64, P: 2", values=16, cause="barrier")
SEARCHES = (
    SearchCase(name="product, 256 values", cascade="linear-layer", ranks=_PRODUCT, values=256),
    SearchCase(
        name="product, 256 values, 32 registers",
        cascade="linear-layer",
        ranks=_PRODUCT,
        values=256,
        registers=32,
        cause="space",
    ),
    SearchCase(name="product, 2048 values", cascade="linear-layer", ranks=_PRODUCT, values=2048),
    SearchCase(name="product, 16384 values", cascade="linear-layer", ranks=_PRODUCT, values=16384),
    MINIMAL,
    SearchCase(name="sums, 4096 values", cascade=SUMS, ranks=_COLUMNS, values=4096),
    SearchCase(name="sums, 64 values", cascade=SUMS, ranks=_COLUMNS, values=64, cause="barrier"),
    SearchCase(name="softmax, 64 values", cascade="softmax", ranks=_ROWS, values=64, cause="barrier"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Words to memory of the best mapping that each found, and the bound that holds for all executions.

    `kept` is the most that AccelForge keeps in the buffer for one Einsum, in values, by its own count.
    """

    case: str
    ours_words: float
    theirs_words: float
    bound_words: float
    kept_values: float
    proven: bool
    cause: str

    @property
    def agrees(self) -> bool:
        """Equal; or, with a cause, different in the way that the cause says.

        barrier: below the bound, which is below what we found. space: between the bound and what we found.
        """
        if not self.proven or self.ours_words < self.bound_words * (1 - ROUNDING):
            return False
        if self.cause == "barrier":
            return self.theirs_words < self.bound_words * (1 - ROUNDING)
        if self.cause == "space":
            return self.bound_words * (1 - ROUNDING) <= self.theirs_words <= self.ours_words * (1 + ROUNDING)
        return abs(self.theirs_words - self.ours_words) <= ROUNDING * self.ours_words

    def to_json(self) -> dict[str, object]:
        """The search as a JSON object."""
        names = ("case", "ours_words", "theirs_words", "bound_words", "kept_values", "proven", "cause", "agrees")
        return {name: getattr(self, name) for name in names}


def compare_search(case: SearchCase, answer: Mapping[str, Any]) -> Searched:
    """Both results, from AccelForge's answer."""
    best, machine = case.best, case.machine
    outer, buffer = machine.memories[0], machine.memories[1]
    accesses = sum(n for _, component, _, _, n in answer["actions"] if component == peer_name(outer.name))
    kept: dict[str, float] = {}
    for einsum, component, _, share in answer["usage"]:
        if component == peer_name(buffer.name):
            kept[einsum] = kept.get(einsum, 0.0) + share * case.values
    return Searched(
        case=case.name,
        ours_words=best.best.report.traffic_bytes / machine.word_bytes,
        theirs_words=accesses * float(outer.words_per_access),
        bound_words=case.bound_words,
        kept_values=max(kept.values(), default=0.0),
        proven=best.proven,
        cause=case.cause,
    )
