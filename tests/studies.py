"""The published study and the taxonomy, computed once for the tests of all files: a bench remembers its reports."""

from __future__ import annotations

from functools import cache

from fusemap.validation.reproduce import Bench, load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.study import load_study
from fusemap.validation.taxonomy_rows import Taxonomy, taxonomy

STUDY = load_study("fusemax")


@cache
def bench() -> Bench:
    """One bench for all tests, which remembers its reports."""
    return load_bench(STUDY)


@cache
def reproduced(accounting: str = "published") -> Reproduction:
    """The study recomputed under an accounting."""
    return reproduce(bench(), accounting)


@cache
def whole_taxonomy() -> Taxonomy:
    """The taxonomy, analysed once."""
    return taxonomy()
