"""Counters of the cases: Nsight Compute runs this package again, which launches each kernel once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_gpu_cases import Case
from fusemap.validation.cuda_gpu_ncu import (
    METRICS,
    NO_PERMISSION,
    PERMISSION_HINT,
    NcuLaunch,
    ncu_command,
    parse_ncu,
)
from fusemap.validation.cuda_gpu_recording import LaunchModel, MetricModel, NcuModel, RunModel

MODULE = "fusemap.validation.cuda_gpu_run"
PLAN_OPTION = "--launch-plan"
TIME_LIMIT_S = 3_600
_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profiler, and the launches that it counted, in order."""

    ncu: NcuModel
    launches: tuple[NcuLaunch, ...]


def find_ncu() -> str | None:
    """$NCU, or ncu on PATH."""
    return shutil.which(os.environ.get("NCU") or "ncu")


def profile(cases: Sequence[Case], *, ncu: str, seed: int) -> Profile:
    """Counts every launch of the cases, with cold caches (ncu's default) and clocks as they are.

    InputError: no permission to read counters, a run that fails, a CSV that is not as it should be.
    """
    with tempfile.TemporaryDirectory(prefix="fusemap-ncu-") as folder:
        log, plan = Path(folder) / "ncu.csv", Path(folder) / "plan.json"
        plan.write_text(write_plan(cases, seed), encoding="utf-8")
        command = ncu_command(ncu, str(log), [sys.executable, "-m", MODULE, PLAN_OPTION, str(plan)])
        said = _run(command)
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        if NO_PERMISSION in text + said.stdout + said.stderr:
            raise input_error(
                f"Nsight Compute may not read this GPU's counters ({NO_PERMISSION})", hint=PERMISSION_HINT
            )
        if said.returncode:
            last = "\n".join((said.stderr + said.stdout + text).strip().splitlines()[-_LINES_SHOWN:])
            raise input_error(f"ncu ended with {said.returncode}:\n{last}", hint="--no-ncu records times alone")
        options = command[1 : command.index("--log-file")]
        return Profile(
            ncu=NcuModel(version=ncu_version(ncu), options=options), launches=parse_ncu(text, file="ncu.csv")
        )


def ncu_version(ncu: str) -> str:
    """The version that `ncu --version` tells, such as 2025.3.0.0; "unknown" if none is in it."""
    done = subprocess.run([ncu, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\d{4}(\.\d+)+", done.stdout)
    return match[0] if match else "unknown"


def write_plan(cases: Sequence[Case], seed: int) -> str:
    """The cases as text, for the process that is profiled."""
    return json.dumps({"seed": seed, "cases": [[case.kernel, dict(case.sizes)] for case in cases]})


def read_plan(text: str) -> tuple[tuple[Case, ...], int]:
    """The cases and the seed of a plan."""
    plan = json.loads(text)
    return tuple(Case(kernel=kernel, sizes=sizes) for kernel, sizes in plan["cases"]), plan["seed"]


def with_metrics(runs: Sequence[RunModel], launches: Sequence[NcuLaunch]) -> list[RunModel]:
    """The runs, each launch with its counters; launches of other kernels (a library's) are passed over.

    InputError: not the launches that were made, in their order.
    """
    ours = {launch.entry for run in runs for launch in run.launches}
    counted = [launch for launch in launches if launch.entry in ours]
    made = sum(len(run.launches) for run in runs)
    if len(counted) != made:
        raise input_error(f"ncu counted {len(counted)} launches, {made} were made")
    rest = iter(counted)
    return [
        run.model_copy(update={"launches": [_with(run, launch, next(rest)) for launch in run.launches]}) for run in runs
    ]


def _with(run: RunModel, launch: LaunchModel, counted: NcuLaunch) -> LaunchModel:
    grid, block = counted.grid or tuple(launch.grid), counted.block or tuple(launch.block)
    if (counted.entry, *grid, *block) != (launch.entry, *launch.grid, *launch.block):
        raise input_error(
            f"ncu's launch {counted.number} is {counted.entry} {grid} x {block}; kernel {run.kernel} has made "
            f"{launch.entry} {tuple(launch.grid)} x {tuple(launch.block)} there"
        )
    metrics = {name: MetricModel(value=value, unit=METRICS[name].unit) for name, value in counted.metrics.items()}
    return launch.model_copy(update={"metrics": metrics})


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}  # else numbers are written as the user's locale has them
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise input_error(f"{command[0]}: {error}", hint="--no-ncu records times alone") from None
