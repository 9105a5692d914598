"""`fusemap.sweep`: a file's points evaluated here, by processes, or on a cluster, into a store."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath

from fusemap.diagnostics import input_error
from fusemap.validation.sweep_run import BLOCK, Progress, SweepRun, no_watch, run_sweep
from fusemap.validation.sweep_spec import Sweep, load_sweep
from fusemap.validation.sweep_store import open_store, require_room
from fusemap.validation.sweep_workers import Workers, cores, processes


def sweep(
    spec: str | PathLike[str],
    *,
    out: str | PathLike[str],
    jobs: int | None = None,
    cluster: str | None = None,
    resume: bool = False,
    block: int = BLOCK,
    watch: Callable[[Progress], None] = no_watch,
) -> SweepRun:
    """Evaluate all points of a design space, a YAML file, and write a row for each into the store `out` (SQLite).

    `jobs` processes on this machine (default: one per core), or a `cluster`: the address of a dask scheduler,
    `slurm`, or `slurm:KEY=VALUE,...` with options of submitit. A point that does not fit or fails is a row with its
    reason. With `resume` only what the store lacks is done. `watch` is called as results are written. InputError: the
    file is wrong, the store is there or is of another sweep; WorkerError: a worker fails again and again.
    """
    if cluster is not None and jobs is not None:
        raise input_error("--jobs is for this machine, and --cluster for another: give one of them")
    if jobs is not None and jobs < 1:
        raise input_error(f"--jobs {jobs}: expected a whole number from 1")
    loaded = load_sweep(spec)
    points = loaded.space.count()
    if not points:
        raise input_error(
            f"{fspath(spec)} has no points: its conditions exclude all {loaded.space.size:,} combinations"
        )
    require_room(fspath(out), loaded, resume=resume)
    workers = workers_of(loaded, jobs=jobs, cluster=cluster)
    try:
        with open_store(fspath(out), loaded, points=points, resume=resume) as store:
            return run_sweep(loaded, store, workers, points=points, block=block, watch=watch)
    finally:
        workers.close()


def workers_of(sweep: Sweep, *, jobs: int | None, cluster: str | None) -> Workers:
    """Who evaluates the points; InputError where a cluster cannot be reached or its package is not installed."""
    if cluster is None:
        found: Workers = processes(sweep, jobs or cores())
        return found
    if cluster.partition(":")[0] in ("slurm", "local", "debug"):
        from fusemap.validation.sweep_slurm import slurm

        return slurm(sweep, cluster)
    from fusemap.validation.sweep_dask import connected

    return connected(sweep, cluster)
