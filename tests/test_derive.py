"""Derived cascades: the papers' by structure, passes by analysis, values by execution; wrong rules are refused."""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
import sympy as sp
from cascade_structure import structure
from hypothesis import given, settings
from hypothesis import strategies as st

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import format_cascade, load, names, parse
from fusemap.einsum_cascade.derive import stream
from fusemap.einsum_cascade.derive.gate import REGIMES, gate, trial_of
from fusemap.einsum_cascade.derive.ratio import Ratio, ratio_of
from fusemap.einsum_cascade.derive.roles import roles_of
from fusemap.einsum_cascade.derive.search import Derivation, Derived, derive, passes_of

# What the specification lists: the rank, passes before and after, the name of the candidate.
EXPECTED = {
    ("attention-3pass", "M", "hoist"): (3, 2),
    ("attention-3pass", "M", "tree-1"): (3, 2),
    ("attention-3pass", "M", "scan-2"): (3, 1),
    ("attention-3pass", "M", "hoist-scan-2"): (3, 1),
    ("attention-3pass", "M", "hoist-tree-2"): (3, 1),
    ("attention-3pass-causal", "M", "hoist-scan-2"): (3, 1),
    ("attention-3pass-causal", "M", "hoist-tree-2"): (3, 1),
    ("attention-3pass-gqa", "M", "hoist-scan-2"): (3, 1),
    ("attention-3pass-gqa", "M", "tree-1"): (3, 2),
    ("attention-3pass-window", "M", "hoist-scan-2"): (1, 1),
    ("cascade-1", "K", "hoist"): (2, 1),
    ("cascade-1", "K", "scan"): (2, 1),
    ("rmsnorm-matmul", "K", "hoist"): (2, 1),
    ("cross-entropy", "K", "expand-scan"): (3, 1),
    ("variance", "K", "scan"): (2, 1),
    ("variance", "K", "expand"): (2, 1),
    ("softmax", "K", "scan"): (3, 2),
    ("layernorm", "K", "scan"): (3, 2),
    ("logsumexp", "K", "scan"): (2, 1),
}
# Candidates that are cascades of the papers, statement by statement.
PAPERS = {
    ("attention-3pass", "M", "hoist"): "attention-3pass-deferred",
    ("attention-3pass", "M", "tree-1"): "attention-2pass",
    ("attention-3pass", "M", "hoist-tree-1"): "attention-2pass-deferred",
    ("attention-3pass", "M", "hoist-scan-2"): "attention-1pass",
    ("attention-3pass", "M", "hoist-tree-2"): "attention-splitk",
    ("attention-3pass-gqa", "M", "hoist-scan-2"): "attention-1pass-gqa",
    ("attention-3pass-causal", "M", "hoist-scan-2"): "attention-1pass-causal",
    ("attention-3pass-causal", "M", "tree-1"): "attention-2pass-causal",
    ("cascade-1", "K", "hoist"): "cascade-2",
    ("mqa", "M", "hoist-scan-2"): "mqa-streaming",
    ("attention-naive", "M", "hoist"): "attention-naive-deferred",
}


@cache
def derivation(name: str, rank: str) -> Derivation:
    return derive(load(name), rank)


def candidate(name: str, rank: str, suffix: str) -> Derived:
    found = [c for c in derivation(name, rank).candidates if c.name == f"{name}-{suffix}"]
    assert found, [c.name for c in derivation(name, rank).candidates]
    return found[0]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", EXPECTED, ids="-".join)
def test_passes_are_those_of_the_specification(case: tuple[str, str, str]) -> None:
    found = candidate(*case)
    before, after = EXPECTED[case]
    assert (derivation(case[0], case[1]).passes, found.passes, found.exact) == (before, after, True)
    assert found.gate.passed
    assert parse(found.text) == found.cascade and format_cascade(found.cascade) == found.text


@pytest.mark.parametrize("case", PAPERS, ids="-".join)
def test_the_cascades_of_the_papers_are_found(case: tuple[str, str, str]) -> None:
    assert structure(candidate(*case).cascade) == structure(load(PAPERS[case]))


def test_structure_tells_cascades_apart() -> None:
    base = load("attention-1pass")
    text = format_cascade(base)
    for old, new in (("RM[m1,p] - RM[m1+1,p]", "RM[m1+1,p] - RM[m1,p]"), ("RD[0,p] = 0", "RD[0,p] = 1")):
        assert old in text
        assert structure(parse(text.replace(old, new))) != structure(base)
    assert structure(parse(text.replace("RNV", "ACC").replace("SLN", "W"))) == structure(base)


def test_the_output_of_flash_attention_1_is_divided_at_every_step() -> None:
    found = candidate("attention-3pass", "M", "scan-2")
    assert "LA[m1,m0,p] = LSN[m1,m0,p] / RSD[m1+1,p]" in found.text
    assert "CAV[m1,p] = exp(RGM[m1,p] - RGM[m1+1,p])*RSD[m1,p] / RSD[m1+1,p]" in found.text
    assert found.passes == 1


def test_outputs_keep_their_order() -> None:
    text = "input X[m,p], V[f,m]\noutput Z, W, L\nG[p] = min[m] X[m,p]\nN[m,p] = exp(G[p] - X[m,p])\n"
    text += "D[p] = sum[m] N[m,p]\n"
    text += "Z[f,p] = N[m,p] / D[p] * V[f,m]\nW[f,p] = N[m,p] / D[p] * square(V[f,m])\nL[p] = log(D[p]) - G[p]\n"
    found = derive(parse(text), "M")
    assert {c.cascade.outputs for c in found.candidates} == {("Z", "W", "L")}
    assert found.candidates[0].passes == 1 < found.passes


def test_side_conditions_and_irreducible_outputs_are_said() -> None:
    assert candidate("cascade-1", "K", "scan").conditions == ("RY[k1] is not 0 once a chunk was seen",)
    assert "safediv(RY[k1+1], RY[k1])" in candidate("cascade-1", "K", "scan").text
    assert derivation("softmax", "K").reasons == ("Y owns K and needs GM, SD complete: at least 2 passes",)
    assert passes_of(load("softmax-online"), "K") == (2, True)


def test_what_accuracy_costs_is_reported() -> None:
    moments = candidate("variance", "K", "expand").gate
    assert moments.named("1e4 + N(0,1)").verdict == "loses digits" and not moments.safe
    assert moments.named("1e4 + N(0,1)").digits > 7
    assert candidate("variance", "K", "scan").gate.safe and candidate("variance", "K", "tree").gate.safe
    entropy = candidate("cross-entropy", "K", "expand-scan").gate.named("1e4 + N(0,1)")
    assert 3 < entropy.digits < 5  # about four, as the specification says
    best = derivation("variance", "K").best
    assert best is not None and best.gate.safe


def test_a_first_chunk_without_elements_needs_the_safe_form() -> None:
    plain = candidate("attention-3pass", "M", "hoist-scan-2")
    assert plain.gate.named("first chunk masked").verdict == "not finite"
    safe = next(c for c in derive(load("attention-3pass"), "M", safe=True).candidates if c.name == plain.name)
    assert safe.gate.named("first chunk masked").verdict == "equal" and "expsub(" in safe.text
    assert structure(safe.cascade) == structure(plain.cascade)


def test_a_field_tells_functions_apart() -> None:
    for case in (("cascade-1", "K", "hoist"), ("cascade-1", "K", "scan"), ("variance", "K", "scan")):
        assert candidate(*case).gate.field is True
    assert candidate("attention-3pass", "M", "hoist").gate.field is None
    wrong = parse("input A[k], B[k]\noutput Z\nY = sum[k] A[k]*B[k]\nX = sum[k] A[k]\nZ = Y*X + 1\n")
    found = gate(load("cascade-1"), wrong, trial_of(load("cascade-1"), "K"), inner=None)
    assert found.field is False and not found.passed


def planted(monkeypatch: pytest.MonkeyPatch, wrong: object) -> tuple[Derivation, Derived]:
    """Attention with running values under a wrong correction."""
    monkeypatch.setattr(stream, "ratio_of", wrong)
    found = derive(load("attention-3pass"), "M")
    name = "attention-3pass-hoist-scan-2"
    return found, next(c for c in (*found.candidates, *found.refused) if c.name == name)


def test_a_missing_correction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(roles: object, name: str) -> Ratio | None:
        found = ratio_of(roles, name)  # type: ignore[arg-type]
        return None if found is None else Ratio(value=sp.Integer(1), leaves=found.leaves)

    found, made = planted(monkeypatch, none)
    assert made in found.refused and not made.gate.passed
    assert found.best is not None and found.best.name == "attention-3pass-hoist"  # all that needs no correction


def test_a_split_exponential_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """exp(a - b) = exp(a) / exp(b) is the same function, and overflows."""

    def split(roles: object, name: str) -> Ratio | None:
        found = ratio_of(roles, name)  # type: ignore[arg-type]
        if found is None:
            return None
        (old,) = [s for s, (_, when) in found.leaves.items() if when == "old"]
        (new,) = [s for s, (_, when) in found.leaves.items() if when == "new"]
        value = sp.Mul(sp.exp(old), sp.Pow(sp.exp(new), -1, evaluate=False), evaluate=False)
        return Ratio(value=value, leaves=found.leaves)

    monkeypatch.setattr(stream, "corrected", _unsimplified)
    _, made = planted(monkeypatch, split)
    assert made.gate.passed and not made.gate.safe
    assert made.gate.named("1e4 N(0,1)").verdict == "not finite"


def _unsimplified(found: Ratio, leaves: dict[sp.Symbol, object], *, safe: bool, old: bool) -> tuple[object, tuple[str]]:
    from fusemap.einsum_cascade.derive.terms import apply

    before, after = (leaves[s] for s in sorted(found.leaves, key=lambda s: found.leaves[s][1], reverse=True))
    return apply("div", apply("exp", before), apply("exp", after)), ()  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("case", "line", "wrong"),
    [
        (("attention-3pass", "M", "hoist-scan-2"), "init: RGM[0,p] = -inf", "init: RGM[0,p] = 1e3"),
        (("variance", "K", "scan"), "init: RSQ[0] = 0", "init: RSQ[0] = 1"),
    ],
)
def test_a_dropped_or_wrong_init_is_refused(case: tuple[str, str, str], line: str, wrong: str) -> None:
    original, text = load(case[0]), candidate(*case).text
    trial, inner = trial_of(original, case[1]), f"{case[1]}0"
    assert line in text
    assert not gate(original, parse(text.replace(line, wrong)), trial, inner=inner).passed
    assert not gate(original, parse(text.replace(line + "\n", "")), trial, inner=inner).passed


def test_wrong_input_is_one_message() -> None:
    with pytest.raises(InputError, match="no rank"):
        derive(load("attention-3pass"), "X")


@pytest.mark.parametrize(
    ("name", "rank"), [("attention-3pass", "M"), ("attention-sink-logit", "M"), ("cascade-1", "K")]
)
def test_a_correction_is_an_identity_of_the_terms(name: str, rank: str) -> None:
    """f(x, s') = h(s, s') f(x, s), evaluated at random points by the cascade's own streams."""
    roles = roles_of(load(name), rank)
    for reduction in roles.dependent:
        found = ratio_of(roles, reduction)
        assert found is not None
        symbols = sorted(found.leaves, key=str)
        values = dict(zip(symbols, np.random.default_rng(0).uniform(0.5, 2, len(symbols)), strict=True))
        same = {s: v for s, v in values.items()}
        for old in symbols:
            for new in symbols:
                pair = found.leaves[old][0] == found.leaves[new][0]
                if pair and found.leaves[old][1] == "old" and found.leaves[new][1] == "new":
                    same[new] = same[old]
        assert math.isclose(float(found.value.subs(same)), 1.0)  # nothing changes where the statistics do not


# Random cascades: a statistic, what is made of it, terms, an output.
STATISTICS = ("max[m] X[m,p]", "sum[m] X[m,p]", "sum[m] square(X[m,p])", "min[m] X[m,p]")
BETWEEN = ("S[p]", "S[p] / size(M)", "2*S[p] + 1", "max(S[p], B[p])")
TERMS = (
    "exp(X[m,p] - T[p])",
    "X[m,p]*T[p]",
    "square(X[m,p] - T[p])",
    "exp(X[m,p] - T[p])*W[m]",
    "W[m] - X[m,p]*T[p]",
    "exp(X[m,p] - T[p])*(X[m,p] - T[p])",
    "square(X[m,p] - T[p])*(X[m,p] - T[p])*W[m]",
    "tanh(X[m,p] - T[p])",
)
OUTPUTS = ("F[p]", "F[p] + T[p]", "F[p] / (1 + square(T[p]))")


@settings(max_examples=8)
@given(st.sampled_from(STATISTICS), st.sampled_from(BETWEEN), st.sampled_from(TERMS), st.sampled_from(OUTPUTS))
def test_random_cascades_keep_their_function(statistic: str, between: str, term: str, output: str) -> None:
    check_composed(statistic, between, term, output)


@pytest.mark.slow
@pytest.mark.parametrize("parts", list(product(STATISTICS, BETWEEN, TERMS, OUTPUTS)), ids=" | ".join)
def test_all_of_these_cascades_keep_their_function(parts: tuple[str, str, str, str]) -> None:
    check_composed(*parts)


def check_composed(statistic: str, between: str, term: str, output: str) -> None:
    """Every candidate executes as the cascade does and has no more passes."""
    text = f"input X[m,p], W[m], B[p]\noutput Z\nS[p] = {statistic}\nT[p] = {between}\nE[m,p] = {term}\n"
    cascade = parse(text + f"F[p] = sum[m] E[m,p]\nZ[p] = {output}\n")
    found = derive(cascade, "M")
    assert found.passes <= 2
    for made in found.candidates:
        assert made.gate.passed, f"{made.text}\n{made.gate}"
        assert made.passes <= found.passes
    assert ("tanh" in term) == (not any(c.passes < found.passes for c in found.candidates))
    assert all("inf" in made.text for made in found.refused)  # a statistic that starts where a correction is not finite


def with_several_passes() -> list[tuple[str, str]]:
    """Cascades of the library and their sequence ranks."""
    return [(name, rank) for name in names() for rank in ("M", "K", "N")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank"), with_several_passes())
def test_every_cascade_of_the_library(name: str, rank: str) -> None:
    try:
        found = derive(load(name), rank)
    except InputError as error:
        assert "no rank" in str(error)
        return
    for made in found.candidates:
        assert made.gate.passed, made.text
        assert made.passes <= found.passes
        assert parse(made.text) == made.cascade
    if not found.candidates and found.passes > 1:
        assert found.reasons


def test_regimes_are_those_of_the_specification() -> None:
    assert set(REGIMES) >= {"N(0,1)", "1e4 N(0,1)", "1e4 + N(0,1)", "masked"}
