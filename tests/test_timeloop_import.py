"""`fusemap import timeloop`: what a design means, against Timeloop's recorded counts and a walk in Timeloop's terms."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from timeloop_nests import Level, fills, written

import fusemap as fm
from fusemap.archspec import parse_arch
from fusemap.archspec.workloads import parse_workload
from fusemap.cli.import_timeloop import _defined
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import parse
from fusemap.mappers.dataflow import parse_dataflow
from fusemap.mappers.types import Fanout, Problem, Storage
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.sim.evaluate import plan
from fusemap.sim.reuse import LevelCount, analyse
from fusemap.validation.timeloop.build import specification
from fusemap.validation.timeloop.projections import projections
from fusemap.validation.timeloop.random_cases import random_case
from fusemap.validation.timeloop.reading import directives as reading_directives
from fusemap.validation.timeloop.reading import mapping as reading_mapping
from fusemap.validation.timeloop.reading.imported import ImportedDesign, import_timeloop
from fusemap.validation.timeloop.sliding import walk
from fusemap.validation.timeloop.spec import SpatialNode, Specification
from fusemap.validation.timeloop.stats import Stats, stats_from_json
from fusemap.validation.timeloop.text import files as timeloop_files

Run = Callable[..., Outcome]
DATA = Path(__file__).parent / "data" / "timeloop_import"
TOP = str(DATA / "top.yaml.jinja2")
PRICES = (str(DATA / "ERT.yaml"), str(DATA / "ART.yaml"))
CONV = {"problem": "conv.yaml", "mapping": "mapping-conv.yaml"}
RECORDED = json.loads((DATA / "timeloop-model.json").read_text("utf-8"))


def planned(
    found: ImportedDesign, folder: Path
) -> tuple[Problem, CascadeMapping, Mapping[tuple[str, str], LevelCount]]:
    """The imported files read back, and the counts by Timeloop's names of storage and data space."""
    files = dict(found.files)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    stem = found.name
    machine = fm.load_arch(str(folder / f"{stem}-machine.yaml"))
    workload = parse_workload(files[f"{stem}-workload.yaml"])
    dataflow = parse_dataflow(files[f"{stem}-dataflow.yaml"])
    problem, mapping = plan(parse(files[f"{stem}.cascade"]), machine, workload, dataflow)
    counts = analyse(problem.spaces[0], mapping.einsums[0])
    storages = {ours: theirs for theirs, ours in found.storages}
    tensors = {ours: theirs for theirs, ours in found.tensors}
    return problem, mapping, {(storages[c.memory], tensors[c.operand.tensor]): c for c in counts}


def differences(counts: Mapping[tuple[str, str], LevelCount], stats: Stats) -> dict[tuple[str, str], Any]:
    """Where Timeloop and we count other words: (storage, data space) -> (theirs, ours)."""
    found = {}
    theirs = {(level.name, space): s for level in stats.levels for space, s in level.spaces}
    for key in theirs.keys() | counts.keys():
        one, other = theirs.get(key), counts.get(key)
        a = None if one is None else (one.instances, one.reads, one.fills, one.updates)
        b = None if other is None else (other.instances, other.reads, other.fills, other.updates)
        if a != b:
            found[key] = (a, b)
    return found


# --- what Timeloop counts ---------------------------------------------------------------------------------


def test_counts_cycles_and_energy_are_those_of_timeloop(tmp_path: Path) -> None:
    stats = stats_from_json(RECORDED["gemm"])
    found = import_timeloop(TOP, prices=PRICES, name="gemm")
    _, mapping, counts = planned(found, tmp_path)
    assert differences(counts, stats) == {}
    assert mapping.einsums[0].temporal_steps == stats.cycles
    report = fm.evaluate(
        str(tmp_path / "gemm.cascade"),
        arch=str(tmp_path / "gemm-machine.yaml"),
        workload=str(tmp_path / "gemm-workload.yaml"),
        dataflow=str(tmp_path / "gemm-dataflow.yaml"),
    )
    ours = {component: energy for (component,), energy in report.energy_by("component").items()}
    theirs = {level.name: sum(s.energy_pj for _, s in level.spaces) for level in stats.levels if level.spaces}
    theirs["mac.mac"] = stats.compute_energy_pj
    assert ours == pytest.approx(theirs)
    assert report.latency_s == pytest.approx(stats.cycles * 2e-9)


def test_a_convolution_counts_as_timeloop_but_for_overlapping_inputs(tmp_path: Path) -> None:
    stats = stats_from_json(RECORDED["conv"])
    found = import_timeloop(TOP, defines=CONV, name="conv")
    problem, mapping, counts = planned(found, tmp_path)
    assert {space for _, space in differences(counts, stats)} == {"A"}
    assert all(ours[2] >= theirs[2] for theirs, ours in differences(counts, stats).values())
    assert [n.affects for n in found.notes if "counted again" in n.text] == ["inputs"]
    assert any("not exploited (an upper bound)" in note for note in problem.notes)
    projection = ((("c", 1),), (("r", 1), ("p", 2)))  # with it, the walk in Timeloop's way gives its numbers
    walked = walk(mapping.einsums[0], "A", projection)
    names = [dict((o, t) for t, o in found.storages).get(getattr(lv, "memory", "")) for lv in mapping.einsums[0].levels]
    theirs = {level.name: level.of["A"] for level in stats.levels if "A" in level.of}
    assert {names[at]: (w.reads, w.fills) for at, w in walked.items()} == {
        name: (s.reads, s.fills) for name, s in theirs.items()
    }


def outermost_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that a permutation is read from the outermost loop in."""
    right = reading_mapping._Merger.loops
    monkeypatch.setattr(reading_mapping._Merger, "loops", lambda *given: tuple(reversed(right(*given))))


def test_the_recorded_counts_notice_a_wrong_order_of_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outermost_first(monkeypatch)
    _, _, counts = planned(import_timeloop(TOP, name="gemm"), tmp_path)
    assert differences(counts, stats_from_json(RECORDED["gemm"]))


def test_the_walk_notices_a_wrong_order_of_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outermost_first(monkeypatch)
    ones, keep = dict.fromkeys(DIMS, 1), frozenset("ABZ")
    levels = [
        Level(name="dram", factors={"M": 2, "N": 3, "K": 2}, permutation=("M", "K", "N"), keep=keep),
        Level(name="pe", factors=ones, permutation=DIMS, keep=None),
        Level(name="regs", factors={"M": 2, "N": 1, "K": 1}, permutation=DIMS, keep=keep),
    ]
    _, _, counts = planned(design(levels, tmp_path), tmp_path)
    ours = {s: (c.fills, c.tile) for (s, tensor), c in counts.items() if tensor == "A"}
    assert ours != fills(levels, "A", USES["A"])


def test_factors_must_cover_the_problem(tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "d")
    path = tmp_path / "d" / "mapping.yaml"
    path.write_text(path.read_text("utf-8").replace("factors: M=2 N=3", "factors: M=2 N=1"), "utf-8")
    with pytest.raises(InputError, match="the factors of N multiply to 2, its size is 6"):
        import_timeloop(str(tmp_path / "d" / "top.yaml.jinja2"))


# --- random mappings, walked in Timeloop's terms -----------------------------------------------------------

DIMS = ("M", "N", "K")
USES = {"A": frozenset("MK"), "B": frozenset("KN"), "Z": frozenset("MN")}


@st.composite
def mappings(draw: st.DrawFn) -> list[Level]:
    """Loops of a product on four storages and a fanout; what no storage keeps, the outermost does."""
    names = ("dram", "glb", "pe", "spad", "regs")
    bypass = {name: draw(st.sets(st.sampled_from("ABZ"))) for name in names}
    levels = []
    for name in names:
        factors = {d: draw(st.sampled_from((1, 1, 2, 3))) for d in DIMS}
        keep = None if name == "pe" else frozenset("ABZ") - (bypass[name] if name != "dram" else set())
        order = draw(st.permutations(DIMS))
        levels.append(Level(name=name, factors=factors, permutation=order, keep=keep))
    return levels


def design(levels: Sequence[Level], folder: Path) -> ImportedDesign:
    """A product on a machine that is wide and deep enough for the levels."""
    sizes = {d: math.prod(level.factors[d] for level in levels) for d in DIMS}
    nodes = ["architecture:", "  version: 0.4", "  nodes:"]
    for level in levels:
        if level.keep is None:
            nodes.append(f"  - !Container {{name: {level.name}, spatial: {{meshX: 27}}}}")
            continue
        kind = "DRAM" if level.name == "dram" else "SRAM"
        attributes = "{width: 16, datawidth: 16, depth: 1000000}"
        nodes.append(f"  - !Component {{name: {level.name}, class: {kind}, attributes: {attributes}}}")
    nodes.append("  - !Component {name: mac, class: compute}")
    problem = (DATA / "parts" / "shape.yaml").read_text("utf-8").replace("shape_to_ignore: &gemm", "problem:")
    listed = ", ".join(f"{d}: {n}" for d, n in sizes.items())
    problem = problem.replace("{M: 1, N: 1, K: 1}", f"{{{listed}}}")
    texts = {"arch": "\n".join(nodes) + "\n", "problem": problem, "mapping": written(levels)}
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    paths = [str(folder / f"{name}.yaml") for name in texts]
    return import_timeloop(*paths, defines={"global_cycle_seconds": 1e-9}, name="product")


@given(levels=mappings())
@settings(max_examples=25)
def test_random_mappings_mean_what_timeloop_means(
    levels: list[Level], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("design")
    _, mapping, counts = planned(design(levels, folder), folder)
    for tensor in "AB":
        walked = fills(levels, tensor, USES[tensor])
        assert {s: (c.fills, c.tile) for (s, t), c in counts.items() if t == tensor} == walked
    assert mapping.einsums[0].lanes == math.prod(levels[2].factors.values())


# --- round trips -------------------------------------------------------------------------------------------


def machine_of(name: str = "flat-cloud") -> Any:
    return fm.load_arch(name)


def again(spec: Specification, folder: Path) -> ImportedDesign:
    """The design of the files that fusemap writes for Timeloop."""
    texts = timeloop_files(spec)
    names = [name for name in texts if name != "constraints.yaml"]
    for name in names:
        (folder / name).write_text(texts[name], "utf-8")
    paths = [str(folder / name) for name in names]
    return import_timeloop(*paths, defines={"global_cycle_seconds": 1e-9}, name="again")


def plain(levels: Any, rank: Mapping[str, str], tensors: frozenset[str]) -> list[tuple[str, Any, Any]]:
    """A nest without what says nothing: trivial loops, levels that only carry loops, what is one fanout to Timeloop."""
    found: list[tuple[str, Any, Any]] = []
    for level in levels:
        loops = tuple((rank.get(p.rank, p.rank), p.bound) for p in level.loops if p.bound > 1)
        if isinstance(level, Fanout):
            loops = tuple(sorted(loops))
            if found and found[-1][0] == "fanout":
                loops = tuple(sorted((*found.pop()[1], *loops)))
            found += [("fanout", loops, None)] if loops else []
            continue
        keep = tensors if level.keep is None else level.keep
        if not keep and found and found[-1][0] == "storage":
            found[-1] = ("storage", (*found[-1][1], *loops), found[-1][2])
        elif keep or loops:
            found.append(("storage", loops, keep))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_what_fusemap_exports_is_imported_again(seed: int, tmp_path: Path) -> None:
    machine = machine_of()
    space, nest = random_case(seed, machine)
    spec = specification(space, nest, machine)
    found = again(spec, tmp_path)
    problem, mapping, counts = planned(found, tmp_path)
    letters = {letter: rank for letter, rank, _ in spec.dimensions}
    sizes = {rank: extent for rank, extent in space.ranks}
    imported = {v: letters[d] for d, v in zip((d for d, _, _ in spec.dimensions), _variables(spec), strict=True)}
    assert {imported[r]: n for r, n in problem.spaces[0].ranks if imported[r] in sizes} == {
        rank: n for rank, n in sizes.items() if any(rank in o.ranks for o in space.operands)
    }
    names = dict(found.tensors)
    everything = frozenset(o.tensor for o in space.operands)
    ours = [(k, p, keep and frozenset(names[t] for t in keep)) for k, p, keep in plain(nest.levels, {}, everything)]
    assert ours == plain(mapping.einsums[0].levels, imported, frozenset(names.values()))
    before = [(c.operand.tensor, c.reads, c.fills, c.updates, c.instances, c.tile) for c in analyse(space, nest)]
    after = [(t, c.reads, c.fills, c.updates, c.instances, c.tile) for (_, t), c in counts.items()]
    assert sorted(before) == sorted(after)


def test_a_stride_is_exported_and_imported_again(tmp_path: Path) -> None:
    found = import_timeloop(TOP, defines=CONV, prices=PRICES, name="conv")
    problem, mapping, counts = planned(found, tmp_path)
    cascade, machine = parse(dict(found.files)["conv.cascade"]), parse_machine(found, tmp_path)
    space, nest = problem.spaces[0], mapping.einsums[0]
    positions = projections(cascade, space, dict(problem.sizes))
    assert positions == {"A": ((("c", 1),), (("r", 1), ("p", 2)))}
    second = again(specification(space, nest, machine, projections=positions), tmp_path)
    assert "A[c, r + p*X2]" in dict(second.files)["again.cascade"]
    _, _, twice = planned(second, tmp_path)
    assert [(c.reads, c.fills, c.tile) for c in twice.values()] == [(c.reads, c.fills, c.tile) for c in counts.values()]


@pytest.mark.parametrize("seed", [3])
def test_the_round_trip_notices_a_wrong_order_of_loops(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outermost_first(monkeypatch)
    with pytest.raises(AssertionError):
        test_what_fusemap_exports_is_imported_again(seed, tmp_path)


def _variables(spec: Specification) -> list[str]:
    from fusemap.validation.timeloop.reading.einsum import variables

    return list(variables([letter for letter, _, _ in spec.dimensions]).values())


def test_the_round_trip_keeps_what_the_machine_says(tmp_path: Path) -> None:
    machine = machine_of()
    space, nest = random_case(3, machine)
    spec = specification(space, nest, machine)
    found = again(spec, tmp_path)
    read = parse_machine(found, tmp_path)
    for node in spec.storages:
        name = dict(found.storages)[node.name]
        if name.endswith(".registers"):
            assert read.arrays[0].registers.depth_words == node.depth
            assert read.arrays[0].registers.component.energy("read").value == node.read_pj
            continue
        memory = read.memory(name)
        words = None if memory.capacity_bytes is None else memory.capacity_bytes // read.word_bytes
        assert words == (None if node.depth is None else node.depth * node.block_words)
        assert memory.words_per_access == node.block_words
        assert memory.component.energy("write").value == node.write_pj
        assert read.instances(memory) == node.instances
        if node.bandwidth is not None and not memory.per:
            assert memory.bandwidth_bytes_per_s == pytest.approx(node.bandwidth * read.word_bytes * 1e9)
    assert read.arrays[0].pes == math.prod(n.mesh_x * n.mesh_y for n in spec.nodes if isinstance(n, SpatialNode))


def parse_machine(found: ImportedDesign, folder: Path) -> Any:
    for name, text in found.files:
        (folder / name).write_text(text, "utf-8")
    return parse_arch(dict(found.files)[f"{found.name}-machine.yaml"], file=str(folder / f"{found.name}-machine.yaml"))


# --- the constructs of v4 files ----------------------------------------------------------------------------


def test_levels_capacities_and_fanouts(tmp_path: Path) -> None:
    found = import_timeloop(TOP, name="gemm")
    machine = parse_machine(found, tmp_path)
    assert [(m.name, m.capacity_bytes, m.words_per_access, m.per) for m in machine.memories] == [
        ("DRAM", None, 4, ()),
        ("glb", 512 * 4 * 2, 4, ()),
        ("b_spad", 8 * 2 * 2, 2, ("grid_x", "grid_y")),
        ("z_spad", 4 * 2, 1, ("grid_x", "grid_y")),
    ]
    assert [(d.name, d.extent) for d in machine.arrays[0].dims] == [("grid_x", 4), ("grid_y", 2)]
    assert (machine.clock_hz, machine.word_bytes) == (500_000_000, 2)
    assert dict(found.levels)["z_spad"] == "z_spad: 4 words, 8 of it"


def test_a_variable_of_the_template_is_defined(tmp_path: Path) -> None:
    found = import_timeloop(TOP, defines={"word_bits": 8}, name="gemm")
    assert parse_machine(found, tmp_path).word_bytes == 1
    absent = import_timeloop(TOP, defines={"mapping": "none.yaml"}, name="gemm")
    assert not absent.mapped and any(n.affects == "search" for n in absent.notes)


def test_a_storage_of_each_unit_alone_is_the_register_file(tmp_path: Path) -> None:
    levels = [
        Level(name=n, factors=dict.fromkeys(DIMS, 2), permutation=DIMS, keep=None if n == "pe" else frozenset("ABZ"))
        for n in ("dram", "glb", "pe", "regs")
    ]
    found = design(levels, tmp_path)
    assert dict(found.storages)["regs"] == "mac.registers"
    assert parse_machine(found, tmp_path).arrays[0].registers.depth_words == 1_000_000
    _, mapping, _ = planned(found, tmp_path)
    last = mapping.einsums[0].levels[-1]
    assert isinstance(last, Storage) and last.memory == "mac.registers"


OTHERS = {"b_spad": "[A, Z]", "z_spad": "[A, B]"}


def test_constraints_that_leave_nothing_open_are_a_mapping(tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "d")
    top = tmp_path / "d" / "top.yaml.jinja2"
    text = top.read_text("utf-8").replace("mapping: {{include", "extra_constraints: \n  targets: {{include")
    top.write_text(text, "utf-8")
    mapping = tmp_path / "d" / "mapping.yaml"
    entries = [f"- {{target: {name}, type: dataspace, bypass: {other}}}\n" for name, other in OTHERS.items()]
    mapping.write_text(mapping.read_text("utf-8") + "".join(entries), "utf-8")
    found = import_timeloop(str(top), name="gemm")
    assert found.mapped and any("leave nothing open" in n.text for n in found.notes)
    assert differences(planned(found, tmp_path)[2], stats_from_json(RECORDED["gemm"])) == {}
    mapping.write_text(mapping.read_text("utf-8").replace("N=3, permutation: KNM", "N=3"), "utf-8")
    assert not import_timeloop(str(top)).mapped  # the order of two loops is open


@pytest.mark.parametrize(
    ("coefficient", "declared"),
    [("stride, default: 1", "shape Stride = 2"), ("other, default: 3}\n    - {name: stride", "shape Stride = 2")],
)
def test_affine_indices(coefficient: str, declared: str, tmp_path: Path) -> None:
    text = (DATA / "parts" / "conv.yaml").read_text("utf-8").replace("stride, default: 1", coefficient)
    path = tmp_path / "conv.yaml"
    path.write_text(text, "utf-8")
    found = dict(import_timeloop(TOP, defines={**CONV, "problem": str(path)}, name="conv").files)["conv.cascade"]
    assert declared in found
    assert found.splitlines()[-1] == "Z[m, p] = A[c, r + p*Stride] * B[m, c, r]"


def test_imported_conv_computes_what_numpy_computes(tmp_path: Path) -> None:
    import numpy as np

    found = dict(import_timeloop(TOP, defines=CONV, name="conv").files)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 17)), rng.normal(size=(4, 4, 3))
    sizes = parse_workload(found["conv-workload.yaml"]).sizes
    result = fm.run(parse(found["conv.cascade"]), sizes, inputs={"A": a, "B": b})
    points = [(m, p) for m in range(4) for p in range(8)]
    expected = [sum(a[c, r + 2 * p] * b[m, c, r] for c in range(4) for r in range(3)) for m, p in points]
    assert np.allclose(result["Z"].ravel(), expected)


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_others_read(fusemap: Run, tmp_path: Path) -> None:
    out = tmp_path / "gemm"
    done = fusemap("import", "timeloop", TOP, "--ert", PRICES[0], "--art", PRICES[1], "--out", str(out), "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert document == fm.import_timeloop(TOP, prices=PRICES, name="gemm").to_json()
    assert {path.name for path in out.iterdir()} == set(document["files"])
    case = ["--arch", f"{out}/gemm-machine.yaml", "--workload", f"{out}/gemm-workload.yaml"]
    evaluated = fusemap(
        "evaluate", f"{out}/gemm.cascade", *case, "--dataflow", f"{out}/gemm-dataflow.yaml", "--json"
    ).json()
    assert evaluated["latency_s"] == pytest.approx(72 * 2e-9)


def test_the_summary_names_files_levels_notes_and_what_comes_next(fusemap: Run, tmp_path: Path) -> None:
    out = tmp_path / "gemm"
    done = fusemap("import", "timeloop", TOP, "--define", "mapping=none.yaml", "--out", str(out))
    assert done.code == 0, done.err
    assert f"next: fusemap map {out}/gemm.cascade" in done.out
    for words in (
        "limits of time that are left out:",
        "what only a search uses:",
        "b_spad: read_bandwidth is left out",
    ):
        assert words in done.out
    searched = fusemap(
        "map", f"{out}/gemm.cascade", "--arch", f"{out}/gemm-machine.yaml", "--workload", f"{out}/gemm-workload.yaml"
    )
    assert searched.code == 0, searched.err


def test_without_prices_only_energy_is_missing(fusemap: Run, tmp_path: Path) -> None:
    out = tmp_path / "gemm"
    assert fusemap("import", "timeloop", TOP, "--out", str(out)).code == 0
    case = [f"{out}/gemm.cascade", "--arch", f"{out}/gemm-machine.yaml", "--workload", f"{out}/gemm-workload.yaml"]
    case += ["--dataflow", f"{out}/gemm-dataflow.yaml"]
    refused = fusemap("evaluate", *case)
    assert refused.code == 2 and 'component "DRAM" has no energy for action "read"' in refused.err
    assert fusemap("evaluate", *case, "--no-energy").code == 0


def test_nothing_is_written_when_it_is_refused(fusemap: Run, tmp_path: Path) -> None:
    out = tmp_path / "gemm"
    done = fusemap("import", "timeloop", TOP, "--define", "problem=none.yaml", "--out", str(out))
    assert done.code == 2 and not out.exists()
    (tmp_path / "file").write_text("")
    assert "expected a folder" in fusemap("import", "timeloop", TOP, "--out", str(tmp_path / "file")).err
    assert "--define takes NAME=VALUE" in fusemap("import", "timeloop", TOP, "--define", "x", "--out", str(out)).err


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", 8), ("-3", -3), ("1e-9", 1e-9), ("0.5", 0.5), ("07", "07"), ("inf", "inf"), ("a=b", "a=b")],
)
def test_what_is_defined_is_a_number_where_it_is_written_as_one(text: str, value: object) -> None:
    found = _defined(f"name={text}")
    assert found == ("name", value) and type(found[1]) is type(value)


def test_a_folder_of_any_name(fusemap: Run, tmp_path: Path) -> None:
    done = fusemap("import", "timeloop", TOP, "--out", str(tmp_path / "2nd design"))
    assert done.code == 0, done.err
    *_, command = done.out.strip().splitlines()
    assert fusemap(*shlex.split(command.removeprefix("next: fusemap "))).code == 0


def test_the_pieces_of_a_directive_are_read_in_every_form() -> None:
    pattern = reading_directives._FACTOR
    texts = ["R3", "R=3", "R = 3", "P=7,7", "M<=8", "N>=2"]
    found = [pattern.match(text) for text in texts]
    assert [m and m.groups() for m in found] == [
        ("R", "", "3", None),
        ("R", "=", "3", None),
        ("R", "=", "3", None),
        ("P", "=", "7", "7"),
        ("M", "<=", "8", None),
        ("N", ">=", "2", None),
    ]
