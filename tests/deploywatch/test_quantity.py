"""Quantities are exact, and read back as they are written."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.config import Settings
from deploywatch.plurals import number_of
from deploywatch.quantity import (
    _SUFFIXES,
    Duration,
    Quantity,
    QuantityField,
    Unit,
    format_duration,
    parse_duration,
    parse_quantity,
    plain,
)

numbers = st.decimals(min_value=-(10**12), max_value=10**12, places=9).map(lambda n: n.normalize())
short = st.decimals(min_value=0, max_value=10**6, places=3).map(lambda n: f"{n:f}")
suffixes = st.sampled_from(list(_SUFFIXES))


@given(st.builds(Quantity, numbers, st.sampled_from(Unit)))
def test_what_is_written_reads_back_the_same(quantity: Quantity) -> None:
    assert parse_quantity(str(quantity)) == quantity


@given(short, suffixes)
def test_whatever_is_read_can_be_written_and_read_again(number: str, suffix: str) -> None:
    quantity = parse_quantity(number + suffix)
    assert parse_quantity(str(quantity)) == quantity


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_a_share_in_percent_is_exact(digits: int, places: int) -> None:
    number = Decimal(digits).scaleb(-places)
    assert parse_quantity(f"{number:f}%").value == number / 100


@given(st.timedeltas(min_value=timedelta(0)))
def test_a_duration_reads_back_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_is_read_or_refused_with_an_explanation(text: str) -> None:
    for parse in (parse_quantity, parse_duration):
        try:
            parse(text)
        except ValueError as error:
            assert "such as" in str(error) or "duration" in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("text", "value", "unit", "written"),
    [
        ("1%", "0.01", Unit.RATIO, "1%"),
        ("99.95 %", "0.9995", Unit.RATIO, "99.95%"),
        ("500ms", "0.5", Unit.SECONDS, "500ms"),
        ("2000ms", "2", Unit.SECONDS, "2s"),
        ("1h30m", "5400", Unit.SECONDS, "1h30m"),
        ("-1h30m", "-5400", Unit.SECONDS, "-1h30m"),
        ("90m", "5400", Unit.SECONDS, "1h30m"),
        ("1m0.5s", "60.5", Unit.SECONDS, "1m500ms"),
        ("1m1.5s", "61.5", Unit.SECONDS, "1m1.5s"),
        ("250us", "0.00025", Unit.SECONDS, "0.25ms"),
        ("0s", "0", Unit.SECONDS, "0s"),
        ("512MiB", "536870912", Unit.BYTES, "536870912B"),
        ("2kB", "2000", Unit.BYTES, "2000B"),
        ("$1000", "1000", Unit.MONEY, "$1000"),
        ("$9.99", "9.99", Unit.MONEY, "$9.99"),
        ("1000", "1000", Unit.COUNT, "1000"),
        ("-4.50", "-4.5", Unit.COUNT, "-4.5"),
        ("100/s", "100", Unit.PER_SECOND, "100/s"),
        ("30/min", "0.5", Unit.PER_SECOND, "0.5/s"),
        ("1800/h", "0.5", Unit.PER_SECOND, "0.5/s"),
    ],
)
def test_quantities(text: str, value: str, unit: Unit, written: str) -> None:
    quantity = parse_quantity(text)
    assert quantity == Quantity(Decimal(value), unit)
    assert str(quantity) == written


@pytest.mark.parametrize(
    "text", ["", "%", "1 parsec", "1%%", "1e3", "1h-30m", "--1s", "$5%", "5$", "1,000", "1h 30m", "٣s", "NaN", "inf"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity; write a number with its unit, such as 500ms, 1%"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5", "'5' is not a duration; write it with its unit, such as 30s, 500ms or 1h30m; did you mean 5s?"),
        (5, "did you mean 5s?"),
        (True, "write a duration with its unit"),
        (None, "write a duration with its unit"),
        ("5%", "is not a duration"),
        ("-5s", "is negative; a duration is zero or more"),
        ("500ns", "is too fine; a duration is a whole number of microseconds"),
        ("9999999999w", "is too long for a duration"),
    ],
)
def test_what_is_no_duration_is_refused(value: object, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("?", r"\?")):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "text"), [("100", "100"), ("1E+3", "1000"), ("0.10", "0.1"), ("-0.00", "-0"), ("1E-9", "0.000000001")]
)
def test_decimals_are_written_without_exponent_and_needless_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


class Example(Settings):
    every: Duration = timedelta(seconds=30)
    bound: QuantityField = Quantity(Decimal(1), Unit.COUNT)


def test_config_fields_are_written_as_they_are_read() -> None:
    example = Example.model_validate({"every": "1m30s", "bound": "0.1%"})
    assert example.model_dump(mode="json") == {"every": "1m30s", "bound": "0.1%"}
    assert Example.model_validate(example.model_dump(mode="json")) == example


def test_a_float_in_a_config_brings_no_noise() -> None:
    assert Example.model_validate({"bound": 0.1}).bound.value == Decimal("0.1")


def test_every_unit_has_an_example_in_that_unit() -> None:
    assert all(parse_quantity(unit.example).unit is unit for unit in Unit)


def test_how_many_there_are_is_written_as_people_say_it() -> None:
    assert [number_of(count, "rollback") for count in (0, 1, 2)] == ["0 rollbacks", "1 rollback", "2 rollbacks"]
    assert number_of(1904, "request") == "1,904 requests"
    assert number_of("many", "request") == "many requests"
    assert [number_of(count, "series", "series") for count in (1, 2)] == ["1 series", "2 series"]
