"""A specification as Timeloop v4 files: problem, architecture, energy tables, mapping, constraints.

`timeloopfe.v4.Specification.from_yaml_files` takes the first four for `call_model`, and the constraints in
place of the mapping for `call_mapper`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.spec import DataSpace, Loops, Node, SpatialNode, Specification, StorageNode

MODEL_FILES = ("problem.yaml", "architecture.yaml", "energy.yaml", "mapping.yaml")
FILES = (*MODEL_FILES, "constraints.yaml")


def files(spec: Specification) -> dict[str, str]:
    """The text of every file, by name."""
    parts = (_problem(spec), _architecture(spec), _energy(spec), _mapping(spec), _constraints(spec))
    return {name: "\n".join(lines) + "\n" for name, lines in zip(FILES, parts, strict=True)}


def _head(spec: Specification, what: str) -> Iterator[str]:
    of = f" of {spec.cascade}" if spec.cascade else ""
    yield f"# {what}: Einsum {spec.einsum}{of} on {spec.machine}, written by fusemap for Timeloop v4."
    yield from (f"# {note}." for note in spec.notes)


def _problem(spec: Specification) -> Iterator[str]:
    yield from _head(spec, "The problem")
    yield "# Dimensions: " + ", ".join(f"{letter} is {rank}" for letter, rank, _ in spec.dimensions) + "."
    factors = sorted({f for s in spec.data_spaces for index in s.projection for _, f in index if f != 1})
    yield from (f"{words.PROBLEM}:", f'  version: "{words.VERSION}"', "  shape:")
    yield f"    name: {words.identifier(spec.einsum)}"
    yield f"    dimensions: {_list(letter for letter, _, _ in spec.dimensions)}"
    if factors:
        listed = ", ".join(f"{{name: x{factor}, default: {factor}}}" for factor in factors)
        yield f"    coefficients: [{listed}]"
    yield "    data_spaces:"
    for space in spec.data_spaces:
        written = ", read_write: true" if space.read_write else ""
        yield f"    - {{name: {space.name}, projection: {_projection(space)}{written}}}"
    sizes = ", ".join(f"{letter}: {extent}" for letter, _, extent in spec.dimensions)
    yield f"  instance: {{{sizes}}}"


def _projection(space: DataSpace) -> str:
    terms = (
        "[" + ", ".join(f"[{letter}]" if factor == 1 else f"[{letter}, x{factor}]" for letter, factor in index) + "]"
        for index in space.projection
    )
    return "[" + ", ".join(terms) + "]"


def _architecture(spec: Specification) -> Iterator[str]:
    yield from _head(spec, "The architecture")
    yield f'{words.VARIABLES}: {{version: "{words.VERSION}", global_cycle_seconds: {spec.cycle_seconds!r}}}'
    yield from (f"{words.ARCHITECTURE}:", f'  version: "{words.VERSION}"', "  nodes:")
    for node in spec.nodes:
        if isinstance(node, SpatialNode):
            yield f"  - {words.CONTAINER}"
            yield f"    name: {node.name}"
            yield f"    spatial: {{meshX: {node.mesh_x}, meshY: {node.mesh_y}}}"
            continue
        yield f"  - {words.COMPONENT}"
        yield f"    name: {node.name}"
        yield f"    class: {node.kind}"
        yield f"    attributes: {{{', '.join(_attributes(node))}}}"
    yield f"  - {words.COMPONENT}"
    yield f"    name: {spec.compute.name}"
    yield f"    class: {words.COMPUTE}"
    bits = spec.storages[0].word_bits
    yield f"    attributes: {{datawidth: {bits}, width: {bits}}}"


def _attributes(node: StorageNode) -> Iterator[str]:
    yield f"width: {node.word_bits * node.block_words}"
    yield f"datawidth: {node.word_bits}"
    yield f"block_size: {node.block_words}"
    yield "cluster_size: 1"
    if node.depth is not None:
        yield f"depth: {node.depth}"
    if node.bandwidth is not None:
        yield f"shared_bandwidth: {node.bandwidth!r}"


def _energy(spec: Specification) -> Iterator[str]:
    yield "# Energy (pJ) and area (um^2) as fusemap's component table has them, so that no estimator is asked."
    yield "# A storage's actions move one row (block_size words). The compute unit's energy is that of one point."
    yield from (f"{words.ENERGY_TABLE}:", f'  version: "{words.VERSION}"', "  tables:")
    for node in spec.storages:
        write = node.write_pj
        actions = {"read": node.read_pj, "write": write, "update": write, "leak": 0.0}
        yield from _table(node.name, node.instances, actions)
    yield from _table(spec.compute.name, spec.compute.instances, {"compute": spec.compute.energy_pj, "leak": 0.0})
    yield from (f"{words.AREA_TABLE}:", f'  version: "{words.VERSION}"', "  tables:")
    areas = [(node.name, node.instances, node.area_um2) for node in spec.storages]
    for name, instances, area in (*areas, (spec.compute.name, spec.compute.instances, spec.compute.area_um2)):
        yield f'  - {{name: "{_full_name(name, instances)}", area: {area!r}}}'


def _table(name: str, instances: int, actions: dict[str, float]) -> Iterator[str]:
    yield f'  - name: "{_full_name(name, instances)}"'
    yield "    actions:"
    for action, energy in actions.items():
        yield f"    - {{name: {action}, arguments: {{}}, energy: {energy!r}}}"


def _full_name(name: str, instances: int) -> str:
    return f"top_level.{name}[1..{instances}]"


def _mapping(spec: Specification) -> Iterator[str]:
    yield from _head(spec, "The mapping")
    yield "# A permutation lists dimensions from the innermost loop out; of a fanout, `split` of them lie along meshX."
    yield f"{words.MAPPING}:"
    for node in spec.nodes:
        yield from _directives(spec, node)


def _directives(spec: Specification, node: Node) -> Iterator[str]:
    order = [letter for letter, _, _ in spec.dimensions]
    if isinstance(node, SpatialNode):
        along_x = _names(node.loops_x)
        permutation = [*along_x, *(d for d in order if d not in along_x)]
        factors, rest = _factors(order, node.loops), f", split: {len(along_x)}, {_no_links(spec)}"
        kind = words.SPATIAL
    else:
        inner = _names(node.loops)
        permutation = [*inner, *(d for d in order if d not in inner)]
        factors, rest = _factors(order, node.loops), ""
        kind = words.TEMPORAL
    yield f"- {{target: {node.name}, type: {kind}, factors: {factors}, permutation: {_list(permutation)}{rest}}}"
    if isinstance(node, StorageNode):
        yield _keep(spec, node)


def _keep(spec: Specification, node: StorageNode) -> str:
    bypass = [s.name for s in spec.data_spaces if s.name not in node.keep]
    kind = words.DATASPACE
    return f"- {{target: {node.name}, type: {kind}, keep: {_list(node.keep)}, bypass: {_list(bypass)}}}"


def _no_links(spec: Specification) -> str:
    """Our arrays have no links by which neighbours pass on what they share."""
    return f"no_link_transfer: {_list(space.name for space in spec.data_spaces)}"


def _constraints(spec: Specification) -> Iterator[str]:
    """What a mapper must leave as it is: what is kept where, and the fanouts; temporal loops are free."""
    yield from _head(spec, "For timeloop-mapper: what is kept where and the fanouts are fixed, temporal loops are free")
    yield from (f"{words.CONSTRAINTS}:", f'  version: "{words.VERSION}"', "  targets:")
    order = [letter for letter, _, _ in spec.dimensions]
    for node in spec.nodes:
        if isinstance(node, StorageNode):
            if node.level is None:
                ones = _factors(order, ())
                yield f"  - {{target: {node.name}, type: {words.TEMPORAL}, factors: {ones}}}"
            yield f"  {_keep(spec, node)}"
        else:
            along_x = _names(node.loops_x)
            permutation = [*along_x, *(d for d in order if d not in along_x)]
            yield (
                f"  - {{target: {node.name}, type: {words.SPATIAL}, factors: {_factors(order, node.loops)}, "
                f"permutation: {_list(permutation)}, split: {len(along_x)}, {_no_links(spec)}}}"
            )


def _names(loops: Loops) -> list[str]:
    """Dimensions from the innermost loop out."""
    return [letter for letter, _ in reversed(loops)]


def _factors(order: Iterable[str], loops: Loops) -> str:
    bounds = dict(loops)
    return _list(f"{letter}={bounds.get(letter, 1)}" for letter in order)


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(items) + "]"


def mapper_text() -> str:
    """Settings for timeloop-mapper to start from: a random search for least energy times delay."""
    return "\n".join(
        (
            "# For timeloop-mapper, with constraints.yaml in place of mapping.yaml: settings to start from.",
            "mapper:",
            f'  version: "{words.VERSION}"',
            "  algorithm: random_pruned",
            "  optimization_metric: [edp]",
            "  num_threads: 1",
            "  search_size: 200",
            "  victory_condition: 50",
            "  timeout: 1000",
            "",
        )
    )
