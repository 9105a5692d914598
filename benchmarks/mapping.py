"""How long the search of mappings takes, beside a plain loop over the same mappings, and how it grows.

    python benchmarks/mapping.py [--repeat N] [--plot FILE.png]

CPU times are of this process after its imports, each search from nothing; the best of `--repeat`. The plain loop
evaluates tile sizes of one plan one after another, as `fusemap evaluate` would, and is run for two seconds. The last
column is what AccelForge 1.0.467 took on two cores, for 2- and 3-pass attention at 1K and 16K and for the product;
it needs Python 3.12 and is not run here.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Rank, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.cli.files import write_whole
from fusemap.cli.output import table
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.mapspace.flow import flow_of
from fusemap.mappers.mapspace.front import BLOCK, Front, Objective, Setting, Tally, explore
from fusemap.mappers.mapspace.grid import blocks
from fusemap.mappers.mapspace.plan import plans
from fusemap.mappers.mapspace.settle import settled
from fusemap.mappers.space import make_problem
from fusemap.sim.best import Best, find_best
from fusemap.sim.evaluate import evaluate_mapping
from fusemap.sim.mapcost import prices
from fusemap.validation.figures_draw import save, style

ATTENTION_LIMIT_S, PRODUCT_LIMIT_S = 5.0, 1.0
# AccelForge 1.0.467 on two cores: seconds for 2- and 3-pass attention at 1K and 16K, and for the product
ACCELFORGE = {"attention": "140 to 250", "product": "15 to 125"}
LAYERS, RANKS = (1, 2, 3, 4), (2, 3, 4, 5)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="searches of each case (default 3)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the growth to a file")
    options = parser.parse_args()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load_average}, Python {sys.version.split()[0]}, best of {options.repeat}\n")
    machine = load_arch("fusemax-cloud")
    rows = [line(*case, machine, options.repeat) for case in cases()]
    head = ["cascade", "workload", "objective", "mappings", "CPU s", "limit", "", "AccelForge s"]
    print(table(rows, head, "lllrrrll"))
    print(f"\n{rates(machine)}")
    growth = {
        "Einsums": [(n, timed(layers(n), ranked("MP"), machine, options.repeat)) for n in LAYERS],
        "ranks": [(n, timed(chain(n), ranked("ABCDEFG"[: n + 1]), machine, options.repeat)) for n in RANKS],
    }
    for name, found in growth.items():
        rows = [[str(count(name, n)), f"{seconds:.2f}"] for n, seconds in found]
        print(f"\n{table(rows, [name, 'CPU s'], 'rr')}")
    if options.plot:
        draw(Path(options.plot), growth)


def cases() -> list[tuple[str, str, Objective]]:
    """Cascade, workload and objective of every timed search."""
    attention = ["attention-3pass", "attention-2pass", "attention-1pass"]
    found: list[tuple[str, str, Objective]] = [(c, f"BERT@{n}", "latency") for c in attention for n in ("1K", "16K")]
    found += [("attention-1pass", "BERT@1M", "latency"), ("attention-3pass", "BERT@1M", "latency")]
    found += [(c, "BERT@1K", "edp") for c in ("attention-3pass", "attention-1pass")]
    return [*found, ("linear-layer", "4096^3", "latency"), ("linear-layer", "4096^3", "energy")]


def line(name: str, workload: str, objective: Objective, machine: Machine, repeat: int) -> list[str]:
    """One row of the table."""
    sized = ranked("MKN", 4096) if name == "linear-layer" else load_workload(workload)
    seconds, found = searched(load(name), sized, machine, objective, repeat)
    product = name == "linear-layer"
    limit = PRODUCT_LIMIT_S if product else ATTENTION_LIMIT_S
    peer_s = ACCELFORGE["product" if product else "attention"] if workload in ("4096^3", "BERT@1K", "BERT@16K") else "-"
    over = "" if seconds <= limit else "OVER"
    return [name, workload, objective, f"{found.counted:.2g}", f"{seconds:.2f}", f"{limit:g}", over, peer_s]


def searched(
    cascade: Cascade, workload: Workload, machine: Machine, objective: Objective, repeat: int
) -> tuple[float, Best]:
    """Least CPU seconds of some searches, and what they find."""
    seconds, found = [], None
    for _ in range(repeat):
        start = time.process_time()
        found = find_best(cascade, machine, workload, objective=objective)
        seconds.append(time.process_time() - start)
    assert found is not None
    return min(seconds), found


def timed(cascade: Cascade, workload: Workload, machine: Machine, repeat: int) -> float:
    """CPU seconds of one search."""
    return searched(cascade, workload, machine, "latency", repeat)[0]


def ranked(names: Sequence[str], size: int = 256) -> Workload:
    """A workload whose ranks all have one size."""
    ranks = tuple(Rank(name=n, size=size, source="benchmark") for n in names)
    return replace(load_workload("BERT@1K"), name=f"{size}", ranks=ranks, batch=())


def layers(count: int) -> Cascade:
    """Softmaxes over the same scores, one feeding the next: three Einsums each."""
    lines = ["cascade layers", "input X0[m,p]"]
    for i in range(count):
        lines += [f"G{i}[p] = max[m] X{i}[m,p]", f"N{i}[m,p] = exp(X{i}[m,p] - G{i}[p])"]
        lines += [f"X{i + 1}[m,p] = N{i}[m,p] * G{i}[p]"]
    return parse("\n".join(lines) + "\n")


def chain(count: int) -> Cascade:
    """Matrix products one after another, each adding a rank."""
    lines = ["cascade chain", "input T0[a,b]"]
    for i in range(1, count):
        lines.append(f"input W{i}[{chr(97 + i)},{chr(98 + i)}]")
    for i in range(1, count):
        old, new = chr(97 + i), chr(98 + i)
        lines.append(f"T{i}[a,{new}] = T{i - 1}[a,{old}] * W{i}[{old},{new}]")
    return parse("\n".join(lines) + "\n")


def rates(machine: Machine) -> str:
    """Mappings per second: tile sizes of one plan in arrays, and one by one."""
    cascade, workload = load("attention-3pass"), load_workload("BERT@16K")
    problem = make_problem(cascade, workload, {})
    flow = flow_of(cascade, problem)
    plan = next(plans(flow, problem, frozenset(flow.einsums)))
    setting = Setting(flow=flow, machine=machine, prices=prices(machine))
    front = Front(objective="pareto")
    start = time.process_time()
    explore(plan, setting, front, Tally())
    vectorised = time.process_time() - start
    points = sum(grid.points for grid in blocks(plan, machine, BLOCK))
    ways = 1
    for choices in setting.memo.values():
        ways *= choices.considered
    done, start = 0, time.process_time()
    for point in itertools.cycle(front.points):
        evaluate_mapping(*settled(problem, flow, machine, [point]), machine)
        done += 1
        if time.process_time() - start > 2:
            break
    plain = done / (time.process_time() - start)
    return (
        f"one plan of attention-3pass, BERT@16K: {points} tile sizes, each with {ways:.2g} ways to use the arrays,\n"
        f"  searched in {vectorised:.2f} s: {points * ways / vectorised:.2g} mappings/s; "
        f"one by one: {plain:.0f} mappings/s"
    )


def draw(path: Path, growth: dict[str, list[tuple[int, float]]]) -> None:
    """Search time against the number of Einsums and of ranks."""
    titles = {"Einsums": "softmaxes that feed one another", "ranks": "matrix products that feed one another"}
    with style():
        figure = Figure(figsize=(7, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, (name, found) in zip((left, right), growth.items(), strict=True):
            places = [count(name, n) for n, _ in found]
            axes.plot(places, [s for _, s in found], "o-", color="#0072B2", markersize=4)
            axes.set_xticks(places)
            axes.set_xlabel(f"number of {name}")
            axes.set_title(titles[name], loc="left")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            axes.grid(axis="y")
        left.set_ylabel("search (CPU s)")
    png, pdf = save(figure, path.parent, f".{path.stem}")
    write_whole(str(path), png.read_bytes())
    png.unlink()
    pdf.unlink()


def count(name: str, n: int) -> int:
    """Einsums or ranks of the n-th synthetic cascade."""
    return 3 * n if name == "Einsums" else n + 1


if __name__ == "__main__":
    main()
