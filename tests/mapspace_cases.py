"""Machines of a few words and processing elements, and the workloads that fit on them, as YAML text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from fusemap.archspec import parse_arch, parse_workload
from fusemap.archspec.types import MAP_OPERATORS, Machine, Workload
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade

WORD_BYTES = 2
GIGA = 10**9


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Energy in pJ of one access of each place, and of one operation; a memory's access moves one word."""

    dram: tuple[float, float] = (62.4, 62.4)
    buffer: tuple[float, float] = (3.0, 5.0)
    registers: tuple[float, float] = (0.7, 0.9)
    operation: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A machine in numbers: words of buffer, words per cycle from DRAM, and per array its dims and slow operators.

    `ports` are words per cycle to and from the buffer, if that is a limit. An array is (dimensions, cycles of exp and
    max, has division); every operator takes one cycle but those.
    """

    words: int | None
    bandwidth: float = 1.0
    ports: float | None = None
    arrays: tuple[tuple[tuple[int, ...], int, bool], ...] = (((2, 2), 2, False), ((2,), 1, True))
    prices: Prices = field(default_factory=Prices)

    @property
    def machine(self) -> Machine:
        """The machine."""
        return _parsed(self)

    def text(self) -> str:
        """The machine as a file."""
        p = self.prices
        capacity = "" if self.words is None else f"capacity: {self.words * WORD_BYTES} B, "
        bandwidth = self.bandwidth * WORD_BYTES * GIGA
        inside = "" if self.ports is None else f"bandwidth: {self.ports * WORD_BYTES * GIGA:.0f} B/s, "
        lines = [
            *("source: a test", "table: 45nm", "clock: 1 GHz", f"word: {WORD_BYTES} B", "memories:"),
            f"  dram: {{component: outside, bandwidth: {bandwidth:.0f} B/s, width: 16 bit, on_chip: false}}",
            f"  buffer: {{component: inside, {capacity}{inside}width: 16 bit}}",
            "arrays:",
        ]
        for number, array in enumerate(self.arrays):
            lines += _array(f"array_{number}", *array)
        lines += ["components:"]
        for name, (read, write) in (("outside", p.dram), ("inside", p.buffer), ("files", p.registers)):
            lines.append(f"  {name}: {{energy: {{read: {read} pJ, write: {write} pJ}}, area: 1 um^2}}")
        lines.append(f"  unit: {{energy: {{do: {p.operation} pJ}}, area: 1 um^2}}")
        return "\n".join(lines) + "\n"


def _array(name: str, dims: tuple[int, ...], slow: int, divides: bool) -> list[str]:
    shape = ", ".join(f"d{i}: {extent}" for i, extent in enumerate(dims))
    operators = [o for o in dict.fromkeys((*MAP_OPERATORS, "sum", "prod", "mul + sum")) if divides or "div" not in o]
    return [
        f"  {name}:",
        f"    dims: {{{shape}}}",
        "    registers: {component: files, depth: 64}",
        "    operators:",
        *(f"      {o}: {{cycles: {slow if o in ('exp', 'max') else 1}, actions: {{unit.do: 1}}}}" for o in operators),
    ]


@cache
def _parsed(tiny: Tiny) -> Machine:
    return parse_arch(tiny.text(), file="tiny.yaml")


def workload(cascade: Cascade, sizes: Mapping[str, int]) -> Workload:
    """The sizes as a workload; B and H are batch ranks where the cascade does not name them."""
    ranks = ", ".join(f"{name}: {size}" for name, size in sizes.items())
    batch = ", ".join(n for n in ("B", "H") if n in sizes and n not in known_shapes(cascade))
    return parse_workload(f"source: a test\nranks: {{{ranks}}}\nbatch: [{batch}]\n", file="w.yaml")


def small_sizes(cascade: Cascade, sizes: Mapping[str, int], cut: int = 0) -> dict[str, int]:
    """Sizes of all shapes that the cascade leaves free; with `cut`, that of the last factor of every product."""
    whole = {str(s.name) for s in cascade.shapes}
    derived = {str(s.name) for s in cascade.shapes if s.constant is not None or len(s.factors) == 1}
    parts = {str(f) for s in cascade.shapes if len(s.factors) > 1 for f in s.factors} - whole
    last = {str(s.factors[-1]): cut for s in cascade.shapes if len(s.factors) > 1 and cut}
    return {n: sizes.get(n, 2) for n in map(str, known_shapes(cascade)) if n not in derived | parts} | last
