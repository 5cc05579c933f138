"""Quantities with units: durations, ratios, bytes, money, counts and rates, exact as `Decimal`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


class Unit(Enum):
    """What a number is a number of; the value is the base unit as it is written to people."""

    SECONDS = "s"
    RATIO = "ratio"
    BYTES = "B"
    MONEY = "$"
    COUNT = "count"
    PER_SECOND = "/s"

    @property
    def example(self) -> str:
        """A quantity in this unit, to show in error messages."""
        return _EXAMPLES[self]


_EXAMPLES = {
    Unit.SECONDS: "500ms",
    Unit.RATIO: "1%",
    Unit.BYTES: "512MiB",
    Unit.MONEY: "$1000",
    Unit.COUNT: "1000",
    Unit.PER_SECOND: "100/s",
}

_SUFFIXES: dict[str, tuple[Unit, Decimal]] = {
    "": (Unit.COUNT, Decimal(1)),
    "ns": (Unit.SECONDS, Decimal("1e-9")),
    "us": (Unit.SECONDS, Decimal("1e-6")),
    "µs": (Unit.SECONDS, Decimal("1e-6")),
    "ms": (Unit.SECONDS, Decimal("0.001")),
    "s": (Unit.SECONDS, Decimal(1)),
    "m": (Unit.SECONDS, Decimal(60)),
    "h": (Unit.SECONDS, Decimal(3600)),
    "d": (Unit.SECONDS, Decimal(86400)),
    "w": (Unit.SECONDS, Decimal(604800)),
    "%": (Unit.RATIO, Decimal("0.01")),
    "B": (Unit.BYTES, Decimal(1)),
    "kB": (Unit.BYTES, Decimal(10**3)),
    "MB": (Unit.BYTES, Decimal(10**6)),
    "GB": (Unit.BYTES, Decimal(10**9)),
    "TB": (Unit.BYTES, Decimal(10**12)),
    "KiB": (Unit.BYTES, Decimal(2**10)),
    "MiB": (Unit.BYTES, Decimal(2**20)),
    "GiB": (Unit.BYTES, Decimal(2**30)),
    "TiB": (Unit.BYTES, Decimal(2**40)),
    "/s": (Unit.PER_SECOND, Decimal(1)),
    "/min": (Unit.PER_SECOND, Decimal(60)),
    "/h": (Unit.PER_SECOND, Decimal(3600)),
}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_QUANTITY = re.compile(rf"(?P<money>\$)?(?P<number>-?{_NUMBER})\s*(?P<suffix>[a-zA-Zµ/%]*)")
_DURATION = re.compile(rf"-?(?:{_NUMBER}(?:ns|us|µs|ms|s|m|h|d|w))+")
_DURATION_PART = re.compile(rf"({_NUMBER})(ns|us|µs|ms|s|m|h|d|w)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number of a unit's base: seconds, a ratio of one, bytes, money, a count, or events a second."""

    value: Decimal
    unit: Unit

    def __str__(self) -> str:
        """As people write it: `1%`, `500ms`, `2m`, `$1000`."""
        match self.unit:
            case Unit.RATIO:
                return f"{plain(self.value * 100)}%"
            case Unit.SECONDS:
                return _seconds(self.value)
            case Unit.MONEY:
                return f"${plain(self.value)}"
            case Unit.COUNT:
                return plain(self.value)
            case Unit.BYTES | Unit.PER_SECOND:
                return f"{plain(self.value)}{self.unit.value}"


def parse_quantity(text: str) -> Quantity:
    """Read `1%`, `500ms`, `1h30m`, `512MiB`, `$1000`, `100/s` or `1000`.

    Raises ValueError, saying what is accepted, for anything else.
    """
    text = text.strip()
    if _DURATION.fullmatch(text):
        seconds = sum((Decimal(n) * _SUFFIXES[s][1] for n, s in _DURATION_PART.findall(text)), Decimal(0))
        return Quantity(-seconds if text.startswith("-") else seconds, Unit.SECONDS)
    match = _QUANTITY.fullmatch(text)
    if match is None or match["suffix"] not in _SUFFIXES or (match["money"] and match["suffix"]):
        raise ValueError(f"{text!r} is not a quantity; write a number with its unit, such as {_all_examples()}")
    if match["money"]:
        return Quantity(Decimal(match["number"]), Unit.MONEY)
    unit, factor = _SUFFIXES[match["suffix"]]
    number = Decimal(match["number"])
    # A sixtieth is no exact decimal, so events a minute or an hour are divided, once.
    return Quantity(number / factor if unit is Unit.PER_SECOND else number * factor, unit)


def parse_duration(value: object) -> timedelta:
    """Read `30s`, `500ms`, `1h30m`; ValueError for a bare number, because a number alone has no unit."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("write a duration with its unit, such as 30s, 500ms or 1h30m")  # noqa: TRY004 - pydantic reports ValueError
    text = str(value).strip()
    if not _DURATION.fullmatch(text):
        hint = f"; did you mean {text}s?" if re.fullmatch(_NUMBER, text) else ""
        raise ValueError(f"{text!r} is not a duration; write it with its unit, such as 30s, 500ms or 1h30m{hint}")
    seconds = parse_quantity(text).value
    if seconds < 0:
        raise ValueError(f"{text!r} is negative; a duration is zero or more")
    microseconds = seconds * 1_000_000
    if microseconds != int(microseconds):
        raise ValueError(f"{text!r} is too fine; a duration is a whole number of microseconds")
    try:
        return timedelta(microseconds=int(microseconds))
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long for a duration") from error


def format_duration(value: timedelta) -> str:
    """Write a duration as people read it, exactly: `1h30m`, `500ms`, `0s`."""
    return _seconds(Decimal(value // timedelta(microseconds=1)) / 1_000_000)


def plain(value: Decimal) -> str:
    """Write a decimal without exponent and without needless zeros, as PromQL and people read it."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(value: Decimal) -> str:
    if value == 0:
        return "0s"
    sign, left = ("-", -value) if value < 0 else ("", value)
    out, whole = "", int(left)
    for suffix in ("w", "d", "h", "m"):
        count, whole = divmod(whole, int(_SUFFIXES[suffix][1]))
        out += f"{count}{suffix}" if count else ""
    left = whole + (left - int(left))
    if left >= 1:
        out += f"{plain(left)}s"
    elif left:
        out += f"{plain(left * 1000)}ms"
    return sign + out


def _all_examples() -> str:
    return ", ".join(_EXAMPLES.values())


def _read_quantity(value: object) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"write a quantity, such as {_all_examples()}")  # noqa: TRY004 - pydantic reports ValueError
    return parse_quantity(str(value))


def _schema(examples: list[str]) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "examples": examples}
    return WithJsonSchema(schema)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _schema(["30s", "500ms", "1h30m"]),
]
"""A config field that holds a duration, written with its unit."""

QuantityField = Annotated[
    Quantity,
    BeforeValidator(_read_quantity),
    PlainSerializer(str, return_type=str),
    _schema(list(_EXAMPLES.values())),
]
"""A config field that holds any quantity."""
