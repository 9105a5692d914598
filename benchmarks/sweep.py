"""How fast a sweep is: points per second together and one by one, for processes and a cluster; its memory as it grows.

    python benchmarks/sweep.py --points 200000

The loop of one by one calls `fusemap.sim.evaluate.evaluate` on points of the same sweep, once with the machine made for
each point (as a script would) and once with machines that are there already. The rates of whole sweeps include the
start of the processes and the writing of the store. Memory is the most that the process held (of all of
them, for two), as the system reports it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.output import table
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.evaluate import evaluate
from fusemap.validation.sweep_points import evaluate_points
from fusemap.validation.sweep_spec import Sweep, load_sweep

SPEC = """
cascade: attention-1pass
dataflow: fusemax-binding
arch: fusemax-cloud
workload: BERT
length: {{from: 1K, to: 512K, factor: 2}}
parameters: {{pe: {{from: 64, to: 512, factor: 2}}}}
machine:
  global_buffer.capacity: [16 MiB, 32 MiB]
  clock: {{from: 500 MHz, to: 1.48 GHz, count: {clocks}}}
  dram.bandwidth: {{from: 100 GiB/s, to: 1600 GiB/s, count: {bandwidths}, scale: log}}
"""
GRID = 10 * 4 * 2
TARGET = 20_000  # points per second and core


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000, help="of each timed sweep (default 200000)")
    parser.add_argument("--memory", type=int, nargs="*", default=[10**4, 10**5, 10**6], help="sizes to take memory at")
    parser.add_argument("--no-cluster", action="store_true", help="leave dask out")
    options = parser.parse_args()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load_average}, Python {sys.version.split()[0]}, numpy {np.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_file(Path(folder), options.points)
        sweep = load_sweep(spec)
        rows = [*one_by_one(sweep), together(sweep), *whole(spec, Path(folder), cluster=not options.no_cluster)]
        head = ["evaluation", "points", "seconds", "points/s", "CPU s", "points/s of CPU", f"of {TARGET:,}"]
        print(table(rows, head, "lrrrrrr"))
        print()
        grown = [memory(Path(folder), points, jobs) for points in options.memory for jobs in (1, 2)]
        print(table(grown, ["points", "processes", "seconds", "points/s", "peak RSS (MiB)"], "rrrrr"))


def spec_file(folder: Path, points: int) -> Path:
    """A sweep of FuseMax machines with about that many points."""
    bandwidths = max(1, round((points / GRID / 2) ** 0.5))
    path = folder / f"points-{points}.yaml"
    path.write_text(SPEC.format(clocks=max(1, points // (GRID * bandwidths)), bandwidths=bandwidths))
    return path


def line(name: str, points: int, seconds: float, cpu_s: float | None) -> list[str]:
    """A row of the table; what matters per core is the CPU time, as others may use the cores too."""
    rate = "" if cpu_s is None else f"{points / cpu_s:,.0f}"
    times = "" if cpu_s is None else f"{points / cpu_s / TARGET:.2f}x"
    spent = "" if cpu_s is None else f"{cpu_s:.2f}"
    return [name, f"{points:,}", f"{seconds:.2f}", f"{points / seconds:,.0f}", spent, rate, times]


def one_by_one(sweep: Sweep, seconds: float = 3.0) -> list[list[str]]:
    """The loop that a sweep replaces, for some seconds each, on points spread over the sweep."""
    cascade, dataflow = load("attention-1pass"), load_dataflow("fusemax-binding")
    draw = np.random.default_rng(0)
    numbers = draw.integers(0, sweep.space.size, 200).tolist()
    points = [sweep.space.point(n) for n in numbers]
    archs = sweep.sources.archs["fusemax-cloud"]
    machines = [
        archs.machine(
            {"pe": p["pe"]},
            {
                ("clock",): p["clock_hz"],
                ("memories", "dram", "bandwidth"): p["dram.bandwidth_bytes_per_s"],
                ("memories", "global_buffer", "capacity"): p["global_buffer.capacity_bytes"],
            },
        )
        for p in points
    ]

    def fresh(i: int) -> None:
        machine = load_arch("fusemax-cloud", parameters={"pe": points[i]["pe"]})
        evaluate(cascade, machine, load_workload(f"BERT@{points[i]['length']}"), dataflow).energy_pj  # noqa: B018

    workloads = [load_workload(f"BERT@{p['length']}") for p in points]

    def ready(i: int) -> None:
        evaluate(cascade, machines[i], workloads[i], dataflow).energy_pj  # noqa: B018

    return [
        repeated("one by one, files read for each", fresh, len(points), seconds),
        repeated("one by one, evaluate alone", ready, len(points), seconds),
    ]


def repeated(name: str, call: Callable[[int], None], most: int, seconds: float) -> list[str]:
    """A call for one point after another, until the time is over."""
    for i in range(most):
        call(i)  # what is remembered between calls is there then
    done, start, wall = 0, time.process_time(), time.perf_counter()
    while time.process_time() - start < seconds:
        call(done % most)
        done += 1
    return line(name, done, time.perf_counter() - wall, time.process_time() - start)


def together(sweep: Sweep) -> list[str]:
    """The same points in arrays, without processes and store."""
    blocks = list(sweep.space.blocks(1 << 14))
    evaluate_points(sweep, blocks[0])
    start, wall = time.process_time(), time.perf_counter()
    for block in blocks:
        evaluate_points(sweep, block)
    count = sum(map(len, blocks))
    return line("together, in arrays", count, time.perf_counter() - wall, time.process_time() - start)


def whole(spec: Path, folder: Path, *, cluster: bool) -> list[list[str]]:
    """Whole sweeps, into a store."""
    points = load_sweep(spec).space.count()
    rows = []
    for jobs in (1, 2):
        seconds, cpu_s, _ = timed(spec, folder / f"jobs-{jobs}.sqlite", "--jobs", str(jobs))
        rows.append(line(f"fusemap sweep --jobs {jobs}", points, seconds, cpu_s))
    if cluster:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as dask:
            seconds, _, _ = timed(spec, folder / "dask.sqlite", "--cluster", dask.scheduler_address)
        rows.append(line("fusemap sweep --cluster (dask, 2 workers)", points, seconds, None))
    return rows


def timed(spec: Path, store: Path, *options: str) -> tuple[float, float, float]:
    """Seconds of a sweep as a command, CPU seconds of it and its processes, and the most memory they held, in MiB."""
    command = [sys.executable, "-m", "fusemap", "sweep", str(spec), "--out", str(store), "--quiet", *options]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = watched(process)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    store.unlink()
    return seconds, cpu_s, peak


def watched(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; the most memory that it and its children held together, in MiB."""
    import psutil

    held: dict[int, float] = {}
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children(recursive=True)):
                with open(f"/proc/{each.pid}/status", encoding="ascii") as status:
                    peak = next((row.split()[1] for row in status if row.startswith("VmHWM")), "0")
                held[each.pid] = max(held.get(each.pid, 0.0), int(peak) / 1024)
        except (psutil.Error, OSError):
            pass  # it ended in between
        time.sleep(0.1)
    return sum(held.values())


def memory(folder: Path, points: int, jobs: int) -> list[str]:
    """A row of the table of memory."""
    spec = spec_file(folder, points)
    count = load_sweep(spec).space.count()
    seconds, _, peak = timed(spec, folder / "memory.sqlite", "--jobs", str(jobs))
    return [f"{count:,}", str(jobs), f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{peak:.0f}"]


if __name__ == "__main__":
    main()
