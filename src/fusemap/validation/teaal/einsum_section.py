"""The `einsum` section: declared ranks, and expressions that are checked against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.archspec.document import Path, TextFault
from fusemap.archspec.errors import describe
from fusemap.diagnostics import did_you_mean, nearest
from fusemap.validation.teaal.expression import Expression, Factor, parse_expression
from fusemap.validation.teaal.reader import Reader
from fusemap.validation.teaal.types import Statement

Declaration: TypeAlias = Mapping[str, tuple[str, ...]]
_KEYS = ("declaration", "expressions")


def read_einsum(reader: Reader, value: object) -> tuple[Declaration, tuple[Statement, ...]]:
    """Ranks by tensor, and the expressions that could be read; everything else is recorded as a fault."""
    section = reader.mapping(("einsum",), value)
    reader.known_keys(("einsum",), section, _KEYS)
    for key in _KEYS:
        if key not in section and key not in {nearest(found, _KEYS) for found in section}:
            reader.fault(("einsum",), f'missing key "{key}"', key=True)
    path: Path = ("einsum", "declaration")
    listed = reader.mapping(path, section.get("declaration"))
    declaration = {name: reader.names((*path, name), ranks, "a rank") for name, ranks in listed.items()}
    statements = _statements(reader, section["expressions"]) if "expressions" in section else []
    _Checked(reader, declaration, tuple(s.expression for _, s in statements)).check([p for p, _ in statements])
    used = {f.name for _, s in statements for f in (s.expression.output, *s.expression.factors)}
    for name in declaration:
        if name not in used:
            reader.note((*path, name), f"{name} is declared and stands in no expression: left out")
    return declaration, tuple(statement for _, statement in statements)


def _statements(reader: Reader, value: object) -> list[tuple[Path, Statement]]:
    path: Path = ("einsum", "expressions")
    found = []
    texts = reader.sequence(path, value)
    if isinstance(value, list) and not texts:
        reader.fault(path, "expected at least one expression")
    for index, text in enumerate(texts):
        here = (*path, index)
        if not isinstance(text, str):
            reader.fault(here, f"expected an expression, found {describe(text)}")
            continue
        try:
            expression = parse_expression(text)
        except TextFault as fault:
            reader.text_fault(here, fault)
        else:
            found.append((here, Statement(expression=expression, place=reader.place(here))))
    return found


@dataclass(frozen=True, slots=True)
class _Checked:
    """Expressions against the declaration and against each other."""

    reader: Reader
    declaration: Declaration
    expressions: tuple[Expression, ...]

    def check(self, paths: Sequence[Path]) -> None:
        for number, (path, expression) in enumerate(zip(paths, self.expressions, strict=True)):
            self.tensors(path, expression)
            self.left_side(path, expression, number)
            self.reads(path, expression, number)
            self.terms(path, expression)

    def fault(self, path: Path, factor: Factor, message: str, hint: str = "") -> None:
        self.reader.text_fault(path, TextFault(message, offset=factor.offset, length=factor.length, hint=hint))

    def tensors(self, path: Path, expression: Expression) -> None:
        for factor in (expression.output, *expression.factors):
            if factor.indices is None:
                if factor.name in self.declaration:
                    hint = f"declared with ranks [{', '.join(self.declaration[factor.name])}]"
                    self.fault(path, factor, f"the tensor {factor.name} stands without indices", hint)
            elif factor.name not in self.declaration:
                hint = did_you_mean(factor.name, tuple(self.declaration), noun="tensors")
                self.fault(path, factor, f"{factor.name} is not declared", hint)
            elif len(factor.indices) != len(self.declaration[factor.name]):
                ranks = self.declaration[factor.name]
                message = f"{factor.name} has {len(ranks)} ranks, found {len(factor.indices)} indices"
                self.fault(path, factor, message, f"declared with ranks [{', '.join(ranks)}]")

    def left_side(self, path: Path, expression: Expression, number: int) -> None:
        output = expression.output
        indices = output.indices or ()
        if any(len(index) > 1 or index[0].coefficient != 1 for index in indices):
            hint = "write the sum on the right: the same Einsum seen from its output reads at an affine index"
            self.fault(path, output, f"{output.name} is written at an affine index, a scatter", hint)
        elif len(output.variables) < len(indices):
            self.fault(path, output, f"{output.name} is written along a diagonal", "every index its own variable")
        if any(e.output.name == output.name for e in self.expressions[:number]):
            hint = "in TeAAL the later one overwrites: give the results different names"
            self.fault(path, output, f"{output.name} is written twice, and a cascade writes a tensor once", hint)

    def reads(self, path: Path, expression: Expression, number: int) -> None:
        later = {e.output.name for e in self.expressions[number + 1 :]}
        for factor in expression.factors:
            if factor.indices is not None and factor.name == expression.output.name:
                self.fault(path, factor, f"{factor.name} reads itself", "give the result another name")
            elif factor.indices is not None and factor.name in later:
                written = {e.output.name for e in self.expressions[:number]}
                if factor.name not in written:
                    self.fault(path, factor, f"{factor.name} is read before the expression that writes it")

    def terms(self, path: Path, expression: Expression) -> None:
        """As the compiler has it: each term of a sum has the same variables, else its reduction is ambiguous."""
        first = _variables(expression.terms[0])
        for term in expression.terms[1:]:
            missing = first ^ _variables(term)
            if missing:
                names = ", ".join(sorted(missing))
                message = f"the terms of a sum have the same variables, and {names} is not in all of them"
                hint = "reduce each term by an expression of its own and add the results"
                self.fault(path, term[0], message, hint)
                return


def _variables(term: Sequence[Factor]) -> frozenset[str]:
    return frozenset(variable for factor in term for variable in factor.variables)
