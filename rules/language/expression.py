"""The language of `when`: `error_ratio > 1% or rise(latency_p95) > 50%`, read into a tree that knows its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Quantity, Unit, parse_quantity

OPERATORS = (">=", "<=", "==", "!=", ">", "<")

ABSENCES = {"missing": "present", "gone": "remains"}
"""`missing(throughput)` is short for `present(throughput) == 0`, and `gone(revenue)` for `remains(revenue) == 0`."""

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<quantity>-?\$?[0-9.][0-9A-Za-z.µ%/$]*"
    r"(?:\s+(?:%|/(?:s|min|h)\b|(?:ns|us|µs|ms|[smhdw]|[kMGT]?B|[KMGT]iB)\b))?)"
    r"|(?P<operator>>=|<=|==|!=|>|<)"
    r"|(?P<bracket>[(),])"
    r"|(?P<end>$)"
    r")"
)


class ExpressionError(DeploywatchError):
    """A condition that cannot be read; `offset` is the character, from 0, where it goes wrong."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Argument:
    """What a function is given, a signal's name or a duration, and where it stands in the text, from 0."""

    text: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A signal against a quantity; the offsets, from 0, are where signal and quantity stand in the text.

    Where a function stands before the operator, `signal` is all of it, as `rise(latency_p95)`.
    """

    signal: str
    operator: str
    quantity: Quantity
    written: str
    signal_offset: int = 0
    quantity_offset: int = 0
    function: str = ""
    arguments: tuple[Argument, ...] = ()

    def __str__(self) -> str:
        return f"{self.signal} {self.operator} {self.written}"


@dataclass(frozen=True, slots=True)
class Every:
    """Holds while all of its parts do."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """Holds while at least one of its parts does."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


Condition = Comparison | Every | Either


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every comparison of a condition, from left to right."""
    if isinstance(condition, Comparison):
        yield condition
    else:
        for part in condition.parts:
            yield from comparisons(part)


def alternatives(condition: Condition) -> tuple[tuple[Comparison, ...], ...]:
    """The ways in which a condition can come true, each the comparisons that hold together."""
    if isinstance(condition, Comparison):
        return ((condition,),)
    parts = [alternatives(part) for part in condition.parts]
    if isinstance(condition, Either):
        return tuple(way for part in parts for way in part)
    return tuple(tuple(comparison for way in ways for comparison in way) for ways in product(*parts))


def called(function: str, arguments: Iterable[Argument]) -> str:
    """A function with its arguments, always written the same way."""
    return f"{function}({', '.join(argument.text for argument in arguments)})"


def parse(text: str) -> Condition:
    """Read a condition; `and` binds tighter than `or`, brackets group.

    Raises ExpressionError at the first character that does not fit.
    """
    parser = _Parser(text)
    condition = parser.either()
    if parser.kind != "end":
        raise parser.unexpected("`and`, `or` or the end")
    return condition


def operand(text: str) -> Comparison:
    """Read a signal, or a function of signals, that is compared with nothing: as a comparison with 0."""
    return next(comparisons(parse(f"{text} == 0")))


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.lastgroup is None:
            self.kind, self.token = "unknown", self.text[self.position :].split(maxsplit=1)[0]
            self.start = self.text.index(self.token, self.position)
            return
        self.kind, self.token = match.lastgroup, match[match.lastgroup]
        self.start, self.position = match.start(match.lastgroup), match.end()

    def unexpected(self, wanted: str) -> ExpressionError:
        place = f"{self.token!r} stands" if self.token else "the condition ends"
        return ExpressionError(f"{place} where {wanted} should be", self.start)

    def either(self) -> Condition:
        parts = [self.every()]
        while self.kind == "name" and self.token == "or":  # noqa: S105 - a word of the language
            self.advance()
            parts.append(self.every())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def every(self) -> Condition:
        parts = [self.part()]
        while self.kind == "name" and self.token == "and":  # noqa: S105 - a word of the language
            self.advance()
            parts.append(self.part())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def part(self) -> Condition:
        if self.token != "(":  # noqa: S105 - a bracket
            return self.comparison()
        self.advance()
        inner = self.either()
        if self.token != ")":  # noqa: S105 - a bracket
            raise self.unexpected("`)`")
        self.advance()
        return inner

    def comparison(self) -> Comparison:
        signal, signal_offset = self.name("the name of a signal"), self.start
        self.advance()
        arguments = self.arguments() if self.token == "(" else ()  # noqa: S105 - a bracket
        if signal in ABSENCES and arguments and self.kind != "operator":
            function, none = ABSENCES[signal], Quantity(Decimal(0), Unit.COUNT)
            text = called(function, arguments)
            return Comparison(text, "==", none, "0", signal_offset, signal_offset, function, arguments)
        function, text = (signal, called(signal, arguments)) if arguments else ("", signal)
        if self.kind != "operator":
            raise self.unexpected(f"one of {' '.join(OPERATORS)}")
        operator = self.token
        self.advance()
        if self.kind != "quantity":
            raise self.unexpected("a quantity, such as 1%, 500ms or 1000,")
        written, offset, quantity = self.token, self.start, self.quantity()
        return Comparison(text, operator, quantity, written, signal_offset, offset, function, arguments)

    def quantity(self) -> Quantity:
        try:
            quantity = parse_quantity(self.token)
        except ValueError as error:
            raise ExpressionError(str(error), self.start) from error
        self.advance()
        return quantity

    def name(self, wanted: str) -> str:
        if self.kind != "name" or self.token in {"and", "or"}:
            raise self.unexpected(wanted)
        return self.token

    def arguments(self) -> tuple[Argument, ...]:
        """A signal's name, and more names or durations, between brackets."""
        self.advance()
        arguments = [Argument(self.name("the name of a signal"), self.start)]
        self.advance()
        while self.token == ",":  # noqa: S105 - a comma
            self.advance()
            text = self.token if self.kind == "quantity" else self.name("the name of a signal, or a duration,")
            arguments.append(Argument(text, self.start))
            self.advance()
        if self.token != ")":  # noqa: S105 - a bracket
            raise self.unexpected("`)`")
        self.advance()
        return tuple(arguments)
