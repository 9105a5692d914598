"""An Einsum's expression as the operations that a unit does for one point, a cycle each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Access, Apply, Einsum, Expr
from fusemap.mappers.units import units
from fusemap.sim.cycle_motion import Motion
from fusemap.sim.cycle_types import Code

Operand: TypeAlias = Access | int  # an access of the Einsum, or the result of an earlier operation
IDENTITY = {"sum": 0.0, "max": float("-inf")}
MAPS = {"add": Code.ADD, "sub": Code.SUB, "mul": Code.MUL, "div": Code.DIV, "max": Code.MAX}
REDUCTIONS = {"sum": Code.ADD, "max": Code.MAX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """One cycle: `code` on operands. `partial` says that the last operand is the partial result of a reduction.

    `exponent`: the unit's own exponent is a third operand (exp's last cycle).
    """

    code: Code
    operands: tuple[Operand, ...]
    partial: bool = False
    exponent: int | None = None

    def first(self) -> Micro:
        """The operation without a partial result: the first one of a reduction."""
        code = Code.MUL if self.code == Code.MAC else Code.COPY
        return Micro(code=code, operands=self.operands)


def micros(motion: Motion, machine: Machine) -> tuple[Micro, ...]:
    """The operations of one point in order; as many as the machine says that a point takes cycles.

    InputError for an operator that the cycle level has no unit for.
    """
    einsum = motion.computation.einsum
    costs = units(machine, motion.array, motion.space)
    chains = {cost.pattern: cost.cycles for cost in costs}
    found: list[Micro] = []
    value = _compile(einsum.expr, found, chains, einsum)
    if einsum.reduce is not None:
        _reduce(str(einsum.reduce.operator), value, found, chains, einsum)
    expected = sum(cost.cycles for cost in costs)
    if len(found) != expected:
        raise input_error(f"{einsum.name} takes {len(found)} cycles a point here and {expected} on {machine.name}")
    return tuple(found)


def _compile(expr: Expr, found: list[Micro], chains: dict[tuple[str, ...], int], einsum: Einsum) -> Operand:
    if isinstance(expr, Access):
        return expr
    if not isinstance(expr, Apply):
        raise input_error(f"{einsum.name}: the cycle level computes with tensors and operators only")
    inner = expr.args[0]
    if expr.operator == "exp" and chains.get(("sub", "exp")) == 1 and isinstance(inner, Apply):
        args = tuple(_compile(arg, found, chains, einsum) for arg in inner.args)
        found.append(Micro(code=Code.EXPSUB, operands=args))
        return len(found) - 1
    args = tuple(_compile(arg, found, chains, einsum) for arg in expr.args)
    if expr.operator == "exp":
        return _exp(args[0], found, chains)
    if expr.operator not in MAPS:
        raise input_error(f"{einsum.name}: the cycle level has no unit for {expr.operator}")
    found.append(Micro(code=MAPS[expr.operator], operands=args))
    return len(found) - 1


def _exp(x: Operand, found: list[Micro], chains: dict[tuple[str, ...], int]) -> int:
    if chains.get(("exp",)) == 1:
        found.append(Micro(code=Code.EXP, operands=(x,)))
        return len(found) - 1
    f = len(found)
    found.append(Micro(code=Code.EXP0, operands=(x,)))
    found.append(Micro(code=Code.EXP1, operands=(f,)))
    for code in (Code.EXP2, Code.EXP3, Code.EXP4):
        found.append(Micro(code=code, operands=(len(found) - 1, f)))
    found.append(Micro(code=Code.EXP5, operands=(len(found) - 1, f), exponent=f))
    return len(found) - 1


def _reduce(
    operator: str, value: Operand, found: list[Micro], chains: dict[tuple[str, ...], int], einsum: Einsum
) -> None:
    """One more operation, or a multiply-accumulate in place of the product."""
    if operator not in REDUCTIONS:
        raise input_error(f"{einsum.name}: the cycle level has no unit for the reduction {operator}")
    if operator == "sum" and ("mul", "sum") in chains and found and found[-1].code == Code.MUL:
        found[-1] = Micro(code=Code.MAC, operands=found[-1].operands, partial=True)
    else:
        found.append(Micro(code=REDUCTIONS[operator], operands=(value,), partial=True))
