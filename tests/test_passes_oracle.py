"""The analysis of passes against the search of all schedules, on random cascades; and planted wrong rules."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
from examples import examples
from hypothesis import given
from passes_cases import Row, sizes_of, text_of
from passes_oracle import Search, is_valid, searches
from passes_points import Program
from passes_programs import FAMILIES, PassProgram, program, programs

from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes import carriers, instance, reference
from fusemap.einsum_cascade.passes.ranks import RankOf, owned_ranks

FAST = 150
SLOW = 2400


@dataclass(frozen=True, slots=True)
class Case:
    """A (tensor, rank) of a program with the searches of its fibers, and the passes that the analysis tells."""

    of: RankOf
    passes: int
    fibers: tuple[Search, ...]

    def covered(self) -> tuple[Search, ...]:
        """The fibers all of whose coordinates are touched: to others the number of passes says nothing."""
        return tuple(f for f in self.fibers if f.covered)

    def below_the_bound(self, room: int) -> bool:
        """Has every fiber a schedule with fewer loads than theorem 1 allows: P*n - (P-1)*room?"""
        bound = self.passes * self.fibers[0].length - (self.passes - 1) * room
        found = (f.least_loads(room, at_most=bound - 1) for f in self.covered())
        return bool(self.covered()) and all(s is not None for s in found)

    def above_the_claim(self, room: int) -> bool:
        """Has some fiber no schedule with this room and at most P*n loads?"""
        claimed = self.passes * self.fibers[0].length
        return any(f.least_loads(room, at_most=claimed) is None for f in self.covered())


def cases(text: str, sizes: Mapping[str, int], *, direct: bool = False) -> Iterator[Case]:
    """Every (tensor, rank) that is touched; the analysis and the oracle agree on which these are."""
    cascade, points = parse(text), Program(text, sizes)
    small = instance.instance_of(cascade, sizes)
    for of in owned_ranks(cascade):
        if points.elements.get(of.tensor):
            fibers = tuple(searches(points, of.tensor, of.rank, direct=direct))
            levels = reference.reference_levels(small, of, direct=direct)
            assert (levels is None) == (not fibers), (of.tensor, of.rank)
            if levels is not None:
                yield Case(of, levels.passes, fibers)


def complaints(made: PassProgram) -> list[str]:
    """Where the definition as executed, the definition read literally and the search disagree."""
    found = []
    for direct in (False, True):
        for case in cases(made.text, made.sizes, direct=direct):
            where = f"({case.of.tensor}, {case.of.rank}) direct={direct}: {case.passes} passes"
            literal = max(f.levels() for f in case.fibers)
            if literal != case.passes:
                found.append(f"{where}, read literally {literal}")
            found += [f"{where}, but fewer loads with room {r}" for r in (1, 2) if case.below_the_bound(r)]
    return [f"{f}\n{made.text}{dict(made.sizes)}" for f in found]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_definition_holds_for_every_schedule_of_random_cascades(family: str) -> None:
    assert [c for seed in range(FAST // len(FAMILIES)) for c in complaints(program(seed, family))] == []


@examples(5, 15)
@given(programs())
def test_the_definition_holds_for_every_schedule_of_any_cascade(made: PassProgram) -> None:
    assert complaints(made) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_definition_holds_for_every_schedule_of_many_random_cascades(family: str) -> None:
    assert [c for seed in range(SLOW // len(FAMILIES)) for c in complaints(program(10_000 + seed, family))] == []


@pytest.mark.parametrize("step", ("S[k] + D[k]", "D[k] + S[k]"))
def test_the_order_of_operands_does_not_change_the_number_of_passes(step: str) -> None:
    head = "cascade order\ninput A[k]\nstop: k >= K\ninit: S[0] = 0\nD[k] = A[k] - S[k]\n"
    found = {c.of.tensor: c.passes for c in cases(f"{head}S[k+1] = {step}\nZ[k] = S[k+1] / S[K]\n", {"K": 4})}
    assert found == {"A": 2, "D": 2, "S": 1}


def test_a_tensor_that_is_absent_as_a_whole_has_no_passes() -> None:
    text = "cascade absent\ninput A[k]\nX[k: k<1] = A[k]\nY[k: k>0] = X[k]\nZ = sum[k] max(Y[k], A[k])\n"
    small = instance.instance_of(parse(text), {"K": 4})
    of = next(r for r in owned_ranks(parse(text)) if r.tensor == "Y")
    assert reference.reference_levels(small, of) is None


def test_reads_in_opposite_directions_touch_two_coordinates() -> None:
    text = "cascade mirror\ninput A[k]\nstop: k >= K\ninit: S[0] = 0\nX[k] = exp(A[k])\n"
    found = {c.of.tensor: c.passes for c in cases(f"{text}S[k+1] = S[k] + A[k] * X[K-1-k]\n", {"K": 4})}
    assert found == {"A": 2, "X": 1, "S": 1}


def test_a_scan_from_the_end_touches_one_coordinate_at_a_step() -> None:
    text = "cascade suffix\ninput A[k]\nstop: j >= K\ninit: S[0] = 0\nX[k] = exp(A[k])\nS[j+1] = S[j] + X[K-1-j]\n"
    assert {c.of.tensor: c.passes for c in cases(text, {"K": 4})} == {"A": 1, "X": 1, "S": 1}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_random_cascades_tell_numbers_of_passes_apart(family: str) -> None:
    made = [program(seed, family) for seed in range(40)]
    told = [c.passes for m in made for c in cases(m.text, m.sizes) if c.covered() and c.covered()[0].length > c.passes]
    assert {1, 2, 3} <= set(told)
    assert sum(p > 1 for p in told) > 0.1 * len(told)


def patient_loads(search: Search, room: int) -> int:
    """L*(room) by a search that may also wait: it runs one group at a time, and evicts whenever it wants, for free."""
    goal = (1 << len(search.groups)) - 1
    best = {(0, 0): 0}
    queue = deque([(0, 0)])
    while queue:
        done, resident = state = queue.popleft()
        if done == goal:
            return best[state]
        ready = [n for n, g in enumerate(search.groups) if not (g.touches & ~resident or g.needs & ~done)]
        steps = [((done | 1 << n, resident), 0) for n in ready]
        steps += [((done, resident & ~(1 << c)), 0) for c in range(search.length)]
        if resident.bit_count() < room:
            steps += [((done, resident | 1 << c), 1) for c in range(search.length) if not resident >> c & 1]
        for after, cost in steps:
            if best[state] + cost < best.get(after, best[state] + cost + 1):
                best[after] = best[state] + cost
                (queue.append if cost else queue.appendleft)(after)
    raise AssertionError("no schedule")


def test_running_everything_at_once_needs_no_more_loads_than_waiting() -> None:
    made = [program(seed, family) for seed in range(25) for family in FAMILIES]
    small = [f for m in made for c in cases(m.text, m.sizes) for f in c.covered() if len(f.groups) <= 10]
    found = [(f.least_loads(room), f, room) for f in small[:60] for room in (1, 2)]
    told = [(s.loads, patient_loads(f, room), f.length) for s, f, room in found if s is not None]
    assert all(greedy == patient for greedy, patient, _ in told)
    assert sum(greedy > length for greedy, _, length in told) > 10


def test_schedules_can_be_carried_out_and_no_load_of_theirs_can_be_left_out() -> None:
    made = [program(seed, family) for seed in range(4) for family in FAMILIES]
    found = [f.least_loads(2) for m in made for c in cases(m.text, m.sizes) for f in c.fibers]
    schedules = [s for s in found if s is not None]
    assert len(schedules) > 50 and all(is_valid(s) for s in schedules)
    for schedule in schedules:
        for n in range(schedule.loads):
            assert not is_valid(replace(schedule, steps=schedule.steps[:n] + schedule.steps[n + 1 :]))


# --- planted faults -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """A wrong rule: `old` stands once in the module, and with `new` in its place the case shows it."""

    name: str
    module: ModuleType
    old: str
    new: str
    case: Row
    shows: str


FAULTS = (
    Fault(
        "the output carries although v is not on its left side",
        carriers,
        "and used <= kept and",
        "and",
        Row("attention-splitk", "K", "M", 1, room=2),
        "below_the_bound",
    ),
    Fault(
        "a filter is ignored",
        instance,
        "chains = conditions_of(einsum)",
        "chains = conditions_of(einsum)[:0]",
        Row("attention-3pass-window", "K", "M", 1, room=4),
        "below_the_bound",
    ),
    Fault(
        "a barrier is dropped",
        reference,
        "level = 1 + next((n for n, m in enumerate(masks) if m != fiber.full), len(masks))",
        "level = max(1, next((n for n, m in enumerate(masks) if m != fiber.full), len(masks)))",
        Row("cascade-1", "A", "K", 2),
        "above_the_claim",
    ),
    Fault(
        "a scan covers everything",
        reference,
        "        before[point.writes] =",
        "        if any(r.access.tensor == point.einsum.name for r in point.reads):\n"
        "            masks = (fiber.full,) * len(masks)\n"
        "        before[point.writes] =",
        Row("cascade-3", "A", "K", 1),
        "below_the_bound",
    ),
    Fault(
        "a sum is ready after its first point",
        reference,
        "= _union((before.get(point.writes, ()), masks))",
        "= before.get(point.writes, masks)",
        Row("attention-3pass", "K", "M", 3),
        "above_the_claim",
    ),
)


def the_case(row: Row) -> Case:
    """What the analysis and the oracle say of a known case."""
    found = cases(text_of(row.cascade), sizes_of(row))
    return next(c for c in found if (c.of.tensor, c.of.rank) == (row.tensor, row.rank))


def planted(fault: Fault, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put the functions of the changed module in the place of the right ones."""
    assert fault.module.__file__ is not None
    text = Path(fault.module.__file__).read_text(encoding="utf-8")
    assert text.count(fault.old) == 1, f"the rule that this fault changes is written differently now: {fault.old}"
    path = folder / "changed.py"
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("changed", path)
    assert spec is not None and spec.loader is not None
    changed = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, "changed", changed)
    spec.loader.exec_module(changed)
    for module, name in ((reference, "carriers_of"), (reference, "reference_levels"), (instance, "instance_of")):
        if getattr(getattr(changed, name, None), "__module__", "") == "changed":
            patch.setattr(module, name, getattr(changed, name))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_the_search_shows_a_wrong_rule(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = the_case(fault.case)
    assert right.passes == fault.case.passes
    assert not right.below_the_bound(fault.case.room) and not right.above_the_claim(fault.case.room)
    planted(fault, tmp_path, monkeypatch)
    assert getattr(the_case(fault.case), fault.shows)(fault.case.room)
