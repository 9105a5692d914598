"""What hardware gains: rows equal the mapping search on the derived files, verdicts, the picture, wrong input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib.image
import pytest
from conftest import Outcome

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.derive_gains import gains_page
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import load, parse
from fusemap.einsum_cascade.derive.search import Derivation, derive
from fusemap.sim.best_case import map_case
from fusemap.validation.derive_figure import draw_gains, render_gains
from fusemap.validation.derive_gains import Gain, Gains, chosen_of, form_of, gains
from fusemap.validation.figures_draw import style

Run = Callable[..., Outcome]
CASE = ("--arch", "fusemax-cloud", "--workload", "BERT@1K")
SMALL = ("--size", "M0=256", "--compare", "hoist", "--compare", "hoist-scan-2")


@cache
def derivation() -> Derivation:
    return derive(load("attention-3pass"), "M")


@cache
def found() -> Gains:
    machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@1K")
    return gains(derivation(), machine, workload, sizes={"M0": 256}, compare=("hoist", "hoist-scan-2"))


def row(name: str) -> Gain:
    return next(r for r in found().rows if r.name == f"attention-3pass{name}")


def test_rows_are_what_the_mapping_search_finds_for_the_derived_text() -> None:
    machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@1K")
    for name, sizes in (("", {}), ("-hoist-scan-2", {"M0": 256})):
        text = load("attention-3pass").text if not name else derivation().named(name[1:]).text
        best = map_case(parse(text), machine, workload, sizes=sizes).best
        mapped = row(name).mapped
        assert mapped is not None and mapped.proven and mapped.gap == 0
        assert mapped.latency_s == best.report.latency_s and mapped.energy_pj == best.energy_pj
        assert mapped.traffic_bytes == best.report.traffic_bytes
        assert mapped.limited_by == best.report.bottleneck


def test_operations_are_those_of_the_cascade() -> None:
    """By hand, where nothing is computed again: QK 2E, maximum 1, exp(x - y) 2, sum 1, division 1, AV 2F; 12 heads."""
    mapped = row("").mapped
    assert mapped is not None and mapped.operations == (2 * 64 + 1 + 2 + 1 + 1 + 2 * 64) * 1024 * 1024 * 64 * 12


def test_what_is_on_chip_fits() -> None:
    capacity = load_arch("fusemax-cloud").memories[1].capacity_bytes
    for found_row in found().rows:
        assert found_row.mapped is not None and 0 < found_row.mapped.buffer_bytes <= (capacity or 0)


def test_rows_come_by_passes_and_the_original_is_first() -> None:
    assert [(r.form, r.passes) for r in found().rows] == [("as written", 3), ("factored", 2), ("running", 1)]
    assert row("-hoist-scan-2").mapped.chunks == (("M1", 4), ("M0", 256))  # type: ignore[union-attr]


def test_by_default_the_best_of_each_form_and_number_of_passes() -> None:
    kinds = [(c.passes, form_of(c)) for c in chosen_of(derivation())]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {(2, "factored"), (2, "merged"), (2, "running"), (1, "merged"), (1, "running")}


@pytest.mark.slow
def test_chunks_are_searched_once_and_taken_over() -> None:
    machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@1K")
    some = gains(derivation(), machine, workload, compare=("hoist-scan-2", "hoist-scan-1"))
    assert len({r.mapped.chunks for r in some.rows[1:] if r.mapped}) == 1


def test_a_search_that_ends_early_has_a_gap() -> None:
    machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@1K")
    early = gains(derivation(), machine, workload, sizes={"M0": 256}, compare=("hoist",), stop=lambda: True)
    mapped = early.rows[-1].mapped
    assert mapped is not None and not mapped.proven and mapped.gap > 0
    assert " off" in gains_page(derivation(), early)


@pytest.mark.slow
def test_what_does_not_fit_is_a_row_with_its_reason() -> None:
    machine = load_arch("fusemax-cloud")
    outer, buffer, *rest = machine.memories
    tiny = replace(machine, memories=(outer, replace(buffer, capacity_bytes=2), *rest))
    none = gains(derivation(), tiny, load_workload("BERT@1K"), sizes={"M0": 256}, compare=("hoist-scan-2",))
    last = none.rows[-1]
    assert last.mapped is None and last.refusal == "no plan is legal (needs 1 plan of 0)"
    assert "hoist-scan-2 does not fit" in gains_page(derivation(), none)


def changed(name: str, **values: float) -> Gains:
    """The comparison with other numbers in one row."""
    rows = [
        replace(r, mapped=replace(r.mapped, **values)) if r.name.endswith(name) and r.mapped else r
        for r in found().rows
    ]
    return replace(found(), rows=tuple(rows))


@pytest.mark.parametrize(
    ("latency_s", "says"),
    [
        (1e-3, "fewer passes pay: hoist-scan-2 against hoist, latency 0."),
        (1.7915e-3, "fewer passes do not pay in time: hoist with 2 is as fast as hoist-scan-2 with 1"),
        (2e-3, "fewer passes do not pay in time: hoist with 2 is 11.7 % faster than hoist-scan-2 with 1"),
    ],
)
def test_the_page_says_whether_fewer_passes_pay(latency_s: float, says: str) -> None:
    page = gains_page(derivation(), changed("scan-2", latency_s=latency_s))
    assert says in " ".join(page.split())


def test_the_page_fits_a_terminal() -> None:
    page = gains_page(derivation(), found())
    assert max(map(len, page.splitlines())) <= 100
    assert "chunks: M0 = 256" in page and "as written" in page


@pytest.mark.parametrize(("width", "panels", "pixels"), [(7.0, 4, 1400), (3.5, 4, 700)])
def test_the_picture_has_a_bar_for_every_row_and_cost(width: float, panels: int, pixels: int) -> None:
    figure = draw_gains(found(), width=width)
    assert [len(axes.patches) for axes in figure.axes] == [3] * panels
    for axes in figure.axes:
        assert axes.get_xlabel()
        bars = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
        assert max(bars) <= axes.get_xlim()[1] and min(bars) > 0
    image = matplotlib.image.imread(BytesIO(render_gains(found(), "png", width=width)))
    assert image.shape[1] == pixels


def test_bars_are_the_numbers() -> None:
    bars = [bar.get_width() for bar in draw_gains(found()).axes[0].patches]  # type: ignore[attr-defined]
    assert all(math.isclose(b, r.mapped.latency_s * 1e3) for b, r in zip(bars, found().rows, strict=True) if r.mapped)


def test_texts_of_the_picture_lie_inside_it() -> None:
    for width in (7.0, 3.5):
        with style():
            figure = draw_gains(found(), width=width)
            figure.canvas.draw()
        box = figure.bbox
        for text in [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]:
            extent = text.get_window_extent()
            assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and extent.y1 <= box.y1


def test_equal_gains_give_equal_pictures() -> None:
    for suffix in ("png", "svg"):
        assert render_gains(found(), suffix) == render_gains(found(), suffix)
    assert render_gains(found(), "svg") != render_gains(changed("scan-2", latency_s=1.0), "svg")


def test_the_command_prints_draws_and_documents(fusemap: Run, tmp_path: Path) -> None:
    target = tmp_path / "gains.pdf"
    document = fusemap("derive", "attention-3pass", *CASE, *SMALL, "--figure", str(target), "--json").json()
    assert document["schema"] == "fusemap/derive/1" and target.read_bytes().startswith(b"%PDF")
    rows = document["gains"]["rows"]
    assert [r["passes"] for r in rows] == [3, 2, 1]
    assert rows[2]["mapping"]["latency_s"] == row("-hoist-scan-2").mapped.latency_s  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("attention-3pass", "--arch", "fusemax-cloud"), "needs --arch and --workload"),
        (("attention-3pass", *CASE, "--figure", "gains.txt"), "the ending of gains.txt"),
        (("attention-3pass", *CASE, "--size", "M9=4"), "no rank is named M9"),
        (("attention-3pass", *CASE, "--compare", "hoist-scam"), "no candidate hoist-scam"),
        (("softmax", "--all"), "--all is the whole library"),
        (("--all", "--json", "--markdown"), "exclude each other"),
        ((), "Missing argument 'CASCADE'"),
    ],
)
def test_wrong_input(fusemap: Run, argv: tuple[str, ...], message: str) -> None:
    outcome = fusemap("derive", *argv)
    assert outcome.code == 2 and message in outcome.err and "Traceback" not in outcome.err


def test_names_and_sizes_are_checked_before_the_search() -> None:
    machine, workload = load_arch("fusemax-cloud"), load_workload("BERT@1K")
    with pytest.raises(InputError, match="did you mean hoist-scan-2"):
        gains(derivation(), machine, workload, compare=("hoist-scam-2",))
