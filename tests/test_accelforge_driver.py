"""What runs in the other interpreter, with a package in place of AccelForge that knows the answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fusemap.validation.accelforge.peer import Job, run_peer

FAKE = """
class Row(dict):
    pass


class Frame:
    def __init__(self, row):
        self.columns, self.iloc = list(row), [row]

    def __len__(self):
        return 1


class Node:
    def __init__(self, text, nodes=None):
        self.text = text
        if nodes is not None:
            self.nodes = nodes

    def __str__(self):
        return self.text


class Found:
    def __init__(self, row):
        self.data, self.total_mappings, self.valid_mappings = Frame(row), 6, 4
        self.flattened_arches = self.evaluated_specs = {}


ANSWER = {
    "Total<SEP>latency": 3.0,
    "Total<SEP>energy": 2.0,
    "Total<SEP>mapping": lambda _for_model: Node("m", [Node("outer reuses A"), Node("outer reserved for A")]),
    "Z<SEP>action<SEP>outer<SEP>A<SEP>read": 5,
    "Z<SEP>latency<SEP>outer": 1.5,
    "Z<SEP>usage<SEP>memory<SEP>outer<SEP>A": 0.5,
    "reservation<SEP>outer<SEP>0<SEP>right": 0.5,
    "Z<SEP>energy<SEP>outer<SEP>A<SEP>read": 9,
}


class Settings:
    pass


class Spec:
    @classmethod
    def from_yaml(cls, *files):
        made = cls()
        made.files = {name: open(name).read() for name in files}
        made.model, made.mapper, made.workload = Settings(), Settings(), Settings()
        made.workload.einsums = []
        return made

    def calculate_component_costs(self):
        if "broken" in self.files["arch.yaml"]:
            raise ValueError("broken arch")
        return self

    def evaluate_mapping(self):
        print("noise on standard output")
        return Found(ANSWER)
"""
MODULES = {
    "__init__": FAKE,
    "frontend/mapper/metrics": (
        "class Metrics:\n    LATENCY = 1\n    @staticmethod\n    def all_metrics():\n        return 3\n"
    ),
    "mapper/FFM/main": (
        "from accelforge import ANSWER, Found\n"
        "def map_workload_to_arch(spec, print_progress, eval_in_detail):\n"
        "    assert spec.mapper.metrics == 1 and spec.mapper.max_fused_loops == 2 and not eval_in_detail\n"
        "    return Found(ANSWER)\n"
    ),
    "model/main": (
        "from accelforge import ANSWER, Found\n"
        "def evaluate_mapping(spec, flattened_arches, evaluated_specs):\n"
        "    return Found({key: value for key, value in ANSWER.items() if 'mapping' not in key})\n"
    ),
    "util/parallel": "def set_n_parallel_jobs(n):\n    assert n == 1\n",
}


def test_the_driver_asks_a_package_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        file = tmp_path / "accelforge" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in ("accelforge", "hwcomponents"):
        (tmp_path / f"{name}-9.9.dist-info").mkdir()
        (tmp_path / f"{name}-9.9.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jobs = [
        Job(name="given", arch="a", workload="w", mapping="m"),
        Job(name="searched", arch="a", workload="w", search="LATENCY", mapper={"max_fused_loops": 2}),
        Job(name="loaded", arch="a", workload="w"),
        Job(name="wrong", arch="broken", workload="w"),
    ]
    peer = run_peer(sys.executable, jobs)
    assert peer.name == "AccelForge 9.9"
    given, searched = peer.jobs["given"], peer.jobs["searched"]
    assert given["actions"] == [["Z", "outer", "A", "read", 5.0]] and given["latencies"] == [["Z", "outer", 1.5]]
    assert (given["latency_s"], given["energy_j"], given["usage"]) == (3.0, 2.0, [["Z", "outer", "A", 0.5]])
    assert searched["tree"] == ["node", "  outer reuses A"] and searched["mappings"] == 6.0
    assert peer.jobs["loaded"]["einsums"] == []
    assert peer.jobs["wrong"]["error"] == "ValueError: broken arch"
