"""Results of a sweep in an SQLite file: one row per point, written as they come, by one writer at a time.

Every block of results is one transaction in write-ahead mode, so whatever ends the process, the file holds whole
blocks. It names the digest of the sweep and the version of fusemap, and takes results of no other.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusemap.archspec.batches import Index
from fusemap.diagnostics import InputError, input_error
from fusemap.validation.sweep_points import Results, result_columns
from fusemap.validation.sweep_spec import Sweep
from fusemap.version import VERSION

SCHEMA = "fusemap/sweep-store/1"
_TEXTS = ("mapped_by", "status", "reason", "bottleneck")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a store says of itself."""

    name: str
    digest: str
    version: str
    points: int
    columns: tuple[str, ...]


class Store:
    """A store that is open for writing; use it as a context, which gives it back whole."""

    def __init__(self, path: str, sweep: Sweep, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path, self.sweep, self._connection, self._lock = path, sweep, connection, lock
        marks = ", ".join("?" * len(_columns(sweep)))
        self._insert = f"INSERT INTO results VALUES ({marks})"

    def add(self, results: Results) -> None:
        """Write the rows of some points, all or none of them; IntegrityError for a point that is there."""
        space = self.sweep.space
        places = space.places(results.index)
        columns = [results.index.tolist()]
        columns += [space.column(axis, places[axis.column]).tolist() for axis in space.axes]
        columns += [results.columns[name] for name in result_columns(self.sweep)]
        try:
            with self._connection:
                self._connection.executemany(self._insert, zip(*columns, strict=True))
        except sqlite3.OperationalError as error:  # a disk that is full, or gone
            raise OSError(errno.EIO, str(error), self.path) from error

    def missing(self, index: Index) -> Index:
        """Those of some points, given in order, that have no row yet."""
        if not len(index):
            return index
        rows = self._connection.execute(
            "SELECT point FROM results WHERE point BETWEEN ? AND ?", (int(index[0]), int(index[-1]))
        )
        return np.setdiff1d(index, np.fromiter((row[0] for row in rows), dtype=np.int64), assume_unique=True)

    def statuses(self) -> dict[str, int]:
        """How many rows there are of each status."""
        return _statuses(self._connection)

    def close(self) -> None:
        """Fold the log into the file and give the lock back."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode=DELETE")  # one file, which a read-only disk can hold
        self._connection.close()
        _unlocked(self.path, self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_store(path: str, sweep: Sweep, *, points: int, resume: bool) -> Store:
    """A new store, or with `resume` one that is there; InputError as `require_room`, or where it is being written."""
    lock = _locked(path)
    try:
        require_room(path, sweep, resume=resume)
        return Store(path, sweep, _connected(path, sweep, points), lock)
    except BaseException:
        _unlocked(path, lock)
        raise


def _connected(path: str, sweep: Sweep, points: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level="DEFERRED")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # what a crash of the machine takes is whole blocks
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sweep'").fetchone():
        _create(connection, sweep, points)
    return connection


def require_room(path: str, sweep: Sweep, *, resume: bool) -> None:
    """InputError where a file is in the way, or is of another sweep or version."""
    if not os.path.exists(path) or _is_empty(path):
        return
    if not resume:
        raise input_error(f"{path} exists", hint="--resume goes on with it; or name a new file")
    _require_same(header(path), path, sweep)


def _is_empty(path: str) -> bool:
    """True for a database without tables: a sweep was ended before its first row."""
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError:
        return False


def header(path: str) -> Header:
    """What a store says of itself; InputError where the file is none."""
    with reading(path) as connection:
        found = dict(connection.execute("SELECT key, value FROM sweep"))
        return Header(
            name=found["name"],
            digest=found["digest"],
            version=found["version"],
            points=int(found["points"]),
            columns=tuple(row[1] for row in connection.execute("PRAGMA table_info(results)")),
        )


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A store open for reading, also while it is written."""
    if not Path(path).is_file():
        raise input_error(f"cannot read {path}: no such file")
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT value FROM sweep WHERE key = 'schema'").fetchone()
            if found != (SCHEMA,):
                raise _no_store(path)
            yield connection
    except sqlite3.DatabaseError:
        raise _no_store(path) from None


def rows(path: str, *, block: int = 10_000) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a store in the order of their points, a block at a time."""
    with reading(path) as connection:
        cursor = connection.execute("SELECT * FROM results ORDER BY point")
        while found := cursor.fetchmany(block):
            yield found


def statuses(path: str) -> dict[str, int]:
    """How many rows a store has of each status."""
    with reading(path) as connection:
        return _statuses(connection)


def _statuses(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT status, count(*) FROM results GROUP BY status ORDER BY status"))


def _no_store(path: str) -> InputError:
    return input_error(f"{path} is no store of a sweep", hint="fusemap sweep SPEC.yaml --out FILE writes one")


def _require_same(found: Header, path: str, sweep: Sweep) -> None:
    if found.digest != sweep.digest:
        other = f"{found.name} ({found.digest[:12]})"
        message = f"{path} is of another sweep: {other}, not {sweep.name} ({sweep.digest[:12]})"
        hint = "its values, conditions and files must be the same to go on with it: name a new file"
        raise input_error(message, hint=hint)
    if found.version != VERSION:
        message = f"{path} was written by fusemap {found.version}, this is {VERSION}"
        raise input_error(message, hint="numbers of two versions do not mix: name a new file")


def _create(connection: sqlite3.Connection, sweep: Sweep, points: int) -> None:
    about = {
        "schema": SCHEMA,
        "name": sweep.name,
        "digest": sweep.digest,
        "version": VERSION,
        "points": str(points),
        "axes": json.dumps([[axis.column, len(axis.values)] for axis in sweep.space.axes]),
    }
    kinds = {"point": "INTEGER PRIMARY KEY"}
    for axis in sweep.space.axes:
        whole = isinstance(axis.values[0], int)
        kinds[axis.column] = "TEXT" if not axis.numeric else "INTEGER" if whole else "REAL"
    kinds |= {name: "TEXT" if name in _TEXTS else "REAL" for name in result_columns(sweep)}
    listed = ", ".join(f'"{name}" {kinds[name]}' for name in _columns(sweep))
    with connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute(f"CREATE TABLE results ({listed})")
        connection.executemany("INSERT INTO sweep VALUES (?, ?)", about.items())


def _columns(sweep: Sweep) -> Sequence[str]:
    return ("point", *(axis.column for axis in sweep.space.axes), *result_columns(sweep))


def _locked(path: str) -> int | None:
    """A lock that the system takes back with the process; None where there are no such locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    try:
        lock = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise input_error(f"{path} is being written by another sweep") from None
    return lock


def _unlocked(path: str, lock: int | None) -> None:
    if lock is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}-lock")
        os.close(lock)
