"""The checks in a health body, in the forms that people have: each with its word, why, and how long it took."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploywatch.exporter.net.health.words import UNKNOWN, WORDS, badness, flag_word, said, state_of
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Dropped, State
from deploywatch.terminal import visible

CHECK_LIMIT = 100
# What is nested deeper is counted; health bodies of the usual frameworks nest less deep.
_DEPTH = 8

# Whatever is in these is a check: a word alone, or an object.
_CHECKS = ("checks", "components", "dependencies", "entries", "services", "subsystems")
# In these only objects that say how they are, and words that are known: others hold facts there.
_PERHAPS = ("details", "results", "info", "error", "errors")
# health-go's: by name what is wrong.
_FAILURES = "failures"
_NO_CHECK = frozenset(
    {
        *("status", "environment", "version", "releaseid", "service", "name", "timestamp", "time", "mode", "stage"),
        *("state", "outcome", "health", "message", "description", "output", "metrics", "data", "links"),
        *(*_CHECKS, *_PERHAPS, _FAILURES),
    }
)
_NAMES = ("name", "id", "key", "check", "component", "service", "alias", "label")
_ERRORS = ("error", "output", "message", "description", "exception")
_SPAN = re.compile(r"(?:(\d+)\.)?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_RESPONSE_TIME = ":responsetime"
_LONGEST = 1e15
_UNITS: Mapping[str, float] = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1}


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its word, what it says is wrong, and how long it took in seconds."""

    word: str
    trouble: str = ""
    took: float | None = None

    @property
    def state(self) -> State:
        """The state that its word stands for."""
        return state_of(self.word)


def read_checks(body: Mapping[str, Any], measurement: Measurement, facts: Container[str] = ()) -> dict[str, Check]:
    """Each check by its name, but for those at the top whose names are `facts`.

    Of those beyond CHECK_LIMIT the bad ones are kept, and what is left out is counted.
    """
    checks: dict[str, Check] = {}
    for name, check in _all(body, measurement, facts):
        # Of two checks with one name the worse counts.
        if name not in checks or badness(check.word) > badness(checks[name].word):
            checks[name] = check
    if len(checks) > CHECK_LIMIT:
        measurement.dropped[Dropped.CHECK_LIMIT] += len(checks) - CHECK_LIMIT
    worst_first = sorted(checks.items(), key=lambda item: -badness(item[1].word))[:CHECK_LIMIT]
    order = {name: number for number, name in enumerate(checks)}
    named: dict[str, Check] = {}
    for name, check in sorted(worst_first, key=lambda item: order[item[0]]):
        # As it will be shown: names that differ only in what nobody sees are one, and the worse counts.
        label = visible(measurement.label(name))
        if label not in named or badness(check.word) > badness(named[label].word):
            named[label] = Check(measurement.label(check.word), check.trouble, check.took)
    return named


def trouble_of(entry: Mapping[Any, Any]) -> str:
    """What a document says is wrong, in the word that its form has for that; empty where it says nothing."""
    details = entry.get("details")
    texts = (*(entry.get(key) for key in _ERRORS), details.get("error") if isinstance(details, Mapping) else None)
    return next((text for text in texts if isinstance(text, str) and text), "")


def span(text: str) -> float | None:
    """Seconds of a time span as .NET writes it: `00:00:01.5`, `1.02:03:04`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds


def _all(body: Mapping[str, Any], measurement: Measurement, facts: Container[str]) -> Iterator[tuple[str, Check]]:
    for key in _CHECKS:
        yield from _group(body.get(key), "", _DEPTH, measurement)
    for key in _PERHAPS:
        yield from _guessed(body.get(key), "", _DEPTH, measurement)
    failures = body.get(_FAILURES)
    if isinstance(failures, Mapping):
        yield from ((str(name), Check("fail", str(text))) for name, text in failures.items())
    for key, value in body.items():
        if key not in facts and (key not in _NO_CHECK or isinstance(value, bool)):
            yield from _at_the_top(key, value, measurement)


def _at_the_top(key: str, value: Any, measurement: Measurement) -> Iterator[tuple[str, Check]]:
    """The checks in what stands beside the status under a name that nobody knows."""
    if isinstance(value, str):
        # Source 000: {"status": "Healthy", "database": "Healthy", "redis": "Healthy"}.
        if value.lower() in WORDS:
            yield key, Check(value)
    elif isinstance(value, bool):
        # {"status": "ok", "db": false}
        if (word := flag_word(key, value)) is not None:
            yield key, Check(word)
    elif isinstance(value, Mapping) and said(value) is not None:
        # Spring Boot 1: {"status": "UP", "db": {"status": "DOWN"}}; source 000's own {"isHealthy": false}.
        if _known(said(value)):
            yield from _one(key, value, _DEPTH, measurement)
        else:
            measurement.dropped[Dropped.UNREAD_CHECK] += 1
    else:
        yield from _guessed(value, f"{key}/", _DEPTH, measurement, known=True)


def _group(value: Any, prefix: str, depth: int, measurement: Measurement) -> Iterator[tuple[str, Check]]:
    """The checks of a mapping by name, or of a list of objects that bear their names; nested ones as `db/primary`."""
    if value is None:
        return
    if not isinstance(value, (Mapping, list)):
        measurement.dropped[Dropped.UNREAD_CHECK] += 1
        return
    for name, entry in _named(value):
        if isinstance(value, list) and not isinstance(entry, Mapping):
            # A list of words without names.
            measurement.dropped[Dropped.UNREAD_CHECK] += 1
        else:
            yield from _one(f"{prefix}{name}", entry, depth, measurement)


def _guessed(
    value: Any, prefix: str, depth: int, measurement: Measurement, *, known: bool = False
) -> Iterator[tuple[str, Check]]:
    """What is surely a check among what may be facts; with `known` only if its word is one, or its neighbour's."""
    entries = [*_named(value)]
    words = [said(entry) if isinstance(entry, Mapping) else None for _, entry in entries]
    # Where one has a word for its health, the others have too: a word that nobody knows is then bad news.
    checks = not known or any(map(_known, words))
    texts = isinstance(value, Mapping) and any(isinstance(entry, str) and _known(entry) for _, entry in entries)
    for (name, entry), word in zip(entries, words, strict=True):
        if word is not None and checks:
            yield from _one(f"{prefix}{name}", entry, depth, measurement)
        elif texts and isinstance(entry, str) and _known(entry):
            yield f"{prefix}{name}", Check(entry)
        elif word is not None or (texts and isinstance(entry, str)):
            # It may be a fact, or a check in a language of its own.
            measurement.dropped[Dropped.UNREAD_CHECK] += 1


def _one(name: str, entry: Any, depth: int, measurement: Measurement) -> Iterator[tuple[str, Check]]:
    word = _word(entry)
    if word is not None:
        inner = _worst_of(entry)
        yield name, Check(word, trouble_of(inner), _took(name, inner))
    if not isinstance(entry, Mapping):
        return
    nested = {str(key).lower(): value for key, value in entry.items()}
    if depth:
        for key in ("components", "checks", "dependencies", "entries"):
            yield from _group(nested.get(key), f"{name}/", depth - 1, measurement)
        yield from _guessed(nested.get("details"), f"{name}/", depth - 1, measurement)
    elif any(isinstance(nested.get(key), (Mapping, list)) for key in ("components", "checks", "dependencies")):
        measurement.dropped[Dropped.UNREAD_CHECK] += 1


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), entry) for key, entry in value.items())
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            names = (entry.get(key) for key in _NAMES) if isinstance(entry, Mapping) else ()
            yield next((str(name) for name in names if isinstance(name, (str, int))), str(number)), entry


def _known(word: Any) -> bool:
    return isinstance(word, (str, bool)) and str(word).lower() in WORDS


def _word(entry: Any) -> str | None:
    """What a check says; of several measurements under one name the worst. None for what is no check."""
    if isinstance(entry, list):
        words = [word for part in entry if (word := _word(part)) is not None]
        return max(words, key=badness, default=None)
    if not isinstance(entry, Mapping):
        return str(entry)
    word = said(entry)
    if word is not None:
        return str(word)
    named = {str(key).lower() for key in entry}
    # IETF: a measurement without a status is for information; whatever else has none does not say that it is well.
    return None if named & {"observedvalue", "components", "checks"} else UNKNOWN


def _worst_of(entry: Any) -> Mapping[Any, Any]:
    """The object of a check; of several measurements the worst."""
    parts = [part for part in (entry if isinstance(entry, list) else [entry]) if isinstance(part, Mapping)]
    return max(parts, key=lambda part: badness(_word(part) or "ok"), default={})


def _took(name: str, entry: Mapping[Any, Any]) -> float | None:
    """How long a check took, in seconds: milliseconds of source 004, a time span of ASP.NET, or IETF's responseTime."""
    milliseconds = _time(entry.get("responseTime"))
    if milliseconds is not None:
        return milliseconds / 1000
    observed, factor = _time(entry.get("observedValue")), _UNITS.get(str(entry.get("observedUnit")).lower())
    if name.lower().endswith(_RESPONSE_TIME) and factor and observed is not None:
        return observed * factor
    return span(str(entry.get("duration", "")))


def _time(value: Any) -> float | None:
    plausible = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LONGEST
    return float(value) if plausible else None
