"""What a validation query has to give: `= 0`, `> 100`, `within 1 % of before`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_COMPARED = re.compile(r"\s*(?P<sign><=|>=|!=|<|>|==?)\s*(?P<number>[-+]?\d+(\.\d+)?)\s*")
_NEAR = re.compile(r"\s*within\s+(?P<number>\d+(\.\d+)?)\s*%\s+of\s+before\s*")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A comparison with a number; or, with the sign `~`, how many percent a value may differ from before."""

    sign: str
    number: Decimal

    @property
    def needs_before(self) -> bool:
        """Whether the query is asked before the migration too."""
        return self.sign == "~"

    def fault(self, value: Decimal, before: Decimal | None = None) -> str | None:
        """Why a value is not what is expected; None if it is."""
        if self.needs_before:
            if before is None:
                return "there is no value from before"
            allowed = abs(before) * self.number / 100
            return None if abs(value - before) <= allowed else f"{value} is not within {self.number} % of {before}"
        good = {
            "=": value == self.number,
            "!=": value != self.number,
            "<": value < self.number,
            "<=": value <= self.number,
            ">": value > self.number,
            ">=": value >= self.number,
        }[self.sign]
        return None if good else f"{value} is not {self.sign} {self.number}"


def parse(text: str) -> Expectation:
    """Read an expectation; ValueError says how it is written."""
    compared, near = _COMPARED.fullmatch(text), _NEAR.fullmatch(text)
    if compared:
        sign = "=" if compared["sign"] == "==" else compared["sign"]
        return Expectation(sign, Decimal(compared["number"]))
    if near:
        return Expectation("~", Decimal(near["number"]))
    raise ValueError(f"{text!r} is no expectation; write such as '= 0', '> 100' or 'within 1 % of before'")


def number(rows: list[tuple[Any, ...]]) -> Decimal:
    """The one number that a query gave; ValueError for anything else, which is never taken for good."""
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError(f"the query gave {len(rows)} rows; it must give one number")
    value = rows[0][0]
    if value is None:
        raise ValueError("the query gave NULL, which is no number")
    try:
        amount = Decimal(int(value)) if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"the query gave {value!r}, which is no number") from error
    if not amount.is_finite():
        raise ValueError(f"the query gave {amount}, which is no number to compare")
    return amount
