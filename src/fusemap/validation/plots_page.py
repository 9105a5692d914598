"""What all pictures of a store share: sizes, colours, a page with title and notes, files with equal bytes."""

from __future__ import annotations

import hashlib
import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.diagnostics import input_error
from fusemap.validation.figures_draw import style

COLUMN_IN, PAGE_IN = 3.5, 7.0
WIDTHS: Mapping[str, float] = {"column": COLUMN_IN, "page": PAGE_IN}
# Okabe and Ito's palette, the darker ones first; with a mark and a dash each, for readers without colours
SERIES: tuple[tuple[str, str, Any], ...] = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", (0, (4, 1.5))),
    ("#009E73", "^", (0, (4, 1.5, 1, 1.5))),
    ("#CC79A7", "D", (0, (1, 1.2))),
    ("#E69F00", "v", (0, (7, 2))),
    ("#56B4E9", "P", (0, (2, 1))),
    ("#000000", "X", (0, (3, 1, 1, 1, 1, 1))),
)
CLOUD, MISSING = "#B8B8B8", "#EEEEEE"
COLOUR_MAP = "cividis"  # even in lightness, and the same for all kinds of colour vision
NOTE_SIZE = 7.5
_LINE_IN, _NOTE_IN = 0.155, 0.13


def series(number: int) -> tuple[str, str, Any]:
    """The colour, mark and dash of a series; InputError beyond those that can be told apart."""
    if number >= len(SERIES):
        raise input_error(f"more than {len(SERIES)} series cannot be told apart", hint="narrow them with --where")
    return SERIES[number]


def rendered(draw: Callable[[], Figure], suffix: str, shown: Iterable[object]) -> bytes:
    """A figure as the content of a `png` (200 dots per inch), `pdf` or `svg` file; equal input gives equal bytes.

    A PNG carries the fingerprint of what it shows, so that a stored picture can be told from a new one.
    """
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None, "Description": fingerprint(shown)},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    content = io.BytesIO()
    with style(), rc_context({"svg.hashsalt": "fusemap"}):
        draw().savefig(content, format=suffix, dpi=200, metadata=metadata[suffix])
    return content.getvalue()


def fingerprint(shown: Iterable[object]) -> str:
    """A digest of what a picture shows, numbers to 6 digits."""
    texts = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in shown]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


# --- the page -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Panels of a page: how many, and in inches their height and what is around and between them."""

    height: float
    rows: int = 1
    columns: int = 1
    left: float = 0.62
    right: float = 0.1
    top: float = 0.06
    bottom: float = 0.4
    gap: float = 0.5
    between: float = 0.5


def page(width: float, title: str, notes: Sequence[str], grid: Grid) -> tuple[Figure, list[Axes]]:
    """A figure with panels between a title and notes; it is as high as their text needs."""
    head, foot = wrapped(title, width, 8.5), [line for note in notes for line in wrapped(note, width, NOTE_SIZE)]
    top = grid.top + _LINE_IN * len(head) + 0.06
    bottom = grid.bottom + _NOTE_IN * len(foot) + (0.06 if foot else 0)
    total = top + bottom + grid.rows * grid.height + (grid.rows - 1) * grid.between
    figure = Figure(figsize=(width, total))
    figure.text(0.06 / width, 1 - 0.05 / total, "\n".join(head), va="top", size=8.5, linespacing=1.2)
    small: Any = {"va": "bottom", "size": NOTE_SIZE, "color": "#444444", "linespacing": 1.15}
    figure.text(0.06 / width, 0.05 / total, "\n".join(foot), **small)
    panels = figure.subplots(grid.rows, grid.columns, squeeze=False)
    panel = (width - grid.left - grid.right - (grid.columns - 1) * grid.gap) / grid.columns
    figure.subplots_adjust(
        left=grid.left / width,
        right=1 - grid.right / width,
        bottom=bottom / total,
        top=1 - top / total,
        wspace=grid.gap / panel,
        hspace=grid.between / grid.height,
    )
    return figure, list(panels.flat)


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Lines of a text that fit a width in inches (of the font, a character takes 0.43 of its size on average)."""
    return textwrap.wrap(text, int((width - 0.12) * 72 / (0.43 * size)), break_on_hyphens=False)
