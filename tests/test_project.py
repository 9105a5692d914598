"""The project's own files: no machine's paths, no registry's address, one test command, files one can read."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import fusemap

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
# Put together from parts, so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        [
            "(?<![A-Za-z0-9.-])/(?:" + "|".join(["work", "tmp", "root", "home", "Users"]) + ")/",
            "python" + "hosted",
            "pypi" + r"\.org",
            "npm" + r"js\.",
            r"index-url\S*[ =]+\S*:" + "//",
        ]
    )
)
MOST_LINES, MOST_FUNCTION_LINES = 400, 60


def tracked() -> list[Path]:
    """Every tracked file that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def findings(text: str) -> list[str]:
    """The forbidden pieces in `text`."""
    return FORBIDDEN.findall(text)


def lock_faults(lock: str) -> list[str]:
    """Requirements of a lock without version or hash, and lines with an address."""
    lines = [line for line in lock.splitlines() if not line.lstrip().startswith("#")]
    entries = re.split(r"(?<!\\)\n", "\n".join(lines))
    pinned = re.compile(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ; [^\\]+)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\\n)?)+")
    return [e for e in entries if e and not pinned.fullmatch(e)] + [line for line in lock.splitlines() if "//" in line]


def overlong(source: str) -> list[str]:
    """What of a module is longer than a reader can take in."""
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > MOST_FUNCTION_LINES]
    return long + (["the module"] if source.count("\n") > MOST_LINES else [])


def test_no_tracked_file_holds_a_machine_path_or_a_registry_address() -> None:
    found = {}
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if pieces := findings(text):
            found[path.relative_to(ROOT).as_posix()] = pieces
    assert found == {}


@pytest.mark.parametrize(
    "piece",
    ["/" + "home/someone/x", "see /" + "tmp/x.csv", "https://" + "pypi" + ".org/simple", "--index-url=x:" + "//y"],
)
def test_a_planted_path_or_address_is_found(piece: str) -> None:
    assert findings(piece)


def test_the_lock_pins_names_versions_and_hashes_and_no_address() -> None:
    assert lock_faults(LOCK) == []


@pytest.mark.parametrize(
    "fault", ["numpy\n", "numpy==2.0\n", "numpy>=2 \\\n    --hash=sha256:" + 64 * "0", "# from https:" + "//host/x"]
)
def test_a_planted_fault_of_the_lock_is_found(fault: str) -> None:
    assert lock_faults(LOCK + fault) == [fault.strip()]


def test_every_dependency_is_in_the_lock() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["test"], *extras["notebook"]]
    names = {re.split(r"[<>=\[ ;]", requirement)[0].lower() for requirement in wanted}
    assert names - set(re.findall(r"^([a-z0-9._-]+)==", LOCK, re.M)) == set()


def test_the_version_is_one() -> None:
    assert PROJECT["version"] == fusemap.__version__
    assert f"\n## {fusemap.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    (command,) = re.findall(r"^\$ (\./run test)\b.*$", (ROOT / "README.md").read_text(), re.M)
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == command
    assert "run: bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_the_scripts_are_executable_and_parse(script: str) -> None:
    mode = subprocess.run(["git", "ls-files", "-s", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert mode.stdout.startswith("100755")
    shell = (ROOT / script).read_text().splitlines()[0].removeprefix("#!").split()[-1].rsplit("/", 1)[-1]
    subprocess.run([shell, "-n", ROOT / script], check=True)


def test_a_module_is_read_in_one_sitting() -> None:
    found = {path.relative_to(ROOT).as_posix(): overlong(path.read_text()) for path in (ROOT / "src").rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_planted_long_function_and_module_are_found() -> None:
    body = "    x = 1\n" * MOST_FUNCTION_LINES
    assert overlong(f"def f():\n{body}") == ["f"]
    assert overlong("x = 1\n" * (MOST_LINES + 1)) == ["the module"]
