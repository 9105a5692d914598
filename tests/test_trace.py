"""Every number of a report has a source: without its entry in the component table the evaluation fails and names it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import yaml

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.evaluate import evaluate
from fusemap.sim.report import Report

TABLE = yaml.safe_load((resources.files("fusemap.archspec") / "components" / "45nm.yaml").read_text(encoding="utf-8"))
CONFIGURATIONS = {
    "fusemax-cloud": ("attention-1pass", "fusemax-binding"),
    "flat-cloud": ("attention-3pass", "flat"),
    "unfused-cloud": ("attention-3pass", "unfused"),
}
# Where an action is not called like its component: what a report's row calls the component.
USED_AS = {"register_file": "registers", "hbm2": "dram", "sram": "global_buffer"}


def entries() -> Iterator[tuple[str, ...]]:
    """The path of every energy in the table."""
    for name, component in TABLE["components"].items():
        for action in component.get("energy", {}):
            yield ("components", name, "energy", action)
        for size, macro in component.get("sizes", {}).items():
            for action in macro.get("energy", {}):
                yield ("components", name, "sizes", size, "energy", action)


def without(path: tuple[str, ...]) -> object:
    table = copy.deepcopy(TABLE)
    holder = table
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]
    if not holder:
        outer = table
        for part in path[:-2]:
            outer = outer[part]
        del outer[path[-2]]
    return table


def report(directory: Path, arch: str, table: object) -> Report:
    (directory / "cut.yaml").write_text(yaml.safe_dump(table))
    (directory / "machine.yaml").write_text(f"extends: {arch}\ntable: cut.yaml\n")
    cascade, dataflow = CONFIGURATIONS[arch]
    machine = load_arch(directory / "machine.yaml")
    return evaluate(load(cascade), machine, load_workload("BERT@1K"), load_dataflow(dataflow))


def uses(whole: Report, arch: str, path: tuple[str, ...]) -> bool:
    """Whether the report has a row of this component (of this size) and action."""
    name, action = path[1], path[-1]
    if "sizes" in path and not path[3].startswith("16" if arch == "fusemax-cloud" else "32"):
        return False
    called = USED_AS.get(name)
    if called is None:
        return any(r.component.endswith(f".{name}") for r in whole.rows)
    return any(called in r.component and r.action == action for r in whole.rows)


@pytest.mark.parametrize("path", list(entries()), ids=lambda p: "-".join(p[1:]))
def test_a_missing_energy_is_named_never_replaced(path: tuple[str, ...], tmp_path: Path) -> None:
    needed = 0
    for arch in CONFIGURATIONS:
        whole = report(tmp_path, arch, TABLE)
        if not uses(whole, arch, path):
            continue
        needed += 1
        with pytest.raises(InputError) as error:
            report(tmp_path, arch, without(path))
        assert f'"{path[1]}"' in str(error.value)
        assert f'"{path[-1]}"' in str(error.value)
        assert "cut.yaml" in str(error.value)
    assert needed, "an energy that no configuration uses"


@pytest.mark.parametrize("arch", CONFIGURATIONS)
def test_every_row_is_count_times_unit_energy_with_a_source(arch: str, tmp_path: Path) -> None:
    whole = report(tmp_path, arch, TABLE)
    assert whole.energy_pj == sum(row.count * row.unit_energy_pj for row in whole.rows)
    for row in whole.rows:
        assert row.count > 0
        assert row.unit_energy_pj > 0
        assert "10.5281/zenodo.13377042" in row.source


@pytest.mark.parametrize("path", list(entries()), ids=lambda p: "-".join(p[1:]))
def test_doubling_an_energy_moves_the_total_by_its_rows(path: tuple[str, ...], tmp_path: Path) -> None:
    table = copy.deepcopy(TABLE)
    holder = table
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = f"2 * ({holder[path[-1]].removesuffix(' pJ')}) pJ"
    moved = 0
    for arch in CONFIGURATIONS:
        before, after = report(tmp_path, arch, TABLE), report(tmp_path, arch, table)
        changed = [(a, b) for a, b in zip(before.rows, after.rows, strict=True) if a.energy_pj != b.energy_pj]
        assert bool(changed) == uses(before, arch, path)
        moved += len(changed)
        assert after.energy_pj - before.energy_pj == pytest.approx(sum(a.energy_pj for a, _ in changed), rel=1e-9)
        assert after.latency_s == before.latency_s
    assert moved
