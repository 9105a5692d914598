"""The expressions of TeAAL's `einsum` section: products of tensors and scalars, and sums of such products.

The grammar is that of the TeAAL compiler (FPSG-UIUC/teaal-compiler, teaal/parse/equation.py):

einsum = tensor "=" term { "+" term } ;      term   = factor { "*" factor } | "take(" ... ")" ;
factor = NAME | tensor ;                     tensor = NAME "[" [ index { "," index } ] "]" ;
index  = part { "+" part } ;                 part   = NAME | [ "-" ] NUMBER "*" NAME ;
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from fusemap.archspec.document import TextFault

_TOKEN = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,59})|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<op><<=|[^\s])", re.ASCII
)
_SUPPORTED = (
    "TeAAL's expressions are sums of products of tensors and scalars, as in Z[m] = a * A[k, m] * B[k] + C[k, m]"
)
_ELSE = f"{_SUPPORTED}; anything else is written in a cascade of its own (docs/language.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPart:
    """`coefficient * variable`."""

    coefficient: int
    variable: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A tensor at indices, each a sum of parts; a scalar that is given by name has `indices` None."""

    name: str
    indices: tuple[tuple[IndexPart, ...], ...] | None
    offset: int
    length: int

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the indices, each once."""
        return tuple(dict.fromkeys(part.variable for index in self.indices or () for part in index))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """`output = term + term + ...`, each term a product of factors; what is absent on the left is summed over."""

    output: Factor
    terms: tuple[tuple[Factor, ...], ...]

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors of the right side, from left to right."""
        return tuple(factor for term in self.terms for factor in term)


def parse_expression(text: str) -> Expression:
    """The expression that a text holds; TextFault at the first thing that TeAAL has not, or that is not dense.

    >>> parsed = parse_expression("O[q] = I[2 * q + s] * F[s]")
    >>> parsed.output.name, [factor.variables for factor in parsed.factors]
    ('O', [('q', 's'), ('s',)])
    """
    return _Reader(text).expression()


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [(m.lastgroup or "", m.group(), m.start()) for m in _TOKEN.finditer(text)]
        self.tokens.append(("end", "", len(text.rstrip())))
        self.at = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    @property
    def offset(self) -> int:
        return self.tokens[self.at][2]

    @property
    def end(self) -> int:
        """Where the last token taken ends."""
        _, word, offset = self.tokens[self.at - 1]
        return offset + len(word)

    def take(self) -> str:
        word = self.word
        self.at += 1
        return word

    def accept(self, word: str) -> bool:
        found = self.word == word
        self.at += found
        return found

    def fail(self, message: str, hint: str = "", *, start: int | None = None) -> NoReturn:
        offset = self.offset if start is None else start
        length = max(1, len(self.word) if start is None else self.end - start)
        raise TextFault(message, offset=offset, length=length, hint=hint)

    def unexpected(self, expected: str, hint: str = "") -> NoReturn:
        found = "the end of the expression" if self.kind == "end" else f"'{self.word}'"
        self.fail(f"expected {expected}, found {found}", hint)

    def expression(self) -> Expression:
        if self.kind != "name":
            self.unexpected("the tensor that is written")
        output = self.factor()
        if output.indices is None:
            self.fail(f"{output.name} is written without indices", f"write {output.name}[] for a scalar", start=0)
        if not self.accept("="):
            self.unexpected("'='", "the compiler chooses between <<= and += itself" if self.word == "<<=" else "")
        terms = [self.term()]
        while self.accept("+"):
            terms.append(self.term())
        if self.kind != "end":
            self.unexpected("'+', '*' or the end of the expression", _ELSE)
        return Expression(output=output, terms=tuple(terms))

    def term(self) -> tuple[Factor, ...]:
        factors = [self.factor()]
        while self.accept("*"):
            factors.append(self.factor())
        return tuple(factors)

    def factor(self) -> Factor:
        start = self.offset
        if self.kind != "name":
            what = "the constant" if self.kind == "number" else "" if self.kind == "end" else "the operator"
            self.unexpected(f"a tensor or a scalar{f', not {what}' if what else ''}", _ELSE)
        name = self.take()
        if self.word == "(":
            self.function(name, start)
        if not self.accept("["):
            return Factor(name=name, indices=None, offset=start, length=len(name))
        indices: list[tuple[IndexPart, ...]] = []
        while not self.accept("]"):
            if indices and not self.accept(","):
                self.unexpected("',' or ']'", "an index is a sum of variables and INTEGER * variable")
            indices.append(self.index())
        return Factor(name=name, indices=tuple(indices), offset=start, length=self.end - start)

    def function(self, name: str, start: int) -> NoReturn:
        if name == "take":
            message = "take() keeps what is stored in all of its operands, which is sparse: dense cascades only"
            self.fail(message, "a dense cascade writes the product itself, as in A[k,m] * B[k,n]", start=start)
        self.fail(f"TeAAL's expressions have no function {name}()", _ELSE, start=start)

    def index(self) -> tuple[IndexPart, ...]:
        parts = [self.part()]
        while self.accept("+"):
            parts.append(self.part())
        return tuple(parts)

    def part(self) -> IndexPart:
        start, sign = self.offset, -1 if self.accept("-") else 1
        coefficient = 1
        if self.kind == "number":
            number = self.take()
            if not number.isdigit() or len(number) > 9 or not int(number):
                self.fail(f"a coefficient is an integer from 1 to 999999999, found {number}", start=start)
            coefficient = int(number)
            if not self.accept("*"):
                self.unexpected("'*' and a variable", "write INTEGER * variable; TeAAL has no constant offsets")
        elif sign < 0:
            self.unexpected("a number", "write -1 * variable")
        if self.kind != "name":
            self.unexpected("a variable")
        variable = self.take()
        if self.word == "*":
            self.fail(f"index is not affine: {variable} * ...", "write INTEGER * variable", start=start)
        return IndexPart(coefficient=sign * coefficient, variable=variable, offset=start)
