"""The wheel holds every tracked file of the package and works where nothing else of the project is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*argv: str | Path, cwd: Path) -> str:
    """Standard output of a command that has to succeed, without this test's Python settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def missing(wheel: Path, tracked: list[str]) -> list[str]:
    """The tracked files under src that the wheel lacks."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    return [name for name in tracked if name.removeprefix("src/") not in packed]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel installed.

    The dependencies are this environment's, by a path; the `.pth` files there, so also an editable
    fusemap, have no effect through a path.
    """
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True)
    executable = home / "bin" / "python"
    run(executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, cwd=home)
    library = run(executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    Path(library, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return executable


def test_the_wheel_holds_every_tracked_file(wheel: Path) -> None:
    tracked = run("git", "ls-files", "src/fusemap", cwd=ROOT).split()
    assert missing(wheel, tracked) == []
    assert {Path(name).suffix for name in tracked} >= {".py", ".typed", ".cascade"}
    assert missing(wheel, ["src/fusemap/planted.yaml"]) == ["src/fusemap/planted.yaml"]


def test_the_wheel_holds_nothing_but_the_package_and_its_metadata(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"fusemap", "fusemap-0.1.0.dist-info"}


def test_the_installed_command_works_from_the_wheel(python: Path, tmp_path: Path) -> None:
    where = run(python, "-c", "import fusemap; print(fusemap.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(python.parents[1])
    assert run(python.with_name("fusemap"), "--version", cwd=tmp_path) == "fusemap 0.1.0\n"
    listed = json.loads(run(python.with_name("fusemap"), "list", "--json", cwd=tmp_path))
    assert all(listed[kind] for kind in ("cascades", "archs", "workloads", "dataflows"))
