"""Timeloop v4 files: what is written says the same Einsum, nest and machine, and what it cannot say is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st

import fusemap as fm
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Loop, Operand, Spill, Storage
from fusemap.sim.evaluate import plan
from fusemap.sim.reuse import analyse
from fusemap.validation.timeloop.build import UNIT, specification
from fusemap.validation.timeloop.cases import FOLDER, Case, cases
from fusemap.validation.timeloop.direct import direct_input
from fusemap.validation.timeloop.random_cases import random_case
from fusemap.validation.timeloop.refusals import refusals
from fusemap.validation.timeloop.text import FILES, MODEL_FILES, files

Run = Callable[..., Outcome]
MACHINE = fm.load_arch(str(FOLDER / "fusemax-16.yaml"))


class Loader(yaml.SafeLoader):
    """YAML in which a tag is one more key."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    assert isinstance(node, yaml.MappingNode)
    return {"tag": tag, **loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _tagged)


def read(texts: dict[str, str]) -> dict[str, Any]:
    """All files as one document."""
    document: dict[str, Any] = {}
    for name in FILES:
        document |= yaml.load(texts[name], Loader)
    return document


# --- an independent reader of the exported mapping --------------------------------------------------

Segment = tuple[str, Any, Any]  # ("kept", loops outermost first, data spaces) or ("spread", loops, None)


def segments_of_files(texts: dict[str, str]) -> list[Segment]:
    """The nest that the files say: memories with their loops, runs of fanouts with the loops that they spread."""
    document = read(texts)
    header = texts["problem.yaml"].split("# Dimensions: ")[1].split(".\n")[0]
    rank = dict(item.split(" is ") for item in header.split(", "))
    keeps = {d["target"]: d["keep"] for d in document["mapping"] if d["type"] == "dataspace"}
    found: list[Segment] = []
    for directive in document["mapping"]:
        if directive["type"] == "dataspace":
            continue
        factors = {f.split("=")[0]: int(f.split("=")[1]) for f in directive["factors"]}
        loops = [(rank[d], factors[d]) for d in reversed(directive["permutation"]) if factors[d] > 1]
        if directive["type"] == "spatial":
            spread = {*loops, *(found.pop()[1] if found and found[-1][0] == "spread" else ())}
            found.append(("spread", frozenset(spread), None))
        elif directive["target"].endswith(("_loops", "_loops_2", "_loops_3")):
            kind, before, kept = found.pop()
            found.append((kind, (*before, *loops), kept))
        else:
            found.append(("kept", tuple(loops), frozenset(keeps[directive["target"]])))
    return found


def segments_of_nest(space: EinsumSpace, nest: EinsumMapping) -> list[Segment]:
    """The same of our nest."""
    found: list[Segment] = []
    for spread, group in itertools.groupby(nest.levels, lambda level: isinstance(level, Fanout)):
        levels = list(group)
        if spread:
            found.append(
                ("spread", frozenset((p.rank, p.bound) for lv in levels for p in lv.loops if p.bound > 1), None)
            )
            continue
        for level in levels:
            assert isinstance(level, Storage)
            kept = frozenset(o.label for o in space.operands if level.keeps(o.tensor))
            found.append(("kept", tuple((p.rank, p.bound) for p in level.loops if p.bound > 1), kept))
    return found


@given(seed=st.integers(0, 10**9))
@settings(max_examples=30, deadline=None)
def test_what_is_written_reads_back_as_the_same_nest(seed: int) -> None:
    space, nest = random_case(seed, MACHINE)
    texts = files(specification(space, nest, MACHINE))
    assert segments_of_files(texts) == segments_of_nest(space, nest)
    document = read(texts)
    shape = document["problem"]["shape"]
    assert {s["name"] for s in shape["data_spaces"]} == {o.label for o in space.operands}
    assert [s["name"] for s in shape["data_spaces"] if s.get("read_write")] == ["Z"]
    ranks = {o.label: len(o.ranks) for o in space.operands}
    assert all(len(s["projection"]) == max(1, ranks[s["name"]]) for s in shape["data_spaces"])


@given(seed=st.integers(0, 10**9))
@settings(max_examples=30, deadline=None)
def test_a_swapped_loop_is_noticed_by_the_reader(seed: int) -> None:
    space, nest = random_case(seed, MACHINE)
    at = next((i for i, lv in enumerate(nest.levels) if len({p.rank for p in lv.loops if p.bound > 1}) > 1), None)
    if at is None or isinstance(nest.levels[at], Fanout):
        return
    level = dataclasses.replace(nest.levels[at], loops=nest.levels[at].loops[::-1])
    swapped = dataclasses.replace(nest, levels=(*nest.levels[:at], level, *nest.levels[at + 1 :]))
    assert segments_of_files(files(specification(space, swapped, MACHINE))) != segments_of_nest(space, nest)


def case_of(name: str) -> Case:
    return next(case for case in cases() if case.name == name)


@pytest.mark.parametrize("name", ["fusemax-binding BERT@1K BQK", "matmul, a rank twice in a level", "seed 3"])
def test_the_models_own_input_says_what_the_v4_files_say(name: str) -> None:
    spec = case_of(name).specification()
    v4, direct = read(files(spec)), json.loads(direct_input(spec))
    assert direct["ERT"]["tables"] == v4["ERT"]["tables"] and direct["ART"]["tables"] == v4["ART"]["tables"]
    assert direct["problem"]["instance"] == v4["problem"]["instance"]
    assert [s["projection"] for s in direct["problem"]["shape"]["data_spaces"]] == [
        s["projection"] for s in v4["problem"]["shape"]["data_spaces"]
    ]
    containers = {n["name"] for n in v4["architecture"]["nodes"] if n["tag"] == "Container"}
    for directive in v4["mapping"]:
        target = directive["target"]
        target = f"inter_{target}_spatial" if target in containers else target
        kind = "bypass" if directive["type"] == "dataspace" else directive["type"]
        same = next(d for d in direct["mapping"] if d["target"] == target and d["type"] == kind)
        if kind == "bypass":
            assert (same["keep"], same["bypass"]) == (directive["keep"], directive["bypass"])
        else:
            assert same["factors"] == ",".join(directive["factors"])
            assert same["permutation"] == "".join(directive["permutation"])


def test_the_machine_is_written_with_its_prices_rows_and_room() -> None:
    document = read(files(case_of("fusemax-binding BERT@1K BQK").specification()))
    nodes = {node["name"]: node for node in document["architecture"]["nodes"]}
    assert nodes["array_2d_columns"]["spatial"] == {"meshX": 16, "meshY": 16}
    buffer = nodes["global_buffer"]["attributes"]
    assert buffer["width"] == 4096 and buffer["datawidth"] == 16 and buffer["block_size"] == 256
    assert buffer["depth"] * buffer["block_size"] * 2 == MACHINE.memory("global_buffer").capacity_bytes
    assert "depth" not in nodes["dram"]["attributes"]
    assert nodes["dram"]["attributes"]["shared_bandwidth"] == 400 * 2**30 / 2 / 940e6
    prices = {
        t["name"].split(".")[1]: {a["name"]: a["energy"] for a in t["actions"]} for t in document["ERT"]["tables"]
    }
    component = MACHINE.memory("global_buffer").component
    assert prices["global_buffer[1"]["read"] == component.energy("read").value
    assert prices["array_2d_compute[1"]["compute"] == MACHINE.table.component("mac").energy("mac").value


def test_a_tensor_without_ranks_gets_a_coordinate() -> None:
    scalar = Operand(tensor="S", label="S", ranks=frozenset(), is_output=True)
    space, nest = random_case(0, MACHINE)
    space = dataclasses.replace(space, operands=(*space.inputs, scalar))
    levels = tuple(dataclasses.replace(lv, keep=None) if isinstance(lv, Storage) else lv for lv in nest.levels)
    spec = specification(space, dataclasses.replace(nest, levels=levels), MACHINE)
    assert spec.dimensions[-1][1:] == (UNIT, 1)
    assert spec.data_spaces[-1].projection == (((spec.dimensions[-1][0], 1),),)


def test_a_window_is_one_position_and_a_partition_two() -> None:
    window = read(files(case_of("convolution, rows stay").specification()))["problem"]["shape"]["data_spaces"]
    assert window[0] == {"name": "I", "projection": [[["C"]], [["P"], ["R"]]]}
    keys = read(files(case_of("fusemax-binding BERT@1K BQK").specification()))["problem"]["shape"]["data_spaces"]
    assert keys[1]["projection"] == [[["B"]], [["H"]], [["M"]], [["m"]], [["E"]]]


# --- what is refused, and what is said --------------------------------------------------------------


def test_what_the_format_has_no_words_for_is_refused_by_name() -> None:
    space, nest = random_case(0, MACHINE)
    tensor = space.operands[0].tensor
    spilled = dataclasses.replace(
        nest, spills=(Spill(memory="global_buffer", fraction=0.25, tensors=frozenset({tensor})),)
    )
    assert [v.what for v in refusals(space, spilled, MACHINE)] == [f"R0: global_buffer spills {tensor}"]
    with pytest.raises(fm.DoesNotFit, match="whole, or not at all"):
        specification(space, spilled, MACHINE)
    array = MACHINE.arrays[0]
    outer = dataclasses.replace(nest, levels=(Fanout(array=array.name, dim=array.dims[0].name), *nest.levels))
    assert "outermost level is a memory" in refusals(space, outer, MACHINE)[0].hint
    many = dataclasses.replace(space, ranks=tuple((f"r{i}", 1) for i in range(53)))
    assert refusals(many, nest, MACHINE)[0].need == 53
    long = dataclasses.replace(space, ranks=(("m", 2**31),))
    assert refusals(long, nest, MACHINE)[0].what == "R0: extent of m"
    rows = dataclasses.replace(MACHINE.memories[0], words_per_access=0.5, width_bits=8)
    narrow = dataclasses.replace(MACHINE, memories=(rows, *MACHINE.memories[1:]))
    assert refusals(space, nest, narrow)[0].what == "R0: a row of dram"


def test_notes_say_what_timeloop_takes_otherwise() -> None:
    notes = " ".join(case_of("fusemax-binding BERT@1K SLN").specification().notes)
    assert "sub + exp" in notes and "7 cycles" in notes
    assert "recurrence" in " ".join(case_of("fusemax-binding BERT@1K RM").specification().notes)
    assert "upper bound" in " ".join(case_of("convolution, rows stay").specification().notes)
    assert case_of("matmul, weights stationary").specification().notes == ()


def test_a_tile_that_timeloop_has_no_room_for_is_said() -> None:
    case = case_of("matmul, weights stationary")
    last = dataclasses.replace(case.nest.levels[-1], loops=(Loop(rank="m", bound=64),))
    nest = dataclasses.replace(case.nest, levels=(*case.nest.levels[:-1], last))
    notes = specification(case.space, nest, case.machine).notes
    assert notes == ("array_2d_registers has 12 words, and Timeloop counts 129: it refuses this mapping",)


# --- the command and the function -------------------------------------------------------------------

ASKED = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--dataflow", "fusemax-binding")


def test_the_command_writes_a_folder_per_einsum(fusemap: Run, tmp_path: Path) -> None:
    outcome = fusemap("export", "timeloop", *ASKED, "--einsum", "BQK", "--einsum", "RM", "--out", str(tmp_path))
    assert outcome.code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["BQK", "RM"]
    assert sorted(p.name for p in (tmp_path / "RM").iterdir()) == sorted(MODEL_FILES)
    assert "RM: m1 steps through a recurrence" in outcome.err
    again = fusemap("export", "timeloop", *ASKED, "--einsum", "RM", "--mapper", "--out", str(tmp_path))
    assert again.code == 0 and sorted(p.name for p in (tmp_path / "RM").iterdir()) == sorted((*FILES, "mapper.yaml"))


def test_the_document_is_that_of_the_function(fusemap: Run) -> None:
    printed = fusemap("export", "timeloop", *ASKED, "--einsum", "AV", "--json").json()
    returned = fm.export_timeloop(
        "attention-1pass", arch="fusemax-cloud", workload="BERT@1K", dataflow="fusemax-binding", einsums=["AV"]
    )
    assert json.loads(json.dumps(returned.to_json())) == printed
    assert printed["schema"] == "fusemap/export/1" and printed["einsums"][0]["einsum"] == "AV"


def test_an_unknown_einsum_and_a_spill_end_with_their_codes(fusemap: Run) -> None:
    unknown = fusemap("export", "timeloop", *ASKED, "--einsum", "BQQ")
    assert unknown.code == 2 and "did you mean BQK?" in unknown.err
    spilled = fusemap(
        *("export", "timeloop", "attention-3pass", "--arch", "flat-edge", "--workload", "BERT@256K"),
        *("--dataflow", "flat", "--einsum", "GM"),
    )
    assert spilled.code == 1 and "spills" in spilled.err


# --- there and back through the importer ------------------------------------------------------------


def counts_of(space: EinsumSpace, nest: EinsumMapping) -> list[tuple[int, ...]]:
    return sorted((c.reads, c.fills, c.updates, c.instances, c.tile) for c in analyse(space, nest))


def imported_counts(texts: dict[str, str], folder: Path) -> list[tuple[int, ...]]:
    """The counts of the design that `import timeloop` makes of the files."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    given = [str(folder / name) for name in ("problem.yaml", "architecture.yaml", "mapping.yaml")]
    design = fm.import_timeloop(*given, prices=[str(folder / "energy.yaml")], name="again")
    for name, text in design.files:
        (folder / name).write_text(text)
    problem, mapping = plan(
        fm.load_cascade(folder / "again.cascade"),
        fm.load_arch(str(folder / "again-machine.yaml")),
        fm.load_workload(str(folder / "again-workload.yaml")),
        fm.load_dataflow(str(folder / "again-dataflow.yaml")),
    )
    return counts_of(problem.spaces[0], mapping.einsums[0])


@pytest.mark.parametrize("name", ["matmul, a memory per column", "matmul, a rank twice in a level", "seed 3", "seed 9"])
def test_an_exported_design_is_imported_with_the_same_counts(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    assert imported_counts(files(case.specification()), tmp_path) == counts_of(case.space, case.nest)


@pytest.mark.slow
@given(seed=st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_random_designs_are_imported_with_the_same_counts(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    space, nest = random_case(seed, MACHINE)
    texts = files(specification(space, nest, MACHINE))
    assert imported_counts(texts, tmp_path_factory.mktemp("design")) == counts_of(space, nest)
