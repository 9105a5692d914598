"""What a store has: its columns with their kinds, those that are axes of the sweep, and how many points there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from types import MappingProxyType

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.store_units import stem
from fusemap.validation.sweep_store import header, reading

_FIRST_RESULT = "mapped_by"  # the columns before it are the point's number and the axes
_MOST_NAMES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of a store: name and kind (TEXT, INTEGER, REAL), in order."""

    path: str
    name: str
    digest: str
    version: str
    points: int
    kinds: Mapping[str, str]
    axes: tuple[str, ...]

    @property
    def results(self) -> tuple[str, ...]:
        """The columns that an evaluation filled in."""
        return tuple(name for name in self.kinds if name != "point" and name not in self.axes)

    def numeric(self, name: str, *, what: str) -> str:
        """The column of numbers that is meant by a name, which may lack its unit (`area`); InputError for none."""
        return self.column(name, what=what, among=[c for c, kind in self.kinds.items() if kind != "TEXT"])

    def column(self, name: str, *, what: str, among: Sequence[str] | None = None) -> str:
        """The column that is meant by a name; InputError with the nearest one."""
        valid = [*self.kinds] if among is None else [*among]
        if name in valid:
            return name
        short = [column for column in valid if stem(column) == name]
        if len(short) == 1:
            return short[0]
        if name in self.kinds:
            numbers = ", ".join(c for c in valid if c in self.results)
            raise input_error(f"{what} {name}: the column has texts, not numbers", hint=f"numbers: {numbers}")
        hint = did_you_mean(name, valid, noun="columns")
        raise input_error(f'{what} {name}: the store has no column "{name}"', hint=hint)


def layout_of(store: str | PathLike[str]) -> Layout:
    """What a store says of itself; InputError where the file is none."""
    path = fspath(store)
    about = header(path)
    with reading(path) as connection:
        kinds = {row[1]: str(row[2]) for row in connection.execute("PRAGMA table_info(results)")}
    names = [*kinds]
    return Layout(
        path=path,
        name=about.name,
        digest=about.digest,
        version=about.version,
        points=about.points,
        kinds=MappingProxyType(kinds),
        axes=tuple(names[1 : names.index(_FIRST_RESULT)]),
    )


def names_in(layout: Layout, column: str) -> list[str]:
    """The different texts of a column, at most a thousand."""
    with reading(layout.path) as connection:
        found = connection.execute(
            f"SELECT DISTINCT {quoted(column)} FROM results WHERE {quoted(column)} IS NOT NULL LIMIT {_MOST_NAMES}"
        )
        return sorted(row[0] for row in found)


def quoted(column: str) -> str:
    """A column's name as SQL has it: in double quotes, those in it doubled.

    >>> print(quoted("dram.latency"))
    "dram.latency"
    """
    doubled = column.replace('"', '""')
    return f'"{doubled}"'
