"""`fusemap analyze` with some of the sizes: what is proven holds for every completion, by definition too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from random import Random

import pytest
from conftest import Outcome
from passes_programs import FAMILIES, program
from test_passes_static import at, holds

import fusemap as fm
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.analysis_sizes import known_sizes, open_factors
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.passes import analyze as module
from fusemap.einsum_cascade.passes import lower
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.passes.instance import Instance, instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels
from fusemap.einsum_cascade.scope import iterative_ranks, shape_of
from fusemap.einsum_cascade.types import Cascade

Run = Callable[..., Outcome]
Sizes = Mapping[str, int]

MOST_POINTS = 3000  # of an instance
SEEDS = 5
ATTEMPTS = 8
FLOORED = (
    "input A[k], C[e]\nS[e] = sum[k] A[k] * C[e] for k >= 2\nT = sum[k] A[k] for k < 3\nZ[k,e] = A[k] * S[e] * T\n"
)
FACTORED = (
    "shape M = M1*M0\ninput A[m], C[e]\nB[m1,m0] = A[m1*M0+m0]\nS[m1,e] = sum[m0] B[m1,m0] * C[e] for m0 >= 2\n"
    "T[m1] = sum[m0] B[m1,m0] for m0 < 3\nZ[m1,m0,e] = B[m1,m0] * S[m1,e] * T[m1]\n"
)
PARTS = [
    ("attention-3pass-causal", {"M": 4}),
    ("attention-3pass-causal", {"P": 4}),
    ("attention-3pass-causal", {"M": 4, "P": 3}),
    ("attention-3pass-causal", {"M": 3, "P": 4}),
    ("attention-3pass-window", {"M": 9}),
    ("attention-3pass", {"M": 1}),
    ("attention-2pass-causal", {"M": 6}),
    ("attention-2pass-causal", {"M": 4, "P": 3}),
    ("attention-2pass", {"M0": 1}),
    ("attention-1pass", {"M": 6}),
    ("attention-1pass-causal", {"M": 6, "P": 6}),
    ("attention-1pass-causal", {"M0": 2}),
    ("prefix-times-suffix", {"K": 1}),
    ("power-iteration", {"T": 1}),
    ("power-iteration", {"T": 3}),
    ("power-iteration", {"J": 3}),
    ("softmax-online", {"K": 1}),
]


def completions(cascade: Cascade, given: Sizes, least: int, random: Random) -> Iterator[dict[str, int]]:
    """Sizes for all shapes with those that are given; open ones are at least `least`, but factors of given ones any."""
    known, _ = known_sizes(cascade, given)
    short = open_factors(cascade, known) | {shape_of(v) for v in iterative_ranks(cascade)}
    for _ in range(ATTEMPTS):
        sizes = dict(given)
        try:
            while still_open := known_sizes(cascade, sizes)[1]:
                name = random.choice(still_open)
                sizes[name] = random.choice(range(1, 7)) if name in short else least + random.choice(range(4))
        except InputError:  # no multiple
            continue
        yield {str(s): n for s, n in known_sizes(cascade, sizes)[0].items()}


@lru_cache(maxsize=512)
def instance(cascade: Cascade, sizes: tuple[tuple[str, int], ...]) -> Instance | None:
    """The instance, where it is small enough."""
    if prod(sorted(n for _, n in sizes)[-3:]) * len(cascade.einsums) > MOST_POINTS:
        return None
    return instance_of(cascade, dict(sizes))


def wrong(cascade: Cascade, found: PassAnalysis, sizes: Sizes) -> Iterator[str]:
    """Where more is claimed than the definition counts at these sizes."""
    small = instance(cascade, tuple(sorted(sizes.items())))
    if small is None:
        return
    ranks = {(r.tensor, r.rank): r for r in owned_ranks(cascade)}
    for row in found.passes:
        if row.method != "static" or not all(holds(w, sizes) for w in row.when):
            continue
        for direct, count in ((False, row.passes), (True, row.direct)):
            levels = reference_levels(small, ranks[row.tensor, row.rank], direct=direct)
            if levels is None:
                continue
            claimed = max(1, at(count, sizes))
            if claimed > levels.passes:
                yield f"({row.tensor}, {row.rank}) direct={direct} at {sizes}: {claimed}, by definition {levels.passes}"


def complaints(cascade: Cascade, given: Sizes, seed: int = 0) -> list[str]:
    """What completions contradict of the analysis with the sizes that are given."""
    found = analyze(cascade, sizes=given)
    every = list(completions(cascade, given, found.least, Random(seed)))
    return [f"{cascade.name} with {dict(given)}: {c}" for sizes in every for c in wrong(cascade, found, sizes)]


def at_most_all(cascade: Cascade, given: Sizes) -> list[str]:
    """Where the analysis at all sizes proves less than the one with some of them, or knows a better schedule."""
    found = analyze(cascade, sizes=given)
    bad = []
    for sizes in list(completions(cascade, given, found.least, Random(1)))[:3]:
        whole = analyze(cascade, sizes=sizes)
        for some, every in zip(found.passes, whole.passes, strict=True):
            lower_of = [max(1, at(row.passes, sizes)) for row in (some, every)]
            upper_of = [None if row.upper is None else max(1, at(row.upper, sizes)) for row in (some, every)]
            if upper_of[0] != upper_of[1] or (lower_of[0] > lower_of[1] and all(holds(w, sizes) for w in some.when)):
                bad.append(f"({some.tensor}, {some.rank}) at {sizes}: {lower_of} {upper_of}")
    return bad


# --- the numbers ----------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "given"), PARTS, ids=str)
def test_claims_hold_for_every_completion(name: str, given: Sizes) -> None:
    assert complaints(load(name), given) == []
    assert at_most_all(load(name), given) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_claims_hold_for_completions_of_random_cascades(family: str) -> None:
    tried = 0
    for seed in range(SEEDS):
        made, random = program(seed, family), Random(seed)
        cascade = parse(made.text)
        given = {str(s): random.randint(1, 5) for s in known_sizes(cascade, {})[1] if random.random() < 0.5}
        try:
            known_sizes(cascade, given)
        except InputError:  # they contradict the shape lines
            continue
        assert (complaints(cascade, given, seed), made.text) == ([], made.text)
        tried += 1
    assert tried > SEEDS // 3


@pytest.mark.parametrize(
    ("name", "given", "implied"),
    [
        ("attention-1pass-causal", {"M": 8, "M0": 2, "P": 4, "E": 3, "F": 2}, {"M1": 4}),
        ("attention-2pass-causal", {"M1": 4, "M0": 2, "P": 9, "E": 3, "F": 2}, {"M": 8}),
        ("attention-3pass-causal", {"M": 4, "P": 3, "E": 3, "F": 2}, {}),
        ("power-iteration", {"T": 4, "J": 3}, {"I": 3}),
    ],
)
def test_what_follows_from_sizes_need_not_be_given(name: str, given: Sizes, implied: Sizes) -> None:
    cascade = load(name)
    some, every = (analyze(cascade, sizes=sizes) for sizes in (given, {**given, **implied}))
    assert some == every
    assert all(row.when == () for row in some.passes)


def passes(given: Sizes) -> tuple[int, tuple[str, ...]]:
    row = analyze(load("attention-3pass-causal"), sizes=given).row("K", "M")
    return row.passes.constant, row.when


def test_a_condition_is_decided_by_the_sizes_that_are_given() -> None:
    assert passes({}) == (3, ("P >= M",))
    assert passes({"M": 64}) == (3, ("P >= M",))  # open sizes are large
    assert passes({"P": 64}) == (1, ())  # no row is as long as a large M
    assert passes({"M": 64, "P": 32}) == passes({"M": 64, "P": 63}) == (1, ())
    assert passes({"M": 64, "P": 64}) == passes({"M": 32, "P": 64}) == (3, ())


def test_given_steps_are_counted() -> None:
    cascade = load("power-iteration")
    assert [analyze(cascade, sizes={"T": t}).row("A", "J").passes.constant for t in (1, 2, 7)] == [1, 2, 7]
    row = analyze(cascade, sizes={"J": 5}).row("A", "J")
    assert (row.passes.steps, row.passes.shape) == (1, "T")


def test_a_rank_that_bounds_conditions_keeps_its_floor() -> None:
    found = analyze(parse(FLOORED), sizes={"E": 3})
    assert (found.row("A", "K").passes.constant, found.row("A", "K").when, found.least) == (2, (), 10)
    short = analyze(parse(FLOORED), sizes={"K": 2}).row("A", "K")
    assert (short.passes.constant, short.when) == (1, ())


# --- planted faults -------------------------------------------------------------------------------


def test_without_the_floor_a_claim_needs_a_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "least_size", lambda model: 1)
    assert analyze(parse(FLOORED), sizes={"E": 3}).row("A", "K").when == ("K >= 3",)
    with pytest.raises(AssertionError):
        test_a_rank_that_bounds_conditions_keeps_its_floor()
    assert complaints(parse(FLOORED), {"E": 3}) == []  # for it says so
    told = lower._Count._when
    monkeypatch.setattr(lower._Count, "_when", lambda *a: tuple(w for w in told(*a) if w != "K >= 3"))
    assert any("K': 2" in c and "2, by definition 1" in c for c in complaints(parse(FLOORED), {"E": 3}))


def test_factors_of_a_given_size_may_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = parse(FACTORED)
    assert analyze(cascade, sizes={"M": 6}).row("B", "M0").when == ("M0 >= 3",)
    assert analyze(cascade, sizes={"E": 6}).row("B", "M0").when == ()
    assert complaints(cascade, {"M": 6}) == []
    monkeypatch.setattr(lower, "open_factors", lambda cascade, known: frozenset())
    assert complaints(cascade, {"M": 6}) != []


def test_conditions_that_given_sizes_break_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower._Count, "_holds", lambda self, bound: True)
    assert any("3, by definition 1" in c for c in complaints(load("attention-3pass-causal"), {"M": 4, "P": 3}))
    with pytest.raises(AssertionError):
        test_a_condition_is_decided_by_the_sizes_that_are_given()


def test_a_least_value_that_is_not_said_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = lower._Count._when
    monkeypatch.setattr(lower._Count, "_when", lambda *a: tuple(w for w in told(*a) if w != "P >= 6"))
    assert complaints(load("attention-2pass-causal"), {"M": 6}) != []


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "head", "label"),
    [
        ("M=64 P=32", "at least 1 pass on M; 1 pass on E, P, F", 1),
        ("M=32 P=64", "a 3-pass cascade on M; 1 pass on E, P, F", 3),
        ("M=64 P=32 E=4 F=4", "at least 1 pass on M; 1 pass on E, P, F", 1),
    ],
)
def test_the_head_is_that_at_the_given_sizes(sizes: str, head: str, label: int, fusemap: Run) -> None:
    argv = ["attention-3pass-causal", *(a for size in sizes.split() for a in ("--size", size))]
    shown = fusemap("analyze", *argv).out
    assert shown.startswith(f"attention-3pass-causal: {head}\n")
    assert "holds where" not in shown
    document = fusemap("analyze", *argv, "--json").json()
    assert document["label"]["M"] == label
    (row,) = (r for r in document["passes"] if (r["tensor"], r["rank"]) == ("K", "M"))
    assert (row["passes"], row["upper"], row["exact"], row["when"]) == (label, 3, label == 3, [])


@pytest.mark.parametrize(
    ("name", "sizes", "line"),
    [
        ("attention-3pass", {}, "every mapping, at all extents of at least 2"),
        ("attention-3pass", {"M": 4}, "every mapping at these sizes, for E, P, F of at least 2"),
        (
            "attention-1pass",
            {"M": 64},
            "every mapping at these sizes, for any M1, M0 and for E, P, F of at least 7",
        ),
        ("attention-1pass", {"M": 64, "E": 1, "F": 1, "P": 1}, "every mapping at these sizes, for any M1, M0"),
        ("softmax", {"N": 3, "K": 4}, "every mapping at these sizes"),
    ],
)
def test_the_page_says_for_which_sizes(name: str, sizes: Sizes, line: str, fusemap: Run) -> None:
    shown = fusemap("analyze", name, *(a for s, n in sizes.items() for a in ("--size", f"{s}={n}"))).out
    assert f"passes needed by {line}\n" in shown


def test_footprints_hold_what_is_known() -> None:
    document = fm.analyze("attention-3pass", {"M": 8}).to_json()
    (key,) = (f for f in document["footprints"] if f["tensor"] == "K")  # type: ignore[attr-defined]
    assert (key["store"], key["recompute"], key["recompute_formula"]) == (1, "8*E", "E*M")
    joint: dict[str, object] = document["joint_footprint"]  # type: ignore[assignment]
    assert joint["elements"] == "Max(E + 10, F + 10)"


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("shape P = M\ninput A[m], B[p], C[k]\nD[m,p,k] = A[m]*B[p]*C[k]\n", ["M=3", "P=4"], ":1:7: error: P = M does"),
        ("shape M = M1*M0\ninput A[m,k]\nB[m1,m0,k] = A[m1*M0+m0,k]\n", ["M=10", "M0=4"], ":1:7: error: M = M1*M0"),
        ("input A[m,k]\nB[m] = sum[k] A[m,k]\n", ["MM=10"], "unknown shape MM\n  did you mean M?"),
        ("input A[m,k]\nB[m] = sum[k] A[m,k]\n", ["M=0"], "size M must be an integer of at least 1, found 0"),
    ],
)
def test_partial_sizes_that_contradict_are_refused(
    text: str, sizes: list[str], message: str, fusemap: Run, tmp_path: Path
) -> None:
    path = tmp_path / "given.cascade"
    path.write_text(text)
    outcome = fusemap("analyze", str(path), *(a for size in sizes for a in ("--size", size)))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    with pytest.raises(InputError):
        analyze(parse(text), sizes={s: int(n) for s, _, n in (size.partition("=") for size in sizes)})
