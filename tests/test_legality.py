"""Legality: every kind of violation, beside a neighbour that is legal, and the executor as oracle of capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from examples import examples
from hypothesis import Phase as HypothesisPhase
from hypothesis import find, given, settings
from nests import QUIET, Nest, make_operand, nests

from fusemap.archspec import load_arch, parse_arch
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import parse_workload
from fusemap.diagnostics import DoesNotFit
from fusemap.einsum_cascade import parse
from fusemap.mappers import legality
from fusemap.mappers.dataflow import parse_dataflow
from fusemap.mappers.legality import require_legal, resident_words, violations
from fusemap.mappers.types import (
    EinsumMapping,
    EinsumSpace,
    Fanout,
    Level,
    Loop,
    Mapping,
    Operand,
    Phase,
    Problem,
    Spill,
    Stage,
    Storage,
)
from fusemap.sim import executor
from fusemap.sim.evaluate import plan
from fusemap.sim.reuse import analyse

MACHINE = parse_arch(
    """\
source: a test
table: 45nm
clock: 1 GHz
word: 2 B
memories:
  dram: {component: dram, width: 64 bit, on_chip: false}
  buffer: {component: buffer, capacity: 80 B, width: 64 bit}
arrays:
  grid:
    dims: {rows: 4, columns: 4}
    registers: {component: file, depth: 6}
    operators: {mul + sum: {cycles: 1, actions: {mac: 1}}}
  line:
    dims: {lanes: 4}
    registers: {component: file, depth: 8}
    operators: {sum: {cycles: 1, actions: {add: 1}}}
components:
  dram: {energy: {read: 1 pJ, write: 1 pJ}, area: 1 um^2}
  buffer: {energy: {read: 1 pJ, write: 1 pJ}, area: 1 um^2}
  file: {energy: {read: 1 pJ, write: 1 pJ}, area: 1 um^2}
""",
    file="small.yaml",
)

# Y[m,n] = sum over k of A[k,m] * B[k,n];  Z[n] = sum over m of Y[m,n]
PRODUCT = EinsumSpace(
    name="Y",
    ranks=(("k", 2), ("m", 8), ("n", 12)),
    operands=(
        make_operand("A", {"k", "m"}),
        make_operand("B", {"k", "n"}),
        replace(make_operand("Y", {"m", "n"}), is_output=True),
    ),
    operators=("mul", "sum"),
)
COLUMN_SUM = EinsumSpace(
    name="Z",
    ranks=(("m", 8), ("n", 12)),
    operands=(make_operand("Y", {"m", "n"}), make_operand("Z", {"n"})),
    operators=("sum",),
)
PROBLEM = Problem(
    cascade="product-sum", workload="toy", spaces=(PRODUCT, COLUMN_SUM), sizes=(), external=frozenset("ABZ")
)


def loops(**bounds: int) -> tuple[Loop, ...]:
    return tuple(Loop(rank=rank, bound=bound) for rank, bound in bounds.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mapping to vary: what is written here is legal, and fills the buffer to the last byte."""

    outer: tuple[Loop, ...] = loops(n=3, m=2)
    inner: tuple[Loop, ...] = loops(k=2)
    rows: tuple[Loop, ...] = loops(m=4)
    columns: tuple[Loop, ...] = loops(n=4)
    foot: tuple[Loop, ...] = ()
    kept: frozenset[str] = frozenset("ABY")  # 8 + 8 + 16 words
    sum_kept: frozenset[str] = frozenset("YZ")  # 32 (shared with the other Y) + 4 words
    sum_inner: tuple[Loop, ...] = loops(m=4)
    array: str = "line"
    spills: tuple[Spill, ...] = ()
    phases: tuple[tuple[tuple[tuple[str, str], ...], ...], ...] = (((("grid", "Y"),), (("line", "Z"),)),)
    pipelined: bool = False
    in_place: tuple[tuple[str, ...], ...] = ()
    external: frozenset[str] = field(default=frozenset("ABYZ"))

    def mapping(self) -> Mapping:
        product: tuple[Level, ...] = (
            Storage(memory="dram", loops=self.outer, keep=self.external),
            Storage(memory="buffer", loops=self.inner, keep=self.kept),
            Fanout(array="grid", dim="rows", loops=self.rows),
            Fanout(array="grid", dim="columns", loops=self.columns),
            Storage(memory="grid.registers", loops=self.foot, keep=None if self.external else frozenset("AB")),
        )
        column_sum: tuple[Level, ...] = (
            Storage(memory="dram", loops=loops(n=3, m=2), keep=self.external),
            Storage(memory="buffer", loops=self.sum_inner, keep=self.sum_kept),
            Fanout(array=self.array, dim="lanes" if self.array == "line" else "rows", loops=loops(n=4)),
            Storage(memory=f"{self.array}.registers", keep=None),
        )
        nests = (
            EinsumMapping(einsum="Y", array="grid", levels=product, spills=self.spills),
            EinsumMapping(einsum="Z", array=self.array, levels=column_sum),
        )
        return Mapping(dataflow="draft", einsums=nests, binding=tuple(self._phases()))

    def _phases(self) -> list[Phase]:
        return [
            Phase(
                name=f"phase {i}",
                pipelined=self.pipelined,
                stages=tuple(
                    Stage(name=f"stage {j}", work=tuple((array, (einsum,)) for array, einsum in stage))
                    for j, stage in enumerate(phase)
                ),
            )
            for i, phase in enumerate(self.phases)
        ]


def found(draft: Draft, machine: Machine = MACHINE) -> list[str]:
    return [str(v) for v in violations(PROBLEM, draft.mapping(), machine, in_place=draft.in_place)]


def with_buffer(capacity_bytes: int) -> Machine:
    dram, buffer = MACHINE.memories
    return replace(MACHINE, memories=(dram, replace(buffer, capacity_bytes=capacity_bytes)))


def test_the_draft_is_legal() -> None:
    assert found(Draft()) == []
    require_legal(PROBLEM, Draft().mapping(), MACHINE)


# A 8, B 8, Y 16, Z 4 words of 2 B in the buffer: 72 B
HELD = "holds Y 32, A 16, B 16, Z 8"
BOUND_TWICE = (((("grid", "Y"),), (("line", "Z"),)), ((("line", "Z"),),))

CASES: dict[str, tuple[Draft, Draft, list[str]]] = {
    # what: (legal neighbour, violating draft, its violations)
    "a rank not covered": (
        Draft(outer=loops(n=3, m=2)),
        Draft(outer=loops(n=3)),
        ["Y: loops over m: needs 8 coordinates, limit 4 coordinates (their bounds must multiply to 8)"],
    ),
    "a rank covered twice": (
        Draft(outer=loops(n=3, m=2)),
        Draft(outer=loops(n=6, m=2)),
        ["Y: loops over n: needs 12 coordinates, limit 24 coordinates (their bounds must multiply to 12)"],
    ),
    "a loop over a rank that is not there": (
        Draft(outer=(*loops(n=3, m=2), Loop(rank="q", bound=1))),
        Draft(outer=(*loops(n=3, m=2), Loop(rank="q", bound=2))),
        ["Y: loops over q: needs 1 coordinates, limit 2 coordinates (their bounds must multiply to 1)"],
    ),
    "a fanout too wide": (
        Draft(outer=loops(n=3, m=4), rows=loops(m=2)),
        Draft(outer=loops(n=3), rows=loops(m=8), kept=frozenset()),
        ["Y: fanout over grid.rows: needs 8 rows, limit 4 rows (4 fits)"],
    ),
    "a fanout of two loops too wide": (
        Draft(outer=loops(n=3, m=4), rows=loops(m=2, k=2), inner=(), kept=frozenset("AB")),
        Draft(outer=loops(n=3, m=2), rows=loops(m=4, k=2), inner=(), kept=frozenset("AB")),
        ["Y: fanout over grid.rows: needs 8 rows, limit 4 rows (4 fits)"],
    ),
    "registers too small": (
        Draft(inner=(), foot=loops(k=2), kept=frozenset("AB")),  # A 2, B 2, Y 1 word
        Draft(outer=loops(n=3), inner=(), foot=loops(k=2, m=2), kept=frozenset("B")),  # A 4, B 2, Y 2 words
        ["Y in grid.registers: needs 8 words, limit 6 words (holds A 4, B 2, Y 2)"],
    ),
    "an operand without a keeper": (
        Draft(kept=frozenset("ABY")),
        Draft(external=frozenset(), kept=frozenset("AB"), sum_kept=frozenset("YZ")),
        ["Y: no memory keeps Y: needs 1 keeper, limit 0 keeper (the outermost could)"],
    ),
    "read before it is made": (
        Draft(phases=(((("grid", "Y"),),), ((("line", "Z"),),))),
        Draft(phases=(((("line", "Z"),),), ((("grid", "Y"),),))),
        [
            'Z in stage "stage 0" of phase "phase 0" reads Y, made in stage "stage 0" of phase "phase 1": '
            "needs 1 stage in between, limit 0 stage in between (run Y in an earlier stage)"
        ],
    ),
    "read in the stage that makes it": (
        Draft(phases=(((("grid", "Y"), ("line", "Z")),),), pipelined=True),
        Draft(phases=(((("grid", "Y"), ("line", "Z")),),)),
        [
            'Z in stage "stage 0" of phase "phase 0" reads Y, made in stage "stage 0" of phase "phase 0": '
            "needs 1 stage in between, limit 0 stage in between (run Y in an earlier stage, or pipeline the phase)"
        ],
    ),
    "a pipeline does not reach over phases": (
        Draft(phases=(((("line", "Z"),), (("grid", "Y"),)),), pipelined=True),
        Draft(phases=(((("line", "Z"),),), ((("grid", "Y"),),)), pipelined=True),
        [
            'Z in stage "stage 0" of phase "phase 0" reads Y, made in stage "stage 0" of phase "phase 1": '
            "needs 1 stage in between, limit 0 stage in between (run Y in an earlier stage)"
        ],
    ),
    "bound twice": (
        Draft(),
        Draft(phases=BOUND_TWICE),
        ["Z is bound twice: needs 2 stage, limit 1 stage (one is enough)"],
    ),
    "not bound": (
        Draft(),
        Draft(phases=(((("grid", "Y"),),),)),
        ["Z is bound to no stage: needs 1 stage, limit 0 stage (a stage on line could run it)"],
    ),
    "on another array": (
        Draft(array="grid", phases=(((("grid", "Y"),), (("grid", "Z"),)),)),
        Draft(array="grid"),
        ["Z is bound to line but mapped on grid: needs 1 array, limit 0 array (bind it to grid)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_violation_is_named_and_its_neighbour_is_legal(case: str) -> None:
    legal, broken, expected = CASES[case]
    assert found(legal) == []
    assert found(broken) == expected
    with pytest.raises(DoesNotFit) as caught:
        require_legal(PROBLEM, broken.mapping(), MACHINE)
    head = "does not fit: product-sum for toy on small, dataflow draft"
    assert str(caught.value) == "\n".join([head, *(f"  {line}" for line in expected)])


def test_a_binding_of_an_einsum_that_is_not_there() -> None:
    phases = (((("grid", "Y"),), (("line", "Z"),)), ((("line", "W"),),))
    assert found(Draft(phases=phases)) == [
        "the binding runs W, which the cascade lacks: needs 1 Einsum, limit 0 Einsum (valid names: Y, Z)"
    ]


def test_all_violations_come_together() -> None:
    broken = Draft(outer=loops(n=3), rows=loops(m=5), kept=frozenset("ABY"), phases=(((("grid", "Y"),),),))
    assert [text.split(":")[0] for text in found(broken, with_buffer(20))] == [
        "Y",
        "Y",
        "buffer in phase phase 0",
        "Z is bound to no stage",
    ]


# --- capacity --------------------------------------------------------------------------------------

SEPARATE = (((("grid", "Y"),),), ((("line", "Z"),),))
SPILLED = (Spill(memory="buffer", fraction=0.25, tensors=frozenset("AB")),)

NEEDS: dict[str, tuple[Draft, int, str]] = {
    # what: (draft, bytes that it needs, its parts)
    "one phase holds what all its Einsums keep": (Draft(), 72, HELD),
    "phases follow one another": (Draft(phases=SEPARATE), 64, "holds Y 32, A 16, B 16"),
    "a tensor is held once, at its largest": (
        Draft(sum_inner=(*loops(m=4), *loops(q=1)), kept=frozenset("Y")),
        40,
        "holds Y 32, Z 8",
    ),
    "tensors in place share their space": (Draft(in_place=(("A", "B"),)), 56, "holds Y 32, A+B 16, Z 8"),
    "the largest of those in place counts": (Draft(in_place=(("Z", "Y"),)), 64, "holds Z+Y 32, A 16, B 16"),
    "a spilled fraction takes no space": (Draft(spills=SPILLED), 64, "holds Y 32, A 12, B 12, Z 8"),
    "nothing kept, nothing held": (Draft(kept=frozenset(), sum_kept=frozenset("Z")), 8, "holds Z 8"),
}


@pytest.mark.parametrize("case", NEEDS)
def test_capacity_to_the_byte(case: str) -> None:
    draft, need, parts = NEEDS[case]
    assert found(draft, with_buffer(need)) == []
    text = f"buffer in phase phase 0: needs {need} B, limit {need - 1} B ({parts})"
    assert found(draft, with_buffer(need - 1)) == [text]


def held_words(case: Nest, memory: str, operand: Operand) -> int:
    """The most words that an instance of the memory holds at any time, by the tiles that the executor moves."""
    space, mapping = case
    steps = executor._steps(space, mapping)
    keepers = executor._keepers(space, mapping, steps, space.operands.index(operand))
    return max(
        (len(tile) for keeper in keepers if keeper.memory == memory for tile in keeper.tiles.values()), default=0
    )


def resident(case: Nest, memory: str) -> dict[str, float]:
    space, mapping = case
    problem = Problem(cascade="one", workload="toy", spaces=(space,), sizes=(), external=frozenset())
    phase = Phase(name="all", stages=(Stage(name="all", work=(("pe", (space.name,)),)),))
    return resident_words(problem, Mapping(dataflow="d", einsums=(mapping,), binding=(phase,)), phase, memory)


def agree(case: Nest) -> bool:
    memories = [level.memory for level in case[1].levels if isinstance(level, Storage)]
    return all(
        resident(case, memory) == {o.tensor: w for o in case[0].operands if (w := held_words(case, memory, o))}
        for memory in memories
    )


@examples(84, 250, suppress_health_check=QUIET)
@given(case=nests())
def test_what_a_memory_holds_is_what_the_executor_puts_there(case: Nest) -> None:
    assert agree(case)


def outer_loops_too(nest: EinsumMapping, memory: str, operand: Operand) -> float:
    return TRUE_HELD(replace(nest, levels=(Storage(memory=memory, keep=None), *nest.levels)), memory, operand)


def no_fanouts(nest: EinsumMapping, memory: str, operand: Operand) -> float:
    storages: Sequence[Level] = [level for level in nest.levels if isinstance(level, Storage)]
    return TRUE_HELD(replace(nest, levels=tuple(storages)), memory, operand)


def every_rank(nest: EinsumMapping, memory: str, operand: Operand) -> float:
    ranks = frozenset(loop.rank for level in nest.levels for loop in level.loops)
    return TRUE_HELD(nest, memory, replace(operand, ranks=ranks))


TRUE_HELD = legality._held


@pytest.mark.parametrize("fault", [outer_loops_too, no_fanouts, every_rank])
def test_the_executor_catches_a_fault_in_the_capacity(fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legality, "_held", fault)
    quick = settings(max_examples=500, phases=[HypothesisPhase.generate], database=None, suppress_health_check=QUIET)
    case = find(nests(), lambda case: not agree(case), settings=quick)
    monkeypatch.undo()
    assert agree(case)


def test_two_tiles_of_one_tensor_are_both_held() -> None:
    """X[k,m] and X[k,n] are other words; RM[m1+1] overwrites RM[m1]."""
    first, second = make_operand("X", {"k", "m"}), replace(make_operand("X", {"k", "n"}), label="X#2")
    output = make_operand("Z", {"m", "n"})
    ranks = (("k", 4), ("m", 2), ("n", 3))
    space = EinsumSpace(name="Z", ranks=ranks, operands=(first, second, output), operators=("mul", "sum"))
    level = Storage(memory="M0", loops=loops(k=4, m=2, n=3), keep=frozenset("X"))
    mapping = EinsumMapping(einsum="Z", array="pe", levels=(level, Storage(memory="M1", keep=None)))
    assert resident((space, mapping), "M0") == {"X": 4 * 2 + 4 * 3}
    same = replace(space, operands=(first, replace(second, ranks=first.ranks), output))
    assert resident((same, mapping), "M0") == {"X": 4 * 2}


def test_a_view_of_what_is_made_later_is_read_too_early() -> None:
    """Z reads V, another indexing of W, another indexing of Y."""
    reads_view = replace(COLUMN_SUM, operands=(make_operand("V", {"m", "n"}), COLUMN_SUM.output))
    problem = replace(PROBLEM, spaces=(PRODUCT, reads_view), views=(("V", "W"), ("W", "Y")))
    early = Draft(
        phases=(((("line", "Z"),),), ((("grid", "Y"),),)), sum_kept=frozenset("VZ"), external=frozenset("ABVYZ")
    )
    (violation,) = violations(problem, early.mapping(), MACHINE)
    assert violation.what.startswith('Z in stage "stage 0" of phase "phase 0" reads Y, made in')
    late = replace(early, phases=SEPARATE)
    assert violations(problem, late.mapping(), MACHINE) == ()


def test_an_output_that_shows_another_tensor_needs_it_in_memory() -> None:
    cascade = parse(
        "cascade shown\nshape M = M1*M0\ninput A[m]\noutput Z\nB[m1,m0] = 2*A[m1*M0+m0]\nZ[m1*M0+m0] = B[m1,m0]\n"
    )
    text = """
description: an output that is a view
source: made up
cascades: [shown]
nests:
  nest:
    array: array_1d
    levels:
      - {memory: dram, loops: [m1: M / M0, m0: M0]}
      - {memory: array_1d.registers}
einsums:
  B: {nest: nest, keep: {dram: [B]}}
binding:
  - phase: all
    stages: [{name: all, work: {array_1d: [B]}}]
"""
    workload = parse_workload("source: here\nranks: {M: 8, M0: 4}\n")
    machine = load_arch("fusemax-cloud")
    kept = plan(cascade, machine, workload, parse_dataflow(text))
    assert sum(c.updates for c in analyse(kept[0].spaces[0], kept[1].nest("B")) if c.memory == "dram") == 8
    with pytest.raises(DoesNotFit, match="does not keep B, which the output Z shows"):
        plan(cascade, machine, workload, parse_dataflow(text.replace(", keep: {dram: [B]}", "")))
