"""Kill a sweep at random moments, resume it every time, and compare with a run that nothing interrupted.

    python benchmarks/sweep_faults.py --kills 20

Each kill is SIGKILL to the parent of two worker processes, while they start or while they work. After it the
database is checked, and that the workers are gone. At the end every point must be there once, and the exported table
must be byte for byte that of the run that was not interrupted. Ends with exit code 1 where one of this fails.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

import fusemap
from fusemap.cli.output import table
from fusemap.validation.sweep_export import export

SPEC = """
cascade: attention-1pass
dataflow: [fusemax-binding, fusemax-arch]
arch: fusemax-cloud
workload: BERT
length: [1K, 4K, 16K]
parameters: {{pe: [64, 128, 256]}}
machine:
  dram.bandwidth: {{from: 100 GiB/s, to: 1600 GiB/s, count: {count}, scale: log}}
  global_buffer.capacity: [8 KiB, 16 MiB, 32 MiB]
"""
GRID = 2 * 3 * 3 * 3
BLOCK = 32
EARLY = 4  # every fourth kill falls while the processes start


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What one kill left: seconds after the start, rows, whether the database is sound, workers after `gone_s`."""

    after_s: float
    rows: int
    sound: bool
    workers: int
    gone_s: float
    left: int


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--points", type=int, default=20_000, help="about as many points (default 20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the files go (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return judged(Path(options.folder or temporary), options.kills, options.points, random.Random(options.seed))


def judged(folder: Path, kills: int, points: int, draw: random.Random) -> int:
    """All kills and the comparison."""
    spec = folder / "faults.yaml"
    spec.write_text(SPEC.format(count=max(1, points // GRID)))
    whole, killed = folder / "whole.sqlite", folder / "killed.sqlite"
    first_s, seconds = uninterrupted(spec, whole)
    total = count(whole)
    print(f"{total:,} points, uninterrupted in {seconds:.1f} s with 2 processes, the first after {first_s:.1f} s\n")
    share = 1.2 * (seconds - first_s) / kills  # so that about as many kills as are asked for find work
    moments = [(number % EARLY == EARLY - 1, draw.random()) for number in range(kills)]
    found = [kill(spec, killed, first_s * at if early else share * at, early=early) for early, at in moments]
    print(table([row(i, k) for i, k in enumerate(found, 1)], HEAD, "rrrrrrr"))
    run(spec, killed).wait()
    same = [exported(store) for store in (whole, killed)]
    rows, distinct = count(killed), count(killed, "DISTINCT point")
    print(f"\nafter the last resume: {rows:,} rows of {distinct:,} points")
    identical = same[0] == same[1]
    good = identical and rows == distinct == total and all(k.sound and not k.left for k in found)
    cut = sum(k.rows < total for k in found)
    hit = sum(k.workers > 0 for k in found)
    print(f"{cut} of {kills} kills hit a sweep that was not done, {hit} one with workers")
    print(f"{sum(not k.sound for k in found)} broke the database")
    gone = [k.gone_s for k in found if k.workers]
    if gone:
        print(f"workers gone after {statistics.median(gone):.2f} s (median), {max(gone):.2f} s (most)")
    print(f"exports {'identical' if identical else 'DIFFER'}: {len(same[0]):,} bytes")
    print("every point once, results identical" if good else "FAILED")
    return 0 if good else 1


HEAD = ["kill", "after s", "rows", "sound", "workers", "gone after s", "left"]


def row(number: int, found: Kill) -> list[str]:
    """A line of the table."""
    sound = "yes" if found.sound else "NO"
    cells = [f"{found.after_s:.2f}", f"{found.rows:,}", sound, str(found.workers), f"{found.gone_s:.2f}"]
    return [str(number), *cells, str(found.left)]


def run(spec: Path, store: Path) -> subprocess.Popen[bytes]:
    """A sweep in small blocks on two processes, resumed where there is a store."""
    arguments = ["sweep", str(spec), "--out", str(store), "--jobs", "2", "--block", str(BLOCK), "--resume", "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "fusemap", *arguments], stdout=subprocess.DEVNULL)


def uninterrupted(spec: Path, store: Path) -> tuple[float, float]:
    """Seconds to the first row, and to the end."""
    start = time.perf_counter()
    process = run(spec, store)
    while process.poll() is None and not count(store):
        time.sleep(0.02)
    first_s = time.perf_counter() - start
    process.wait()
    return first_s, time.perf_counter() - start


def kill(spec: Path, store: Path, wait_s: float, *, early: bool) -> Kill:
    """Kill a sweep some time after its start if `early`, else after its first new row."""
    before, start = count(store), time.perf_counter()
    process = run(spec, store)
    while not early and process.poll() is None and count(store) == before:
        time.sleep(0.01)
    time.sleep(wait_s)
    after_s = time.perf_counter() - start
    workers = children(process)
    process.kill()
    process.wait()
    start = time.perf_counter()
    while (left := sum(map(runs, workers))) and time.perf_counter() - start < 20:
        time.sleep(0.005)
    gone_s = time.perf_counter() - start
    return Kill(after_s=after_s, rows=count(store), sound=sound(store), workers=len(workers), gone_s=gone_s, left=left)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The workers of a sweep; none when it has ended."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def runs(process: psutil.Process) -> bool:
    """Whether a process runs; one that ended and waits for the system to take note does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def count(store: Path, what: str = "*") -> int:
    """How many rows a store has; none before it is made."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            return int(connection.execute(f"SELECT count({what}) FROM results").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def sound(store: Path) -> bool:
    """Whether SQLite finds no fault in the database."""
    with closing(sqlite3.connect(store)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def exported(store: Path) -> bytes:
    """The table of a store."""
    target = store.with_suffix(".csv")
    export(str(store), str(target))
    return target.read_bytes()


if __name__ == "__main__":
    print(f"fusemap {fusemap.__version__}")
    sys.exit(main())
