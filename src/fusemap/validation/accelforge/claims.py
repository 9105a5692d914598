"""Statements about AccelForge's model, each a check on its answers: they hold for the version that answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fusemap.validation.accelforge.peer import Job
from fusemap.validation.accelforge.searches import MINIMAL, compare_search

_ROUNDING = 1e-6
_ARCH = """arch:
  nodes:
  - !Memory
    name: outer
    size: inf
    leak_power: 0
    area: 0
    tensors: {keep: ~Intermediates, may_keep: All}
    actions:
    - {name: read, energy: 1, throughput: 4}
    - {name: write, energy: 1, throughput: 4}
  - !Memory
    name: buffer
    size: 64
    leak_power: 0
    area: 0
    tensors: {keep: ~outer.tensors, may_keep: All}
    actions:
    - {name: read, energy: 1, throughput: inf}
    - {name: write, energy: 1, throughput: inf}
  - !Compute
    name: unit
    leak_power: 0
    area: 0
    actions:
    - {name: compute, energy: 1, throughput: 1}
"""
_WORKLOAD = """workload:
  iteration_space_shape: {m: 0 <= m < 1024}
  bits_per_value: {All: 1}
  einsums:
  - "B[m] = A[m]"
  - "C[m] = FORMULA"
"""
_MAPPING = """mapping:
  nodes:
  - !Storage {tensors: [A, C], component: outer}
  - !Temporal {rank_variable: m, tile_shape: 16}
  - !Storage {tensors: [B], component: buffer}
  - !SPLIT
    nodes:
    - !Nested
      nodes:
      - !Storage {tensors: [A], component: buffer}
      - !Temporal {rank_variable: m, tile_shape: 1}
      - !Compute {einsum: B, component: unit}
    - !Nested
      nodes:
      - !Storage {tensors: [C], component: buffer}
      - !Temporal {rank_variable: m, tile_shape: 1}
      - !Compute {einsum: C, component: unit}
"""
_SUMS = """workload:
  iteration_space_shape: {m: 0 <= m < 64, p: 0 <= p < 2}
  bits_per_value: {All: 1}
  einsums:
  - "B[m, p] = A[m, p]"
  - "S[p] = B[m, p]"
  - "C[m, p] = B[m, p] * S[p]"
"""
_SHARED = """mapping:
  nodes:
  - !Storage {tensors: [A, C], component: outer}
  - !Temporal {rank_variable: p, tile_shape: 1}
  - !Storage {tensors: [S], component: buffer}
  - !Temporal {rank_variable: m, tile_shape: 1}
  - !Storage {tensors: [B], component: buffer}
  - !Sequential
    nodes:
    - !Nested {nodes: [!Compute {einsum: B, component: unit}]}
    - !Nested {nodes: [!Compute {einsum: S, component: unit}]}
    - !Nested {nodes: [!Compute {einsum: C, component: unit}]}
"""
SHARED = "claim: a sum that is read in the loop that makes it"


def claim_jobs() -> list[Job]:
    """Two Einsums fused over tiles of 16: with another formula, and with the node that is called Pipeline.

    And three Einsums in one loop over m, of which the last reads the sum over m that the second makes.
    """
    made = {
        "claim: two Einsums": ("B[m]", "Sequential"),
        "claim: another formula": ("exp(B[m])", "Sequential"),
        "claim: a pipeline": ("B[m]", "Pipeline"),
    }
    fused = [
        Job(
            name=name,
            arch=_ARCH,
            workload=_WORKLOAD.replace("FORMULA", formula),
            mapping=_MAPPING.replace("SPLIT", split),
        )
        for name, (formula, split) in made.items()
    ]
    return [*fused, Job(name=SHARED, arch=_ARCH, workload=_SUMS, mapping=_SHARED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement, whether the answers bear it out, and their numbers."""

    statement: str
    holds: bool
    shown: str

    def to_json(self) -> dict[str, object]:
        """The statement as a JSON object."""
        return {"statement": self.statement, "holds": self.holds, "shown": self.shown}


def claims(answers: Mapping[str, Mapping[str, Any]]) -> tuple[Claim, ...]:
    """The statements, held against the answers to `claim_jobs` and to the minimal case."""
    plain, formula, pipeline, shared = (answers[job.name] for job in claim_jobs())
    numbers = ("actions", "latencies", "energy_j", "latency_s")
    same = all(plain[key] == formula[key] for key in numbers)
    times = _times(plain)
    longest = sum(max(of.values()) for of in times.values())
    parts = "; ".join(f"{e}: {', '.join(f'{c} {t:g} s' for c, t in sorted(of.items()))}" for e, of in times.items())
    overlap = _equal(plain["latency_s"], longest) and longest < sum(sum(of.values()) for of in times.values())
    searched = compare_search(MINIMAL, answers[MINIMAL.name])
    taken = sum(n for _, component, _, _, n in shared.get("actions", ()) if component == "outer")
    by_hand = f"{taken:,.0f} words" if taken else f"refused: {shared.get('error', 'no answer')}"
    return (
        Claim(
            statement="operators are dropped",
            holds=same,
            shown="C = B and C = exp(B) have the same counts, energy and latency",
        ),
        Claim(
            statement="components of one Einsum overlap without limit: it takes the time of the slowest",
            holds=overlap,
            shown=f"{parts}; in all {plain['latency_s']:g} s",
        ),
        Claim(
            statement="Einsums follow one another, fused or not",
            holds=_equal(plain["latency_s"], longest) and pipeline["latency_s"] == plain["latency_s"],
            shown=f"{plain['latency_s']:g} s is the sum over Einsums, with a Pipeline node {pipeline['latency_s']:g} s",
        ),
        Claim(
            statement="barriers between passes are not enforced in mappings that are given",
            holds=taken > 0,
            shown=f"C = B S in the loop over m that sums S, 64 x 2 values: {by_hand}",
        ),
        Claim(
            statement="barriers between passes are not enforced in mappings that the search returns",
            holds=searched.theirs_words < searched.bound_words * (1 - _ROUNDING),
            shown=(
                f"{MINIMAL.name}: {searched.theirs_words:,.0f} words with {searched.kept_values:g} values kept, "
                f"no execution moves less than {searched.bound_words:,.0f}"
            ),
        ),
    )


def _times(answer: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = {}
    for einsum, component, seconds in answer["latencies"]:
        if seconds:
            times.setdefault(einsum, {})[component] = seconds
    return times


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ROUNDING)
