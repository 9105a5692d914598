"""ONNX models in double precision, random and written by hand, and their execution by ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.validation.imported import Imported

Shape = tuple[int | str, ...]
SIZES = {"batch": 2, "seq": 5, "keys": 3, "model": 4}
UNARY = ("Exp", "Abs", "Relu", "Sigmoid", "Tanh", "Neg", "Sign", "Softplus", "Floor", "Cos", "Sin", "Identity")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare")


@dataclass(kw_only=True)
class Model:
    """A model under construction: nodes, inputs with their extents, constants, outputs."""

    nodes: list[Any] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    booleans: set[str] = field(default_factory=set)
    opset: int = 23

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node; the name of what it writes."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def proto(self) -> Any:
        """The model as ONNX has it."""
        kinds = {name: TensorProto.BOOL if name in self.booleans else TensorProto.DOUBLE for name in self.inputs}
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in self.inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in self.outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        for found, inferred in zip(graph.output, onnx.shape_inference.infer_shapes(model).graph.output, strict=True):
            found.type.CopyFrom(inferred.type)
            if not found.type.tensor_type.HasField("shape"):
                found.type.tensor_type.shape.dim.add().dim_param = "unknown"
        model.graph.CopyFrom(graph)
        return model

    def save(self, path: Path) -> Path:
        """Write the model to a file."""
        onnx.save(self.proto(), str(path))
        return path

    def given(self, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Random values for the inputs."""
        rng = np.random.default_rng(seed)
        found: dict[str, NDArray[Any]] = {}
        for name, shape in self.inputs.items():
            drawn = rng.standard_normal([SIZES.get(str(extent), extent) for extent in shape])
            found[name] = drawn > 0 if name in self.booleans else drawn
        return found

    def expected(self, given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs, by the reference evaluator."""
        return list(ReferenceEvaluator(self.proto()).run(None, dict(given)))


def computed(found: Imported, model: Model, given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs by the cascade's interpreter, from the same values, without axes of extent 1."""
    original, outputs = {}, []
    for note in found.notes:
        name, _, _, kind, *rest = note.message.split()
        if kind in ("input", "constant"):
            original[name] = rest[0].rstrip(",")
        elif kind == "output":
            outputs.append(name)
    values = {**model.constants, **given}
    inputs = {a.tensor: np.squeeze(values[original[a.tensor]]).astype(float) for a in found.cascade.inputs}
    known = known_shapes(found.cascade)
    sizes = {name.upper(): size for name, size in SIZES.items() if name.upper() in known}
    results = run(found.cascade, sizes, inputs)
    return [results[name] for name in outputs]


def random_model(seed: int) -> Model:
    """Up to nine nodes on inputs of two to four axes, with weights where a node needs some."""
    return _Draw(Random(seed)).model()


class _Draw:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.rng = np.random.default_rng(random.randint(0, 1 << 30))
        self.result = Model()
        self.values: list[tuple[str, Shape]] = []

    def model(self) -> Model:
        extents: list[int | str] = ["batch", "seq", "model", 6, 4, 1]
        for number in range(self.random.randint(1, 2)):
            shape = tuple(self.random.choice(extents) for _ in range(self.random.randint(2, 4)))
            self.result.inputs[f"x{number}"] = shape
            self.values.append((f"x{number}", shape))
        kinds = (self.unary, self.binary, self.matmul, self.turned, self.softmax, self.norm, self.reduced, self.cut)
        for number in range(self.random.randint(2, 9)):
            self.random.choice(kinds)(f"/block.{number}/out")
        self.result.outputs = list(dict.fromkeys([self.values[-1][0], self.random.choice(self.values)[0]]))
        self.result.outputs = [name for name in self.result.outputs if name not in self.result.inputs]
        if not self.result.outputs:
            self.unary("out")
            self.result.outputs = ["out"]
        return self.result

    def pick(self, least: int = 0) -> tuple[str, Shape]:
        """One of the latest values, with at least as many axes."""
        fit = [value for value in self.values if len(value[1]) >= least] or self.values[:1]
        return self.random.choice(fit[-3:])

    def add(self, operator: str, inputs: Sequence[str], output: str, shape: Shape, **attributes: Any) -> None:
        self.result.node(operator, inputs, output, **attributes)
        self.values.append((output, shape))

    def weight(self, *extents: int | str) -> str:
        name = f"w{len(self.result.constants)}"
        self.result.constants[name] = self.rng.standard_normal([SIZES.get(str(e), e) for e in extents])
        if any(isinstance(e, str) for e in extents):  # a constant has no named extents: it is an input
            self.result.constants.pop(name)
            name = f"y{len(self.result.inputs)}"
            self.result.inputs[name] = tuple(extents)
        return name

    def unary(self, output: str) -> None:
        name, shape = self.pick()
        self.add(self.random.choice(UNARY), [name], output, shape)

    def binary(self, output: str) -> None:
        name, shape = self.pick()
        other = [1 if self.random.random() < 0.3 else extent for extent in shape[self.random.randint(0, len(shape)) :]]
        same = [value for value, found in self.values if found == shape]
        second = self.random.choice(same) if self.random.random() < 0.5 else self.weight(*other)
        pair = [name, second] if self.random.random() < 0.5 else [second, name]
        self.add(self.random.choice(BINARY), pair, output, shape)

    def matmul(self, output: str) -> None:
        name, shape = self.pick(2)
        if self.random.random() < 0.4:
            turned = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            self.add("Transpose", [name], f"{output}_t", tuple(shape[i] for i in turned), perm=turned)
            self.add("MatMul", [name, f"{output}_t"], output, (*shape[:-1], shape[-2]))
            return
        columns = self.random.choice((3, 4, "keys"))
        self.add("MatMul", [name, self.weight(shape[-1], columns)], output, (*shape[:-1], columns))

    def turned(self, output: str) -> None:
        name, shape = self.pick()
        order = self.random.sample(range(len(shape)), len(shape))
        self.add("Transpose", [name], output, tuple(shape[i] for i in order), perm=order)

    def softmax(self, output: str) -> None:
        name, shape = self.pick()
        operator = self.random.choice(("Softmax", "LogSoftmax"))
        self.add(operator, [name], output, shape, axis=self.random.randrange(-len(shape), len(shape)))

    def norm(self, output: str) -> None:
        name, shape = self.pick()
        axis = self.random.randrange(len(shape))
        weights = [self.weight(*shape[axis:])]
        operator = self.random.choice(("LayerNormalization", "RMSNormalization"))
        if operator == "LayerNormalization" and self.random.random() < 0.5:
            weights.append(self.weight(*shape[axis:]))
        self.add(operator, [name, *weights], output, shape, axis=axis - self.random.choice((0, len(shape))))

    def reduced(self, output: str) -> None:
        name, shape = self.pick(2)
        keep, over = self.random.randint(0, 1), self.random.sample(range(len(shape)), self.random.randint(1, 2))
        if len(shape) - len(over) < 2:
            keep = 1
        self.result.constants[f"{output}_axes"] = np.array(over)
        left = tuple(1 if i in over else extent for i, extent in enumerate(shape) if keep or i not in over)
        self.add(self.random.choice(REDUCTIONS), [name, f"{output}_axes"], output, left, keepdims=keep)

    def cut(self, output: str) -> None:
        """An axis of 6 or 4 cut in two, or two neighbours joined; a new axis of extent 1 where there is neither."""
        name, shape = self.pick()
        places = [i for i, extent in enumerate(shape) if extent in (6, 4)]
        pairs = [i for i in range(len(shape) - 1) if all(isinstance(e, int) and e > 1 for e in shape[i : i + 2])]
        if places and self.random.random() < 0.6:
            at = self.random.choice(places)
            new = (*shape[:at], 2, int(shape[at]) // 2, *shape[at + 1 :])
        elif pairs:
            at = self.random.choice(pairs)
            new = (*shape[:at], int(shape[at]) * int(shape[at + 1]), *shape[at + 2 :])
        else:
            at = self.random.randint(0, len(shape))
            self.result.constants[f"{output}_axes"] = np.array([at])
            self.add("Unsqueeze", [name, f"{output}_axes"], output, (*shape[:at], 1, *shape[at:]))
            return
        asked = [extent if isinstance(extent, int) else -1 if new.count(extent) == 1 else 0 for extent in new]
        if sum(isinstance(extent, str) for extent in new) > 1 or asked.count(-1) > 1 or 0 in asked:
            return
        self.result.constants[f"{output}_shape"] = np.array(asked)
        self.add("Reshape", [name, f"{output}_shape"], output, new)
