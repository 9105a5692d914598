"""The files behind the names of a sweep, and the digest of all that its results depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from fusemap.archspec.archs import ArchSource
from fusemap.archspec.workloads import WorkloadSource
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, read_table
from fusemap.validation.sweep_model import SweepModel
from fusemap.validation.sweep_space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files behind the names of a sweep, read once; `dataflows` has no entry for `best`."""

    cascades: dict[str, Cascade] = field(repr=False)
    dataflows: dict[str, Dataflow] = field(repr=False)
    archs: dict[str, ArchSource] = field(repr=False)
    workloads: dict[str, tuple[WorkloadSource, int | None]] = field(repr=False)


def digest_of(model: SweepModel, space: Space, sources: Sources) -> str:
    """A hash of everything that a result depends on: values, conditions, charging, and the files as they are read."""
    parts = [
        [[axis.column, axis.section, [repr(value) for value in axis.values]] for axis in space.axes],
        model.model_dump(mode="json", by_alias=True, include={"conditions", "accounting", "energy"}),
        {name: format_cascade(cascade) for name, cascade in sources.cascades.items()},
        {n: [d.document.data, [sorted(r.items()) for r in read_table(d)]] for n, d in sources.dataflows.items()},
        {name: [source.document.data, repr(source.machine().table)] for name, source in sources.archs.items()},
        {name: source.document.data for name, (source, _) in sources.workloads.items()},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
