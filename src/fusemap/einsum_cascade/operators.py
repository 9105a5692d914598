"""The registry of map and reduce operators: an immutable value that is passed to whoever needs it.

Value functions are given as `module:name` and imported on first use, so that reading a cascade does
not load NumPy.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.einsum_cascade.types import OperatorName

Kind: TypeAlias = Literal["map", "reduce"]
ValueFunction: TypeAlias = Callable[..., Any]

_NAME = re.compile(r"[a-z][A-Za-z0-9_]*", re.ASCII)
RESERVED = frozenset({"cascade", "shape", "input", "output", "stop", "init", "for", "inf", "size", "val"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A map operator on `arity` operands, or a reduction given by its binary step (arity 2).

    `value` is a NumPy-style elementwise function or its `module:name`. `identity` is the neutral
    element of a reduction. `union` operators skip an absent operand; every other operator is absent
    if an operand is. `cost` names the action that one application is charged as.

    A map operator that `filters` keeps its first operand where its last one is not 0; elsewhere it is
    absent. A reduction that is `ranked` selects by place instead of folding: it has no identity, and
    `value` is its selection along an axis (`values.topk`).
    """

    name: OperatorName
    arity: int
    kind: Kind
    value: str | ValueFunction
    identity: float | None = None
    union: bool = False
    filters: bool = False
    ranked: bool = False
    cost: str

    def function(self) -> ValueFunction:
        """The value function itself.

        >>> float(BUILTIN.map("mul").function()(2.0, 3.0))
        6.0
        """
        if callable(self.value):
            return self.value
        module, _, name = self.value.partition(":")
        function: ValueFunction = getattr(importlib.import_module(module), name)
        return function


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Map and reduce operators by name; registering returns a new registry.

    >>> mine = BUILTIN.register_map("cube", 1, lambda a: a**3, cost="multiply")
    >>> mine.map("cube").arity, "cube" in BUILTIN.map_names
    (1, False)
    """

    maps: tuple[Operator, ...] = ()
    reductions: tuple[Operator, ...] = ()

    @property
    def map_names(self) -> tuple[str, ...]:
        """Names of the map operators, in order of registration."""
        return tuple(o.name for o in self.maps)

    @property
    def reduce_names(self) -> tuple[str, ...]:
        """Names of the reductions, in order of registration."""
        return tuple(o.name for o in self.reductions)

    def map(self, name: str) -> Operator:
        """The map operator `name`; InputError listing the valid ones otherwise."""
        return _find(name, self.maps, "map operator")

    def reduction(self, name: str) -> Operator:
        """The reduction `name`; InputError listing the valid ones otherwise."""
        return _find(name, self.reductions, "reduction")

    def register_map(self, name: str, arity: int, value: str | ValueFunction, *, cost: str | None = None) -> Operators:
        """This registry plus the map operator `name`, absent where an operand is absent."""
        if arity < 1:
            raise input_error(f"map operator {name} needs at least one operand, not {arity}")
        _check_name(name, self.map_names, "map operator")
        added = Operator(name=OperatorName(name), arity=arity, kind="map", value=value, cost=cost or name)
        return replace(self, maps=(*self.maps, added))

    def register_reduce(
        self, name: str, value: str | ValueFunction, identity: float, *, cost: str | None = None
    ) -> Operators:
        """This registry plus the reduction `name`, whose binary step is `value`.

        `value` must be associative and commutative with neutral element `identity`: a reduction
        runs in any order and skips absent operands.
        """
        _check_name(name, self.reduce_names, "reduction")
        added = _reduction(name, value, identity, cost or name)
        return replace(self, reductions=(*self.reductions, added))


def _find(name: str, operators: Iterable[Operator], noun: str) -> Operator:
    by_name = {o.name: o for o in operators}
    found = by_name.get(OperatorName(name))
    if found is None:
        raise input_error(f"unknown {noun} {name}", hint=did_you_mean(name, list(by_name), noun=f"{noun}s"))
    return found


def _check_name(name: str, taken: tuple[str, ...], noun: str) -> None:
    if name in taken:
        raise input_error(f"{noun} {name} is registered already", hint=f"registered: {', '.join(taken)}")
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise input_error(f"{noun} name {name!r} must be a lower-case word that is no keyword")


def _map(
    name: str, arity: int, value: str, cost: str, *, identity: float | None = None, union: bool = False
) -> Operator:
    return Operator(
        name=OperatorName(name), arity=arity, kind="map", value=value, identity=identity, union=union, cost=cost
    )


def _reduction(name: str, value: str | ValueFunction, identity: float, cost: str) -> Operator:
    return Operator(
        name=OperatorName(name), arity=2, kind="reduce", value=value, identity=identity, union=True, cost=cost
    )


_OWN = "fusemap.einsum_cascade.values:"

BUILTIN = Operators(
    maps=(
        _map("add", 2, "numpy:add", "add", identity=0.0, union=True),
        _map("sub", 2, "numpy:subtract", "add"),
        _map("mul", 2, "numpy:multiply", "multiply"),
        _map("div", 2, "numpy:divide", "divide"),
        _map("neg", 1, "numpy:negative", "negate"),
        _map("exp", 1, "numpy:exp", "exp"),
        _map("log", 1, "numpy:log", "log"),
        _map("sqrt", 1, "numpy:sqrt", "sqrt"),
        _map("rsqrt", 1, _OWN + "rsqrt", "rsqrt"),
        _map("square", 1, "numpy:square", "multiply"),
        _map("abs", 1, "numpy:abs", "abs"),
        _map("relu", 1, _OWN + "relu", "max"),
        _map("sigmoid", 1, _OWN + "sigmoid", "sigmoid"),
        _map("tanh", 1, "numpy:tanh", "tanh"),
        _map("recip", 1, _OWN + "recip", "divide"),
        _map("max", 2, "numpy:maximum", "max", identity=-math.inf, union=True),
        _map("min", 2, "numpy:minimum", "max", identity=math.inf, union=True),
        _map("expsub", 2, _OWN + "expsub", "expsub"),
        _map("safediv", 2, _OWN + "safediv", "divide"),
        _map("gt", 2, _OWN + "gt", "compare"),
        _map("ge", 2, _OWN + "ge", "compare"),
        _map("eq", 2, _OWN + "eq", "compare"),
        _map("where", 3, _OWN + "where", "select"),
        replace(_map("only", 2, _OWN + "only", "select"), filters=True),
        _map("pow", 2, "numpy:power", "pow"),
        _map("sign", 1, "numpy:sign", "sign"),
        _map("softplus", 1, _OWN + "softplus", "softplus"),
        _map("floor", 1, "numpy:floor", "floor"),
        _map("cos", 1, "numpy:cos", "cos"),
        _map("sin", 1, "numpy:sin", "sin"),
    ),
    reductions=(
        _reduction("sum", "numpy:add", 0.0, "add"),
        _reduction("max", "numpy:maximum", -math.inf, "max"),
        _reduction("min", "numpy:minimum", math.inf, "max"),
        _reduction("prod", "numpy:multiply", 1.0, "multiply"),
        Operator(name=OperatorName("topk"), arity=1, kind="reduce", value=_OWN + "topk", ranked=True, cost="topk"),
    ),
)
