"""What the source executor writes (cuda_runtime/main.cpp), as counts and faults."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

from fusemap.validation.cuda_counts import Fault, FaultKind, FlopKind, TensorCounts
from fusemap.validation.cuda_kernels import Kernel

# In the order of the enumeration in cuda_runtime/counting.h.
KINDS: tuple[FlopKind, ...] = ("add", "mul", "fma", "div", "exp", "max", "sqrt", "rcp", "ex2", "lg2")
_LINE = re.compile(r"(?:kernel\.cu|entries\.cpp):(\d+)")  # some versions name the file that includes the kernel


class AccessResult(TypedDict):
    """Accesses to a tensor in one launch; `loads` and `stores` are elements, requests, sectors."""

    loads: tuple[int, int, int]
    stores: tuple[int, int, int]
    block_elements: int
    out_of_bounds: int


class FaultResult(TypedDict):
    """A fault; `line` of a barrier, else `site`, an address behind the access in the executable."""

    kind: FaultKind
    tensor: str
    text: str
    index: int
    line: int
    site: int
    launch: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]


class Result(TypedDict):
    """The whole file; `launches` are those that were started."""

    launches: list[dict[str, AccessResult]]
    stopped: bool
    fault_count: int
    faults: list[FaultResult]
    operations: list[int]


def tensor_counts(result: Result, kernel: Kernel) -> Mapping[str, TensorCounts]:
    """Counts per tensor, summed over the launches."""
    return MappingProxyType(
        {name: _counts(name, [launch[name] for launch in result["launches"]]) for name in kernel.shapes}
    )


def _counts(tensor: str, launches: Sequence[AccessResult]) -> TensorCounts:
    loads, load_requests, load_sectors = (sum(launch["loads"][i] for launch in launches) for i in range(3))
    stores, store_requests, store_sectors = (sum(launch["stores"][i] for launch in launches) for i in range(3))
    distinct = sum(launch["block_elements"] for launch in launches)
    return TensorCounts(
        tensor=tensor,
        loads=loads,
        stores=stores,
        load_requests=load_requests,
        store_requests=store_requests,
        load_sectors=load_sectors,
        store_sectors=store_sectors,
        passes=loads / distinct if distinct else 0.0,
        out_of_bounds=sum(launch["out_of_bounds"] for launch in launches),
    )


def flops(result: Result) -> Mapping[FlopKind, int]:
    """Operations by kind, those that occur."""
    return MappingProxyType({kind: n for kind, n in zip(KINDS, result["operations"], strict=False) if n})


def faults(result: Result, kernel: Kernel, executable: Path) -> tuple[Fault, ...]:
    """The faults in the order in which they came about; the executor keeps the first 64."""
    lines = _lines([fault["site"] for fault in result["faults"]], executable)
    return tuple(_fault(fault, kernel, lines) for fault in result["faults"])


def _fault(fault: FaultResult, kernel: Kernel, lines: Mapping[int, int]) -> Fault:
    launch = kernel.launches[fault["launch"]]
    line = fault["line"] or lines.get(fault["site"], 0)
    where = launch.entry + (f", line {line}" if line else "") + (f": {fault['text']}" if fault["text"] else "")
    return Fault(
        kind=fault["kind"],
        tensor=fault["tensor"],
        index=fault["index"],
        block=_linear(fault["block"], launch.grid),
        thread=_linear(fault["thread"], launch.block),
        where=where,
    )


def _linear(at: Sequence[int], of: Sequence[int]) -> int:
    return at[0] + of[0] * (at[1] + of[1] * at[2])


def _lines(sites: Sequence[int], executable: Path) -> dict[int, int]:
    """Lines of the source for places in the code, where addr2line is there to tell them."""
    wanted = sorted({site for site in sites if site})
    if not wanted:
        return {}
    try:
        done = subprocess.run(
            ["addr2line", "-e", str(executable), *(hex(site - 1) for site in wanted)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return {}
    found = zip(wanted, map(_LINE.search, done.stdout.splitlines()), strict=False)
    return {site: int(match.group(1)) for site, match in found if match}
