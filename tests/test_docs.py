"""The documents' commands run on the files that they show, and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from commands import execute
from test_readme import ROOT, Block, blocks, steps

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
# The blocks of 3 s and more; what they call has quick tests of its own.
LONG = {("inference", 1), ("mapping", 0), ("regression", 3), ("simulation", 0), ("simulation", 2), ("sweeps", 1)}


def shown_commands() -> list[Any]:
    """A case for each block of commands, the long ones for the slow run."""
    cases = []
    for document in DOCUMENTS:
        console = [b for b in blocks(document.read_text(encoding="utf-8")) if b.language == "console"]
        for number, block in enumerate(console):
            slow = [pytest.mark.slow] if (document.stem, number) in LONG else []
            cases.append(pytest.param(document, block, marks=slow, id=f"{document.stem}-{number}"))
    return cases


@pytest.mark.parametrize(("document", "block"), shown_commands())
def test_the_commands_run(document: Path, block: Block, tmp_path: Path) -> None:
    for shown in blocks(document.read_text(encoding="utf-8")):
        if shown.file:
            (tmp_path / shown.file).write_text(shown.text, encoding="utf-8")
    for step in steps(block.text):
        assert execute(shlex.split(step.command), tmp_path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.stem)
def test_every_block_is_run_or_is_a_file(document: Path) -> None:
    shown = blocks(document.read_text(encoding="utf-8"))
    assert [b for b in shown if not b.file and b.language != "console"] == []
    assert {b.language for b in shown} >= {"console"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.stem)
def test_files_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|sim|mappers|tests)/[\w/.-]+)`", text) + re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src" / "fusemap" / name).exists() or (document.parent / name).exists()
