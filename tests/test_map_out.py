"""A found mapping as a dataflow file: read back it is the same mapping, and what is wrong in such a file is located."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
from dataflow_cases import MACHINES, OF_LAYERS, with_buffer

import fusemap as fm
from fusemap.archspec.types import Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.mappers.dataflow import load_dataflow, names
from fusemap.mappers.dataflow_text import dataflow_text
from fusemap.mappers.legality import violations
from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.room import group_words
from fusemap.sim.best import Best, find_best
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping
from fusemap.sim.fused import execute_mapping

TINY = {"B": 2, "H": 1, "E": 4, "F": 4, "M": 8, "P": 8}


def workload(**sizes: int) -> Workload:
    """A workload batched over B and H."""
    ranks = ", ".join(f"{rank}: {size}" for rank, size in sizes.items())
    return parse_workload(f"source: a test\nranks: {{{ranks}}}\nbatch: [B, H]\n", file="tiny.yaml")


def workload_at(at: str) -> Workload:
    return workload(**TINY) if at == "tiny" else fm.load_workload(at)


@cache
def found(cascade: str, arch: str, at: str, objective: Objective = "latency", space: Mapspace = EVERYTHING) -> Best:
    return find_best(fm.load_cascade(cascade), fm.load_arch(arch), workload_at(at), objective=objective, space=space)


def written(best: Best) -> str:
    tiles = dict(best.best.sizes)
    return dataflow_text(
        best.best.problem, best.best.mapping, tiles=tiles, description="found: here", source='a "test"'
    )


AGAIN = Mapspace(hold=False, spill=False)  # what is needed in several passes has to be computed again
CASES: list[tuple[str, str, str, Objective, Mapspace]] = [
    ("attention-3pass", "flat-cloud", "BERT@1K", "latency", EVERYTHING),
    ("attention-3pass", "flat-edge", "tiny", "latency", AGAIN),
    ("attention-3pass", "flat-cloud", "BERT@1K", "energy", Mapspace(fuse=False)),
    ("attention-1pass", "fusemax-cloud", "BERT@1K", "latency", EVERYTHING),
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("cascade", "arch", "at", "objective", "space"), CASES)
def test_read_back_it_is_the_same_mapping(
    cascade: str, arch: str, at: str, objective: Objective, space: Mapspace, tmp_path: Path
) -> None:
    best = found(cascade, arch, at, objective, space)
    path = tmp_path / "best.yaml"
    path.write_text(written(best), encoding="utf-8")
    machine, dataflow = fm.load_arch(arch), load_dataflow(str(path))
    problem, mapping = plan(fm.load_cascade(cascade), machine, workload_at(at), dataflow)
    assert {s.name: s for s in problem.spaces} == {s.name: s for s in best.best.problem.spaces}
    assert {n.einsum: n for n in mapping.einsums} == {n.einsum: n for n in best.best.mapping.einsums}
    assert mapping.binding == best.best.mapping.binding
    assert mapping.fusion == best.best.mapping.fusion
    timing = time_mapping(problem, mapping, machine)
    assert math.isclose(timing.latency_s, best.best.report.latency_s, rel_tol=1e-9)
    assert math.isclose(timing.traffic_bytes, best.best.report.traffic_bytes, rel_tol=1e-9)
    assert (best.best.energy_pj is None) == (arch == "flat-edge")  # no price is known for its buffer
    if best.best.energy_pj is not None:
        energy = evaluate_mapping(problem, mapping, machine).energy_pj
        assert math.isclose(energy, best.best.energy_pj, rel_tol=1e-9)


def test_cases_have_copies_and_several_phases() -> None:
    texts = [written(found(*case)) for case in CASES]
    assert any("copy_of" in text for text in texts)
    assert any(text.count("- phase") > 1 for text in texts)


@pytest.mark.parametrize("space", [EVERYTHING, AGAIN], ids=["everything", "again"])
def test_what_is_read_back_is_executed_word_by_word(space: Mapspace, tmp_path: Path) -> None:
    of, cascade, machine = workload(**TINY), fm.load_cascade("attention-3pass"), fm.load_arch("flat-edge")
    path = tmp_path / "best.yaml"
    path.write_text(written(found("attention-3pass", "flat-edge", "tiny", space=space)), encoding="utf-8")
    problem, mapping = plan(cascade, machine, of, load_dataflow(str(path)))
    done = execute_mapping(cascade, problem, mapping, machine)
    assert [str(fault) for fault in done.faults] == []
    moved = sum(n for counts in (done.dram_reads, done.dram_writes) for own in counts.values() for n in own.values())
    assert moved * machine.word_bytes == time_mapping(problem, mapping, machine).traffic_bytes


@pytest.mark.parametrize("name", sorted({*names()} - OF_LAYERS - {"search"}))  # a search is for no cascade by name
def test_a_built_in_dataflow_is_written_too(name: str, tmp_path: Path) -> None:
    dataflow = load_dataflow(name)
    cascade = fm.load_cascade(dataflow.model.cascades[0])
    machine, of = fm.load_arch(MACHINES[name]), fm.load_workload("BERT@1K")
    problem, mapping = plan(cascade, machine, of, dataflow)
    shapes = {str(f) for shape in cascade.shapes for f in shape.factors}
    tiles = {n: size for n, size in problem.sizes if n in shapes and n not in of.sizes}
    in_place = dataflow.model.in_place
    text = dataflow_text(problem, mapping, tiles=tiles, description=name, source="built in", in_place=in_place)
    path = tmp_path / "again.yaml"
    path.write_text(text, encoding="utf-8")
    again, same = plan(cascade, machine, of, load_dataflow(str(path)))
    assert same.binding == mapping.binding
    one, two = (time_mapping(p, m, machine) for p, m in ((problem, mapping), (again, same)))
    assert math.isclose(one.latency_s, two.latency_s, rel_tol=1e-9)
    assert math.isclose(one.traffic_bytes, two.traffic_bytes, rel_tol=1e-9)


# --- faults of such a file ------------------------------------------------------------------------

EDITS = [
    ("copy_of: QK", "copy_of: QX", 'no Einsum to copy "QX"'),
    ("copy_of: QK", "copy_of: QK@1", 'no Einsum to copy "QK@1"'),
    ("QK@1: {nest: QK@1, copy_of: QK}", "GX: {nest: QK@1, copy_of: QK}", 'no entry copies an Einsum as "QK@1"'),
    ("reads: {QK: QK@1}", "reads: {GM: QK@1}", "QK@1 is a copy of QK, not of GM"),
    ("A: {nest: A}", "A: {nest: A, reads: {QK: QK@1}}", "Einsum A does not read QK"),
    ("SD: {nest: SD}", "SD: {nest: SD, keep: {global_buffer: [SD]}}", "is said here and in the entry"),
    ("spatial: lanes, ", "spatial: lanes, keep: [SN], ", "only a memory keeps tensors"),
    ("keep: [K, Q, QK]", "keep: [K, V, QK]", 'no Einsum of this nest touches "V"'),
    ("{memory: global_buffer, keep: []}", "{memory: global_buffer}", "global_buffer is out of order"),
    ("{einsums: [QK, GM]}", "{einsums: [QK]}", 'Einsum GM of phase "QK, GM'),
    ("{einsums: [QK, GM]}", "{einsums: [QK, GM, GX]}", "runs no Einsum GX"),
    ("{einsums: [QK, GM]}", "{einsums: [QK, GM, SN]}", "Einsum SN is in two groups"),
    ("held: [", "held: [GN, ", 'no Einsum of the phase touches "GN"'),
    ("held: [", "twice: [V]\n    held: [", 'no Einsum of the phase touches "V"'),
    ("  - loops: [b: 2]", "  - loops: [e: 2, b: 2]", "not every Einsum of the phase has a rank e"),
    ("  - loops: [b: 2]", "  - loops: [b: 1]", "the nest of QK has the loops (b: 2) where its phase shares (b: 1)"),
    ("  - loops: [b: 2]", "  - loops: [b: 0.5]", "loop bound 0.5 of b is 0.5"),
    ("fusion:", "fusion:\n  - {groups: [{einsums: [QK]}]}", "fusion has 3 entries for 2 phases"),
]


def again() -> str:
    return written(found("attention-3pass", "flat-edge", "tiny", "latency", AGAIN))


def refused(text: str, tmp_path: Path) -> str:
    """What is said of a file that has a fault; all of it has a place in the file."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(fm.InputError) as caught:
        fm.timing("attention-3pass", arch="flat-edge", workload=workload(**TINY), dataflow=path)
    assert all(d.span is not None and d.span.file == str(path) for d in caught.value.diagnostics)
    return str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), EDITS, ids=[new for _, new, _ in EDITS])
def test_a_fault_is_located(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in again()
    assert message in refused(again().replace(old, new, 1), tmp_path)


def test_a_barrier_is_not_passed(tmp_path: Path) -> None:
    """One loop over keys around all passes would read the maximum before all keys were seen."""
    text = again().replace("{memory: global_buffer, loops: [m: 2], keep", "{memory: global_buffer, keep")
    text = text.replace("{memory: global_buffer, keep: []}", "{memory: global_buffer, loops: [m: 2], keep: []}")
    first, last = text.index("    groups:"), text.index("    held:")
    text = text[:first] + "    groups: [{loops: [m: 2], einsums: [QK, GM, QK@1, SN, SD]}]\n" + text[last:]
    said = refused(text, tmp_path)
    assert "SN reads GM, which is complete only after the loop over m" in said
    assert "SN reads QK" not in said and "SD reads SN" not in said


def test_room_is_asked_for_group_by_group(tmp_path: Path) -> None:
    """A buffer of as many words as the largest group needs is enough, and one word less is not."""
    path = tmp_path / "best.yaml"
    path.write_text(again(), encoding="utf-8")
    cascade, machine, of = fm.load_cascade("attention-3pass"), fm.load_arch("flat-edge"), workload(**TINY)
    problem, mapping = plan(cascade, machine, of, load_dataflow(str(path)))
    fusions = mapping.fusion
    need = max(sum(group.values()) for f in fusions for group in group_words(problem, mapping, f, "global_buffer"))
    assert need < sum(sum(g.values()) for f in fusions for g in group_words(problem, mapping, f, "global_buffer"))
    enough, little = (with_buffer(machine, int(words) * machine.word_bytes) for words in (need, need - 1))
    assert violations(problem, mapping, enough) == ()
    assert [v.need for v in violations(problem, mapping, little)] == [need * machine.word_bytes]
