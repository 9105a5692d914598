"""Clocks of a GPU while it works, from nvidia-smi."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from fusemap.validation.cuda_gpu_driver import Device
from fusemap.validation.cuda_gpu_recording import ClocksModel

_QUERY = "clocks.sm,clocks.mem,driver_version"
UNKNOWN = "unknown"


def read_clocks(device: Device, work: Callable[[], None], *, held: str) -> tuple[ClocksModel, str]:
    """The clocks in MHz while `work` is done again and again, and the driver's version.

    held: what the user says of the setting of the clocks. Without nvidia-smi: the peak clocks, and a version "unknown".
    """
    peak = ClocksModel(
        sm_mhz=device.sm_mhz,
        memory_mhz=device.memory_mhz,
        how=f"peak clocks of the device attributes, nvidia-smi did not tell those at work; {held}",
    )
    command = shutil.which("nvidia-smi")
    if command is None:
        return peak, UNKNOWN
    asked = [command, f"--id={device.bus}", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            work()
        answer = process.stdout.read() if process.stdout else ""
    cells = [cell.strip() for cell in answer.strip().split(",")]
    if len(cells) != 3 or not all(_positive(cell) for cell in cells[:2]):
        return peak, UNKNOWN
    how = f"nvidia-smi while a kernel ran; {held}"
    return ClocksModel(sm_mhz=float(cells[0]), memory_mhz=float(cells[1]), how=how), cells[2]


def _positive(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and float(text) > 0
