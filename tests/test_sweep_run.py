"""Running a sweep: stores that are whole whatever happens, resumed, refused, exported; processes that end."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import Outcome
from sweep_cases import FLAT, SMALL, alone, spec_file, sweep

import fusemap as fm
from fusemap.validation import sweep_points
from fusemap.validation.sweep_child import answer
from fusemap.validation.sweep_points import Results, evaluate_points
from fusemap.validation.sweep_run import Progress, run_sweep
from fusemap.validation.sweep_store import header, open_store, rows, statuses
from fusemap.validation.sweep_workers import Done, Here, Processes, WorkerError

ROOT = Path(__file__).parents[1]
POINTS = 30


def contents(store: Path) -> list[tuple[Any, ...]]:
    """All rows of a store."""
    return [row for block in rows(str(store)) for row in block]


def store_of(directory: Path, name: str = "results.sqlite") -> Path:
    return directory / name


def test_a_store_has_every_point_once_with_its_own_numbers(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    found = fm.sweep(spec_file(tmp_path), out=store, jobs=1)
    assert found.complete
    assert (found.progress.points, found.progress.new, found.statuses) == (
        POINTS,
        POINTS,
        {"does not fit": 15, "ok": 15},
    )
    loaded, names = sweep(SMALL), header(str(store)).columns
    written = contents(store)
    assert [row[0] for row in written] == list(range(POINTS))
    for row in written:
        cells = dict(zip(names, row, strict=True))
        point = loaded.space.point(cells.pop("point"))
        assert {name: cells.pop(name) for name in point} == point
        assert cells == alone(loaded, row[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.sqlite", "space.yaml"]


def test_two_processes_and_small_blocks_write_the_same(tmp_path: Path) -> None:
    spec = spec_file(tmp_path)
    fm.sweep(spec, out=store_of(tmp_path), jobs=1)
    fm.sweep(spec, out=store_of(tmp_path, "two.sqlite"), jobs=2)
    assert contents(store_of(tmp_path, "two.sqlite")) == contents(store_of(tmp_path))


def test_a_store_is_not_overwritten_and_resumes_only_its_own_sweep(
    fusemap: Callable[..., Outcome], tmp_path: Path
) -> None:
    spec, store = str(spec_file(tmp_path)), str(store_of(tmp_path))
    assert fusemap("sweep", spec, "--out", store, "--jobs", "1").code == 0
    before = Path(store).read_bytes()
    again = fusemap("sweep", spec, "--out", store)
    assert (again.code, again.err) == (
        2,
        f"error: {store} exists\n  --resume goes on with it; or name a new file\n",
    )
    nothing = fusemap("sweep", spec, "--out", store, "--resume", "--jobs", "1", "--json").json()
    assert (nothing["schema"], nothing["done"], nothing["new"]) == ("fusemap/sweep/1", POINTS, 0)
    Path(spec).write_text(SMALL.replace("[64, 128, 256]", "[64, 128]"))
    other = fusemap("sweep", spec, "--out", store, "--resume")
    assert other.code == 2
    assert "is of another sweep: space (" in other.err
    assert Path(store).read_bytes()[100:] == before[100:]  # what follows SQLite's own counters


def test_a_store_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, store = spec_file(tmp_path), store_of(tmp_path)
    fm.sweep(spec, out=store, jobs=1)
    monkeypatch.setattr("fusemap.validation.sweep_store.VERSION", "9.9.9")
    with pytest.raises(fm.InputError, match=r"was written by fusemap [\d.]+, this is 9\.9\.9"):
        fm.sweep(spec, out=store, jobs=1, resume=True)


@pytest.mark.parametrize("content", [b"no database", b""])
def test_a_file_that_is_no_store(content: bytes, fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.write_bytes(content)
    found = fusemap("sweep", str(spec_file(tmp_path)), "--out", str(store), "--resume", "--jobs", "1")
    assert found.code == (2 if content else 0)  # an empty file is a store before its first row
    assert ("is no store of a sweep" in found.err) == bool(content)
    assert not content or store.read_bytes() == content
    assert not (tmp_path / "results.sqlite-lock").exists()


def test_a_store_that_is_being_written_is_refused(tmp_path: Path) -> None:
    loaded, path = sweep(SMALL), str(store_of(tmp_path))
    refused = pytest.raises(fm.InputError, match="is being written by another sweep")
    with open_store(path, loaded, points=POINTS, resume=False), refused:
        open_store(path, loaded, points=POINTS, resume=True)
    open_store(path, loaded, points=POINTS, resume=True).close()


def test_a_point_is_never_written_twice(tmp_path: Path) -> None:
    loaded = sweep(SMALL)
    results = evaluate_points(loaded, np.arange(4))
    with open_store(str(store_of(tmp_path)), loaded, points=POINTS, resume=False) as store:
        store.add(results)
        with pytest.raises(sqlite3.IntegrityError):
            store.add(evaluate_points(loaded, np.array([9, 3])))
        assert store.missing(np.arange(8)).tolist() == [4, 5, 6, 7]
        assert sum(store.statuses().values()) == 4


# --- workers that fail ------------------------------------------------------------------------------------


class Losing(Here):
    """Workers that lose their first `losses` blocks, and give others back half done."""

    losses = 2

    def finished(self, timeout_s: float) -> list[Done]:
        block, index = self.waiting.popleft()
        if self.losses:
            self.losses -= 1
            return [Done(block=block, results=None)]
        return [Done(block=block, results=evaluate_points(self.sweep, index[::-1][: max(1, len(index) // 2)]))]


def driven(tmp_path: Path, workers: Any, *, block: int = 8, watch: Any = lambda progress: None) -> Any:
    loaded = workers.sweep
    with open_store(str(store_of(tmp_path)), loaded, points=POINTS, resume=True) as store:
        return run_sweep(loaded, store, workers, points=POINTS, block=block, watch=watch)


def test_lost_and_half_done_blocks_are_finished(tmp_path: Path) -> None:
    seen: list[Progress] = []
    found = driven(tmp_path, Losing(sweep=sweep(SMALL)), watch=seen.append)
    assert found.complete
    assert [row[0] for row in contents(store_of(tmp_path))] == list(range(POINTS))
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_workers_that_die_on_the_same_points_end_the_sweep(tmp_path: Path) -> None:
    workers = Losing(sweep=sweep(SMALL))
    workers.losses = 3
    with pytest.raises(WorkerError, match="3 workers ended on the points from 0"):
        driven(tmp_path, workers, block=100)
    assert driven(tmp_path, Here(sweep=sweep(SMALL))).complete


def test_an_interruption_keeps_what_was_written(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.new:
            raise KeyboardInterrupt

    found = driven(tmp_path, Here(sweep=sweep(SMALL)), watch=stop)
    assert (found.interrupted, found.complete, found.progress.done) == (True, False, 8)
    assert driven(tmp_path, Here(sweep=sweep(SMALL))).progress.new == POINTS - 8


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What the condition says once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_worker_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    workers = Processes(sweep(SMALL), 1)
    try:
        first = workers._children[0].pid
        os.kill(first, signal.SIGKILL)
        workers.submit(1, np.arange(3))
        (lost,) = wait_for(lambda: workers.finished(0.5))
        assert lost == Done(block=1, results=None)
        workers.submit(2, np.arange(3))
        (done,) = wait_for(lambda: workers.finished(0.5))
        assert done.results is not None
        assert done.results.index.tolist() == [0, 1, 2]
    finally:
        workers.close()
    assert not psutil.pid_exists(workers._children[0].pid)


def test_an_exception_in_a_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> Results:
        raise RuntimeError("planted")

    monkeypatch.setattr(sweep_points, "evaluate_points", broken)
    assert answer(sweep(SMALL), np.arange(3, 9)) == "RuntimeError: planted at 6 points from 3"


def test_a_sweep_travels_to_other_processes() -> None:
    for text in (SMALL, FLAT):
        loaded = sweep(text, conditions="[pe < 999]")
        copy = pickle.loads(pickle.dumps(loaded))
        assert copy.digest == loaded.digest
        assert evaluate_points(copy, np.arange(9)).columns == evaluate_points(loaded, np.arange(9)).columns


# --- the command ------------------------------------------------------------------------------------------

SLOW = SMALL.replace("length: {from: 1K, to: 16K, factor: 2}", "length: {from: 1K, to: 400K, step: 1K}")


def started(spec: Path, store: Path, *options: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fusemap", "sweep", str(spec), "--out", str(store), "--block", "4", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def has_rows(store: Path) -> bool:
    try:
        return store.exists() and sum(statuses(str(store)).values()) > 0
    except fm.InputError:
        return False


def test_ctrl_c_leaves_a_store_that_resumes(tmp_path: Path) -> None:
    spec, store = spec_file(tmp_path, SLOW), store_of(tmp_path)
    process = started(spec, store, "--jobs", "1", "--resume")
    wait_for(lambda: has_rows(store))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == f"interrupted; --resume does the rest of {store}\n"
    assert out.startswith(f"space: {sum(statuses(str(store)).values()):,} of 2,400 points in {store}")
    assert 0 < sum(statuses(str(store)).values()) < 2400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.sqlite", "space.yaml"]


@pytest.mark.parametrize(("kills", "points"), [(1, 300), pytest.param(3, 1000, marks=pytest.mark.slow)])
def test_kills_and_a_resume_are_an_uninterrupted_run(kills: int, points: int, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks/sweep_faults.py"), "--kills", str(kills), "--points", str(points)]
    done = subprocess.run([*script, "--folder", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every point once" in done.stdout
    with_workers = int(re.search(r"(\d+) one with workers", done.stdout)[1])  # type: ignore[index]
    assert with_workers > 0 or kills == 1


@pytest.mark.parametrize(
    "fault", ["DELETE FROM results WHERE point = 7", "UPDATE results SET latency_s = latency_s * 2"]
)
def test_the_comparison_after_the_kills_can_fail(fault: str, tmp_path: Path) -> None:
    place = importlib.util.spec_from_file_location("sweep_faults", ROOT / "benchmarks/sweep_faults.py")
    assert place is not None
    assert place.loader is not None
    faults = importlib.util.module_from_spec(place)
    sys.modules["sweep_faults"] = faults
    place.loader.exec_module(faults)
    fm.sweep(spec_file(tmp_path), out=store_of(tmp_path), jobs=1)
    whole = faults.exported(store_of(tmp_path))
    with contextlib.closing(sqlite3.connect(store_of(tmp_path))) as connection, connection:
        connection.execute(fault)
    assert faults.exported(store_of(tmp_path)) != whole


def test_a_sweep_of_which_nothing_fits_is_a_no(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    spec = spec_file(tmp_path, SMALL.replace("[8 KiB, 16 MiB]", "[8 KiB]"))
    found = fusemap("sweep", str(spec), "--out", str(store_of(tmp_path)), "--jobs", "1")
    assert (found.code, found.err) == (1, "")
    assert "does not fit" in found.out


def test_a_terminal_sees_the_progress_and_no_other_does(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    shown, terminal = pty.openpty()
    spec, store = spec_file(tmp_path, SLOW), store_of(tmp_path)
    process = started(spec, store, "--jobs", "1", stderr=terminal)
    os.close(terminal)
    text = ""
    while " left" not in text:
        text += os.read(shown, 4096).decode()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    os.close(shown)
    line = r"\r[\d,]+ of 2,400 points \(\d+ %\), [\d,]+ points/s, \d+ s left"
    assert re.search(line, text)
    assert process.returncode == 130


def test_arguments_that_make_no_sense(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    spec = str(spec_file(tmp_path))
    store = str(store_of(tmp_path))
    for arguments, message in (
        ([spec], "--out is missing"),
        ([spec, "--out", store, "--jobs", "0"], "--jobs 0: expected a whole number from 1"),
        ([spec, "--out", store, "--jobs", "2", "--cluster", "slurm"], "give one of them"),
        (["nowhere.yaml", "--out", store], "nowhere.yaml:1:1: error: cannot read the file: no such file"),
        ([spec, "--out", str(tmp_path / "no/such/store")], "No such file"),
        (["export", store, "--to", "x.csv"], "no such file"),
    ):
        found = fusemap("sweep", *arguments)
        assert found.code == 2
        assert message in found.err
        assert "Traceback" not in found.err
    assert not Path(store).exists()


# --- export -----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with all its rows."""
    fm.sweep(spec_file(tmp_path), out=store_of(tmp_path), jobs=1)
    return store_of(tmp_path)


def test_an_export_is_what_the_store_has(store: Path, fusemap: Callable[..., Outcome]) -> None:
    target = store.with_suffix(".csv")
    document = fusemap("sweep", "export", str(store), "--to", str(target), "--json").json()
    assert (document["schema"], document["rows"]) == ("fusemap/sweep-export/1", POINTS)
    with open(target, newline="", encoding="utf-8") as stream:
        head, *lines = csv.reader(stream)
    assert tuple(head) == header(str(store)).columns
    assert lines == [["" if cell is None else str(cell) for cell in row] for row in contents(store)]


def test_a_parquet_export_is_what_the_store_has(store: Path, fusemap: Callable[..., Outcome]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    target = store.with_suffix(".parquet")
    assert fusemap("sweep", "export", str(store), "--to", str(target)).out == f"{POINTS} rows in {target}\n"
    table = parquet.read_table(target)
    assert tuple(table.column_names) == header(str(store)).columns
    assert [tuple(row.values()) for row in table.to_pylist()] == contents(store)
    assert table.schema.metadata[b"fusemap.version"] == fm.__version__.encode()


def test_an_export_reaches_a_remote_place(store: Path, fusemap: Callable[..., Outcome]) -> None:
    fsspec = pytest.importorskip("fsspec")
    assert fusemap("sweep", "export", str(store), "--to", "memory://bucket/results.csv").code == 0
    with fsspec.open("memory://bucket/results.csv", "rb") as stream:
        assert stream.read().count(b"\n") == POINTS + 1
    refused = fusemap("sweep", "export", str(store), "--to", "nowhere://bucket/results.csv")
    assert (refused.code, "cannot write to nowhere://" in refused.err) == (2, True)


def test_an_export_that_fails_leaves_the_old_file(store: Path, fusemap: Callable[..., Outcome]) -> None:
    target = store.with_suffix(".csv")
    target.write_text("old")
    broken = store.with_name("broken.sqlite")
    broken.write_bytes(store.read_bytes()[:6000])
    assert fusemap("sweep", "export", str(broken), "--to", str(target)).code == 2
    assert target.read_text() == "old"
    assert fusemap("sweep", "export", str(store), "--to", str(target.with_suffix(".xls"))).code == 2
    assert sorted(p.suffix for p in store.parent.iterdir()) == [".csv", ".sqlite", ".sqlite", ".yaml"]
