"""The pictures of docs/pareto.md are those that its commands draw of its sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pytest
from PIL import Image
from test_readme import ROOT, blocks

import fusemap as fm
from fusemap.validation.pareto import fronts_of
from fusemap.validation.plots_front import axes_of, front_of
from fusemap.validation.plots_heatmap import heat_map
from fusemap.validation.plots_page import fingerprint
from fusemap.validation.plots_scatter import scatter
from fusemap.validation.plots_tornado import tornado
from fusemap.validation.plots_traffic import traffic
from fusemap.validation.store_layout import layout_of

PAGE = (ROOT / "docs" / "pareto.md").read_text(encoding="utf-8")


class Plot(Protocol):
    """What a picture shows."""

    def shown(self) -> Iterable[object]: ...


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the page's sweeps, done."""
    directory = tmp_path_factory.mktemp("docs")
    for block in blocks(PAGE):
        if block.file:
            (directory / block.file).write_text(block.text)
            fm.sweep(directory / block.file, out=directory / block.file.replace(".yaml", ".sqlite"), jobs=1)
    return directory


def front(store: str, *axes: str) -> Plot:
    layout = layout_of(store)
    objectives = axes_of(layout, {f"--{i}": axis for i, axis in enumerate(axes)}, ())
    return front_of(fronts_of(layout, objectives, by=["cascade"]))


ONE = ("cascade == attention-1pass",)
PICTURES: dict[str, tuple[str, Callable[[str], Plot]]] = {
    "front": ("designs", lambda store: front(store, "area", "latency")),
    "front-3": ("designs", lambda store: front(store, "area", "latency", "energy")),
    "tornado": ("designs", lambda store: tornado(store, y="latency", base="best")),
    "heatmap": ("designs", lambda s: heat_map(s, x="array_1d.lanes", y="array_2d.columns", z="latency", where=ONE)),
    "scatter": ("designs", lambda store: scatter(store, x="area", y="energy", z="utilization.array_2d")),
    "traffic": ("buffers", traffic),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_what_its_command_draws(name: str, stores: Path) -> None:
    sweep, plot = PICTURES[name]
    assert f"](pareto-{name}.png)" in PAGE and f" --out {name}.png\n" in PAGE
    with Image.open(ROOT / "docs" / f"pareto-{name}.png") as image:
        shown = plot(str(stores / f"{sweep}.sqlite")).shown()
        assert image.info["Description"] == fingerprint(shown), "the commands of docs/pareto.md make it anew"
        assert image.size[0] in (700, 1400)


def test_every_picture_of_the_page_is_compared() -> None:
    assert PAGE.count("](pareto-") == len(PICTURES)


def test_another_number_has_another_fingerprint() -> None:
    assert fingerprint(["a", 1.0]) == fingerprint(["a", 1.0 + 1e-9]) != fingerprint(["a", 1.0 + 1e-4])
