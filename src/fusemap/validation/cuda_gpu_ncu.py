"""Nsight Compute's counters: which are asked for, how its CSV is read, and what follows from them.

The layout is that of `ncu --csv --page raw`: lines of messages, a header that starts with "ID", a row of units, a row
per launch. The columns before the metrics differ: up to 2022 "Kernel Time" stands among them, later "Block Size",
"Grid Size", "Device" and "CC". Counters are per launch; none is per tensor.
Source: Nsight Compute CLI manual, "Output Pages" and "Metrics and Units"; Kernel Profiling Guide, "Metrics Decoder".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fusemap.diagnostics import Diagnostic, InputError, Span, did_you_mean, input_error

SECTOR_BYTES = 32  # of an L1 and L2 sector; Kernel Profiling Guide, "Memory Tables"
NO_PERMISSION = "ERR_NVGPUCTRPERM"
PERMISSION_HINT = (
    "run as root (sudo, or a container with --cap-add=SYS_ADMIN), or let the administrator set the module option "
    "NVreg_RestrictProfilingToAdminUsers=0 (developer.nvidia.com/ERR_NVGPUCTRPERM); --no-ncu records times alone"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A counter: its unit in a recording, and the spellings that versions of ncu have for it, with their factor."""

    unit: str
    spellings: Mapping[str, float]


_BYTE = Metric(unit="byte", spellings=MappingProxyType({"byte": 1}))
_SECTOR = Metric(unit="sector", spellings=MappingProxyType({"sector": 1}))
_INSTRUCTION = Metric(unit="inst", spellings=MappingProxyType({"inst": 1}))
_TIME = Metric(unit="ns", spellings=MappingProxyType({"nsecond": 1, "ns": 1}))  # "nsecond" up to 2024

LOADED = "sm__sass_data_bytes_mem_global_op_ld.sum"
STORED = "sm__sass_data_bytes_mem_global_op_st.sum"
LOAD_SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
L2_SECTORS = "lts__t_sectors_srcunit_tex_op_read.sum"
DRAM_READ = "dram__bytes_read.sum"
DRAM_WRITTEN = "dram__bytes_write.sum"
FFMA = "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum"
FMUL = "smsp__sass_thread_inst_executed_op_fmul_pred_on.sum"
FADD = "smsp__sass_thread_inst_executed_op_fadd_pred_on.sum"
DURATION = "gpu__time_duration.sum"

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        LOADED: _BYTE,
        STORED: _BYTE,
        LOAD_SECTORS: _SECTOR,
        L2_SECTORS: _SECTOR,
        DRAM_READ: _BYTE,
        DRAM_WRITTEN: _BYTE,
        FFMA: _INSTRUCTION,
        FMUL: _INSTRUCTION,
        FADD: _INSTRUCTION,
        DURATION: _TIME,
    }
)

# 1,234,567.5 or 1234567.5: a comma anywhere else is another locale's decimal sign, whose value would be taken wrongly.
_NUMBER = re.compile(r"(\d{1,3}(,\d{3})+|\d+)(\.\d+)?([eE][-+]?\d+)?")
_DIMENSIONS = re.compile(r"\(?\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NcuLaunch:
    """Counters of one launch, in the units of METRICS; `grid` and `block` are None where the layout lacks them."""

    number: int
    entry: str
    grid: tuple[int, int, int] | None
    block: tuple[int, int, int] | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NcuCounts:
    """What the counters of one or more launches say; bytes unless the name says otherwise.

    loaded, stored: elements that threads moved from and to global memory (several passes over a tensor count several
    times, wherever the bytes came from). load_sectors: 32-byte sectors that loads asked L1 for. l2_read: what L1 asked
    L2 for. flops: 2 ffma + fmul + fadd. seconds: on the GPU, under the profiler's clocks and with cold caches.
    """

    loaded: int
    stored: int
    load_sectors: int
    l2_read: int
    dram_read: int
    dram_written: int
    flops: int
    seconds: float


def ncu_command(ncu: str, log: str, target: Sequence[str]) -> list[str]:
    """The command that counts METRICS of every launch of `target`; its environment needs LC_ALL=C."""
    options = ["--csv", "--page", "raw", "--print-units", "base", "--clock-control", "none"]
    options += ["--target-processes", "all"]  # a virtual environment's python may start another
    return [ncu, *options, "--metrics", ",".join(METRICS), "--log-file", log, *target]


def parse_ncu(text: str, *, file: str = "<ncu>") -> tuple[NcuLaunch, ...]:
    """The launches of a CSV in the raw page's layout, in their order; other metrics in it are left out.

    InputError, located: no counters (no permission, no kernel), a metric that is missing, has another unit or no
    number, a row that is cut off.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(('"ID"', "ID,"))), None)
    if start is None:
        raise _no_header(text, file)
    # Messages stand before the header, and after the last row when there is no log file.
    table = _Table(file=file, first=start + 1, rows=_rows(lines[start:], file), lines=lines)
    if len(table.rows) < 2:
        raise table.error(0, "no row of units after the header", "the raw page has one: --page raw")
    factors = _factors(table)
    return tuple(_launch(table, i, factors) for i in range(2, len(table.rows)))


def derive(launches: Iterable[Mapping[str, float]]) -> NcuCounts:
    """The sums over launches of what their counters say.

    >>> counts = dict.fromkeys(METRICS, 2.0)
    >>> derive([counts, counts]).flops, derive([counts, counts]).l2_read
    (16, 128)
    """
    total = {name: 0.0 for name in METRICS}
    for metrics in launches:
        for name in METRICS:
            if name not in metrics:
                raise input_error(f"no metric {name}", hint=did_you_mean(name, tuple(metrics)))
            total[name] += metrics[name]
    return NcuCounts(
        loaded=round(total[LOADED]),
        stored=round(total[STORED]),
        load_sectors=round(total[LOAD_SECTORS]),
        l2_read=SECTOR_BYTES * round(total[L2_SECTORS]),
        dram_read=round(total[DRAM_READ]),
        dram_written=round(total[DRAM_WRITTEN]),
        flops=round(2 * total[FFMA] + total[FMUL] + total[FADD]),
        seconds=total[DURATION] * 1e-9,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Rows of a CSV (header, units, launches) and where they stand."""

    file: str
    first: int
    rows: list[list[str]]
    lines: list[str]

    def error(self, row: int, message: str, hint: str = "", *, column: str | None = None) -> InputError:
        """An error in a row, at the text of a cell if `column` names its column."""
        line = min(self.first + row, len(self.lines))
        source = self.lines[line - 1] if self.lines else ""
        at, length = 1, 1
        if column is not None and column in self.rows[0]:
            cells = self.rows[row][: self.rows[0].index(column) + 1]
            at, length = sum(len(cell) + 3 for cell in cells[:-1]) + 2, max(1, len(cells[-1]))  # "…", around each
        span = Span(file=self.file, line=line, column=at, length=length)
        return InputError((Diagnostic(message=message, span=span, source=source, hint=hint),))


def _rows(lines: list[str], file: str) -> list[list[str]]:
    end = next((i for i, line in enumerate(lines) if line.startswith("==")), len(lines))
    try:
        return [*csv.reader([line for line in lines[:end] if line.strip()], strict=True)]
    except csv.Error as error:
        raise input_error(f"{file}: the file is cut off, or no CSV: {error}") from None


def _no_header(text: str, file: str) -> InputError:
    if NO_PERMISSION in text:
        return input_error(f"Nsight Compute may not read this GPU's counters ({NO_PERMISSION})", hint=PERMISSION_HINT)
    if "No kernels were profiled" in text:
        return input_error(f"{file}: Nsight Compute saw no kernel", hint="a launch failed, or --target-processes all")
    said = next((line for line in text.splitlines() if line.startswith("==ERROR==")), "")
    return input_error(f'{file}: no header that starts with "ID"{": " if said else ""}{said}')


def _factors(table: _Table) -> dict[str, float]:
    """By metric, what its numbers are multiplied by to be in the unit of METRICS."""
    header, units = table.rows[:2]
    if len(units) != len(header):
        raise table.error(1, f"{len(units)} units for {len(header)} columns")
    found = dict(zip(header, units, strict=True))
    factors = {}
    for name, metric in METRICS.items():
        if name not in found:
            raise table.error(0, f"no metric {name}", did_you_mean(name, header))
        if found[name] not in metric.spellings:
            wanted = " or ".join(metric.spellings)
            raise table.error(
                1, f'unit "{found[name]}" of {name}: expected {wanted}', "ncu --print-units base", column=name
            )
        factors[name] = metric.spellings[found[name]]
    return factors


def _launch(table: _Table, row: int, factors: Mapping[str, float]) -> NcuLaunch:
    header, cells = table.rows[0], table.rows[row]
    if len(cells) != len(header):
        raise table.error(row, f"{len(cells)} cells for {len(header)} columns: the row is cut off")
    found = dict(zip(header, cells, strict=True))
    if "Kernel Name" not in found:
        raise table.error(0, 'no column "Kernel Name"')
    return NcuLaunch(
        number=int(found["ID"]) if found["ID"].isdigit() else row - 2,
        entry=entry_of(found["Kernel Name"]),
        grid=_dimensions(found.get("Grid Size")),
        block=_dimensions(found.get("Block Size")),
        metrics=MappingProxyType({n: factors[n] * _number(table, row, n, found[n]) for n in factors}),
    )


def entry_of(name: str) -> str:
    """The function of a kernel name as ncu prints it.

    >>> entry_of("void attention_1pass(const float *, int)"), entry_of("attention_1pass")
    ('attention_1pass', 'attention_1pass')
    """
    return re.split(r"[(<]", name, maxsplit=1)[0].split()[-1] if name.strip() else ""


def _dimensions(text: str | None) -> tuple[int, int, int] | None:
    match = _DIMENSIONS.fullmatch(text.strip()) if text else None
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _number(table: _Table, row: int, name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        hint = "numbers are written as 1,234.5: ncu needs LC_ALL=C" if any(c.isdigit() for c in text) else ""
        raise table.error(row, f'{name} is "{text}": expected a number', hint, column=name)
    return float(text.replace(",", ""))
