"""What a notebook shows of a cascade and of a report: well-formed, complete, never an outdated text."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from store_cases import write_store

import fusemap as fm
from fusemap.einsum_cascade.latex import inline
from fusemap.einsum_cascade.notebook import source, table_html
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.sim.report import Timing


def text_of(shown: str) -> str:
    """The text of HTML, which must be well-formed."""
    return "".join(ET.fromstring(f"<div>{shown}</div>").itertext())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", fm.list_cascades())
def test_a_cascade_shows_its_text_and_its_formulas(name: str) -> None:
    cascade = fm.load_cascade(name)
    shown = text_of(cascade._repr_html_())
    assert shown == cascade.text.rstrip() + "\n" + inline(cascade)
    assert cascade._repr_latex_() == inline(cascade)


def test_keywords_are_bold_and_comments_quiet() -> None:
    shown = fm.load_cascade("attention-1pass")._repr_html_()
    assert re.findall(r"<b>(\w+)</b>", shown) == ["cascade", "shape", "input", "output", "stop", *["init"] * 3]
    assert '<span style="opacity:0.6;font-style:italic"># Attention' in shown


def test_a_changed_cascade_shows_no_outdated_text() -> None:
    cascade = fm.load_cascade("cascade-1")
    changed = dataclasses.replace(cascade, einsums=cascade.einsums[:1])
    assert changed.text == cascade.text
    assert source(changed) == format_cascade(changed) != cascade.text
    assert "Z" not in text_of(changed._repr_html_()).replace("output Z", "")
    assert source(dataclasses.replace(cascade, text="")) == format_cascade(cascade)


def test_operators_of_the_user_are_shown_too() -> None:
    mine = BUILTIN.register_map("cube", 1, lambda a: a**3)
    cascade = parse("input A[k]\nZ[k] = cube(A[k])", operators=mine)
    assert "cube" in cascade._repr_html_() and r"\mathrm{cube}" in cascade._repr_latex_()


def test_a_report_is_a_table_of_its_totals() -> None:
    report = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@4K", dataflow="fusemax-binding")
    cells = re.findall(r"<td[^>]*>(.*?)</td>", report._repr_html_())
    found = {cells[i]: (cells[i + 1], cells[i + 2]) for i in range(0, len(cells), 3)}
    assert float(found["latency"][0]) == pytest.approx(report.latency_s, rel=1e-3)
    assert float(found["energy"][0]) == pytest.approx(report.energy_pj, rel=1e-3)
    assert found["limited by"] == (report.bottleneck, "")
    assert "attention-1pass on fusemax-cloud, BERT@4K, fusemax-binding" in text_of(report._repr_html_())
    timed = fm.timing("attention-3pass", arch="flat-edge", workload="BERT@4K", dataflow="flat")
    assert type(timed) is Timing and "energy" not in timed._repr_html_()


def test_an_execution_is_a_table_of_its_outputs() -> None:
    found = fm.run("attention-3pass", {"F": 2, "P": 3})
    cells = re.findall(r"<td[^>]*>(.*?)</td>", found._repr_html_())
    assert cells[:2] == ["AV", "2 x 3"]
    values = found["AV"]
    assert [float(c) for c in cells[2:]] == pytest.approx([values.min(), values.mean(), values.max()], rel=1e-5)
    empty = fm.run(parse("shape W = 9\ninput A[k]\nZ[k] = A[k] for k >= W"), {"K": 2})
    assert re.findall(r"<td[^>]*>(.*?)</td>", empty._repr_html_())[2:] == ["-"] * 3


def rows_of(shown: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", shown)]


def test_a_derivation_is_a_table_of_its_candidates() -> None:
    found = fm.derive("softmax", "K")
    rows = rows_of(found._repr_html_())
    assert [row[0] for row in rows] == [c.name for c in found.candidates]
    assert rows[0][1:3] == [str(found.candidates[0].passes), f"{found.candidates[0].operations:,}"]
    assert "3 passes over K" in text_of(found._repr_html_())


def test_a_simulation_is_the_way_from_the_formula() -> None:
    found = fm.simulate("attention-1pass", arch="fusemax-cloud", workload="BERT@4K", dataflow="fusemax-binding")
    numbers = [int(cells[1].replace(",", "")) for cells in rows_of(found._repr_html_())]
    assert (numbers[0], numbers[-1]) == (found.closed_form_cycles, round(found.cycles))
    assert abs(sum(numbers[:-1]) - numbers[-1]) <= len(numbers)  # each is rounded


def test_a_study_is_its_claims() -> None:
    rows = rows_of(fm.reproduce("fusemax")._repr_html_())
    assert rows[0] == ["attention speed-up over FLAT", "6.7", "6.723"] and len(rows) > 4


def test_a_front_is_a_table_with_the_axes_that_differ(tmp_path: Path) -> None:
    designs = [{"pe": n, "latency_s": 4.0 / n, "energy_pj": n * 1e12} for n in (1, 2, 4)]
    store = write_store(tmp_path / "s.sqlite", [*designs, {"pe": 8, "latency_s": 5.0, "energy_pj": 5e12}])
    found = fm.pareto(store)
    assert [row[-1] for row in rows_of(found._repr_html_())] == ["4", "2", "1"]
    assert "3 of 4 rows" in text_of(found._repr_html_())


def test_a_sweep_counts_its_statuses(tmp_path: Path) -> None:
    spec = tmp_path / "one.yaml"
    spec.write_text("cascade: attention-1pass\ndataflow: fusemax-binding\narch: fusemax-cloud\nworkload: BERT@4K\n")
    found = fm.sweep(spec, out=tmp_path / "one.sqlite", jobs=1)
    assert rows_of(found._repr_html_()) == [["ok", "1"]] and "1 of 1 points" in text_of(found._repr_html_())


def test_a_table_escapes_its_cells() -> None:
    shown = table_html("a < b", ["<i>"], [["x & y"]])
    assert text_of(shown) == "a < b<i>x & y"
    assert html.escape("<i>") in shown


def test_loading_a_cascade_loads_nothing_for_showing_it() -> None:
    script = "import sys, fusemap as fm; fm.load_cascade('softmax'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "fusemap.einsum_cascade.types" in loaded and "fusemap.einsum_cascade.latex" not in loaded
