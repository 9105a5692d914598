"""Public Timeloop designs, unmodified: what is imported, what is refused, and counts against their reference runs.

Needs a checkout of the designs, which FUSEMAP_TIMELOOP_EXAMPLES names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_timeloop_import import differences, planned
from timeloop_public import COMMIT, EXAMPLES, TUTORIAL, cases, outcome

import fusemap as fm
from fusemap.validation.timeloop.reading.imported import import_timeloop
from fusemap.validation.timeloop.stats import parse_stats

VARIABLE = "FUSEMAP_TIMELOOP_EXAMPLES"
RECORDED = json.loads((Path(__file__).parent / "data" / "timeloop_import" / "public_designs.json").read_text("utf-8"))
DENSE = ("eyeriss_like", "simba_like", "simple_output_stationary", "simple_weight_stationary")
CLUSTERS = {("PEWeightRegs", "Weights")}  # an access is charged once for a cluster of 64
PARTIAL_ROWS = {"PEWeightBuffer"}  # fills of 18 words take 3 rows of 8
# Exercise, mapping, folder of its reference run.
EXERCISES = (
    ("00-model-conv1d-1level", "conv1d-1level", "."),
    ("01-model-conv1d-2level", "conv1d-2level-ws", "ws"),
    ("01-model-conv1d-2level", "conv1d-2level-os", "os"),
    ("02-model-conv1d+oc-2level", "conv1d+oc-2level-os", "no-tiling"),
    ("02-model-conv1d+oc-2level", "conv1d+oc-2level-os-tiled", "tiling"),
    ("03-model-conv1d+oc-3level", "conv1d+oc-3level", "no-bypass"),
    ("03-model-conv1d+oc-3level", "conv1d+oc-3level-bypass", "bypass"),
)


@pytest.fixture
def root() -> Path:
    """The checkout."""
    given = os.environ.get(VARIABLE)
    if not given:
        pytest.skip(f"{VARIABLE} names no checkout of {RECORDED['source']}, commit {RECORDED['commit'][:7]}")
    return Path(given)


def test_the_table_is_of_the_commit_that_it_says() -> None:
    assert RECORDED["commit"] == COMMIT
    imported = [row for row in RECORDED["designs"] if "levels" in row["outcome"]]
    assert len(imported) >= 3
    assert all(row["outcome"]["refused"] for row in RECORDED["designs"] if "levels" not in row["outcome"])


def test_every_design_is_in_the_table(root: Path) -> None:
    listed = [{"files": row["files"], "defines": row["defines"]} for row in RECORDED["designs"]]
    assert cases(root) == listed


def test_public_designs_are_imported_or_refused_as_recorded(root: Path) -> None:
    for row in RECORDED["designs"]:
        assert outcome(row, root) == row["outcome"], row["files"]


@pytest.mark.parametrize("name", DENSE)
def test_counts_of_the_example_designs_are_those_of_their_reference_runs(name: str, root: Path, tmp_path: Path) -> None:
    prefix = root / EXAMPLES / name / "ref_outputs" / "default_problem" / "timeloop-mapper"
    files = [str(root / EXAMPLES / "top.yaml.jinja2"), f"{prefix}.map.yaml"]
    prices = [f"{prefix}.ERT.yaml", f"{prefix}.ART.yaml"]
    found = import_timeloop(*files, defines={"architecture": name}, prices=prices, name="design")
    stats = parse_stats(Path(f"{prefix}.stats.txt").read_text("utf-8"))
    _, mapping, counts = planned(found, tmp_path)
    off = differences(counts, stats)
    assert {space for _, space in off} == {"Inputs"}  # overlapping ones are an upper bound
    assert all(ours[2] >= theirs[2] for theirs, ours in off.values())
    assert mapping.einsums[0].temporal_steps == stats.cycles
    paths = {kind: str(tmp_path / f"design-{kind}.yaml") for kind in ("machine", "workload", "dataflow")}
    report = fm.evaluate(
        str(tmp_path / "design.cascade"), arch=paths["machine"], workload=paths["workload"], dataflow=paths["dataflow"]
    )
    ours, storages = report.energy_by("component", "tensor"), dict(found.storages)
    for level in stats.levels:
        for space, theirs in level.spaces:
            if (level.name, space) not in {*off, *CLUSTERS}:
                tolerance = 2e-4 if level.name in PARTIAL_ROWS else 1e-7  # they print two digits of a pJ
                assert ours[storages[level.name], space] == pytest.approx(theirs.energy_pj, rel=tolerance)
    assert ours["mac.mac", ""] == pytest.approx(stats.compute_energy_pj, rel=1e-7)


@pytest.mark.parametrize(("exercise", "mapping", "run"), EXERCISES)
def test_counts_of_the_exercises_are_those_of_their_reference_runs(
    exercise: str, mapping: str, run: str, root: Path, tmp_path: Path
) -> None:
    folder = root / TUTORIAL / "timeloop" / exercise
    paths = [*folder.glob("arch/*.yaml"), *folder.glob("prob/*.yaml"), folder / "map" / f"{mapping}.map.yaml"]
    found = import_timeloop(*map(str, paths), name="exercise")
    text = (folder / "ref-output" / run / "timeloop-model.stats.txt").read_text("utf-8")
    _, nest, counts = planned(found, tmp_path)
    assert {space for _, space in differences(counts, parse_stats(text))} <= {"Inputs"}
    assert nest.einsums[0].temporal_steps == parse_stats(text).cycles


def test_public_layer_shapes_are_imported(root: Path) -> None:
    shapes = sorted((root / "workspace/example_designs/layer_shapes").glob("*/*.yaml"))
    assert len(shapes) > 1000
    for shape in shapes[::60]:
        defines = {"architecture": "eyeriss_like", "problem": str(shape)}
        assert import_timeloop(str(root / EXAMPLES / "top.yaml.jinja2"), defines=defines).files
