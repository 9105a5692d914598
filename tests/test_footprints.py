"""Live footprints: the formulas against schedules that are executed point by point, and the published values."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
import sympy
from footprint_oracle import Counted, Faults, Stuck, counted

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.counts_zones import shape
from fusemap.einsum_cascade.passes.footprint_loops import loops_of
from fusemap.einsum_cascade.passes.footprints import Footprint, footprints, joint_footprint
from fusemap.einsum_cascade.passes.model import model_of
from fusemap.einsum_cascade.resolve import required_shapes, resolve_sizes
from fusemap.einsum_cascade.types import Cascade

E, F, K, M, M0, M1, J, P = (shape(n) for n in ("E", "F", "K", "M", "M0", "M1", "J", "P"))
FAMILIES = (
    *("attention-1", "attention-2", "attention-3", "attention-flash", "attention-naive", "attention-splitk"),
    *("softmax", "layernorm", "variance", "cascade-", "logsumexp", "cross-entropy", "rmsnorm", "scan-", "prefix-"),
    *("power-iteration",),
)
CLASSIC = (*(n for n in names() if n.startswith(FAMILIES)), "linear-attention")
ZOO = tuple(n for n in names() if n not in CLASSIC)
SIZES: tuple[Mapping[str, int], ...] = (
    dict(M=6, P=6, E=2, F=3, M1=3, M0=2, K=4, N=6, N1=3, N0=2, J=4, J1=2, J0=2, T=3, H=4, HK=2, G=2, P0=3, C=6, C0=3),
    dict(M=8, P=8, E=3, F=2, M1=2, M0=4, K=6, N=8, N1=2, N0=4, J=4, J1=2, J0=2, T=2, H=4, HK=2, G=2, P0=4, C=4, C0=2),
    dict(M=12, P=4, E=4, F=4, M1=4, M0=3, K=9, N=6, N1=2, N0=3, J=4, J1=2, J0=2, T=4, H=6, HK=3, G=2, P0=2, C=4, C0=2),
)
SMALL = dict(
    M=4, P=4, E=2, F=2, M1=2, M0=2, K=2, N=4, N1=2, N0=2, J=4, J1=2, J0=2, T=2, H=4, HK=2, G=2, P0=2, C=4, C0=2
)


def sizes_for(cascade: Cascade, base: Mapping[str, int]) -> dict[str, int]:
    """Sizes of the shapes that a cascade needs, 2 or more; P = M where it says so."""
    constants = {s.name for s in cascade.shapes if s.constant is not None}
    same = {s.name: s.factors[0] for s in cascade.shapes if len(s.factors) == 1}
    return {s: base.get(same.get(s, s), 2) for s in required_shapes(cascade) if s not in constants}


@cache
def executed(name: str, number: int) -> Counted:
    """What the schedule of a cascade holds at the sizes of this number."""
    return counted(load(name), sizes_for(load(name), SIZES[number]))


remembered = cache(footprints)
joint_of = cache(joint_footprint)


def at(expr: sympy.Expr, sizes: Mapping[str, int]) -> int:
    """The value of a formula."""
    return int(expr.subs({s: sizes[s.name] for s in expr.free_symbols}))


def differences(cascade: Cascade, sizes: Mapping[str, int], found: Counted) -> Iterator[str]:
    """Where a formula is less than what was counted, or says that it is exact and is not."""
    known = resolve_sizes(cascade, sizes)
    for row in remembered(cascade):
        pairs = [(row.store, found.store.get(row.tensor, 0))]
        pairs += [] if row.recompute is None else [(row.recompute, found.recompute.get(row.tensor, 0))]
        for formula, number in pairs:
            value = at(formula, known)
            if value < number or (row.exact and number and value != number):
                yield f"{cascade.name} {row.tensor}: {formula} = {value}, counted {number}"


def by_tensor(name: str, order: tuple[str, ...] | None = None) -> dict[str, Footprint]:
    return {f.tensor: f for f in remembered(load(name), order)}


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("attention-3pass", {"QK": M, "SN": M, "AV": F}),
        ("attention-3pass-gqa", {"QK": M, "SN": M, "AV": F}),
        ("attention-3pass-deferred", {"QK": M, "SNV": F}),
        ("attention-3pass-window", {"QK": sympy.Min(4, M), "SN": sympy.Min(4, M), "AV": F}),
        ("attention-3pass-causal", {"QK": sympy.Min(M, P), "SN": sympy.Min(M, P), "AV": F}),
        ("attention-2pass", {"BQK": M0, "SLN": M0 * M1, "LM": M1, "SLD": M1, "PRM": M1, "AV": F}),
        ("attention-2pass-deferred", {"BQK": M0, "SLN": M0 * M1, "LM": M1, "SLD": M1, "SNV": F}),
        ("attention-1pass", {"BQK": M0, "RM": 2, "SLNV": F, "RNV": F}),
        ("attention-splitk", {"BQK": M0, "LM": M1, "SLD": M1, "SLNV": F * M1, "SNV": F}),
        ("softmax-online", {"RM": 2}),
        ("prefix-times-suffix", {"SUF": K}),
        ("power-iteration", {"X": J, "Y": J}),
        ("variance-welford", {}),
    ],
)
def test_footprints_of_computed_tensors_are_the_published_ones(name: str, wide: Mapping[str, object]) -> None:
    """Section III-IV of FuseMax: M in three passes, chunks in one; every other tensor 1, F where f runs inside m."""
    derived = {t: f.store for t, f in by_tensor(name).items() if f.recompute is None}
    assert derived == {t: wide.get(t, 1) for t in derived}
    assert set(wide) <= set(derived)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("attention-3pass", E * M),
        ("attention-2pass", E * M0 * M1),
        ("attention-1pass", E * M0),
        ("attention-naive", E * M),
    ],
)
def test_inputs_that_are_kept_where_all_else_is_computed_again(name: str, keys: sympy.Expr) -> None:
    """Later passes, and later sweeps of a chunk, need whole feature vectors of the keys again; each value once."""
    found = by_tensor(name)
    assert found["K"].recompute == keys
    assert found["V"].recompute == 1
    assert found["Q"].recompute == E


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", CLASSIC)
def test_formulas_give_what_an_executed_schedule_holds(name: str) -> None:
    cascade = load(name)
    joint = joint_of(cascade).count
    for number, base in enumerate(SIZES):
        sizes = sizes_for(cascade, base)
        found = executed(name, number)
        assert not list(differences(cascade, sizes, found))
        assert at(joint, resolve_sizes(cascade, sizes)) >= found.joint


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", ZOO)
def test_formulas_of_published_attentions_hold(name: str) -> None:
    cascade = load(name)
    sizes = sizes_for(cascade, SMALL)
    found = counted(cascade, sizes)
    assert not list(differences(cascade, sizes, found))
    assert at(joint_of(cascade).count, resolve_sizes(cascade, sizes)) >= found.joint


def test_unfiltered_classics_are_exact_and_their_joint_bound_is_tight() -> None:
    """Only where chunks are cut by a filter is a classic's formula a bound; the joint one is at most a fifth off."""
    for name in CLASSIC:
        cascade = load(name)
        inexact = [f.tensor for f in remembered(cascade) if not f.exact]
        assert bool(inexact) == (name in ("attention-1pass-causal", "attention-2pass-causal")), (name, inexact)
        if "causal" in name or name == "variance":
            continue
        sizes = sizes_for(cascade, SIZES[2])
        bound = at(joint_of(cascade).count, resolve_sizes(cascade, sizes))
        found = executed(name, 2).joint
        assert found <= bound <= found + max(1, found // 5), name


@pytest.mark.parametrize("seed", range(14))
def test_formulas_hold_in_any_order_of_loops(seed: int) -> None:
    """Ranks in a random order; one in which a statement waits for itself has no schedule to compare with."""
    chance = random.Random(seed)
    cascade = load(CLASSIC[seed % len(CLASSIC)])
    loops = loops_of(model_of(cascade))
    order = list(dict.fromkeys(loop.split(".")[0] for loop in (*loops.batch, *loops.order)))
    chance.shuffle(order)
    sizes = sizes_for(cascade, SIZES[seed % 2])
    known = resolve_sizes(cascade, sizes)
    try:
        found = counted(cascade, sizes, order)
    except Stuck:
        pytest.skip(f"{cascade.name} has no sweeps in the order {order}")
    for row in footprints(cascade, order):
        value, number = at(row.store, known), found.store.get(row.tensor, 0)
        assert value == number if row.exact else value >= number, (order, row)
    assert at(joint_footprint(cascade, order).count, known) >= found.joint


@pytest.mark.parametrize(
    "fault", [Faults(merged=True), Faults(early=True), Faults(once=True), Faults(ahead=1)], ids=str
)
def test_the_comparison_finds_planted_faults(fault: Faults) -> None:
    """Sweeps that are merged, Einsums that do not wait for readers, early drops, and a look-ahead of one less."""
    caught = []
    for name in ("attention-3pass", "attention-2pass", "attention-1pass", "softmax-online", "attention-3pass-window"):
        cascade = load(name)
        sizes = sizes_for(cascade, SIZES[0])
        assert not list(differences(cascade, sizes, executed(name, 0)))
        try:
            wrong = list(differences(cascade, sizes, counted(cascade, sizes, faults=fault)))
        except Stuck:
            wrong = ["no schedule"]
        caught += [name] if wrong else []
    assert len(caught) >= (1 if fault.early else 3), caught


def test_order_of_loops_changes_the_footprint() -> None:
    """With the values' features outside the keys a score is kept until the last of them, and with p inside, per p."""
    assert by_tensor("attention-3pass", ("p", "m", "e", "f"))["QK"].store == M
    inside = by_tensor("attention-3pass", ("m", "p", "e", "f"))
    assert (inside["QK"].store, inside["GM"].store, inside["AV"].store) == (M * P, P, F * P)
    assert by_tensor("attention-3pass", ("p", "e", "m", "f"))["QK"].store == M
    assert by_tensor("attention-1pass", ("p", "m"))["BQK"].store == M0


def test_joint_footprint_of_attention_grows_with_the_keys_in_three_passes_only() -> None:
    three, one = (joint_of(load(n), ("p", "m", "e", "f")) for n in ("attention-3pass", "attention-1pass"))
    assert three.order == ("p", "m", "e", "f")
    assert three.count == sympy.Max(E + M + 2, F + M + 2)
    assert one.order == ("p", "m1", "m0", "e", "f")
    assert one.count.free_symbols == {E, F, M0}
    assert dict(three.moments)["GM"] == E + M + 1


def test_an_unknown_rank_in_the_order_is_named() -> None:
    with pytest.raises(InputError, match="no rank variable q"):
        footprints(load("attention-3pass"), ("q",))


def test_every_tensor_has_a_footprint_quickly() -> None:
    """A tenth of a second a cascade on average, once SymPy is there."""
    footprints(load("softmax")), footprints(load("landmark-streaming"))
    cascades = [load(n) for n in names()]
    begin = time.process_time()
    for cascade in cascades:
        tensors = [f.tensor for f in footprints(cascade)]
        made = [*(a.tensor for a in cascade.inputs), *(e.name for e in (*cascade.inits, *cascade.einsums))]
        assert tensors == list(dict.fromkeys(made))
    assert time.process_time() - begin < 0.1 * len(cascades)
