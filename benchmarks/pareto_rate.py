"""How long `fusemap pareto` and `fusemap plot` take for a store of a million rows, and how much memory.

Run `python benchmarks/pareto_rate.py [ROWS]`. The store is made of random numbers with a trade-off between latency and
energy; every fiftieth row does not fit. Each command runs in a process of its own.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fusemap.validation.sweep_store import SCHEMA

NAMES = ("attention-1pass", "attention-3pass")
TIMED = """
import contextlib, io, resource, sys, time
from fusemap.cli.main import main
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
seconds = time.perf_counter() - start
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(code, round(seconds, 2), round(time.process_time(), 2), megabytes)
"""
COMMANDS = (
    "pareto STORE",
    "pareto STORE --minimize latency,energy,area",
    "pareto STORE --minimize latency,energy,area,traffic",
    "pareto STORE --by cascade,pe",
    "pareto STORE --where pe>=64",
    "plot pareto STORE --by cascade --out front.png",
    "plot pareto STORE --z area --by cascade --width page --out front-3.svg",
    "plot scatter STORE --z area --out scatter.png",
    "plot heatmap STORE --x pe --y global_buffer.capacity --out map.png",
    "plot tornado STORE --out tornado.png",
)


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the store: 5 x 11 x many machines of two cascades."""
    random = np.random.default_rng(0)
    latency = np.exp(random.normal(-3, 1, count))
    energy = np.exp(random.normal(0, 0.6, count)) * 1e13 / np.sqrt(latency)
    area = np.exp(random.normal(0, 0.5, count)) * 1e9
    for i in range(count):
        sizes = 2 ** (5 + i // 2 % 5), 2 ** (16 + i // 10 % 11), i // 110
        axes = (NAMES[i % 2], "flat", "flat-cloud", "BERT@4K", *sizes)
        if i % 50 == 7:
            yield (i, *axes, None, "does not fit", "buffer: needs more", None, None, None, None, None)
        else:
            yield (i, *axes, "flat", "ok", None, latency[i], energy[i], area[i], energy[i] * 1e-3, "dram")


def write(path: Path, count: int) -> None:
    """A store with the columns of a sweep."""
    texts = ("cascade", "dataflow", "arch", "workload")
    axes = {**dict.fromkeys(texts, "TEXT"), **dict.fromkeys(("pe", "global_buffer.capacity_bytes", "lanes"), "INTEGER")}
    kinds = {"point": "INTEGER PRIMARY KEY", **axes, **dict.fromkeys(("mapped_by", "status", "reason"), "TEXT")}
    kinds |= dict.fromkeys(("latency_s", "energy_pj", "area_um2", "traffic_bytes"), "REAL") | {"bottleneck": "TEXT"}
    about = {"schema": SCHEMA, "name": "random", "digest": "0", "version": "0", "points": str(count), "axes": "[]"}
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE sweep (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute(f"CREATE TABLE results ({', '.join(f'{json.dumps(k)} {v}' for k, v in kinds.items())})")
        connection.executemany("INSERT INTO sweep VALUES (?, ?)", about.items())
        connection.executemany(f"INSERT INTO results VALUES ({', '.join('?' * len(kinds))})", rows(count))
    connection.close()


def main() -> None:
    """Write the store, time every command."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "store.sqlite"
        write(store, count)
        print(f"{count:,} rows, {store.stat().st_size / 1e6:,.0f} MB")
        for command in COMMANDS:
            argv = [sys.executable, "-c", TIMED, *command.replace("STORE", str(store)).split()]
            done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=True)
            code, seconds, cpu, megabytes = done.stdout.split()
            print(f"{seconds:>7} s, {cpu:>6} s of CPU, {megabytes:>4} MB  exit {code}  fusemap {command}")


if __name__ == "__main__":
    main()
