"""The points of a sweep as SLURM array jobs through submitit (the extra `cluster`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fusemap.archspec.batches import Index
from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.sweep_points import Results, evaluate_points
from fusemap.validation.sweep_spec import Sweep
from fusemap.validation.sweep_workers import Done, WorkerError

FOLDER = "submitit"
ARRAY = 64  # jobs of one array
TASK_S = 600.0  # a job gives back what it has after this long; submitting one is dear
POLL_S = 0.5
_OWN = ("folder", "array", "task_s")


def slurm(sweep: Sweep, cluster: str) -> Slurm:
    """`slurm`, or `slurm:partition=short,timeout_min=60` with options of submitit; `local:` runs jobs on this machine.

    Options of its own: `folder` (on a file system that all nodes see; default: submitit), `array` (jobs at once).
    """
    kind, _, text = cluster.partition(":")
    options = _options(text)
    try:
        import submitit
    except ImportError:
        raise input_error("SLURM needs the package submitit", hint="pip install 'fusemap[cluster]'") from None
    folder = str(options.pop("folder", FOLDER))
    slots, task_s = int(options.pop("array", ARRAY)), float(options.pop("task_s", TASK_S))
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=kind)
        executor.update_parameters(**_parameters(kind, options, slots))
    except (NameError, TypeError, ValueError, RuntimeError) as error:
        hint = did_you_mean(next(iter(options), ""), ["timeout_min", "partition", "mem_gb", "cpus_per_task", *_OWN])
        reason = str(error).splitlines()[0]
        raise input_error(f"--cluster {cluster}: {reason}", hint=hint if options else "") from None
    return Slurm(sweep, executor, slots=slots, task_s=task_s, folder=folder)


def _options(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise input_error(f'--cluster: expected KEY=VALUE, found "{part}"', hint="such as slurm:partition=short")
        found[key] = int(value) if value.isdecimal() else value
    return found


def _parameters(kind: str, options: dict[str, Any], slots: int) -> dict[str, Any]:
    """Options by submitit's names: those it does not share between clusters carry the cluster's."""
    shared = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
    known = {key if key in shared or key.startswith("slurm_") else f"{kind}_{key}": v for key, v in options.items()}
    array = {"slurm_array_parallelism": slots} if kind == "slurm" else {}
    return {"name": "fusemap-sweep", "timeout_min": 60, **array, **known}


class Slurm:
    """Array jobs; each evaluates one block, and what it cannot finish in time goes into a later array."""

    rounds = 1  # a job is dear to start

    def __init__(self, sweep: Sweep, executor: Any, *, slots: int, task_s: float, folder: str) -> None:
        self.slots = slots
        self._sweep, self._executor, self._task_s = sweep, executor, task_s
        self._waiting: list[tuple[int, Index]] = []
        self._flying: dict[int, Any] = {}
        Path(folder).mkdir(parents=True, exist_ok=True)

    def submit(self, block: int, index: Index) -> None:
        self._waiting.append((block, index))

    def finished(self, timeout_s: float) -> list[Done]:
        if self._waiting:
            self._submit_array()
        end = time.monotonic() + timeout_s
        while not (done := [block for block, job in self._flying.items() if job.done()]):
            if time.monotonic() >= end:
                return []
            time.sleep(min(POLL_S, timeout_s))
        return [self._result(block) for block in done]

    def close(self) -> None:
        for job in self._flying.values():
            job.cancel(check=False)

    def _submit_array(self) -> None:
        """All that waits, as one array."""
        with self._executor.batch():
            jobs = [
                self._executor.submit(evaluate_points, self._sweep, index, limit_s=self._task_s)
                for _, index in self._waiting
            ]
        self._flying |= {block: job for (block, _), job in zip(self._waiting, jobs, strict=True)}
        self._waiting = []

    def _result(self, block: int) -> Done:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        job = self._flying.pop(block)
        try:
            results: Results = job.result()
        except UncompletedJobError:
            return Done(block=block, results=None)
        except FailedJobError as error:
            raise WorkerError(f"job {job.job_id}: {str(error).splitlines()[-1]}") from error
        return Done(block=block, results=results)
