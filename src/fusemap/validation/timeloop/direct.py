"""The one file that timeloop-model itself reads, without the v4 front end.

The front end turns containers into memories that keep nothing (their loops are the fanout), factors and
permutations into strings; the same is done here.
"""

from __future__ import annotations

import json
from typing import Any

from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.spec import Loops, Node, SpatialNode, Specification, StorageNode


def direct_input(spec: Specification) -> str:
    """A specification for `timeloop-model FILE`, as JSON, which is YAML too."""
    names = [s.name for s in spec.data_spaces]
    mapping = [directive for node in spec.nodes for directive in _directives(spec, node, names)]
    local = [*_components(spec), _component(spec.compute.name, words.COMPUTE, spec.compute.instances, _width(spec), 1)]
    for component, (mesh_x, mesh_y) in zip(local, _meshes(spec), strict=True):
        component["attributes"] |= {"meshX": mesh_x, "meshY": mesh_y}
    document = {
        words.ARCHITECTURE: {"version": words.VERSION, "subtree": [{"name": "top_level", "local": local}]},
        words.PROBLEM: _problem(spec),
        words.MAPPING: mapping,
        words.ENERGY_TABLE: {"version": words.VERSION, "tables": _energies(spec)},
        words.AREA_TABLE: {"version": words.VERSION, "tables": _areas(spec)},
    }
    return json.dumps(document, indent=1) + "\n"


def _problem(spec: Specification) -> dict[str, Any]:
    factors = sorted({f for s in spec.data_spaces for index in s.projection for _, f in index if f != 1})
    spaces = [
        {
            "name": s.name,
            "projection": [[[d] if f == 1 else [d, f"x{f}"] for d, f in index] for index in s.projection],
            **({"read_write": True} if s.read_write else {}),
        }
        for s in spec.data_spaces
    ]
    return {
        "version": words.VERSION,
        "shape": {
            "name": words.identifier(spec.einsum),
            "dimensions": [letter for letter, _, _ in spec.dimensions],
            "coefficients": [{"name": f"x{factor}", "default": factor} for factor in factors],
            "data_spaces": spaces,
        },
        "instance": {letter: extent for letter, _, extent in spec.dimensions},
    }


def _components(spec: Specification) -> list[dict[str, Any]]:
    found, instances = [], 1
    for node in spec.nodes:
        if isinstance(node, SpatialNode):
            found.append(_component(_dummy(node), "dummy_storage", instances, {"width": 1, "datawidth": 1}, 1))
            instances *= node.mesh_x * node.mesh_y
            continue
        given: dict[str, Any] = {"width": node.word_bits * node.block_words, "datawidth": node.word_bits}
        if node.bandwidth is not None:
            given["shared_bandwidth"] = node.bandwidth
        given |= {"block_size": node.block_words, "cluster_size": 1}
        found.append(_component(node.name, node.kind, instances, given, node.depth))
    return found


def _component(name: str, kind: str, instances: int, given: dict[str, Any], depth: int | None) -> dict[str, Any]:
    attributes = given if depth is None else {**given, "depth": depth}
    return {"name": f"{name}[1..{instances}]", "class": kind, "attributes": attributes}


def _meshes(spec: Specification) -> list[tuple[int, int]]:
    """The extents of the mesh that every component stands in."""
    meshes, x, y = [], 1, 1
    for node in spec.nodes:
        meshes.append((x, y))
        if isinstance(node, SpatialNode):
            x, y = x * node.mesh_x, y * node.mesh_y
    return [*meshes, (x, y)]


def _width(spec: Specification) -> dict[str, Any]:
    return {"datawidth": spec.storages[0].word_bits, "width": spec.storages[0].word_bits}


def _directives(spec: Specification, node: Node, names: list[str]) -> list[dict[str, Any]]:
    order = [letter for letter, _, _ in spec.dimensions]
    if isinstance(node, StorageNode):
        bypass = [name for name in names if name not in node.keep]
        return [
            _loops(node.name, words.TEMPORAL, order, node.loops, node.loops),
            {"target": node.name, "type": "bypass", "keep": list(node.keep), "bypass": bypass},
        ]
    spatial = _loops(_dummy(node), words.SPATIAL, order, node.loops, node.loops_x)
    return [
        _loops(_dummy(node), words.TEMPORAL, order, (), ()),
        {"target": _dummy(node), "type": "bypass", "keep": [], "bypass": names},
        {**spatial, "split": len(node.loops_x), "no_link_transfer": names},
    ]


def _loops(target: str, kind: str, order: list[str], loops: Loops, first: Loops) -> dict[str, Any]:
    bounds = dict(loops)
    inner = [letter for letter, _ in reversed(first)]
    return {
        "target": target,
        "type": kind,
        "factors": ",".join(f"{letter}={bounds.get(letter, 1)}" for letter in order),
        "permutation": "".join([*inner, *(letter for letter in order if letter not in inner)]),
    }


def _dummy(node: SpatialNode) -> str:
    return f"inter_{node.name}_spatial"


def _energies(spec: Specification) -> list[dict[str, Any]]:
    tables = []
    for node in spec.storages:
        actions = {"read": node.read_pj, "write": node.write_pj, "update": node.write_pj, "leak": 0.0}
        tables.append(_table(node.name, node.instances, actions))
    return [
        *tables,
        _table(spec.compute.name, spec.compute.instances, {"compute": spec.compute.energy_pj, "leak": 0.0}),
    ]


def _table(name: str, instances: int, actions: dict[str, float]) -> dict[str, Any]:
    listed = [{"name": action, "arguments": {}, "energy": energy} for action, energy in actions.items()]
    return {"name": f"top_level.{name}[1..{instances}]", "actions": listed}


def _areas(spec: Specification) -> list[dict[str, Any]]:
    areas = [(node.name, node.instances, node.area_um2) for node in spec.storages]
    areas.append((spec.compute.name, spec.compute.instances, spec.compute.area_um2))
    return [{"name": f"top_level.{name}[1..{instances}]", "area": area} for name, instances, area in areas]
