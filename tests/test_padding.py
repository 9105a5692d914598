"""A length that does not divide is said to leave lanes idle, with the length that fills them."""

from __future__ import annotations

import pytest

import fusemap as fm


def notes(length: int) -> tuple[str, ...]:
    report = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload=f"BERT@{length}", dataflow="fusemax-binding")
    return report.notes


def test_a_prime_length_names_the_next_length_that_fills() -> None:
    assert notes(1009) == ("p: 1,009 spreads over 1 of 256 lanes, as tiles divide their rank; 1,024 would fill them",)


@pytest.mark.parametrize("length", [1024, 1000, 200, 3000])
def test_lengths_that_nearly_fill_are_silent(length: int) -> None:
    assert notes(length) == ()


def test_what_is_named_does_fill() -> None:
    named = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@1024", dataflow="fusemax-binding")
    assert {time.lanes for time in named.einsums} == {65536, 256}
