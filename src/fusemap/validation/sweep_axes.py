"""The values of an axis: from what a file lists, or from a range, exactly and in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from fusemap.archspec.document import TextFault
from fusemap.archspec.units import BANDWIDTH, CAPACITY, FREQUENCY, WIDTH, Kind, parse_quantity, quantity
from fusemap.archspec.workloads import parse_length
from fusemap.diagnostics import InputError
from fusemap.validation.sweep_model import RangeModel, Scalar, Values

Number: TypeAlias = int | float

MOST = 1_000_000  # values of one axis
LARGEST = 1 << 60
KINDS = {"clock": FREQUENCY, "word": CAPACITY, "capacity": CAPACITY, "bandwidth": BANDWIDTH, "width": WIDTH}
_UNIT = {"capacity": "capacity_bytes", "bandwidth": "bandwidth_bytes_per_s", "width": "width_bits"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A column of the results and its values in the order of the sweep; `section` is the file's, `key` the name there.

    The values are texts, or numbers that are all ints or all floats.
    """

    column: str
    section: str
    key: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """True for numbers, False for names."""
        return not isinstance(self.values[0], str)


def column_of(section: str, key: str) -> str:
    """The name of an axis in results and conditions: with its unit, as expressions of a dataflow name it.

    >>> column_of("machine", "dram.bandwidth"), column_of("machine", "clock"), column_of("parameters", "pe")
    ('dram.bandwidth_bytes_per_s', 'clock_hz', 'pe')
    """
    if section != "machine":
        return key
    if key in ("clock", "word"):
        return {"clock": "clock_hz", "word": "word_bytes"}[key]
    owner, _, what = key.rpartition(".")
    return f"{owner}.{_UNIT.get(what, what)}"


def axis_values(section: str, key: str, values: Values) -> tuple[Any, ...]:
    """The numbers that a file gives for an axis; TextFault that says what is wrong.

    >>> axis_values("parameters", "pe", RangeModel.model_validate({"from": 64, "to": 512, "factor": 2}))
    (64, 128, 256, 512)
    >>> axis_values("machine", "clock", ["940 MHz", "1.2 GHz"])
    (940000000, 1200000000)
    """
    read = _reader(section, key)
    if isinstance(values, RangeModel):
        found = _range(values, read, rounded=_whole_only(section, key))
    else:
        given = values if isinstance(values, list) else [values]
        found = [read(value) for value in given]
    if not found:
        raise TextFault("expected at least one value")
    if isinstance(values, list) and len(set(found)) < len(found):
        twice = next(value for value in found if found.count(value) > 1)
        raise TextFault(f"the value {_plain(twice)} is listed twice")
    numbers = [_plain(value) for value in found]
    if _whole_only(section, key):
        bad = next((n for n in numbers if not isinstance(n, int) or not 1 <= n <= LARGEST), None)
        if bad is not None:
            raise TextFault(f"expected whole numbers from 1 to {LARGEST:,}, found {bad}")
    return tuple(numbers) if all(isinstance(n, int) for n in numbers) else tuple(float(n) for n in numbers)


def _whole_only(section: str, key: str) -> bool:
    """True for sizes, and for numbers of a machine in units that cannot be divided (B, bit, elements)."""
    if section != "machine":
        return section in ("length", "sizes")
    kind = KINDS.get(key.rpartition(".")[2])
    return kind is None or kind.whole


def _plain(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else float(value)


def _reader(section: str, key: str) -> Callable[[Scalar], Fraction]:
    """How one value of an axis is read."""
    what = key.rpartition(".")[2]
    if section == "machine" and what in KINDS:
        return lambda value: _quantity(value, KINDS[what])
    return _length if section == "length" else _number


def _quantity(value: Scalar, kind: Kind) -> Fraction:
    text = value if isinstance(value, str) else repr(value)
    quantity(text, kind)  # its TextFault has no place yet, that of parse_quantity has
    try:
        return Fraction(parse_quantity(text, kind))
    except InputError as error:
        raise TextFault(error.diagnostics[0].message) from None


def _length(value: Scalar) -> Fraction:
    return Fraction(parse_length(value if isinstance(value, str) else repr(value)))


def _number(value: Scalar) -> Fraction:
    if isinstance(value, str) or not math.isfinite(value):
        raise TextFault(f'expected a number, found "{value}"')
    return Fraction(repr(value))


def _range(model: RangeModel, read: Callable[[Scalar], Fraction], *, rounded: bool) -> list[Fraction]:
    first, last = read(model.from_), read(model.to)
    given = [name for name in ("step", "factor", "count") if getattr(model, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise TextFault(f"a range has one of step, factor and count, found {found}")
    if last < first:
        raise TextFault(f"a range goes up: from {_plain(first)} to {_plain(last)} does not")
    if model.step is not None:
        return _steps(first, last, read(model.step))
    if model.factor is not None:
        return _factors(first, last, Fraction(repr(model.factor)))
    return _spaced(first, last, model.count or 1, log=model.scale == "log", rounded=rounded)


def _steps(first: Fraction, last: Fraction, step: Fraction) -> list[Fraction]:
    if step <= 0:
        raise TextFault(f"a step must be positive, found {_plain(step)}")
    count = (last - first) // step + 1
    _require_few(count)
    return [first + i * step for i in range(count)]


def _factors(first: Fraction, last: Fraction, factor: Fraction) -> list[Fraction]:
    if factor <= 1 or first <= 0:
        raise TextFault("a range with a factor starts above 0, and its factor is above 1")
    found = [first]
    while found[-1] * factor <= last:
        found.append(found[-1] * factor)
        _require_few(len(found))
    return found


def _spaced(first: Fraction, last: Fraction, count: int, *, log: bool, rounded: bool) -> list[Fraction]:
    if count == 1 or first == last:
        return [first]
    if log and first <= 0:
        raise TextFault("a range with a log scale starts above 0")
    rounded |= log and first.denominator == last.denominator == 1
    parts = [Fraction(i, count - 1) for i in range(1, count - 1)]
    if log:
        inner = [Fraction(float(first) * float(last / first) ** float(part)) for part in parts]
    else:
        inner = [first + (last - first) * part for part in parts]
    return list(dict.fromkeys([first, *(Fraction(round(v)) if rounded else v for v in inner), last]))


def _require_few(count: int) -> None:
    if count > MOST:
        raise TextFault(f"more than {MOST:,} values on one axis")
