"""Stores of sweeps for tests: written row by row, or swept; and the fronts of their rows by comparing all pairs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusemap.validation.sweep_store import SCHEMA

TEXTS = ("cascade", "dataflow", "arch", "workload")
RESULTS = ("mapped_by", "status", "reason", "latency_s", "energy_pj", "area_um2", "traffic_bytes", "bottleneck")
UTILIZATION = "utilization.array_2d"
Row = Mapping[str, Any]


def write_store(path: Path, rows: Iterable[Row], *, axes: Sequence[str] = ("pe",), points: int | None = None) -> str:
    """A store of some rows as a sweep writes it; what a row leaves out is the same for all, or missing."""
    columns = ("point", *TEXTS, *axes, *RESULTS, UTILIZATION)
    kinds = {**dict.fromkeys((*TEXTS, "mapped_by", "status", "reason", "bottleneck"), "TEXT"), "point": "INTEGER"}
    kinds |= dict.fromkeys(axes, "INTEGER")
    given = [{**defaults(number), **row} for number, row in enumerate(rows)]
    about = {"schema": SCHEMA, "name": "tried", "digest": "d" * 64, "version": "0", "points": str(points or len(given))}
    connection = sqlite3.connect(path)
    listed = ", ".join(f'"{c}" {kinds.get(c, "REAL")}{" PRIMARY KEY" if c == "point" else ""}' for c in columns)
    connection.execute("CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute(f"CREATE TABLE results ({listed})")
    connection.executemany("INSERT INTO sweep VALUES (?, ?)", (about | {"axes": json.dumps([])}).items())
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO results VALUES ({marks})", ([row.get(c) for c in columns] for row in given))
    connection.commit()
    connection.close()
    return str(path)


def defaults(number: int) -> dict[str, Any]:
    """What a row has unless it says otherwise."""
    names = {"cascade": "softmax", "dataflow": "flat", "arch": "flat-cloud", "workload": "BERT@4K"}
    return {"point": number, **names, "mapped_by": "flat", "status": "ok", "bottleneck": "dram"}


def beats(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the first is at most the second everywhere, and less somewhere."""
    return all(a <= b for a, b in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def front_by_pairs(values: Sequence[Sequence[float]]) -> list[bool]:
    """Which of some points no other one beats, by comparing all pairs."""
    return [not any(beats(other, value) for other in values) for value in values]
