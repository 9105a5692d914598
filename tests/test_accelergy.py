"""Accelergy's tables: what it wrote reads back, what fusemap writes reads back, what is not supported is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

import fusemap as fm
from fusemap.archspec.accelergy.machine import export_tables, machine_tables
from fusemap.archspec.accelergy.read import parse_tables, read_tables
from fusemap.archspec.accelergy.table import Choices, component_table
from fusemap.archspec.accelergy.types import Estimate, Tables
from fusemap.archspec.accelergy.write import art_text, ert_text
from fusemap.archspec.archs import load_arch
from fusemap.archspec.area import area_um2
from fusemap.archspec.registry import names
from fusemap.archspec.tables import load_components, parse_components
from fusemap.diagnostics import InputError

Run = Callable[..., Outcome]
DATA = Path(__file__).parent / "data" / "accelergy"
CHIP = ("ERT.yaml", "ART.yaml", "ERT_summary.yaml", "ART_summary.yaml", "flattened_architecture.yaml")
WITHOUT_ENERGY = {"flat-edge": "512 KiB", "fusemax-scaled": "256 KiB"}  # buffers that no energy is published of
ERT = """ERT:
    version: '0.4'
    tables:
      - name: chip.buffer[1..1]
        actions:
          - name: read
            arguments: {}
            energy: 2.5
          - name: write
            arguments: {global_cycle_seconds: 1e-09}
            energy: 3
      - name: chip.PE[0..3].mac[1..2]
        actions: [{name: compute, arguments: {}, energy: 1e-05}]
"""
ART = "ART:\n    version: 0.4\n    tables: [{name: 'chip.buffer[1..1]', area: 12.5}, {name: chip.link, area: 0}]\n"


def parsed(*texts: str) -> Tables:
    return parse_tables([(f"{n}.yaml", text) for n, text in enumerate(texts)])


# --- the oracle: files that Accelergy itself wrote -------------------------------------------------


def test_what_accelergy_estimated_reads_as_it_wrote_it() -> None:
    tables = read_tables([DATA / "chip" / name for name in CHIP])
    written = {kind: yaml.safe_load((DATA / "chip" / f"{kind}.yaml").read_text())[kind] for kind in ("ERT", "ART")}
    energies = {t["name"]: {a["name"]: a["energy"] for a in t["actions"]} for t in written["ERT"]["tables"]}
    assert {c.name: dict(c.energy_pj) for c in tables.components} == energies
    assert {c.name: c.area_um2 for c in tables.components} == {t["name"]: t["area"] for t in written["ART"]["tables"]}
    assert [(c.name, c.instances, c.estimators) for c in tables.components] == [
        ("chip.PE[0..15].mac", 16, ("Unit",)),
        ("chip.buffer", 1, ("Store",)),
    ]


def test_what_accelergy_estimated_is_a_table_with_its_sources() -> None:
    found = component_table(read_tables([DATA / "chip" / name for name in CHIP]), Choices(sizes={"buffer": ""}))
    table = parse_components(found.text)
    buffer = table.component("buffer", bindings={"capacity_bytes": 8 << 10, "width_bits": 64})
    assert buffer.energy("read").value == 7.25 and buffer.area().value == 32768
    assert buffer.energy("read").source == "Accelergy, chip.buffer, estimated by Store"
    assert {entry.technology_nm for entry in table.entries} == {65}
    assert found.notes == ("leak is kept (pJ per cycle), and no evaluation charges it: mac, buffer",)
    with pytest.raises(InputError, match="has no energy"):
        table.component("buffer", bindings={"capacity_bytes": 16 << 10, "width_bits": 64}).energy("read")


def test_accelergy_reads_what_is_exported() -> None:
    folder = DATA / "fusemax-cloud"
    tables = machine_tables(load_arch("fusemax-cloud"))
    priced = [c for c in tables.components if c.energies]
    assert [(c.name, c.energies) for c in read_tables([folder / "ERT.yaml"]).components] == [
        (c.name, c.energies) for c in priced
    ]
    counts = yaml.safe_load((folder / "action_counts.yaml").read_text())["action_counts"]["local"]
    energies = {c.name: c.energy_pj for c in priced}
    ours = {
        row["name"]: sum(energies[row["name"]][a["name"]] * a["counts"] for a in row["action_counts"]) for row in counts
    }
    theirs = yaml.safe_load((folder / "energy_estimation.yaml").read_text())["energy_estimation"]["components"]
    assert ours == pytest.approx({row["name"]: row["energy"] for row in theirs}, rel=1e-12)
    assert all(not c.estimators for c in read_tables([folder / "ERT.yaml", folder / "ERT_summary.yaml"]).components)


# --- laws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("arch"))
def test_the_import_of_an_export_is_what_was_exported(name: str) -> None:
    machine = load_arch(name)
    if name in WITHOUT_ENERGY:
        with pytest.raises(InputError, match=rf'"sram" \({WITHOUT_ENERGY[name]} x 4096 bit\) has no energy for'):
            machine_tables(machine)
        return
    tables, exported = machine_tables(machine), export_tables(machine)
    assert parse_tables(exported.files) == tables
    table = parse_components(component_table(parse_tables(exported.files), Choices(technology="45nm")).text)
    for estimate in tables.components:
        component = table.component(estimate.parts[-1])
        assert tuple((a, q.value) for a, q in component.energies) == estimate.energies
        assert (component.area_um2.value if component.area_um2 else None) == estimate.area_um2


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [(0, "17.1645", "17.1646"), (0, "[1..65536]", "[1..65535]"), (0, "name: max", "name: min"), (1, "1545", "1546")],
)
def test_a_planted_difference_of_an_export_is_found(file: int, old: str, new: str) -> None:
    machine = load_arch("fusemax-cloud")
    exported = list(export_tables(machine).files)
    name, text = exported[file]
    assert old in text
    exported[file] = (name, text.replace(old, new, 1))
    assert parse_tables(exported) != machine_tables(machine)


@pytest.mark.parametrize("name", names("components"))
def test_every_number_of_a_table_that_is_no_formula_survives(name: str) -> None:
    table = load_components(name)
    estimates = []
    for entry in table.entries:
        for size in entry.sizes:
            of = table.component(
                entry.name, bindings={"capacity_bytes": size.capacity_bytes, "width_bits": size.width_bits}
            )
            estimates.append((f"t.{entry.name}_{size.label}", of))
        if not entry.sizes and not entry.parameters:
            estimates.append((f"t.{entry.name}", table.component(entry.name)))
    tables = Tables(
        version="0.4",
        components=tuple(
            Estimate(
                name=label,
                energies=tuple((action, quantity.value) for action, quantity in of.energies),
                area_um2=of.area_um2.value if of.area_um2 else None,
            )
            for label, of in sorted(estimates, key=lambda pair: not pair[1].energies)
        ),
    )
    assert len(tables.components) > 15
    assert parsed(ert_text(tables), art_text(tables)) == tables


WORD = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
NUMBER = st.one_of(st.integers(0, 10**6), st.floats(0, 1e12, allow_nan=False))
RANGE = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda r: f"[{r[0]}..{r[0] + r[1]}]")
NAME = st.lists(st.tuples(WORD, st.one_of(st.just(""), RANGE)).map("".join), min_size=1, max_size=3).map(".".join)


@settings(max_examples=50)
@given(st.dictionaries(NAME, st.tuples(st.dictionaries(WORD, NUMBER, max_size=3), NUMBER), max_size=4))
def test_any_tables_read_back(content: dict[str, tuple[dict[str, float], float]]) -> None:
    rows = sorted(content.items(), key=lambda item: not item[1][0])
    components = tuple(Estimate(name=n, energies=tuple(e.items()), area_um2=area) for n, (e, area) in rows)
    tables = Tables(version="0.4", components=components)
    assert parsed(ert_text(tables), art_text(tables)) == tables
    # What Accelergy and Timeloop see: the keys that they look for, by another parser.
    plain = yaml.safe_load(ert_text(tables))["ERT"]
    assert str(plain["version"]) == "0.4"
    assert [[a["name"] for a in t["actions"]] for t in plain["tables"]] == [list(e) for _, (e, _) in rows if e]


def test_a_machine_on_an_imported_table_costs_the_same(fusemap: Run, tmp_path: Path) -> None:
    assert fusemap("export", "accelergy", "fusemax-cloud", "--out", str(tmp_path / "t")).code == 0
    renamed = {"dram": "hbm2", "global_buffer": "sram", "array_1d_divide": "divide", "array_2d_link": "link"}
    renamed |= {f"array_2d_{name}": name for name in ("mac", "add", "max")}
    options = [text for old, new in renamed.items() for text in ("--rename", f"{old}={new}")]
    options += ["--technology", "45nm", "--technology", "dram=none", "--size", "global_buffer=16MiB_4096"]
    files = [str(tmp_path / "t" / name) for name in ("ERT.yaml", "ART.yaml")]
    outcome = fusemap("import", "accelergy", *files, *options, "--out", str(tmp_path / "c.yaml"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"14 components written to {tmp_path / 'c.yaml'}\n"
    registers = [f"  {a}: {{registers: {{component: {a}_registers}}}}" for a in ("array_2d", "array_1d")]
    lines = ["extends: fusemax-cloud", "table: c.yaml", "source: x", "arrays:", *registers]
    (tmp_path / "m.yaml").write_text("\n".join(lines) + "\n")
    case = {"workload": "BERT@4K", "dataflow": "fusemax-binding"}
    mine = fm.evaluate("attention-1pass", arch=tmp_path / "m.yaml", **case)
    built_in = fm.evaluate("attention-1pass", arch="fusemax-cloud", **case)
    assert mine.energy_pj == pytest.approx(built_in.energy_pj, rel=1e-15)
    assert area_um2(load_arch(tmp_path / "m.yaml")) == pytest.approx(area_um2(load_arch("fusemax-cloud")), rel=1e-15)
    assert "system_top_level.array_2d_mac[1..65536]" in json.dumps(mine.to_json())


def test_two_components_of_one_name_are_refused(tmp_path: Path) -> None:
    text = "extends: fusemax-cloud\nsource: x\nmemories:\n  array_2d_mac: {component: hbm2, width: 64 bit}\n"
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError, match="two components would be called array_2d_mac"):
        machine_tables(load_arch(tmp_path / "m.yaml"))


# --- what is not supported is named with its place -------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("energy: 2.5", "energy: 2 * 3", '0.yaml:8:21: error: expected an energy in pJ, a number, found "2 * 3"'),
        ("energy: 2.5", "energy: -1", "0.yaml:8:21: error: expected an energy in pJ, a number, found -1"),
        ("energy: 2.5", "energy: .nan", "0.yaml:8:21: error: expected an energy in pJ, a number, found nan"),
        ("energy: 2.5", "energy: true", "0.yaml:8:21: error: expected an energy in pJ, a number, found true"),
        ("energy: 2.5", "enrgy: 2.5", '0.yaml:8:13: error: unknown key "enrgy" of an action'),
        ("version: '0.4'", "version: '0.2'", "0.yaml:2:15: error: version 0.2 of ERT is not supported"),
        ("    version: '0.4'\n", "", "0.yaml:2:5: error: no version of ERT is not supported"),
        ("tables:", "table:", '0.yaml:1:1: error: expected ERT with a list "tables"'),
        ("ERT:", "ETR:", '0.yaml:1:1: error: "ETR" is no table of Accelergy'),
        ("chip.buffer[1..1]", "chip.b-f", '0.yaml:4:15: error: "chip.b-f" is no component such as chip.mac[1..8]'),
        ("chip.buffer[1..1]", "chip.b[3..1]", "0.yaml:4:15: error: the range of b[3..1] has no component in it"),
        ("chip.buffer[1..1]", "chip.PE[0..3].mac[1..2]", "error: component given twice: chip.PE[0..3].mac[1..2]"),
        (
            "- name: write",
            "- name: read",
            '0.yaml:6:19: error: action "read" of chip.buffer[1..1] has 2 energies by global_cycle_seconds: 2.5 to',
        ),
        ("- name: read", "- name: 3", "0.yaml:6:19: error: expected the name of an action, found 3"),
        ("actions: [", "action: [", '0.yaml:13:9: error: unknown key "action" of a component of an ERT'),
    ],
)
def test_what_is_not_supported_is_named(old: str, new: str, wanted: str) -> None:
    assert old in ERT
    with pytest.raises(InputError) as caught:
        parsed(ERT.replace(old, new, 1))
    assert wanted in str(caught.value)


def test_energies_that_depend_on_data_are_refused_and_equal_ones_are_one() -> None:
    rows = [f"{{name: fill, arguments: {{data_delta: {d}, address_delta: 0}}, energy: ENERGY{d}}}" for d in (0, 1)]
    text = f"ERT:\n  version: 0.3\n  tables:\n  - name: spad\n    actions: [{', '.join(rows)}]\n"
    assert parsed(text.replace("ENERGY0", "4").replace("ENERGY1", "4")).components[0].energies == (("fill", 4),)
    with pytest.raises(InputError, match=r'"fill" of spad has 2 energies by data_delta: 4 to 6 pJ') as caught:
        parsed(text.replace("ENERGY0", "4").replace("ENERGY1", "6"))
    assert "0.yaml:5:22" in str(caught.value)
    assert "energies that depend on data or addresses are not supported: keep the entry" in str(caught.value)


def test_arguments_that_are_kept_are_in_the_source() -> None:
    tables = parsed(ERT.replace("arguments: {}", "arguments: {data_delta: 1}", 1))
    found = component_table(tables, Choices(technology="45nm"))
    assert found.notes == ("buffer: read with data_delta = 1",)
    assert "(read with data_delta = 1)" in found.text


def test_an_area_is_a_number() -> None:
    with pytest.raises(InputError, match=r'1\.yaml:3:48: error: expected an area in um\^2, a number, found "big"'):
        parsed(ERT, ART.replace("12.5", "big"))


def test_a_summary_alone_prices_nothing() -> None:
    with pytest.raises(InputError, match="no energies and no areas are given"):
        read_tables([DATA / "chip" / "ERT_summary.yaml"])
    with pytest.raises(InputError, match="a second ERT: give one"):
        parsed(ERT, ERT)


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        ((), "in which technology is buffer? the tables do not say it"),
        (("--technology", "45"), ""),
        (("--technology", "fast"), 'expected a technology such as 45nm, found "fast"'),
        (("--technology", "45nm", "--technology", "28nm"), "several technologies of all components: 45nm, 28nm"),
        (("--technology", "45nm", "--technology", "bufer=none"), "did you mean buffer?"),
        (("--technology", "45nm", "--rename", "mac.compte=mac"), "did you mean mac.compute?"),
        (("--technology", "45nm", "--rename", "mac=buffer"), "--rename calls two components buffer"),
        (("--technology", "45nm", "--rename", "mac=m-c"), '"m-c" is no name'),
        (("--technology", "45nm", "--rename", "mac"), '--rename takes NAME=VALUE, found "mac"'),
        (("--technology", "45nm", "--size", "buffer"), "give that file too, or --size buffer=16MiB_4096"),
        (("--technology", "45nm", "--size", "buffer=large"), '"large" is no size such as 16MiB_4096'),
    ],
)
def test_choices_are_checked(fusemap: Run, tmp_path: Path, argv: tuple[str, ...], wanted: str) -> None:
    (tmp_path / "ERT.yaml").write_text(ERT)
    outcome = fusemap("import", "accelergy", str(tmp_path / "ERT.yaml"), *argv, "--out", str(tmp_path / "c.yaml"))
    assert outcome.code == (2 if wanted else 0)
    assert wanted in outcome.err
    assert (tmp_path / "c.yaml").exists() == (not wanted)


def test_components_are_told_apart() -> None:
    text = ERT.replace("chip.buffer[1..1]", "chip.row.mac")
    found = component_table(parsed(text), Choices(technology="45nm"))
    assert found.components == ("row_mac", "PE_mac")
    with pytest.raises(InputError, match="differ in their ranges alone"):
        component_table(parsed(ERT.replace("chip.buffer[1..1]", "chip.PE.mac")), Choices(technology="45nm"))


def test_the_architecture_and_the_option_must_agree() -> None:
    tables = read_tables([DATA / "chip" / name for name in CHIP])
    with pytest.raises(InputError, match="mac is in 65nm in the flattened architecture, and in 45nm by --technology"):
        component_table(tables, Choices(technology="45nm"))
    own = component_table(tables, Choices(technologies={"mac": "45nm"}))
    entries = {entry.name: entry.technology_nm for entry in parse_components(own.text).entries}
    assert entries == {"mac": 45, "buffer": 65}


def test_the_documents(fusemap: Run, tmp_path: Path) -> None:
    exported = fusemap("export", "accelergy", "flat-cloud", "--json").json()
    assert (exported["schema"], exported["format"], list(exported["files"])) == (
        "fusemap/export/1",
        "accelergy",
        ["ERT.yaml", "ART.yaml"],
    )
    (tmp_path / "ERT.yaml").write_text(ERT)
    imported = fusemap("import", "accelergy", str(tmp_path / "ERT.yaml"), "--technology", "45nm", "--json").json()
    assert (imported["schema"], imported["format"], imported["components"]) == (
        "fusemap/import/1",
        "accelergy",
        ["buffer", "mac"],
    )
    assert imported == json.loads(json.dumps(fm.import_accelergy([tmp_path / "ERT.yaml"], technology="45nm").to_json()))
    assert exported == json.loads(json.dumps(fm.export_accelergy("flat-cloud").to_json()))
    assert parse_components(imported["text"]).names() == ("buffer", "mac")
