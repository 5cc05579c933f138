"""The words that services have for their health, and which of a document's keys holds one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploywatch.exporter.results import State

WORDS: Mapping[str, State] = {
    **dict.fromkeys(
        ("healthy", "ok", "up", "pass", "passing", "passed", "good", "alive", "ready", "running", "success", "true"),
        State.HEALTHY,
    ),
    **dict.fromkeys(("green", "online", "operational", "connected", "available", "serving"), State.HEALTHY),
    **dict.fromkeys(("degraded", "warn", "warning", "yellow", "partially available"), State.DEGRADED),
    **dict.fromkeys(
        ("unhealthy", "fail", "failing", "failed", "down", "error", "critical", "out_of_service", "false"),
        State.UNHEALTHY,
    ),
    **dict.fromkeys(
        (
            *("red", "offline", "disconnected", "unavailable", "service unavailable", "not ready", "not_serving"),
            *("timeout", "crashed", "dead"),
        ),
        State.UNHEALTHY,
    ),
    # A service that does not know how it is cannot be relied upon.
    "unknown": State.UNHEALTHY,
}
"""What a service may say; another word means that it is not well."""

UNKNOWN = "unknown"
"""The word of a check that says none."""

_IN_PLACE_OF_STATUS = ("state", "outcome", "health")


TRUTHS = frozenset(
    {"healthy", "ishealthy", "overallhealth", "allhealthy", "ok", "success", "up", "connected", "available", "passing"}
)

# True or false, they say what a service is or does, and not how well.
MODES = frozenset(
    {
        *("debug", "maintenance", "maintenancemode", "maintenance_mode", "readonly", "read_only", "draining"),
        *("shuttingdown", "shutting_down", "stopping", "paused", "locked", "dryrun", "dry_run", "test", "testing"),
        *("development", "dev", "production", "prod", "staging", "preview", "beta", "leader", "isleader", "is_leader"),
        *(
            "standby",
            "primary",
            "isprimary",
            "is_primary",
            "master",
            "ismaster",
            "is_master",
            "cached",
            "stale",
            "deprecated",
        ),
    }
)
"""Names whose true or false says how a service runs: facts, and no checks."""

_TROUBLES = frozenset(
    {
        *("error", "errors", "haserrors", "has_errors", "failed", "failing", "down", "offline", "unavailable"),
        *("unhealthy", "degraded", "timed_out", "timedout", "sealed", "overloaded", "stopped", "blocked", "expired"),
    }
)
"""Names that say what is wrong where they are true."""


def flag_word(name: str, flag: bool) -> str | None:
    """The word of a flag beside a status; None where it is a fact.

    A flag that nobody knows is taken for a part of the service, which is not there when it is false.
    """
    if name in TRUTHS or name in MODES:
        return None
    return "fail" if flag is (name in _TROUBLES) else "ok"


def state_of(word: Any) -> State:
    """The state that a word, or true or false, stands for."""
    # A word that nobody knows is bad news until somebody adds it: the other way round, a failure would pass.
    return WORDS.get(str(word).strip().lower(), State.UNHEALTHY) if isinstance(word, (str, bool)) else State.UNHEALTHY


def badness(word: Any) -> int:
    """How bad what a word stands for is; the more, the worse."""
    return list(State).index(state_of(word))


def said(document: Mapping[Any, Any]) -> Any:
    """What a document says of itself; the worst, where it says several things. None where it says nothing."""
    # The worst of several: `{"status": "ok", "healthy": false}` is not well.
    return max(_said(document), key=badness, default=None)


def _said(document: Mapping[Any, Any]) -> Iterator[Any]:
    named = [(str(key).lower(), value) for key, value in document.items()]
    of_status = [_plain(value) for key, value in named if key == "status" and value is not None]
    yield from of_status
    yield from (value for key, value in named if key in TRUTHS and isinstance(value, bool))
    if not of_status:
        yield from (value for key, value in named if key in _IN_PLACE_OF_STATUS and isinstance(value, (str, bool)))


def _plain(status: Any) -> Any:
    """The word of Spring's Status where it is written as an object: `{"code": "UP", "description": ""}`."""
    return status.get("code", status) if isinstance(status, Mapping) else status
