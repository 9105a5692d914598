"""Without prices a machine still has latency, traffic and utilization; they are those of the priced report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

import fusemap as fm

CASES = [
    ("attention-1pass", "fusemax-cloud", "fusemax-binding"),
    ("attention-1pass", "fusemax-cloud", "fusemax-arch"),
    ("attention-1pass", "flat-cloud", "fusemax-cascade"),
    ("attention-3pass", "flat-cloud", "flat"),
    ("attention-3pass", "unfused-cloud", "unfused"),
    ("softmax", "flat-cloud", "search"),
]
SIZES = {"softmax": {"N": 96, "K": 4096}}


@pytest.mark.parametrize(("cascade", "arch", "dataflow"), CASES)
@pytest.mark.parametrize("accounting", ["principled", "published"])
def test_the_priced_report_says_the_same(cascade: str, arch: str, dataflow: str, accounting: str) -> None:
    asked = {"arch": arch, "workload": "BERT@4K", "accounting": accounting, "sizes": SIZES.get(cascade)}
    timing = fm.timing(cascade, **asked, dataflow=dataflow)
    report = fm.evaluate(cascade, **asked, dataflow=dataflow)
    assert (timing.latency_s, timing.traffic_bytes) == (report.latency_s, report.traffic_bytes)
    assert (timing.utilization, timing.bottleneck) == (report.utilization, report.bottleneck)
    assert timing.phases == report.phases


def test_a_machine_without_prices_is_timed_but_not_evaluated() -> None:
    edge = {"arch": "flat-edge", "workload": "BERT@4K", "dataflow": "flat"}
    assert fm.timing("attention-3pass", **edge).latency_s > 0
    with pytest.raises(fm.InputError, match=r"sram.*512 KiB"):
        fm.evaluate("attention-3pass", **edge)


def test_an_open_dataflow_is_chosen_by_time_alone() -> None:
    machine = fm.load_arch("fusemax-cloud")
    memories = tuple(
        dataclasses.replace(m, component=dataclasses.replace(m.component, energies=())) for m in machine.memories
    )
    unpriced = dataclasses.replace(machine, memories=memories)
    with pytest.raises(fm.InputError):
        fm.evaluate("attention-1pass", arch=unpriced, workload="BERT@4K")
    timing = fm.timing("attention-1pass", arch=unpriced, workload="BERT@4K")
    assert timing.dataflow == "fusemax-binding"
    assert timing.dataflow_choice == fm.evaluate("attention-1pass", arch=machine, workload="BERT@4K").dataflow_choice


def test_the_command_prints_the_same_document(fusemap: Callable[..., Outcome]) -> None:
    asked = ["attention-3pass", "--arch", "flat-edge", "--workload", "BERT@4K", "--dataflow", "flat", "--no-energy"]
    document = json.loads(fusemap("evaluate", *asked, "--json").out)
    assert document == json.loads(
        json.dumps(fm.timing("attention-3pass", arch="flat-edge", workload="BERT@4K", dataflow="flat").to_json())
    )
    assert (document["energy_pj"], document["area_um2"], document["rows"]) == (None, None, [])
    text = fusemap("evaluate", *asked).out
    assert "latency" in text
    assert "energy" not in text.replace("--no-energy", "")


def test_a_buffer_that_the_table_lacks_can_be_timed(tmp_path: Path, fusemap: Callable[..., Outcome]) -> None:
    machine = tmp_path / "machine.yaml"
    machine.write_text(
        "extends: fusemax-cloud\ndescription: a larger buffer\nsource: a test\n"
        "memories: {global_buffer: {capacity: 24 MiB}}\n"
    )
    asked = ["evaluate", "attention-1pass", "--arch", str(machine), "--workload", "XLM@1M"]
    refused = fusemap(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "--no-energy" in refused.err
    assert fusemap(*asked, "--no-energy").code == 0
