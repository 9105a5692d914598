"""The graph of a cascade as text in the DOT language of Graphviz, and its colours."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fusemap.validation.graph import CascadeGraph, Edge, Node

# Okabe and Ito's palette, light enough for black text; drawings name the passes too.
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00")
NO_PASS, INPUT, BARRIER = "#DDDDDD", "#FFFFFF", "#C00000"


def colour_of(number: int) -> str:
    """The colour of a pass, the same again after six."""
    return COLOURS[(number - 1) % len(COLOURS)]


def fill(node: Node) -> str:
    """The colour of a node's box."""
    if node.kind == "input":
        return INPUT
    return NO_PASS if node.number is None else colour_of(node.number)


def to_dot(graph: CascadeGraph) -> str:
    """The graph in the DOT language: every edge with the indices of its reads, barriers as dashed red edges.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> from fusemap.validation.graph import cascade_graph
    >>> print(to_dot(cascade_graph(parse("input A[k]\\nZ = sum[k] A[k]"))), end="")
    digraph "unnamed" {
      rankdir=LR; label="unnamed"; labelloc=t; node [shape=box, style=filled, fontname="Times"];
      "A" [label="A\\nk", fillcolor="#FFFFFF"];
      "Z" [label="Z", fillcolor="#DDDDDD", style="rounded,filled"];
      "A" -> "Z" [label="k"];
    }
    """
    return "".join(f"{line}\n" for line in _lines(graph))


def _lines(graph: CascadeGraph) -> Iterator[str]:
    yield f"digraph {_quoted(graph.cascade)} {{"
    heading = f"rankdir=LR; label={_quoted(graph.title)}; labelloc=t;"
    yield f'  {heading} node [shape=box, style=filled, fontname="Times"];'
    yield from (f"  {_node(node)};" for node in graph.nodes)
    yield from (f"  {_edge(edge)};" for edge in graph.edges)
    for barrier in graph.barriers:
        for name in barrier.visited_by:
            style = f'style=dashed, color="{BARRIER}", constraint=false, tooltip="barrier"'
            yield f"  {_quoted(name)} -> {_quoted(barrier.before)} [{style}];"
    yield "}"


def _node(node: Node) -> str:
    label = "\n".join([node.name, *([",".join(node.indices)] if node.indices else [])])
    rounded = "" if node.kind == "input" else ', style="rounded,filled"'
    number = "" if node.number is None else f', tooltip="pass {node.number}"'
    return f'{_quoted(node.name)} [label={_quoted(label)}, fillcolor="{fill(node)}"{rounded}{number}]'


def _edge(edge: Edge) -> str:
    label = "\n".join(",".join(read) for read in edge.reads)
    dotted = ", style=dotted, constraint=false" if edge.carried else ""
    return f"{_quoted(edge.source)} -> {_quoted(edge.target)} [label={_quoted(label)}{dotted}]"


def _quoted(text: str) -> str:
    """A DOT string: as JSON writes one, in ASCII as all names of a cascade are."""
    return json.dumps(text, ensure_ascii=False)
