"""hwcomponents in another interpreter: its recorded answers beside our table, and tables that are made of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from test_readme import ROOT, blocks

import fusemap as fm
from fusemap.archspec.archs import load_arch
from fusemap.archspec.tables import load_components, parse_components
from fusemap.diagnostics import InputError
from fusemap.validation.hwcomponents import peer as peers
from fusemap.validation.hwcomponents.compare import compare, comparison, questions
from fusemap.validation.hwcomponents.importer import import_models
from fusemap.validation.hwcomponents.peer import Answer, Peer, Question, ask, packaged, read_recording, recording_text

Run = Callable[..., Outcome]

# --- the recording beside the table -----------------------------------------------------------------


def recorded(model: str, **attributes: Any) -> Answer:
    """The answer of a model in the recording, found by what the raw document says."""
    found = [
        run["answer"]
        for run in packaged().raw["runs"]
        if run["question"]["model"].endswith(f".{model}")
        and attributes.items() <= run["question"]["attributes"].items()
    ]
    assert len(found) == 1
    return Answer(**{key: value for key, value in found[0].items() if key != "cacti"})


@pytest.mark.parametrize("mebibytes", [16, 32])
def test_our_buffers_are_cactis_with_one_bank_and_an_adder(mebibytes: int) -> None:
    bits = mebibytes << 23
    sram = recorded("SRAM", size=bits, width=4096, n_banks=1)
    adder = recorded("Adder", n_bits=(bits // 4096 - 1).bit_length())
    ours = load_components("45nm").component("sram", bindings={"capacity_bytes": bits // 8, "width_bits": 4096})
    for action in ("read", "write"):
        assert ours.energy(action).value == pytest.approx(sram.energy_pj[action] + adder.energy_pj["add"], rel=1e-8)
    assert ours.area().value == pytest.approx(sram.area_um2 + 2 * adder.area_um2, rel=1e-8)


def missing_rows(rows: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Numbers of the table without a row; of a formula any size will do."""
    wanted = set()
    for entry in load_components("45nm").entries:
        for size in entry.sizes:
            wanted |= {(entry.name, str(size), action) for action, _ in size.energies}
            wanted |= {(entry.name, str(size), "area")} if size.area else set()
        sizes = {size for component, size, _ in rows if component == entry.name} or {""}
        if not entry.sizes:
            wanted |= {(entry.name, size, action) for size in sizes for action, _ in entry.energies}
            wanted |= {(entry.name, size, "area") for size in sizes if entry.area}
    return wanted - rows


def test_every_number_of_the_table_has_a_row() -> None:
    rows = {(row.component, row.size, row.quantity) for row in compare().rows}
    assert missing_rows(rows) == set()
    assert len(rows) > 40
    assert all(missing_rows(rows - {row}) for row in rows)


def test_what_is_the_same_and_what_is_not() -> None:
    found = compare()
    assert found.agrees and len([row for row in found.rows if row.kind == "same"]) == 31
    assert {row.component for row in found.rows if row.kind == "none"} == {"divide", "exp", "link"}
    assert all(row.peer is None and row.why for row in found.rows if row.kind == "none")
    assert all(row.peer is not None for row in found.rows if row.kind != "none")
    scaled = {row.component for row in found.rows if "scaled to 45 nm" in row.nodes}
    assert scaled == {"mac", "add", "register_file"}  # the nearest models alone; never what is said to be the same
    assert not any("scaled" in row.nodes for row in found.rows if row.kind == "same")


def test_the_spans_that_the_document_names() -> None:
    rows = compare().rows
    factors = {
        (row.component, row.model[:30], row.size, row.quantity): 1 / row.ratio for row in rows if row.ratio is not None
    }
    banks = [f for (_, model, _, what), f in factors.items() if "32 banks, 1" in model and what != "area"]
    ports = [f for (_, model, _, what), f in factors.items() if "32 banks, 4" in model and what != "area"]
    macs = [f for (name, _, _, what), f in factors.items() if name == "mac" and what == "mac"]
    assert [round(f, 2) for f in (min(banks), max(banks))] == [1.26, 1.84]
    assert [round(f, 1) for f in (min(ports), max(ports))] == [12.5, 20.6]
    assert [round(f, 3) for f in sorted(macs)] == [0.057, 0.22, 0.864]


# --- planted faults -------------------------------------------------------------------------------------


def changed(factor: float, model: str = "SRAM(size=134217728, width=4096, n_banks=1, n_rw_ports=1)") -> Peer:
    """The recording with one answer multiplied."""
    whole = packaged()
    key = next(q.key for q in questions() if str(q) == model)
    old = whole.answers[key]
    new = replace(old, energy_pj={action: pj * factor for action, pj in old.energy_pj.items()})
    return replace(whole, answers={**whole.answers, key: new})


@pytest.mark.parametrize(("factor", "agrees"), [(1, True), (1 + 1e-8, True), (1 + 1e-5, False)])
def test_a_changed_answer_is_found(factor: float, agrees: bool) -> None:
    found = compare(changed(factor))
    assert found.agrees == agrees
    assert bool(found.moved) == (not agrees)
    assert {(r.size, r.quantity) for r in found.rows if not r.agrees} == (
        set() if agrees else {("16 MiB x 4096 bit", "read"), ("16 MiB x 4096 bit", "write")}
    )


def test_the_command_says_what_differs(fusemap: Run, tmp_path: Path) -> None:
    raw = json.loads(recording_text(packaged()))
    run = next(r for r in raw["runs"] if r["question"]["attributes"].get("size") == 1 << 27)
    run["answer"]["energy_pj"]["read"] *= 2
    (tmp_path / "r.json").write_text(json.dumps(raw))
    outcome = fusemap("validate", "components", "--recording", str(tmp_path / "r.json"))
    assert outcome.code == 1
    assert "differs: sram 16 MiB x 4096 bit read: 12512.760572 and 25025.4" in outcome.out
    assert "this run does not repeat the recording: SRAM(size=134217728, width=4096" in outcome.out


def test_the_command_and_its_document(fusemap: Run) -> None:
    outcome = fusemap("validate", "components")
    assert (outcome.code, outcome.err) == (0, "")
    assert "of the same parts: 31 of 31 numbers are the same" in outcome.out
    document = fusemap("validate", "components", "--json").json()
    assert (document["schema"], document["agrees"]) == ("fusemap/validate/1", True)
    part = document["components"]
    assert part == json.loads(json.dumps(fm.compare_components().to_json()))
    assert part["versions"]["hwcomponents_cacti"] == "1.0.40" and "glibc 2.41" in part["peer"]
    assert len(part["rows"]) == len(compare().rows)


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (("--recording", "no.json"), "no.json: No such file"),
        (("--recording", "bad.json"), "bad.json: not a recording"),
        (("--recording", "part.json"), "part.json: not a whole recording: KeyError 'runs'"),
        (("--recording", "list.json"), "list.json: not a recording: expected a document of"),
        (("--recording", "bad.json", "--python", "python3"), "--recording is an earlier run"),
        (("--record", "r.json"), "--record needs a Python with hwcomponents"),
        (("--record", "r.txt"), "valid endings: .json"),
        (("--python", "no-such-python"), "--python: no executable no-such-python"),
        (("--python", sys.executable), "has no hwcomponents: No module named 'hwcomponents'"),
        (("--python", "/bin/false"), "cannot run hwcomponents: exit code 1, no answer"),
    ],
)
def test_what_is_wrong_is_said(
    fusemap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(peers.VARIABLE, raising=False)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "part.json").write_text('{"schema": "fusemap/hwcomponents-recording/1"}')
    outcome = fusemap("validate", "components", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert wanted in outcome.err
    assert not (tmp_path / "r.json").exists()


def test_the_recording_reads_back(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(recording_text(packaged()))
    assert read_recording(tmp_path / "r.json") == packaged()
    assert {question.key for question in questions()} == set(packaged().answers)


# --- the script, in another interpreter with a small hwcomponents of our own ----------------------------

FAKE = {
    "hwcomponents.py": """
class Cost:
    def __init__(self, energy): self.energy = energy
class ComponentModel:
    energy_scale = area_scale = 1.0
    def scale(self, key, target, default, area=None, energy=None):
        if target != default:
            self.area_scale *= area(target, default)
            self.energy_scale *= energy(target, default)
        return target
""",
    "hwcomponents_library.py": """
from hwcomponents import ComponentModel, Cost
class Mac(ComponentModel):
    def __init__(self, tech_node, width):
        ratio = lambda to, default: to / default
        self.scale("tech_node", tech_node, 40e-9, area=ratio, energy=ratio)
        self.scale("width", width, 32, area=ratio, energy=ratio)
    @property
    def area(self): return 100e-12 * self.area_scale
    def compute(self, twice=False): return Cost(2e-12 * self.energy_scale * (2 if twice else 1))
class Dram(ComponentModel):
    area = 0
    def read(self): return Cost(5e-12)
class Unseen(ComponentModel):
    area = 1e-12
    def __init__(self, tech_node): print("a line of its own on standard output")
    def read(self): return Cost(tech_node_free())
def tech_node_free(): return 1e-12
class Broken(ComponentModel):
    def __init__(self, tech_node):
        raise Exception("CACTI failed with exit code 1. Please check LOG for CACTI output. Run command: ./cacti")
""",
}


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An interpreter that has the small hwcomponents."""
    (tmp_path / "fake").mkdir()
    for name, text in FAKE.items():
        (tmp_path / "fake" / name).write_text(text.replace("LOG", str(tmp_path / "cacti.log")))
    (tmp_path / "cacti.log").write_text("./cacti: version `GLIBC_2.38' not found\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    return sys.executable


def test_models_are_asked_and_watched(python: str) -> None:
    mac = Question(
        model="hwcomponents_library.Mac",
        attributes={"width": 16},
        technology_nm=45,
        actions={
            "mac": {"action": "compute", "arguments": {}},
            "two": {"action": "compute", "arguments": {"twice": True}},
        },
    )
    native, dram = replace(mac, technology_nm=40), Question(model="hwcomponents_library.Dram", technology_nm=45)
    lost = Question(model="hwcomponents_library.Lost")
    found = ask(python, [mac, native, dram, lost, mac])
    answer = found.answer(mac)
    assert answer.energy_pj == pytest.approx({"mac": 1.125, "two": 2.25})
    assert (answer.native_nm, answer.scaled, answer.area_um2) == ((40,), True, pytest.approx(56.25))
    assert (answer.factor("energy"), answer.factor("area")) == (pytest.approx(1.125), pytest.approx(1.125))
    assert not found.answer(native).scaled and found.answer(native).energy_pj["mac"] == pytest.approx(1)
    assert found.answer(dram).technology_nm is None and not found.answer(dram).scaled
    with pytest.raises(InputError, match=r"refuses Lost\(\): AttributeError: .* has no attribute 'Lost'"):
        found.answer(lost)
    with pytest.raises(InputError, match=r"the recording has no Mac\(width=99\)"):
        found.answer(replace(mac, attributes={"width": 99}))


SPEC = """source: my choice
technology: 45 nm
components:
  mac:
    model: hwcomponents_library.Mac
    attributes: {width: 16}
    actions: {mac: compute, two: {action: compute, arguments: {twice: true}}}
  hbm2: {model: hwcomponents_library.Dram, technology: none, area: false, actions: {read: read}}
"""


def imported(tmp_path: Path, python: str, text: str) -> Any:
    (tmp_path / "models.yaml").write_text(text)

    def asked(wanted: Sequence[Question]) -> Peer:
        return ask(python, wanted)

    return import_models(tmp_path / "models.yaml", asked)


def test_a_model_of_another_technology_is_refused(tmp_path: Path, python: str) -> None:
    with pytest.raises(InputError) as caught:
        imported(tmp_path, python, SPEC)
    message = str(caught.value)
    assert (
        "models.yaml:5:12: error: Mac(width=16) is of 40 nm, and hwcomponents would make it 45 nm by factors" in message
    )
    assert "(energy 1.125, area 1.125)" in message
    assert "with technology: 40 nm, or state the factors: scaling: {from: 40 nm, to: 45 nm," in message


def test_a_model_in_its_own_technology_is_taken_as_it_is(tmp_path: Path, python: str) -> None:
    own = SPEC.replace("    attributes:", "    technology: 40 nm\n    attributes:")
    table = parse_components(imported(tmp_path, python, own).text)
    mac = table.component("mac")
    assert (mac.energy("mac").value, mac.energy("two").value, mac.area().value) == (1, 2, 50)
    assert "Mac(width=16); in 40 nm; Mac from width 32 to 16 (energy x0.5, area x0.5)" in mac.energy("mac").source
    assert [(e.name, e.technology_nm, e.off_process) for e in table.entries] == [
        ("mac", 40, False),
        ("hbm2", None, True),
    ]
    assert table.component("hbm2").area_um2 is None


def test_stated_factors_are_applied_and_named(tmp_path: Path, python: str) -> None:
    scaling = "    scaling: {from: 40 nm, to: 45 nm, energy: 1.5, area: 3, source: a paper}\n"
    table = parse_components(
        imported(tmp_path, python, SPEC.replace("    attributes:", f"{scaling}    attributes:")).text
    )
    mac = table.component("mac")
    assert (mac.energy("mac").value, mac.area().value) == (1.5, 150)
    assert mac.energy("mac").source.endswith("scaled to 45 nm (energy x1.5, area x3): a paper")
    assert {entry.technology_nm for entry in table.entries if not entry.off_process} == {45}


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("Mac\n", "Mack\n", "models.yaml:5:12: error: hwcomponents refuses Mack(width=16): AttributeError"),
        ("width: 16", "wide: 16", "models.yaml:5:12: error: hwcomponents refuses Mac(wide=16): TypeError"),
        ("technology: none, area", "area", "error: Dram() takes no technology\n"),
        (
            "hwcomponents_library.Mac",
            "os.system",
            "models.yaml:5:12: error: expected a class such as hwcomponents_cacti.SRAM",
        ),
        (
            "two: {action: compute",
            "two: {action: __class__",
            "models.yaml:7:43: error: expected the name of an action such as read, found",
        ),
        ("actions: {mac: compute", "acts: {mac: compute", 'unknown key "acts" (did you mean "actions"?)'),
        ("technology: 45 nm\n", "", 'missing key "technology"'),
        (
            "    attributes:",
            "    scaling: {from: 40 nm, to: 28 nm, energy: 1.5, area: 3}\n    attributes:",
            "models.yaml:6:32: error: the scaling leads to 28 nm, and mac is in 45 nm",
        ),
        (
            "    attributes:",
            "    scaling: {from: 40 nm, to: 45 nm, energy: 1.5}\n    attributes:",
            "models.yaml:6:5: error: no factor for the area",
        ),
        ("area: false, actions: {read: read}", "area: false", "nothing is asked of hbm2: no actions, and no area"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, python: str, old: str, new: str, wanted: str) -> None:
    assert old in SPEC
    with pytest.raises(InputError) as caught:
        imported(tmp_path, python, SPEC.replace(old, new))
    assert wanted in f"{caught.value}\n"


def test_a_cacti_that_does_not_start_says_what_it_needs(tmp_path: Path, python: str) -> None:
    broken = "{sram: {model: hwcomponents_library.Broken, actions: {read: read}}}"
    with pytest.raises(InputError) as caught:
        imported(tmp_path, python, f"source: me\ntechnology: 45 nm\ncomponents: {broken}\n")
    assert "m.yaml" not in str(caught.value) and "models.yaml:3:28: error: hwcomponents refuses Broken()" in str(
        caught.value
    )
    assert "(./cacti: version `GLIBC_2.38' not found)" in str(caught.value)
    assert "needs glibc 2.38 or later, or to be built on this machine" in str(caught.value)


def test_the_documents_models_are_what_was_recorded(tmp_path: Path) -> None:
    text = next(b.text for b in blocks((ROOT / "docs" / "components.md").read_text()) if b.file == "models.yaml")
    (tmp_path / "models.yaml").write_text(text.partition("  mac:")[0])
    table = parse_components(import_models(tmp_path / "models.yaml", lambda _: packaged()).text)
    sram = table.component("sram", bindings={"capacity_bytes": 16 << 20, "width_bits": 4096})
    assert (sram.energy("read").value, sram.energy("write").value, sram.area().value) == (22974.4, 23930.7, 141957000)
    assert sram.energy("read").source.startswith(
        "hwcomponents_cacti 1.0.40, SRAM(n_banks=32, n_rw_ports=1, size=134217728"
    )
    assert table.component("hbm2").energy("read").value == 400


def test_what_was_not_seen_is_said(tmp_path: Path, python: str) -> None:
    odd = "{odd: {model: hwcomponents_library.Unseen, actions: {read: read}}}"
    text = f"source: me\ntechnology: 45 nm\ncomponents: {odd}\n"
    found = imported(tmp_path, python, text)
    assert found.notes == ("odd: of which technology Unseen() is was not seen; it was asked for 45 nm",)
    assert "whose own technology was not seen" in found.text


def test_the_schema_knows_both_forms_of_an_action(fusemap: Run) -> None:
    schema = fusemap("schema", "models", "--json").json()["schemas"]["models"]
    actions = schema["$defs"]["SpecComponentModel"]["properties"]["actions"]
    forms = next(iter(actions["patternProperties"].values()))["anyOf"]
    assert [form["type"] for form in forms] == ["string", "object"]
    assert {"technology", "components"} == set(schema["required"])


def test_the_import_command(fusemap: Run, tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(peers.VARIABLE, python)
    (tmp_path / "m.yaml").write_text(SPEC)
    refused = fusemap("import", "hwcomponents", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "c.yaml"))
    assert refused.code == 2 and not (tmp_path / "c.yaml").exists()
    (tmp_path / "m.yaml").write_text(SPEC.replace("    attributes:", "    technology: 40 nm\n    attributes:"))
    outcome = fusemap("import", "hwcomponents", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "c.yaml"))
    assert (outcome.code, outcome.out) == (0, f"2 components written to {tmp_path / 'c.yaml'}\n")
    document = fusemap("import", "hwcomponents", str(tmp_path / "m.yaml"), "--json").json()
    assert (document["schema"], document["format"]) == ("fusemap/import/1", "hwcomponents")
    monkeypatch.delenv(peers.VARIABLE)
    assert "no Python with hwcomponents is named" in fusemap("import", "hwcomponents", str(tmp_path / "m.yaml")).err


def test_a_machine_scales_an_imported_model(tmp_path: Path, python: str) -> None:
    own = SPEC.replace("    attributes:", "    technology: 40 nm\n    attributes:")
    (tmp_path / "c.yaml").write_text(imported(tmp_path, python, own).text)
    text = (
        "source: me\ntable: c.yaml\ntechnology: 45 nm\nclock: 1 GHz\nword: 2 B\n"
        "memories: {dram: {component: hbm2, width: 64 bit, on_chip: false}}\n"
        "arrays: {pe: {dims: {rows: 2}, registers: {component: hbm2, depth: 2},"
        " operators: {mul: {cycles: 1, actions: {mac: 1}}}}}\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError, match="components of the table are not: mac in 40 nm"):
        load_arch(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text(f"{text}scaling: {{from: 40 nm, to: 45 nm, energy: 1.2, source: a paper}}\n")
    machine = load_arch(tmp_path / "m.yaml")
    assert machine.action_energy(machine.array("pe").operator("mul").actions[0]).value == pytest.approx(1.2)


def test_the_comparison_names_only_what_it_has() -> None:
    spec = comparison()
    used = {
        term.split(" * ")[-1].partition(".")[0] for row in spec.rows for terms in row.energy.values() for term in terms
    }
    used |= {term.split(" * ")[-1] for row in spec.rows for term in row.area}
    assert used == set(spec.models)
