"""The technology of tables and machines: equal, or scaled by stated factors; never silently another."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusemap.archspec.archs import load_arch, parse_arch
from fusemap.archspec.area import area_um2
from fusemap.archspec.registry import names
from fusemap.archspec.tables import load_components, parse_components
from fusemap.archspec.types import Machine
from fusemap.diagnostics import InputError

BASE = "extends: fusemax-cloud\nsource: me\n"
SCALED = "technology: 28 nm\nscaling: {from: 45 nm, to: 28 nm, energy: FACTOR, area: 0.4, source: a paper}\n"


def mac_pj(machine: Machine) -> float:
    return machine.table.component("mac").energy("mac").value


@pytest.mark.parametrize("name", names("arch"))
def test_every_machine_says_its_technology(name: str) -> None:
    machine = load_arch(name)
    assert (machine.technology_nm, machine.table.scaling) == (45, None)


@pytest.mark.parametrize("name", names("components"))
def test_every_component_of_a_table_says_its_technology(name: str) -> None:
    entries = load_components(name).entries
    assert {entry.name for entry in entries if entry.off_process} == {"hbm2"}
    assert all(entry.technology_nm == 45 for entry in entries if not entry.off_process)


@settings(max_examples=30)
@given(st.floats(min_value=1e-3, max_value=1e3))
def test_every_number_of_the_chip_is_multiplied_and_says_so(factor: float) -> None:
    scaled, plain = parse_arch(BASE + SCALED.replace("FACTOR", repr(factor))), load_arch("fusemax-cloud")
    assert mac_pj(scaled) == mac_pj(plain) * factor
    quantity = scaled.memory("global_buffer").component.energy("read")
    assert quantity.source.endswith(f"; scaled from 45 nm to 28 nm by {factor}: a paper")
    assert scaled.memory("dram").component == plain.memory("dram").component
    assert area_um2(scaled) == pytest.approx(area_um2(plain) * 0.4)


def test_numbers_beside_the_scaling_are_in_the_machines_technology() -> None:
    machine = parse_arch(f"{BASE}{SCALED.replace('FACTOR', '0.5')}components: {{mac: {{energy: {{mac: 3 pJ}}}}}}\n")
    assert mac_pj(machine) == 3
    assert machine.table.component("add").energy("add").value == 8.3395 / 2


def test_a_number_of_a_third_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"{BASE}components: {{mac: {{energy: {{mac: 3 pJ}}}}}}\n")
    text = f"extends: base.yaml\nsource: me\n{SCALED.replace('FACTOR', '0.5')}"
    (tmp_path / "own.yaml").write_text(text)
    machine = load_arch(tmp_path / "own.yaml")
    with pytest.raises(InputError, match=r"base\.yaml:3:34: error: .*own\.yaml scales from 45 nm to 28 nm: in which"):
        mac_pj(machine)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "technology: 28 nm",
            "m.yaml:3:13: error: the machine is in 28 nm, and components of the table are not: "
            "add, mac, max, divide, link, register_file, sram in 45 nm",
        ),
        ("technology: 28 nm", "nothing is scaled silently: add scaling: {from: 45 nm, to: 28 nm, energy: FACTOR"),
        ("technology: 28", "m.yaml:3:13: error: expected a technology such as 45 nm"),
        ("technology: 28 pJ", "m.yaml:3:13: error: expected a technology such as 45 nm"),
        (
            "scaling: {from: 45 nm, to: 28 nm, energy: 0.5, source: x}",
            "m.yaml:3:28: error: the scaling leads to 28 nm, and the machine is in 45 nm",
        ),
        (
            "scaling: {from: 45 nm, to: 45 nm, energy: 0.5, source: x}",
            "m.yaml:3:17: error: the scaling leads from 45 nm to the same",
        ),
        (
            "technology: 28 nm\nscaling: {from: 65 nm, to: 28 nm, energy: 0.5, source: x}",
            "m.yaml:4:17: error: no component that the machine uses is in 65 nm: add, mac",
        ),
        (
            "technology: 28 nm\nscaling: {from: 45 nm, to: 28 nm, energy: 0, source: x}",
            "m.yaml:4:43: error: a factor must be positive, found 0",
        ),
        (
            "technology: 28 nm\nscaling: {from: 45 nm, to: 28 nm, source: x}",
            'm.yaml:4:1: error: missing key "energy"',
        ),
        (
            "components: {mac: {technology: 28 nm, energy: {mac: 3 pJ}}}",
            "m.yaml:3:20: error: the technology of a component is the component table's to say",
        ),
    ],
)
def test_another_technology_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_arch(f"{BASE}{text}\n", file="m.yaml")
    assert wanted in str(caught.value)


def test_a_scaling_needs_a_source() -> None:
    text = BASE.replace("source: me\n", "") + SCALED.replace("FACTOR", "0.5").replace(", source: a paper", "")
    with pytest.raises(InputError, match='no source for 5 numbers, the first "technology"'):
        parse_arch(text)


def test_an_area_without_a_factor_is_not_known() -> None:
    machine = parse_arch(BASE + SCALED.replace("FACTOR", "0.5").replace("area: 0.4, ", ""))
    with pytest.raises(InputError, match="the scaling gives no factor for areas: add area: FACTOR to it"):
        machine.memory("global_buffer").component.area()


def table(*technologies: str) -> str:
    names = ("mac", "sram", "hbm2", "register_file")
    pairs = zip(names, technologies, strict=True)
    lines = [f"  {name}: {{energy: {{mac: 1 pJ, read: 1 pJ, write: 1 pJ}}{own}}}" for name, own in pairs]
    return "source: me\ncomponents:\n" + "\n".join(lines) + "\n"


MACHINE = """source: me
table: t.yaml
clock: 1 GHz
word: 2 B
memories:
  dram: {component: hbm2, width: 64 bit, on_chip: false}
  buffer: {component: sram, capacity: 1 KiB, width: 64 bit}
arrays:
  pe:
    dims: {rows: 2}
    registers: {component: register_file, depth: 2}
    operators: {mul: {cycles: 1, actions: {mac: 1}}}
"""


def machine_of(folder: Path, components: str, own: str = "") -> Machine:
    (folder / "t.yaml").write_text(components)
    (folder / "m.yaml").write_text(MACHINE + own)
    return load_arch(folder / "m.yaml")


NM65, NM45, NONE = ", technology: 65 nm", ", technology: 45 nm", ", technology: none"


def test_a_machine_that_does_not_say_is_in_its_tables_technology(tmp_path: Path) -> None:
    assert machine_of(tmp_path, table(NM65, NM65, NONE, NM65)).technology_nm == 65
    assert machine_of(tmp_path, table("", "", "", "")).technology_nm is None


def test_a_table_of_several_technologies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several technologies: mac, register_file in 65 nm; sram in 45 nm"):
        machine_of(tmp_path, table(NM65, NM45, NONE, NM65))
    own = "technology: 45 nm\nscaling: {from: 65 nm, to: 45 nm, energy: 0.5, area: 0.4}\n"
    machine = machine_of(tmp_path, table(NM65, NM45, NONE, NM65), own)
    assert mac_pj(machine) == 0.5
    assert machine.memory("buffer").component.energy("read").value == 1


def test_a_table_that_does_not_say_is_refused_by_a_machine_that_does(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the table does not say in which technology these are: mac, sram"):
        machine_of(tmp_path, table("", "", NONE, ""), "technology: 45 nm\n")


def test_what_the_machine_does_not_use_may_be_of_any_technology(tmp_path: Path) -> None:
    unused = "  gpu: {energy: {op: 1 pJ}, technology: 4 nm}\n"
    assert machine_of(tmp_path, table(NM45, NM45, NONE, NM45) + unused).technology_nm == 45


def test_the_technology_of_a_table_is_that_of_its_components() -> None:
    entries = parse_components("technology: 0.065 um\n" + table("", NM45, NONE, "")).entries
    assert [(e.technology_nm, e.off_process) for e in entries] == [(65, False), (45, False), (None, True), (65, False)]
