"""Quantities with units: exact conversion, dimension checks, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusemap.archspec import units
from fusemap.archspec.units import UNITS, Kind, parse_quantity, quantity
from fusemap.diagnostics import InputError

KINDS = [value for value in vars(units).values() if isinstance(value, Kind)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("64 GiB/s", units.BANDWIDTH, 64 * 2**30),
        ("400 GiB/s", units.BANDWIDTH, 400 * 2**30),
        ("400 GB/s", units.BANDWIDTH, 400 * 10**9),
        ("1 Gbit/s", units.BANDWIDTH, 125_000_000),
        ("1 bit/s", units.BANDWIDTH, 0.125),
        ("940 MHz", units.FREQUENCY, 940_000_000),
        ("0.94 GHz", units.FREQUENCY, 940_000_000),
        ("16 MiB", units.CAPACITY, 16 * 2**20),
        ("16MiB", units.CAPACITY, 16 * 2**20),
        ("0.5 KiB", units.CAPACITY, 512),
        ("4096 bit", units.CAPACITY, 512),
        ("2 B", units.CAPACITY, 2),
        ("64 bit", units.WIDTH, 64),
        ("8 B", units.WIDTH, 64),
        ("249.6 pJ", units.ENERGY, 249.6),
        ("8825 fJ", units.ENERGY, 8.825),
        ("0.1 nJ", units.ENERGY, 100),
        ("0 pJ", units.ENERGY, 0),
        ("3.9 pJ/bit", units.ENERGY_PER_BIT, 3.9),
        ("2 pJ/B", units.ENERGY_PER_BIT, 0.25),
        ("1545 um^2", units.AREA, 1545),
        ("1545 \u00b5m^2", units.AREA, 1545),
        ("2 mm^2", units.AREA, 2_000_000),
        ("10 ns", units.TIME, 1e-8),
        ("1e3 B", units.CAPACITY, 1000),
        ("(1 + 2) * 4 KiB", units.CAPACITY, 12 * 1024),
        ("round(1.26, 1) pJ", units.ENERGY, 1.3),
    ],
)
def test_values(text: str, kind: Kind, value: float) -> None:
    found = parse_quantity(text, kind)
    assert found == value and type(found) is type(value)


@given(st.integers(1, 10**9), st.sampled_from(sorted(UNITS)))
def test_a_whole_amount_of_any_unit_is_exact(amount: int, unit: str) -> None:
    kind = next((k for k in KINDS if UNITS[k.unit].dimension == UNITS[unit].dimension and not k.whole), None)
    if kind is None:
        kind = next(k for k in KINDS if UNITS[k.unit].dimension == UNITS[unit].dimension)
        unit = unit if UNITS[unit].factor % UNITS[kind.unit].factor == 0 else kind.unit
    exact = amount * UNITS[unit].factor / UNITS[kind.unit].factor
    found = parse_quantity(f"{amount} {unit}", kind)
    assert found == (int(exact) if exact.denominator == 1 else float(exact))


@given(st.decimals(min_value="0.001", max_value="1000000", places=3))
def test_decimal_amounts_round_once(amount: object) -> None:
    assert parse_quantity(f"{amount} pJ", units.ENERGY) == float(str(amount))
    assert parse_quantity(f"{amount} nJ", units.ENERGY) == float(Fraction(str(amount)) * 1000)


@given(st.integers(1, 10**12), st.sampled_from(["GiB/s", "MB/s", "kbit/s", "B/s"]))
def test_units_round_trip(value: int, unit: str) -> None:
    factor = UNITS[unit].factor / UNITS["B/s"].factor
    amount = Fraction(value) / factor
    text = f"{amount.numerator}" if amount.denominator == 1 else f"{amount.numerator} / {amount.denominator}"
    assert parse_quantity(f"{text} {unit}", units.BANDWIDTH) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("kind", KINDS, ids=[k.noun for k in KINDS])
def test_a_unit_is_accepted_exactly_where_its_dimension_fits(kind: Kind) -> None:
    for unit, known in UNITS.items():
        if known.dimension == UNITS[kind.unit].dimension:
            assert parse_quantity(f"4096 {unit}", kind) > 0
        else:
            with pytest.raises(InputError, match="expected"):
                parse_quantity(f"4096 {unit}", kind)


REFUSED = [
    ("16 MiB", units.BANDWIDTH, 1, "expected a bandwidth such as 400 GiB/s, found 16 MiB"),
    ("64", units.CAPACITY, 1, "expected a capacity such as 16 MiB, found 64 without a unit"),
    ("", units.CAPACITY, 1, "expected a capacity such as 16 MiB, found nothing"),
    ("pe * 4", units.CAPACITY, 1, "found pe * 4 without a unit"),
    ("64 KB", units.CAPACITY, 4, 'unknown unit "KB"'),
    ("64 GiBs", units.CAPACITY, 4, 'unknown unit "GiBs"'),
    ("64 GB / s", units.BANDWIDTH, 4, 'unknown unit "GB / s"'),
    ("-3 B", units.CAPACITY, 1, "a capacity must be positive, found -3 B"),
    ("0 B/s", units.BANDWIDTH, 1, "a bandwidth must be positive, found 0 B/s"),
    ("-0.5 pJ", units.ENERGY, 1, "an energy must not be negative, found -0.5 pJ"),
    ("1 - 2 pJ", units.ENERGY, 1, "an energy must not be negative"),
    ("nan B", units.CAPACITY, 1, 'unknown name "nan"'),
    ("inf B/s", units.BANDWIDTH, 1, 'unknown name "inf"'),
    ("0.3 B", units.CAPACITY, 1, "a capacity must be a whole number of B, found 0.3 B"),
    ("3 bit", units.CAPACITY, 1, "a capacity must be a whole number of B, found 3 bit"),
    ("1e999 Hz", units.FREQUENCY, 1, "number too large"),
    ("1e-99999999 Hz", units.FREQUENCY, 2, "expected a frequency"),
    ("1,000 B", units.CAPACITY, 2, 'expected an operator, found ","'),
    ("1 / 0 pJ", units.ENERGY, 3, "division by zero"),
    ("* 2 B", units.CAPACITY, 1, "expected a number, a name or a parenthesis"),
]


@pytest.mark.parametrize(("text", "kind", "column", "message"), REFUSED, ids=[r[0] or "empty" for r in REFUSED])
def test_refusals(text: str, kind: Kind, column: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(text, kind)
    diagnostic = caught.value.diagnostics[0]
    assert message in diagnostic.message
    assert diagnostic.span is not None and diagnostic.span.column == column


def test_hints_name_the_nearest_unit() -> None:
    with pytest.raises(InputError, match=r"did you mean kB \(1000\) or KiB \(1024\)\?"):
        parse_quantity("64 KB", units.CAPACITY)
    with pytest.raises(InputError, match="did you mean GiB/s"):
        parse_quantity("64 gib/s", units.BANDWIDTH)


def test_an_amount_may_be_an_expression_over_names() -> None:
    text = quantity("pe * tiles * 16 B", units.CAPACITY)
    assert text.amount.names() == {"pe", "tiles"}
    assert text.evaluate({"pe": 4, "tiles": 2}) == 128
    with pytest.raises(InputError, match="a capacity must be positive"):
        text.evaluate({"pe": 0, "tiles": 2})


@settings(max_examples=300, deadline=500)
@given(st.text(max_size=40) | st.text("0123456789.eE+-*/^() KMGiBbits/Jpum", max_size=30), st.sampled_from(KINDS))
def test_any_text_is_a_quantity_or_refused(text: str, kind: Kind) -> None:
    try:
        assert parse_quantity(text, kind) >= 0
    except InputError as error:
        assert all(d.span is not None for d in error.diagnostics)
