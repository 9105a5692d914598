"""Plausible wrong claims about passes are refuted by a search of all schedules; the schedules are kept as text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from passes_claims import CLAIMS, claim_text, refutation
from passes_oracle import is_valid, least_loads, render

from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes.instance import instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels

RIGHT = {"window": 1, "causal": 3, "cascade-1": 2, "prefix-suffix-three": 2, "prefix-suffix-one": 2}
GOLDEN = {
    "window": """\
load K[0]; run QK(0), GM(0), SN(0; p=0), SD(0; p=0), A(0; p=0), AV(0; p=0)
load K[1]; run QK(1), GM(1), SN(0,1; p=1), SD(0,1; p=1), A(0,1; p=1), AV(0,1; p=1)
drop K[0], load K[2]; run QK(2), GM(2), SN(1,2; p=2), SD(1,2; p=2), A(1,2; p=2), AV(1,2; p=2)
drop K[1], load K[3]; run QK(3), GM(3), SN(2,3; p=3), SD(2,3; p=3), A(2,3; p=3), AV(2,3; p=3)
drop K[2], load K[4]; run QK(4), GM(4), SN(3,4; p=4), SD(3,4; p=4), A(3,4; p=4), AV(3,4; p=4)
""",
    "causal": """\
load K[0]; run QK(0), GM(0), SN(0; p=0), SD(0; p=0), A(0; p=0), AV(0; p=0)
load K[1]; run QK(1), GM(1), SN(0,1; p=1), SD(0,1; p=1), A(0,1; p=1), AV(0,1; p=1)
drop K[0], load K[2]; run QK(2), GM(2), SN(1,2; p=2), SD(1,2; p=2)
drop K[1], load K[3]; run QK(3), GM(3), SN(2,3; p=3), SD(2,3; p=3)
drop K[2], load K[4]; run QK(4), GM(4), SN(3,4; p=4), SD(3,4; p=4)
drop K[3], load K[0]; run SN(0; p=2,3,4), SD(0; p=2,3,4), A(0; p=2), AV(0; p=2)
drop K[0], load K[1]; run SN(1; p=3,4), SD(1; p=3,4), A(1; p=2,3), AV(1; p=2,3)
drop K[1], load K[2]; run SN(2; p=4), SD(2; p=4), A(2,4), AV(2,4)
drop K[2], load K[0]; run A(0; p=3,4), AV(0; p=3,4)
drop K[0], load K[1]; run A(1; p=4), AV(1; p=4)
drop K[1], load K[3]; run A(3), AV(3)
""",
    "cascade-1": """\
load A[0]; run Y(0)
load A[1]; run Y(1)
load A[2]; run Y(2)
load A[3]; run Y(3)
load A[4]; run Y(4), Z(4)
load A[0]; run Z(0)
load A[1]; run Z(1)
load A[2]; run Z(2)
load A[3]; run Z(3)
""",
    "prefix-suffix-one": """\
load A[0]; run PRE(0)
load A[1]; run PRE(1)
load A[2]; run PRE(2)
load A[3]; run PRE(3)
load A[4]; run PRE(4), SUF(4), Z(4)
load A[3]; run SUF(3), Z(3)
load A[2]; run SUF(2), Z(2)
load A[1]; run SUF(1), Z(1)
load A[0]; run SUF(0), Z(0)
""",
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_search_refutes_the_claim(name: str) -> None:
    claim, best = CLAIMS[name], refutation(name)
    assert is_valid(best)
    assert not claim.least <= best.loads <= claim.most


@pytest.mark.parametrize("name", CLAIMS)
def test_the_right_number_of_passes_would_stand(name: str) -> None:
    claim = replace(CLAIMS[name], passes=RIGHT[name])
    assert claim.least <= refutation(name).loads <= claim.most


@pytest.mark.parametrize("name", CLAIMS)
def test_the_analysis_gives_the_right_number(name: str) -> None:
    claim = CLAIMS[name]
    cascade = parse(claim.text)
    of = next(r for r in owned_ranks(cascade) if (r.tensor, r.rank) == (claim.tensor, claim.rank))
    levels = reference_levels(instance_of(cascade, dict(claim.sizes)), of)
    assert levels is not None and levels.passes == RIGHT[name]


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("length", (4, 5))
def test_the_fewest_loads_are_those_of_theorem_1_at_every_length(name: str, length: int) -> None:
    claim = replace(CLAIMS[name], passes=RIGHT[name], sizes=((CLAIMS[name].rank, length),))
    best = least_loads(claim.text, dict(claim.sizes), claim.tensor, claim.rank, room=claim.room)
    assert best is not None and best.loads == claim.least


@pytest.mark.parametrize("name", GOLDEN)
def test_the_schedule_reads_as_before(name: str) -> None:
    assert render(refutation(name)) == GOLDEN[name]


@pytest.mark.parametrize("name", CLAIMS)
def test_the_text_for_the_documentation_has_the_claim_the_numbers_and_the_schedule(name: str) -> None:
    claim, text = CLAIMS[name], claim_text(name)
    assert text.startswith(f"Claim: {claim.says}\n")
    assert f"the fewest are {refutation(name).loads}." in text
    assert all(f"    {line}\n" in text for line in render(refutation(name)).splitlines())
