"""Sweeps on a dask cluster (a scheduler and worker processes on this machine) and through submitit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import Outcome
from sweep_cases import SMALL, spec_file, sweep

import fusemap as fm
from fusemap.validation import sweep_dask
from fusemap.validation.sweep_dask import connected
from fusemap.validation.sweep_run import Progress
from fusemap.validation.sweep_store import rows

distributed = pytest.importorskip("distributed")
submitit = pytest.importorskip("submitit")
POINTS = 30

pytestmark = pytest.mark.filterwarnings("ignore")  # those packages warn of their own affairs


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The scheduler of two worker processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        yield cluster.scheduler_address
        cluster.close()


def contents(store: Path) -> list[tuple[Any, ...]]:
    """All rows of a store."""
    return [row for block in rows(str(store)) for row in block]


@pytest.fixture
def here(tmp_path: Path) -> list[tuple[Any, ...]]:
    """The rows of a sweep in this process."""
    fm.sweep(spec_file(tmp_path), out=tmp_path / "here.sqlite", jobs=1)
    return contents(tmp_path / "here.sqlite")


def test_a_cluster_writes_the_same_rows(address: str, tmp_path: Path, here: list[tuple[Any, ...]]) -> None:
    store = tmp_path / "cluster.sqlite"
    found = fm.sweep(tmp_path / "space.yaml", out=store, cluster=address)
    assert (found.complete, found.progress.new) == (True, POINTS)
    assert contents(store) == here


def test_a_cluster_that_loses_a_worker_finishes(address: str, tmp_path: Path) -> None:
    from fusemap.validation.sweep import sweep as swept

    spec = spec_file(tmp_path, SMALL.replace("{from: 1K, to: 16K, factor: 2}", "{from: 1K, to: 100K, step: 1K}"))
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        if progress.new and not killed:
            with distributed.Client(address, set_as_default=False) as client:
                workers = client.run(__import__("os").getpid)
            killed.append(next(iter(workers.values())))
            psutil.Process(killed[0]).kill()

    found = swept(spec, out=tmp_path / "killed.sqlite", cluster=address, block=40, watch=kill_one)
    assert killed
    assert found.complete
    assert [row[0] for row in contents(tmp_path / "killed.sqlite")] == list(range(600))


def test_an_address_without_a_scheduler_is_an_input_error(
    fusemap: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_dask, "CONNECT_S", 0.5)
    store = tmp_path / "results.sqlite"
    for cluster, message in (
        ("tcp://127.0.0.1:1", "cannot reach a dask scheduler at tcp://127.0.0.1:1"),
        ("slurm", "--cluster slurm: "),
        ("slurm:partition", 'expected KEY=VALUE, found "partition"'),
        ("debug:timeout_mn=3", "--cluster debug:timeout_mn=3: "),
    ):
        found = fusemap("sweep", str(spec_file(tmp_path)), "--out", str(store), "--cluster", cluster)
        assert found.code == 2
        assert message in found.err
        assert not store.exists()


def test_workers_of_another_version_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusemap.validation.sweep_dask.VERSION", "9.9.9")
    with pytest.raises(fm.InputError, match=r"has fusemap [\d.]+, this is 9\.9\.9"):
        connected(sweep(SMALL), address)


def test_submitit_runs_the_same_sweep(tmp_path: Path, here: list[tuple[Any, ...]]) -> None:
    store = tmp_path / "jobs.sqlite"
    options = f"array=1,folder={tmp_path / 'jobs'},timeout_min=5"
    assert fm.sweep(tmp_path / "space.yaml", out=store, cluster=f"local:{options}").complete
    assert contents(store) == here


@pytest.mark.slow
def test_jobs_that_run_out_of_time_are_followed_by_others(tmp_path: Path, here: list[tuple[Any, ...]]) -> None:
    store = tmp_path / "jobs.sqlite"
    options = f"array=2,folder={tmp_path / 'jobs'},task_s=0"
    found = fm.sweep(tmp_path / "space.yaml", out=store, cluster=f"debug:{options}")
    assert found.complete
    assert contents(store) == here
    assert np.unique([row[0] for row in contents(store)]).size == POINTS
