"""The Python face: lazy, typed, names or objects alike, the same numbers as the command."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome

import fusemap as fm
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.report import Report

Run = Callable[..., Outcome]


def test_import_loads_nothing_heavy() -> None:
    script = "import fusemap, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "fusemap" in loaded
    assert not {"numpy", "sympy", "pydantic", "yaml", "matplotlib", "click"} & set(loaded)


@pytest.mark.parametrize("name", fm.__all__)
def test_everything_that_is_offered_is_there(name: str) -> None:
    assert getattr(fm, name) is not None
    assert name in dir(fm)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evalute"):
        importlib.import_module("fusemap").__getattr__("evalute")


def test_names_and_objects_give_the_same_report() -> None:
    named = fm.evaluate(
        "attention-1pass",
        arch="fusemax-cloud",
        workload="BERT@4K",
        dataflow="fusemax-binding",
        accounting="principled",
    )
    loaded = fm.evaluate(
        fm.load_cascade("attention-1pass"),
        arch=fm.load_arch("fusemax-cloud"),
        workload=fm.load_workload("BERT@4K"),
        dataflow=fm.load_dataflow("fusemax-binding"),
        accounting=PRINCIPLED,
    )
    assert isinstance(named, Report)
    assert named == loaded


@pytest.mark.parametrize("accounting", ["principled", "published"])
def test_evaluate_is_the_document_of_the_command(fusemap: Run, accounting: str) -> None:
    arguments = ("attention-3pass", "--arch", "flat-cloud", "--workload", "T5@4K", "--accounting", accounting)
    document = fusemap("evaluate", *arguments, "--json").json()
    report = fm.evaluate("attention-3pass", arch="flat-cloud", workload="T5@4K", accounting=accounting)
    del document["dataflow_choice"]
    assert json.loads(json.dumps(report.to_json())) == document


def test_explain_is_the_document_of_the_command(fusemap: Run) -> None:
    arguments = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "T5@4K")
    document = fusemap("explain", *arguments, "traffic", "--json").json()
    explanation = fm.explain("attention-1pass", arch="fusemax-cloud", workload="T5@4K").to_json()
    assert explanation["schema"] == "fusemap/explain/1"
    metrics = json.loads(json.dumps(explanation["metrics"]))
    assert list(metrics) == ["latency", "energy", "traffic", "area", "utilization"]
    assert metrics["traffic"] == document["metrics"]["traffic"]


def test_slips_can_be_switched_off() -> None:
    case = {"arch": "fusemax-cloud", "workload": "BERT@256K", "dataflow": "fusemax-binding"}
    published = fm.evaluate("attention-1pass", accounting="published", **case)
    corrected = fm.evaluate("attention-1pass", accounting="published", without=["one-register-file"], **case)
    assert published.energy_pj < corrected.energy_pj


def test_paths_are_accepted(tmp_path: Path) -> None:
    cascade = tmp_path / "mine.cascade"
    cascade.write_text(fm.load_cascade("attention-3pass").text)
    arch = tmp_path / "mine.yaml"
    arch.write_text("extends: flat-cloud\n")
    dataflow = tmp_path / "plan.yaml"
    dataflow.write_text("extends: flat\n")
    report = fm.evaluate(cascade, arch=arch, workload="T5@1K", dataflow=dataflow)
    builtin = fm.evaluate("attention-3pass", arch="flat-cloud", workload="T5@1K", dataflow="flat")
    assert (report.dataflow, report.arch) == ("plan", "mine")
    assert report.latency_s == builtin.latency_s


def test_sizes_reach_the_evaluation() -> None:
    report = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@4K", sizes={"B": 1, "P1": 2})
    assert dict(report.tiles)["P1"] == 2
    assert report.workload == "BERT@4K with B=1"


def test_errors_are_those_of_the_package() -> None:
    with pytest.raises(fm.InputError, match="did you mean attention-1pass"):
        fm.evaluate("attention-1pas", arch="fusemax-cloud", workload="BERT@4K")
    with pytest.raises(fm.DoesNotFit, match=r"fanout over array_2d\.rows"):
        fm.evaluate(
            "attention-1pass",
            arch="fusemax-cloud",
            workload="BERT@4K",
            dataflow="fusemax-binding",
            sizes={"M0": 512},
        )


def test_run_executes_on_arrays() -> None:
    x = np.random.default_rng(0).standard_normal((3, 8))
    y = fm.run("softmax", {"N": 3, "K": 8}, {"X": x})["Y"]
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(y, expected)


def test_lists_are_the_registries() -> None:
    assert "attention-1pass" in fm.list_cascades()
    assert "fusemax-cloud" in fm.list_archs()
    assert "BERT" in fm.list_workloads()
    assert "fusemax-binding" in fm.list_dataflows()
