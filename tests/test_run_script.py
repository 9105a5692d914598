"""`./run` sets up what has changed, once, and hands over: with a stand-in for uv that notes what it is asked.

The stand-in makes what `uv venv` makes and nothing else, so these tests need no package index; the slow
one makes a real environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = """#!/bin/sh
case $1 in
venv) echo venv; mkdir -p .venv/bin; ln -s "$4" .venv/bin/python ;;
pip) echo "$2" ;;
esac >>uv-was-asked
[ ! -e uv-fails ]
"""


class Checkout:
    """A directory with the set-up script and a stand-in for uv."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in ("run", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, directory / name)
        tools = directory / "tools"
        tools.mkdir()
        (tools / "uv").write_text(UV)
        (tools / "uv").chmod(0o755)

    def run(self, *argv: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script with the stand-in first on the path."""
        path = f"{self.directory / 'tools'}{os.pathsep}{os.environ['PATH']}"
        variables: Mapping[str, str] = {**os.environ, "PYTHON": sys.executable, "PATH": path, **environment}
        return subprocess.run(
            [self.directory / "run", *argv], cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )

    def asked(self) -> list[str]:
        """What uv was asked since the last call."""
        log = self.directory / "uv-was-asked"
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that was never set up, in a directory with a space in its name."""
    return Checkout(tmp_path / "a checkout")


def test_the_first_run_sets_up_and_the_second_does_not(checkout: Checkout) -> None:
    first = checkout.run("echo", "done")
    assert (first.returncode, first.stdout) == (0, "done\n")
    assert "setting up" in first.stderr
    assert checkout.asked() == ["venv", "sync", "install"]
    second = checkout.run("echo", "done")
    assert (second.stdout, second.stderr) == ("done\n", "")
    assert checkout.asked() == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_change_is_followed_without_making_the_environment_anew(name: str, checkout: Checkout) -> None:
    checkout.run("true")
    checkout.asked()
    with (checkout.directory / name).open("a") as file:
        file.write("# changed\n")
    checkout.run("true")
    assert checkout.asked() == ["sync", "install"]


def test_a_moved_checkout_makes_its_environment_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("true")
    checkout.asked()
    checkout.directory = checkout.directory.rename(tmp_path / "moved")
    checkout.run("true")
    assert checkout.asked() == ["venv", "sync", "install"]


def test_an_environment_without_its_interpreter_is_made_anew(checkout: Checkout) -> None:
    checkout.run("true")
    checkout.asked()
    (checkout.directory / ".venv/bin/python").unlink()
    assert checkout.run("true").returncode == 0
    assert checkout.asked() == ["venv", "sync", "install"]


def test_a_failed_set_up_says_so_runs_nothing_and_is_tried_again(checkout: Checkout) -> None:
    (checkout.directory / "uv-fails").touch()
    failed = checkout.run("echo", "done")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith("run: could not")
    (checkout.directory / "uv-fails").unlink()
    checkout.asked()
    assert checkout.run("echo", "done").stdout == "done\n"
    assert checkout.asked() == ["venv", "sync", "install"]


def test_without_a_fitting_python_it_says_what_it_needs(checkout: Checkout, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in ("sh", "cat", "cksum", "dirname"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    failed = checkout.run("true", PATH=str(bare), PYTHON="no-such-python")
    assert failed.returncode == 1
    assert "needs Python 3.11 or later" in failed.stderr


def test_it_runs_where_it_is_called_and_hands_the_exit_code_on(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run()
    done = checkout.run("sh", "-c", 'pwd; echo "$VIRTUAL_ENV"; exit 3', cwd=tmp_path, VIRTUAL_ENV="elsewhere")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [str(tmp_path.resolve()), str(checkout.directory.resolve() / ".venv")]


@pytest.mark.parametrize("failing", ["ruff", "mypy", "lint-imports", "pytest"])
def test_test_fails_when_one_check_fails_and_still_runs_the_others(failing: str, checkout: Checkout) -> None:
    checkout.run()
    for tool in ("ruff", "mypy", "lint-imports", "pytest"):
        program = checkout.directory / ".venv/bin" / tool
        program.write_text(f"#!/bin/sh\necho {tool} $*; exit {int(tool == failing)}\n")
        program.chmod(0o755)
    done = checkout.run("test", "-k", "x")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "ruff check -q .",
        "ruff format -q --check .",
        "mypy",
        "lint-imports",
        "pytest -n logical --maxprocesses 8 -k x",
    ]
    assert failing in done.stderr.splitlines()[-1]
    (checkout.directory / ".venv/bin" / failing).write_text("#!/bin/sh\n")
    assert checkout.run("test").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("bytecode", ["", "1"])
def test_a_fresh_clone_runs_from_another_directory(bytecode: str, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": bytecode, "VIRTUAL_ENV": "elsewhere"}
    command = [str(clone / "run"), "fusemap", "list", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"attention-1pass"' in done.stdout
    assert list(clone.glob(".venv/lib/python*/site-packages/sympy/__pycache__/*.pyc"))
