"""How often keys and values are read again because not all queries fit on chip, and mappings that do it less.

Of one head: W words on chip, M keys and P queries of E and F features. A query that is under way keeps
r = E + F + 2 words: Q, RM, RD and RNV. Every block of queries needs all K and V, M*(E + F) words; Q is read and AV
written once. With k blocks and nothing kept from block to block

    words = P*(E + F) + k*M*(E + F).

- `uniform`, FuseMax's: all blocks have P1*P0 queries, P1 the largest divisor of P/P0 that leaves room for a chunk of
  M0 keys: k = P2.
- `ragged`: as many queries to a block as fit, the last block is smaller. Queries are independent, so that a problem
  with P = n*t + s queries is one with n*t and one with s; each is a mapping as any other. k = ceil(P / t).
- `turning`: every second block takes the chunks of keys in reverse order. What is on chip at a turn, R keys, is not
  read again: k*M - (k - 1)*R keys. Smaller blocks leave more room for keys; the best k is taken. No
  loop nest says this; a test executes it in W words.
- `streamed`: a block's queries keep RM, RD and RNV only, and Q is read again for every chunk of keys, which is longer.
- `keys`: a block of keys stays; Q, RM, RD and RNV of all queries pass it, P*(E + 2*(F + 2)) words per block.

No mapping moves fewer than the compulsory words, and a cascade of one pass over the keys has no larger bound from its
passes (see `traffic_bound`). By Saha and Ye (ICML 2024, arXiv 2402.07443) exact attention needs of the order of
N^2*d^2/W words where W >= d^2: `turning` is 4*N^2*d^2/W for small W, the best but for a constant factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.types import Machine, Rank, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow
from fusemap.sim.evaluate import plan, time_mapping
from fusemap.sim.report import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One head on a machine: sizes, words on chip, and the tiles of keys and queries that the arrays take."""

    keys: int
    queries: int
    key_features: int
    value_features: int
    room_words: int
    chunk: int
    tile: int

    @property
    def pair_words(self) -> int:
        """Words of a key with its value."""
        return self.key_features + self.value_features

    @property
    def query_words(self) -> int:
        """Words of a query under way: Q, RM, RD and RNV."""
        return self.pair_words + 2

    @property
    def compulsory(self) -> int:
        """Q, K and V read once, AV written once."""
        return (self.keys + self.queries) * self.pair_words

    @property
    def most_tiles(self) -> int:
        """Tiles of queries that fit beside one chunk of keys; 0 when not even one does."""
        return (self.room_words - self.chunk * self.pair_words) // (self.query_words * self.tile)


def head_of(workload: Workload, room_bytes: int, *, chunk: int = 256, tile: int = 256, word_bytes: int = 2) -> Head:
    """A head of a workload with so many bytes on chip; chunk and tile at most the length."""
    sizes = workload.sizes
    return Head(
        keys=sizes["M"],
        queries=sizes["P"],
        key_features=sizes["E"],
        value_features=sizes["F"],
        room_words=room_bytes // word_bytes,
        chunk=min(chunk, sizes["M"]),
        tile=min(tile, sizes["P"]),
    )


def uniform_words(head: Head) -> float:
    """Words of blocks of equal size; infinite where no tile fits.

    >>> uniform_words(head_of(load_workload("BERT@1M"), 16 << 20)) / head_of(load_workload("BERT@1M"), 0).compulsory
    16.5
    """
    if head.most_tiles < 1:
        return math.inf
    tiles = head.queries // head.tile
    return _words(head, tiles // largest_divisor(tiles, min(tiles, head.most_tiles)))


def ragged_words(head: Head) -> float:
    """Words of blocks as large as fit; infinite where no tile fits.

    >>> ragged_words(head_of(load_workload("BERT@1M"), 16 << 20)) / head_of(load_workload("BERT@1M"), 0).compulsory
    9.0
    """
    return math.inf if head.most_tiles < 1 else _words(head, len(ragged_blocks(head)))


def ragged_blocks(head: Head) -> tuple[int, ...]:
    """Queries of each block."""
    most = head.most_tiles * head.tile
    whole, rest = divmod(head.queries, most)
    return (*(most for _ in range(whole)), *([rest] if rest else []))


def _words(head: Head, blocks: int) -> float:
    return float((head.queries + blocks * head.keys) * head.pair_words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turning:
    """Blocks of so many queries (the last one may be smaller); `kept` keys stay on chip at every turn."""

    blocks: int
    queries: int
    kept: int
    words: float


def turning(head: Head) -> Turning | None:
    """The number of blocks with the fewest words when every second block goes backwards; None if no tile fits."""
    if head.most_tiles < 1:
        return None
    tiles = head.queries // head.tile
    sizes = sorted({math.ceil(tiles / k) for k in range(math.ceil(tiles / head.most_tiles), tiles + 1)})
    return min((_turned(head, size) for size in sizes), key=lambda t: (t.words, t.blocks))


def _turned(head: Head, tiles: int) -> Turning:
    """Blocks of so many tiles of queries; what they leave of the room holds whole chunks of keys."""
    queries = tiles * head.tile
    blocks = math.ceil(head.queries / queries)
    left = head.room_words - head.query_words * queries
    kept = min(head.keys, left // (head.pair_words * head.chunk) * head.chunk)
    read = blocks * head.keys - (blocks - 1) * kept
    words = float(head.queries * head.pair_words + read * head.pair_words)
    return Turning(blocks=blocks, queries=queries, kept=kept, words=words)


def streamed_words(head: Head) -> float:
    """Words where Q is read for every chunk of keys and a query under way keeps F + 2 words, for the best chunk."""
    state, tiles = head.value_features + 2, head.queries // head.tile
    least = head.tile * head.key_features  # of the tile of Q at work
    found = [math.inf]
    for chunks in _counts(head.keys // head.chunk):
        keys = math.ceil(head.keys // head.chunk / chunks) * head.chunk
        most = min(tiles, (head.room_words - least - keys * head.pair_words) // (state * head.tile))
        if most >= 1:
            again = (chunks - 1) * head.queries * head.key_features
            found.append(_words(head, math.ceil(tiles / most)) + again)
    return min(found)


def keys_words(head: Head) -> float:
    """Words where a block of keys stays and the states of all queries pass by; infinite where no chunk fits."""
    most = (head.room_words - head.query_words * head.tile) // (head.pair_words * head.chunk) * head.chunk
    if most < 1:
        return math.inf
    blocks = math.ceil(head.keys / most)
    again = head.key_features + 2 * (head.value_features + 2)
    return float(head.compulsory + (blocks - 1) * head.queries * again)


def _counts(most: int) -> Iterator[int]:
    """Numbers of chunks of whole tiles that differ in the length of the chunk."""
    seen = set()
    for chunks in range(1, most + 1):
        length = math.ceil(most / chunks)
        if length not in seen:
            seen.add(length)
            yield math.ceil(most / length)


def with_queries(workload: Workload, queries: int) -> Workload:
    """The workload with another number of queries."""
    ranks = tuple(
        Rank(name=r.name, size=queries, source=f"a part of {r.size} queries") if r.name == "P" else r
        for r in workload.ranks
    )
    return replace(workload, name=f"{workload.name} with P = {queries}", ranks=ranks)


def ragged_timings(cascade: Cascade, machine: Machine, workload: Workload, dataflow: Dataflow) -> tuple[Timing, ...]:
    """The mappings of the parts P = n*t and P = s, one after another: latencies and traffic add up.

    DoesNotFit where no tile fits.
    """
    array = machine.array("array_2d")
    head = head_of(
        workload,
        machine.memories[-1].capacity_bytes or 0,
        chunk=array.dim("rows").extent,
        tile=array.dim("columns").extent,
        word_bytes=machine.word_bytes,
    )
    blocks = ragged_blocks(head) if head.most_tiles else (head.queries,)
    parts = [blocks[0] * blocks.count(blocks[0]), sum(b for b in blocks if b != blocks[0])]
    found = []
    for queries in (p for p in parts if p):
        problem, mapping = plan(cascade, machine, with_queries(workload, queries), dataflow)
        found.append(time_mapping(problem, mapping, machine))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """Traffic of a workload over the compulsory traffic, with so many bytes on chip."""

    workload: str
    room_bytes: int
    compulsory_bytes: int
    uniform: float
    ragged: float
    turning: float
    streamed: float
    keys: float


def reread(workload: Workload, room_bytes: int) -> Reread:
    """All orders beside each other; infinite where not even one tile fits."""
    head = head_of(workload, room_bytes)
    heads = workload.size("B") * workload.size("H")
    turned = turning(head)
    return Reread(
        workload=workload.name,
        room_bytes=room_bytes,
        compulsory_bytes=2 * heads * head.compulsory,
        uniform=uniform_words(head) / head.compulsory,
        ragged=ragged_words(head) / head.compulsory,
        turning=turned.words / head.compulsory if turned else math.inf,
        streamed=streamed_words(head) / head.compulsory,
        keys=keys_words(head) / head.compulsory,
    )


def curve(reference: str, rooms: Sequence[int]) -> Iterator[Reread]:
    """The traffic of a workload over the room on chip."""
    workload = load_workload(reference)
    return (reread(workload, room) for room in rooms)
