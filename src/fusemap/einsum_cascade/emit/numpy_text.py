"""A cascade as a Python file that needs NumPy alone: one function from its inputs to its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import wrap

from fusemap.einsum_cascade.emit.index import Place
from fusemap.einsum_cascade.emit.names import Names, names_of
from fusemap.einsum_cascade.emit.order import Loop, Statement, ordered
from fusemap.einsum_cascade.emit.presence import may_lack_elements
from fusemap.einsum_cascade.emit.refusal import CannotEmitError, refused
from fusemap.einsum_cascade.emit.sizes import sizes_of
from fusemap.einsum_cascade.emit.statement import Writer
from fusemap.einsum_cascade.emit.storage import Stored, storage
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.printer import format_cascade, format_einsum
from fusemap.einsum_cascade.scope import (
    all_variables,
    conditions_of,
    depends_on_data,
    iterative_ranks,
    outputs,
    shape_of,
    walk,
)
from fusemap.einsum_cascade.types import Apply, Cascade, Einsum, VarName

_HELPERS = {
    "_expsub": '''
def _expsub(a, b):
    """exp(a - b), and 1 where a == b, even when both are the same infinity."""
    same = np.equal(a, b)
    return np.where(same, 1.0, np.exp(np.where(same, 0.0, a) - np.where(same, 0.0, b)))
''',
    "_safediv": '''
def _safediv(a, b):
    """a / b, and 0 where b == 0."""
    zero = np.equal(b, 0.0)
    return np.where(zero, 0.0, a / np.where(zero, 1.0, b))
''',
    "_masked": '''
def _masked(values, present):
    """The values, masked where there is none; a plain array where there are all."""
    return values if np.all(present) else np.ma.array(np.where(present, values, 0.0), mask=~present)
''',
}


def numpy_source(cascade: Cascade, *, notes: Sequence[str] = ()) -> str:
    """The text of a Python file with a function that computes what the cascade does; `notes` go into its docstring.

    InputError: an Einsum reads or selects at coordinates that are data, or writes or recurs as no loop does.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> text = numpy_source(parse("cascade dot\\ninput A[k], B[k]\\nZ = A[k]*B[k]"))
    >>> scope = {}
    >>> exec(text, scope)
    >>> float(scope["dot"]([1, 2], [3, 4]))
    11.0
    """
    for einsum in cascade.einsums:
        _check(cascade, einsum)
    return "\n".join(_File(cascade, notes).lines()) + "\n"


def _check(cascade: Cascade, einsum: Einsum) -> None:
    if depends_on_data(einsum):
        raise refused(cascade, einsum, "it reads or selects at coordinates that are data")
    known = {*BUILTIN.map_names}
    for node in walk(einsum.expr):
        if isinstance(node, Apply) and node.operator not in known:
            raise refused(cascade, einsum, f"{node.operator} is no built-in operator")


class _File:
    def __init__(self, cascade: Cascade, notes: Sequence[str]) -> None:
        self.cascade, self.notes = cascade, notes
        self.names: Names = names_of(cascade)
        self.lacking = may_lack_elements(cascade)
        self.statements = ordered(cascade)
        self.extents = _extents(cascade, self.names)
        self.stored: Mapping[str, Stored] = storage(cascade, self.statements, self.names, self.extents)

    def lines(self) -> Iterator[str]:
        body = [*self._body(), self._result()]
        text = "\n".join(body)
        sizes = sizes_of(self.cascade, self.names)
        yield f'"""{self.cascade.name}, written by fusemap; needs NumPy alone."""'
        yield ""
        yield "import numpy as np"
        for name, helper in _HELPERS.items():
            if f"{name}(" in text:
                yield f"\n{helper.rstrip()}"
        yield "\n"
        yield '@np.errstate(all="ignore")  # what is masked may be no number before it is'
        arguments = ", ".join(self.names.tensors[str(a.tensor)] for a in self.cascade.inputs)
        given = f", *, {', '.join(sizes.given)}" if sizes.given else ""
        yield f"def {self.names.function}({arguments}{given}):"
        yield from _indented(self._docstring(sizes.given))
        yield from _indented([*self._inputs(arguments), *sizes.lines, *self._allocated(), *body])

    def _docstring(self, given: Sequence[str]) -> Iterator[str]:
        rows = [f"{', '.join(self.names.tensors[str(t)] for t in outputs(self.cascade))} of the cascade"]
        if given:
            rows[0] += f", in parts of {', '.join(given)}"
        yield f'"""{rows[0]}'
        yield ""
        yield from (f"    {line}".rstrip() for line in format_cascade(self.cascade).rstrip().split("\n"))
        if self.notes:
            yield ""
            for note in self.notes:
                yield from wrap(note, 108, subsequent_indent="    ")
        yield '"""'

    def _inputs(self, arguments: str) -> Iterator[str]:
        if not self.cascade.inputs:
            return
        one = ", " not in arguments
        made = "np.asarray({}, dtype=np.float64)"
        if one:
            yield f"{arguments} = {made.format(arguments)}"
        else:
            yield f"{arguments} = ({made.format('array')} for array in ({arguments}))"

    def _allocated(self) -> Iterator[str]:
        """Arrays that are filled part by part."""
        for stored in self.stored.values():
            if stored.kind == "grown":
                shape = f"({', '.join(stored.dims)}{',' if len(stored.dims) == 1 else ''})"
                yield f"{self.names.tensors[stored.tensor]} = np.zeros({shape})"
                if stored.tensor in self.lacking:
                    yield f"{self.names.present[stored.tensor]} = np.zeros({shape}, dtype=bool)"

    def _body(self) -> Iterator[str]:
        place = Place(names=self.names, stored=self.stored, extents=self.extents)
        yield from self._lines(self.statements, place)

    def _lines(self, statements: Sequence[Statement], place: Place) -> Iterator[str]:
        for statement in statements:
            if isinstance(statement, Einsum):
                yield from self._einsum(statement, place)
                continue
            var = statement.var
            yield f"for {self.names.variables[var]} in range({self.extents[var]}):"
            yield from _indented(self._lines(statement.body, replace(place, held=(*place.held, var))))
            yield from _indented(self._moved(statement))

    def _einsum(self, einsum: Einsum, place: Place) -> Iterator[str]:
        yield f"# {format_einsum(einsum)}"
        exact = not conditions_of(einsum)
        try:
            yield from Writer(einsum, replace(place, exact=exact), self.lacking).lines()
        except CannotEmitError as error:
            raise refused(self.cascade, einsum, str(error)) from error

    def _moved(self, loop: Loop) -> Iterator[str]:
        """New values become the old ones of the next step."""
        names = [t for t, s in self.stored.items() if s.twice and s.var == loop.var and _writes(loop, t)]
        pairs = [(self.names.tensors[t], self.names.new[t]) for t in names]
        pairs += [(self.names.present[t], f"new_{self.names.present[t]}") for t in names if t in self.lacking]
        if pairs:
            yield f"{', '.join(old for old, _ in pairs)} = {', '.join(new for _, new in pairs)}"

    def _result(self) -> str:
        found = []
        for tensor in map(str, outputs(self.cascade)):
            name = self.names.tensors[tensor]
            found.append(f"_masked({name}, {self.names.present[tensor]})" if tensor in self.lacking else name)
        return f"return {', '.join(found)}"


def _writes(loop: Loop, tensor: str) -> bool:
    return any(isinstance(e, Einsum) and e.name == tensor for e in loop.body)


def _extents(cascade: Cascade, names: Names) -> dict[VarName, str]:
    """The size that each variable goes up to."""
    stops = iterative_ranks(cascade)
    plain = Place(names=names, stored={}, extents={})
    found: dict[VarName, str] = {}
    for var in all_variables(cascade):
        if var in stops:
            found[var] = plain.coordinate(stops[var].bound, ()).text
        else:
            found[var] = names.sizes[str(shape_of(var))]
    return found


def _indented(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}" if line else ""
