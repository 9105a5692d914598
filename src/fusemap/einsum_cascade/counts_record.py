"""How often an operator is applied: the record of one count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import sympy

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.counts_closed import evaluate
from fusemap.einsum_cascade.types import OperatorName, TensorName


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCount:
    """How often an Einsum applies an operator, as an expression of the shapes; an upper bound if not `exact`."""

    einsum: TensorName
    operator: OperatorName
    kind: Literal["map", "reduce"]
    count: sympy.Expr
    exact: bool = True

    def at(self, sizes: Mapping[str, int]) -> int:
        """The count under sizes of all shapes it names; InputError where one is missing."""
        symbols = {s.name: s for s in self.count.free_symbols}
        missing = sorted(set(symbols) - set(sizes))
        if missing:
            raise input_error(f"the count of {self.operator} in {self.einsum} needs sizes of {', '.join(missing)}")
        return evaluate(self.count, {s: sizes[name] for name, s in symbols.items()})
