"""Attentions of published papers: against their references, direct against streaming form, and with planted faults."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pytest
import yaml
import zoo
import zoo_softmax
from test_library import assert_equal, random_inputs, sized

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.types import Apply, Cascade, Chain, Einsum, Expr, OperatorName

_TALL = "J=4 J0=2 E=5 F=3 P=12 M=24 M0=4 H=12 HK=4 G=3 K=3 C=6 R=2 N=24 N0=4"
_WIDE = "J=1 E=3 F=4 P=18 M=6 M0=2 H=6 HK=3 G=2 K=1 L=3 N=6 N0=6"
SIZES: Mapping[str, Mapping[str, int]] = {
    case: {name: int(size) for name, size in (part.split("=") for part in text.split())}
    for case, text in {"even": "J=8", "tall": _TALL, "wide": _WIDE}.items()
}
SCALES = (1.0, 8.0, 30.0, 200.0)  # with the last, logits differ by thousands
CASES = [(name, case) for name in zoo.REFERENCES for case in SIZES]


def entries() -> list[dict[str, Any]]:
    """The metadata of all families."""
    folder = resources.files("fusemap.validation") / "taxonomy"
    texts = [(folder / f"{family}.yaml").read_text(encoding="utf-8") for family in zoo.FAMILIES]
    parsed = [yaml.safe_load(text) for text in texts]
    return [entry for family in parsed for entry in (family["encoded"] if isinstance(family, dict) else family)]


OPTIONAL = ("streaming", "streaming_missing", "simplified", "difference", "inexact")
PAIRS = [(e["direct"], e["streaming"]) for e in entries() if "streaming" in e]


@cache
def problem(name: str, case: str, seed: int, scale: float) -> tuple[Mapping[str, int], Mapping[str, Any]]:
    """Sizes and random inputs of a cascade."""
    sizes = sized(load(name), **SIZES[case])
    inputs = {n: a * scale for n, a in random_inputs(load(name), sizes, seed).items()}
    return sizes, {**inputs, **zoo_softmax.GIVEN.get(name, {})}


@cache
def expected(name: str, case: str, seed: int, scale: float = 1.0) -> Mapping[str, Any]:
    """The outputs of a problem by its reference."""
    sizes, inputs = problem(name, case, seed, scale)
    with np.errstate(all="ignore"):
        return zoo.REFERENCES[name](inputs, check_sizes(load(name), sizes))


def found(cascade: Cascade, name: str, case: str, seed: int, scale: float = 1.0) -> Mapping[str, Any]:
    """The outputs of a problem of the cascade `name`, by `cascade`."""
    return run(cascade, *problem(name, case, seed, scale))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name, case", CASES)
def test_an_attention_equals_its_reference(name: str, case: str) -> None:
    assert_equal(found(load(name), name, case, 2), expected(name, case, 2))


# --- the metadata -------------------------------------------------------------------------------------


def test_every_attention_of_a_family_has_a_reference_and_metadata() -> None:
    described = {e[form] for e in entries() for form in ("direct", "streaming") if form in e}
    assert set(zoo.REFERENCES) <= described <= set(names())


def test_the_metadata_is_complete() -> None:
    must = {"name", "paper", "citation", "direct", "ranks", "estimate", "source"}
    for entry in entries():
        assert must <= set(entry) <= must | {*OPTIONAL}, entry
        assert ("streaming" in entry) != ("streaming_missing" in entry), entry["name"]
        assert entry["source"] in ("code", "text", "memory"), entry["name"]
        assert {rank.split(",")[-1] for rank in entry["estimate"]} <= set(entry["ranks"]), entry["name"]
        assert all(set(passes) == {"direct", "minimum"} for passes in entry["estimate"].values()), entry["name"]
    assert len({e["name"] for e in entries()}) == len(entries())


# --- direct against streaming form --------------------------------------------------------------------


def both(direct: str, streaming: str, case: str, scale: float) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Outputs of both forms on the same inputs."""
    sizes, inputs = problem(streaming, case, 4, scale)
    known = {n: s for n, s in check_sizes(load(streaming), sizes).items() if n in sized(load(direct))}
    return run(load(direct), known, inputs), run(load(streaming), sizes, inputs)


@pytest.mark.parametrize("direct, streaming", PAIRS)
@pytest.mark.parametrize("case", ["tall", "wide"])
def test_the_streaming_form_equals_the_direct_one(direct: str, streaming: str, case: str) -> None:
    one, other = both(direct, streaming, case, 1.0)
    assert_equal(other, {n: np.ma.filled(np.ma.asarray(a, dtype=float), np.nan) for n, a in one.items()}, 1e-11)


# --- what cannot be random ----------------------------------------------------------------------------


def changed(name: str, case: str, **values: float) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Outputs of a cascade and of its reference with some inputs changed."""
    sizes, inputs = problem(name, case, 6, 1.0)
    filled = {n: np.full(np.shape(inputs[n]), value) for n, value in values.items()}
    inputs = {**inputs, **filled}
    return run(load(name), sizes, inputs), zoo.REFERENCES[name](inputs, check_sizes(load(name), sizes))


@pytest.mark.parametrize("name", ["attention-sink-logit", "attention-sink-logit-streaming"])
@pytest.mark.parametrize("sink", [-np.inf, -1e4, 1e4])
def test_a_sink_may_weigh_nothing_or_everything(name: str, sink: float) -> None:
    one, other = changed(name, "tall", SK=sink)
    assert_equal(one, other)
    sizes, inputs = problem(name, "tall", 6, 1.0)
    if sink > 0:
        assert (one["AV"] == 0).all()
    else:
        head = {n: inputs[n][..., 0] for n in "QKV"}
        plain = run(load("attention-3pass-causal"), {n: sizes[n] for n in "EFMP"}, head)
        np.testing.assert_allclose(one["AV"][..., 0], plain["AV"], rtol=1e-12)


@pytest.mark.parametrize("name", ["var", "var-streaming"])
@pytest.mark.parametrize("values", [{"PHI": 1.0}, {"PHI": -1.0}, {"PHI": 1.0, "RH": -1.0}, {"RH": 0.0}, {"PF": 1.0}])
def test_all_visual_tokens_may_be_sinks_or_none(name: str, values: Mapping[str, float]) -> None:
    assert_equal(*changed(name, "tall", **values))


@pytest.mark.parametrize("name", ["aem", "aem-streaming"])
@pytest.mark.parametrize("weight", [0.0, 1e-3, 1e4])
def test_the_entropy_is_finite_at_its_bounds(name: str, weight: float) -> None:
    found_, expected_ = changed(name, "tall", WS=weight)
    assert_equal(found_, expected_)
    assert -np.log(24) - 1e-12 <= found_["NE"] <= 0
    if weight == 0:
        assert found_["NE"] == pytest.approx(-np.log(24), rel=1e-14)


def test_a_first_chunk_may_be_masked_completely() -> None:
    """The first four instances have the largest scores, and make up the first chunk."""
    name = "acmil-stkim-streaming"
    sizes, inputs = problem(name, "tall", 6, 1.0)
    assert sizes["J"] == sizes["N0"] == 4
    positive = {n: abs(a) for n, a in inputs.items()}
    positive["X"] = np.outer(np.ones(len(inputs["X"])), np.linspace(1.0, 0.1, sizes["N"]))
    assert_equal(run(load(name), sizes, positive), zoo.REFERENCES[name](positive, check_sizes(load(name), sizes)))


# --- planted faults -----------------------------------------------------------------------------------

OTHER = {"add": "sub", "sub": "add", "mul": "add", "div": "mul", "exp": "sigmoid", "max": "min", "min": "max"}
RANKED = "the means only rank the blocks: a factor of all of them does not matter"
CANCELS = "a factor of all weights cancels in their ratio"
SHIFTED = "the softmax of what is small: any number may be subtracted from all logits"
EQUIVALENT: Mapping[str, Mapping[str, str]] = {
    "moba": {"KB 1: div -> mul": RANKED},
    "gaam": {"NC 1: mul -> add": CANCELS},
    "gaam-streaming": {"LC 1: mul -> add": CANCELS, "LC 2: mul -> add": CANCELS, "LG 1: add -> sub": CANCELS},
    "moh": {"GR 1: div -> mul": CANCELS},
    "miras-memora": {"E0 2: sub -> add": SHIFTED, "SN 2: sub -> add": SHIFTED},
    "vmoba": {"KB 1: div -> mul": RANKED},
}
DRAWN = 4  # planted faults of each attention in a quick run
STRICT = {"<=": "<", "<": "<=", ">=": ">", ">": ">="}


def faults(cascade: Cascade) -> Iterator[tuple[str, Cascade]]:
    """The cascade with one operator or one relation of one Einsum replaced by another.

    Einsums that the direct form of a streaming cascade has too are left to that one.
    """
    direct = {einsum for one, other in PAIRS if other == cascade.name for einsum in load(one).einsums}
    for place, einsum in enumerate(cascade.einsums):
        if einsum in direct:
            continue
        for number, (what, wrong) in enumerate(_wrong_einsums(einsum), 1):
            changed = (*cascade.einsums[:place], wrong, *cascade.einsums[place + 1 :])
            yield f"{einsum.name} {number}: {what}", replace(cascade, einsums=changed)


def _wrong_einsums(einsum: Einsum) -> Iterator[tuple[str, Einsum]]:
    for what, expr in _wrong_exprs(einsum.expr):
        yield what, replace(einsum, expr=expr)
    for what, conditions in _wrong_chains(einsum.conditions):
        yield what, replace(einsum, conditions=conditions)
    indices = einsum.output.indices
    for place, index in enumerate(indices):
        for what, conditions in _wrong_chains(index.conditions):
            wrong = (*indices[:place], replace(index, conditions=conditions), *indices[place + 1 :])
            yield what, replace(einsum, output=replace(einsum.output, indices=wrong))


def _wrong_exprs(expr: Expr) -> Iterator[tuple[str, Expr]]:
    if not isinstance(expr, Apply):
        return
    if expr.operator in OTHER:
        other = OperatorName(OTHER[expr.operator])
        yield f"{expr.operator} -> {other}", replace(expr, operator=other)
    for place, arg in enumerate(expr.args):
        for what, wrong in _wrong_exprs(arg):
            yield what, replace(expr, args=(*expr.args[:place], wrong, *expr.args[place + 1 :]))


def _wrong_chains(chains: tuple[Chain, ...]) -> Iterator[tuple[str, tuple[Chain, ...]]]:
    for place, chain in enumerate(chains):
        for at, relation in enumerate(chain.relations):
            if relation in STRICT:
                relations = (*chain.relations[:at], STRICT[relation], *chain.relations[at + 1 :])
                wrong = replace(chain, relations=relations)
                yield f"{relation} -> {STRICT[relation]}", (*chains[:place], wrong, *chains[place + 1 :])


def equals(cascade: Cascade, name: str, case: str, scale: float) -> bool:
    """Does `cascade` what the cascade `name` should?"""
    try:
        assert_equal(found(cascade, name, case, 5, scale), expected(name, case, 5, scale), 1e-9)
    except (AssertionError, ArithmeticError, InputError):
        return False
    return True


@cache
def is_fair(name: str, case: str, scale: float) -> bool:
    """Is the cascade itself right on this problem, as a softmax that is not stable is not on large inputs?"""
    return equals(load(name), name, case, scale)


def unnoticed(name: str, planted: Mapping[str, Cascade]) -> set[str]:
    """The faults of an attention with which it still does what it should, on all problems on which it does itself."""
    trials = [(case, scale) for scale in SCALES for case in ("tall", "even")]
    assert all(is_fair(name, *trial) for trial in trials[:2])
    return {
        what
        for what, wrong in planted.items()
        if not any(is_fair(name, *trial) and not equals(wrong, name, *trial) for trial in trials)
    }


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", zoo.REFERENCES)
def test_a_planted_fault_is_noticed(name: str) -> None:
    """A few faults of every attention, and those that are none."""
    planted, none = dict(faults(load(name))), set(EQUIVALENT.get(name, {}))
    drawn = random.Random(name).sample(sorted(planted.keys() - none), min(DRAWN, len(planted) - len(none)))
    assert unnoticed(name, {what: planted[what] for what in (*drawn, *none)}) == none


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.REFERENCES)
def test_every_planted_fault_is_noticed(name: str) -> None:
    assert unnoticed(name, dict(faults(load(name)))) == set(EQUIVALENT.get(name, {}))
