"""Value expressions as SymPy expressions and back, with one symbol for every access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from fusemap.einsum_cascade.derive.terms import apply
from fusemap.einsum_cascade.printer import format_access, format_rank_expr
from fusemap.einsum_cascade.types import Access, Expr, Number, SizeOf, ValueOf


class NotAlgebraicError(Exception):
    """An operator that has no algebraic meaning here (a maximum, a comparison)."""


_FUNCTIONS = {
    "exp": sp.exp,
    "log": sp.log,
    "sqrt": sp.sqrt,
    "rsqrt": lambda a: 1 / sp.sqrt(a),
    "square": lambda a: a**2,
    "recip": lambda a: 1 / a,
    "neg": lambda a: -a,
    "sin": sp.sin,
    "cos": sp.cos,
    "tanh": sp.tanh,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "safediv": lambda a, b: a / b,
    "expsub": lambda a, b: sp.exp(a - b),
    "pow": lambda a, b: a**b,
    "sigmoid": lambda a: 1 / (1 + sp.exp(-a)),
}


@dataclass
class Symbols:
    """One real symbol for every access, size and value; a name is never given to SymPy's parser."""

    known: dict[str, sp.Symbol] = field(default_factory=dict)
    leaves: dict[sp.Symbol, Expr] = field(default_factory=dict)

    def of(self, leaf: Expr) -> sp.Symbol:
        """The symbol of a leaf."""
        key = _key(leaf)
        if key not in self.known:
            symbol = sp.Dummy(key, real=True)
            self.known[key], self.leaves[symbol] = symbol, leaf
        return self.known[key]

    def algebraic(self, expr: Expr, given: Mapping[str, sp.Expr] | None = None) -> sp.Expr:
        """The expression in symbols; `given` replaces accesses by their text. NotAlgebraicError otherwise."""
        if isinstance(expr, Number):
            return -sp.oo if expr.text == "-inf" else sp.oo if expr.text == "inf" else sp.nsimplify(expr.text)
        if isinstance(expr, Access | SizeOf | ValueOf):
            found = (given or {}).get(_key(expr))
            return self.of(expr) if found is None else found
        function = _FUNCTIONS.get(str(expr.operator))
        if function is None:
            raise NotAlgebraicError(str(expr.operator))
        return function(*(self.algebraic(a, given) for a in expr.args))

    def expression(self, value: sp.Expr) -> Expr:
        """The expression of a SymPy one; NotAlgebraicError where no operator says it."""
        return _Writer(leaves=self.leaves).write(value)


def _key(leaf: Expr) -> str:
    if isinstance(leaf, Access):
        return format_access(leaf)
    if isinstance(leaf, SizeOf):
        return f"size({leaf.shape})"
    assert isinstance(leaf, ValueOf)
    return f"val({format_rank_expr(leaf.expr)})"


@dataclass(frozen=True)
class _Writer:
    leaves: Mapping[sp.Symbol, Expr]

    def write(self, value: sp.Expr) -> Expr:
        """The expression, sums and products in the order of the accesses' names."""
        if isinstance(value, sp.Symbol):
            return self.leaves[value]
        if value.is_Number:
            return _number(value)
        if isinstance(value, sp.exp):
            return self._exp(value.args[0])
        if isinstance(value, sp.Add):
            return self._sum(value)
        if isinstance(value, sp.Mul | sp.Pow):
            return self._product(value)
        names = {sp.log: "log", sp.sin: "sin", sp.cos: "cos", sp.tanh: "tanh"}
        if value.func in names:
            return apply(names[value.func], self.write(value.args[0]))
        raise NotAlgebraicError(str(value.func))

    def _exp(self, power: sp.Expr) -> Expr:
        return apply("exp", self.write(power))

    def _sum(self, value: sp.Add) -> Expr:
        terms = sorted(value.args, key=lambda t: (t.could_extract_minus_sign(), self._order(t)))
        result = self.write(terms[0])
        for term in terms[1:]:
            negative = term.could_extract_minus_sign()
            result = apply("sub" if negative else "add", result, self.write(-term if negative else term))
        return result

    def _order(self, term: sp.Expr) -> str:
        return " ".join(sorted(_key(self.leaves[s]) for s in term.free_symbols))

    def _product(self, value: sp.Expr) -> Expr:
        if value.could_extract_minus_sign():
            return apply("neg", self.write(-value))
        above: list[Expr] = []
        below: list[Expr] = []
        for factor in sorted(sp.Mul.make_args(value), key=lambda f: (not f.is_Number, self._order(f))):
            base, power = factor.as_base_exp()
            if isinstance(factor, sp.exp):
                above.append(self.write(factor))
            elif power.is_Integer or power == sp.Rational(1, 2) or power == -sp.Rational(1, 2):
                (below if power.is_negative else above).extend(self._power(base, abs(power)))
            else:
                raise NotAlgebraicError("pow")
        result = above[0] if above else Number(text="1")
        for factor in above[1:]:
            result = apply("mul", result, factor)
        for divisor in below:
            result = apply("div", result, divisor)
        return result

    def _power(self, base: sp.Expr, power: sp.Expr) -> list[Expr]:
        inside = self.write(base)
        if power == sp.Rational(1, 2):
            return [apply("sqrt", inside)]
        count = int(power)
        return [apply("square", inside)] * (count // 2) + [inside] * (count % 2)


def _number(value: sp.Expr) -> Expr:
    if value.is_Rational and not value.is_Integer:
        return apply("div", _number(sp.Integer(value.p)), _number(sp.Integer(value.q)))
    if value.is_negative:
        return apply("neg", _number(-value))
    return Number(text=str(value))
