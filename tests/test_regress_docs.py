"""docs/regression.md: its workflow's commands run, and what it shows is what a check prints."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import left_by
from test_readme import ROOT, blocks, steps

DOCUMENT = ROOT / "docs" / "regression.md"
BLOCKS = blocks(DOCUMENT.read_text(encoding="utf-8"))
FILES = {block.file: block.text for block in BLOCKS if block.file}
CONSOLE = [block for block in BLOCKS if block.language == "console"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the document shows, and their numbers recorded."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert left_by(["fusemap", "regress", "record", "baseline.yaml"], tmp_path).code == 0
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner of GitHub does: bash, ending at the first command that fails."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    argv = [shutil.which("bash") or "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def dearer(folder: Path) -> None:
    """What the document says has changed."""
    text = (folder / "chip.yaml").read_text()
    (folder / "chip.yaml").write_text(text.replace("read: 249.6 pJ", "read: 300 pJ"))


def test_the_workflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    (job,) = yaml.safe_load(FILES["energy.yml"])["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    install, check, tests, summary = commands
    assert install.startswith("pip install ")
    assert tests in [step.command for block in CONSOLE for step in steps(block.text)]  # test_docs.py runs it
    done = shell(f"{check}\n{summary}", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "baseline.yaml: 3 cases as recorded\n"
    assert (folder / "summary.md").read_text() == "## baseline.yaml: 3 cases as recorded\n"
    uploaded = [step["with"]["sarif_file"] for step in job["steps"] if "sarif_file" in step.get("with", {})]
    assert [(folder / name).is_file() for name in uploaded] == [True]

    dearer(folder)
    moved = left_by(shlex.split(check), folder)
    assert moved.code == 1
    lines = re.findall(r"^::error file=baseline\.yaml,line=(\d+),.*energy_pj", moved.out, re.M)
    text = (folder / "baseline.yaml").read_text().splitlines()
    assert [text[int(line) - 1].split(":")[0].strip() for line in lines] == ["energy_pj", "energy_pj"]
    assert "unit energy 249.6 -> 300 pJ" in (folder / "energy.md").read_text()


def test_what_a_check_prints_is_what_is_shown(folder: Path) -> None:
    dearer(folder)
    done = left_by(["fusemap", "regress", "check", "baseline.yaml"], folder)
    assert done.code == 1
    shown = FILES["moved.txt"].rstrip("\n")
    assert done.out.startswith(shown), done.out


def test_what_is_shown_of_the_schema_is_there(folder: Path) -> None:
    schema = left_by(["fusemap", "schema", "baseline"], folder).out
    assert {"cases", "tolerances", "recorded"} <= set(yaml.safe_load(schema)["properties"])
