"""The study of derived cascades as tables of text cells, and as the Markdown page of the documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from fusemap.validation.derive_study import Kind, Study, StudyRow
from fusemap.validation.tables import Table

_LIBRARY = "../src/fusemap/einsum_cascade/library"
WHY: Mapping[Kind, str] = {
    "owned": "an output has the rank and needs what is complete only after it",
    "apart": "terms change with a statistic by no common factor, and are no polynomial of one",
    "index": "the rank stands in a sum or quotient of an index",
    "data": "the cascade reads or selects at coordinates that are data",
    "product": "the rank is declared as a product, or a part of one",
    "steps": "the cascade steps through a rank already: running values, a recurrence",
}


def summary(study: Study) -> str:
    """What came out, in a sentence."""
    reduced, every = study.of("one", "fewer"), study.rows
    safe = sum(row.safe for row in reduced)
    one, fewer = len(study.of("one")), len(study.of("fewer"))
    return (
        f"{len({row.cascade for row in every})} cascades need more than one pass over {len(every)} ranks together. "
        f"Of these ranks {one} come down to one pass and {fewer} to fewer than before; "
        f"{safe} are as accurate as before on unmasked inputs of all magnitudes."
    )


def reduced_table(study: Study) -> Table:
    """Cascades that need fewer passes: before, after, how, and where they are less accurate."""
    cells = tuple(_reduced(row) for row in study.of("one", "fewer"))
    headers = ("cascade", "rank", "passes", "best", "rules", "accuracy", "no fewer because")
    return Table(headers=headers, align="lllllll", rows=cells)


def others_table(study: Study) -> Table:
    """Cascades that no rule reduces, by the reason."""
    tables = [_table(study, kind) for kind in WHY]
    return Table(headers=tables[0].headers, align="lll", rows=tuple(row for found in tables for row in found.rows))


def _reduced(row: StudyRow) -> tuple[str, ...]:
    left = "; ".join(dict.fromkeys(row.reasons)) if row.after > 1 else ""
    where = "; ".join(row.accuracy) or "as the original"
    return (row.cascade, row.rank, f"{row.before} to {row.after}", row.best, row.rules, where, left)


def _others(rows: Iterable[StudyRow]) -> Iterator[tuple[str, str, str]]:
    """One line for the ranks of a cascade that have the same reasons."""
    for (cascade, reasons), group in groupby(rows, key=lambda row: (row.cascade, row.reasons)):
        yield cascade, ", ".join(f"{row.rank} ({row.before})" for row in group), "; ".join(reasons)


def lines(study: Study) -> tuple[str, ...]:
    """The lines of the page's tables, without their heads."""
    tables = [reduced_table(study), *(_table(study, kind) for kind in WHY)]
    return tuple(line for found in tables for line in _markdown_table(found).splitlines()[2:])


def markdown(study: Study) -> str:
    """The page `docs/derive-zoo.md`."""
    blocks = [
        "# What `fusemap derive` makes of the library",
        "<!-- Made by `fusemap derive --all --markdown`; a test holds it equal. -->",
        _INTRODUCTION,
        "```console\n$ fusemap derive softmax --rank K\n```",
        textwrap.fill(summary(study), 118),
        "## Fewer passes",
        _COLUMNS,
        _markdown_table(reduced_table(study)),
        *(_section(study, kind, why) for kind, why in WHY.items() if study.of(kind)),
    ]
    return "\n\n".join(blocks) + "\n"


_INTRODUCTION = """\
Every cascade of the library, over every rank over which some tensor needs more than one pass, through the rules of
[derive.md](derive.md). What is derived was parsed and analysed again and executed against the original. `fusemap derive
--all` computes the page anew in about a minute; a single line is"""

_COLUMNS = """\
`best` is the candidate with the fewest passes, of those a safe one. Accuracy compares float64 with long double on
normal inputs, 1e4 times normal ones, normal ones about 1e4 (all inputs, or only those of which statistics are taken), a
third of the elements masked, and the first chunk masked; "not finite at first chunk masked" is what `--safe` is for.
The last column says why passes are left."""


def _section(study: Study, kind: Kind, why: str) -> str:
    return f"## Not reduced: {why}\n\n{_markdown_table(_table(study, kind))}"


def _table(study: Study, kind: Kind) -> Table:
    return Table(headers=("cascade", "ranks (passes)", "why not"), align="lll", rows=tuple(_others(study.of(kind))))


def _markdown_table(found: Table) -> str:
    lines = [found.headers, ("---",) * len(found.headers), *((_linked(row[0]), *row[1:]) for row in found.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _linked(cascade: str) -> str:
    return f"[{cascade}]({_LIBRARY}/{cascade}.cascade)"
