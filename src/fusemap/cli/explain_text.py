"""Derivations as text: a line per step, `value name = part x part`, with the sources as numbered notes."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from fusemap.cli.output import table
from fusemap.cli.quantities import number, si
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout
from fusemap.sim.terms import Number, Term

WIDTH = 100
_SYMBOLS = {"sum": " + ", "product": " x ", "difference": " - ", "quotient": " / ", "max": ", "}


@dataclass(slots=True, kw_only=True)
class Sources:
    """Citations in the order in which they are first used; it grows while a text is written."""

    cited: list[str] = field(default_factory=list)

    def mark(self, source: str) -> str:
        """` [1]` for a source, nothing without one."""
        if not source:
            return ""
        if source not in self.cited:
            self.cited.append(source)
        return f" [{self.cited.index(source) + 1}]"

    def __str__(self) -> str:
        notes = (f"[{i}] {source}" for i, source in enumerate(self.cited, start=1))
        return "\n".join(textwrap.fill(note, WIDTH, subsequent_indent="    ") for note in notes)


def derivation_lines(term: Term, sources: Sources, depth: int = 1) -> Iterator[str]:
    """How a term follows from its parts, and these from theirs; the term itself stands above already."""
    yield from _wrapped(f"= {formula(term, sources)}", depth)
    yield from _steps(term, sources, depth + 1)


def _steps(term: Term, sources: Sources, depth: int) -> Iterator[str]:
    for part in _simplified(term).parts:
        if part.parts:
            yield from _wrapped(f"{quantity(part)} = {formula(part, sources)}", depth)
            yield from _steps(part, sources, depth + 1)


def formula(term: Term, sources: Sources) -> str:
    """The operation of a term over its parts, without what makes no difference (factors of one, summands of zero)."""
    shown = _simplified(term)
    if not shown.parts:
        return quantity(shown)
    text = _SYMBOLS[shown.operation].join(quantity(part) + sources.mark(part.source) for part in shown.parts)
    return f"max({text})" if shown.operation == "max" and len(shown.parts) > 1 else text


def _simplified(term: Term) -> Term:
    """The term without parts that make no difference; a term that merely repeats another stands for it."""
    neutral = {"product": 1, "quotient": 1, "sum": 0}.get(term.operation)
    kept = tuple(part for part in term.parts if part.value != neutral or part.unit) or term.parts[:1]
    if len(kept) == 1 and kept[0].parts:
        return _simplified(kept[0])
    return dataclasses.replace(term, parts=kept)


def quantity(term: Term) -> str:
    """Value, unit and name: `64 b`, `249.6 pJ (per read)`."""
    if not term.unit:
        return f"{exact(term.value)} {term.name}"
    value = measured(term.value, term.unit)
    return value if term.name == term.unit else f"{value} ({term.name})"


def measured(value: Number, unit: str) -> str:
    """A value in its unit: times with a prefix, all else in full."""
    if unit == "s":
        return si(value, "s")
    return f"{exact(value)} {unit.removesuffix('s') if value == 1 else unit}"


def exact(value: Number) -> str:
    """All digits of a whole number, twelve significant ones of another.

    >>> exact(824633720832), exact(12512.760572), exact(0.007751937984496138)
    ('824,633,720,832', '12,512.760572', '0.0077519379845')
    """
    return number(value) if value == int(value) else f"{value:,.12g}"


def nest_text(space: EinsumSpace, nest: EinsumMapping) -> str:
    """The loop nest of an Einsum: levels from the outermost in, their loops, the tensors they keep."""
    rows = []
    for level in nest.levels:
        loops = ", ".join(f"{number(loop.bound)} {loop.rank}" for loop in level.loops if loop.bound != 1) or "-"
        if isinstance(level, Fanout):
            rows.append([f"{level.array}.{level.dim}", "in space", loops, ""])
            continue
        kept = dict.fromkeys(o.tensor for o in space.operands if level.keeps(o.tensor))
        rows.append([level.memory, "in time", loops, ", ".join(kept) or "-"])
    title = f"{space.name}: {number(nest.temporal_steps)} steps on {number(nest.lanes)} lanes of {nest.array}"
    return f"{title}\n{textwrap.indent(table(rows, ['level', '', 'loops', 'keeps'], width=WIDTH - 2), '  ')}"


def _wrapped(text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ", break_long_words=False)
