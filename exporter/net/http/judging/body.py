"""What a JSON body says at a path, and what a service says of its response time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from deploywatch import json_text
from deploywatch.exporter.net.http.judging.assertions import find
from deploywatch.exporter.results import Failed, Reason

_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|us|µs)?")
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


def parse(body: bytes) -> Any:
    """The JSON document of a body; Failed when it is none."""
    try:
        return json_text.parse(body)
    except ValueError as error:
        raise Failed(Reason.JSON, f"the body is not JSON: {error}") from error


def _entries(document: Any, path: str) -> list[tuple[Any, Any]]:
    """Keys or positions, and values, of the object or list at a path."""
    holder = find(document, path) if path else document
    if isinstance(holder, dict):
        return list(holder.items())
    if isinstance(holder, list):
        return list(enumerate(holder))
    raise Failed(Reason.VALUE, f"the body has neither a list nor an object at {path or 'the top'}")


def pick(document: Any, path: str, most: int = 100) -> Iterator[tuple[str, float]]:
    """The number at a path such as `queues.0.length`; true and false are 1 and 0. Failed when there is none.

    With a `*` in the path, each number that is there with its key or position; Failed when there are more than `most`.
    """
    before, star, after = path.partition("*")
    if not star:
        yield "", _number_at(document, path)
        return
    numbers = _entries(document, before.removesuffix("."))
    if len(numbers) > most:
        raise Failed(Reason.TOO_LARGE, f"the body has {len(numbers)} values at {path}, more than max_series, {most}")
    for key, value in numbers:
        try:
            yield str(key), _number_at({"*": value}, f"*{after}")
        except Failed as failed:
            # The path that the config has, with the key that it was about in the star's place.
            raise Failed(failed.reason, failed.detail.replace(f"*{after}", f"{before}{key}{after}")) from failed


def _number_at(document: Any, path: str) -> float:
    number = _number(find(document, path))
    if number is None:
        raise Failed(Reason.VALUE, f"the body has no number at {path}")
    return number


def served_time(header: str) -> float | None:
    """Seconds from an X-Response-Time header: `12ms`, `0.012s`, or `12.3`, which means milliseconds by custom."""
    match = _TIME.fullmatch(header.strip())
    # Without a unit it is milliseconds, as Server-Timing and most X-Response-Time headers write.
    return float(match["number"]) * _UNITS[match["unit"] or "ms"] if match else None


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, int, float)):
        try:
            number = float(value)
        # JSON has integers of any length, and a float has not.
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None
