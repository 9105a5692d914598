"""Baselines for tests: a machine of one's own, two cases on it, and snapshots drawn at random."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from commands import execute
from hypothesis import strategies as st

from fusemap.validation.regress_snapshot import STALL, TEXTS, Action, Phase, Snapshot, energy_by_component, plain

MACHINE = "extends: fusemax-cloud\nsource: a test\ncomponents:\n  hbm2: {energy: {read: PRICE pJ, write: 249.6 pJ}}\n"
CASES = """\
# The owner's words stay.
cases:
  chip: {cascade: attention-1pass, arch: chip.yaml, dataflow: fusemax-binding, workload: BERT, length: [1K, 4K]}
"""


def chip(price: float = 249.6, more: str = "") -> str:
    """A FuseMax whose DRAM reads cost `price` pJ, with further keys."""
    return more + MACHINE.replace("PRICE", str(price))


def workshop(folder: Path, cases: str = CASES) -> Path:
    """A folder with a baseline of some cases, recorded, and the machine that it names."""
    (folder / "chip.yaml").write_text(chip())
    (folder / "base.yaml").write_text(_recorded(cases))
    return folder


@cache
def _recorded(cases: str) -> str:
    """What `fusemap regress record` makes of some cases (which tests of the command hold against reports)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chip.yaml").write_text(chip())
        (folder / "base.yaml").write_text(cases)
        execute(["fusemap", "regress", "record", "base.yaml"], folder)
        return (folder / "base.yaml").read_text()


NAMES = st.text("abXY019 _-.@/:#'\"\\{}[],&*!|>%éß中😀", min_size=1, max_size=12).filter(lambda s: s.strip() != "")
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
NUMBERS = st.one_of(st.integers(0, 1 << 60), st.floats(0, 1e300).map(plain))
COUNTS = st.one_of(st.integers(1, 1 << 52), st.floats(0.5, 1e15))
PRICES = st.floats(1e-3, 1e6)


@st.composite
def actions(draw: Any, components: tuple[str, ...] = ("dram", "buffer", "array.mac")) -> tuple[Action, ...]:
    """Distinct actions whose unit energies depend on component and action alone."""
    prices = {(c, a): draw(PRICES) for c in components for a in ("read", "write", "mul + sum")}
    keys = draw(
        st.lists(
            st.tuples(WORDS, st.sampled_from(components), st.sampled_from(("read", "write")), WORDS),
            max_size=6,
            unique=True,
        )
    )
    found = []
    for einsum, component, action, tensor in keys:
        moved = not component.startswith("array")
        name = action if moved else "mul + sum"
        if not moved and any(f.einsum == einsum and f.component == component for f in found):
            continue
        found.append(
            Action(
                einsum=einsum,
                component=component,
                action=name,
                tensor=tensor if moved else "",
                count=draw(COUNTS),
                unit_energy_pj=prices[component, name],
            )
        )
    return tuple(sorted(found, key=lambda a: a.einsum))


@st.composite
def phases(draw: Any, clock_hz: float) -> tuple[Phase, ...]:
    """Phases whose compute time is that of their stages."""
    found = []
    for name in draw(st.lists(st.sampled_from(("scores", "softmax", "values")), unique=True)):
        cycles = []
        waited = 0
        for stage in draw(st.lists(st.sampled_from(("a", "b", "c")), unique=True)):
            busy = [(array, draw(st.integers(0, 1 << 40))) for array in ("array_2d", "array_1d")]
            stall = draw(st.integers(0, 1 << 20))
            cycles.append((stage, (*busy, *([(STALL, stall)] if stall else []))))
            waited += max(n for _, n in busy) + stall
        memories = (("dram", draw(st.floats(0, 2e3))), ("buffer", draw(st.floats(0, 2e3))))
        found.append(Phase(name=name, compute_s=waited / clock_hz, memory_s=memories, cycles=tuple(cycles)))
    return tuple(found)


@st.composite
def snapshots(draw: Any, arch: st.SearchStrategy[str] = st.just("chip")) -> Snapshot:  # noqa: B008
    """A snapshot whose totals are the sums of its parts."""
    clock_hz = draw(st.sampled_from((940_000_000, 1e9, 0.75e9)))
    acts, times = draw(actions()), draw(phases(clock_hz))
    by_component = energy_by_component(acts)
    metrics: dict[str, float] = {"latency_s": sum(p.latency_s for p in times)}
    if acts:
        metrics |= {"energy_pj": sum(by_component.values()), "area_um2": draw(NUMBERS)}
    metrics["traffic_bytes"] = draw(NUMBERS)
    metrics["utilization.array_2d"] = draw(st.floats(0, 1))
    metrics |= {f"energy_pj.{name}": energy for name, energy in by_component.items()}
    texts = {name: draw(NAMES) for name in TEXTS} | {"arch": draw(arch)}
    return Snapshot(
        texts=tuple(texts.items()),
        tiles=(("P1", draw(NUMBERS)), ("order", draw(NAMES))),
        metrics=tuple(metrics.items()),
        clock_hz=clock_hz,
        phases=times,
        actions=acts,
        outermost="dram" if acts else "",
        areas=(("array_2d mac", draw(NUMBERS)),) if acts else (),
    )
