"""An ONNX model as a cascade: its nodes in order, each as the Einsums that compute the same."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.einsum_cascade.operators import RESERVED
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.validation.imported import Imported, Note, comment
from fusemap.validation.onnx_graph.builder import Builder, UnsupportedError, literal
from fusemap.validation.onnx_graph.graph import Graph, Node, load_graph
from fusemap.validation.onnx_graph.operators import SUPPORTED, handler_of
from fusemap.validation.onnx_graph.ranks import Axis, Value
from fusemap.validation.onnx_graph.step import Step


def import_onnx(path: str | os.PathLike[str], *, ranks: Mapping[str, str] | None = None) -> Imported:
    """The cascade of an ONNX model whose nodes are matrix products, softmax, normalizations and elementwise.

    Extents that the model names stay symbolic, numbers are constants. Axes of extent 1 are left out; weights
    are inputs. `ranks` gives ranks other names and leaves their sizes open. InputError names every node that
    is not supported, and the first whose use is not; without the package onnx it says how to get it.
    """
    graph = load_graph(path)
    _check_operators(graph)
    run = _Run(graph=graph, builder=Builder(), values={})
    run.leaves()
    for node in graph.nodes:
        run.node(node)
    return run.finish(ranks or {})


def _check_operators(graph: Graph) -> None:
    unknown = [n for n in graph.nodes if n.domain or (n.operator != "Constant" and handler_of(n.operator) is None)]
    if unknown:
        hints = [*[""] * (len(unknown[:50]) - 1), f"supported operators: {', '.join(SUPPORTED)}"]
        messages = [f"{graph.file}: {node}: this operator is not supported" for node in unknown]
        pairs = zip(messages, hints, strict=False)
        raise InputError(tuple(Diagnostic(message=message, hint=hint) for message, hint in pairs))


@dataclass(slots=True, kw_only=True)
class _Run:
    """The import under way: what every name of the graph is in the cascade."""

    graph: Graph
    builder: Builder
    values: dict[str, Value]

    def leaves(self) -> None:
        """The model's inputs and weights as inputs; a constant of one element as a number."""
        for name in (*self.graph.inputs, *self.graph.parameters):
            self.leaf(name)

    def leaf(self, name: str) -> None:
        shape = self.graph.shapes.get(name)
        constant = self.graph.constants.get(name)
        if constant is not None and constant.size == 1:
            self.number(name, constant)
            return
        if shape is None:
            raise input_error(f"{self.graph.file}: the input {name} has axes without an extent or a name")
        if 0 in shape:
            raise input_error(f"{self.graph.file}: the input {name} has an axis of extent 0")
        self.values[name] = self.builder.given(name, shape)

    def number(self, name: str, constant: Any) -> None:
        try:
            value = literal(float(constant.reshape(-1)[0]))
        except UnsupportedError as error:
            raise input_error(f"{self.graph.file}: the constant {name} is not supported: {error}") from None
        self.values[name] = replace(value, axes=tuple(Axis(extent=1) for _ in constant.shape))

    def node(self, node: Node) -> None:
        """Write one node's Einsums."""
        if node.operator == "Constant":
            self.constant(node)
            return
        missing = [name for name in node.inputs if name and name not in self.values]
        if missing:
            raise self.graph.refuse(node, f"reads {missing[0]}, which nothing before it writes")
        operands = tuple(self.values[name] if name else None for name in node.inputs)
        handler = handler_of(node.operator)
        assert handler is not None, node
        try:
            found = handler(Step(graph=self.graph, node=node, builder=self.builder, operands=operands))
        except UnsupportedError as error:
            raise self.graph.refuse(node, f"not supported with {error}") from None
        self.values[node.outputs[0]] = found

    def constant(self, node: Node) -> None:
        name, found = node.outputs[0], node.attributes.get("value")
        if found is None:
            import numpy as np

            found = np.array(next(iter(node.attributes.values())))
        if getattr(found, "dtype", None) is None or found.dtype.kind not in "fiub":
            raise self.graph.refuse(node, "not supported with anything but numbers")
        self.graph = replace(
            self.graph,
            constants={**self.graph.constants, name: found},
            shapes={**self.graph.shapes, name: tuple(found.shape)},
            parameters=(*self.graph.parameters, name),
        )
        self.leaf(name)

    def finish(self, renamed: Mapping[str, str]) -> Imported:
        """The cascade, with an Einsum for every output that is only another view of a tensor."""
        outputs = [self.output(name) for name in self.graph.outputs]
        read = {word for line in self.builder.lines for word in re.findall(r"\b[A-Za-z]\w*", line)}
        inputs = [value for name, value in self.builder.inputs.items() if name in read]
        listed = [f"input {_declared(value)}" for value in inputs]
        used = [word for line in (*self.builder.lines, *listed) for word in re.findall(r"\w+", line.lower())]
        ranks = self.builder.ranks
        known = [word for word in used if word in ranks.extents]
        _check_renamed(self.graph.file, renamed, known)
        open_ranks = {ranks.root(old.lower()) for old in renamed}
        shapes = [f"shape {line}" for line in ranks.declarations(known, left_open=open_ranks)]
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", self.graph.name).strip("-_.+") or "model"
        head = [f"cascade {name}", *shapes, *listed, f"output {', '.join(dict.fromkeys(outputs))}"]
        notes = tuple(self.notes({value.text for value in inputs}, outputs))
        comments = "".join(comment(note.message) for note in notes)
        lines = [_renamed(line, renamed) for line in (*head, *self.builder.lines)]
        source = "\n".join([*lines, ""])
        text = f"{comments}{format_cascade(parse(source))}"
        cascade = parse(text, file=f"{name}.cascade")
        return Imported(cascade=cascade, text=text, format="onnx", file=self.graph.file, notes=notes)

    def output(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            raise input_error(f"{self.graph.file}: nothing writes the output {name}")
        own = [axis for axis in value.axes if axis.extent != 1]
        if value.text not in self.builder.inputs and own == list(value.own) and value.text in self.builder.names:
            return value.text
        return self.builder.map(name, "{}", value).text

    def notes(self, read: set[str], outputs: list[str]) -> list[Note]:
        names: Mapping[str, str] = {name: self.values[name].text for name in self.graph.outputs}
        found = [Note(message=f"From {os.path.basename(self.graph.file)}, an ONNX model.")]
        for name in (*self.graph.inputs, *self.graph.parameters):
            text = self.values[name].text
            if text in read:
                kind = "input" if name in self.graph.inputs else "constant"
                shape = " x ".join(map(str, self.graph.shapes.get(name) or ())) or "a scalar"
                found.append(Note(message=f"{text} is the {kind} {name}, {shape}"))
        for name, text in zip(names, outputs, strict=True):
            found.append(Note(message=f"{text} is the output {name}"))
        return found


def _renamed(line: str, renamed: Mapping[str, str]) -> str:
    """A line with other names of ranks: in shape declarations, in indices, size() and filters."""
    words = {old.lower(): new.lower() for old, new in renamed.items()}
    words |= {old.upper(): new.upper() for old, new in renamed.items()}
    place = r".*" if line.startswith("shape ") else r"\[[^\]]*\]|size\(\w+\)| for .*"
    return re.sub(place, lambda part: re.sub(r"\w+", lambda w: words.get(w.group(), w.group()), part.group()), line)


def _check_renamed(file: str, renamed: Mapping[str, str], known: Sequence[str]) -> None:
    """Old names must be ranks, new ones must be free and fit to be names."""
    kept = set(known) - {old.lower() for old in renamed}
    names = sorted({name.upper() for name in known})
    for old, new in renamed.items():
        if old.lower() not in known:
            raise input_error(f"{file}: no rank {old}", hint=did_you_mean(old.upper(), names, noun="ranks"))
        word = new.lower()
        taken = word in kept or [n.lower() for n in renamed.values()].count(word) > 1
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", word) or word in RESERVED or taken:
            raise input_error(f"{file}: {new} is no name for a rank{', there is one already' if taken else ''}")


def _declared(value: Value) -> str:
    indices = ",".join(str(axis.var) for axis in value.own)
    return f"{value.text}[{indices}]" if value.own else value.text
