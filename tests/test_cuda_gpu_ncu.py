"""Nsight Compute's CSV: both layouts, what follows from the counters, and every fault located."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_counts import mul_add
from fusemap.validation.cuda_gpu_ncu import DURATION, FFMA, LOADED, METRICS, derive, ncu_command, parse_ncu

DATA = Path(__file__).parent / "data" / "ncu"
NEW = (DATA / "raw-2025.csv").read_text()
OLD = (DATA / "raw-2021.csv").read_text()

# 1-pass, P = M = 256, E = F = 32, blocks of 32 queries, by enumeration: each of 8 blocks loads K and V once, Q is
# loaded and AV stored once.
LOADS = 8 * 256 * (32 + 32) + 256 * 32
STORES = 256 * 32


@pytest.mark.parametrize("text", [NEW, OLD, OLD.replace("\n", "\r\n")])
def test_both_layouts_say_the_same(text):
    (launch,) = parse_ncu(text)
    counts = derive([launch.metrics])
    assert launch.entry == "attention_1pass" and set(launch.metrics) == set(METRICS)
    assert (counts.loaded, counts.stored) == (4 * LOADS, 4 * STORES)
    # K and V are read along rows by a warp, Q by each lane along a row of its own: a sector per element.
    assert counts.load_sectors == 4 * (LOADS - 256 * 32) // 32 + 256 * 32
    assert counts.l2_read == 32 * counts.load_sectors
    assert (counts.dram_read, counts.dram_written) == (4 * 3 * 256 * 32, 4 * STORES)
    assert counts.flops == mul_add({"fma": 4_784_128, "mul": 2_236_416, "add": 262_144})
    assert counts.seconds == pytest.approx(99.872e-6)


def test_grid_and_block_where_the_layout_has_them():
    (new,), (old,) = parse_ncu(NEW), parse_ncu(OLD)
    assert (new.grid, new.block) == ((8, 1, 1), (32, 1, 1)) and old.grid is old.block is None


def test_counters_are_summed_over_launches():
    row = NEW.splitlines()[-1]
    launches = parse_ncu(NEW + row.replace('"0","41"', '"1,000","41"', 1).replace("557,056", "1,000,000.0") + "\n")
    assert derive(launch.metrics for launch in launches).loaded == 4 * LOADS + 1_000_000


def test_the_command_has_what_the_reader_needs():
    command = ncu_command("ncu", "log", ["python", "x"])
    text = " ".join(command)
    assert "--csv --page raw --print-units base --clock-control none" in text
    assert command[-2:] == ["python", "x"] and all(name in text for name in METRICS)


NO_HEADER = 'no header that starts with "ID"'
FAULTS = {
    "another unit": (
        NEW.replace('"byte","byte","inst"', '"Kbyte","byte","inst"'),
        rf':6:.* "Kbyte" of {LOADED}: expected',
    ),
    "time in us": (NEW.replace('"ns"', '"us"'), rf':6:.* "us" of {DURATION}: expected nsecond or ns\n'),
    "missing metric": (NEW.replace(FFMA, "x"), f":5:1: error: no metric {FFMA}"),
    "other locale": (
        NEW.replace("557,056", "557.056,5"),
        r':7:\d+:.* is "557.056,5": expected a number\n(.*\n)*.*LC_ALL=C',
    ),
    "comma as decimal sign": (NEW.replace("99,872", "99,8"), rf'{DURATION} is "99,8": expected a number'),
    "no value": (NEW.replace("557,056", "n/a"), f'{LOADED} is "n/a": expected a number'),
    "cut between cells": (NEW[: NEW.rindex(',"262,144"')], r":7:1: error: 18 cells for 21 columns: the row is cut off"),
    "cut in a cell": (NEW[: NEW.rindex('16"')], "the file is cut off"),
    "no units": (NEW[: NEW.index('"","","')], "no row of units"),
    "a unit too few": (NEW.replace('"",' * 11, '"",' * 10), "20 units for 21 columns"),
    "no permission": ((DATA / "no-permission.txt").read_text(), r"ERR_NVGPUCTRPERM\)\n.*sudo.*NVreg_Restrict.*=0"),
    "no kernel": ("==WARNING== No kernels were profiled.\n", "saw no kernel"),
    "an error": ("==ERROR== The application returned an error code (2).\n", f"{NO_HEADER}: ==ERROR== The application"),
    "empty": ("", NO_HEADER),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault):
    text, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        parse_ncu(text, file="f.csv")


def test_a_fault_points_at_the_cell():
    text = NEW.replace("557,056", "557.056,5")
    with pytest.raises(InputError) as caught:
        parse_ncu(text, file="f.csv")
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert text.splitlines()[span.line - 1][span.column - 1 :].startswith("557.056,5") and span.length == 9


def test_a_metric_that_is_not_there_is_not_zero():
    with pytest.raises(InputError, match=f"no metric {LOADED}"):
        derive([{name: 1.0 for name in METRICS if name != LOADED}])
