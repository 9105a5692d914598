"""Numbers for people: SI and binary prefixes, four significant digits, thousands separators."""

from __future__ import annotations

import math

_SI = {
    -18: "a",
    -15: "f",
    -12: "p",
    -9: "n",
    -6: "u",
    -3: "m",
    0: "",
    3: "k",
    6: "M",
    9: "G",
    12: "T",
    15: "P",
    18: "E",
}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def si(value: float, unit: str) -> str:
    """The value with a prefix that leaves one to three digits before the point.

    Seconds go without kilo; what is beyond all prefixes has an exponent.

    >>> si(0.02970036, "s"), si(999.96e-6, "J"), si(0, "s"), si(1392.96, "s"), si(2e9, "s")
    ('29.70 ms', '1.000 mJ', '0 s', '1,393 s', '2.000e+09 s')
    """
    if value == 0:
        return f"0 {unit}"
    digits = float(f"{value:.3e}")  # rounded first: 999.96 is 1.000 k
    largest = 0 if unit == "s" else max(_SI)
    if digits >= 1000 * 10.0 ** (largest + 3):
        return f"{value:.3e} {unit}"
    power = min(max(3 * math.floor(math.log10(abs(digits)) / 3), min(_SI)), largest)
    return f"{_four(digits / 10**power)} {_SI[power]}{unit}"


def joules(energy_pj: float) -> str:
    """An energy in pJ with a prefix.

    >>> joules(47998519616392.3)
    '48.00 J'
    """
    return si(energy_pj * 1e-12, "J")


def binary(size_bytes: float) -> str:
    """Bytes with a binary prefix.

    >>> binary(1610612736), binary(100), binary(0)
    ('1.500 GiB', '100 B', '0 B')
    """
    power = 0
    while abs(size_bytes) >= 1024 and power < len(_BINARY) - 1:
        size_bytes /= 1024
        power += 1
    return f"{_four(size_bytes) if power else f'{size_bytes:g}'} {_BINARY[power]}"


def area(area_um2: float) -> str:
    """An area in um^2 as mm^2.

    >>> area(1302951803.13), area(256)
    ('1,303 mm^2', '<0.001 mm^2')
    """
    mm2 = area_um2 / 1e6
    if 0 < mm2 < 0.0005:
        return "<0.001 mm^2"
    return f"{mm2:,.0f} mm^2" if mm2 >= 1000 else f"{_four(mm2)} mm^2"


def number(value: float) -> str:
    """A count: all digits of a whole number, otherwise seven significant ones.

    >>> number(824633720832), number(824633720832.0), number(12512.760572), number(0.0077519)
    ('824,633,720,832', '824,633,720,832', '12,512.76', '0.0077519')
    """
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.7g}"


def percent(share: float) -> str:
    """A share of one in per cent.

    >>> percent(0.96479), percent(1.0), percent(0.00004), percent(0)
    ('96.5 %', '100.0 %', '<0.1 %', '0.0 %')
    """
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def part_of(part: float, whole: float) -> str:
    """A part in per cent of the whole; of nothing, nothing.

    >>> part_of(1, 4), part_of(0, 0)
    ('25.0 %', '0.0 %')
    """
    return percent(part / whole if whole else 0.0)


def ratio(value: float) -> str:
    """A factor with two digits that matter.

    >>> ratio(7.92), ratio(0.1263), ratio(1234.5)
    ('7.9x', '0.13x', '1,234x')
    """
    return f"{value:,.0f}x" if value >= 100 else f"{value:.2g}x"


def _four(value: float) -> str:
    """Four significant digits of a number below 1,024, zeros kept; 1,000 and above without a fraction."""
    size = abs(value)
    decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:,.{decimals}f}"
