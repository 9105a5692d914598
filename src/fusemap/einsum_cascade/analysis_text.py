"""The proof of a number of passes in words: the passes and the barriers between them."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from fusemap.einsum_cascade.analysis_rows import ONE
from fusemap.einsum_cascade.passes.types import Barrier, PassCount, RankPasses
from fusemap.einsum_cascade.types import TensorName

WIDTH = 100


def certificate(rows: Sequence[RankPasses], width: int = WIDTH) -> str:
    """The proof for rows that share it, with the tensors listed together.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.analyze import analyze
    >>> print(certificate(analyze(load("softmax"), tensor="SN", rank="K").passes))
    (SN, K): 2 passes proven; a schedule with 2 exists; 2 also if every derived tensor is stored
      pass 1: SD
         barrier before Y: every element of the fiber was already visited by SD
      pass 2: Y
    """
    named = ", ".join(f"({row.tensor}, {row.rank})" for row in rows)
    lines = [(f"{named}: {verdict(rows[0])}", "  "), *((line, "     ") for line in _body(rows[0]))]
    wrapped = (textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) for text, indent in lines)
    return "\n".join(line for part in wrapped for line in part)


def certificates(rows: Iterable[RankPasses]) -> Iterator[tuple[RankPasses, ...]]:
    """Rows of one rank with equal proofs, together."""
    groups: dict[tuple[object, ...], list[RankPasses]] = {}
    for row in rows:
        groups.setdefault((row.rank, verdict(row), *_body(row)), []).append(row)
    return (tuple(group) for group in groups.values())


def alike(groups_of_rows: Iterable[tuple[RankPasses, ...]], shown: int = 2) -> Iterator[str]:
    """The proofs, of each rank `shown` whole; more with the same barriers and fewer Einsums between in a line."""
    whole: Counter[tuple[object, ...]] = Counter()
    rest: dict[tuple[object, ...], list[RankPasses]] = {}
    for rows in groups_of_rows:
        first = rows[0]
        barriers = tuple((b.before, b.kind) for b in first.barriers)
        key = (first.rank, first.passes, first.upper, first.method, first.when, barriers)
        whole[key] += 1
        if whole[key] <= shown:
            yield certificate(rows)
        else:
            rest.setdefault(key, []).extend(rows)
    for others in rest.values():
        named = ", ".join(f"({row.tensor}, {row.rank})" for row in others)
        text = f"{named}: {others[0].passes} too, by the same barriers; --all prints each proof"
        yield textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def verdict(row: RankPasses) -> str:
    """What is proven, what a schedule achieves, and what stored tensors would change."""
    if row.method == "instance":
        return f"{counted(row.passes)} on a small instance{_schedule(row)}"
    return f"{counted(row.passes)} proven{_schedule(row)}{_stored(row)}"


def counted(count: PassCount) -> str:
    """The number with its noun: `1 pass`, `I + 1 passes`."""
    return f"{count} pass" if count == ONE else f"{count} passes"


def _schedule(row: RankPasses) -> str:
    if row.upper is None:
        return "; no schedule of sweeps was found"
    if row.exact:
        return f"; a schedule with {row.upper} exists"
    return f"; the best schedule found has {row.upper}, so the number lies between"


def _stored(row: RankPasses) -> str:
    if row.passes == ONE:
        return ""
    also = " also" if row.direct == row.passes else ""
    return f"; {row.direct}{also} if every derived tensor is stored"


def _body(row: RankPasses) -> Iterator[str]:
    """The passes and the barriers between them, then conditions and what is kept."""
    members: dict[int, list[TensorName]] = {}
    for einsum, number in row.assignment:
        members.setdefault(number, []).append(einsum)
    for number, barrier in zip_longest(sorted(members), row.barriers):
        yield f"  pass {number}: {', '.join(members[number])}"
        if barrier is not None:
            yield f"     {barrier_text(barrier)}"
    if row.passes.steps:
        yield f"  every step of {row.passes.shape} needs passes of its own; what a step repeats is listed once"
    if row.when:
        yield f"  holds where {' and '.join(row.when)}; elsewhere fewer may do"
    if row.note:
        yield f"  {row.note}"
    if row.upper is not None and row.lookahead not in ("", "0"):
        yield f"  the schedule keeps {kept(row.lookahead)} coordinates of the fiber at a time"


def barrier_text(barrier: Barrier) -> str:
    """What ends a pass.

    >>> barrier_text(Barrier(before=(TensorName("S"),), visited_by=(TensorName("G"),), kind="data"))
    'barrier before S: which coordinates are read is known only when all of the fiber was visited by G'
    """
    before, by = ", ".join(barrier.before), ", ".join(barrier.visited_by)
    data = "which coordinates are read is known only when all of the fiber was visited by"
    order = "every element of the fiber was already visited by"
    return f"barrier before {before}: {data if barrier.kind == 'data' else order} {by}"


def kept(lookahead: str) -> str:
    """Look-ahead + 1 coordinates.

    >>> kept("3"), kept("M0 - 1"), kept("2*M0 - 1"), kept("2*M0")
    ('4', 'M0', '2*M0', '2*M0 + 1')
    """
    if lookahead.isdigit():
        return str(int(lookahead) + 1)
    found = re.fullmatch(r"(.+) - 1", lookahead)
    return found[1] if found else f"{lookahead} + 1"


def groups(row: RankPasses) -> tuple[tuple[TensorName, ...], ...]:
    """The Einsums that can be fused on the rank: those of one pass."""
    numbers = sorted({n for _, n in row.assignment})
    return tuple(tuple(e for e, n in row.assignment if n == number) for number in numbers)
