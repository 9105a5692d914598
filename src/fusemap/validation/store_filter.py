"""Conditions on the rows of a store: `pe >= 64 and cascade == attention-1pass`.

A condition on numbers is an expression of `fusemap.archspec.expressions`, evaluated here. One on a text compares a
column with a name, and is given to SQLite with the name as a parameter. Nothing of the user's text becomes SQL or code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.batches import collapsed, run
from fusemap.archspec.divergence import Texts
from fusemap.archspec.document import Place, TextFault, text_place
from fusemap.archspec.expressions import Expression, parse_text
from fusemap.archspec.lanes import Lanes
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.store_layout import Layout, names_in, quoted

OPTION = "--where"
_PART = re.compile(r""""[^"]*"|'[^']*'|[()]|(?<![^\s)])and(?![^\s(])""")
_TEXT_TERM = re.compile(r"""\s*([A-Za-z_][\w.]*)\s*(==|!=|=)\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>()]+))\s*""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTerm:
    """A text column must be (or must not be) a name."""

    column: str
    equal: bool
    value: str

    @property
    def sql(self) -> str:
        """The term as SQL with one parameter; a row without a text is not equal to any."""
        return f"{quoted(self.column)} IS {'' if self.equal else 'NOT '}?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions that all have to hold, and the texts that they were given as."""

    texts: tuple[str, ...] = ()
    terms: tuple[TextTerm, ...] = ()
    expressions: tuple[Expression, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The numeric columns that it needs, in alphabetical order."""
        return tuple(sorted({name for e in self.expressions for name in e.names()}))

    def sql(self) -> tuple[str, tuple[str, ...]]:
        """The conditions on texts as the end of a query, and its parameters."""
        clause = " AND ".join(term.sql for term in self.terms)
        return (f" WHERE {clause}" if clause else ""), tuple(term.value for term in self.terms)

    def holds(self, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.bool_]:
        """The rows of a block in which all conditions on numbers hold; InputError where one has no value."""
        held = np.ones(rows, dtype=bool)
        for expression in self.expressions:
            places = np.flatnonzero(held)
            if len(places):
                held[places] = _true(expression, {name: columns[name][places] for name in expression.names()}, places)
        return held


def parse_filter(texts: Sequence[str], layout: Layout) -> Filter:
    """The filter of some texts, parts of which are joined by `and`; InputError lists all faults with their place.

    The columns are those of the layout: an unknown one, or a name that no row has, is an error with the nearest one.
    """
    errors: list[Diagnostic] = []
    terms: list[TextTerm] = []
    expressions: list[Expression] = []
    for text in texts:
        place = text_place(text, OPTION)
        for part in _parts(text):
            try:
                found = _text_term(part, layout) or _expression(part, place, layout)
            except TextFault as fault:
                at = {"offset": fault.offset, "length": max(1, fault.length)}
                errors.append(place.diagnostic(fault.message, hint=fault.hint, **at))
                continue
            if isinstance(found, TextTerm):
                terms.append(found)
            else:
                expressions.append(found)
    if errors:
        raise InputError(tuple(errors))
    return Filter(texts=tuple(texts), terms=tuple(terms), expressions=tuple(expressions))


def _parts(text: str) -> Iterator[str]:
    """The parts between the `and`s outside parentheses and quotes, behind as many blanks as stand before them."""
    start, depth = 0, 0
    for match in _PART.finditer(text):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if match[0] == "and" and depth <= 0:
            yield " " * start + text[start : match.start()]
            start = match.end()
    yield " " * start + text[start:]


def _text_term(part: str, layout: Layout) -> TextTerm | None:
    """A comparison of a text column with a name; None where the part is something else, TextFault for no row's name."""
    match = _TEXT_TERM.fullmatch(part)
    if match is None:
        return None
    column, value = match[1], next(group for group in match.groups()[2:] if group is not None)
    if layout.kinds.get(column) != "TEXT":
        return None
    names = names_in(layout, column) if column != "reason" else []
    if names and value not in names:
        start = match.start() + match[0].rindex(value) if value else match.start(1)
        hint = did_you_mean(value, names, noun=f"values of {column}")
        raise TextFault(f'no row has {column} "{value}"', offset=start, length=max(1, len(value)), hint=hint)
    return TextTerm(column=column, equal=match[2] != "!=", value=value)


def _expression(part: str, place: Place, layout: Layout) -> Expression:
    """A condition on numbers; TextFault for what is wrong with it."""
    known = layout.kinds
    if not part.strip():
        raise TextFault("expected a condition, found nothing", offset=len(part))
    term = _TEXT_TERM.fullmatch(part)
    if term is not None and term[1] not in known:  # before the grammar of numbers refuses its right side
        raise _unknown(term[1], term.start(1), known)
    try:
        found = parse_text(part, place)
    except TextFault as fault:
        raise TextFault(fault.message, offset=fault.offset, length=max(1, fault.length), hint=_hint(fault)) from None
    for name in sorted(found.names()):
        offset = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", part)
        at = offset.start() if offset else 0
        if name not in known:
            raise _unknown(name, at, known)
        if known[name] == "TEXT":
            message = f"{name} is a text, which can only be compared with a name"
            raise TextFault(message, offset=at, length=len(name), hint=f"such as {name} == NAME or {name} != NAME")
    return found


def _hint(fault: TextFault) -> str:
    """What joins conditions, where the fault is a word that does in other languages."""
    joined = any(word in fault.message for word in ('"or"', '"and"', '"not"', '"|"', '"&"'))
    return "A and B outside parentheses, max(A, B) for either, A == 0 for not" if joined else fault.hint


def _unknown(name: str, offset: int, known: Mapping[str, str]) -> TextFault:
    hint = did_you_mean(name, list(known), noun="columns")
    return TextFault(f'the store has no column "{name}"', offset=offset, length=len(name), hint=hint)


def _true(expression: Expression, columns: Mapping[str, NDArray[Any]], places: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an expression of some columns is not 0."""
    texts = Texts()
    batch = {name: collapsed(values, texts) for name, values in columns.items()}
    result = np.zeros(len(places), dtype=bool)
    for group in run(expression.evaluate, batch, np.arange(len(places))):
        if group.refusal is not None:
            raise group.refusal
        value = group.result
        result[group.index] = value.values.astype(bool) if isinstance(value, Lanes) else bool(value)
    return result
