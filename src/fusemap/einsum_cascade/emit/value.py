"""Value expressions as NumPy expressions, and where their values are present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusemap.einsum_cascade.emit.index import Piece, Place
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.types import Access, Apply, Expr, Number, SizeOf, ValueOf, VarName

_INFIX = {"add": ("+", 4), "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5)}  # the sign and how it binds
_CALLS: Mapping[str, str] = {
    "exp": "np.exp({})",
    "log": "np.log({})",
    "sqrt": "np.sqrt({})",
    "rsqrt": "np.reciprocal(np.sqrt({}))",
    "square": "np.square({})",
    "abs": "np.abs({})",
    "relu": "np.maximum({}, 0.0)",
    "sigmoid": "np.reciprocal(1.0 + np.exp(np.negative({})))",
    "tanh": "np.tanh({})",
    "recip": "np.reciprocal({})",
    "max": "np.maximum({}, {})",
    "min": "np.minimum({}, {})",
    "expsub": "_expsub({}, {})",
    "safediv": "_safediv({}, {})",
    "gt": "np.where(np.greater({}, {}), 1.0, 0.0)",
    "ge": "np.where(np.greater_equal({}, {}), 1.0, 0.0)",
    "eq": "np.where(np.equal({}, {}), 1.0, 0.0)",
    "where": "np.where(np.not_equal({}, 0.0), {}, {})",
    "pow": "np.power({}, {})",
    "sign": "np.sign({})",
    "softplus": "np.logaddexp({}, 0.0)",
    "floor": "np.floor({})",
    "cos": "np.cos({})",
    "sin": "np.sin({})",
}
IDENTITY = {"add": "0.0", "max": "-np.inf", "min": "np.inf"}


def value(expr: Expr, place: Place, space: Sequence[VarName], lacking: frozenset[str]) -> Piece:
    """The value at every point of a space; anything where it is absent."""
    if isinstance(expr, Access):
        return place.read(expr).aligned(space)
    if not isinstance(expr, Apply):
        return _constant(expr, place, space)
    operator = BUILTIN.map(expr.operator)
    args = [value(a, place, space, lacking) for a in expr.args]
    if operator.filters:
        return args[0]
    if operator.union:
        absent = [masks(a, place, space, lacking) for a in expr.args]
        args = [filled_with(p, m, IDENTITY[operator.name]) for p, m in zip(args, absent, strict=True)]
    return _applied(str(operator.name), args, space)


def masks(expr: Expr, place: Place, space: Sequence[VarName], lacking: frozenset[str]) -> list[Piece]:
    """Masks that all have to hold for the value of an expression to be present."""
    if isinstance(expr, Access):
        return [place.read(expr, mask=True).aligned(space)] if str(expr.tensor) in lacking else []
    if not isinstance(expr, Apply):
        return []
    operator = BUILTIN.map(expr.operator)
    found = [masks(a, place, space, lacking) for a in expr.args]
    if operator.union:
        return _either(found) if all(found) else []
    if operator.filters:
        condition = value(expr.args[1], place, space, lacking)
        found.append([Piece(text=f"{condition.at(2)} != 0", axes=condition.axes, binding=1)])
    return merged([m for masks in found for m in masks])


def filled_with(piece: Piece, masks: Sequence[Piece], identity: str) -> Piece:
    """The value, or the identity where a mask does not hold."""
    if not masks:
        return piece
    return Piece(text=f"np.where({all_of(masks).text}, {piece.text}, {identity})", axes=_union([piece, *masks]))


def all_of(masks: Sequence[Piece]) -> Piece:
    """The masks joined by `&`."""
    found = merged(masks)
    if len(found) == 1:
        return found[0]
    return Piece(text=" & ".join(m.at(4) for m in found), axes=_union(found), binding=3)


def merged(masks: Sequence[Piece]) -> list[Piece]:
    """The masks, each once."""
    return list({m.text: m for m in masks}.values())


def _either(parts: Sequence[Sequence[Piece]]) -> list[Piece]:
    sides = [all_of(part) for part in parts]
    if len({s.text for s in sides}) == 1:
        return [sides[0]]
    return [Piece(text=" | ".join(s.at(4) for s in sides), axes=_union(sides), binding=2)]


def _applied(name: str, args: Sequence[Piece], space: Sequence[VarName]) -> Piece:
    found = _union(args)
    axes = tuple(v for v in space if v in found)
    if name in _INFIX:
        sign, binding = _INFIX[name]
        right = binding + (name in ("sub", "div", "mul"))  # a - (b - c), and a*(b*c) as it was written
        return Piece(text=f"{args[0].at(binding)} {sign} {args[1].at(right)}", axes=axes, binding=binding)
    if name == "neg":
        return Piece(text=f"-{args[0].at(6)}", axes=axes, binding=4)
    return Piece(text=_CALLS[name].format(*(a.text for a in args)), axes=axes)


def _union(pieces: Sequence[Piece]) -> tuple[VarName, ...]:
    return tuple(dict.fromkeys(v for p in pieces for v in p.axes))


def _constant(expr: Number | SizeOf | ValueOf, place: Place, space: Sequence[VarName]) -> Piece:
    if isinstance(expr, SizeOf):
        return Piece(text=f"float({place.names.sizes[expr.shape]})")
    if isinstance(expr, Number):
        return Piece(text="np.inf" if expr.text == "inf" else str(float(expr.text)))
    found = place.coordinate(expr.expr, space)
    return Piece(text=f"1.0*{found.at(6)}", axes=found.axes, binding=5)
