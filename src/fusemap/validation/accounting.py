"""The accounting of a dataflow by name: `principled`, or a study's with some of its slips switched off."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.validation.study import SlipModel, Study, apply_rule, load_study

NAMES = ("principled", "published")


def accounting(name: str, dataflow: str, *, without: Collection[str] = (), study: str = "fusemax") -> Accounting:
    """The accounting `name` as it applies to a dataflow; `without` switches slips of `published` off.

    >>> accounting("published", "flat", without=["overflow"]).partition_bits is None
    True
    """
    check_name(name)
    if name == "principled":
        if without:
            raise input_error("--without switches slips of the published accounting off; principled has none")
        return PRINCIPLED
    slips = load_study(study).model.slips
    for slip in without:
        if slip not in slips:
            raise input_error(f"unknown slip {slip}", hint=did_you_mean(slip, list(slips), noun="slips"))
    return with_slips(PRINCIPLED, {n: s for n, s in slips.items() if n not in without}, dataflow, name="published")


def check_name(name: str) -> None:
    """InputError unless there is an accounting of this name."""
    if name not in NAMES:
        raise input_error(f"unknown accounting {name}", hint=did_you_mean(name, NAMES, noun="accountings"))


def published(study: Study, dataflow: str) -> Accounting:
    """The study's accounting with all its slips."""
    return with_slips(PRINCIPLED, study.model.slips, dataflow, name="published")


def with_slips(base: Accounting, slips: Mapping[str, SlipModel], dataflow: str, *, name: str) -> Accounting:
    """`base` with those of the slips that concern the dataflow."""
    result = base
    for slip in slips.values():
        if slip.dataflows is None or dataflow in slip.dataflows:
            result = apply_rule(result, slip.rule, name=name)
    return result
