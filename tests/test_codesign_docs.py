"""The document of the co-design: its tables and pictures are made from the numbers, and the stored table is true."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from studies import bench
from test_codesign import SPACE, area_by_hand, design, site

from fusemap.archspec import load_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog
from fusemap.sim.best import find_best
from fusemap.validation.codesign import Design, baseline_of, design_of, floor_s, ratios
from fusemap.validation.codesign_buffers import buffer_cases, buffers_table
from fusemap.validation.codesign_figures import fingerprint, pictures, render
from fusemap.validation.codesign_space import Site, machine_of, sites
from fusemap.validation.codesign_tables import (
    Entry,
    best_under,
    cycles_table,
    entries_table,
    from_csv,
    front_of,
    rereads_table,
    stored_entries,
    to_csv,
)
from fusemap.validation.exp_sensitivity import Swept, exp_sweep, length_table
from fusemap.validation.rereads import reread

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = (DOCS / "codesign.md").read_text(encoding="utf-8")


@cache
def baseline() -> Design:
    return baseline_of(SPACE)


@cache
def swept() -> tuple[Swept, ...]:
    return exp_sweep(bench())


def shape(at: Site) -> tuple[int, int, int, int]:
    p = dict(at.parameters)
    return p["rows"], p["columns"], p["lanes"], p["buffer_mib"]


# --- the stored exploration -----------------------------------------------------------------------


def test_the_stored_machines_are_all_that_are_no_larger_than_fusemax() -> None:
    allowed = [s for s in sites(SPACE) if shape(s)[1] <= 4 * shape(s)[2]]
    limit = baseline().area_um2 * (1 + 1e-9)
    assert [e.site for e in stored_entries()] == [s for s in allowed if area_by_hand(*shape(s), s.exp) <= limit]
    counts = (
        len(sites(SPACE)),
        len(sites(SPACE)) - len(allowed),
        len(allowed) - len(stored_entries()),
        len(stored_entries()),
    )
    assert counts == (1728, 480, 779, 469)
    assert all(text in DOCUMENT for text in ("1,728 machines", "480 have", "other 469", "11,256 evaluations"))
    assert 469 * 6 * (1 + len(SPACE.row_steps)) == 11256


@pytest.mark.parametrize("number", random.Random(7).sample(range(469), 10))
def test_stored_rows_computed_anew(number: int) -> None:
    entry = stored_entries()[number]
    again = ratios(design_of(SPACE, entry.site, machine_of(SPACE, entry.site)), baseline())
    assert (again.area, again.latency, again.energy, again.worst_latency, again.worst_energy) == pytest.approx(
        (
            *(entry.ratios.area, entry.ratios.latency, entry.ratios.energy),
            entry.ratios.worst_latency,
            entry.ratios.worst_energy,
        ),
        rel=1e-10,
    )


def test_a_stored_table_is_read_as_it_was_written() -> None:
    assert from_csv(to_csv(stored_entries())) == stored_entries()


def test_the_front() -> None:
    entries = stored_entries()
    front = front_of(entries)
    assert len(front) == 199 and "199 of the 469" in DOCUMENT
    best = min(entries, key=lambda e: (e.ratios.latency, e.ratios.energy))
    assert front[0] == best
    assert not [e for e in front if shape(e.site)[3] == 32], "32 MiB never pay"
    assert len([e for e in entries if e.within]) == 6 and set(within()) <= set(front)


@cache
def within() -> tuple[Entry, ...]:
    return tuple(sorted((e for e in stored_entries() if e.within), key=lambda e: e.triple))


# --- the floor ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "e"), [("BERT", 64), ("XLM", 128)])
def test_the_floor_by_plain_arithmetic_and_below_every_machine(model: str, e: int) -> None:
    """Area-time of a score: 2E + 2 points on plain elements, one on an element with an exponential unit."""
    element = 16791.04 + 11.63484 * 4 + 49.28944 + 1545
    points = {
        n: 64 * {"BERT": 12, "XLM": 16}[model] * k * k
        for n, k in (("1K", 1 << 10), ("16K", 1 << 14), ("256K", 1 << 18))
    }
    for i, length in enumerate(SPACE.lengths):
        work = points[length] * ((2 * e + 2) * element + element + 8240)
        floor = floor_s(SPACE, f"{model}@{length}", baseline().area_um2)
        assert floor == pytest.approx(work / (baseline().area_um2 - 84201374.5226) / 940e6, rel=1e-9)
        place = SPACE.models.index(model) * len(SPACE.lengths) + i
        found = [design(*s).outcomes[place].latency_s for s in ((256, 256, 256), (512, 128, 256), (256, 128, 512))]
        assert floor < min(found) < 1.055 * floor


# --- what the document shows ----------------------------------------------------------------------


def described(rows: int, columns: int, lanes: int, steps: list[int]) -> Design:
    one = SPACE.model_copy(update={"row_steps": steps, "models": ["BERT"]})
    at = site(rows, columns, lanes)
    return design_of(one, at, machine_of(one, at))


def test_the_tables_of_machines() -> None:
    bert = SPACE.model_copy(update={"models": ["BERT"]})
    every = SPACE.row_steps
    designs = [
        ("FuseMax", baseline_of(bert)),
        ("256 x 256, 256 lanes", described(256, 256, 256, every)),
        ("512 x 128, 128 lanes, one step", described(512, 128, 128, [1])),
        ("512 x 128, 256 lanes, one step", described(512, 128, 256, [1])),
        ("256 x 256, 128 lanes", described(256, 256, 128, every)),
    ]
    assert cycles_table(designs, 940e6) in DOCUMENT
    assert entries_table(within()) in DOCUMENT
    assert entries_table(best_under(stored_entries(), (0.994, 0.8, 0.57, 0.34, 0.2))) in DOCUMENT


def test_the_table_of_buffers() -> None:
    references = [f"{m}@{n}" for m in SPACE.models for n in ("1K", "16K", "1M")]
    cases = buffer_cases(references, [512 << 10, 16 << 20])
    assert buffers_table(cases) in DOCUMENT
    assert {round(c.latency, 12) for c in cases} == {1.0}
    assert all(c.traffic == c.area == 1 for c in cases if c.capacity_bytes == 16 << 20)


def test_a_buffer_without_area_is_named() -> None:
    with pytest.raises(InputError, match=r"sram.*\(8 MiB x 4096 bit\) has no area"):
        buffer_cases(["BERT@1K"], [8 << 20])


def test_the_table_of_traffic() -> None:
    references = [f"{m}@{n}" for m in SPACE.models for n in ("16K", "64K", "256K", "1M")]
    assert rereads_table([reread(load_workload(r), 16 << 20) for r in references]) in DOCUMENT


def test_the_table_of_the_exponential() -> None:
    assert length_table(swept()) in DOCUMENT


@pytest.mark.parametrize("name", ["codesign-front.png", "rereads.png", "exp-sensitivity.png"])
def test_the_pictures_show_these_numbers(name: str) -> None:
    _, shown = pictures(stored_entries(), swept())[name]
    with Image.open(DOCS / name) as image:
        assert image.info.get("Description") == fingerprint(shown), "pictures() with render() makes it anew"
        assert image.size[0] == 1400
    assert fingerprint([*shown, 1.0]) != fingerprint(shown)


def test_equal_pictures_are_equal_bytes() -> None:
    made = [render(*pictures(stored_entries(), swept())["exp-sensitivity.png"]) for _ in range(2)]
    assert made[0] == made[1] and made[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("reference", "chunk", "lanes", "exp", "cycles"),
    [
        ("BERT@1K", 1024, 256, "none", 137),
        ("XLM@16K", 4096, 256, "none", 264.0625),
        ("BERT@1K", 0, 512, "1D", 136),
    ],
)
def test_what_the_free_mapping_takes(reference: str, chunk: int, lanes: int, exp: str, cycles: float) -> None:
    workload = load_workload(reference)
    machine = machine_of(SPACE, site(256, 256, lanes, exp=exp))
    sizes = {"M0": chunk} if chunk else None
    found = find_best(catalog.load("attention-1pass"), machine, workload, sizes=sizes, dataflows=False)
    scores = workload.size("B") * workload.size("H") * workload.size("M") * workload.size("P")
    assert found.proven
    assert found.best.report.latency_s * 940e6 / (scores / 65536) == pytest.approx(cycles, rel=1e-9)
