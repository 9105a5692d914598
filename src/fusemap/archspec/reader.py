"""Numbers of a validated file: expressions evaluated, sources resolved, every error collected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.decide import as_whole, is_whole
from fusemap.archspec.document import Document, Path
from fusemap.archspec.errors import describe
from fusemap.archspec.expressions import Expression
from fusemap.archspec.sources import missing_sources
from fusemap.archspec.units import QuantityText
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean

LARGEST = 1 << 40


@dataclass(slots=True, kw_only=True)
class Reader:
    """Evaluates the numbers of one document under its parameters; `finish` raises what went wrong.

    A number in `given` stands for the one at its path, whether the document has that or not.
    """

    document: Document
    given: Mapping[Path, Value] = field(default_factory=dict)
    names: dict[str, Value] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    errors: list[Diagnostic] = field(default_factory=list)
    unsourced: set[Path] = field(default_factory=set)

    def fail(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> None:
        self.errors.append(self.document.diagnostic(path, message, hint=hint, key=key))

    def finish(self) -> None:
        found = (*self.errors, *missing_sources(self.document, self.unsourced))
        if found:
            raise InputError(found)

    def source(self, path: Path, *expressions: Expression) -> str:
        """The source of a number, with those of the parameters it follows from; noted for `finish` when it has none."""
        own = self.document.source(path)
        if not own:
            self.unsourced.add(path)
        used = sorted({name for expression in expressions for name in expression.names()} & set(self.origins))
        return "; ".join([own, *(f"{name}: {self.origins[name]}" for name in used if self.origins[name] != own)])

    def replaced(self, path: Path) -> tuple[Value, str]:
        """The number that is given for the one at `path`, and what to call its source."""
        return self.given[path], f"{path[-1]} = {self.given[path]} given by the caller"

    def quantity(self, path: Path, text: QuantityText | None) -> tuple[Value, str]:
        """The value of a quantity and its source; (1, "") after an error."""
        if path in self.given:
            return self.replaced(path)
        assert text is not None, path
        place = self.document.place(path)
        try:
            return text.at(place).evaluate(self.names), self.source(path, text.amount)
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1, ""

    def number(self, path: Path, expression: Expression) -> Value | None:
        """The value of an expression; None after an error."""
        try:
            return expression.at(self.document.place(path)).evaluate(self.names)
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return None

    def whole(self, path: Path, expression: Expression) -> tuple[int, str]:
        """The value of an expression that must be a positive whole number, and its source; (1, "") after an error."""
        if path in self.given:
            given, source = self.replaced(path)
            return as_whole(given), source
        value = self.number(path, expression)
        if value is None:
            return 1, ""
        if not is_whole(value) or value < 1:
            self.fail(path, f"expected a positive whole number, found {describe(value)}")
            return 1, ""
        if value > LARGEST:
            self.fail(path, f"too large: more than 2^40, found {describe(value)}")
            return 1, ""
        return as_whole(value), self.source(path, expression)


def resolve_parameters(
    reader: Reader, parameters: Mapping[str, Expression], given: Mapping[str, Value] | None = None
) -> bool:
    """Evaluate parameters in order of dependence into the reader; `given` replaces values by name.

    Whether all have a value; without, what depends on them cannot be checked.
    """
    given = given or {}
    for name in given:
        if name not in parameters:
            hint = did_you_mean(name, list(parameters), noun="parameters")
            reader.fail(("parameters",), f'unknown parameter "{name}"', hint=hint)
    for name in parameters:
        _resolve(reader, parameters, given, name, ())
    return given.keys() <= parameters.keys() and parameters.keys() <= reader.names.keys()


def _resolve(
    reader: Reader, parameters: Mapping[str, Expression], given: Mapping[str, Value], name: str, active: tuple[str, ...]
) -> None:
    """Give `name` its value, after those it depends on; one that failed has an origin and no value."""
    path: Path = ("parameters", name)
    if name in active:
        chain = " -> ".join([*active[active.index(name) :], name])
        reader.fail(path, f"parameter {name} depends on itself: {chain}")
        reader.origins[name] = ""
    if name in reader.origins or name not in parameters:
        return
    if name in given:
        reader.names[name], reader.origins[name] = given[name], f"{name} = {given[name]} given by the caller"
        return
    expression = parameters[name]
    for other in sorted(expression.names()):
        _resolve(reader, parameters, given, other, (*active, name))
    failed = any(other in parameters and other not in reader.names for other in expression.names())
    value = None if failed else reader.number(path, expression)
    if value is None:
        reader.origins[name] = ""
    else:
        reader.names[name], reader.origins[name] = value, reader.source(path, expression)
