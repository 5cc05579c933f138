"""Values of signals as people read them."""

from __future__ import annotations

import math

_DIGITS, _MOST_DECIMALS = 3, 6


def shown(value: float | None, unit: str) -> str:
    """A value with its unit (as `deploywatch.quantity.Unit` writes it): `7.2 %`, `850 ms`, `$1,200`, `0.5/s`."""
    if value is None or not math.isfinite(value):
        return "not measured"
    match unit:
        case "ratio":
            return f"{_number(100 * value)} %"
        case "s":
            return f"{_number(1000 * value)} ms" if abs(value) < 1 else f"{_number(value)} s"
        case "$":
            return f"${value:,.0f}"
        case "B":
            return _bytes(value)
        case "/s":
            return f"{_number(value)}/s"
        case _:
            return _number(value)


def _number(value: float) -> str:
    """Three significant digits, and every digit before the point."""
    if value == 0:
        return "0"
    # Significant digits: 0.0123 and 1,230 are as exact as each other, and as short.
    decimals = min(_MOST_DECIMALS, max(0, _DIGITS - 1 - math.floor(math.log10(abs(value)))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _bytes(value: float) -> str:
    for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(value) >= 1 << power:
            return f"{_number(value / (1 << power))} {name}"
    return f"{_number(value)} B"
