"""An ONNX model as plain data: nodes, inputs, outputs, constants and the extents of every tensor."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fusemap.diagnostics import InputError, input_error

Extent: TypeAlias = int | str
Shape: TypeAlias = tuple[Extent, ...]
OLDEST_OPSET = 13
MAX_BYTES = 1 << 31
_FOLDED = 4096  # constants with more elements are inputs whatever they hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator: its place in the graph, what it reads ('' where an operand is left out) and writes."""

    number: int
    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"node {self.number}{name} ({self.domain + '.' if self.domain else ''}{self.operator})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes in order; `constants` are small constant arrays, `parameters` all of them by name."""

    file: str
    name: str
    opset: int
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]
    constants: Mapping[str, Any]
    shapes: Mapping[str, Shape | None]
    integers: frozenset[str]

    def refuse(self, node: Node, why: str, hint: str = "") -> InputError:
        """The error that names a node and what is not supported about it."""
        return input_error(f"{self.file}: {node}: {why}", hint=hint)


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read a model and infer its shapes; InputError for a file that is no model, and without the package onnx."""
    file = str(path)
    try:
        onnx: Any = importlib.import_module("onnx")
        decode_error = importlib.import_module("google.protobuf.message").DecodeError
    except ImportError:
        hint = "pip install 'fusemap[onnx]' brings it"
        raise input_error("reading a model needs the package onnx, which is not installed", hint=hint) from None
    if not Path(path).is_file():
        raise input_error(f"{file}: cannot read the file: no such file")
    if Path(path).stat().st_size >= MAX_BYTES:
        raise input_error(f"{file}: file too large: more than {MAX_BYTES} bytes")
    try:
        model = onnx.load(file, load_external_data=False)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (
        decode_error,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
        TypeError,
    ) as error:
        raise input_error(f"{file}: no valid ONNX model: {' '.join(str(error).split())[:200]}") from None
    return _graph(onnx, model, file)


def _graph(onnx: Any, model: Any, file: str) -> Graph:
    found = model.graph
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET or not found.node:
        what = f"operators of version {opset}" if found.node else "no nodes"
        hint = "onnx.version_converter makes a newer model of an older one" if found.node else ""
        raise input_error(f"{file}: {what}; supported are models of version {OLDEST_OPSET} or later", hint=hint)
    constants = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in found.initializer
        if _elements(tensor.dims) <= _FOLDED and tensor.data_location != onnx.TensorProto.EXTERNAL
    }
    shapes: dict[str, Shape | None] = {tensor.name: tuple(tensor.dims) for tensor in found.initializer}
    integers = {t.name for t in found.initializer if t.data_type not in _floating(onnx)}
    for value in (*found.input, *found.value_info, *found.output):
        kind = value.type.tensor_type
        shapes[value.name] = _shape(kind) if value.type.HasField("tensor_type") and kind.HasField("shape") else None
        if kind.elem_type not in _floating(onnx):
            integers.add(value.name)
        if value.type.HasField("tensor_type") and kind.elem_type not in _numbers(onnx):
            held = onnx.TensorProto.DataType.Name(kind.elem_type)
            raise input_error(f"{file}: {value.name} holds {held}; floats, integers and booleans are supported")
    return Graph(
        file=file,
        name=Path(file).stem,
        opset=opset,
        nodes=tuple(_node(onnx, number, node) for number, node in enumerate(found.node)),
        inputs=tuple(v.name for v in found.input if v.name not in {t.name for t in found.initializer}),
        outputs=tuple(value.name for value in found.output),
        parameters=tuple(tensor.name for tensor in found.initializer),
        constants=constants,
        shapes=shapes,
        integers=frozenset(integers),
    )


def _node(onnx: Any, number: int, node: Any) -> Node:
    return Node(
        number=number,
        name=node.name,
        operator=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={a.name: _attribute(onnx, a) for a in node.attribute},
    )


def _attribute(onnx: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _shape(kind: Any) -> Shape | None:
    """Extents, numbers or names; None if one of them is neither."""
    found: list[Extent] = []
    for dim in kind.shape.dim:
        if dim.HasField("dim_value"):
            found.append(int(dim.dim_value))
        elif dim.dim_param:
            found.append(str(dim.dim_param))
        else:
            return None
    return tuple(found)


def _elements(dims: Any) -> int:
    count = 1
    for dim in dims:
        count *= int(dim)
    return count


def _numbers(onnx: Any) -> tuple[int, ...]:
    kinds = onnx.TensorProto
    signed = (kinds.INT8, kinds.INT16, kinds.INT32, kinds.INT64, kinds.BOOL)
    return (*_floating(onnx), *signed, kinds.UINT8, kinds.UINT16, kinds.UINT32, kinds.UINT64)


def _floating(onnx: Any) -> tuple[int, ...]:
    kinds = onnx.TensorProto
    return (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.BFLOAT16)
