"""Mapping search by fusemap and by AccelForge on the same problem, in one run.

Run `python benchmarks/accelforge.py [--python PATH] [--all]`. PATH (or FUSEMAP_ACCELFORGE_PYTHON) is an interpreter
that has AccelForge; without one only our side is timed and the page says how to get the other.

Both get the same machine (flat-cloud: its capacities, bandwidths, dimensions, energies) and sizes. Seconds are those
of the search alone, after imports; AccelForge runs on all cores, and its CPU seconds are those of its whole process
tree, imports too. "value" is the objective of the mapping that a search returns, each by its own model: the models
differ as docs/accelforge.md says (AccelForge runs Einsums one after another and lets a barrier be passed).
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from dataclasses import dataclass

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.cli.output import table
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.mapspace.balance import Objective
from fusemap.sim.best import find_best
from fusemap.sim.report import Report
from fusemap.validation.accelforge.machine import peer_architecture
from fusemap.validation.accelforge.peer import HOW_TO_GET, Job, named_python, run_peer
from fusemap.validation.accelforge.workload import peer_workload
from fusemap.validation.barrier_study import barrier_machine, barrier_workload

ARCH = "flat-cloud"
CUBE = "source: a square product\nranks: {M: 4096, N: 4096, K: 4096}\n"
HEAD = "head@256K"
UNITS = {"latency": ("s", 1.0), "energy": ("J", 1e-12)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A cascade, sizes and what is minimized; `long` ones take AccelForge minutes.

    One head of 256K keys and queries runs on FuseMax's arrays with 16 MiB and a memory so slow that time is traffic.
    """

    cascade: str
    sizes: str
    objective: Objective
    long: bool = False

    @property
    def machine(self) -> Machine:
        """The machine."""
        return barrier_machine(16 << 20) if self.sizes == HEAD else load_arch(ARCH)

    @property
    def workload(self) -> Workload:
        """The sizes."""
        if self.sizes == HEAD:
            return barrier_workload(1 << 18)
        return parse_workload(CUBE, file="4096^3.yaml") if self.sizes == "4096^3" else load_workload(self.sizes)


PROBLEMS = (
    Problem(cascade="linear-layer", sizes="4096^3", objective="latency"),
    Problem(cascade="linear-layer", sizes="4096^3", objective="energy"),
    Problem(cascade="attention-3pass", sizes="BERT@1K", objective="latency"),
    Problem(cascade="attention-3pass", sizes="BERT@1K", objective="energy", long=True),
    Problem(cascade="attention-3pass", sizes=HEAD, objective="latency", long=True),
)


def main() -> None:
    """Print a row for each search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="an interpreter that has AccelForge")
    parser.add_argument("--all", action="store_true", help="the searches too that take AccelForge minutes")
    parser.add_argument("--sizes", help="the problems of these sizes alone, e.g. 4096^3")
    parser.add_argument("--trees", action="store_true", help="print the mappings that AccelForge finds")
    parser.add_argument("--ours", action="store_true", help="time our side alone, whatever is installed")
    options = parser.parse_args()
    python = None if options.ours else named_python(options.python)
    load_average = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load_average:.1f}, "
        f"Python {sys.version.split()[0]}, {ARCH} (time is traffic for {HEAD})\n"
    )
    rows = []
    for problem in PROBLEMS:
        if options.sizes not in (None, problem.sizes) or (problem.long and not (options.all or options.sizes)):
            continue
        rows.append(ours(problem))
        if python is not None:
            row, tree = theirs(problem, python)
            rows.append(row)
            print("\n".join(tree) + "\n" if options.trees else "", end="")
    head = ["problem", "objective", "search by", "CPU s", "wall s", "value", "mappings"]
    print(table(rows, head, "lllrrrr", width=140))
    if python is None:
        print(f"\nAccelForge was not run. {HOW_TO_GET}")


def ours(problem: Problem) -> list[str]:
    """Our search, over its whole space and without the built-in dataflows."""
    cascade, machine, workload = load(problem.cascade), problem.machine, problem.workload
    cpu, wall = time.process_time(), time.perf_counter()
    found = find_best(cascade, machine, workload, objective=problem.objective, dataflows=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    report = found.best.report
    assert isinstance(report, Report), "the machine has all prices"
    value = report.latency_s if problem.objective == "latency" else report.energy_pj
    return _row(problem, "fusemap", cpu, wall, value, found.counted)


def theirs(problem: Problem, python: str) -> tuple[list[str], list[str]]:
    """AccelForge's search of the exported files: a row, and the mapping."""
    machine = problem.machine
    peer = peer_workload(load(problem.cascade), problem.workload, {}, machine.word_bytes)
    job = Job(
        name="search", arch=peer_architecture(machine, peer), workload=peer.to_yaml(), search=problem.objective.upper()
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = run_peer(python, [job], parallel=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = answer.jobs["search"]
    if "error" in found:
        refused = str(found["error"])[:40]
        return [problem.cascade, problem.objective, answer.name, f"{cpu:.1f}", "-", refused, "-"], []
    value = found["latency_s"] if problem.objective == "latency" else found["energy_j"] * 1e12
    return _row(problem, answer.name, cpu, found["wall_s"], value, found["mappings"]), found["tree"]


def _row(problem: Problem, by: str, cpu: float, wall: float, value: float, mappings: float) -> list[str]:
    unit, scale = UNITS[problem.objective]
    name = f"{problem.cascade} {problem.sizes}"
    shown = f"{value * scale:.4g} {unit}"
    return [name, problem.objective, by, f"{cpu:.2f}", f"{wall:.2f}", shown, f"{mappings:.2g}"]


if __name__ == "__main__":
    main()
