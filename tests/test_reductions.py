"""Reductions nobody handed us: passes before and after, against references that know nothing of cascades."""

from __future__ import annotations

from functools import cache

import pytest
from reductions_reference import REFERENCES
from test_library import assert_equal, random_inputs, sized

from fusemap.einsum_cascade import load, parse
from fusemap.einsum_cascade.derive.search import Derivation, Derived, derive
from fusemap.einsum_cascade.interpreter import run

# The rank, passes before and after, the best candidate, and whether it is as accurate as the original.
FOUND = {
    ("layernorm-matmul", "K"): (3, 1, "expand", False),
    ("router-z-loss", "K"): (3, 1, "hoist-scan-2", True),
    ("qk-norm-attention", "E"): (2, 1, "hoist", True),
    ("qk-norm-attention", "M"): (3, 1, "hoist-scan-2", True),
    ("distillation", "K"): (3, 1, "expand-scan-3", False),
    ("entropy-attention", "M"): (3, 1, "expand-scan-3", False),
    ("attentive-statistics", "M"): (4, 1, "expand-scan-4", False),
    ("query-gradient", "M"): (4, 1, "expand-scan-4", False),
}
QUICK = [case for case in FOUND if case[0] in ("layernorm-matmul", "router-z-loss")] + [("qk-norm-attention", "E")]
SLOW = [case for case in FOUND if case not in QUICK]


@cache
def derivation(name: str, rank: str) -> Derivation:
    return derive(load(name), rank)


def best(name: str, rank: str) -> Derived:
    found = derivation(name, rank).best
    assert found is not None
    return found


def check(name: str, rank: str) -> None:
    """Passes, accuracy, and the outputs of the best candidate on other inputs and sizes than those of the gate."""
    before, after, suffix, safe = FOUND[name, rank]
    found = best(name, rank)
    assert (derivation(name, rank).passes, found.passes, found.exact) == (before, after, True)
    assert (found.name, found.gate.safe) == (f"{name}-{suffix}", safe)
    sizes = sized(found.cascade, E=5, F=3, P=7, M=24, M0=6, K=24, K0=6, N=4, J=5, D=5)
    inputs = random_inputs(found.cascade, sizes, 3)
    whole = {s: n for s, n in sizes.items() if s not in ("M0", "M1", "K0", "K1")}
    assert_equal(run(found.cascade, sizes, inputs), REFERENCES[name](inputs, whole), 1e-10)


@pytest.mark.parametrize(("name", "rank"), QUICK)
def test_a_reduction_is_found_and_equals_its_reference(name: str, rank: str) -> None:
    check(name, rank)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank"), SLOW)
def test_every_reduction_is_found_and_equals_its_reference(name: str, rank: str) -> None:
    check(name, rank)


@pytest.mark.parametrize(("right", "wrong"), [("RS[n]*UZ2[n,j]", "UZ2[n,j]"), ("- 2*MU[n]*S[n]", "- MU[n]*S[n]")])
def test_a_wrong_reduction_is_noticed(right: str, wrong: str) -> None:
    """The same comparison, of a candidate with a planted fault."""
    text = best("layernorm-matmul", "K").text
    assert right in text
    sizes = sized(load("layernorm-matmul"), K=24, N=4, J=5)
    inputs = random_inputs(load("layernorm-matmul"), sizes, 3)
    with pytest.raises(AssertionError):
        assert_equal(
            run(parse(text.replace(right, wrong)), sizes, inputs), REFERENCES["layernorm-matmul"](inputs, sizes)
        )


def test_large_weights_do_not_hide_what_cancels_in_a_statistic() -> None:
    """With all inputs large the product is large, and the error of the variance small beside it."""
    gate = best("layernorm-matmul", "K").gate
    alone = gate.named("1e4 + N(0,1) in X alone")
    assert gate.named("1e4 + N(0,1)").verdict == "equal"
    assert alone.verdict == "loses digits" and 3 < alone.digits < 6


def test_two_ranks_are_reduced_one_after_the_other() -> None:
    """The norms leave the sum over E; what is derived is derived again, over M."""
    first = best("qk-norm-attention", "E")
    again = derive(first.cascade, "M").best
    assert again is not None and again.passes == 1
    sizes = sized(again.cascade, E=5, F=3, P=7, M=24, M0=6)
    inputs = random_inputs(again.cascade, sizes, 3)
    assert_equal(run(again.cascade, sizes, inputs), REFERENCES["qk-norm-attention"](inputs, sizes), 1e-11)


def test_gates_that_are_an_output_keep_a_second_pass() -> None:
    """A router whose weights leave the chip: each needs the finished sum."""
    text = load("router-z-loss").text.replace("output Y, ZL", "output G, Y, ZL")
    found = derive(parse(text), "K")
    assert found.best is not None and (found.passes, found.best.passes) == (3, 2)
    assert found.reasons == ("G owns K and needs GM, SD complete: at least 2 passes",)


def test_a_maximum_of_weights_is_not_derived() -> None:
    """The scale of quantised weights, max(A) = 1 / SD: corrections are those of sums."""
    text = load("attention-3pass").text.replace("output AV", "output AV, AM") + "AM[p] = max[m] A[m,p]\n"
    found = derive(parse(text), "M")
    assert found.best is not None and found.best.passes == 2
    assert any(reason.startswith("AM: its terms change") for reason in found.reasons)
