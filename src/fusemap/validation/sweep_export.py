"""A store's rows as CSV or parquet, to a file or to any place that fsspec reaches."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fusemap.diagnostics import input_error
from fusemap.validation.sweep_store import header, reading, rows

FORMATS = ("csv", "parquet")
ROW_GROUP = 50_000


def export(store: str, target: str) -> int:
    """Write all rows of a store, ordered by point, to a `.csv` or `.parquet` file or URL; how many there are.

    A file is there whole or not at all. InputError for another ending or a package that is not installed.
    """
    write = {"csv": _csv, "parquet": _parquet}[_format(target)]
    header(store)
    with _opened(target) as stream:
        return write(store, stream)


def _format(target: str) -> str:
    suffix = PurePosixPath(target).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        found = f"the ending .{suffix}" if suffix else "no ending"
        raise input_error(
            f"the ending of {target} names its format, and it has {found}", hint="valid endings: .csv, .parquet"
        )
    return suffix


def _csv(store: str, stream: IO[bytes]) -> int:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header(store).columns)
    count = 0
    for block in rows(store):
        writer.writerows(block)
        count += len(block)
    text.detach()
    return count


def _parquet(store: str, stream: IO[bytes]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise input_error(
            "parquet needs the package pyarrow", hint="pip install 'fusemap[sweep]', or write .csv"
        ) from None
    kinds = {"INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "TEXT": pyarrow.string()}
    about = header(store)
    schema = pyarrow.schema(
        [(name, kinds[kind]) for name, kind in _kinds(store)],
        metadata={"fusemap.version": about.version, "fusemap.sweep": about.name, "fusemap.digest": about.digest},
    )
    count = 0
    with parquet.ParquetWriter(stream, schema) as writer:
        for block in rows(store, block=ROW_GROUP):
            columns = zip(*block, strict=True)
            arrays = [pyarrow.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(block)
    return count


def _kinds(store: str) -> list[tuple[str, str]]:
    with reading(store) as connection:
        return [(row[1], row[2]) for row in connection.execute("PRAGMA table_info(results)")]


@contextlib.contextmanager
def _opened(target: str) -> Iterator[IO[bytes]]:
    """A stream to a path, replaced in one step at the end, or to a URL."""
    if "://" in target:
        with _remote(target) as stream:
            yield stream
        return
    final = Path(os.path.realpath(target))
    draft = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "xb") as stream:
            yield stream
        os.replace(draft, final)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


@contextlib.contextmanager
def _remote(target: str) -> Iterator[IO[bytes]]:
    try:
        import fsspec
    except ImportError:
        raise input_error(f"{target} needs the package fsspec", hint="pip install 'fusemap[sweep]'") from None
    protocol = target.partition("://")[0]
    try:
        opened: Any = fsspec.open(target, "wb")
    except (ImportError, ValueError) as error:
        raise input_error(f"cannot write to {target}: {error}", hint=f"is there a package for {protocol}://?") from None
    with opened as stream:
        yield stream
