"""docs/components.md shows what the commands print, and its table says what the comparison has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import execute
from test_readme import ROOT, Step, blocks, matches, steps

from fusemap.archspec.archs import load_arch
from fusemap.diagnostics import InputError
from fusemap.validation.hwcomponents.compare import compare

TEXT = (ROOT / "docs" / "components.md").read_text(encoding="utf-8")
SHOWN = [step for block in blocks(TEXT) if block.language == "console" for step in steps(block.text)]
FACTOR = r"[0-9]+\.[0-9]+"


def test_what_is_shown_is_printed(tmp_path: Path) -> None:
    for block in blocks(TEXT):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    for step in SHOWN:
        printed = execute(shlex.split(step.command), tmp_path)
        assert not step.output or matches(step.output, printed), step.command
    assert sum(bool(step.output) for step in SHOWN) >= 2


def test_the_refusal_that_is_quoted_is_the_one_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("extends: fusemax-cloud\nsource: x\ntechnology: 28 nm\n")
    quoted = re.findall(r"^> (the machine is in .*)$", TEXT, re.M)
    assert len(quoted) == 1
    with pytest.raises(InputError, match=re.escape(quoted[0])):
        load_arch(tmp_path / "m.yaml")


@pytest.mark.parametrize(
    ("line", "component", "model"),
    [
        ("| `sram`, 32 banks, 1 port |", "sram", "32 banks, 1 port"),
        ("| `sram`, 32 banks, 4 ports |", "sram", "32 banks, 4 ports"),
        ("| one `AladdinRegister` of 16 bit |", "register_file", "AladdinRegister"),
        ("| `mac` |", "mac", "AladdinIntMAC"),
        ("| `add` |", "add", "AladdinAdder"),
        ("| `max` |", "max", "comparator"),
    ],
)
def test_the_tables_factors_are_those_of_the_comparison(line: str, component: str, model: str) -> None:
    found = next(text for text in TEXT.splitlines() if text.startswith(line)).split("|")[2]
    rows = [r for r in compare().rows if r.component == component and model in r.model and r.unit == "pJ"]
    near = [1 / row.ratio for row in rows if row.ratio is not None and row.kind == "nearest"]
    said = [float(text) for text in re.findall(FACTOR, found)]
    assert said == [
        float(f"{factor:.{len(str(text).partition('.')[2])}f}") for factor, text in zip(near, said, strict=True)
    ]


def test_a_planted_difference_is_found() -> None:
    step = Step(command="", output="a\n...\nb")
    assert matches(step.output, "a\nx\nb\n") and not matches(step.output, "a\nx\nc\n")
