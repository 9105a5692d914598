"""What is found is never worse than a dataflow that somebody wrote."""

from __future__ import annotations

import pytest

from fusemap.archspec import load_arch, load_workload
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.mapspace.front import Objective
from fusemap.sim.best import Best, Candidate, find_best

ARCHS = ("flat-cloud", "fusemax-cloud", "unfused-cloud")
CASCADES = ("attention-3pass", "attention-1pass", "attention-naive")
LENGTHS = ("BERT@1K", "BERT@16K", "XLM@4K", "T5@64K")
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp")


def cost(candidate: Candidate, objective: Objective) -> float:
    energy = candidate.energy_pj or 0.0
    latency = candidate.report.latency_s
    return {"latency": latency, "energy": energy}.get(objective, latency * energy)


def best(cascade: str, arch: str, workload: str, objective: Objective, dataflows: bool = True) -> Best:
    sizes = {"M0": 256} if cascade == "attention-1pass" else {}
    return find_best(
        load(cascade), load_arch(arch), load_workload(workload), objective=objective, sizes=sizes, dataflows=dataflows
    )


def not_worse(cascade: str, arch: str, workload: str, objective: Objective) -> int:
    """The number of dataflows that were compared."""
    found = best(cascade, arch, workload, objective)
    assert found.proven
    for other in found.others:
        assert cost(found.best, objective) <= cost(other, objective) * (1 + 1e-12), other.name
    return len(found.others)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("objective", ["latency", "edp"])
@pytest.mark.parametrize("workload", ["BERT@1K", "XLM@4K"])
@pytest.mark.parametrize("arch", ARCHS)
def test_the_best_is_not_worse_than_any_dataflow(arch: str, workload: str, objective: Objective) -> None:
    assert not_worse("attention-3pass", arch, workload, objective)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("workload", LENGTHS)
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("cascade", CASCADES)
def test_nowhere_is_a_dataflow_better(cascade: str, arch: str, workload: str, objective: Objective) -> None:
    not_worse(cascade, arch, workload, objective)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_search_alone_is_better_than_dataflows_for_three_passes(arch: str) -> None:
    alone = best("attention-3pass", arch, "BERT@1K", "latency", dataflows=False)
    others = best("attention-3pass", arch, "BERT@1K", "latency").others
    assert others
    assert all(cost(alone.best, "latency") < cost(other, "latency") for other in others)
