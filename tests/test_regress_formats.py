"""The formats of `fusemap regress check`, each read by something that is not what wrote it.

JUnit: the rules of Jenkins' XSD (junit-10), as assertions. SARIF: what the 2.1.0 schema requires.
GitHub: the runner's own way of reading a workflow command. Markdown: tables with as many cells as headers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from conftest import Outcome
from regress_cases import CASES, chip, workshop

from fusemap.cli.regress_formats import ENDINGS, FORMATS, github, junit, markdown, sarif
from fusemap.cli.regress_words import DETAILED, text
from fusemap.validation.regress import Regression, regress
from fusemap.validation.regress_compare import CaseResult

Command = Callable[..., Outcome]
NAME = 'a | b, <c> & "d": 100 %\nand é\x00 \ud800'
FILE = 'a b/c,d:e "f" <g> 100%20 é|.yaml'


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Regression:
    """A case that moved, one that is equal, one that is new, one that is missing."""
    steady = "  steady: {cascade: attention-1pass, arch: fusemax-cloud, dataflow: fusemax-binding, workload: T5@1K}\n"
    monkeypatch.chdir(workshop(tmp_path, CASES + steady))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (tmp_path / "chip.yaml").write_text(chip(price=300))
    (tmp_path / "base.yaml").write_text((tmp_path / "base.yaml").read_text().replace("[1K, 4K]", "[4K, 16K]"))
    found = regress("base.yaml")
    assert [case.status for case in found.cases] == ["moved", "new", "equal", "missing"]
    return found


def named(found: Regression, name: str) -> Regression:
    """The same with a case of another name, and a file called so too."""
    cases = [CaseResult(name=name, status="moved", file=FILE, line=3, column=7, reason=f"{name}: why")]
    return Regression(
        baseline=name, cases=(*cases, *found.cases), version="1", now="2", reason="", inputs=(f"arch {name}",)
    )


# --- JUnit ----------------------------------------------------------------------------------------------


def junit_faults(document: str) -> list[str]:
    """What a reader of JUnit reports would not take: elements, required attributes, types and sums."""
    faults = []
    root = ElementTree.fromstring(document.encode())
    required = {"testsuite": {"name", "tests"}, "testcase": {"name", "classname"}, "failure": set()}
    allowed = {
        "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
        "testsuite": {"name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname"},
        "testcase": {"name", "assertions", "time", "classname", "status"},
        "failure": {"type", "message"},
    }
    children = {"testsuites": {"testsuite"}, "testsuite": {"testcase"}, "testcase": {"failure"}, "failure": set()}
    if root.tag != "testsuites":
        faults.append(f"the root is {root.tag}")
    for element in root.iter():
        faults += [f"{element.tag} has {key}" for key in set(element.attrib) - allowed.get(element.tag, set())]
        faults += [f"{element.tag} lacks {key}" for key in required.get(element.tag, set()) - set(element.attrib)]
        faults += [f"{c.tag} in {element.tag}" for c in element if c.tag not in children.get(element.tag, set())]
        for key in {"tests", "failures", "errors", "skipped"} & set(element.attrib):
            faults += [f"{key} is no number"] if not re.fullmatch(r"\d+", element.attrib[key]) else []
    for suite in (root, *root.iter("testsuite")):
        counted = {"tests": len(list(suite.iter("testcase"))), "failures": len(list(suite.iter("failure")))}
        faults += [f"{key} is not {n}" for key, n in counted.items() if suite.attrib.get(key) != str(n)]
    return faults


def test_junit(moved: Regression) -> None:
    document = junit(moved)
    assert junit_faults(document) == []
    cases = {case.attrib["name"]: case for case in ElementTree.fromstring(document).iter("testcase")}
    assert list(cases) == [case.name for case in moved.cases]
    assert {name: [f.attrib["type"] for f in case] for name, case in cases.items()} == {
        "chip BERT@4K": ["moved"],
        "chip BERT@16K": ["new"],
        "steady": [],
        "chip BERT@1K": ["missing"],
    }
    failure = cases["chip BERT@4K"][0]
    assert "dram, BQK read Q: unit energy 249.6 -> 300 pJ" in failure.attrib["message"]
    assert "energy_pj, by component" in (failure.text or "")


@pytest.mark.parametrize(
    ("old", "new"),
    [('tests="4"', 'tests="3"'), ("testsuites", "suites"), (' classname="base"', ""), ('failures="3"', 'failures="x"')],
)
def test_a_fault_of_junit_is_found(moved: Regression, old: str, new: str) -> None:
    assert junit_faults(junit(moved).replace(old, new)) != []


# --- SARIF ----------------------------------------------------------------------------------------------


def sarif_faults(log: Any) -> list[str]:
    """What section 3 of SARIF 2.1.0, its schema and GitHub's code scanning require of a log."""
    faults = []
    if log.get("version") != "2.1.0" or not str(log.get("$schema", "")).endswith("sarif-2.1.0.json"):
        faults.append("version or schema")
    for run in log.get("runs") or [{}]:
        driver = run.get("tool", {}).get("driver", {})
        rules = [rule.get("id") for rule in driver.get("rules", [])]
        faults += ["driver has no name"] if not driver.get("name") else []
        faults += ["rules repeat"] if len(set(rules)) != len(rules) or None in rules else []
        faults += ["no results"] if not isinstance(run.get("results"), list) else []
        prints = [json.dumps(result.get("partialFingerprints")) for result in run.get("results", [])]
        faults += ["fingerprints repeat"] if len(set(prints)) != len(prints) else []
        for result in run.get("results", []):
            at = result.get("ruleIndex", -1)
            faults += ["rule"] if not (0 <= at < len(rules) and rules[at] == result.get("ruleId")) else []
            faults += ["level"] if result.get("level") not in ("none", "note", "warning", "error") else []
            faults += ["message"] if not result.get("message", {}).get("text") else []
            faults += ["no location"] if not result.get("locations") else []
            for location in result.get("locations", []):
                physical = location.get("physicalLocation", {})
                uri, region = physical.get("artifactLocation", {}).get("uri", ""), physical.get("region", {})
                valid = re.fullmatch(r"(file:///)?[A-Za-z0-9._~!$&'()*+,;=@%/-]+", uri)  # RFC 3986
                faults += ["uri"] if not valid else []
                numbers = [region.get("startLine"), region.get("startColumn")]
                faults += ["region"] if not all(isinstance(n, int) and n >= 1 for n in numbers) else []
    return faults


def test_sarif(moved: Regression, tmp_path: Path) -> None:
    log = json.loads(sarif(moved))
    assert sarif_faults(log) == []
    results = log["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["moved", "new", "missing"]
    for result in results:
        physical = result["locations"][0]["physicalLocation"]
        line = (
            (tmp_path / physical["artifactLocation"]["uri"])
            .read_text()
            .splitlines()[physical["region"]["startLine"] - 1]
        )
        assert line.strip().startswith(("energy_pj: ", "chip"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"2.1.0"', '"2.0"'),
        ('"startLine": ', '"startLine": -'),
        ("base.yaml", "a b"),
        ('"ruleIndex": 0', '"ruleIndex": 1'),
    ],
)
def test_a_fault_of_sarif_is_found(moved: Regression, old: str, new: str) -> None:
    assert sarif_faults(json.loads(sarif(moved).replace(old, new))) != []


# --- GitHub ---------------------------------------------------------------------------------------------


def annotations(log: str) -> list[dict[str, str]]:
    """The errors in a log, as GitHub's runner reads them: `::error KEY=VALUE,...::MESSAGE`, escapes undone."""
    found = []
    for line in log.split("\n"):
        match = re.match(r"::error (.*?)::(.*)$", line)
        if match:
            pairs = [pair.split("=", 1) for pair in match[1].split(",")]
            found.append({key: unquote(value) for key, value in pairs} | {"message": unquote(match[2])})
    return found


def test_github(moved: Regression) -> None:
    found = annotations(github(moved))
    assert [(a["title"], a["file"], int(a["line"])) for a in found] == [
        (case.name, "base.yaml", case.line) for case in moved.cases if case.status != "equal"
    ]
    assert "energy_pj +0.01585 % (" in found[0]["message"]
    assert github(moved).splitlines()[3].startswith("base.yaml: of 4 cases 1 moved, 1 not recorded")


def test_files_are_named_from_the_root_of_the_repository(
    moved: Regression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    assert {a["file"] for a in annotations(github(moved))} == {f"{tmp_path.name}/base.yaml"}
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "elsewhere"))
    assert {a["file"] for a in annotations(github(moved))} == {str(tmp_path / "base.yaml")}
    uri = json.loads(sarif(moved))["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"][
        "uri"
    ]
    assert uri == (tmp_path / "base.yaml").as_uri()


# --- markdown and text ----------------------------------------------------------------------------------


def markdown_faults(page: str) -> list[str]:
    """Rows whose number of cells is not that of their header."""
    faults, cells = [], 0
    for line in page.splitlines():
        count = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if count and cells and count != cells:
            faults.append(line)
        cells = count
    return faults


def test_markdown(moved: Regression) -> None:
    page = markdown(moved)
    assert markdown_faults(page) == [] and markdown_faults(page.replace("| recorded |", "|")) != []
    assert page.startswith("## base.yaml: of 4 cases 1 moved")
    assert "| BQK read Q | +" in page and "| unit energy 249.6 -> 300 pJ |" in page and "| **dram** | +" in page


def test_names_cannot_break_a_format(moved: Regression) -> None:
    found = named(moved, NAME)
    assert junit_faults(junit(found)) == []
    assert sarif_faults(json.loads(sarif(found))) == []
    assert annotations(github(found))[0]["title"] == NAME
    assert len(annotations(github(found))) == 4
    assert markdown_faults(markdown(found)) == [] and "<c>" not in markdown(found)


def test_many_cases_have_a_line_each(moved: Regression) -> None:
    case = moved.cases[0]
    many = Regression(
        baseline="b", cases=(case,) * (DETAILED + 5), version=moved.now, now=moved.now, reason="", inputs=()
    )
    assert text(many).count("by component") == DETAILED
    assert len([line for line in text(many).splitlines() if line.startswith(f"{case.name}: energy_pj +")]) == 5


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_printed_and_every_ending_written(fusemap: Command, moved: Regression, format_: str) -> None:
    reports = [word for ending in ENDINGS for word in ("--report", f"report.{ending}")]
    done = fusemap("regress", "check", "base.yaml", "--format", format_, *reports)
    assert done.code == 1 and done.err == ""
    assert done.out.rstrip("\n") == FORMATS[format_](moved).rstrip("\n")
    for ending, write in ENDINGS.items():
        assert Path(f"report.{ending}").read_text(encoding="utf-8") == write(moved)


def test_what_is_as_recorded_has_no_problem(fusemap: Command, moved: Regression, tmp_path: Path) -> None:
    assert fusemap("regress", "record", "base.yaml", "--reason", "dearer").code == 0
    found = regress("base.yaml")
    assert junit_faults(junit(found)) == [] and ElementTree.fromstring(junit(found)).attrib["failures"] == "0"
    assert json.loads(sarif(found))["runs"][0]["results"] == [] and annotations(github(found)) == []
    assert markdown(found) == "## base.yaml: 3 cases as recorded\n"
