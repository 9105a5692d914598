"""How long the recomputation of the FuseMax study takes, part by part, beside its limits and the artifact's time.

    python benchmarks/reproduce.py [--repeat N]

CPU times are of this process after its imports; no run remembers the rows of another. The wall time is of
the whole command in a new process, figures included. On a busy machine the times are those of a slower one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial

import matplotlib

from fusemap.cli.output import table
from fusemap.validation.end_to_end import linear_rows
from fusemap.validation.figures import AnyFigure, study_figure
from fusemap.validation.figures_draw import draw, save
from fusemap.validation.figures_picture import PictureData, picture_data
from fusemap.validation.figures_picture_draw import draw_picture
from fusemap.validation.pareto_study import pareto_attempts
from fusemap.validation.reproduce import StudyRow, accountings, load_bench
from fusemap.validation.reproduction import reproduce
from fusemap.validation.study import Study, load_study

ROWS_LIMIT_S, COMMAND_LIMIT_S = 1.0, 5.0
# "Expected Run Time: 9 hours" of the artifact's README (DOI 10.5281/zenodo.13377042), all of its figures.
ARTIFACT_S = 9 * 3600.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each part (default 3)")
    repeat = parser.parse_args().repeat
    study = load_study("fusemax")
    first = cpu(partial(evaluate_all, study))  # before anything else is warm
    rows = best(partial(evaluate_all, study), repeat)
    parts = {f"rows of {c}": best(partial(evaluate, study, c), repeat) for c in study.model.configurations}
    parts["rows of the linear layers"] = best(partial(evaluate_linear, study), repeat)
    parts["rows of the Pareto study"] = best(partial(evaluate_pareto, study), repeat)
    parts |= draw_times(study, repeat)
    slowest = max(parts, key=lambda name: parts[name])
    wall, command_cpu = min(command_seconds() for _ in range(repeat))
    lines = [
        ["all rows, energies, figure data: first", "CPU", seconds(first), *limit(first, ROWS_LIMIT_S)],
        ["all rows, energies, figure data: best", "CPU", seconds(rows), *limit(rows, ROWS_LIMIT_S)],
        *([f"  {name}", "CPU", seconds(value), "", ""] for name, value in parts.items()),
        [f"slowest part: {slowest}", "CPU", seconds(parts[slowest]), "", ""],
        ["whole command with figures", "wall", seconds(wall), *limit(wall, COMMAND_LIMIT_S)],
        ["  of which it computes", "CPU", seconds(command_cpu), "", ""],
        ["the study's artifact, as it states", "wall", seconds(ARTIFACT_S), "", f"{ARTIFACT_S / wall:,.0f}x"],
    ]
    versions = f"Python {sys.version.split()[0]}, matplotlib {matplotlib.__version__}"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}, {versions}, best of {repeat}\n")
    print(table(lines, ["part", "time", "seconds", "limit", ""], "llrrl"))


def evaluate(study: Study, configuration: str) -> tuple[StudyRow, ...]:
    """The rows of one configuration with their energies, files loaded anew."""
    rows = load_bench(study).rows({configuration: accountings(study, "published")[configuration]})
    assert all(row.report.energy_pj > 0 for row in rows)
    return rows


def evaluate_linear(study: Study) -> None:
    """The rows of the linear layers with their energies."""
    rows = linear_rows(load_bench(study), accountings(study, "published"))
    assert all(row.energy_pj > 0 for row in rows)


def evaluate_pareto(study: Study) -> None:
    """The rows of the Pareto study."""
    _, failures = pareto_attempts(load_bench(study), accountings(study, "published"))
    assert not failures


def evaluate_all(study: Study) -> None:
    """Every row, its energy, the claims, the agreement, and the data of every figure with the published values."""
    found = reproduce(load_bench(study), "published")
    for name in study.model.figures:
        study_figure(found, name)


def draw_times(study: Study, repeat: int) -> dict[str, float]:
    """CPU seconds of drawing and saving each figure as PNG and PDF."""
    bench = load_bench(study)
    found = reproduce(bench, "published")
    labels = {c: m.label for c, m in study.model.configurations.items()}
    times = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in study.model.figures:
            data = study_figure(found, name)
            times[f"figure {name} as PNG and PDF"] = best(partial(draw_figure, data, labels, directory), repeat)
        picture = picture_data(bench, found)
        if picture is not None:
            times["picture as PNG and PDF"] = best(partial(draw_summary, picture, directory), repeat)
    return times


def draw_summary(picture: PictureData, directory: str) -> None:
    """Draw and save the picture."""
    save(draw_picture(picture), directory, "picture")


def draw_figure(data: AnyFigure, labels: Mapping[str, str], directory: str) -> None:
    """Draw and save one figure."""
    save(draw(data, labels), directory, "figure")


def cpu(function: Callable[[], object]) -> float:
    """The CPU seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def best(function: Callable[[], object], repeat: int) -> float:
    """The least CPU seconds of `repeat` calls."""
    return min(cpu(function) for _ in range(repeat))


def command_seconds() -> tuple[float, float]:
    """Wall and CPU seconds of `fusemap reproduce fusemax`, figures included."""
    with tempfile.TemporaryDirectory() as directory:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "fusemap", "reproduce", "fusemax", "--out", directory]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds(value: float) -> str:
    """Seconds with three digits."""
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def limit(value: float, most: float) -> tuple[str, str]:
    """A limit, and whether a time is within it."""
    return seconds(most), "within" if value <= most else "OVER"


if __name__ == "__main__":
    main()
