"""How long the analysis of passes takes: for every cascade of the library, and as Einsums and ranks grow.

    python benchmarks/analyze.py [--repeat N] [--only TEXT] [--plot FILE.png]

CPU times are of this process after its imports; the best of `--repeat` analyses, each from nothing. Synthetic
cascades are layers of softmax over the same scores, alone, or each partitioned into chunks, and one softmax over
scores of more and more further ranks. On a busy machine the times are those of a slower one.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.cli.files import write_whole
from fusemap.cli.output import table
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.passes.zones import close
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.figures_draw import save, style

LIMIT_S, PARTITIONED_CAUSAL_LIMIT_S = 0.3, 1.0
LAYERS, RANKS = (1, 2, 4, 6, 9, 12), (2, 3, 4, 6, 8, 10)
Measured = tuple[int, float]  # Einsums or ranks, CPU seconds


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="analyses of each cascade (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cascades whose name contains this")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the times to a file")
    options = parser.parse_args()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load_average}, Python {sys.version.split()[0]}, best of {options.repeat}\n")
    found = sorted(library(options.only, options.repeat), key=lambda row: -row[1])
    print(table([line(*row) for row in found], ["cascade", "Einsums", "CPU s", "limit", ""], "lrrrl"))
    growth = {name: grown(make, counts, options.repeat) for name, (make, counts) in FAMILIES.items()}
    for name, rows in growth.items():
        print(f"\n{name}\n{table([[str(n), f'{s:.3f}'] for n, s in rows], [unit(name), 'CPU s'], 'rr')}")
    if options.plot:
        plot(Path(options.plot), [(einsums(c), s) for c, s in found], growth)


def library(only: str, repeat: int) -> Iterable[tuple[Cascade, float]]:
    """Every cascade whose name contains the text, and the seconds of its analysis."""
    for name in names():
        if only in name:
            cascade = load(name)
            yield cascade, best(lambda cascade=cascade: analyze(cascade), repeat)


def line(cascade: Cascade, seconds: float) -> list[str]:
    """A row of the table."""
    most = limit(cascade)
    return [cascade.name, str(einsums(cascade)), f"{seconds:.3f}", f"{most:g}", "" if seconds <= most else "OVER"]


def limit(cascade: Cascade) -> float:
    """More is allowed to a partitioned causal cascade: both what a chunk holds and what a query sees matter."""
    partitioned = any(len(shape.factors) > 1 for shape in cascade.shapes)
    return PARTITIONED_CAUSAL_LIMIT_S if partitioned and "causal" in cascade.name else LIMIT_S


def einsums(cascade: Cascade) -> int:
    """The number of Einsums, views included."""
    return len(cascade.einsums)


def softmax_layers(layers: int) -> Cascade:
    """Five Einsums a layer: each layer's weights are the next one's scores."""
    lines = ["input X[m,p]"]
    before = "X"
    for n in range(layers):
        lines += [
            f"G{n}[p] = max[m] {before}[m,p]",
            f"N{n}[m,p] = exp({before}[m,p] - G{n}[p])",
            f"D{n}[p] = sum[m] N{n}[m,p]",
            f"A{n}[m,p] = N{n}[m,p] / D{n}[p]",
            f"R{n}[m,p] = A{n}[m,p] + {before}[m,p]",
        ]
        before = f"R{n}"
    return parse("\n".join(lines))


def partitioned_layers(layers: int) -> Cascade:
    """Six Einsums a layer, of two passes over chunks: the maximum of each chunk, then that of all."""
    lines = ["shape M = M1*M0", "input X[m1,m0,p]"]
    before = "X"
    for n in range(layers):
        lines += [
            f"L{n}[m1,p] = max[m0] {before}[m1,m0,p]",
            f"G{n}[p] = max[m1] L{n}[m1,p]",
            f"N{n}[m1,m0,p] = exp({before}[m1,m0,p] - G{n}[p])",
            f"D{n}[m1,p] = sum[m0] N{n}[m1,m0,p]",
            f"S{n}[p] = sum[m1] D{n}[m1,p]",
            f"A{n}[m1,m0,p] = N{n}[m1,m0,p] / S{n}[p]",
        ]
        before = f"A{n}"
    return parse("\n".join(lines))


def wide_softmax(ranks: int) -> Cascade:
    """A softmax of four Einsums over scores with so many ranks."""
    rest = ",".join("abcdefghij"[: ranks - 1])
    return parse(
        f"input X[m,{rest}]\nG[{rest}] = max[m] X[m,{rest}]\nN[m,{rest}] = exp(X[m,{rest}] - G[{rest}])\n"
        f"D[{rest}] = sum[m] N[m,{rest}]\nA[m,{rest}] = N[m,{rest}] / D[{rest}]"
    )


FAMILIES: dict[str, tuple[Callable[[int], Cascade], Sequence[int]]] = {
    "Einsums: layers of softmax": (softmax_layers, LAYERS),
    "Einsums: layers of softmax in chunks": (partitioned_layers, LAYERS[:-2]),
    "ranks: one softmax": (wide_softmax, RANKS),
}


def grown(make: Callable[[int], Cascade], counts: Sequence[int], repeat: int) -> list[Measured]:
    """Times over what grows; stops after the first that takes more than ten times its limit."""
    rows: list[Measured] = []
    for count in counts:
        cascade = make(count)
        seconds = best(lambda cascade=cascade: analyze(cascade), repeat if not rows or rows[-1][1] < LIMIT_S else 1)
        rows.append((count if make is wide_softmax else einsums(cascade), seconds))
        if seconds > 10 * LIMIT_S:
            break
    return rows


def unit(family: str) -> str:
    """What grows."""
    return family.partition(":")[0]


def best(function: Callable[[], object], repeat: int) -> float:
    """The least CPU seconds of `repeat` calls."""
    return min(cpu(function) for _ in range(repeat))


def cpu(function: Callable[[], object]) -> float:
    """The CPU seconds of a call that finds nothing remembered from the one before."""
    close.cache_clear()
    gc.collect()
    start = time.process_time()
    function()
    return time.process_time() - start


def plot(path: Path, found: Sequence[Measured], growth: dict[str, list[Measured]]) -> None:
    """Time over Einsums, and over ranks, with the limits."""
    with style():
        figure = Figure(figsize=(7.0, 2.8))
        left, right = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.08, right=0.985, bottom=0.16, top=0.93, wspace=0.06)
        left.plot(
            *zip(*found, strict=True), "o", color="#777777", markersize=3, markerfacecolor="none", label="library"
        )
        for (name, rows), (colour, mark) in zip(
            growth.items(), (("#0072B2", "s-"), ("#D55E00", "^--"), ("#009E73", "D-")), strict=True
        ):
            axes = left if unit(name) == "Einsums" else right
            axes.plot(*zip(*rows, strict=True), mark, color=colour, markersize=4, label=name.partition(": ")[2])
        decorate(left, "Einsums")
        decorate(right, "ranks of the scores")
        left.set_ylabel("analysis (CPU s)")
        left.set_title("every cascade of the library, and larger ones", loc="left")
        right.set_title("one softmax of four Einsums", loc="left")
    png, pdf = save(figure, path.parent, f".{path.stem}")
    write_whole(str(path), png.read_bytes())
    png.unlink()
    pdf.unlink()


def decorate(axes: Axes, label: str) -> None:
    """Scales, limits as lines, names."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    for value, text in ((LIMIT_S, "limit"), (PARTITIONED_CAUSAL_LIMIT_S, "limit, partitioned causal")):
        axes.axhline(value, color="black", linewidth=0.7, linestyle=":")
        axes.annotate(
            text, (0.01, value), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points", size=7.5
        )
    axes.set_xlabel(label)
    axes.grid(axis="y")
    axes.legend(loc="lower right")


if __name__ == "__main__":
    main()
