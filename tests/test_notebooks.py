"""Every notebook runs as a script from an empty directory, and its .ipynb holds the same cells."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
MOST_SECONDS, MOST_LINES = 30, 30  # of the processor for a notebook, of a cell


def processor_seconds() -> float:
    """What ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
def test_the_notebook_runs(script: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    before = processor_seconds()
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not list(tmp_path.iterdir())
    assert processor_seconds() - before < MOST_SECONDS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_the_pair_holds_the_same_cells(script: Path) -> None:
    cells = script_cells(script.read_text(encoding="utf-8"))
    assert notebook_cells(script.with_suffix(".ipynb").read_text(encoding="utf-8")) == cells
    assert cells != script_cells(script.read_text(encoding="utf-8").replace("import fusemap", "import fuse", 1))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_no_output_is_stored(script: Path) -> None:
    cells = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    assert [c["outputs"] for c in cells if c["cell_type"] == "code" and (c["outputs"] or c["execution_count"])] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_cell_is_read_at_a_glance(script: Path) -> None:
    assert [cell for cell in script_cells(script.read_text(encoding="utf-8")) if cell.count("\n") >= MOST_LINES] == []
