"""The syntax tree of a cascade of extended Einsums: frozen types with source positions.

Positions do not take part in equality, so `parse(format_cascade(c)) == c` is a law.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module  # how a notebook shows a cascade builds on these types
from typing import NewType, TypeAlias

from fusemap.diagnostics import Span

TensorName = NewType("TensorName", str)
ShapeName = NewType("ShapeName", str)
VarName = NewType("VarName", str)
OperatorName = NewType("OperatorName", str)

NOWHERE = Span(file="<none>", line=1, column=1)


# --- rank expressions ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`sign * var`, `sign * var * shape`, `sign * shape` or `sign * constant`."""

    sign: int = 1
    var: VarName | None = None
    shape: ShapeName | None = None
    constant: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A signed sum of terms, e.g. `m1*M0+m0` or `p-W`."""

    terms: tuple[Term, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorDiv:
    """`var // SHAPE`: the group a coordinate belongs to (GQA's `h//G`)."""

    var: VarName
    shape: ShapeName
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modulo:
    """`var % SHAPE`."""

    var: VarName
    shape: ShapeName
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """`IDX[j,p]` as an index: the coordinate is the value of an element, which must be an integer.

    A lookup is a whole index of a read; it stands neither on a left side nor in a sum, condition or `val`,
    and the indices of its own access are no lookups.
    """

    access: Access
    span: Span = field(default=NOWHERE, compare=False, repr=False)


Coordinate: TypeAlias = Affine | FloorDiv | Modulo  # known without data
RankExpr: TypeAlias = Affine | FloorDiv | Modulo | Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chained comparison `p-W < m <= p`: `operands[i] relations[i] operands[i+1]`."""

    operands: tuple[Coordinate, ...]
    relations: tuple[str, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One position of an access: a rank expression, optionally filtered (`m: m<=p`)."""

    expr: RankExpr
    conditions: tuple[Chain, ...] = ()
    span: Span = field(default=NOWHERE, compare=False, repr=False)


# --- value expressions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A tensor at indices; `indices` is empty for a scalar."""

    tensor: TensorName
    indices: tuple[Index, ...] = ()
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A literal; `text` keeps the spelling for the printer, `inf` included."""

    text: str
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeOf:
    """`size(M)`: the extent of a shape as a value."""

    shape: ShapeName
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueOf:
    """`val(p+1)`: a coordinate as a value."""

    expr: Coordinate
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """An operator on arguments: `add sub mul div neg` from signs, else a function's name."""

    operator: OperatorName
    args: tuple[Expr, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)


Expr: TypeAlias = Access | Number | SizeOf | ValueOf | Apply


# --- statements ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceVar:
    """A reduction variable, optionally filtered."""

    var: VarName
    conditions: tuple[Chain, ...] = ()
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """`sum[m, e]`; `explicit` is False where the sum was left implied.

    `topk[m; j]` has `places` j: at place j of the output stands the coordinate m of the (j+1)-th largest
    present element, a smaller m first among equals; absent where there are fewer.
    """

    operator: OperatorName
    variables: tuple[ReduceVar, ...]
    places: VarName | None = None
    explicit: bool = True
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Einsum:
    """`output = reduce(expr) for conditions`; `reduce` is None where nothing is reduced."""

    output: Access
    reduce: Reduce | None
    expr: Expr
    conditions: tuple[Chain, ...] = ()
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def name(self) -> TensorName:
        """An Einsum is called by the tensor it writes."""
        return self.output.tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeDecl:
    """`M = M1*M0` (factors outer..inner), `P = M` (one factor: alias), `W = 2`, or `M` alone."""

    name: ShapeName
    factors: tuple[ShapeName, ...] = ()
    constant: int | None = None
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """`stop: i >= K`: variable i is iterative over [0, K)."""

    var: VarName
    bound: Affine
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A cascade: symbolic, sizes come with a workload.

    `text` is the source it was parsed from, kept only to quote lines in messages.
    """

    name: str
    shapes: tuple[ShapeDecl, ...] = ()
    inputs: tuple[Access, ...] = ()
    outputs: tuple[TensorName, ...] = ()
    stops: tuple[Stop, ...] = ()
    inits: tuple[Einsum, ...] = ()
    einsums: tuple[Einsum, ...] = ()
    file: str = field(default="<cascade>", compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def _repr_html_(self) -> str:
        """What a notebook shows: the text and its formulas."""
        return str(import_module("fusemap.einsum_cascade.notebook").cascade_html(self))

    def _repr_latex_(self) -> str:
        """The formulas alone, for a notebook that is made a paper."""
        return str(import_module("fusemap.einsum_cascade.latex").inline(self))
