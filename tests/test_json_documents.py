"""What a command prints with `--json`: the document of the Python result, also when the answer is no."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import click
import numpy as np
import pytest
from conftest import Outcome
from studies import bench, whole_taxonomy

import fusemap as fm
from fusemap.cli import main as shell
from fusemap.diagnostics import Violation, input_error

Run = Callable[..., Outcome]


class Result(Protocol):
    """What every function of the package returns."""

    def to_json(self) -> dict[str, object]: ...


T5 = ("--arch", "flat-cloud", "--workload", "T5@4K")
CASES: list[tuple[tuple[str, ...], Callable[[], Result]]] = [
    (("analyze", "attention-3pass"), lambda: fm.analyze("attention-3pass")),
    (
        ("analyze", "vmoba", "--tensor", "BK", "--rank", "M0", "--size", "M=64"),
        lambda: fm.analyze("vmoba", {"M": 64}, tensor="BK", rank="M0"),
    ),
    (
        ("analyze", "attention-1pass", "--workload", "BERT@4K", "--size", "M0=256"),
        lambda: fm.analyze("attention-1pass", {"M0": 256}, workload="BERT@4K"),
    ),
    (("derive", "softmax"), lambda: fm.derive("softmax")),
    (("derive", "cascade-1", "--rank", "K", "--safe"), lambda: fm.derive("cascade-1", "K", safe=True)),
    (("run", "attention-1pass"), lambda: fm.run("attention-1pass")),
    (
        ("run", "attention-3pass-causal", "--size", "M=8", "--size", "P=8", "--seed", "3"),
        lambda: fm.run("attention-3pass-causal", {"M": 8, "P": 8}, seed=3),
    ),
    (
        ("evaluate", "attention-3pass", *T5),
        lambda: fm.evaluate("attention-3pass", arch="flat-cloud", workload="T5@4K"),
    ),
    (
        ("evaluate", "attention-3pass", *T5, "--dataflow", "flat", "--accounting", "published", "--size", "B=1"),
        lambda: fm.evaluate(
            "attention-3pass",
            arch="flat-cloud",
            workload="T5@4K",
            dataflow="flat",
            accounting="published",
            sizes={"B": 1},
        ),
    ),
    (("explain", "attention-3pass", *T5), lambda: fm.explain("attention-3pass", arch="flat-cloud", workload="T5@4K")),
    (
        ("simulate", "attention-3pass", *T5),
        lambda: fm.simulate("attention-3pass", arch="flat-cloud", workload="T5@4K"),
    ),
    (("map", "attention-3pass", *T5), lambda: fm.map("attention-3pass", arch="flat-cloud", workload="T5@4K")),
    (
        ("map", "attention-3pass", *T5, "--dataflow", "flat", "--objective", "energy", "--size", "B=1"),
        lambda: fm.map(
            "attention-3pass",
            arch="flat-cloud",
            workload="T5@4K",
            dataflow="flat",
            objective="energy",
            sizes={"B": 1},
        ),
    ),
    (("reproduce", "fusemax"), lambda: fm.reproduce("fusemax", accounting="published")),
    (
        ("reproduce", "fusemax", "--accounting", "principled"),
        lambda: fm.reproduce("fusemax", accounting="principled"),
    ),
    (("audit", "fusemax"), lambda: fm.audit("fusemax")),
    (("taxonomy",), fm.taxonomy),
    (("workload", "show", "Mixtral-8x7B-decode@1K"), lambda: fm.model_table("Mixtral-8x7B-decode@1K")),
    (("export", "graph", "attention-1pass"), lambda: fm.graph("attention-1pass")),
]
WITHOUT_A_FUNCTION = {"list", "schema", "validate"}  # names and files' schemas, no results
OF_A_FILE = {"import", "pareto", "plot", "regress", "report", "sweep"}  # compared in their own tests
MEASURED: Mapping[str, tuple[str, ...]] = MappingProxyType({"run": ("seconds",), "map": ("seconds",)})


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command and the function use what was evaluated already."""
    rows = whole_taxonomy().rows
    for place in ("fusemap.studies.load_bench", "fusemap.cli.reproduce.load_bench", "fusemap.cli.audit.load_bench"):
        monkeypatch.setattr(place, lambda study: bench())
    monkeypatch.setattr("fusemap.validation.taxonomy_rows.rows_of", lambda entries: rows)


def plain(result: Result) -> Any:
    """The document as a reader of JSON gets it."""
    return json.loads(json.dumps(result.to_json(), allow_nan=False))


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize(("argv", "call"), CASES, ids=[" ".join(argv) for argv, _ in CASES])
def test_python_and_the_command_give_one_document(
    fusemap: Run, argv: tuple[str, ...], call: Callable[[], Result]
) -> None:
    outcome = fusemap(*argv, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    printed, returned = outcome.json(), plain(call())
    for key in MEASURED.get(argv[0], ()):
        assert printed.pop(key) > 0 and returned.pop(key) > 0
    assert returned == printed
    assert list(returned) == list(printed)
    assert printed["schema"] == f"fusemap/{argv[0]}/1"


def test_every_command_is_compared() -> None:
    assert {argv[0] for argv, _ in CASES} | WITHOUT_A_FUNCTION | OF_A_FILE == set(shell.COMMANDS)


def test_given_inputs_lead_to_one_document(fusemap: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((3, 4))
    np.savez(tmp_path / "in.npz", X=x)
    printed = fusemap("run", "softmax", "--input", str(tmp_path / "in.npz"), "--json").json()
    returned = plain(fm.run("softmax", inputs={"X": x.tolist()}))
    assert printed["sizes"] == {"N": 3, "K": 4} and printed["seed"] is None
    assert printed | {"seconds": 0} == returned | {"seconds": 0}


# --- a no is a document too -----------------------------------------------------------------------

REFUSED = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@4K", "--dataflow", "fusemax-binding")


@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_what_does_not_fit_is_a_document_and_a_message(fusemap: Run, command: str) -> None:
    asked = (command, *REFUSED, "--size", "M0=512")
    outcome = fusemap(*asked, "--json")
    assert outcome.code == 1
    document = outcome.json()
    assert list(document) == ["schema", "fits", "subject", "violations"]
    assert (document["schema"], document["fits"]) == (f"fusemap/{command}/1", False)
    lines = [f"  {Violation(**violation)}" for violation in document["violations"]]
    assert outcome.err.splitlines() == [f"does not fit: {document['subject']}", *lines]
    assert any("fanout over array_2d.rows" in violation["what"] for violation in document["violations"])
    without = fusemap(*asked)
    assert (without.code, without.out, without.err) == (1, "", outcome.err)


def test_wrong_input_prints_no_document(fusemap: Run) -> None:
    outcome = fusemap("evaluate", *REFUSED, "--size", "M0=0", "--json")
    assert (outcome.code, outcome.out) == (2, "")


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (fm.DoesNotFit("softmax", (Violation(what="buffer", need=2, limit=1, unit="B"),)), 1, True),
        (input_error("wrong"), 2, False),
        (ZeroDivisionError("a fault"), 70, False),
    ],
)
@pytest.mark.parametrize("json_asked", [True, False])
def test_any_command_that_is_refused_prints_one(
    fusemap: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, printed: bool, json_asked: bool
) -> None:
    @click.command("audit")
    @click.option("--json", "as_json", is_flag=True)
    def refused(as_json: bool) -> None:
        raise error

    monkeypatch.delenv("FUSEMAP_DEBUG", raising=False)
    monkeypatch.setattr("fusemap.cli.audit.command", refused)
    outcome = fusemap("audit", *(["--json"] if json_asked else []))
    assert outcome.code == code
    assert outcome.err
    if printed and json_asked:
        need = {"what": "buffer", "need": 2, "limit": 1, "unit": "B", "hint": ""}
        expected = {"schema": "fusemap/audit/1", "fits": False, "subject": "softmax", "violations": [need]}
        assert outcome.json() == expected
    else:
        assert outcome.out == ""
