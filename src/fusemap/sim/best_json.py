"""What a search for a mapping found, as the document `fusemap/map/1`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fusemap.einsum_cascade.notebook import table_html
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fusion, Level, Loop, Storage
from fusemap.sim.best_candidate import Candidate

SCHEMA = "fusemap/map/1"


def head(best: Candidate, objective: str, value: float, *, proven: bool, bound: float, gap: float) -> dict[str, object]:
    """What was asked, and how good and how sure the answer is."""
    return {
        "schema": SCHEMA,
        "cascade": best.report.cascade,
        "arch": best.report.arch,
        "workload": best.report.workload,
        "objective": objective,
        "value": value,
        "proven": proven,
        "bound": bound,
        "gap": gap if math.isfinite(gap) else None,
    }


def described(best: Candidate) -> dict[str, object]:
    """A mapping with its loops and its report."""
    mapping = best.mapping
    return {
        "name": best.name,
        "sizes": dict(best.sizes),
        "tiles": dict(mapping.tiles),
        "fusion": [_fusion(fusion) for fusion in mapping.fusion],
        "nests": [_nest(best.problem.space(nest.einsum), nest) for nest in mapping.einsums],
        "report": best.report.to_json(),
    }


def costs(of: Candidate) -> dict[str, object]:
    """What a mapping costs."""
    return {
        "name": of.name,
        "sizes": dict(of.sizes),
        "latency_s": of.report.latency_s,
        "energy_pj": of.energy_pj,
        "traffic_bytes": of.report.traffic_bytes,
    }


def _fusion(fusion: Fusion) -> dict[str, object]:
    groups = [{"loops": _loops(group.loops), "einsums": list(group.einsums)} for group in fusion.groups]
    return {"loops": _loops(fusion.loops), "groups": groups, "held": sorted(fusion.held)}


def _nest(space: EinsumSpace, nest: EinsumMapping) -> dict[str, object]:
    copied = space.name.split("@")[0] if "@" in space.name else None
    spills = [{"memory": s.memory, "fraction": s.fraction, "tensors": sorted(s.tensors)} for s in nest.spills]
    return {
        "einsum": nest.einsum,
        "copy_of": copied,
        "reads": [o.tensor for o in space.inputs],
        "array": nest.array,
        "levels": [_level(level) for level in nest.levels],
        "spills": spills,
    }


def _level(level: Level) -> dict[str, object]:
    """A memory with what it keeps (null: everything), or a dimension of the array."""
    if isinstance(level, Storage):
        keep = None if level.keep is None else sorted(level.keep)
        return {"memory": level.memory, "loops": _loops(level.loops), "keep": keep}
    return {"array": level.array, "dim": level.dim, "loops": _loops(level.loops)}


def _loops(loops: Iterable[Loop]) -> list[dict[str, object]]:
    return [{"rank": loop.rank, "bound": loop.bound} for loop in loops]


def html(caption: str, found: Mapping[str, Any]) -> str:
    """What a notebook shows of a document: the best mapping beside the others."""
    report = found["best"]["report"]
    rows = [{"name": found["best"]["name"], **{k: report[k] for k in ("latency_s", "energy_pj", "traffic_bytes")}}]
    rows += found["others"]
    text = [(r["name"], *(_text(r[k]) for k in ("latency_s", "energy_pj", "traffic_bytes"))) for r in rows]
    return table_html(caption, ["mapping", "latency (s)", "energy (pJ)", "traffic (B)"], text)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
