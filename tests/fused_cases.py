"""Searched mappings written by hand: a cascade, its problem, and nests by a few words each."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fusemap.archspec import load_arch, parse_workload
from fusemap.archspec.types import Machine
from fusemap.einsum_cascade import catalog, run
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import (
    EinsumMapping,
    Fanout,
    Fusion,
    Group,
    Level,
    Loop,
    Phase,
    Problem,
    Stage,
    Storage,
)
from fusemap.mappers.types import Mapping as Mapped
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.actions import moved_words
from fusemap.sim.evaluate import evaluate_mapping
from fusemap.sim.fused import FusedExecution, execute_mapping


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that an execution needs."""

    cascade: Cascade
    problem: Problem
    mapping: Mapped
    machine: Machine

    def limited(self, capacity_words: int) -> Case:
        """The same with a buffer of so many words."""
        return dataclasses.replace(self, machine=machine(capacity_words))

    def kept(self, einsum: str, dram: str, whole: str, tile: str) -> Case:
        """The same with other tensors kept by one Einsum."""
        old = self.mapping.nest(einsum)
        new = tuple(
            dataclasses.replace(level, keep=frozenset(keep.split()))
            for level, keep in zip(old.levels, (dram, whole, tile), strict=False)
            if isinstance(level, Storage)
        )
        return self.nested(dataclasses.replace(old, levels=(*new, *old.levels[3:])))

    def nested(self, nest: EinsumMapping) -> Case:
        """The same with another nest of one Einsum."""
        nests = tuple(nest if n.einsum == nest.einsum else n for n in self.mapping.einsums)
        return dataclasses.replace(self, mapping=dataclasses.replace(self.mapping, einsums=nests))

    def fused(self, *phases: Fusion) -> Case:
        """The same with other phases; the nests stay."""
        return dataclasses.replace(self, mapping=dataclasses.replace(self.mapping, fusion=phases))

    def executed(self, seed: int = 0) -> FusedExecution:
        return execute_mapping(self.cascade, self.problem, self.mapping, self.machine, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Nest:
    """An Einsum's nest in short: where tensors are kept, and (dimension, rank, bound) of its fanouts.

    What the other loops leave of every rank runs in time, first the ranks of `order`. `outer` and `inner` are
    the phase's and the group's loops if not given.
    """

    dram: Collection[str] = ()
    whole: Collection[str] = ()
    tile: Collection[str] = ()
    order: str = ""
    spatial: tuple[tuple[str, str, int], ...] = ()
    array: str = "array_1d"
    outer: tuple[Loop, ...] | None = None
    inner: tuple[Loop, ...] | None = None


def loops(text: str) -> tuple[Loop, ...]:
    """`b:2 p:4` as loops."""
    return tuple(Loop(rank=rank, bound=int(bound)) for rank, bound in (item.split(":") for item in text.split()))


def fusion(outer: str, *groups: tuple[str, str], held: str = "") -> Fusion:
    """Groups as (loops, Einsums)."""
    made = tuple(Group(loops=loops(inner), einsums=tuple(einsums.split())) for inner, einsums in groups)
    return Fusion(loops=loops(outer), groups=made, held=frozenset(held.split()))


@cache
def machine(capacity_words: int | None = None) -> Machine:
    """The cloud accelerator with a buffer of so many words."""
    found = load_arch("fusemax-cloud")
    memories = tuple(
        m if m.name != "global_buffer" else dataclasses.replace(m, capacity_bytes=(capacity_words or 10**6) * 2)
        for m in found.memories
    )
    return dataclasses.replace(found, memories=memories)


def case(
    cascade: Cascade,
    sizes: Mapping[str, int],
    fusions: Sequence[Fusion],
    nests: Mapping[str, Nest],
    *,
    copies: Mapping[str, Sequence[str]] | None = None,
) -> Case:
    """The case; `copies` adds Einsums like QK@1 with the Einsums that read them. B and H are batch ranks."""
    ranks = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    batch = ", ".join(n for n in ("B", "H") if n in sizes and n not in known_shapes(cascade))
    workload = parse_workload(f"source: a test\nranks: {{{ranks}}}\nbatch: [{batch}]\n", file="w.yaml")
    problem = make_problem(cascade, workload, {})
    for copy, readers in (copies or {}).items():
        problem = with_copy(problem, copy, readers)
    mapping = Mapped(
        dataflow="by hand",
        einsums=tuple(_nest(problem, fusions, name, nest) for name, nest in nests.items()),
        binding=tuple(_phase(i, f, nests) for i, f in enumerate(fusions)),
        fusion=tuple(fusions),
    )
    return Case(cascade=cascade, problem=problem, mapping=mapping, machine=machine(None))


def with_copy(problem: Problem, copy: str, readers: Sequence[str]) -> Problem:
    """The problem with a second Einsum that makes the tensor `copy`, which the readers read instead."""
    name = copy.partition("@")[0]
    spaces = []
    for space in problem.spaces:
        changed = space.name in readers
        renamed = tuple(
            dataclasses.replace(o, tensor=copy, label=copy) if changed and o.tensor == name else o
            for o in space.operands
        )
        spaces.append(dataclasses.replace(space, operands=renamed))
        if space.name == name:
            output = dataclasses.replace(space.output, tensor=copy, label=copy)
            spaces.append(dataclasses.replace(space, name=copy, operands=(*space.inputs, output)))
    return dataclasses.replace(problem, spaces=tuple(spaces))


def _nest(problem: Problem, fusions: Sequence[Fusion], einsum: str, nest: Nest) -> EinsumMapping:
    home, group = next((f, g) for f in fusions for g in f.groups if einsum in g.einsums)
    extents = dict(problem.space(einsum).ranks)
    outer = home.loops if nest.outer is None else nest.outer
    inner = tuple(p for p in group.loops if p.rank in extents) if nest.inner is None else nest.inner
    spatial = [Loop(rank=rank, bound=bound) for _, rank, bound in nest.spatial]
    left = dict(extents)
    for loop in (*outer, *inner, *spatial):
        left[loop.rank] //= loop.bound
    order = [*nest.order.split(), *(rank for rank in extents if rank not in nest.order.split())]
    levels: list[Level] = [
        Storage(memory="dram", loops=outer, keep=frozenset(nest.dram)),
        Storage(memory="global_buffer", loops=inner, keep=frozenset(nest.whole)),
        Storage(
            memory="global_buffer",
            loops=tuple(Loop(rank=rank, bound=left[rank]) for rank in order),
            keep=frozenset(nest.tile),
        ),
        *(
            Fanout(array=nest.array, dim=dim, loops=(loop,))
            for (dim, _, _), loop in zip(nest.spatial, spatial, strict=True)
        ),
        Storage(memory=f"{nest.array}.registers", keep=None),
    ]
    return EinsumMapping(einsum=einsum, array=nest.array, levels=tuple(levels))


def _phase(number: int, phase: Fusion, nests: Mapping[str, Nest]) -> Phase:
    einsums = [e for group in phase.groups for e in group.einsums]
    stages = tuple(Stage(name=e, work=((nests[e].array, (e,)),)) for e in einsums)
    return Phase(name=str(number), stages=stages)


def counted(of: Case) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Words that the closed form reads from and writes to DRAM, by Einsum and tensor."""
    report = evaluate_mapping(of.problem, of.mapping, of.machine)
    found: dict[str, dict[str, dict[str, float]]] = {"read": defaultdict(dict), "write": defaultdict(dict)}
    for row in report.rows:
        if row.component == "dram" and row.words:
            tensor = row.tensor.partition("#")[0]
            words = found[row.action][row.einsum]
            words[tensor] = words.get(tensor, 0) + row.words
    return dict(found["read"]), dict(found["write"])


def closed_form(of: Case, einsum: str) -> tuple[dict[str, float], dict[str, float]]:
    """As `counted`, for one Einsum and without prices."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for moved in moved_words(of.problem.space(einsum), of.mapping.nest(einsum), of.machine, PRINCIPLED):
        if moved.count.memory == "dram":
            tensor = moved.count.operand.tensor
            for words, more in zip(found, (moved.read_words, moved.written_words), strict=True):
                if more:
                    words[tensor] = words.get(tensor, 0) + more
    return found


def check_numbers(of: Case, done: FusedExecution) -> None:
    """The outputs are those of the interpreter, batch by batch."""
    shapes = known_shapes(of.cascade)
    sizes = {k: v for k, v in of.problem.sizes if k in shapes}
    ranks = [rank for rank, _ in of.problem.spaces[0].ranks if rank.upper() not in shapes]
    batch = [dict(of.problem.spaces[0].ranks)[rank] for rank in ranks]
    assert done.outputs
    for at in np.ndindex(*batch):
        expected = run(of.cascade, sizes, {name: array[at] for name, array in done.inputs.items()})
        for name, array in done.outputs.items():
            np.testing.assert_allclose(array[at], expected[name], rtol=1e-10)


def check(of: Case) -> FusedExecution:
    """No fault, the interpreter's numbers, the closed form's words."""
    done = of.executed()
    assert [str(f) for f in done.faults] == []
    check_numbers(of, done)
    reads, writes = counted(of)
    assert done.dram_reads == reads
    assert done.dram_writes == writes
    return done


# --- cascades and mappings of them ------------------------------------------------------------------

MATMUL = parse("cascade matmul\ninput A[m,k], B[k,n]\nZ[m,n] = A[m,k] * B[k,n]\n")
SUMS = parse("cascade sums\ninput A[m,p]\nB[m,p] = A[m,p] * A[m,p]\nS[p] = sum[m] B[m,p]\nC[m,p] = B[m,p] * S[p]\n")


def matmul(nest: Nest) -> Case:
    """Z = A B with M, N, K = 4, 6, 8; the nest gives all loops."""
    return case(MATMUL, {"M": 4, "N": 6, "K": 8}, [fusion("", ("", "Z"))], {"Z": nest})


# Z[m,n] = A[m,k] B[k,n] with M, N, K = 4, 6, 8: nest, words read, words written, words in the buffer at most
MATMULS: dict[str, tuple[Nest, dict[str, int], dict[str, int], int]] = {
    "all whole": (
        Nest(dram="ABZ", whole="ABZ"),
        {"A": 32, "B": 48},
        {"Z": 24},
        32 + 48 + 24,
    ),
    "two rows of A at a time, B whole": (
        Nest(dram="ABZ", whole="B", tile="AZ", outer=(), inner=loops("m:2")),
        {"A": 32, "B": 48},
        {"Z": 24},
        2 * 8 + 48 + 2 * 6,
    ),
    "two rows of A at a time, B again and again": (
        Nest(dram="ABZ", whole="AZ", tile="B", outer=loops("m:2"), inner=loops("n:3")),
        {"A": 32, "B": 2 * 48},
        {"Z": 24},
        2 * 8 + 8 * 2 + 2 * 6,
    ),
    "partial sums come back": (
        Nest(dram="ABZ", tile="ABZ", outer=loops("k:4 m:2"), inner=()),
        {"A": 32, "B": 48, "Z": 3 * 24},
        {"Z": 4 * 24},
        2 * 2 + 2 * 6 + 2 * 6,
    ),
    "all streamed, Z stays in the registers": (
        Nest(dram="ABZ", order="m n k"),
        {"A": 4 * 6 * 8, "B": 4 * 6 * 8},
        {"Z": 24},
        0,
    ),
    "all streamed, A stays in the registers": (
        Nest(dram="ABZ", order="m k n"),
        {"A": 32, "B": 4 * 6 * 8, "Z": 7 * 24},
        {"Z": 8 * 24},
        0,
    ),
    "all streamed, B multicast over m": (
        Nest(dram="ABZ", order="n k", spatial=(("lanes", "m", 4),)),
        {"A": 4 * 6 * 8, "B": 48},
        {"Z": 24},
        0,
    ),
    "all streamed, products summed over k": (
        Nest(dram="ABZ", order="n m", spatial=(("lanes", "k", 8),)),
        {"A": 6 * 32, "B": 48},
        {"Z": 24},
        0,
    ),
    "partial sums come back to lanes that share them": (
        Nest(dram="ABZ", order="k n m", spatial=(("lanes", "k", 2),)),
        {"A": 6 * 32, "B": 48, "Z": 3 * 24},
        {"Z": 4 * 24},
        0,
    ),
}


def sums(how: str, outer: int = 2, chunks: tuple[int, int] = (2, 2), streamed: bool = False) -> Case:
    """B is held, spilled to DRAM or recomputed; `outer` tiles of columns, and chunks of rows in the two groups.

    `streamed`: what is in DRAM is not kept in the buffer, but where another Einsum of the group reads it there.
    """
    whole = ["S", "B"] if how == "held" else ["S"]
    source = [] if streamed else ["A"]
    spilled = ["B"] if how == "spilled" else []
    nests = {
        "B": Nest(dram=["A", *spilled], whole=whole[1:], tile=[*source, "B"]),
        "S": Nest(whole=whole, tile=["B"]),
        "C": Nest(dram=["C", *spilled], whole=whole, tile=[] if streamed else ["C", *spilled]),
    }
    last, copies = "C", {}
    if how == "recomputed":
        last, copies = "B@1 C", {"B@1": ["C"]}
        nests["B@1"] = Nest(dram=["A"], tile=[*source, "B@1"])
        nests["C"] = Nest(dram=["C"], whole=["S"], tile=["B@1"] if streamed else ["B@1", "C"])
    groups = ((f"m:{chunks[0]}", "B S"), (f"m:{chunks[1]}", last))
    return case(SUMS, {"M": 4, "P": 4}, [fusion(f"p:{outer}", *groups, held=" ".join(whole))], nests, copies=copies)


ATTENTION = {"B": 2, "H": 2, "E": 4, "F": 3, "M": 8, "P": 4}


def attention(how: str) -> Case:
    """attention-3pass, two queries at a time in four chunks of keys: QK held, SN held, recomputed or spilled."""
    held = {"held": "QK GM SN SD", "recomputed": "QK GM SD", "spilled": "GM SD"}[how]
    nests = {
        "QK": Nest(dram=["Q", "K"], tile=["Q", "K", "QK"], array="array_2d", spatial=(("rows", "e", 4),)),
        "GM": Nest(tile=["QK"], whole=["GM"]),
        "SN": Nest(tile=["QK", "SN"], whole=["GM"], spatial=(("lanes", "p", 2),)),
        "SD": Nest(tile=["SN"], whole=["SD"]),
        "A": Nest(tile=["SN", "A"], whole=["SD"]),
        "AV": Nest(dram=["V", "AV"], tile=["A", "AV", "V"], array="array_2d", order="m p f"),
    }
    last, copies = "A AV", {}
    if how == "spilled":
        for writer, reader, tensor in (("QK", "SN", "QK"), ("SN", "A", "SN")):
            for einsum in (writer, reader):
                nests[einsum] = dataclasses.replace(nests[einsum], dram=[*nests[einsum].dram, tensor])
    for einsum in nests:
        keep = [t for t in ("QK", "SN") if t in held.split() and t in nests[einsum].tile]
        nests[einsum] = dataclasses.replace(nests[einsum], whole=[*nests[einsum].whole, *keep])
    if how == "recomputed":
        last, copies = "SN@1 A AV", {"SN@1": ["A"]}
        nests["SN@1"] = Nest(tile=["SN@1"], whole=["QK", "GM"])
        nests["A"] = Nest(tile=["SN@1", "A"], whole=["SD"])
    phase = fusion("b:2 h:2 p:2", ("m:4", "QK GM"), ("m:4", "SN SD"), ("m:4", last), held=held)
    return case(catalog.load("attention-3pass"), ATTENTION, [phase], nests, copies=copies)


STREAMED = {"B": 2, "H": 2, "E": 4, "F": 3, "M": 8, "M0": 2, "P": 4}


def one_pass(m1: int = 4) -> Case:
    """attention-1pass, chunk after chunk of keys; the last group divides."""
    reads = {
        "BQK": "BQK",
        "LM": "BQK LM",
        "RM": "LM RM",
        "SLN": "BQK RM SLN",
        "SLD": "SLN SLD",
        "SLNV": "SLN SLNV",
        "PRM": "RM PRM",
        "SPD": "PRM SPD",
        "RD": "SLD SPD",
        "SPNV": "PRM SPNV",
        "RNV": "SLNV SPNV",
    }
    nests = {e: Nest(tile=tensors.split(), whole=_state(e)) for e, tensors in reads.items()}
    nests["BQK"] = Nest(dram=["Q", "BK"], tile=["Q", "BK", "BQK"], array="array_2d", spatial=(("columns", "p", 2),))
    nests["SLNV"] = Nest(dram=["BV"], tile=["BV", "SLN", "SLNV"])
    nests["AV"] = Nest(dram=["AV"], tile=["AV"], whole=["RNV", "RD"])
    chunks = (f"m1:{m1}", " ".join(reads))
    phase = fusion("b:2 h:2 p:2", chunks, ("", "AV"), held="RNV RD")
    return case(catalog.load("attention-1pass"), STREAMED, [phase], nests)


def _state(einsum: str) -> list[str]:
    held = {"SPD": ["RD"], "RD": ["RD"], "SPNV": ["RNV"], "RNV": ["RNV"]}
    return held.get(einsum, [])
