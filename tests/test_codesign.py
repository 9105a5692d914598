"""Machines side by side: areas and cycles by plain arithmetic, the chunked dataflow against moved words."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache

import pytest
from dataflow_cases import attention
from examples import examples
from hypothesis import given, reject
from hypothesis import strategies as st

from fusemap.archspec import load_arch, load_workload, parse_arch
from fusemap.archspec.area import area_um2
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade import catalog
from fusemap.mappers.modulo import schedule
from fusemap.mappers.modulo_check import violations
from fusemap.mappers.tasks import tasks_of
from fusemap.sim.evaluate import evaluate_mapping, plan
from fusemap.sim.executor import execute
from fusemap.sim.reuse import analyse
from fusemap.validation.codesign import (
    Design,
    Exploration,
    cycles_per_tile,
    design_of,
    explore,
    pareto,
    ratios,
    within,
)
from fusemap.validation.codesign_space import (
    DesignSpaceModel,
    Site,
    chunked_dataflow,
    load_space,
    machine_of,
    sites,
)
from fusemap.validation.waterfall import transfers

SPACE = load_space()
FEATURES = {"BERT": 64, "XLM": 128}
LENGTHS = {"1K": 1 << 10, "16K": 1 << 14, "256K": 1 << 18}


def small_space() -> DesignSpaceModel:
    """36 machines, one model at two lengths."""
    parameters = {"rows": [128, 256, 512], "columns": [128, 256], "lanes": [32, 128, 256], "buffer_mib": [16, 32]}
    return SPACE.model_copy(
        update={
            "models": ["BERT"],
            "lengths": ["1K", "16K"],
            "parameters": parameters,
            "exp": {"none": SPACE.exp["none"]},
        }
    )


@cache
def small() -> Exploration:
    return explore(small_space())


def site(rows: int, columns: int, lanes: int, buffer_mib: int = 16, exp: str = "none") -> Site:
    parameters = {"rows": rows, "columns": columns, "lanes": lanes, "buffer_mib": buffer_mib}
    return Site(exp=exp, parameters=tuple(parameters.items()))


@cache
def design(rows: int, columns: int, lanes: int, buffer_mib: int = 16, exp: str = "none") -> Design:
    at = site(rows, columns, lanes, buffer_mib, exp)
    return design_of(SPACE, at, machine_of(SPACE, at))


# --- by plain arithmetic --------------------------------------------------------------------------


def area_by_hand(rows: int, columns: int, lanes: int, buffer_mib: int, exp: str) -> float:
    """The published prices: register files of 12 and 32 words at their least price, 64."""
    macro = {16: 84201374.5226, 32: 175717186.15744}[buffer_mib]
    file_2d, file_1d = (16791.04 + 11.63484 * math.ceil(math.log2(depth)) for depth in (12, 32))
    unit_2d, unit_1d = (8240 * (exp in (where, "both")) for where in ("2D", "1D"))
    grid = rows * columns * (file_2d + 49.28944 + 1545 + unit_2d) + columns
    return grid + lanes * (file_1d + 49.28944 + 1545 + 23740.9375 + unit_1d) + 1 + macro + 1


@pytest.mark.parametrize("exp", SPACE.exp)
@pytest.mark.parametrize(
    ("rows", "columns", "lanes", "mib"), [(256, 256, 256, 16), (512, 128, 64, 32), (64, 1024, 32, 16)]
)
def test_areas_by_plain_arithmetic(rows: int, columns: int, lanes: int, mib: int, exp: str) -> None:
    machine = machine_of(SPACE, site(rows, columns, lanes, mib, exp))
    assert area_um2(machine) == pytest.approx(area_by_hand(rows, columns, lanes, mib, exp), rel=1e-12)


def least_cycles(model: str, length: int, rows: int, columns: int, lanes: int, exp: str) -> float:
    """Cycles of the stages for all tiles of one head, the least over the steps of a chunk; all are powers of two."""
    f = FEATURES[model]
    exp_2d, exp_1d = (1 if exp in (where, "both") else 7 for where in ("2D", "1D"))
    found = []
    for steps in SPACE.row_steps:
        if steps > 1 and steps * rows > length:
            continue
        keys = min(steps * rows, length)
        for wide, narrow in ((columns, min(lanes, length)), (min(columns, lanes), min(columns, lanes))):
            # times of one query on all of the chunks, spread over the columns or the lanes
            grid, line = keys / min(rows, keys) / min(wide, length), 1 / narrow
            chunks = length / keys
            scores = max((f + 1) * grid, (1 + f + f / chunks) * line)
            stages = scores + line + max((exp_2d + 1) * grid, (exp_1d + 1) * line) + max(f * grid, f * line)
            if steps == 1 or wide == columns:
                found.append(chunks * length * stages)
    return min(found)


SHAPES = st.tuples(*(st.sampled_from(values) for n, values in SPACE.parameters.items() if n != "buffer_mib"))


@examples(9, 25, deadline=None)
@given(SHAPES, st.sampled_from([*SPACE.exp]), st.sampled_from([*FEATURES]), st.sampled_from([*LENGTHS]))
def test_cycles_by_plain_arithmetic(shape: tuple[int, int, int], exp: str, model: str, length: str) -> None:
    rows, columns, lanes = shape
    one = SPACE.model_copy(update={"models": [model], "lengths": [length]})
    place = site(*shape, exp=exp)
    try:
        found = design_of(one, place, machine_of(one, place)).outcomes[0]
    except DoesNotFit:  # the study leaves the machine out
        reject()
    heads = 64 * {"BERT": 12, "XLM": 16}[model]
    compute = heads * least_cycles(model, LENGTHS[length], rows, columns, lanes, exp) / 940e6
    memory = found.traffic_bytes / (400 * 2**30)
    assert found.latency_s == pytest.approx(max(compute, memory), rel=1e-9)


# --- the chunked dataflow -------------------------------------------------------------------------

TINY = """\
source: a test
extends: fusemax-codesign
parameters: {{rows: {rows}, columns: {columns}, lanes: {lanes}}}
memories: {{global_buffer: {{component: near, capacity: 400 B, width: 128 bit}}}}
components: {{near: {{energy: {{read: 64 pJ, write: 96 pJ}}, area: 1 um^2}}}}
"""


@pytest.mark.parametrize(
    ("rows", "columns", "lanes", "chunk"), [(4, 2, 4, 8), (2, 4, 2, 8), (2, 2, 2, 2), (2, 2, 1, 4)]
)
def test_what_the_chunked_dataflow_moves_is_what_is_executed(rows: int, columns: int, lanes: int, chunk: int) -> None:
    machine = parse_arch(TINY.format(rows=rows, columns=columns, lanes=lanes), file="tiny.yaml")
    sized = attention(4, 2, 8, 8, 2, 1)
    cascade = catalog.load("attention-1pass")
    problem, mapping = plan(cascade, machine, sized, chunked_dataflow(), sizes={"M0": chunk})
    for space in problem.spaces:
        nest = mapping.nest(space.name)
        moved = [
            (t.operand.label, t.memory, len(t.instances), t.each.reads, t.each.fills, t.each.updates)
            for t in execute(space, nest).traffic
        ]
        counted = analyse(space, nest)
        assert [(c.operand.label, c.memory, c.instances, c.reads, c.fills, c.updates) for c in counted] == moved
    assert evaluate_mapping(problem, mapping, machine).traffic_bytes >= 2 * 2 * (2 * 8 * 4 + 2 * 8 * 2)


def test_one_step_on_the_baselines_shape_is_the_baseline() -> None:
    one = SPACE.model_copy(update={"row_steps": [1]})
    at = site(256, 256, 256)
    found = design_of(one, at, machine_of(one, at))
    keep = [(o.latency_s, o.energy_pj, o.traffic_bytes) for o in found.written]
    assert [(o.latency_s, o.energy_pj, o.traffic_bytes) for o in found.outcomes] == keep
    assert found.written == small_baseline().written


@cache
def small_baseline() -> Design:
    one = small_space().model_copy(update={"models": SPACE.models, "lengths": SPACE.lengths})
    return explore(one.model_copy(update={"parameters": {n: [max(v)] for n, v in SPACE.parameters.items()}})).baseline


# --- what wins ------------------------------------------------------------------------------------


def test_longer_chunks_win_an_eighth_at_1k_on_the_same_machine_with_less_energy() -> None:
    """The 1D array's cycles per 65,536 scores fall from 2F+10+F/4 to half of 2F+10+F/2, below the 2D array's 137."""
    sizes = load_workload("BERT@1K").sizes
    before, busy_before = cycles_per_tile(small_baseline().outcomes[0], sizes, 940e6)
    after, busy = cycles_per_tile(design(256, 256, 256).outcomes[0], sizes, 940e6)
    assert before == pytest.approx(154) and busy_before == pytest.approx({"array_2d": 137, "array_1d": 154})
    assert after == pytest.approx(137.25) and busy["array_2d"] == pytest.approx(137) and busy["array_1d"] < 60
    mine = ratios(design(256, 256, 256), small_baseline())
    assert mine.worst_energy < 1 and mine.worst_latency < 1 and mine.area == 1


def test_a_taller_array_does_the_same_if_the_1d_array_keeps_its_width() -> None:
    one = SPACE.model_copy(update={"row_steps": [1], "models": ["BERT"], "lengths": ["1K"]})
    sizes = load_workload("BERT@1K").sizes
    cycles = []
    for lanes in (128, 256):
        at = site(512, 128, lanes)
        cycles.append(cycles_per_tile(design_of(one, at, machine_of(one, at)).outcomes[0], sizes, 940e6)[0])
    assert cycles == [pytest.approx(170), pytest.approx(137.5)]


@pytest.mark.parametrize("steps", [2, 4])
def test_a_binding_of_chunks_exists_that_never_waits_for_the_1d_array(steps: int) -> None:
    """The exact scheduler, drains included: 137 cycles for each step of 256 rows."""
    machine, cascade = machine_of(SPACE, site(256, 256, 256)), catalog.load("attention-1pass")
    problem, mapping = plan(cascade, machine, load_workload("BERT@4K"), chunked_dataflow(), sizes={"M0": 256 * steps})
    found = schedule(tasks_of(cascade, problem, mapping, machine, transfers=transfers(problem, mapping, machine)))
    assert found.interval_cycles == 137 * steps and found.gap == 0 and violations(found) == ()


def test_rows_that_do_not_divide_the_length_are_idle() -> None:
    one = SPACE.model_copy(update={"models": ["BERT"], "lengths": ["1K"], "row_steps": [1]})
    odd, even = (design_of(one, s, machine_of(one, s)) for s in (site(384, 128, 128), site(256, 128, 128)))
    assert odd.outcomes[0].latency_s == even.outcomes[0].latency_s and odd.area_um2 > even.area_um2


# --- the exploration ------------------------------------------------------------------------------


def test_every_machine_is_counted_once() -> None:
    found = small()
    assert found.counted == len(sites(small_space())) == 36
    assert found.counted == found.larger + found.narrow + len(found.designs) + len(found.failures)
    limit = small_baseline().area_um2
    shapes = [tuple(dict(s.parameters).values()) for s in sites(small_space())]
    narrow = [s for s in shapes if s[1] > 4 * s[2]]
    larger = [
        s for s in shapes if s not in narrow and area_by_hand(s[0], s[1], s[2], s[3], "none") > limit * (1 + 1e-9)
    ]
    assert (found.narrow, found.larger) == (len(narrow), len(larger)) and narrow and larger


def test_the_front_by_comparing_all_pairs() -> None:
    found = small()
    points = {d.site: ratios(d, found.baseline) for d in found.designs}

    def beaten(s: Site) -> bool:
        a = points[s]
        return any(
            b.latency <= a.latency and b.energy <= a.energy and b.area <= a.area and b != a for b in points.values()
        )

    assert {d.site for d in found.front} == {s for s in points if not beaten(s)}
    assert within(found) and all(points[d.site].worst_energy <= 1 + 1e-9 for d in within(found))


def test_a_design_that_is_worse_is_not_on_the_front_and_a_better_one_takes_its_place() -> None:
    first = small().front[0]
    worse = dataclasses.replace(first, site=site(1, 1, 1), area_um2=first.area_um2 * 1.01)
    better = dataclasses.replace(worse, area_um2=first.area_um2 * 0.5)
    assert worse not in pareto([first, worse], small().baseline)
    assert pareto([first, better], small().baseline) == (better,)


def test_a_buffer_without_price_is_named() -> None:
    parameters = {"rows": [128], "columns": [128], "lanes": [128], "buffer_mib": [8, 16]}
    found = explore(small_space().model_copy(update={"parameters": parameters}))
    assert len(found.designs) == 1 and len(found.failures) == 1
    assert 'component "sram" (8 MiB x 4096 bit) has no' in found.failures[0][1]


def test_the_buffers_of_the_space_are_all_that_have_energy_and_area() -> None:
    sizes = next(e for e in load_arch("fusemax-cloud").table.entries if e.name == "sram").sizes
    priced = [s.capacity_bytes >> 20 for s in sizes if s.energies and s.area and s.width_bits == 4096]
    assert SPACE.parameters["buffer_mib"] == priced


def test_all_variants_of_the_exponential_differ() -> None:
    costs = {
        exp: tuple(a.find(("sub", "exp")) is not None for a in machine_of(SPACE, site(256, 256, 256, exp=exp)).arrays)
        for exp in SPACE.exp
    }
    assert costs == {"none": (False, False), "1D": (False, True), "2D": (True, False), "both": (True, True)}


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(InputError, match="unknown parameter"):
        machine_of(SPACE, Site(exp="none", parameters=(("row", 4),)))


def test_sites_are_all_combinations() -> None:
    product = len(SPACE.exp) * math.prod(len(v) for v in SPACE.parameters.values())
    assert len(set(sites(SPACE))) == product == 1728
    assert all(str(a) != str(b) for a, b in itertools.pairwise(sites(SPACE)))
