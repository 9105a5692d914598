"""`fusemap report`: its page holds the report's numbers, is well formed, loads nothing, escapes what users write."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Outcome, in_process
from conftest import Outcome as Result
from report_pages import Page, faults

import fusemap as fm
from fusemap.cli.report_page import SECTIONS

Run = Callable[..., Result]
OWN_FLAT = "extends: flat\ndescription: x\nsource: y\ncascades: [attention-3pass]\n"
CASE = ("attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return in_process(["report", *CASE, "--html", "page.html", "--json"], folder)


@pytest.fixture(scope="module")
def content(outcome: Outcome, folder: Path) -> str:
    assert outcome.code == 0, outcome.err
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(content: str) -> Page:
    return Page(content)


@pytest.fixture(scope="module")
def report() -> Any:
    return fm.evaluate(CASE[0], arch=CASE[2], workload=CASE[4])


# --- structure ------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_loads_nothing(content: str) -> None:
    assert faults(content) == []
    assert content.startswith('<!DOCTYPE html>\n<html lang="en">')


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("<p>", "</main> closes something else"),
        ('<img src="https://example.org/x.png" alt="">', "img loads https"),
        ("<script>1</script>", "<script>"),
        ('<p onclick="f()">x</p>', "p runs f()"),
        ('<a href="https://example.org/">x</a>', "a loads https"),
        ('<p style="background:url(x.png)">x</p>', "p loads background"),
        ("<style>@import 'x.css';</style>", "style loads"),
        ('<p id="summary">x</p>', "id summary twice"),
        ('<a href="#nowhere">x</a>', "href leads to no nowhere"),
        ("<svg><g></g></svg>", "a drawing without a role"),
        ("<h1>x</h1>", "not one h1"),
        ("<h5>x</h5>", "h5 after"),
        ("<table><tbody><tr><td>x</td></tr></tbody></table>", "table without a caption"),
    ],
)
def test_a_planted_fault_of_the_page_is_found(content: str, planted: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(content.replace("</main>", f"{planted}</main>")))


def test_it_has_its_sections_in_order_and_both_figures(page: Page) -> None:
    assert page.words["h2"] == list(SECTIONS)
    assert len([1 for name, _ in page.elements if name == "svg"]) == 2
    assert page.words["title"][0] == "attention-3pass on flat-cloud, BERT@1K - fusemap"


def test_nothing_is_allowed_to_load_whatever_gets_in(page: Page) -> None:
    (policy,) = (a["content"] for name, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src" not in policy and "img-src" not in policy


# --- numbers --------------------------------------------------------------------------------------


def test_the_totals_are_those_of_the_report(content: str, report: Any) -> None:
    cards = re.search(r'<dl class="cards">(.*?)</dl>', content, re.S)
    assert cards is not None
    shown = [float(value) for value in re.findall(r'<data value="([^"]+)">', cards[1])]
    totals = [report.latency_s, report.energy_pj, report.area_um2, report.traffic_bytes]
    assert shown == [*totals, *report.utilization.values()]
    assert f'<dd class="value">{report.bottleneck}</dd>' in cards[1]


def test_the_rows_are_those_of_the_report_and_say_their_source(page: Page, report: Any) -> None:
    largest, others = page.starting("The 12 largest rows"), page.starting("The other ")
    rows, values = [*largest.rows, *others.rows], [*largest.values, *others.values]
    expected = sorted(report.rows, key=lambda row: -row.energy_pj)
    assert values == [[row.count, row.unit_energy_pj, row.energy_pj] for row in expected]
    assert [row[:2] for row in rows] == [[row.component, row.einsum] for row in expected]
    assert math.isclose(sum(v[2] for v in values), report.energy_pj, rel_tol=1e-12)
    sources = page.words["li"]
    assert [sources[int(row[-1].strip(" []\n")) - 1] for row in rows] == [row.source for row in expected]


def test_energies_by_component_and_einsum_are_those_of_the_report(page: Page, report: Any) -> None:
    for key, caption in (("component", "Energy by component"), ("einsum", "Energy by Einsum")):
        shown = page.tables[caption]
        expected = {name: energy for (name,), energy in report.energy_by(key).items()}
        assert {row[0]: v[0] for row, v in zip(shown.rows, shown.values, strict=True)} == expected


def test_times_and_traffic_add_up_to_the_totals(page: Page, report: Any) -> None:
    phases = page.starting("Phases").values
    assert sum(v[0] for v in phases) == report.latency_s
    assert [v[:3] for v in phases] == [[p.latency_s, p.compute_s, p.memory_s] for p in report.phases]
    assert sum(v[0] for v in page.starting("Traffic").values) == report.traffic_bytes
    assert math.isclose(sum(v[0] for v in page.starting("Area").values), report.area_um2, rel_tol=1e-12)
    einsums = page.starting("Einsums: ")
    assert [v[0] for v in einsums.values] == [time.cycles for time in report.einsums]
    assert all(cycles == steps * per for cycles, steps, per, _ in einsums.values)


def test_the_clock_is_the_machines(content: str, report: Any) -> None:
    assert f"The clock is {report.clock_hz / 1e6:.1f} MHz" in content


def test_every_other_dataflow_is_compared_or_has_a_reason(page: Page, outcome: Outcome) -> None:
    compared, refused = page.starting("Latency, energy and traffic"), page.starting("Not possible here")
    assert compared.rows[0][0] == "flat (this one)"
    names = {row[0].removesuffix(" (this one)") for row in (*compared.rows, *refused.rows)}
    assert names == {entry["name"] for entry in fm_list("dataflows")}
    assert all(row[1] for row in refused.rows)
    document = {rival["dataflow"]: rival for rival in outcome.json()["comparison"]}
    unfused = fm.evaluate(CASE[0], arch=CASE[2], workload=CASE[4], dataflow="unfused")
    assert document["unfused"]["latency_s"] == unfused.latency_s
    assert [unfused.latency_s, unfused.energy_pj, unfused.traffic_bytes] in compared.values
    assert document["fusemax-arch"]["refusal"]


def fm_list(kind: str) -> Any:
    return in_process(["list", kind, "--json"], Path.cwd()).json()[kind]


# --- provenance -----------------------------------------------------------------------------------


def test_the_document_says_what_was_written(outcome: Outcome, folder: Path, report: Any) -> None:
    document = outcome.json()
    assert document["schema"] == "fusemap/report/1"
    assert document["sha256"] == hashlib.sha256((folder / "page.html").read_bytes()).hexdigest()
    assert document["evaluation"] == json.loads(json.dumps(report.to_json()))
    assert document["versions"]["fusemap"] == fm.__version__


def test_the_command_on_the_page_makes_the_same_bytes_again(outcome: Outcome, content: str, folder: Path) -> None:
    argv = outcome.json()["command"].split()
    assert outcome.json()["command"] in content
    (folder / "page.html").unlink()
    assert in_process(argv[1:], folder).code == 0
    assert (folder / "page.html").read_text(encoding="utf-8") == content


def test_files_of_the_users_own_are_escaped_and_have_digests(fusemap: Run, tmp_path: Path) -> None:
    evil = '<script>alert(1)</script> & "quotes"'
    cascade = tmp_path / "own.cascade"
    cascade.write_text(f"# {evil}\ncascade own\ninput X[p,m]\noutput S\n\nS[p] = sum[m] X[p,m]\n")
    machine = tmp_path / "own.yaml"
    machine.write_text(f"extends: flat-cloud\ndescription: x\nsource: '{evil}'\nclock: 1 GHz\n")
    asked = (str(cascade), "--arch", str(machine), "--workload", "BERT@256", "--html", str(tmp_path / "own.html"))
    done = fusemap("report", *asked, "--json")
    assert done.code == 0, done.err
    content = (tmp_path / "own.html").read_text()
    assert faults(content) == []
    assert content.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;") >= 2
    digests = {entry["kind"]: entry["sha256"] for entry in done.json()["inputs"]}
    assert digests["cascade"] == hashlib.sha256(cascade.read_bytes()).hexdigest()
    assert digests["arch"] == hashlib.sha256(machine.read_bytes()).hexdigest() and digests["workload"] == ""
    assert all(digest in content for digest in digests.values())


def test_a_dataflow_of_ones_own_is_compared_with_the_built_in_one_of_its_name(
    fusemap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flat.yaml").write_text(OWN_FLAT)
    (tmp_path / "BERT").write_text("a file that is called like a workload")
    monkeypatch.chdir(tmp_path)
    done = fusemap("report", *CASE, "--dataflow", "flat.yaml", "--html", "own.html", "--json")
    assert done.code == 0, done.err
    rivals = {rival["dataflow"]: rival for rival in done.json()["comparison"]}
    assert rivals["flat"]["latency_s"] == done.json()["evaluation"]["latency_s"]
    named = {entry["kind"]: entry["sha256"] for entry in done.json()["inputs"]}
    assert (named["workload"], named["arch"], named["cascade"]) == ("", "", "")
    assert named["dataflow"] == hashlib.sha256((tmp_path / "flat.yaml").read_bytes()).hexdigest()


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (CASE, 2, "--html is missing"),
        ((*CASE, "--html", "page.pdf"), 2, "valid endings: .html, .htm"),
        ((*CASE[:3], "--html", "page.html"), 2, "--workload is missing"),
        ((*CASE[:4], "BERT@1K", "--dataflow", "flat", "--size", "QQ=4", "--html", "x.html"), 2, "no rank or tile"),
        ((*CASE, "--html", "no/such/folder/page.html"), 2, "no/such/folder/page.html"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    argv: tuple[str, ...], code: int, message: str, fusemap: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = fusemap("report", *argv)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
