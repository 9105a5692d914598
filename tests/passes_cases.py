"""The passes of the built-in cascades that are known from the literature or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.scope import known_shapes

SIZES = {"E": 2, "F": 2, "HK": 2, "G": 2, "P": 3, "N": 2, "J": 4, "K": 6, "T": 3}
WHOLE, SPLIT = {"M": 6}, {"M1": 3, "M0": 2}


@dataclass(frozen=True, slots=True)
class Row:
    """Passes of (tensor, rank); a schedule with that many needs room for `room` coordinates."""

    cascade: str
    tensor: str
    rank: str
    passes: int
    room: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.cascade} ({self.tensor}, {self.rank})"


ATTENTION = (("K", "M", 3), ("QK", "M", 3), ("SN", "M", 2), ("A", "M", 1), ("V", "M", 1), ("Q", "P", 1))
TABLE = (
    Row("cascade-1", "A", "K", 2),
    Row("cascade-1", "B", "K", 1),
    Row("cascade-2", "A", "K", 1),
    Row("cascade-3", "A", "K", 1),
    *(Row("attention-3pass", *row, sizes={"P": 4}) for row in ATTENTION),
    *(Row("attention-3pass-causal", *row, sizes={"P": 6}) for row in ATTENTION),
    *(Row("attention-3pass-gqa", *row, sizes={"P": 4}) for row in ATTENTION),
    Row("attention-3pass-deferred", "K", "M", 2),
    Row("attention-3pass-deferred", "SN", "M", 1),
    Row("attention-3pass-deferred", "V", "M", 1),
    Row("attention-3pass-window", "K", "M", 1, room=4),
    Row("attention-2pass", "K", "M", 2, room=2),
    Row("attention-2pass", "BQK", "M", 2, room=2),
    Row("attention-2pass", "BQK", "M1", 3, sizes={"M1": 4}),
    Row("attention-2pass", "BQK", "M0", 3, sizes={"M0": 4}),
    Row("attention-2pass-deferred", "BQK", "M", 2, room=2),
    Row("attention-2pass-deferred", "LM", "M1", 2),
    Row("attention-1pass", "K", "M", 1, room=2),
    Row("attention-1pass", "BQK", "M", 1, room=2),
    Row("attention-1pass", "BQK", "M1", 1),
    Row("attention-1pass", "BQK", "M0", 2, sizes={"M0": 3}),
    Row("attention-1pass", "V", "M", 1),
    Row("attention-naive", "K", "M", 2),
    Row("attention-naive-deferred", "K", "M", 1),
    Row("softmax", "X", "K", 3),
    Row("softmax-online", "X", "K", 2),
    Row("logsumexp", "X", "K", 2),
    Row("cross-entropy", "X", "K", 3),
    Row("variance", "X", "K", 2),
    Row("variance-moments", "X", "K", 1),
    Row("variance-welford", "X", "K", 1),
    Row("layernorm", "X", "K", 3),
    Row("layernorm-moments", "X", "K", 2),
    Row("rmsnorm-matmul", "X", "K", 2),
    Row("rmsnorm-matmul-deferred", "X", "K", 1),
    Row("linear-attention", "K", "M", 1),
    Row("scan-divide-by-total", "A", "K", 2),
    Row("prefix-times-suffix", "A", "K", 2),
    Row("power-iteration", "A", "J", 3),
    Row("power-iteration", "A", "J", 2, sizes={"T": 2}),
    Row("power-iteration", "A", "J", 1, sizes={"T": 1}),
)


def sizes_of(row: Row) -> dict[str, int]:
    """Small sizes of the shapes that the cascade has: M1 = 3 and M0 = 2 where M is split, else M = 6."""
    cascade = load(row.cascade)
    split = any(s.name == "M" and s.factors for s in cascade.shapes)
    fixed = {s.name for s in cascade.shapes if s.factors or s.constant is not None}
    known = {**SIZES, **(SPLIT if split else WHOLE), **row.sizes}
    return {shape: size for shape, size in known.items() if shape in known_shapes(cascade) and shape not in fixed}


def text_of(name: str) -> str:
    """The text of a built-in cascade."""
    folder = resources.files("fusemap.einsum_cascade") / "library"
    return (folder / f"{name}.cascade").read_text(encoding="utf-8")
