"""The smallest case of a barrier: B = 2 A, S = sum of B, C = B S with 1024 rows and 4 columns."""

from __future__ import annotations

import pytest
from mapspace_cases import Tiny, workload

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.parser import parse
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.sim.best import Best, find_best
from fusemap.validation.traffic_bound import traffic_bound

TEXT = "cascade sums\ninput A[m,p]\nB[m,p] = 2 * A[m,p]\nS[p] = sum[m] B[m,p]\nC[m,p] = B[m,p] * S[p]\n"
CASCADE = parse(TEXT)
SIZES = {"M": 1024, "P": 4}
WORDS = (4, 16, 64, 256, 512, 1023, 1024, 1025, 2048, 4096, 8192)


def machine(words: int) -> Machine:
    """Time is traffic: the memory is slow and the array is not."""
    return Tiny(words=words, bandwidth=0.001, arrays=(((8, 8), 1, True),)).machine


def least(words: int, space: Mapspace = EVERYTHING) -> Best:
    return find_best(CASCADE, machine(words), workload(CASCADE, SIZES), space=space, dataflows=False)


def values(found: Best) -> float:
    assert found.proven
    return found.best.report.traffic_bytes / 2


def test_a_is_read_twice_and_c_written() -> None:
    found = least(64)
    assert values(found) == 3 * 4096
    assert any(nest.einsum == "B@1" for nest in found.best.mapping.einsums)


def test_spilling_moves_four_times_the_matrix() -> None:
    assert values(least(64, Mapspace(recompute=0, hold=False))) == 4 * 4096


@pytest.mark.parametrize("words", WORDS)
def test_only_a_buffer_for_a_column_and_its_sum_saves_the_second_read(words: int) -> None:
    assert values(least(words)) == (2 * 4096 if words >= 1024 + 1 else 3 * 4096)


@pytest.mark.parametrize("words", WORDS)
def test_nothing_is_below_the_bound_of_the_passes(words: int) -> None:
    of = machine(words)
    on_chip = words + sum(a.pes * a.registers.depth_words for a in of.arrays)
    for space in (EVERYTHING, Mapspace(recompute=0), Mapspace(hold=False)):
        assert values(least(words, space)) >= traffic_bound(CASCADE, SIZES).bytes(on_chip * 2) / 2


@pytest.mark.parametrize("words", [64, 512, 1024])
def test_a_buffer_alone_cannot_be_below_the_bound(words: int) -> None:
    """The mapping keeps words between passes in the buffer only."""
    assert values(least(words)) >= traffic_bound(CASCADE, SIZES).bytes(words * 2) / 2
