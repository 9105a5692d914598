"""The documentation site: every page has its place in it, and sphinx builds it without a warning."""

from __future__ import annotations

import html
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

import fusemap
from fusemap.cli.main import COMMANDS
from fusemap.cli.schema import KINDS

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "site"
NEEDED = ("sphinx", "furo", "myst_parser")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def placed(index: str) -> list[str]:
    """What the tables of contents name, without the slash that stands for the folder of all documents."""
    return re.findall(r"^   (?:/|)([\w*/-]+)$", index, re.M)


def misplaced(pages: Iterable[str], entries: Iterable[str]) -> list[str]:
    """Pages that are in no table of contents or in several, and entries that name no page."""
    found, listed = list(pages), list(entries)
    counts = {page: sum(fnmatch(page, entry) for entry in listed) for page in found}
    wrong = [f"{page}: {count} times" for page, count in counts.items() if count != 1]
    return wrong + [f"no page {entry}" for entry in listed if not any(fnmatch(page, entry) for page in found)]


def test_every_page_has_one_place() -> None:
    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    pages += [f"reference/{path.stem}" for path in (SITE / "reference").glob("*.rst")]
    entries = placed((SITE / "index.rst").read_text(encoding="utf-8"))
    assert misplaced(pages, entries) == [], "name new pages in docs/site/index.rst"


def test_a_planted_page_is_found() -> None:
    assert placed("   /a\n   :glob:\n   /*b\n   c/d\n") == ["a", "*b", "c/d"]
    assert misplaced(["a", "b"], ["a", "*b"]) == []
    assert misplaced(["a", "b"], ["a"]) == ["b: 0 times"]
    assert misplaced(["a"], ["a", "a*", "c"]) == ["a: 2 times", "no page c"]


def test_the_command_of_the_readme_is_the_one_that_is_tried() -> None:
    assert shown_command()[:2] == ["sphinx-build", "-W"]
    for name in ("README.txt", "../../CONTRIBUTING.md"):
        assert "sphinx-build -W --keep-going -c docs/site docs build/site" in (SITE / name).read_text(encoding="utf-8")


def shown_command() -> list[str]:
    """The command that docs/site/README.txt shows."""
    (command,) = re.findall(r"^ +(sphinx-build .*)$", (SITE / "README.txt").read_text(encoding="utf-8"), re.M)
    return command.split()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (pip install 'fusemap[docs]')")
def test_sphinx_builds_the_site_without_a_warning(tmp_path: Path) -> None:
    assert build(ROOT / "docs", tmp_path).returncode == 0
    reference = tmp_path / "site" / "reference"
    commands = words(reference / "cli.html")
    assert [name for name in COMMANDS if f"fusemap {name}" not in commands] == []
    assert "--workload NAME@LENGTH" in commands and "mailto:" not in (reference / "cli.html").read_text("utf-8")
    schemas = words(reference / "schemas.html")
    assert [kind for kind, (about, _) in KINDS.items() if f"{kind}: {about}" not in schemas] == []
    python = (reference / "python.html").read_text(encoding="utf-8")
    assert [name for name in fusemap.__all__ if f'id="fusemap.{name}"' not in python and callable_(name)] == []


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (pip install 'fusemap[docs]')")
def test_a_planted_fault_of_a_page_stops_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "site").mkdir(parents=True)
    (docs / "page.md").write_text("# Page\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    (docs / "site" / "index.rst").write_text("Site\n====\n\n.. toctree::\n\n   /page\n", encoding="utf-8")
    done = build(docs, tmp_path / "out")
    assert done.returncode != 0 and "nowhere" in done.stderr


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The shown command on other folders, in this environment."""
    argv = [sys.executable, "-m", "sphinx", *shown_command()[1:-2], str(docs), str(out)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def words(page: Path) -> str:
    """The words of an HTML page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))).split())


def callable_(name: str) -> bool:
    """Whether a name of the package is a function or a class."""
    return callable(getattr(fusemap, name))
