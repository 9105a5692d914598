"""What the columns of a store are called, in which unit they are, and which way is better: a table, for all pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Sense: TypeAlias = Literal["min", "max"]

_SI = {10.0 ** (3 * (n - 5)): prefix for n, prefix in enumerate(("f", "p", "n", "µ", "m", "", *"kMGTPE"))}
_BINARY = {2.0 ** (10 * n): s for n, s in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How a number is written: times `factor` it is in `symbol`, which takes one of the prefixes."""

    symbol: str
    factor: float = 1.0
    prefixes: Mapping[float, str]
    round_base: int = 10  # ticks are powers of this


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One unit for many numbers: a value times `factor` is in `unit` (empty for plain numbers).

    Where numbers are too different for one prefix, each has its own of `prefixes`.
    """

    factor: float
    unit: str
    prefixes: Mapping[float, str] = field(default_factory=dict)

    def text(self, value: float) -> str:
        """The value in this unit, without it: four digits, or all of a whole number.

        >>> Scale(factor=1e3, unit="ms").text(0.0297004), Scale(factor=1.0, unit="").text(65536)
        ('29.70', '65,536')
        """
        scaled = value * self.factor
        if self.prefixes or abs(scaled) >= 1e4 or scaled == round(scaled):
            return self.tick(scaled)
        return f"{scaled:#.4g}".rstrip(".")

    def tick(self, scaled: float) -> str:
        """As `text`, of a value that is in the unit already, without zeros at its end.

        >>> Scale(factor=1.0, unit="B", prefixes={1.0: "", 1024.0: "Ki"}).tick(65536)
        '64Ki'
        """
        if self.prefixes:
            size = max((s for s in self.prefixes if s <= abs(scaled)), default=min(self.prefixes))
            return f"{scaled / size:,.4g}{self.prefixes[size]}"
        return f"{scaled:,.0f}" if abs(scaled) >= 1e4 else f"{scaled:,.4g}"


_FAR = 4096.0  # of a unit of bytes: from there numbers have a prefix each
_NO_PREFIX = MappingProxyType({1.0: ""})
_SECONDS = MappingProxyType({size: prefix for size, prefix in _SI.items() if size <= 1})
_PLAIN = Unit(symbol="", prefixes=_NO_PREFIX)
_NAMED: Mapping[str, Unit] = MappingProxyType({"length": Unit(symbol="tokens", prefixes=_NO_PREFIX, round_base=2)})
# by the end of a column's name, the longest first
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "_bytes_per_s": Unit(symbol="B/s", prefixes=_BINARY, round_base=2),
        "_bytes": Unit(symbol="B", prefixes=_BINARY, round_base=2),
        "_bits": Unit(symbol="bit", prefixes=_NO_PREFIX, round_base=2),
        "_um2": Unit(symbol="mm²", factor=1e-6, prefixes=_NO_PREFIX),
        "_hz": Unit(symbol="Hz", prefixes=_SI),
        "_pj": Unit(symbol="J", factor=1e-12, prefixes=_SI),
        "_s": Unit(symbol="s", prefixes=_SECONDS),
    }
)
# what a result is called where its column's name does not say it, and which way is better
WORDS: Mapping[str, str] = MappingProxyType({"traffic_bytes": "off-chip traffic", "mapped_by": "dataflow found"})
_MORE_IS_BETTER = ("utilization.",)


def unit_of(column: str) -> Unit:
    """The unit of a column, by its name.

    >>> unit_of("energy_pj").symbol, unit_of("dram.bandwidth_bytes_per_s").symbol, unit_of("pe").symbol
    ('J', 'B/s', '')
    """
    ending = next((end for end in UNITS if column.endswith(end)), "")
    return _NAMED.get(column) or UNITS.get(ending, _PLAIN)


def stem(column: str) -> str:
    """The column's name without its unit, as a short name for it.

    >>> stem("area_um2"), stem("dram.bandwidth_bytes_per_s"), stem("pe")
    ('area', 'dram.bandwidth', 'pe')
    """
    return next((column.removesuffix(end) for end in UNITS if column.endswith(end)), column)


def words_of(column: str) -> str:
    """What a column is called in a sentence.

    >>> words_of("traffic_bytes"), words_of("utilization.array_2d"), words_of("dram.bandwidth_bytes_per_s")
    ('off-chip traffic', 'utilization of array_2d', 'dram bandwidth')
    """
    owner, dot, what = column.partition(".")
    if owner == "utilization" and dot:
        return f"utilization of {what}"
    return WORDS.get(column) or stem(column).replace(".", " ")


def better(column: str) -> Sense:
    """Which way a result is better.

    >>> better("latency_s"), better("utilization.array_1d")
    ('min', 'max')
    """
    return "max" if column.startswith(_MORE_IS_BETTER) else "min"


def scale_of(column: str, values: Iterable[float]) -> Scale:
    """The unit with the prefix that suits most of some values: their geometric middle has one to three digits.

    Bytes of very different size have a prefix each.

    >>> scale_of("latency_s", [0.002, 0.5]).unit, scale_of("global_buffer.capacity_bytes", [2**21, 2**26]).unit
    ('ms', 'MiB')
    >>> scale_of("global_buffer.capacity_bytes", [2**16, 2**26]).text(2**16)
    '64Ki'
    """
    unit = unit_of(column)
    sizes = [abs(v) * unit.factor for v in values if v]
    middle = math.sqrt(min(sizes) * max(sizes)) if sizes else 1.0
    if unit.round_base == 2 and sizes:  # of bytes the least is 1 or more
        middle = min(sizes)
    size = max((s for s in unit.prefixes if s <= middle * (1 + 1e-9)), default=min(unit.prefixes))
    if unit.round_base == 2 and len(unit.prefixes) > 1 and sizes and max(sizes) >= _FAR * size:
        return Scale(factor=unit.factor, unit=unit.symbol, prefixes=unit.prefixes)
    return Scale(factor=unit.factor / size, unit=_joined(unit.prefixes[size], unit.symbol))


def _joined(prefix: str, symbol: str) -> str:
    """`MiB`, but `Ki tokens`."""
    return f"{prefix} {symbol}" if prefix and len(symbol) > 3 else f"{prefix}{symbol}"


def axis_label(column: str, scale: Scale) -> str:
    """The label of an axis: what and in which unit.

    >>> axis_label("latency_s", Scale(factor=1e3, unit="ms"))
    'latency (ms)'
    """
    return f"{words_of(column)} ({scale.unit})" if scale.unit else words_of(column)


def shown(column: str, value: object) -> str:
    """One value with its unit.

    >>> shown("latency_s", 0.02970036), shown("global_buffer.capacity_bytes", 16 << 20), shown("cascade", "softmax")
    ('29.70 ms', '16 MiB', 'softmax')
    """
    if not isinstance(value, int | float):
        return "-" if value is None else str(value)
    scale = scale_of(column, [value])
    return f"{scale.text(value)} {scale.unit}".rstrip()


def listed(items: Sequence[str]) -> str:
    """Items as a sentence has them.

    >>> listed(["latency", "energy", "area"])
    'latency, energy and area'
    """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
