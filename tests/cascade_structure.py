"""Cascades by structure: names of tensors, and the order of indices, Einsums and commuting operands, do not matter."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from fusemap.einsum_cascade.printer import format_rank_expr, format_reduce
from fusemap.einsum_cascade.scope import input_names
from fusemap.einsum_cascade.types import Access, Apply, Cascade, Einsum, Expr, Number, SizeOf

COMMUTE = ("add", "mul", "max", "min")
SAFE = {"expsub": ("exp", "sub"), "safediv": ("div",)}


def structure(cascade: Cascade) -> Counter[str]:
    """Every Einsum and init as a digest of what it makes of the inputs; equal for cascades that differ in names."""
    statements = [("init", e) for e in cascade.inits] + [("einsum", e) for e in cascade.einsums]
    names = {str(e.name) for _, e in statements}
    colours: dict[str, str] = {str(t): f"input {t}" for t in input_names(cascade)} | dict.fromkeys(names, "?")
    for _ in range(len(names) + 2):
        made = {
            name: digest(sorted(kind + text(e, colours) for kind, e in statements if str(e.name) == name))
            for name in names
        }
        colours |= made
    return Counter(colours[name] for name in names)


def text(einsum: Einsum, colours: Mapping[str, str]) -> str:
    reduce = format_reduce(einsum.reduce) if einsum.reduce is not None else ""
    variables = "".join(sorted(reduce))
    return f"{indices(einsum.output)}={variables}{written(einsum.expr, colours)}"


def indices(access: Access) -> str:
    return ",".join(sorted(format_rank_expr(i.expr) for i in access.indices))


def written(expr: Expr, colours: Mapping[str, str]) -> str:
    if isinstance(expr, Access):
        return f"{colours[str(expr.tensor)]}[{indices(expr)}]"
    if isinstance(expr, Number):
        return expr.text
    if isinstance(expr, SizeOf):
        return f"size {expr.shape}"
    if not isinstance(expr, Apply):
        return str(expr)
    args = [written(a, colours) for a in expr.args]
    if expr.operator in COMMUTE:
        args.sort()
    operators = SAFE.get(str(expr.operator), (str(expr.operator),))
    return "(".join((*operators, ";".join(args))) + ")" * len(operators)


def digest(parts: list[str]) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
