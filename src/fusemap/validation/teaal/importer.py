"""A TeAAL file to a cascade: the same dense Einsums, named and indexed as a cascade has them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.validation.imported import Imported, Note, comment
from fusemap.validation.teaal.expression import Factor
from fusemap.validation.teaal.names import Names, names_of, variable
from fusemap.validation.teaal.spec import load_spec
from fusemap.validation.teaal.splits import Pieces, notes_of, pieces_of
from fusemap.validation.teaal.types import Spec, Statement


def import_teaal(path: str | os.PathLike[str], *, partitioned: bool = False, einsum_only: bool = False) -> Imported:
    """The dense cascade of a TeAAL file, executed as TeAAL's own compiler executes it on dense tensors.

    `partitioned` writes uniform_shape and nway_shape as shapes (`M = M1*M0`); `einsum_only` leaves out
    every other section unread, so that the Einsums of a sparse accelerator can be imported. InputError names
    everything that is wrong or not supported, with its line.
    """
    return imported(load_spec(path, einsum_only=einsum_only), partitioned=partitioned)


def imported(spec: Spec, *, partitioned: bool = False) -> Imported:
    """The cascade of a file that was read."""
    names = names_of(spec)
    used = {s.expression.output.name: _variables(s) for s in spec.statements}
    left = {s.expression.output.name: [variable(v) for v in s.expression.output.variables] for s in spec.statements}
    pieces = pieces_of(spec.splits, used, left, names) if partitioned else {}
    split_in = {(split.einsum, variable(split.rank)) for split in spec.splits}
    writer = _Writer(spec, names, {key: pieces[key[1]] for key in split_in if key[1] in pieces})
    name = _name(spec.file)
    text = writer.text(name, [shape for p in pieces.values() for shape in p.shapes])
    notes = (*spec.notes, *notes_of(spec.splits, applied=partitioned), *_renamed(spec, names), *writer.notes)
    ordered = _in_order(notes)
    head = "".join(comment(line) for line in (f"From {Path(spec.file).name}, which TeAAL reads.", *_comments(ordered)))
    printed = f"{head}{format_cascade(parse(text))}"
    cascade = parse(printed, file=f"{name}.cascade")
    return Imported(cascade=cascade, text=printed, format="teaal", file=spec.file, notes=ordered)


def _variables(statement: Statement) -> frozenset[str]:
    factors = (statement.expression.output, *statement.expression.factors)
    return frozenset(variable(v) for factor in factors for v in factor.variables)


def _name(file: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.+-]+", "-", Path(file).stem).strip("-_.+")
    return stem or "imported"


def _in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    return tuple(sorted(notes, key=lambda note: (note.span.line, note.span.column) if note.span else (0, 0)))


def _comments(notes: tuple[Note, ...]) -> list[str]:
    return [f"line {note.span.line}: {note.message}" for note in notes if note.span]


def _renamed(spec: Spec, names: Names) -> list[Note]:
    """Notes on names that a cascade spells differently, at their first place."""
    found: dict[str, Note] = {}
    for statement in spec.statements:
        for factor in (statement.expression.output, *statement.expression.factors):
            span = statement.place.diagnostic("", offset=factor.offset, length=factor.length).span
            if span is None or factor.name in found:
                continue
            if factor.indices is None:
                message = f"the scalar {factor.name}, which TeAAL takes from the program around it, is the input "
                found[factor.name] = Note(message=message + names.scalars[factor.name], span=span)
            elif names.tensors[factor.name] != factor.name:
                message = f"the tensor {factor.name} is called {names.tensors[factor.name]}"
                found[factor.name] = Note(message=message, span=span)
    return list(found.values())


class _Writer:
    """Writes the text of a cascade."""

    def __init__(self, spec: Spec, names: Names, pieces: Mapping[tuple[str, str], Pieces]) -> None:
        self.spec = spec
        self.names = names
        self.pieces = pieces
        self.constants: dict[int, str] = {}
        self.notes: list[Note] = []

    def text(self, name: str, shapes: list[str]) -> str:
        einsums = [self.einsum(statement) for statement in self.spec.statements]
        constants = [f"{shape} = {value}" for value, shape in self.constants.items()]
        lines = [f"cascade {name}", *(f"shape {shape}" for shape in (*constants, *shapes))]
        lines += [f"input {given}" for given in self.inputs()]
        return "\n".join([*lines, *einsums, ""])

    def inputs(self) -> list[str]:
        """What is read and not written: tensors at their declared ranks, and scalars; in order of reading."""
        written = {s.expression.output.name for s in self.spec.statements}
        found: dict[str, None] = {}
        for statement in self.spec.statements:
            for factor in statement.expression.factors:
                if factor.indices is None:
                    found[self.names.scalars[factor.name]] = None
                elif factor.name not in written:
                    ranks = [variable(rank) for rank in self.spec.declaration[factor.name]]
                    found[_access(self.names.tensors[factor.name], ranks)] = None
        return list(found)

    def einsum(self, statement: Statement) -> str:
        expression = statement.expression
        conditions = self.conditions(statement)
        left = self.factor(expression.output.name, expression.output)
        right = " + ".join(" * ".join(self.factor(expression.output.name, f) for f in t) for t in expression.terms)
        return f"{left} = {right}{f' for {conditions}' if conditions else ''}"

    def factor(self, einsum: str, factor: Factor) -> str:
        if factor.indices is None:
            return self.names.scalars[factor.name]
        indices = [self.index(einsum, factor, place) for place in range(len(factor.indices))]
        return _access(self.names.tensors[factor.name], indices)

    def index(self, einsum: str, factor: Factor, place: int) -> str:
        """One index, with a constant shape for every coefficient and the pieces of variables that are cut."""
        parts = (factor.indices or ())[place]
        terms = []
        for part in parts:
            name = variable(part.variable)
            cut = self.pieces.get((einsum, name))
            sign = "-" if part.coefficient < 0 else "+"
            if abs(part.coefficient) != 1:
                terms.append(f"{sign}{name}*{self.constant(abs(part.coefficient))}")
            elif cut is None:
                terms.append(f"{sign}{name}")
            else:
                terms.append(sign + (cut.index if sign == "+" else cut.index.replace("+", "-")))
        return "".join(terms).removeprefix("+")

    def constant(self, value: int) -> str:
        """The shape that stands for a coefficient."""
        if value not in self.constants:
            self.constants[value] = self.names.shape(f"C{value}")
        return self.constants[value]

    def conditions(self, statement: Statement) -> str:
        """`q-s>=0` for an index that may fall below 0, where TeAAL finds nothing and goes on."""
        expression, found = statement.expression, []
        for factor in expression.factors:
            for place, parts in enumerate(factor.indices or ()):
                if len(parts) == 1 and parts[0].coefficient == 1:
                    continue
                index = self.index(expression.output.name, factor, place)
                rank = self.spec.declaration[factor.name][place]
                span = statement.place.diagnostic("", offset=factor.offset, length=factor.length).span
                message = (
                    f"{factor.name} is read at {index}: sizes must keep it inside {rank}; TeAAL skips what is outside"
                )
                if span is not None:
                    self.notes.append(Note(message=message, span=span))
                if any(part.coefficient < 0 for part in parts):
                    if len(expression.terms) > 1:
                        self.refuse(statement, factor, index)
                    found.append(f"{index}>=0")
        return " & ".join(dict.fromkeys(found))

    def refuse(self, statement: Statement, factor: Factor, index: str) -> None:
        message = f"{index} may fall below 0 in one term of a sum"
        hint = "give this term an expression of its own"
        raise InputError((statement.place.diagnostic(message, hint=hint, offset=factor.offset, length=factor.length),))


def _access(name: str, indices: list[str]) -> str:
    return f"{name}[{','.join(indices)}]" if indices else name
