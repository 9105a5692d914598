"""Keys and values that are read again: formulas against mappings, and against attention executed in W words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from examples import examples
from hypothesis import assume, given
from hypothesis import strategies as st

from fusemap.archspec import load_arch, load_workload
from fusemap.diagnostics import DoesNotFit
from fusemap.einsum_cascade import catalog
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.evaluate import plan, time_mapping
from fusemap.validation.rereads import (
    Head,
    head_of,
    keys_words,
    ragged_blocks,
    ragged_timings,
    ragged_words,
    reread,
    streamed_words,
    turning,
    uniform_words,
)
from fusemap.validation.traffic_bound import workload_bound
from fusemap.validation.traffic_figure import with_buffer

Floats = npt.NDArray[np.float64]
MACHINE = load_arch("fusemax-cloud")
CASCADE = catalog.load("attention-1pass")
DATAFLOW = load_dataflow("fusemax-binding")
REFERENCES = st.builds(
    "{}@{}".format, st.sampled_from(["BERT", "XLM"]), st.sampled_from(["1K", "16K", "64K", "256K", "1M"])
)
ROOMS = st.integers(1 << 18, 1 << 26)


# --- against evaluated mappings -------------------------------------------------------------------


@examples(7, 20, deadline=None)
@given(REFERENCES, ROOMS)
def test_uniform_blocks_are_fusemaxs_traffic(reference: str, room: int) -> None:
    workload, machine = load_workload(reference), with_buffer(MACHINE, room)
    head = head_of(workload, room)
    if head.most_tiles < 1:
        with pytest.raises(DoesNotFit):
            plan(CASCADE, machine, workload, DATAFLOW)
        assert uniform_words(head) == math.inf
        return
    problem, mapping = plan(CASCADE, machine, workload, DATAFLOW)
    heads = workload.size("B") * workload.size("H")
    assert time_mapping(problem, mapping, machine).traffic_bytes == 2 * heads * uniform_words(head)


@examples(7, 20, deadline=None)
@given(REFERENCES, ROOMS)
def test_ragged_blocks_are_mappings_of_their_parts(reference: str, room: int) -> None:
    workload, machine = load_workload(reference), with_buffer(MACHINE, room)
    head = head_of(workload, room)
    assume(head.most_tiles >= 1)
    parts = ragged_timings(CASCADE, machine, workload, DATAFLOW)
    heads = workload.size("B") * workload.size("H")
    assert sum(t.traffic_bytes for t in parts) == 2 * heads * ragged_words(head)
    assert sum(ragged_blocks(head)) == workload.size("P")
    whole = time_mapping(*plan(CASCADE, machine, workload, DATAFLOW), machine)
    compute = sum(p.compute_s for t in parts for p in t.phases)
    assert compute == pytest.approx(sum(p.compute_s for p in whole.phases), rel=1e-12)


def test_half_the_traffic_at_1m() -> None:
    """P1 has to divide 4,096 tiles for FuseMax: 128 and 64 of them, where 251 and 126 fit."""
    bert, xlm = (reread(load_workload(f"{m}@1M"), 16 << 20) for m in ("BERT", "XLM"))
    assert (bert.uniform, bert.ragged, xlm.uniform, xlm.ragged) == (16.5, 9.0, 32.5, 17.0)


@examples(10, 30, deadline=None)
@given(REFERENCES, ROOMS)
def test_no_order_goes_below_the_bound_and_turning_is_the_best(reference: str, room: int) -> None:
    found = reread(load_workload(reference), room)
    bound = workload_bound(CASCADE, load_workload(reference), sizes={"M0": 256}).bytes(room)
    assert bound == found.compulsory_bytes, "one pass: the bound is the compulsory traffic"
    orders = (found.uniform, found.ragged, found.turning, found.streamed, found.keys)
    assert min(orders) >= 1 and found.turning <= found.ragged <= found.uniform


# --- against executed attention -------------------------------------------------------------------


@dataclass(slots=True)
class Chip:
    """Holds named items of so many words, never more than fit; counts the words that it loads and stores."""

    room: int
    held: dict[object, int] = field(default_factory=dict)
    moved: int = 0

    def take(self, item: object, words: int, *, load: bool = True) -> None:
        if item not in self.held:
            self.held[item] = words
            self.moved += words * load
            assert sum(self.held.values()) <= self.room, "over-full"

    def drop(self, item: object, *, store: int = 0) -> None:
        del self.held[item]
        self.moved += store


@dataclass(slots=True)
class Softmax:
    """Attention on chunks of keys, in any order: running maximum, denominator and numerators of every query."""

    q: Floats
    k: Floats
    v: Floats
    peak: Floats
    below: Floats
    above: Floats
    seen: npt.NDArray[np.int64]

    def step(self, queries: range, keys: range) -> None:
        p, m = list(queries), list(keys)
        scores = self.q[p] @ self.k[m].T
        peak = np.maximum(self.peak[p], scores.max(axis=1))
        fade, weights = np.exp(self.peak[p] - peak), np.exp(scores - peak[:, None])
        self.below[p] = self.below[p] * fade + weights.sum(axis=1)
        self.above[p] = self.above[p] * fade[:, None] + weights @ self.v[m]
        self.peak[p] = peak
        self.seen[np.ix_(p, m)] += 1

    def check(self) -> None:
        """Every pair was met once, and the result is attention."""
        assert (self.seen == 1).all()
        weights = np.exp(self.q @ self.k.T)
        assert np.allclose(self.above / self.below[:, None], weights / weights.sum(axis=1)[:, None] @ self.v)


def softmax(head: Head) -> Softmax:
    random = np.random.default_rng(head.room_words)
    q, k, v = (
        random.normal(size=s)
        for s in (
            (head.queries, head.key_features),
            (head.keys, head.key_features),
            (head.keys, head.value_features),
        )
    )
    zeros = np.zeros(head.queries)
    numerators, seen = (
        np.zeros((head.queries, head.value_features)),
        np.zeros((head.queries, head.keys), dtype=np.int64),
    )
    return Softmax(q=q, k=k, v=v, peak=zeros - np.inf, below=zeros.copy(), above=numerators, seen=seen)


def chunks(head: Head) -> list[range]:
    return [range(i, i + head.chunk) for i in range(0, head.keys, head.chunk)]


def spans(total: int, size: int) -> Iterator[range]:
    return (range(i, min(i + size, total)) for i in range(0, total, size))


def run_blocks(head: Head, queries: int, kept: int, spare: int = 0) -> int:
    """Blocks of queries; with `kept` keys at turns the order of chunks is reversed each time. Words moved."""
    chip, work = Chip(room=head.room_words), softmax(head)
    slots = max(1, kept // head.chunk) + spare
    order, words = chunks(head), head.chunk * head.pair_words
    here: list[range] = []
    for block in spans(head.queries, queries):
        state = len(block) * (head.value_features + 2)
        chip.take(("Q", block), len(block) * head.key_features)
        chip.take(("state", block), state, load=False)
        ahead = [c for c in order if c not in here]
        for chunk in [c for c in order if c in here] + ahead:
            if chunk not in here:
                if len(here) == slots:
                    gone = next(c for c in order if c in here)
                    here.remove(gone)
                    chip.drop(gone)
                here.append(chunk)
                chip.take(chunk, words)
            work.step(block, chunk)
        chip.drop(("state", block), store=len(block) * head.value_features)
        chip.drop(("Q", block))
        if kept:
            order = order[::-1]
        else:
            for chunk in here:
                chip.drop(chunk)
            here = []
    work.check()
    return chip.moved


def run_keys(head: Head) -> int:
    """Blocks of keys stay; the states of all queries pass by. Words moved."""
    chip, work = Chip(room=head.room_words), softmax(head)
    most = (head.room_words - head.query_words * head.tile) // (head.pair_words * head.chunk) * head.chunk
    blocks = list(spans(head.keys, most))
    state = head.value_features + 2
    for i, keys in enumerate(blocks):
        chip.take(keys, len(keys) * head.pair_words)
        for tile in spans(head.queries, head.tile):
            chip.take(("Q", tile), len(tile) * head.key_features)
            chip.take(("state", tile), len(tile) * state, load=i > 0)
            work.step(tile, keys)
            last = i == len(blocks) - 1
            chip.drop(("state", tile), store=len(tile) * (head.value_features if last else state))
            chip.drop(("Q", tile))
        chip.drop(keys)
    work.check()
    return chip.moved


def run_streamed(head: Head, queries: int, keys: int) -> int:
    """Blocks of queries keep their state; Q is loaded tile by tile for every chunk of keys. Words moved."""
    chip, work = Chip(room=head.room_words), softmax(head)
    for block in spans(head.queries, queries):
        chip.take(("state", block), len(block) * (head.value_features + 2), load=False)
        for chunk in spans(head.keys, keys):
            chip.take(chunk, len(chunk) * head.pair_words)
            for tile in spans(len(block), head.tile):
                own = range(block.start + tile.start, block.start + tile.stop)
                chip.take(("Q", own), len(own) * head.key_features)
                work.step(own, chunk)
                chip.drop(("Q", own))
            chip.drop(chunk)
        chip.drop(("state", block), store=len(block) * head.value_features)
    work.check()
    return chip.moved


@st.composite
def heads(draw: Callable[..., int]) -> Head:
    chunk, tile = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return Head(
        keys=chunk * draw(st.integers(1, 8)),
        queries=tile * draw(st.integers(1, 8)),
        key_features=draw(st.integers(1, 3)),
        value_features=draw(st.integers(1, 3)),
        room_words=draw(st.integers(10, 160)),
        chunk=chunk,
        tile=tile,
    )


@examples(20, 60, deadline=None)
@given(heads())
def test_blocks_move_what_the_formulas_say_and_fit(head: Head) -> None:
    assume(head.most_tiles >= 1)
    tiles = head.queries // head.tile
    even = max(d for d in range(1, tiles + 1) if tiles % d == 0 and d <= head.most_tiles)
    assert run_blocks(head, even * head.tile, 0) == uniform_words(head)
    assert run_blocks(head, head.most_tiles * head.tile, 0) == ragged_words(head)


@examples(20, 60, deadline=None)
@given(heads())
def test_turning_moves_what_it_says_fits_and_is_the_best_block_size(head: Head) -> None:
    found = turning(head)
    assert (found is None) == (head.most_tiles < 1)
    assume(found is not None)
    assert found is not None
    assert run_blocks(head, found.queries, found.kept) == found.words
    for tiles in range(1, head.most_tiles + 1):
        left = head.room_words - tiles * head.tile * head.query_words
        kept = min(head.keys, left // (head.chunk * head.pair_words) * head.chunk)
        if kept:
            assert found.words <= run_blocks(head, tiles * head.tile, kept)


@examples(20, 60, deadline=None)
@given(heads())
def test_the_other_orders_move_what_the_formulas_say(head: Head) -> None:
    if keys_words(head) < math.inf:
        assert run_keys(head) == keys_words(head)
    best = math.inf
    for keys in range(head.chunk, head.keys + 1, head.chunk):
        left = head.room_words - head.tile * head.key_features - keys * head.pair_words
        tiles = min(head.queries // head.tile, left // ((head.value_features + 2) * head.tile))
        if tiles >= 1:
            best = min(best, run_streamed(head, tiles * head.tile, keys))
    assert best == streamed_words(head)


def test_one_more_chunk_does_not_fit() -> None:
    head = Head(keys=16, queries=12, key_features=2, value_features=2, room_words=60, chunk=2, tile=2)
    found = turning(head)
    assert found is not None and found.kept < head.keys
    with pytest.raises(AssertionError, match="over-full"):
        run_blocks(head, found.queries, found.kept, spare=1)


def test_a_chunk_that_is_met_twice_is_noticed() -> None:
    head = Head(keys=4, queries=2, key_features=1, value_features=1, room_words=60, chunk=2, tile=2)
    work = softmax(head)
    for chunk in (range(0, 2), range(0, 2)):
        work.step(range(2), chunk)
    with pytest.raises(AssertionError):
        work.check()
    assert dataclasses.replace(head, room_words=1).most_tiles < 1
