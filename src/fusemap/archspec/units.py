"""Quantities of a file, "400 GiB/s", as numbers in the unit that their field is kept in.

A quantity is a number, or an expression, followed by a unit; conversion is exact (400 GiB/s is the
integer 400 * 2**30) and a unit of another dimension is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.batches import by_value
from fusemap.archspec.document import Place, TextFault, text_place
from fusemap.archspec.expressions import Expression, parse_text
from fusemap.diagnostics import nearest

_DECIMAL = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_MICRO = ("u", "\u00b5", "\u03bc")
_SMALL = {"f": -15, "p": -12, "n": -9, **dict.fromkeys(_MICRO, -6), "m": -3, "": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit's dimension and how many base units (bit, second, Hz, pJ, um^2) it is."""

    dimension: str
    factor: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a field measures: its noun, the unit it is kept in, an example, and whether zero makes sense."""

    noun: str
    unit: str
    example: str
    zero: bool = False
    whole: bool = False


def _units() -> dict[str, Unit]:
    bits = {"bit": Fraction(1), "B": Fraction(8)}
    scale = {prefix: Fraction(10) ** power for prefix, power in _DECIMAL.items()}
    scale |= {f"{prefix}i": Fraction(2) ** (10 * (at + 1)) for at, prefix in enumerate("KMGTP")}
    amounts = {f"{prefix}{unit}": size * factor for prefix, factor in scale.items() for unit, size in bits.items()}
    energies = {f"{prefix}J": Fraction(10) ** (power + 12) for prefix, power in _SMALL.items()}
    lengths = {"nm": -3, **{f"{micro}m": 0 for micro in _MICRO}, "mm": 3}
    return {
        **{name: Unit(dimension="amount", factor=factor) for name, factor in amounts.items()},
        **{f"{name}/s": Unit(dimension="rate", factor=factor) for name, factor in amounts.items()},
        **{f"{prefix}Hz": Unit(dimension="frequency", factor=Fraction(10) ** p) for prefix, p in _DECIMAL.items()},
        **{f"{p}s": Unit(dimension="time", factor=Fraction(10) ** power) for p, power in _SMALL.items() if p != "f"},
        **{name: Unit(dimension="energy", factor=factor) for name, factor in energies.items()},
        **{
            f"{name}/{unit}": Unit(dimension="energy per amount", factor=factor / size)
            for name, factor in energies.items()
            for unit, size in bits.items()
        },
        **{f"{name}^2": Unit(dimension="area", factor=Fraction(10) ** (2 * p)) for name, p in lengths.items()},
        **{name: Unit(dimension="length", factor=Fraction(10) ** p) for name, p in lengths.items()},
    }


UNITS: Mapping[str, Unit] = _units()

CAPACITY = Kind(noun="a capacity", unit="B", example="16 MiB", whole=True)
BANDWIDTH = Kind(noun="a bandwidth", unit="B/s", example="400 GiB/s")
WIDTH = Kind(noun="a width", unit="bit", example="64 bit", whole=True)
FREQUENCY = Kind(noun="a frequency", unit="Hz", example="940 MHz")
TIME = Kind(noun="a time", unit="s", example="10 ns", zero=True)
ENERGY = Kind(noun="an energy", unit="pJ", example="249.6 pJ", zero=True)
ENERGY_PER_BIT = Kind(noun="an energy per bit", unit="pJ/bit", example="3.9 pJ/bit", zero=True)
AREA = Kind(noun="an area", unit="um^2", example="1545 um^2", zero=True)
TECHNOLOGY = Kind(noun="a technology", unit="nm", example="45 nm")

_NUMBER = re.compile(
    r"\s*(?P<amount>-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)\s*(?P<unit>[^\W\d_].*)?"
)
_SCALED = re.compile(r"(?P<amount>.*(?:[\w.]\s|\))\s*)(?P<unit>[^\W\d_][^\s()]*)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityText:
    """An amount (an expression) in a unit; `exact` is the amount when it is written as a number."""

    amount: Expression
    unit: str
    kind: Kind
    text: str
    exact: Fraction | None

    def at(self, place: Place) -> QuantityText:
        """The same quantity, whose errors point at another place."""
        return replace(self, amount=self.amount.at(place))

    def evaluate(self, names: Mapping[str, Value]) -> Value:
        """The value in the kind's unit, under the given names; an int when it is whole."""
        try:
            if self.exact is not None:
                return _convert(self.exact, self)
            amount = self.amount.evaluate_text(names)
            value: Value = by_value(lambda number: _convert(Fraction(number), self), amount)
            return value
        except TextFault as fault:
            raise fault.at(self.amount.place) from None

    def __str__(self) -> str:
        return self.text


def parse_quantity(text: str, kind: Kind, *, place: Place | None = None) -> Value:
    """The value of a quantity without names, in the kind's unit: an int when it is whole.

    >>> parse_quantity("400 GiB/s", BANDWIDTH), parse_quantity("3.9 pJ/bit", ENERGY_PER_BIT)
    (429496729600, 3.9)
    """
    place = place or text_place(text, "<quantity>")
    try:
        return quantity(text, kind).at(place).evaluate({})
    except TextFault as fault:
        raise fault.at(place) from None


def quantity(text: str, kind: Kind) -> QuantityText:
    """The quantity that a text spells; TextFault for a missing, unknown or unfit unit or a bad amount.

    >>> quantity("pe * 64 KiB", CAPACITY).evaluate({"pe": 2})
    131072
    """
    match = _NUMBER.fullmatch(text) or _SCALED.fullmatch(text)
    if match is None or not match["unit"]:
        found = f"{_shown(text)} without a unit" if text.strip() else "nothing"
        raise TextFault(f"expected {kind.noun} such as {kind.example}, found {found}")
    unit = match["unit"].strip()
    _check_unit(unit, match.start("unit"), kind, text)
    amount = parse_text(match["amount"])
    exact = Fraction(match["amount"].strip()) if match.re is _NUMBER else None
    parsed = QuantityText(amount=amount, unit=unit, kind=kind, text=text, exact=exact)
    if exact is not None:
        _convert(exact, parsed)
    return parsed


def _check_unit(unit: str, offset: int, kind: Kind, text: str) -> None:
    wanted = UNITS[kind.unit].dimension
    if unit not in UNITS:
        hint = _unit_hint(unit, [name for name, known in UNITS.items() if known.dimension == wanted])
        message = f'unknown unit "{unit[:30]}": expected {kind.noun} such as {kind.example}'
        raise TextFault(message, offset=offset, length=len(unit), hint=hint)
    if UNITS[unit].dimension != wanted:
        raise TextFault(f"expected {kind.noun} such as {kind.example}, found {_shown(text)}")


def _unit_hint(unit: str, valid: list[str]) -> str:
    decimal, binary = f"k{unit[1:]}", f"Ki{unit[1:]}"
    if unit[:1] == "K" and decimal in valid and binary in valid:
        return f"did you mean {decimal} (1000) or {binary} (1024)?"
    close = nearest(unit, [name for name in valid if name.isascii()])
    return f"did you mean {close}?" if close is not None else ""


def _convert(amount: Fraction, parsed: QuantityText) -> Value:
    kind = parsed.kind
    if amount < 0 or (amount == 0 and not kind.zero):
        rule = "must not be negative" if kind.zero else "must be positive"
        raise TextFault(f"{kind.noun} {rule}, found {_shown(parsed.text)}")
    value = amount * UNITS[parsed.unit].factor / UNITS[kind.unit].factor
    if value.denominator == 1 and value < 1 << 1000:
        return value.numerator
    if kind.whole:
        raise TextFault(f"{kind.noun} must be a whole number of {kind.unit}, found {_shown(parsed.text)}")
    try:
        return float(value)
    except OverflowError:
        raise TextFault(f"{kind.noun} is too large: {_shown(parsed.text)}") from None


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
