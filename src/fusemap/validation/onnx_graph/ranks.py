"""Ranks of an ONNX graph's tensors: which axes range together, and what each rank is called.

ONNX has axes by position and extents; a cascade has ranks by name. An axis gets its rank when it is first
read: one that is combined with another takes the rank of that other, so the axes that a graph ties together
have one name. Axes of extent 1 have no rank: ONNX needs them to broadcast, a cascade does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from fusemap.einsum_cascade.operators import RESERVED
from fusemap.validation.onnx_graph.graph import Extent


@dataclass(slots=True, kw_only=True, eq=False)
class Axis:
    """One axis of one tensor: its extent, and its rank variable once it has one; `beside` has those of the tensor."""

    extent: Extent
    var: str | None = None
    beside: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor of the cascade as an ONNX name sees it: `axes` in ONNX's order, `own` in the cascade's.

    `text` is the tensor's name, or a number, which has no axes.
    """

    text: str
    axes: tuple[Axis, ...] = ()
    own: tuple[Axis, ...] = ()


@dataclass(slots=True, kw_only=True)
class Ranks:
    """All rank variables of a cascade in the making, and the shape declarations that they need."""

    extents: dict[str, Extent] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    products: dict[str, tuple[str, str]] = field(default_factory=dict)

    def fresh(self, extent: Extent) -> str:
        """A new variable: `seq` for the extent "seq", `d64` for 64, with a number if that is in use."""
        base = f"d{extent}" if isinstance(extent, int) else re.sub(r"[^a-z0-9]+", "_", extent.lower()).strip("_")
        base = base if base[:1].isalpha() else f"d{base}"
        base = f"{base[:40]}_" if base in RESERVED else base[:40]
        name, number = base, 2
        while name in self.extents:
            name, number = f"{base}_{number}", number + 1
        self.extents[name] = extent
        return name

    def root(self, var: str) -> str:
        """The variable that stands for all that range over the same extent by declaration."""
        while var in self.same:
            var = self.same[var]
        return var

    def tie(self, first: str, second: str) -> None:
        """Declare that two variables have one extent."""
        roots = sorted((self.root(first), self.root(second)), key=list(self.extents).index)
        if roots[0] != roots[1]:
            self.same[roots[1]] = roots[0]
            if roots[1] in self.products and roots[0] not in self.products:
                self.products[roots[0]] = self.products.pop(roots[1])
            self.products.pop(roots[1], None)

    def product(self, whole: str, outer: str, inner: str) -> None:
        """Declare that an extent is the product of two others, unless it is a product already."""
        self.products.setdefault(self.root(whole), (outer, inner))

    def declarations(self, used: Iterable[str], *, left_open: Set[str] = frozenset()) -> list[str]:
        """`D64 = 64`, `SEQ_2 = SEQ`, `D64 = D8*D8_2` for the variables that are used, without the numbers left open."""
        lines: list[str] = []
        named: dict[str, str] = {}
        wanted = list(dict.fromkeys(used))
        roots = [self.root(var) for var in wanted]
        parts = [part for root in roots for part in self.products.get(root, ())]
        for var in dict.fromkeys((*wanted, *roots, *parts)):
            extent = self.extents[var]
            root = self.root(var)
            if root == var and isinstance(extent, str):
                root = named.setdefault(extent, var)
            if root != var:
                lines.append(f"{var.upper()} = {root.upper()}")
            elif var in self.products:
                lines.append(f"{var.upper()} = {'*'.join(part.upper() for part in self.products[var])}")
            elif isinstance(extent, int) and var not in left_open:
                lines.append(f"{var.upper()} = {extent}")
        return lines
