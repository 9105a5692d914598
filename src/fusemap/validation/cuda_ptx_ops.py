"""What PTX instructions without memory or control compute: opcode and modifiers to a function of arrays.

An opcode, modifier or type that is not in the tables is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from fusemap.validation import cuda_ptx_float as f32
from fusemap.validation import cuda_ptx_integer as whole
from fusemap.validation.cuda_counts import FlopKind
from fusemap.validation.cuda_ptx_float import Array, Function
from fusemap.validation.cuda_ptx_types import WIDTHS

DTYPES: Mapping[str, type[np.generic]] = {
    **{"pred": np.bool_, "b8": np.uint8, "u8": np.uint8, "s8": np.int8},
    **{"b16": np.uint16, "u16": np.uint16, "s16": np.int16, "b32": np.uint32, "u32": np.uint32, "s32": np.int32},
    **{"b64": np.uint64, "u64": np.uint64, "s64": np.int64, "f32": np.float32, "f64": np.float64},
}
_ROUNDINGS = ("rn", "rm", "rp", "rz")
_TO_INTEGER = ("rni", "rmi", "rpi", "rzi")
_DOUBLE = {16: "32", 32: "64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pure:
    """`output = function(*inputs)` on arrays of the named types; `flop` is the floating-point operation it is."""

    inputs: tuple[str, ...]
    output: str
    function: Function
    flop: FlopKind | None = None


class Unmodelled(Exception):
    """An opcode, a modifier or a type that the tables lack."""


Resolver: TypeAlias = Callable[[tuple[str, ...]], Pure]


def resolve(opcode: str, modifiers: tuple[str, ...]) -> Pure:
    """The function of an instruction. Unmodelled: it is not in the tables.

    >>> resolve("fma", ("rn", "f32")).flop
    'fma'
    """
    if opcode not in PURE:
        raise Unmodelled("unknown opcode")
    pure = PURE[opcode](modifiers)
    missing = [kind for kind in (*pure.inputs, pure.output) if kind not in DTYPES]
    if missing:
        raise Unmodelled(f"type .{missing[0]} is not modelled")
    return pure


def split(modifiers: tuple[str, ...], *allowed: str, types: int = 1) -> tuple[set[str], tuple[str, ...]]:
    """Flags and types of an instruction. Unmodelled: a flag that is not allowed, another number of types."""
    flags = {word for word in modifiers if word not in WIDTHS}
    found = tuple(word for word in modifiers if word in WIDTHS)
    if wrong := sorted(flags - set(allowed)):
        raise Unmodelled(f"modifier .{wrong[0]} is not modelled")
    if len(found) != types:
        raise Unmodelled(f"expected {types} type(s), found {len(found)}")
    return flags, found


def _rounding(flags: set[str]) -> str:
    return next((mode for mode in _ROUNDINGS if mode in flags), "rn")


def _float(flags: set[str], function: Function, inputs: int, flop: FlopKind | None) -> Pure:
    """A function of float32 values with .ftz and .sat applied."""
    shaped = f32.flushing(function, inputs) if "ftz" in flags else function
    if "sat" in flags:
        inner = shaped
        shaped = lambda *a: f32.saturate(inner(*a))  # noqa: E731
    return Pure(inputs=("f32",) * inputs, output="f32", function=shaped, flop=flop)


def _sum(name: FlopKind, single: Function, integer: Function) -> Resolver:
    def resolver(modifiers: tuple[str, ...]) -> Pure:
        flags, (kind,) = split(modifiers, *_ROUNDINGS, "ftz", "sat", "lo", "wide", "hi")
        if kind == "f32":
            return _float(flags - {"lo"}, partial(single, mode=_rounding(flags)), 2, name)
        if kind == "f64" or flags - {"lo", "wide", "hi"} or (flags and name != "mul"):
            raise Unmodelled("these modifiers are not modelled for this type")
        if "wide" in flags:
            return Pure(inputs=(kind, kind), output=kind[0] + _DOUBLE[WIDTHS[kind]], function=whole.multiply_wide)
        return Pure(inputs=(kind, kind), output=kind, function=whole.multiply_high if "hi" in flags else integer)

    return resolver


def _fma(modifiers: tuple[str, ...]) -> Pure:
    flags, (kind,) = split(modifiers, *_ROUNDINGS, "ftz", "sat")
    if kind != "f32":
        raise Unmodelled(f"type .{kind} is not modelled")
    return _float(flags, partial(f32.fma, mode=_rounding(flags)), 3, "fma")


def _mad(modifiers: tuple[str, ...]) -> Pure:
    flags, (kind,) = split(modifiers, *_ROUNDINGS, "ftz", "sat", "lo", "wide")
    if kind == "f32":
        return _fma(modifiers)
    if "wide" in flags:
        wide = kind[0] + _DOUBLE[WIDTHS[kind]]
        return Pure(inputs=(kind, kind, wide), output=wide, function=lambda a, b, c: whole.multiply_wide(a, b) + c)
    return Pure(inputs=(kind,) * 3, output=kind, function=lambda a, b, c: np.asarray(a * b + c))


def _div(modifiers: tuple[str, ...]) -> Pure:
    flags, (kind,) = split(modifiers, "rn", "approx", "full", "ftz")
    if kind == "f32":
        return _float(flags, f32.divide, 2, "div")
    return Pure(inputs=(kind, kind), output=kind, function=whole.divide)


def _extreme(single: Function, integer: Function) -> Resolver:
    def resolver(modifiers: tuple[str, ...]) -> Pure:
        flags, (kind,) = split(modifiers, "ftz")
        if kind == "f32":
            return _float(flags, single, 2, "max")
        return Pure(inputs=(kind, kind), output=kind, function=integer)

    return resolver


def _unary(function: Function, flop: FlopKind) -> Resolver:
    def resolver(modifiers: tuple[str, ...]) -> Pure:
        flags, (kind,) = split(modifiers, "approx", "rn", "ftz")
        if kind != "f32":
            raise Unmodelled(f"type .{kind} is not modelled")
        return _float(flags, f32.through_double(function), 1, flop)

    return resolver


def _plain(function: Function, inputs: int, *extra: str) -> Resolver:
    """The same type everywhere but for the last operands, whose types are `extra`."""

    def resolver(modifiers: tuple[str, ...]) -> Pure:
        flags, (kind,) = split(modifiers, "ftz")
        shaped = f32.flushing(function, inputs) if "ftz" in flags else function
        return Pure(inputs=(kind,) * inputs + extra, output=kind, function=shaped)

    return resolver


def _bits(function: Function) -> Resolver:
    def resolver(modifiers: tuple[str, ...]) -> Pure:
        _, (kind,) = split(modifiers)
        return Pure(inputs=(kind,), output="u32", function=function)

    return resolver


def _field(modifiers: tuple[str, ...]) -> Pure:
    if modifiers != ("u32",):
        raise Unmodelled("only .u32 is modelled")
    return Pure(inputs=("u32",) * 3, output="u32", function=whole.field)


def _logic(modifiers: tuple[str, ...]) -> Pure:
    split(modifiers)
    return Pure(inputs=("b32",) * 4, output="b32", function=whole.logic)


def _convert(modifiers: tuple[str, ...]) -> Pure:
    flags, (target, source) = split(modifiers, *_ROUNDINGS, *_TO_INTEGER, "ftz", "sat", types=2)
    if target not in DTYPES or source not in DTYPES:
        raise Unmodelled("this conversion is not modelled")
    function = _conversion(target, source, flags)
    if "ftz" in flags:
        function = f32.flushing(function, 1)
    return Pure(inputs=(source,), output=target, function=function)


def _conversion(target: str, source: str, flags: set[str]) -> Function:
    dtype = DTYPES[target]
    rounding = next((mode for mode in _TO_INTEGER if mode in flags), "")
    if target[0] == "f" and source[0] == "f":
        if flags & {"rm", "rp", "rz"} or (rounding and rounding != "rni"):
            raise Unmodelled("this rounding is not modelled")
        inner: Function = np.rint if rounding else np.asarray
        return lambda a: f32.saturate(inner(a).astype(dtype)) if "sat" in flags else inner(a).astype(dtype)
    if source[0] == "f":
        return lambda a: whole.to_integer(a, dtype, rounding)
    if "sat" in flags or flags & {"rm", "rp", "rz"}:
        raise Unmodelled("this conversion is not modelled")
    return lambda a: np.asarray(a).astype(dtype)


def _same(a: Array) -> Array:
    return a


PURE: Mapping[str, Resolver] = {
    "mov": _plain(_same, 1),
    "cvta": lambda modifiers: _plain(_same, 1)(tuple(m for m in modifiers if m not in ("to", "global"))),
    "cvt": _convert,
    "add": _sum("add", f32.add, np.add),
    "sub": _sum("add", f32.subtract, np.subtract),
    "mul": _sum("mul", f32.multiply, np.multiply),
    "fma": _fma,
    "mad": _mad,
    "div": _div,
    "rem": _plain(whole.remainder, 2),
    "max": _extreme(np.fmax, np.maximum),
    "min": _extreme(np.fmin, np.minimum),
    "abs": _plain(np.abs, 1),
    "neg": _plain(np.negative, 1),
    "rcp": _unary(np.reciprocal, "rcp"),
    "sqrt": _unary(np.sqrt, "sqrt"),
    "rsqrt": _unary(lambda a: 1.0 / np.sqrt(a), "sqrt"),
    "ex2": _unary(np.exp2, "ex2"),
    "lg2": _unary(np.log2, "lg2"),
    "and": _plain(np.bitwise_and, 2),
    "or": _plain(np.bitwise_or, 2),
    "xor": _plain(np.bitwise_xor, 2),
    "not": _plain(np.invert, 1),
    "shl": _plain(whole.shift_left, 1, "u32"),
    "shr": _plain(whole.shift_right, 1, "u32"),
    "lop3": _logic,
    "bfe": _field,
    "popc": _bits(whole.ones),
    "clz": _bits(whole.leading_zeros),
    "selp": _plain(lambda a, b, p: np.asarray(np.where(p, a, b)), 2, "pred"),
}
