"""A cascade as a graph: inputs and Einsums as nodes, reads as edges, the pass of every Einsum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module  # the drawing, which only a notebook asks for, builds on these types
from typing import TYPE_CHECKING, Literal, TypeAlias

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.scope import accesses, iterative_ranks
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, TensorName, VarName

if TYPE_CHECKING:
    from networkx import DiGraph

Steps: TypeAlias = Mapping[int, tuple[VarName, int]]  # by position the iterative variable and what is added to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An input or an Einsum; `indices` are those it is declared or written with, `number` is its pass."""

    name: str
    kind: Literal["input", "einsum"]
    indices: tuple[str, ...]
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` reads `source`, once with each of `reads`: one index per rank.

    The edge is `carried` where every read is of an earlier step of an iterative rank.
    """

    source: str
    target: str
    reads: tuple[tuple[str, ...], ...]
    carried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """`before` cannot start on a fiber until all of it was visited by `visited_by`."""

    before: str
    visited_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeGraph:
    """Nodes in the order of the text, edges by target and then by the order of the reads."""

    cascade: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    barriers: tuple[Barrier, ...] = ()
    title: str = ""
    tensor: str | None = None
    rank: str | None = None

    @property
    def node(self) -> dict[str, Node]:
        """The nodes by name."""
        return {n.name: n for n in self.nodes}

    @property
    def numbers(self) -> tuple[int, ...]:
        """The passes that Einsums are assigned to, ascending."""
        return tuple(sorted({n.number for n in self.nodes if n.number is not None}))

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/export/1` of format `graph`."""
        return {
            "schema": "fusemap/export/1",
            "format": "graph",
            "cascade": self.cascade,
            "title": self.title,
            "tensor": self.tensor,
            "rank": self.rank,
            "nodes": [
                {"name": n.name, "kind": n.kind, "indices": list(n.indices), "pass": n.number} for n in self.nodes
            ],
            "edges": [
                {"source": e.source, "target": e.target, "reads": [list(r) for r in e.reads], "carried": e.carried}
                for e in self.edges
            ],
            "barriers": [{"before": b.before, "visited_by": list(b.visited_by)} for b in self.barriers],
        }

    def _repr_svg_(self) -> str:
        """What a notebook shows: the drawing."""
        content: bytes = import_module("fusemap.validation.graph_draw").render(self, "svg")
        return content.decode()

    def to_networkx(self) -> DiGraph:
        """The graph as a `networkx.DiGraph`; attributes of nodes and edges as in the document.

        Raises InputError where networkx, the extra `graph`, is not installed.
        """
        try:
            from networkx import DiGraph  # an extra: loaded when it is asked for
        except ImportError as error:
            raise input_error("networkx is not installed", hint="pip install 'fusemap[graph]'") from error
        made: DiGraph = DiGraph(cascade=self.cascade, title=self.title)
        for n in self.nodes:
            made.add_node(n.name, **{"kind": n.kind, "indices": n.indices, "pass": n.number})
        for e in self.edges:
            made.add_edge(e.source, e.target, reads=e.reads, carried=e.carried)
        return made


def cascade_graph(
    cascade: Cascade,
    assignment: Mapping[str, int] | None = None,
    barriers: Sequence[tuple[str, Sequence[str]]] = (),
    *,
    title: str = "",
    tensor: str | None = None,
    rank: str | None = None,
) -> CascadeGraph:
    """The graph of a cascade; an Einsum that an `init:` statement starts reads what that statement reads too.

    `assignment` gives the pass of Einsums by name, `barriers` what waits for a whole fiber and who visits it.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> graph = cascade_graph(load("cascade-1"), {"Y": 1, "Z": 2}, [("Z", ["Y"])])
    >>> [f"{e.source} -> {e.target}" for e in graph.edges]
    ['A -> Y', 'B -> Y', 'Y -> Z', 'A -> Z']
    """
    numbers = assignment or {}
    inputs = [Node(name=a.tensor, kind="input", indices=_indices(a)) for a in cascade.inputs]
    einsums = [
        Node(name=e.name, kind="einsum", indices=_indices(e.output), number=numbers.get(e.name))
        for e in cascade.einsums
    ]
    steps = {e.name: _steps(cascade, e.output) for e in cascade.einsums}
    return CascadeGraph(
        cascade=cascade.name,
        nodes=(*inputs, *einsums),
        edges=tuple(edge for e in cascade.einsums for edge in _reads(cascade, e, steps)),
        barriers=tuple(Barrier(before=before, visited_by=tuple(by)) for before, by in barriers),
        title=title or cascade.name,
        tensor=tensor,
        rank=rank,
    )


def _indices(access: Access) -> tuple[str, ...]:
    """The indices as text without their filters."""
    return tuple(format_rank_expr(i.expr) for i in access.indices)


def _reads(cascade: Cascade, einsum: Einsum, steps: Mapping[TensorName, Steps]) -> list[Edge]:
    """An edge for each tensor that the Einsum or its initialization reads, in the order of the reads."""
    own = accesses(einsum)
    inits = [a for e in cascade.inits if e.name == einsum.name for a in accesses(e)]
    found: dict[str, list[Access]] = {}
    for access in (*own, *inits):
        found.setdefault(access.tensor, []).append(access)
    return [
        Edge(
            source=source,
            target=einsum.name,
            reads=tuple(dict.fromkeys(_indices(a) for a in read)),
            carried=all(_is_earlier(cascade, a, steps.get(TensorName(source), {})) for a in read),
        )
        for source, read in found.items()
    ]


def _steps(cascade: Cascade, access: Access) -> Steps:
    """The iterative variables of an access by position, with what is added to them: `m1+1` is (m1, 1)."""
    iterative = iterative_ranks(cascade)
    found = {}
    for position, index in enumerate(access.indices):
        terms = index.expr.terms if isinstance(index.expr, Affine) else ()
        variables = [t.var for t in terms if t.var is not None and t.shape is None and t.sign > 0]
        constants = [t.sign * t.constant for t in terms if t.constant is not None and t.var is None]
        if len(variables) == 1 and len(constants) == len(terms) - 1 and variables[0] in iterative:
            found[position] = (variables[0], sum(constants))
    return found


def _is_earlier(cascade: Cascade, read: Access, written: Steps) -> bool:
    """Is the element that is read one of an earlier step than the one that is written in this step?"""
    steps = _steps(cascade, read)
    return any(
        position in steps and steps[position][0] == var and steps[position][1] < added
        for position, (var, added) in written.items()
    )
