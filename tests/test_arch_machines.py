"""Built-in machines against the published formulas, computed here; extends, sources, areas, energies."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from fusemap.archspec import (
    Machine,
    OperatorCost,
    area_rows,
    area_um2,
    environment,
    load_arch,
    load_components,
    names,
    parse_arch,
    parse_components,
)
from fusemap.archspec.document import Place
from fusemap.archspec.types import MAP_OPERATORS, OPERATORS, REDUCE_OPERATORS
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.operators import BUILTIN

ARCHS = names("arch")

# FuseMax artifact (DOI 10.5281/zenodo.13377042), 45 nm: pJ per action and um^2.
ENERGY = {
    ("mac", "mac"): 17.1645,
    ("add", "add"): 8.3395,
    ("max", "max"): 0.028036,
    ("divide", "divide"): 36.251153,
    ("exp", "exp"): 94.6475,
}
AREA = {"mac": 1545, "max": 49.28944, "divide": 23740.9375, "exp": 8240, "link": 1}
BUFFER = {16: (12512.760572, 15751.460572, 84201374.5226), 32: (23854.664592, 27097.564592, 175717186.15744)}


def register_energy(depth: int) -> tuple[float, float]:
    """Read and write of a register file, by the published formula."""
    a = 0.000275 + 0.00402 * math.ceil(math.log2(depth))
    base = 0.02947 * max(64, depth)
    return round(base + 0.288 + a, 6), round(base + a, 6)


def register_area(depth: int) -> float:
    return 16791.04 * max(64, depth) / 64 + 11.63484 * math.ceil(math.log2(depth))


@pytest.mark.parametrize(
    ("name", "pe", "buffer_bytes", "bandwidth", "depths"),
    [
        ("fusemax-cloud", 256, 16 << 20, 400 << 30, (12, 32)),
        ("flat-cloud", 256, 32 << 20, 400 << 30, (4, 16)),
        ("unfused-cloud", 256, 32 << 20, 400 << 30, (4, 16)),
        ("flat-edge", 32, 512 << 10, 50 << 30, (4, 16)),
        ("fusemax-cloud-linear", 256, 16 << 20, 400 << 30, (16, 32)),
        ("flat-cloud-linear", 256, 32 << 20, 400 << 30, (4, 32)),
    ],
)
def test_built_in_machines(name: str, pe: int, buffer_bytes: int, bandwidth: int, depths: tuple[int, int]) -> None:
    machine = load_arch(name)
    assert (machine.name, machine.clock_hz, machine.word_bytes) == (name, 940_000_000, 2)
    dram, buffer = machine.memories
    assert (dram.name, dram.capacity_bytes, dram.bandwidth_bytes_per_s) == ("dram", None, bandwidth)
    assert (dram.words_per_access, dram.on_chip) == (4, False)
    assert (buffer.name, buffer.capacity_bytes, buffer.bandwidth_bytes_per_s) == ("global_buffer", buffer_bytes, None)
    assert buffer.words_per_access == 256
    grid, line = machine.array("array_2d"), machine.array("array_1d")
    assert [(d.name, d.extent) for d in grid.dims] == [("rows", pe), ("columns", pe)]
    assert [(d.name, d.extent) for d in line.dims] == [("lanes", pe)]
    assert (grid.registers.depth_words, line.registers.depth_words) == depths
    for array, depth in ((grid, depths[0]), (line, depths[1])):
        component = array.registers.component
        assert (component.energy("read").value, component.energy("write").value) == register_energy(depth)
        assert component.area().value == register_area(depth)


def price(machine: Machine, cost: OperatorCost) -> tuple[int, float]:
    """Cycles and energy of one evaluation."""
    return cost.cycles, sum(a.count * machine.action_energy(a).value for a in cost.actions)


def test_operator_costs() -> None:
    fusemax, flat = load_arch("fusemax-cloud"), load_arch("flat-cloud")
    mac, add, exp = 17.1645, 8.3395, 94.6475
    for machine in (fusemax, flat):
        for array in machine.arrays:
            assert price(machine, array.operator("mul", "sum")) == (1, mac)
            assert price(machine, array.operator("mul")) == (1, mac)
            assert {price(machine, array.operator(name)) for name in ("add", "sum", "sub")} == {(1, add)}
        assert price(machine, machine.array("array_1d").operator("div")) == (1, 36.251153)
        assert machine.array("array_2d").find(["div"]) is None
    for array in fusemax.arrays:
        assert price(fusemax, array.operator("exp")) == (6, 6 * mac)
        assert price(fusemax, array.operator("max")) == (1, 0.028036)
        assert array.find(["sub", "exp"]) is None
    line = flat.array("array_1d")
    assert price(flat, line.operator("exp")) == (1, exp)
    assert price(flat, line.operator("sub", "exp")) == (1, add + exp)
    assert flat.array("array_2d").find(["max"]) is None


@pytest.mark.parametrize(("component", "action"), sorted(ENERGY))
def test_published_action_energies(component: str, action: str) -> None:
    quantity = load_components("45nm").component(component).energy(action)
    assert (quantity.value, quantity.unit) == (ENERGY[component, action], "pJ")


@pytest.mark.parametrize("mebibytes", sorted(BUFFER))
def test_published_buffer_macros(mebibytes: int) -> None:
    sram = load_components("45nm").component("sram", bindings={"capacity_bytes": mebibytes << 20, "width_bits": 4096})
    assert (sram.energy("read").value, sram.energy("write").value, sram.area().value) == BUFFER[mebibytes]


# FuseMax artifact (DOI 10.5281/zenodo.13377042), CACTI macros: KiB, row bits, um^2.
MACROS = [
    *((16, 256, 53846.21356), (32, 256, 103511.3484), (32, 512, 115584.71356), (64, 512, 222100.3484)),
    *((64, 1024, 268848.71356), (128, 1024, 438223.3484), (128, 2048, 710760.71356), (256, 2048, 1042496.3484)),
    *((256, 4096, 2141034.71356), (512, 4096, 2797486.3484), (1024, 8192, 20019316.3484)),
    *((16 << 10, 4096, 84201374.5226), (32 << 10, 4096, 175717186.15744)),
]


def test_published_macro_areas() -> None:
    table = load_components("45nm")
    for kibibytes, width, area in MACROS:
        sram = table.component("sram", bindings={"capacity_bytes": kibibytes << 10, "width_bits": width})
        assert sram.area().value == area
    sizes = {size.label for size in next(entry for entry in table.entries if entry.name == "sram").sizes}
    assert "2MiB_8192" in sizes and len(sizes) == len(MACROS) + 1


def test_the_macro_that_is_not_published_is_what_its_chip_leaves() -> None:
    sram = load_components("45nm").component("sram", bindings={"capacity_bytes": 2 << 20, "width_bits": 8192})
    others = chip_area(512, 16, 64, 0.0, flat=False)[1]
    assert sram.area().value == pytest.approx(4876055847.5922 - others, abs=1e-5)
    assert "less the areas in this table of all its other components" in sram.area().source


def test_dram_access_energy() -> None:
    dram = load_arch("fusemax-cloud").memory("dram").component
    assert dram.energy("read").value == dram.energy("write").value == 249.6


def chip_area(pe: int, depth_2d: int, depth_1d: int, buffer: float, *, flat: bool) -> tuple[float, float]:
    """2D array and chip, by the published formula."""
    grid = pe**2 * (register_area(depth_2d) + (0 if flat else AREA["max"]) + AREA["mac"]) + pe
    lane = register_area(depth_1d) + AREA["max"] + AREA["mac"] + AREA["divide"] + (AREA["exp"] if flat else 0)
    return grid, grid + buffer + 1 + pe * lane + 1


def areas(machine: Machine) -> tuple[float, float]:
    rows = area_rows(machine)
    assert sum(row.total_um2 for row in rows) == area_um2(machine)
    return sum(row.total_um2 for row in rows if row.structure == "array_2d"), area_um2(machine)


def test_cloud_areas_follow_the_published_formula() -> None:
    fusemax, flat = areas(load_arch("fusemax-cloud")), areas(load_arch("flat-cloud"))
    assert fusemax == pytest.approx(chip_area(256, 12, 32, BUFFER[16][2], flat=False), rel=1e-14)
    assert flat == pytest.approx(chip_area(256, 4, 16, BUFFER[32][2], flat=True), rel=1e-14)
    assert round(100 * (1 - fusemax[1] / flat[1]), 1) == 6.4


# FuseMax artifact (DOI 10.5281/zenodo.13377042), Pareto study (figure 12): model, pe, 2D array area, chip area in um^2.
PARETO = [
    ("BERT", 16, 1, 4712617.37472, 5441230.48908),
    ("BERT", 32, 1, 18850437.49888, 20315554.014039997),
    ("BERT", 256, 1, 1207951209.6768, 1220894441.8412402),
    ("BERT", 512, 2, 4834854330.20416, 4885081008.9724),
    ("XLM", 16, 1, 4712617.37472, 5490895.623919999),
    ("XLM", 128, 1, 301606615.98208, 308047233.53687996),
    ("XLM", 256, 1, 1207188708.80256, 1220785414.0828004),
    ("XLM", 512, 2, 4831804326.7072, 4876055847.5922),
]


@pytest.mark.parametrize(("model", "pe", "multiple", "grid", "chip"), PARETO)
def test_published_pareto_areas(model: str, pe: int, multiple: int, grid: float, chip: float) -> None:
    features = {"BERT": 64, "XLM": 128}[model]
    machine = load_arch("fusemax-scaled", parameters={"pe": pe, "E": features, "buffer_multiple": multiple})
    assert areas(machine) == pytest.approx((grid, chip), rel=1e-14)


def test_a_size_that_is_not_published_is_named_only_when_asked() -> None:
    buffer = load_arch("flat-edge").memory("global_buffer").component
    assert buffer.area().value == 2797486.3484
    with pytest.raises(InputError) as caught:
        buffer.energy("read")
    assert 'component "sram" (512 KiB x 4096 bit) has no energy for action "read"' in str(caught.value)
    assert str(caught.value).startswith("archs/flat-edge.yaml:11:15: error: ")
    assert "the table has energy for: 16 MiB x 4096 bit, 32 MiB x 4096 bit" in str(caught.value)
    own = "give yours under components.sram.sizes.512KiB_4096 (capacity, width, energy, source)"
    assert own in str(caught.value)
    unlisted = parse_arch("extends: fusemax-cloud\nsource: me\nmemories: {global_buffer: {capacity: 3 MiB}}\n")
    with pytest.raises(InputError, match="has no area") as caught:
        area_um2(unlisted)
    assert "16 KiB x 256 bit" in str(caught.value)
    assert "components.sram.sizes.3MiB_4096 (capacity, width, area, source)" in str(caught.value)


def test_a_price_given_where_the_message_says_is_used() -> None:
    size = "{capacity: 512 KiB, width: 4096 bit, energy: {read: 400 pJ, write: 500 pJ}, source: my macro}"
    text = f"extends: flat-edge\nsource: me\ncomponents: {{sram: {{sizes: {{512KiB_4096: {size}}}}}}}\n"
    buffer = parse_arch(text).memory("global_buffer").component
    assert (buffer.energy("read").value, buffer.energy("read").source) == (400, "my macro")
    assert buffer.area().value == 2797486.3484


def table_data() -> dict[str, Any]:
    text = (resources.files("fusemap.archspec") / "components" / "45nm.yaml").read_text()
    data = yaml.safe_load(text)
    assert isinstance(data, dict)
    return data


def entries() -> Iterator[tuple[str, str | None, str]]:
    """Every energy of the table: component, size label or None, action."""
    for name, component in table_data()["components"].items():
        for action in component.get("energy", {}):
            yield name, None, action
        for label, size in component.get("sizes", {}).items():
            for action in size.get("energy", {}):
                yield name, label, action


BINDINGS = {"depth": 8, "width_bits": 64}


@pytest.mark.parametrize(("name", "label", "action"), list(entries()))
def test_a_deleted_energy_is_missed_by_name(name: str, label: str | None, action: str) -> None:
    whole, data = load_components("45nm"), table_data()
    entry = data["components"][name]
    bindings: dict[str, int | float] = dict(BINDINGS)
    if label is not None:
        entry = entry["sizes"][label]
        bindings = {"capacity_bytes": int(label.split("MiB")[0]) << 20, "width_bits": 4096}
    del entry["energy"][action]
    damaged = parse_components(yaml.safe_dump(data), file="damaged.yaml")
    assert whole.component(name, bindings=bindings).energy(action).value > 0
    with pytest.raises(InputError) as caught:
        damaged.component(name, bindings=bindings).energy(action)
    message = caught.value.diagnostics[0].message
    assert f'component "{name}"' in message and f'"{action}"' in message and "damaged.yaml" in message


@pytest.mark.parametrize("name", sorted(AREA))
def test_a_deleted_area_is_missed_by_name(name: str) -> None:
    data = table_data()
    del data["components"][name]["area"]
    damaged = parse_components(yaml.safe_dump(data), file="damaged.yaml")
    with pytest.raises(InputError, match=f'component "{name}" has no area in damaged.yaml'):
        damaged.component(name).area()


def test_the_adder_has_no_area_of_its_own() -> None:
    with pytest.raises(InputError, match='component "add" has no area') as caught:
        load_components("45nm").component("add").area()
    assert "give yours under components.add (area, source)" in str(caught.value)


def test_a_missing_action_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean read\?"):
        load_arch("fusemax-cloud").memory("dram").component.energy("raed")


EDIT = """\
extends: fusemax-cloud
source: our floor plan
parameters: {pe: 128}
memories:
  global_buffer: {capacity: 32 MiB}
arrays:
  array_2d: {operators: {exp: {cycles: 7}, max: null}}
components:
  mac: {energy: {mac: 10 pJ}, source: our library}
"""


def test_an_architect_edits_a_few_lines() -> None:
    machine, base = parse_arch(EDIT, file="mine.yaml"), load_arch("fusemax-cloud")
    grid = machine.array("array_2d")
    assert machine.name == "mine" and machine.description == ""
    assert (grid.pes, grid.operator("exp").cycles, grid.find(["max"])) == (128 * 128, 7, None)
    assert grid.operator("exp").actions[0].count == 6
    assert machine.array("array_1d").operator("exp") == base.array("array_1d").operator("exp")
    assert machine.memory("global_buffer").component.energy("read").value == BUFFER[32][0]
    energy = machine.action_energy(grid.operator("mul").actions[0])
    assert (energy.value, energy.source, str(energy.where)) == (10, "our library", "mine.yaml:9:23")
    assert base.table.component("mac").energy("mac").value == 17.1645


def test_counts_of_parts_and_actions_and_the_word_size() -> None:
    text = """\
extends: fusemax-cloud
source: mine
word: 4 B
components: {queue: {energy: {push: 2 pJ, pop: 3 pJ}, area: 5 um^2}}
arrays:
  array_2d:
    operators: {sum: {actions: {queue.pop: 2}}}
    parts: {queue: {per: pe, count: 3}}
  array_1d:
    parts: {queue: {per: array, count: 7}}
parts: {queue: {per: chip, count: 11}}
"""
    machine = parse_arch(text)
    assert machine.memory("dram").words_per_access == 2
    assert price(machine, machine.array("array_2d").operator("sum")) == (1, 8.3395 + 2 * 3)
    counts = [(row.structure, row.count) for row in area_rows(machine) if row.component == "queue"]
    assert counts == [("array_2d", 3 * 65536), ("array_1d", 7), ("chip", 11)]


def test_sources_follow_the_numbers() -> None:
    machine = parse_arch(EDIT, file="mine.yaml")
    assert dict(machine.memory("global_buffer").sources)["capacity_bytes"] == "our floor plan"
    assert dict(machine.memory("global_buffer").sources)["width_bits"].startswith("FuseMax (MICRO 2024)")
    rows = machine.array("array_2d").dim("rows").source
    assert rows.startswith("FuseMax (MICRO 2024)") and rows.endswith("; pe: our floor plan")
    assert machine.array("array_2d").operator("exp").source == "our floor plan"
    given = load_arch("fusemax-cloud", parameters={"pe": 64})
    assert given.array("array_2d").dim("rows").source.endswith("; pe: pe = 64 given by the caller")


def sources(value: object) -> Iterator[str]:
    """Every `source` text inside a result."""
    if dataclasses.is_dataclass(value) and not isinstance(value, Place):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if field.name == "source":
                yield inner
            elif field.name == "sources":
                yield from (text for _, text in inner)
            else:
                yield from sources(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from sources(inner)


@pytest.mark.parametrize("name", ARCHS)
def test_every_number_of_a_built_in_machine_has_a_source(name: str) -> None:
    machine = load_arch(name)
    parts = (machine.memories, machine.arrays, machine.parts, machine.table)
    found = [text for part in parts for text in sources(part)]
    assert len(found) > 50
    published = ("FuseMax", "Shuhai")
    assert all(any(name in text for name in published) for text in [*found, machine.source])


@pytest.mark.parametrize("name", ARCHS)
def test_machines_can_be_sent_to_processes_and_used_as_keys(name: str) -> None:
    machine = load_arch(name)
    assert pickle.loads(pickle.dumps(machine)) == machine
    assert {machine: 1}[load_arch(name)] == 1


def test_machines_with_one_number_changed_differ() -> None:
    assert load_arch("fusemax-cloud", parameters={"pe": 64}) != load_arch("fusemax-cloud")


def test_the_environment_names_what_mappings_use() -> None:
    assert environment(load_arch("fusemax-cloud")) == {
        "word_bytes": 2,
        "clock_hz": 940_000_000,
        "dram.width_bits": 64,
        "dram.bandwidth_bytes_per_s": 400 << 30,
        "global_buffer.width_bits": 4096,
        "global_buffer.capacity_bytes": 16 << 20,
        "array_2d.rows": 256,
        "array_2d.columns": 256,
        "array_2d.pes": 65536,
        "array_2d.register_words": 12,
        "array_1d.lanes": 256,
        "array_1d.pes": 256,
        "array_1d.register_words": 32,
    }


def test_lookups_name_the_nearest() -> None:
    machine = load_arch("fusemax-cloud")
    for look, nearest in (
        (lambda: machine.memory("drum"), "dram"),
        (lambda: machine.array("array2d"), "array_2d"),
        (lambda: machine.array("array_2d").dim("row"), "rows"),
        (lambda: machine.table.component("macc"), "mac"),
    ):
        with pytest.raises(InputError, match=rf"did you mean {nearest}\?"):
            look()
    with pytest.raises(InputError, match=r"it has: mul, mul \+ sum, add"):
        machine.array("array_2d").operator("div")


def test_operator_names_are_those_of_cascades() -> None:
    assert set(BUILTIN.map_names) <= set(MAP_OPERATORS)
    assert set(BUILTIN.reduce_names) <= set(REDUCE_OPERATORS)
    assert set(OPERATORS) == {*MAP_OPERATORS, *REDUCE_OPERATORS}


def test_a_table_of_its_own_stands_beside_the_arch(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    table = yaml.safe_dump(table_data() | {"source": "mine"})
    (tmp_path / "sub" / "t.yaml").write_text(table)
    (tmp_path / "base.yaml").write_text("extends: flat-cloud\ntable: sub/t.yaml\n")
    (tmp_path / "sub" / "m.yaml").write_text("extends: ../base.yaml\n")
    machine = load_arch(tmp_path / "sub" / "m.yaml")
    assert machine.name == "m" and Path(machine.table.file).resolve() == (tmp_path / "sub/t.yaml").resolve()
    assert machine.table.component("mac").energy("mac").source == "mine"


def test_what_the_edge_machine_says_of_its_buffer_is_true() -> None:
    edge = load_arch("flat-edge")
    assert "components.sram.sizes.512KiB_4096 (capacity, width, energy, source)" in edge.description
    with pytest.raises(InputError, match="has no energy"):
        edge.memory("global_buffer").component.energy("read")
    size = "{capacity: 512 KiB, width: 4096 bit, energy: {read: 400 pJ, write: 500 pJ}, source: mine}"
    mine = parse_arch(f"extends: flat-edge\ncomponents: {{sram: {{sizes: {{512KiB_4096: {size}}}}}}}\n")
    energy = mine.memory("global_buffer").component.energy("read")
    assert (energy.value, energy.source) == (400, "mine")
