"""A dataflow that asks a machine for a capacity or bandwidth that it does not give is told why it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from fusemap.archspec import absent_names, environment, load_arch, names

BETWEEN = "extends: fusemax-cloud\nmemories: {global_buffer: null}\n"
UNBOUNDED = "extends: between.yaml\nsource: s\nmemories: {global_buffer: {component: hbm2, width: 64 bit}}\n"


@pytest.mark.parametrize("name", names("arch"))
def test_every_name_of_a_memory_has_a_value_or_a_reason(name: str) -> None:
    machine = load_arch(name)
    given, absent = set(environment(machine)), set(absent_names(machine))
    assert not given & absent
    wanted = {f"{m.name}.{n}" for m in machine.memories for n in ("capacity_bytes", "bandwidth_bytes_per_s")}
    assert wanted <= given | absent and absent <= wanted


def test_a_memory_without_capacity_is_named(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "between.yaml").write_text(BETWEEN)
    (tmp_path / "mine.yaml").write_text(UNBOUNDED)
    arguments = ["attention-3pass", "--arch", str(tmp_path / "mine.yaml"), "--workload", "BERT@1K"]
    outcome = fusemap("evaluate", *arguments, "--dataflow", "flat")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert lines[0] == 'flat.yaml:11:19: error: unknown name "global_buffer.capacity_bytes"'
    assert lines[-1] == "  global_buffer of machine mine has no capacity: it is unbounded"


def test_a_memory_without_bandwidth_is_named(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    dataflow = tmp_path / "flow.yaml"
    dataflow.write_text("extends: flat\ntiles:\n  ML: global_buffer.bandwidth_bytes_per_s\n")
    arguments = ["attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K", "--dataflow", str(dataflow)]
    outcome = fusemap("evaluate", *arguments)
    assert outcome.code == 2, outcome
    lines = outcome.err.splitlines()
    assert lines[0] == f'{dataflow}:3:7: error: unknown name "global_buffer.bandwidth_bytes_per_s"'
    assert lines[-1] == "  global_buffer of machine flat-cloud has no bandwidth: it is no limit"
