"""Every notebook runs as a script in an empty directory, and its .ipynb holds the same cells.

In one process, so that packages are loaded once.
"""

from __future__ import annotations

import json
import re
import runpy
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib import rc_context

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
MOST_SECONDS, MOST_LINES = 30, 30  # of the processor for a notebook, of a cell


def script_cells(text: str) -> list[str]:
    """The cells of a percent script, markdown without its comment signs."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.M)[1:]
    cells = []
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        body = re.sub(r"^# ?", "", body, flags=re.M) if "[markdown]" in title else body
        cells.append(body.strip())
    return cells


def notebook_cells(text: str) -> list[str]:
    return ["".join(cell["source"]).strip() for cell in json.loads(text)["cells"]]


def test_there_are_notebooks() -> None:
    assert SCRIPTS
    assert {p.stem for p in SCRIPTS} == {p.stem for p in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_the_notebook_runs(
    script: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("files")))
    start = time.process_time()
    with rc_context({"backend": "Agg"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
        runpy.run_path(str(script), run_name="notebook")
    plt.close("all")
    assert capsys.readouterr().out and not list(tmp_path.iterdir())
    assert time.process_time() - start < MOST_SECONDS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_the_pair_holds_the_same_cells(script: Path) -> None:
    cells = script_cells(script.read_text(encoding="utf-8"))
    assert notebook_cells(script.with_suffix(".ipynb").read_text(encoding="utf-8")) == cells
    assert cells != script_cells(script.read_text(encoding="utf-8").replace("fusemap", "fuse", 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_no_output_is_stored(script: Path) -> None:
    cells = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    assert [c["outputs"] for c in cells if c["cell_type"] == "code" and (c["outputs"] or c["execution_count"])] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_cell_is_read_at_a_glance(script: Path) -> None:
    assert [cell for cell in script_cells(script.read_text(encoding="utf-8")) if cell.count("\n") >= MOST_LINES] == []
