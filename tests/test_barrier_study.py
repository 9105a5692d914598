"""The study of what becomes of the scores of attention with three passes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from matplotlib.image import imread

from fusemap.validation.barrier_study import SPACES, barrier_row, barrier_rows, render_barriers

MEBI = 1 << 20
PAGE = Path(__file__).parents[1] / "docs" / "mapping-barriers.md"


@pytest.mark.parametrize(
    ("length", "fate"), [(32 << 10, "held"), pytest.param(128 << 10, "recomputed", marks=pytest.mark.slow)]
)
def test_holding_gives_way_to_computing_again(length: int, fate: str) -> None:
    best = barrier_row(length, 16 * MEBI, "best")
    assert dict(best.fates)["QK"] == fate
    assert best.traffic_bytes == min(barrier_row(length, 16 * MEBI, space).traffic_bytes for space in SPACES)
    assert best.traffic_bytes >= best.bound_bytes
    assert (best.traffic_bytes == best.bound_bytes) == (fate == "held")


@pytest.mark.slow
def test_the_page_says_what_is_found() -> None:
    once = min(barrier_row(256 << 10, 16 * MEBI, space).traffic_bytes for space in ("hold", "spill"))
    again = barrier_row(256 << 10, 16 * MEBI, "best").traffic_bytes
    text = PAGE.read_text(encoding="utf-8")
    assert f"{once / 1e9:.1f} GB if every Einsum runs once" in text
    assert f"{again / 1e9:.2f} GB if scores may be computed" in text


def test_scores_that_do_not_fit_pass_through_memory() -> None:
    assert barrier_row(1 << 10, 256 << 10, "spill").through_memory
    assert not barrier_row(1 << 10, 256 << 10, "hold").through_memory


@pytest.mark.slow
def test_the_picture_has_the_width_of_a_column() -> None:
    picture = imread(io.BytesIO(render_barriers(barrier_rows((1 << 10, 4 << 10), (2 * MEBI,)))))
    assert picture.shape[1] == 1050
    assert picture[..., :3].min() < 0.1 < picture[..., :3].mean()
