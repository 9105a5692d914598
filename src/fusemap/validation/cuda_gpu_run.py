"""Records the kernels on the GPU of this machine: `python -m fusemap.validation.cuda_gpu_run --out FILE`."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fusemap.diagnostics import InputError, did_you_mean, input_error
from fusemap.validation.cuda_gpu_cases import Sizes, cases
from fusemap.validation.cuda_gpu_clocks import read_clocks
from fusemap.validation.cuda_gpu_driver import Device, Driver, check_fits
from fusemap.validation.cuda_gpu_kernels import gpu_kernel_names, load_gpu_kernel
from fusemap.validation.cuda_gpu_libcuda import LibCuda
from fusemap.validation.cuda_gpu_measure import launch_once, measure, working
from fusemap.validation.cuda_gpu_profile import PLAN_OPTION, find_ncu, profile, read_plan, with_metrics
from fusemap.validation.cuda_gpu_recording import (
    BaselineModel,
    DeviceModel,
    RecordingModel,
    RunModel,
    write_recording,
)
from fusemap.validation.cuda_gpu_torch import find_torch, sdpa_baselines
from fusemap.version import VERSION

WARM_UP, REPETITIONS = 3, 20
_SIZE_NAMES = ("P", "M", "E", "F", "H", "G", "BP", "BM", "BG")


def record_gpu(
    output: Path,
    kernels: Sequence[str] = (),
    sizes: Sequence[Sizes] = (),
    *,
    ncu: bool = True,
    torch: bool = True,
    warm_up: int = WARM_UP,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    clocks: str = "nothing held the clocks",
    driver: Driver | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RecordingModel:
    """Measures kernels (all) at sizes (four small ones and the DRAM case) on a GPU, and writes the recording.

    ncu: count with Nsight Compute if it is there. torch: time PyTorch's attention if it is there. clocks: what holds
    the clocks, in words. driver: another than that of this machine. say: is told what is being done.
    InputError: no driver or GPU, no permission to count (before anything is timed), a case that does not fit or
    compile, a kernel whose result is wrong. The file is written whole at the end, or not at all.
    """
    _check_target(output)
    driver = driver or LibCuda()
    device = driver.device
    planned = cases(device, kernels, sizes)
    for case in planned:
        check_fits(case.load(), device)
    command = find_ncu() if ncu else None
    say(f"{device.name}: {len(planned)} cases, {'counted by ' + command if command else 'no counters'}")
    profiled = profile(planned, ncu=command, seed=seed) if command else None
    runs = []
    for case in planned:
        say(f"{case}")
        runs.append(measure(driver, case, warm_up=warm_up, repetitions=repetitions, seed=seed))
    largest = max(planned, key=lambda case: case.sizes.get("P", 0) * case.sizes.get("M", 0))
    with working(driver, largest, seed=seed) as work:
        read, version = read_clocks(device, work, held=clocks)
    recording = RecordingModel(
        format=1,
        fusemap=VERSION,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        device=_device(device, version),
        clocks=read,
        ncu=profiled.ncu if profiled else None,
        warm_up=warm_up,
        runs=with_metrics(runs, profiled.launches) if profiled else runs,
        baselines=_baselines(runs, warm_up, repetitions) if torch else [],
    )
    write_recording(output, recording)
    return recording


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 done, 2 the input or the machine is not as needed."""
    try:
        given = _parser().parse_args(arguments)
        if given.launch_plan:
            planned, seed = read_plan(given.launch_plan.read_text(encoding="utf-8"))
            driver = LibCuda()
            for case in planned:
                launch_once(driver, case, seed=seed)
            return 0
        recording = record_gpu(
            given.out,
            _known(given.kernel),
            [parse_sizes(text) for text in given.size],
            ncu=given.ncu,
            torch=given.torch,
            warm_up=given.warm_up,
            repetitions=given.repetitions,
            seed=given.seed,
            clocks=given.clocks,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{given.out}: {len(recording.runs)} runs on {recording.device.name}")
    return 0


def parse_sizes(text: str) -> dict[str, int]:
    """Sizes of a command line.

    >>> parse_sizes("P=64,M=128")
    {'P': 64, 'M': 128}
    """
    sizes = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _SIZE_NAMES:
            raise input_error(f'no size "{name}" in "{text}"', hint=did_you_mean(name, _SIZE_NAMES))
        if not value.isdecimal() or int(value) < 1:
            raise input_error(f'size {name} in "{text}" is "{value}": expected a whole number from 1, as in P=256')
        sizes[name] = int(value)
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fusemap.validation.cuda_gpu_run", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the recording, a JSON file")
    what.add_argument(PLAN_OPTION, type=Path, help=argparse.SUPPRESS)  # what ncu counts
    parser.add_argument("--kernel", action="append", default=[], help="a kernel (all); may be repeated")
    parser.add_argument("--size", action="append", default=[], help="sizes such as P=256,M=256; may be repeated")
    parser.add_argument("--no-ncu", dest="ncu", action="store_false", help="record no counters")
    parser.add_argument("--no-torch", dest="torch", action="store_false", help="record no library times")
    parser.add_argument("--warm-up", type=_from(0), default=WARM_UP, help="launches before the timed ones")
    parser.add_argument("--repetitions", type=_from(1), default=REPETITIONS, help="timed launches, at most")
    parser.add_argument("--seed", type=_from(0), default=0, help="of the random inputs")
    parser.add_argument("--clocks", default="nothing held the clocks", help='such as "held by nvidia-smi -lgc 1500"')
    return parser


def _from(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}")
        return int(text)

    return number


def _known(kernels: Sequence[str]) -> Sequence[str]:
    for name in kernels:
        if name not in gpu_kernel_names():
            raise input_error(f'no kernel "{name}"', hint=did_you_mean(name, gpu_kernel_names()))
    return kernels


def _check_target(output: Path) -> None:
    """Before minutes of measuring: whether a file can be put there."""
    if output.is_dir() or not output.parent.is_dir():
        what = "is a directory" if output.is_dir() else f"there is no directory {output.parent}"
        raise input_error(f"cannot write {output}: {what}")


def _device(device: Device, version: str) -> DeviceModel:
    return DeviceModel(
        name=device.name,
        compute_capability="{}.{}".format(*device.capability),
        multiprocessors=device.multiprocessors,
        memory_bytes=device.memory_bytes,
        l2_bytes=device.l2_bytes,
        cuda=device.cuda,
        driver=version,
    )


def _baselines(runs: Sequence[RunModel], warm_up: int, repetitions: int) -> list[BaselineModel]:
    """PyTorch's times at the distinct sizes of the runs of softmax attention; none without PyTorch."""
    torch = find_torch()
    if torch is None:
        return []
    attention = [run for run in runs if load_gpu_kernel(run.kernel).kernel.softmax]
    distinct = {tuple({**run.sizes, **run.constants}[name] for name in "PMEF") for run in attention}
    sizes = [dict(zip("PMEF", values, strict=True)) for values in sorted(distinct)]
    return sdpa_baselines(torch, sizes, warm_up=warm_up, repetitions=repetitions)


if __name__ == "__main__":
    sys.exit(main())
