"""Three fidelities agree on the grid, and a planted difference between them is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.cli import validate_simulators as validate_command
from fusemap.cli.validate_simulators import simulators_page
from fusemap.sim.cycle_times import Order
from fusemap.validation.simulators import Agreement, CrossCheck, GridModel, SizesModel, agreement, load_grid
from fusemap.validation.simulators_figure import draw_fidelities

GRID = load_grid()
CASES = [(dataflow, order, sizes) for dataflow, order in GRID.dataflows.items() for sizes in GRID.sizes]


def is_small(sizes: SizesModel) -> bool:
    """Quick enough for every run of the suite."""
    work = sizes.rows * sizes.columns * sizes.F * sizes.chunks * sizes.tiles * sizes.heads
    return sizes.rows * sizes.columns <= 64 and work <= 12_000 and sizes.F <= 16


def named(case: tuple[str, Order, SizesModel]) -> str:
    return f"{case[0]}-{'-'.join(str(value) for value in case[2].model_dump().values())}"


def check(case: tuple[str, Order, SizesModel]) -> Agreement:
    row = agreement(GRID, *case)
    assert row.disagreements() == ()
    return row


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", [c for c in CASES if is_small(c[2])], ids=named)
def test_three_fidelities_agree(case: tuple[str, Order, SizesModel]) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if not is_small(c[2])], ids=named)
def test_three_fidelities_agree_on_large_arrays(case: tuple[str, Order, SizesModel]) -> None:
    check(case)


@pytest.mark.slow
def test_the_published_array_keeps_its_steady_state_within_its_registers_and_ports() -> None:
    """256 x 256 elements, E = F = 64, four chunks for four tiles."""
    sizes = SizesModel(rows=256, columns=256, E=64, F=64, chunks=4, tiles=4)
    row = check(("fusemax-binding", "interleaved", sizes))
    assert (row.cycle, row.over, row.registers_2d, row.registers_1d, row.ports) == (3628, 1164, 10, 12, 4)


@examples(4, 12, deadline=None)
@given(
    rows=st.integers(2, 12),
    columns=st.integers(2, 3),
    f=st.integers(2, 8),
    chunks=st.integers(2, 4),
    tiles=st.integers(1, 4),
)
def test_any_small_run_is_explained_to_the_cycle(rows: int, columns: int, f: int, chunks: int, tiles: int) -> None:
    sizes = SizesModel(rows=rows, columns=columns, E=f, F=f, chunks=chunks, tiles=tiles)
    row = agreement(GRID, "fusemax-binding", "interleaved", sizes)
    assert row.over == row.explained and row.tile == row.formula and row.rounding < 1e-12


@pytest.fixture(scope="module")
def rows() -> tuple[Agreement, Agreement]:
    sizes = SizesModel(rows=2, columns=2, E=2, F=2, chunks=2, tiles=4)
    binding = agreement(GRID, "fusemax-binding", "interleaved", sizes)
    return binding, agreement(GRID, "fusemax-arch", "stages", sizes)


@pytest.mark.parametrize(
    ("which", "change", "message"),
    [
        (0, {"tile": 121}, "tile level without effects: 121 cycles, formula 120"),
        (0, {"cycle": 137}, "17 cycles over the formula, fill and drain explain 16"),
        (0, {"faults": ("double_link in cycle 7",)}, "cycle level: double_link in cycle 7"),
        (0, {"rounding": 1e-9}, "output 1e-09 from the interpreter"),
        (0, {"rounding": float("nan")}, "output nan from the interpreter"),
        (1, {"steady": 22.0}, "22.0 cycles per iteration, 21.0 explained"),
    ],
)
def test_a_planted_difference_is_named(
    rows: tuple[Agreement, Agreement], which: int, change: dict[str, object], message: str
) -> None:
    assert rows[which].disagreements() == ()
    planted: Agreement = dataclasses.replace(rows[which], **change)  # type: ignore[arg-type]
    (found,) = planted.disagreements()
    assert message in found


def test_registers_that_do_not_suffice_are_shown_as_a_finding(rows: tuple[Agreement, Agreement]) -> None:
    full = dataclasses.replace(rows[1], faults=("registers in cycle 3 at array_1d(0,0): SLNV",), registers_1d=128)
    assert full.disagreements() == () and not full.fits_registers
    assert "128!" in "\n".join(simulators_page(CrossCheck(rows=(full,))))


def test_the_command_prints_the_grid_and_its_exit_code_is_the_answer(
    fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, rows: tuple[Agreement, Agreement]
) -> None:
    def crossed(grid: GridModel, watch: object) -> CrossCheck:
        assert grid == GRID
        return CrossCheck(rows=shown)

    shown: tuple[Agreement, ...] = rows
    monkeypatch.setattr(validate_command, "cross_check", crossed)
    good = fusemap("validate", "simulators")
    assert good.code == 0 and "2 configurations agree" in good.out
    line = next(line for line in good.out.splitlines() if line.startswith("2x2"))
    assert line.split()[6:12] == ["120", "120", "141", "136", "16", "16"] and "21/it." in good.out
    document = fusemap("validate", "simulators", "--json").json()
    assert document["schema"] == "fusemap/validate/1" and document["agrees"]
    assert [row["over_cycles"] for row in document["simulators"]["rows"]] == [16, 31]
    shown = (dataclasses.replace(rows[0], tile=119), rows[1])
    bad = fusemap("validate", "simulators")
    assert bad.code == 1 and "tile level without effects: 119 cycles, formula 120" in bad.out


def test_a_figure_belongs_to_the_simulators(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = fusemap("validate", "published", "--figure", str(tmp_path / "a.png"))
    assert outcome.code == 2 and "No such option '--figure'" in outcome.err
    assert fusemap("validate", "simulators", "--figure", "a.txt").code == 2


def test_the_figure_shows_what_the_rows_hold(rows: tuple[Agreement, Agreement]) -> None:
    binding, arch = rows
    near = {4: [binding, dataclasses.replace(binding, iterations=16)]}
    figure = draw_fidelities(near, [arch])
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in left.lines][1] == [136 / 120, 136 / 120]  # after the line at 1
    heights = [bar.get_height() for bar in right.patches if bar.get_height()]
    assert heights == [18, 2, 1] and sum(heights) == arch.steady
