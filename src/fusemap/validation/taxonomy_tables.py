"""The taxonomy as tables of text cells, and as the Markdown page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from fusemap.einsum_cascade.passes.types import PassCount
from fusemap.validation.tables import Table
from fusemap.validation.taxonomy_rows import Fiber, Row, Taxonomy

_LIBRARY = "../src/fusemap/einsum_cascade/library"
_FORMS = {"direct": "as written", "streaming": "streaming"}
COLUMNS = """\
Passes are proven for every mapping, "1 to 3" where the best schedule that was found makes three; "stored" is the \
count when every derived tensor is stored instead of computed again. State is what a step of a \
streaming form hands to the next, in elements, for one coordinate of the ranks behind "per"; empty where there is none \
or where it grows with the sequence under the default order of the loops."""
OPERATIONS = "Operations of the whole cascade, no filter exploited"


def heading(count: PassCount) -> str:
    """The name of a group.

    >>> heading(PassCount(constant=1)), heading(PassCount(constant=3))
    ('1 pass', '3 passes')
    """
    return f"{count} pass{'es' * (str(count) != '1')}"


def group_table(rows: Iterable[Row]) -> Table:
    """A group's rows for a terminal: attention, cascade, rank, passes, state."""
    cells = tuple(
        (
            row.name,
            row.cascade,
            row.fibers[0].label,
            row.fibers[0].text,
            str(row.fibers[0].stored),
            row.state.text if row.state else "",
        )
        for row in rows
    )
    headers = ("attention", "cascade", "rank", "passes", "stored", "state")
    return Table(headers=headers, align="llllrl", rows=cells)


def operations_table(found: Taxonomy) -> Table:
    """Exponentials and divisions of every cascade."""
    cells = {row.cascade: (row.cascade, row.operations.exp, row.operations.div) for row in found.rows}
    return Table(headers=("cascade", "exp", "div"), align="lll", rows=tuple(cells.values()))


def markdown(found: Taxonomy) -> str:
    """The page `docs/zoo.md`."""
    blocks = [
        "# Attentions by the passes of their cascades",
        "<!-- Made by `fusemap taxonomy --markdown`; a test holds it equal. -->",
        _INTRODUCTION,
        "```console\n$ fusemap taxonomy\n```",
        f"{COLUMNS} exp and div: {OPERATIONS[0].lower()}{OPERATIONS[1:]}.",
        *(_group(count, rows) for count, rows in found.groups),
        _COMPARISON,
        _comparison_table(found),
        "## Where the analysis and the estimate differ",
        "\n".join(_bullets(found, differences=True)),
        "## Where proof and schedule differ",
        "The proven number is a lower bound for every mapping. The schedules that the analysis looks for sweep over the"
        "\nrank, up or down, and keep a few coordinates; where these need more passes, the truth lies between.",
        "\n".join(_bullets(found, differences=False)),
        "## Left out",
        "\n".join(f"- {paper.name}: {paper.reason}" for paper in found.left_out),
    ]
    return "\n\n".join(blocks) + "\n"


_INTRODUCTION = """\
FuseMax (MICRO 2024) sorts attention algorithms in its Table I by how often their cascades must pass over the keys.
This page does the same for every attention of the library, with passes that `fusemap analyze` proves;
[passes.md](passes.md) says what that means. Each attention stands here as its paper writes it and, where there is
one, in a streaming form that gives the same result."""

_COMPARISON = """\
## Against the estimates

Before the analysis existed, passes were estimated by hand from each paper: of the equations as written, and of the best
form that could be thought of. The columns show the analysis / the estimate; a star marks an estimate that the analysis
rules out, explained below."""


def _group(count: PassCount, rows: Iterable[Row]) -> str:
    header = ("attention", "form", "cascade", "rank", "passes", "stored", "also", "state", "exp", "div", "citation")
    lines = [
        (
            row.name,
            _FORMS[row.form],
            f"[{row.cascade}]({_LIBRARY}/{row.cascade}.cascade)",
            row.fibers[0].label,
            _passes(row.fibers[0]),
            str(row.fibers[0].stored),
            "; ".join(f"{fiber.label}: {_passes(fiber)}" for fiber in row.fibers[1:]),
            row.state.text.replace("*", "\\*") if row.state else "",
            _formula(row.operations.exp),
            _formula(row.operations.div),
            row.entry.citation,
        )
        for row in rows
    ]
    return f"## {heading(count)}\n\n{_table(header, lines)}"


def _passes(fiber: Fiber) -> str:
    return fiber.text + (f" if {' and '.join(fiber.when)}" if fiber.when else "")


def _formula(text: str) -> str:
    return f"`{text}`" if text != "0" else "0"


def _comparison_table(found: Taxonomy) -> str:
    lines = []
    for _, group in groupby(found.rows, key=lambda row: row.entry.name):
        forms = {row.form: row for row in group}
        written, streaming = forms["direct"], forms.get("streaming")
        for n, fiber in enumerate(written.fibers):
            other = _against(streaming.fibers[n]) if streaming else "-"
            lines.append((written.entry.name if n == 0 else "", fiber.label, _against(fiber), other))
    return _table(("attention", "rank", "as written", "streaming"), lines)


def _against(fiber: Fiber) -> str:
    return f"{fiber.text} / {fiber.estimate}" + ("" if fiber.as_estimated else " *")


def _bullets(found: Taxonomy, *, differences: bool) -> Iterator[str]:
    """The explanations; one that holds for both forms of an attention stands once."""
    told: set[tuple[str, str]] = set()
    for row in found.rows:
        for fiber in row.fibers:
            why = fiber.difference if differences else fiber.inexact
            if not why or (row.entry.name, why) in told:
                continue
            told.add((row.entry.name, why))
            numbers = f"{fiber.text} instead of {fiber.estimate}" if differences else fiber.text
            yield f"- **{row.entry.name}**, {_FORMS[row.form]}, {fiber.label}: {numbers}. {why}"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    headers = tuple(headers)
    lines = [headers, ("---",) * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
