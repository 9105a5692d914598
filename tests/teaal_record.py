"""Executes TeAAL files with TeAAL's own compiler and fibertree, for `test_teaal.py` to compare with.

Needs Python 3.12 or later, lark, ruamel.yaml < 0.18, networkx, sympy, numpy and what fibertree imports, and
checkouts of FPSG-UIUC/teaal-compiler and Fibertree-Project/fibertree on the path:

    PYTHONPATH=teaal-compiler:fibertree python teaal_record.py cases.json compiled.json

A case has `yaml`, `sizes`, `inputs`, `scalars`; what comes out has `result` too, the tensors that are written,
or `error` where the compiler refuses.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def execute(case: dict[str, Any]) -> dict[str, Any]:
    """The tensors that the compiled code writes, dense, in the order of their declared ranks."""
    parse = importlib.import_module("teaal.parse")
    tensor = importlib.import_module("fibertree").Tensor
    numpy = importlib.import_module("numpy")
    einsum, mapping = parse.Einsum.from_str(case["yaml"]), parse.Mapping.from_str(case["yaml"])
    code = str(importlib.import_module("teaal.trans.hifiber").HiFiber(einsum, mapping))
    declared, orders = einsum.get_declaration(), mapping.get_rank_orders()
    scope: dict[str, Any] = {"Tensor": tensor, **case["sizes"], **case["scalars"]}

    def name_of(name: str) -> str:
        return f"{name}_{''.join(orders.get(name, declared[name]))}"

    for name, given in case["inputs"].items():
        order = orders.get(name, declared[name])
        array = numpy.array(given).transpose([declared[name].index(rank) for rank in order])
        root, shape = array.tolist(), list(array.shape)
        scope[name_of(name)] = tensor.fromUncompressed(rank_ids=order, root=root, shape=shape, name=name)
    exec(code, scope)  # code that the compiler has just written
    result = {}
    for name in (n for n in declared if n not in case["inputs"] and name_of(n) in scope):
        order = orders.get(name, declared[name])
        array = numpy.zeros([case["sizes"][rank] for rank in order])
        fill(array, scope[name_of(name)].getRoot(), ())
        result[name] = array.transpose([order.index(rank) for rank in declared[name]]).tolist()
    return result


def fill(array: Any, fiber: Any, at: tuple[int, ...]) -> None:
    """The elements that a fiber holds; all others stay 0."""
    if len(at) == array.ndim:
        array[at] = float(getattr(fiber, "value", fiber))
        return
    for coordinate, payload in fiber:
        fill(array, payload, (*at, coordinate))


def main(cases: str, target: str) -> None:
    """Record every case of a file."""
    recorded = []
    for case in json.loads(Path(cases).read_text()):
        try:
            recorded.append({**case, "result": execute(case)})
        except Exception as error:
            recorded.append({**case, "error": f"{type(error).__name__}: {error}"})
    lines = ",\n".join(json.dumps(case) for case in recorded)
    Path(target).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
