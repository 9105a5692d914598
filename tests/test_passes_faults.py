"""Faults planted in the analysis for all sizes: each is noticed by the comparison with definition and search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from passes_programs import PassProgram, program
from test_passes_static import complaints

from fusemap.einsum_cascade.passes import analyze, edges, levels, sweeps, zones
from fusemap.einsum_cascade.passes.types import PassCount

SEEDS = 40
CAUSAL = "shape P = M\ninput A[m]\nB[m: m<=p, p] = exp(A[m])\nS[p] = sum[m] B[m,p]\nZ[m,p] = B[m,p] / S[p]\n"
SCAN = "input A[k]\nstop: k >= K\ninit: S[0] = 0\nS[k+1] = S[k] + A[k]\nZ[k] = A[k] * S[k]\n"
WINDOW = "shape P = M, W = 3\ninput A[m]\nS[p] = sum[m: p-W<m<=p] A[m]\nZ[p] = A[p] * S[p]\n"
CASES = [
    PassProgram(f"cascade planted\n{text}", sizes, "planted")
    for text, sizes in (
        (CAUSAL, {"M": 4}),
        (SCAN, {"K": 5}),
        (WINDOW, {"M": 7}),
        ("input A[k]\nB[k] = A[k] * A[k+1] for k+1 < K\n", {"K": 5}),
        ("input A[k]\nS = sum[k] A[k]\nB[k] = A[k] * S\n", {"K": 5}),
        ("input A[k]\nB[k] = A[k] for k < 2\nS = sum[k] B[k]\nZ[k] = A[k] * S\n", {"K": 6}),
    )
]


def noticed() -> bool:
    """Does any of the cascades contradict the analysis as it now is?"""
    made = [*CASES, *(program(seed, family) for seed in range(SEEDS) for family in ("line", "filtered"))]
    return any(complaints(m) for m in made)


def _no_end(union: Iterable[zones.Zone], node: str, high: zones.Place) -> zones.Union:
    """Zones cover a line as soon as they begin at its start."""
    return tuple(zones.drop(z, frozenset({node})) for z in union)


def _guessed(self: Any, group: Any, inner: Any, base: Any) -> Any:
    """A recurrence is closed by taking everything that it adds to be everywhere."""
    return {t: (zones.EVERYWHERE,) if u else () for t, u in base.items()}


def _everywhere(model: Any, operators: Any = None) -> Any:
    """Filters are ignored."""
    return {s.number: (zones.EVERYWHERE,) for s in model.statements}


def _close_by(zone: Any, node: str, place: Any, *, swap: bool = False) -> int:
    """Whatever a point needs lies at its own coordinate."""
    return 0


def _no_spread(self: Any, number: int, places: Any) -> int:
    """A point touches one coordinate."""
    return 0


def _no_barrier(upper: Any) -> Callable[..., Any]:
    """One sweep runs everything."""

    def one(links: Any, of: Any, *, direct: bool = False) -> Any:
        return sweeps.Upper(passes=PassCount(constant=1), lookahead="0")

    return one


FAULTS: dict[str, tuple[object, str, object]] = {
    "coverage without an end": (levels, "for_all", _no_end),
    "recurrence closed by an unproven guess": (levels.Engine, "_closed", _guessed),
    "filters ignored": (analyze, "domains_of", _everywhere),
    "no look-ahead": (edges, "_bound", _close_by),
    "no spread": (edges.Links, "spread", _no_spread),
    "one sweep for all": (analyze, "upper_bound", _no_barrier(sweeps.upper_bound)),
}


def test_the_cascades_agree_without_a_fault() -> None:
    assert not noticed()


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, fault = FAULTS[name]
    assert hasattr(owner, attribute)
    monkeypatch.setattr(owner, attribute, fault)
    assert noticed()
