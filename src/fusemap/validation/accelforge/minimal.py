"""The smallest case of a barrier, side by side: what AccelForge claims, what is proven, and what executions do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumMapping, Fanout, Fusion, Group, Loop, Phase, Stage, Storage
from fusemap.mappers.types import Mapping as Mapped
from fusemap.sim.fused import FusedExecution, execute_mapping
from fusemap.validation.accelforge.searches import MINIMAL, compare_search

# AccelForge's mapping of the minimal case, as it prints it; `peer_like` is this one.
TREE = """mapping
  dram reuses A, C
  for p in [0..2) shape=1
  sequential
    nested
      mem_global_buffer reuses S
      for m in [0..64) shape=1
      sequential
        nested
          mem_global_buffer reuses B
          array_2d_registers reuses A, B
          array_2d_mul computes B
        nested
          mem_global_buffer reuses B
          array_2d_registers reuses B, S
          array_2d_sum computes S
    nested
      mem_global_buffer reuses S
      for m in [0..64) shape=1
      mem_global_buffer reuses B
      array_2d_registers reuses B, C, S
      array_2d_mul computes C"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimal:
    """Words to memory and values in the buffer: claimed, bounded, found by our search, and executed.

    `faults` are those of executing AccelForge's mapping word by word; `tree` is that mapping as it prints it.
    """

    claimed_words: float
    claimed_values: float
    bound_words: float
    on_chip_values: int
    found_words: float
    executed_words: int
    executed_values: int
    executed_faults: int
    faults: tuple[str, ...]
    missing_words: int
    tree: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Does our execution move what we claim, and that of AccelForge's mapping fail on words that are gone?"""
        ours = self.executed_words == self.found_words and not self.executed_faults
        theirs = self.missing_words > 0 and _places(self.tree) == _places(TREE.splitlines())
        return ours and theirs and self.bound_words <= self.found_words

    def to_json(self) -> dict[str, object]:
        """The side-by-side as a JSON object."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**found, "faults": list(self.faults), "tree": list(self.tree), "agrees": self.agrees}


def minimal_case(answer: Mapping[str, Any]) -> Minimal:
    """The side-by-side from AccelForge's answer to `MINIMAL`."""
    case = MINIMAL
    searched = compare_search(case, answer)
    ours, theirs = _executions()
    absent = [fault for fault in theirs.faults if fault.kind == "absent"]
    return Minimal(
        claimed_words=searched.theirs_words,
        claimed_values=searched.kept_values,
        bound_words=searched.bound_words,
        on_chip_values=case.on_chip_values,
        found_words=searched.ours_words,
        executed_words=_moved(ours),
        executed_values=ours.peak_buffer_words,
        executed_faults=len(ours.faults),
        faults=tuple(str(fault) for fault in theirs.faults),
        missing_words=sum(fault.words for fault in absent),
        tree=tuple(answer["tree"]),
    )


@lru_cache(maxsize=1)
def _executions() -> tuple[FusedExecution, FusedExecution]:
    """Our best mapping of the minimal case, and AccelForge's, word by word."""
    case, best = MINIMAL, MINIMAL.best.best
    problem = make_problem(case.program, case.workload, {})
    ours = execute_mapping(case.program, best.problem, best.mapping, case.machine)
    return ours, execute_mapping(case.program, problem, peer_like(), case.machine)


def _places(tree: Sequence[str]) -> list[str]:
    """The lines of a tree; tensors of one node in the order of the alphabet."""
    found = []
    for line in tree:
        head, reuses, tensors = line.partition(" reuses ")
        found.append(head + reuses + ", ".join(sorted(tensors.split(", "))))
    return found


def _moved(execution: FusedExecution) -> int:
    moved = (execution.dram_reads, execution.dram_writes)
    return sum(n for counts in moved for tensors in counts.values() for n in tensors.values())


def peer_like() -> Mapped:
    """AccelForge's mapping of the minimal case in our terms: one value of B in the buffer, C in a loop of its own.

    For every p: for every m B and then S, B kept for this m; after that for every m C, from B in the buffer.
    """
    p, m = (Loop(rank=rank, bound=bound) for rank, bound in (("p", 2), ("m", 64)))
    nests = (
        _nest("B", p, m, dram="A", tile="B"),
        _nest("S", p, m, whole="S", tile="B"),
        _nest("C", p, m, dram="C", whole="S", tile="B"),
    )
    groups = (Group(loops=(m,), einsums=("B", "S")), Group(loops=(m,), einsums=("C",)))
    stage = Stage(name="all", work=(("array_2d", ("B", "S", "C")),))
    return Mapped(
        dataflow="AccelForge's",
        einsums=nests,
        binding=(Phase(name="B, S, C", stages=(stage,)),),
        fusion=(Fusion(loops=(p,), groups=groups, held=frozenset("S")),),
    )


def _nest(einsum: str, p: Loop, m: Loop, *, dram: str = "", whole: str = "", tile: str = "") -> EinsumMapping:
    return EinsumMapping(
        einsum=einsum,
        array="array_2d",
        levels=(
            Storage(memory="dram", loops=(p,), keep=frozenset(dram)),
            Storage(memory="global_buffer", loops=(m,), keep=frozenset(whole)),
            Storage(memory="global_buffer", keep=frozenset(tile)),
            Fanout(array="array_2d", dim="rows"),
            Fanout(array="array_2d", dim="columns"),
            Storage(memory="array_2d.registers", keep=None),
        ),
    )
