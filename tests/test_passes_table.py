"""The known passes of the built-in cascades against the definition and against the search of all schedules."""

from __future__ import annotations

import pytest
from passes_cases import TABLE, Row, sizes_of, text_of
from passes_oracle import searches
from passes_points import Program

from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.passes.instance import instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_definition_gives_the_known_number_of_passes(row: Row) -> None:
    cascade = load(row.cascade)
    of = next(r for r in owned_ranks(cascade) if (r.tensor, r.rank) == (row.tensor, row.rank))
    levels = reference_levels(instance_of(cascade, sizes_of(row)), of)
    assert levels is not None
    assert levels.passes == row.passes


@pytest.mark.sampled(2)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_search_finds_a_schedule_with_that_many_passes_and_none_with_fewer(row: Row) -> None:
    found = list(searches(Program(text_of(row.cascade), sizes_of(row)), row.tensor, row.rank))
    schedules = [s for search in found if search.covered and (s := search.least_loads(row.room)) is not None]
    most, length = max(s.loads for s in schedules), schedules[0].length
    assert len(schedules) == sum(s.covered for s in found)
    assert length > row.passes * row.room, "too short to tell this number of passes from the next"
    assert row.passes * length - (row.passes - 1) * row.room <= most <= row.passes * length
