"""docs/derive.md: derived lines beside the papers', figures of the gate, gains, and pictures, all computed anew."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import matplotlib.image
import pytest
from test_readme import ROOT, blocks

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.derive_gains import cells
from fusemap.einsum_cascade import load
from fusemap.einsum_cascade.derive.gate import Regime
from fusemap.einsum_cascade.derive.search import Derivation, derive
from fusemap.validation.derive_figure import COSTS
from fusemap.validation.derive_gains import Gains, gains
from fusemap.validation.plots_page import fingerprint

PAGE = (ROOT / "docs" / "derive.md").read_text(encoding="utf-8")
ATTENTION, GRADIENT = ("hoist", "hoist-tree-1", "hoist-scan-2"), ("expand", "hoist-scan-2", "expand-scan-4")
# The cases of the table: cascade, machine, workload, keys of a chunk, candidates.
CASES = (
    ("attention-3pass", "fusemax-cloud", "BERT@1K", 1024, ATTENTION),
    ("attention-3pass", "fusemax-cloud", "BERT@16K", 1024, ATTENTION),
    ("attention-3pass", "little.yaml", "BERT@16K", 256, ATTENTION),
    ("attention-3pass", "flat-cloud", "BERT@256K", 1024, ATTENTION),
    ("query-gradient", "fusemax-cloud", "BERT@4K", 256, GRADIENT),
    ("query-gradient", "fusemax-cloud", "BERT@64K", 1024, GRADIENT),
)


@cache
def derivation(name: str, rank: str = "M") -> Derivation:
    return derive(load(name), rank)


def codes(text: str) -> list[str]:
    """What stands in backquotes, without spaces."""
    return [re.sub(r"\s", "", code) for code in re.findall(r"`([^`]+)`", text)]


def statements(text: str) -> set[str]:
    return {re.sub(r"\s", "", line) for line in text.splitlines()}


def test_the_derived_cascade_stands_beside_the_papers() -> None:
    rows = re.search(r"\| derived \| Cascade 5 \|\n.*?\n\n", PAGE, re.S)
    assert rows is not None
    pairs = [codes(line) for line in rows[0].splitlines()[2:] if line]
    left, right = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    head = {"shapeM=M1*M0", "inputQ[e,p],K[e,m],V[f,m]", "outputAV", ""}
    derived, library = derivation("attention-3pass").named("hoist-scan-2").text, load("attention-1pass").text
    assert left == {s for s in statements(derived) if not s.startswith("cascade")} - head
    assert right == {s for s in statements(library) if not s.startswith(("#", "cascade"))} - head


@pytest.mark.parametrize("suffix", ["tree-1", "scan-2", "hoist-tree-2", "hoist"])
def test_lines_of_the_others_are_derived(suffix: str) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{suffix}` |"))
    found = derivation("attention-3pass").named(suffix)
    assert f"| {found.passes} |" in line
    assert {code for code in codes(line) if "=" in code} <= statements(found.text)


FIGURES = (
    ("attention-3pass", "M", "hoist-scan-2"),
    ("attention-3pass", "M", "hoist-tree-2"),
    ("variance", "K", "tree"),
    ("variance", "K", "expand"),
    ("cross-entropy", "K", "expand-scan"),
)


@pytest.mark.parametrize(("name", "rank", "suffix"), FIGURES)
def test_errors_are_those_of_the_page(name: str, rank: str, suffix: str) -> None:
    """To a factor of 4: the order of a sum is the machine's."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {name}-{suffix}"))
    gate = derivation(name, rank).named(suffix).gate
    for cell, regime in zip(line.split("|")[2:5], gate.regimes[:3], strict=True):
        original, derived = (float(text) for text in cell.split("/"))
        assert near(original, regime.original) and near(derived, regime.derived), (cell, regime)
    assert ("not finite" in line) == (gate.named("first chunk masked").verdict == "not finite")


def near(shown: float, found: float) -> bool:
    return shown / 4 <= found + 1e-16 and found <= 4 * shown + 1e-16


def test_another_error_is_noticed() -> None:
    assert near(2e-13, 1e-13) and not near(2e-13, 2e-12) and not near(2e-8, 1e-16)


def regimes(name: str, rank: str, suffix: str) -> dict[str, Regime]:
    return {r.name: r for r in derivation(name, rank).named(suffix).gate.regimes}


def test_digits_that_are_lost() -> None:
    assert round(regimes("layernorm-matmul", "K", "expand")["1e4 + N(0,1) in X alone"].digits) == 4
    assert "loses 4 digits where the mean is 1e4 deviations" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize(("name", "digits"), [("attentive-statistics", 5), ("distillation", 4)])
def test_more_digits_that_are_lost(name: str, digits: int) -> None:
    """And there is a candidate of two passes that loses none."""
    rank = "K" if name == "distillation" else "M"
    best = derivation(name, rank).best
    assert best is not None and abs(best.gate.named("1e4 + N(0,1)").digits - digits) < 0.8
    assert any(c.passes == 2 and c.gate.safe for c in derivation(name, rank).candidates)


@cache
def case(number: int) -> Gains:
    name, arch, workload, chunk, compare = CASES[number]
    if arch.endswith(".yaml"):
        text = next(block.text for block in blocks(PAGE) if block.file == arch)
        machine = load_little(text)
    else:
        machine = load_arch(arch)
    return gains(derivation(name), machine, load_workload(workload), sizes={"M0": chunk}, compare=compare, seconds=600)


def load_little(text: str):  # type: ignore[no-untyped-def]
    from fusemap.archspec.archs import parse_arch

    return parse_arch(text, file="little.yaml")


def lines(number: int) -> list[str]:
    """The rows of a case as the page has them."""
    name, arch, workload, *_ = CASES[number]
    found = case(number)
    label = f"{name}, {arch}, {workload}"
    every = [cells(row, found.rows)[:-1] for row in found.rows]
    return [f"| {label if n == 0 else ''} | {' | '.join(row)} |" for n, row in enumerate(every)]


def test_gains_of_the_shortest_case_are_those_of_the_page() -> None:
    assert [line for line in lines(0) if line not in PAGE.splitlines()] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(CASES)))
def test_gains_are_those_of_the_page(number: int) -> None:
    assert [line for line in lines(number) if line not in PAGE.splitlines()] == []
    assert all(row.mapped is not None and row.mapped.proven for row in case(number).rows)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["derive-gains.png", "derive-gradient.png"])
def test_the_pictures_show_what_is_computed(file: str) -> None:
    if file == "derive-gradient.png":
        found = case(4)
    else:
        machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@16K")
        found = gains(derivation("attention-3pass"), machine, workload, seconds=600)
    shown = [v for r in found.rows if r.mapped for c in COSTS for v in (r.name, c.name, c.value(r.mapped))]
    image = Path(ROOT / "docs" / file)
    assert matplotlib.image.imread(image).shape[1] == 1400
    assert description(image) == fingerprint([found.arch, found.workload, *shown]), "its command makes it anew"


def description(image: Path) -> str:
    """The fingerprint that a PNG carries."""
    found = re.search(rb"tEXtDescription\0([0-9a-f]{16})", image.read_bytes())
    assert found is not None
    return found[1].decode()
