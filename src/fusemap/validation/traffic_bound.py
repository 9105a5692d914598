"""A lower bound on off-chip traffic over all mappings of a cascade, from its passes.

**What is bounded.** A mapping executes every Einsum on a chip with room for W words in all its memories and register
files together; inputs start and outputs end off chip; a point runs while its operands are on chip; results may be
stored, loaded again, dropped and computed again, in any order and tiling. Traffic counts the words that are loaded and
stored. Not bounded are mappings that do other arithmetic than the cascade's, compress words, or leave Einsums out.

**Compulsory words C**: every input element that is read is loaded once, every output element is stored once.

**One fiber (Theorem 1).** Let the fibers of an input T along a rank of n coordinates need P passes. Let t(l) be the
moment the first touch of level > l runs (t(0) the start, t(P) the end). All that precedes it has run, so that every
coordinate is touched between t(l-1) and t(l), for l = 1..P. A coordinate is touched with a carrier of it on chip: a
word that was there at t(l-1), or was loaded since, or was computed since from such a word. At most b coordinates are
there at t(l-1), none at the start: the coordinates are brought in at least P*n - (P-1)*b times (`least_visits`). A
carrier is a word of its own, so b <= W. The n visits of the first pass are loads of T's own elements and part of C;
the (P-1)*(n-W) others are loads beside them, of T's elements again or of a carrier that was stored.

**Fibers that keep apart.** Ranks whose coordinate every carrier tells, and that the cascade treats alike, give a
fiber each (`fibers`), with words of its own. Each may have all W words at each of its moments t(l), for instance if
they come one after another: the sum over fibers of (P-1)*(n-W) is what is proven.

**Fibers that are reduced together, and queries.** In QK[m,p] = Q[e,p]*K[e,m] one word QK[m,p] stands for coordinate m
of all E fibers of K, but for query p only. If nothing that needs K mixes queries, each p has moments t(p,l) of its own
by the argument above. Between t(p,l-1) and t(p,l), l >= 2, coordinate m is touched with (a) one word derived for p and
m, there at t(p,l-1) or loaded since, or (b) one computed from all E words K[:,m], each there or loaded since. Of m, let
c(p) be the number of l with (b) and p* the query where it is largest. The E*c(p*) words of p* and one word for each
p and each of its P-1-c(p) other passes are distinct (word, interval of its own query), hence distinct loads unless
they were there. For any s <= E queries they are at least s*c(p*) + s*(P-1-c(p*)) = (P-1)*s. At each of the (P-1)*s
moments at most W words are there, so that over all m at least (P-1)*s*(n-W) loads remain, none of them the first load
of an input. With s = min(E, queries), the `width`, no cheaper mix of recomputing and spilling is left.

Hence   traffic >= C + fibers * (P-1) * width * max(0, n - W)   words, for any one (tensor, rank); the bound is the
largest. Tensors are not added up, because one carrier may serve several of them. The bound says nothing about inputs
that are read again because the state of all queries does not fit on chip: it is far below for long sequences.

Sources: Theorem 1 is this package's; passes are those of FuseMax (MICRO 2024, Section III); the argument by moments
and residents is that of Hong and Kung (STOC 1981).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from fusemap.archspec.types import Machine, Workload
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.passes.ranks import RankOf, owned_ranks
from fusemap.einsum_cascade.passes.types import RankPasses
from fusemap.einsum_cascade.resolve import Sizes, extent, resolve_sizes
from fusemap.einsum_cascade.scope import input_names, known_shapes
from fusemap.einsum_cascade.types import Cascade, ShapeName, TensorName
from fusemap.validation.traffic_roles import roles_of
from fusemap.validation.traffic_words import Compulsory, compulsory_words


def least_visits(passes: int, length: int, room: int) -> int:
    """Theorem 1: how often coordinates of a fiber are brought in at least, P*n - (P-1)*b, with room for b of n.

    >>> least_visits(3, 1024, 1), least_visits(3, 1024, 1024)
    (3070, 1024)
    """
    return passes * length - (passes - 1) * max(0, min(room, length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Traversal:
    """The visits that the fibers of `tensor` along `rank` need: `passes` over `length` coordinates.

    There are `fibers` of them with words of their own; each further visit of a coordinate moves `width` words.
    """

    tensor: TensorName
    rank: ShapeName
    passes: int
    length: int
    fibers: int
    width: int

    def extra_words(self, room_words: int) -> int:
        """Loads beside the compulsory ones, with room for so many words on chip."""
        visits = least_visits(self.passes, self.length, max(1, room_words)) - self.length
        return self.fibers * self.width * visits


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficBound:
    """The least off-chip traffic of a cascade at given sizes, whatever the mapping, as a function of on-chip room."""

    cascade: str
    word_bytes: int
    batch: int
    compulsory: Compulsory
    traversals: tuple[Traversal, ...]

    @property
    def compulsory_bytes(self) -> int:
        """Every input that is read once, every output once."""
        return self.batch * self.compulsory.words * self.word_bytes

    def limiting(self, on_chip_bytes: int) -> Traversal | None:
        """The traversal that moves most beyond the compulsory words; None where that is nothing."""
        room = on_chip_bytes // self.word_bytes
        best = max(self.traversals, key=lambda t: t.extra_words(room), default=None)
        return best if best is not None and best.extra_words(room) else None

    def bytes(self, on_chip_bytes: int | None) -> int:
        """The bound in bytes; None is unbounded room."""
        most = None if on_chip_bytes is None else self.limiting(on_chip_bytes)
        if most is None or on_chip_bytes is None:
            return self.compulsory_bytes
        extra = most.extra_words(on_chip_bytes // self.word_bytes)
        return self.compulsory_bytes + self.batch * extra * self.word_bytes

    def to_json(self) -> dict[str, object]:
        """The bound's terms as a JSON object."""
        terms = [
            {
                "tensor": t.tensor,
                "rank": t.rank,
                "passes": t.passes,
                "length": t.length,
                "fibers": self.batch * t.fibers,
                "width_words": t.width,
            }
            for t in self.traversals
        ]
        return {"cascade": self.cascade, "compulsory_bytes": self.compulsory_bytes, "traversals": terms}


def traffic_bound(cascade: Cascade, sizes: Mapping[str, int], *, batch: int = 1, word_bytes: int = 2) -> TrafficBound:
    """The bound for all mappings at sizes of all shapes, for `batch` independent instances of the cascade.

    Passes count only where they are proven at these sizes. InputError for sizes that are missing or contradict.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> bound = traffic_bound(load("attention-3pass"), {"M": 65536, "P": 256, "E": 64, "F": 64})
    >>> bound.compulsory_bytes, bound.bytes(16384), bound.limiting(16384).width
    (16842752, 31522816, 64)
    """
    known = resolve_sizes(cascade, sizes, ignore_unknown=True)
    return TrafficBound(
        cascade=cascade.name,
        word_bytes=word_bytes,
        batch=batch,
        compulsory=compulsory_words(cascade, known),
        traversals=_traversals(cascade, known),
    )


def workload_bound(
    cascade: Cascade, workload: Workload, *, sizes: Mapping[str, int] | None = None, word_bytes: int = 2
) -> TrafficBound:
    """As `traffic_bound` at the sizes of a workload, replaced and completed by `sizes`.

    Batch ranks that the cascade does not name make independent instances.
    """
    given = {**workload.sizes, **(sizes or {})}
    batch = prod(given[rank] for rank in workload.batch if rank not in known_shapes(cascade))
    return traffic_bound(cascade, given, batch=batch, word_bytes=word_bytes)


def on_chip_bytes(machine: Machine) -> int | None:
    """What a machine can hold inside its outermost memory, register files included; None if that is unbounded."""
    memories = [m.capacity_bytes for m in machine.memories[1:]]
    registers = sum(a.pes * a.registers.depth_words for a in machine.arrays) * machine.word_bytes
    return None if None in memories else sum(m for m in memories if m is not None) + registers


def _traversals(cascade: Cascade, sizes: Sizes) -> tuple[Traversal, ...]:
    """Of every (input, rank) with more than one proven pass, where the bound's conditions hold."""
    found = []
    for of in owned_ranks(cascade):
        roles = roles_of(cascade, of) if of.tensor in input_names(cascade) else None
        passes = 1 if roles is None else _passes(cascade, of, sizes)
        if roles is None or passes < 2:
            continue
        kept, reduced, queries = (
            prod(extent(cascade, sizes, v) for v in group) for group in (roles.kept, roles.reduced, roles.queries)
        )
        length = prod(sizes[d.shape] for d in of.digits)
        width = min(reduced, queries)
        row = Traversal(tensor=of.tensor, rank=of.rank, passes=passes, length=length, fibers=kept, width=width)
        found.append(row)
    return tuple(found)


def _passes(cascade: Cascade, of: RankOf, sizes: Sizes) -> int:
    """The passes that are proven at these sizes; from the answer for all sizes where that has no conditions."""
    general = _general(cascade)
    rows = [r for r in general.passes if (r.tensor, r.rank) == (of.tensor, of.rank)]
    if min(sizes.values()) < general.least or any(row.when for row in rows):
        given = {str(s): n for s, n in sizes.items()}
        rows = [*analyze(cascade, sizes=given, tensor=of.tensor, rank=of.rank).passes]
    return max((_proven(row, sizes) for row in rows), default=1)


@lru_cache(maxsize=64)
def _general(cascade: Cascade) -> PassAnalysis:
    """For all sizes, remembered because sweeps ask for few cascades at many sizes."""
    return analyze(cascade)


def _proven(row: RankPasses, sizes: Sizes) -> int:
    count = row.passes.at(sizes)
    return count if row.method == "static" and not row.when and count is not None else 1
