"""The Python face: lazy, typed, names or objects alike, the same numbers as the command."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import bench

import fusemap as fm
from fusemap.einsum_cascade.types import TensorName
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.report import Report


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


def test_a_report_says_why_its_dataflow_was_chosen() -> None:
    chosen = fm.evaluate("attention-3pass", arch="flat-cloud", workload="T5@4K")
    asked = fm.evaluate("attention-3pass", arch="flat-cloud", workload="T5@4K", dataflow=chosen.dataflow)
    assert (chosen.dataflow, chosen.dataflow_choice, asked.dataflow_choice) == ("flat", "faster than unfused", "")


def test_run_executes_on_arrays() -> None:
    x = np.random.default_rng(0).standard_normal((3, 8))
    result = fm.run("softmax", {"N": 3, "K": 8}, {"X": x})
    assert isinstance(result, fm.Execution)
    np.testing.assert_allclose(result["Y"], np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))


def test_a_run_is_a_mapping_of_its_outputs() -> None:
    result = fm.run("attention-1pass", {"M": 8, "M0": 4})
    assert (list(result), len(result), "AV" in result, "Q" in result) == (["AV"], 1, True, False)
    assert dict(result)["AV"].shape == (16, 16)
    with pytest.raises(KeyError, match="Q"):
        result["Q"]
    assert result.tensors[TensorName("Q")].values.shape == (16, 16)
    assert (result.sizes["M1"], result.chosen) == (2, ("E", "P", "F"))
    assert repr(result) == "<Execution of attention-1pass with M=8, M1=2, M0=4, E=16, P=16, F=16: AV>"


def test_an_output_with_absent_elements_is_masked(tmp_path: Path) -> None:
    path = tmp_path / "tail.cascade"
    path.write_text("input A[k]\nY[k] = A[k] for k > 0\n")
    assert fm.run(path, inputs={"A": [1.0, 2.0]})["Y"].tolist() == [None, 2.0]


def test_a_run_takes_the_options_of_the_interpreter() -> None:
    assert fm.run("softmax", dtype=np.float32)["Y"].dtype == np.float32
    assert (fm.run("softmax", seed=1)["Y"] != fm.run("softmax", seed=2)["Y"]).any()


@pytest.mark.parametrize("given", [[[1.0], [1.0, 2.0]], [["a"]], [1.0], 1.0], ids=str)
def test_an_input_that_does_not_fit_is_an_input_error(given: Any) -> None:
    with pytest.raises(fm.InputError, match="input X"):
        fm.run("softmax", {"N": 2}, {"X": given})


def test_results_of_a_study_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusemap.studies.load_bench", lambda study: bench())
    reproduced = fm.reproduce("fusemax", accounting="principled")
    assert isinstance(reproduced, fm.Reproduction)
    audited = fm.audit("fusemax")
    assert isinstance(audited, fm.Audit)
    assert [c.computed for c in audited.principled] == [r.claim.computed for r in reproduced.claims]


def test_an_unknown_study_or_accounting_is_an_input_error() -> None:
    with pytest.raises(fm.InputError, match="fusemax"):
        fm.audit("fusemx")
    with pytest.raises(fm.InputError, match="did you mean principled"):
        fm.reproduce("fusemax", accounting="principle")


def test_lists_are_the_registries() -> None:
    assert "attention-1pass" in fm.list_cascades()
    assert "fusemax-cloud" in fm.list_archs()
    assert "BERT" in fm.list_workloads()
    assert "fusemax-binding" in fm.list_dataflows()
