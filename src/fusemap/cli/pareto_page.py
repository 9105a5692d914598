"""The page of `fusemap pareto`: a table of each front, and what became of the rows that are on none."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from fusemap.cli.output import table
from fusemap.validation.pareto import Front, Pareto
from fusemap.validation.store_units import listed, shown, stem

WIDTH = 100


def page(found: Pareto, most: int) -> str:
    """The fronts for people, at most so many lines of each, and what is not in them."""
    kept = sum(len(front.rows) for front in found.fronts)
    goals = listed([str(objective) for objective in found.objectives])
    head = f"{found.layout.name}: {kept:,} of {found.counts.used:,} rows are not beaten in {goals}"
    head += f", within their {listed([stem(column) for column in found.by])}" if found.by else ""
    notes = found.counts.sentences()
    if found.ties:
        notes.insert(0, f"{found.ties:,} rows are equal to another one in all objectives: all are kept, on one line")
    blocks = [_wrapped(head), *(_front(found, front, most) for front in found.fronts)]
    return "\n\n".join([*blocks, *(["\n".join(map(_wrapped, notes))] if notes else [])])


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def _front(found: Pareto, front: Front, most: int) -> str:
    """A table with the objectives and the axes that differ on the front; the others are said once."""
    varied = [axis for axis in found.layout.axes if len({row[axis] for row in front.rows}) > 1]
    same = [axis for axis in found.layout.axes if axis not in varied and axis not in found.by]
    columns = [*found.columns, *(axis for axis in varied if axis not in found.columns)]
    alike = _alike(found, front)
    ties = max(map(len, alike)) > 1
    cells = [
        [*(shown(c, rows[0][c]) for c in columns), str(rows[0]["point"]), *([str(len(rows))] if ties else [])]
        for rows in alike[:most]
    ]
    headers = [*(_short(c, columns) for c in columns), "point", *(["rows"] if ties else [])]
    align = "".join("l" if found.layout.kinds[c] == "TEXT" else "r" for c in columns) + "r" * (2 if ties else 1)
    title = f"{front.name}: {len(front.rows):,} of {front.candidates:,} rows" if front.group else ""
    constant = "all with " + ", ".join(f"{stem(axis)} {shown(axis, front.rows[0][axis])}" for axis in same)
    more = f"... and {len(alike) - most:,} more lines (--rows, --json, --out)" if len(alike) > most else ""
    lines = [title, _wrapped(constant) if same else "", table(cells, headers, align, width=WIDTH), more]
    return "\n".join(line for line in lines if line)


def _short(column: str, columns: Sequence[str]) -> str:
    """The column's name without its unit, which is in the cells, if no other one is called so."""
    return stem(column) if [stem(other) for other in columns].count(stem(column)) == 1 else column


def _alike(found: Pareto, front: Front) -> list[list[Mapping[str, Any]]]:
    """The rows of a front, those with equal objectives together."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in front.rows:
        alike.setdefault(tuple(row[c] for c in found.columns), []).append(row)
    return list(alike.values())
