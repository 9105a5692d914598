"""The points of a sweep on a dask.distributed cluster (the extra `cluster`)."""

from __future__ import annotations

from typing import Any

from fusemap.archspec.batches import Index
from fusemap.diagnostics import input_error
from fusemap.validation.sweep_child import SLICE_S
from fusemap.validation.sweep_points import Results, evaluate_points
from fusemap.validation.sweep_spec import Sweep
from fusemap.validation.sweep_workers import Done, WorkerError
from fusemap.version import VERSION

CONNECT_S = 10


def connected(sweep: Sweep, address: str) -> Dask:
    """A cluster by the address of its scheduler; InputError where there is none, or it cannot take part."""
    try:
        from distributed import Client
    except ImportError:
        raise input_error("a cluster needs the package distributed", hint="pip install 'fusemap[cluster]'") from None
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"cannot reach a dask scheduler at {address}: {reason}"
        hint = "start one with `dask scheduler`, and `dask worker ADDRESS` on each node"
        raise input_error(message, hint=hint) from None
    try:
        _require_ready(client, address)
    except BaseException:
        client.close()
        raise
    return Dask(sweep, client)


def _require_ready(client: Any, address: str) -> None:
    """InputError where the scheduler has no workers, or these have another fusemap."""
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise input_error(f"the scheduler at {address} has no workers", hint=f"start some: dask worker {address}")
    try:
        versions = client.run(_version)
    except Exception as error:
        raise input_error(f"the workers of {address} cannot run fusemap: {error}", hint="install it there") from None
    for worker, version in versions.items():
        if version != VERSION:
            raise input_error(f"worker {worker} has fusemap {version}, this is {VERSION}")


def _version() -> str:
    return VERSION


class Dask:
    """The workers of a cluster; it replaces those that it loses, and repeats their blocks, by itself."""

    rounds = 2

    def __init__(self, sweep: Sweep, client: Any) -> None:
        self._client = client
        self._sweep = client.scatter(sweep, broadcast=True, hash=False)
        self._flying: dict[Any, int] = {}

    @property
    def slots(self) -> int:
        """Twice the threads of all workers, so that none waits for the writer."""
        info = self._client.scheduler_info(n_workers=-1)
        threads: int = sum(worker["nthreads"] for worker in info["workers"].values())
        return max(2, 2 * threads)

    def submit(self, block: int, index: Index) -> None:
        future = self._client.submit(_evaluated, self._sweep, index, pure=False)
        self._flying[future] = block

    def finished(self, timeout_s: float) -> list[Done]:
        from distributed import wait

        try:
            done = wait(list(self._flying), timeout=timeout_s, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [self._result(future) for future in done]

    def close(self) -> None:
        for future in self._flying:
            future.cancel()
        self._client.close()

    def _result(self, future: Any) -> Done:
        from distributed.scheduler import KilledWorker

        block = self._flying.pop(future)
        try:
            return Done(block=block, results=future.result())
        except KilledWorker:
            return Done(block=block, results=None)
        except Exception as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error


def _evaluated(sweep: Sweep, index: Index) -> Results:
    return evaluate_points(sweep, index, limit_s=SLICE_S)
