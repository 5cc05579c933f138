"""What a JSON body says: gauges picked from it by path, and the health body {status, uptime, version, checks}."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from exporter.measure import families
from exporter.probing import Findings
from exporter.results import Application, Failed, Reason

GOOD_WORDS = frozenset({"healthy", "ok", "up", "pass", "passing", "good", "degraded", "warn", "warning"})
"""What a health body's `status` may say without failing the probe; a degraded service still serves."""

_LABEL_LIMIT = 128
_CHECK_LIMIT = 100
_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|us|µs)?")
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


def parse(body: bytes) -> Any:
    """The JSON document of a body; Failed when it is none."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Failed(Reason.JSON, f"the body is not JSON: {error}") from error


def pick(document: Any, path: str) -> float:
    """The number at a path such as `queues.0.length`; true and false are 1 and 0. Failed when there is none."""
    here = document
    for part in path.split("."):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        else:
            raise Failed(Reason.VALUE, f"the body has nothing at {path}")
    number = _number(here)
    if number is None:
        raise Failed(Reason.VALUE, f"the body has no number at {path}")
    return number


def note_health(document: Any, found: Findings) -> None:
    """Add what a health body says to `found`; Failed(unhealthy) when its own status says so."""
    if not isinstance(document, dict):
        raise Failed(Reason.JSON, "the body is JSON, but not an object as a health body is")
    status, version, uptime = (document.get(key) for key in ("status", "version", "uptime"))
    checks = _checks(document.get("checks"))
    found.application = Application(
        status=str(status)[:_LABEL_LIMIT] if status is not None else None,
        version=str(version)[:_LABEL_LIMIT] if version is not None else None,
        uptime=_number(uptime),
        checks=checks,
    )
    if found.application.version is not None:
        found.add(families.APPLICATION_INFO, 1, version=found.application.version)
    if found.application.uptime is not None:
        found.add(families.APPLICATION_UPTIME, found.application.uptime)
    for name, word in checks.items():
        found.add(families.APPLICATION_CHECK, _good(word), check=name)
    if status is not None and not _good(str(status)):
        bad = [name for name, word in checks.items() if not _good(word)]
        raise Failed(Reason.UNHEALTHY, f"it says of itself: {status}" + (f" ({', '.join(bad)})" if bad else ""))


def served_time(header: str) -> float | None:
    """Seconds from an X-Response-Time header: `12ms`, `0.012s`, or `12.3`, which means milliseconds by custom."""
    match = _TIME.fullmatch(header.strip())
    return float(match["number"]) * _UNITS[match["unit"] or "ms"] if match else None


def _checks(value: Any) -> dict[str, str]:
    """Each check's name and word; a check may be a word, true or false, or an object with a `status`."""
    if not isinstance(value, Mapping):
        return {}
    words: dict[str, str] = {}
    for name, check in list(value.items())[:_CHECK_LIMIT]:
        word = check.get("status") if isinstance(check, Mapping) else check
        words[str(name)[:_LABEL_LIMIT]] = "healthy" if word is True else str(word)[:_LABEL_LIMIT]
    return words


def _good(word: str) -> bool:
    return word.strip().lower() in GOOD_WORDS


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
