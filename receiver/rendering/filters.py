"""What templates do to a value, and the cleaning and cutting that every text goes through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from deploywatch import terminal
from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.story import AlertView, IncidentView

LINK_LIMIT: Final = 2000
"""Characters of a URL; a longer one is no link that a mail client or Slack would open."""
SUBJECT_LIMIT: Final = 100
"""Characters of an incident's title within a message's: about what a lock screen shows."""
PLACE_LIMIT: Final = 60
APART_LABELS: Final = 8
_SAID_ANYWAY: Final = frozenset(
    {
        *("alertname", "severity", "incident_type", "action", "policy", "alertgroup", "grafana_folder"),
        *("prometheus", "prometheus_replica", "monitor", "replica", "receive", "tenant_id"),
    }
)
_PLACES: Final = frozenset({"service", "environment"} | {"env", "app", "namespace", "deployment"})
"""Labels that say the place, which stands in the message where it is the incident's."""
_TELLING: Final = ("instance", "host", "node", "pod", "container", "device", "mountpoint", "endpoint")
"""What people look for first."""

_CALLS = re.compile(r"(?<!\w)@(?=[\w&])|(?<=<)!(?=\w)|(?<![\w/<>:.])/(?=\w)|(?<!\w)[#$](?=\w)")
"""Where chat services find whom to call, a command, or a tag."""
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#])")


def clean(text: str) -> str:
    """Plain text that every channel can encode: one kind of line end, no control characters, no lone surrogates."""
    return terminal.clean(text)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them … where something was left out."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def uncalled(text: str) -> str:
    """The text with a word joiner after each @, !, /, # and $ that a chat would make a call, command or tag of."""
    return _CALLS.sub("\\g<0>\u2060", text)


def line(text: object, limit: int = 300) -> str:
    """The text on one line, of at most `limit` characters."""
    return cut(" ".join(clean(str(text)).split()), limit)


def utc(at: datetime | None) -> str:
    """`2026-05-01 14:03:05 UTC`; `unknown` when there is no time."""
    return "unknown" if at is None else f"{_in_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def time_of_day(at: datetime) -> str:
    """`14:03:05`, in UTC."""
    return f"{_in_utc(at):%H:%M:%S}"


def lasting(duration: timedelta | None) -> str:
    """The two largest parts of a duration, rounded down to seconds: `4m 10s`, `2d 3h`, `0s`."""
    if duration is None:
        return "unknown"
    seconds = max(int(duration.total_seconds()), 0)
    sizes = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for suffix, size in sizes:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, suffix))
    return " ".join(f"{count}{suffix}" for count, suffix in parts[:2] if count) or "0s"


def since(began: IncidentView | AlertView, at: datetime) -> str:
    """When the incident opened or the alert began to fire, and how long before `at` that is."""
    moment = began.opened_at if isinstance(began, IncidentView) else began.starts_at
    age = _in_utc(at) - _in_utc(moment)
    return f"{utc(moment)} ({lasting(age)} ago)" if age >= timedelta(seconds=1) else utc(moment)


def apart(alert: AlertView, incident: IncidentView) -> str:
    """The labels that tell the alert apart from others of the incident: `instance=10.0.0.9:9100, device=sda`.

    Not those that the message says anyway, nor those that say who watches. Where there are more than fit, it says so.
    """
    said = {incident.service, incident.environment, *incident.correlation.values()}
    labels = {
        name: value
        for name, value in alert.labels.items()
        if name not in _SAID_ANYWAY and value and not (name in _PLACES and value in said)
    }
    first = [name for name in _TELLING if name in labels]
    names = [*first, *(name for name in sorted(labels) if name not in first)]
    shown = [_value(name, labels[name]) for name in names[:APART_LABELS]]
    left = len(names) - len(shown)
    return ", ".join([*shown, f"and {left} more labels"] if left else shown)


def named(alert: AlertView, incident: IncidentView) -> str:
    """The alert by its name and what tells it apart: `DiskFull, instance=10.0.0.9:9100`."""
    return ", ".join(part for part in (line(alert.name, 100), apart(alert, incident)) if part)


def until(moment: datetime | None, at: datetime) -> str:
    """A time to come, and how far from `at` that is: `2026-05-01 14:33:05 UTC (in 30m)`."""
    if moment is None:
        return "unknown"
    ahead = _in_utc(moment) - _in_utc(at)
    return f"{utc(moment)} ({f'in {lasting(ahead)}' if ahead > timedelta() else 'now'})"


def where(incident: IncidentView) -> str:
    """`shop in production`, or `shop in production, region=eu` where incidents are told apart by more."""
    service = line(incident.service, 100) or "unknown service"
    environment = line(incident.environment, 60)
    place = f"{service} in {environment}" if environment else service
    return ", ".join((place, *(_value(*pair) for pair in incident.correlation.items())))


def subject(incident: IncidentView) -> str:
    """What happened, and where, as far as the title does not say that itself: what a phone's lock screen shows.

    `shop in demo fails 5% of its requests`, `5% of the shop's requests fail (demo)`, `HighErrorRate (shop in demo)`.
    """
    title, environment = line(incident.title, SUBJECT_LIMIT), line(incident.environment, 60)
    if not title:
        return where(incident)
    if not _names(title, incident.service):
        return f"{title} ({cut(where(incident), PLACE_LIMIT)})"
    unsaid = [environment] if environment and not _names(title, environment) else []
    unsaid += [_value(name, value) for name, value in incident.correlation.items() if not _names(title, value)]
    return f"{title} ({cut(', '.join(unsaid), PLACE_LIMIT)})" if unsaid else title


def _value(name: str, value: str) -> str:
    return f"{line(name, 60)}={line(value, 60)}"


def measured(alert: AlertView | None) -> str:
    """The alert's value against its threshold: `5.2%, threshold 1%`; empty when the alert says neither."""
    if alert is None:
        return ""
    value, threshold = line(alert.value, 80), line(alert.threshold, 80)
    if value and threshold:
        return f"{value}, threshold {threshold}"
    return value or (f"threshold {threshold}" if threshold else "")


def worst_first(alerts: Iterable[AlertView]) -> list[AlertView]:
    """Firing before resolved, then by severity, then the oldest first."""
    rank = {severity: position for position, severity in enumerate(SEVERITIES)}
    return sorted(
        alerts,
        key=lambda alert: (not alert.firing, rank.get(alert.severity, len(rank)), _in_utc(alert.starts_at), alert.name),
    )


def web_link(url: str) -> str:
    """The URL, fit to stand in any message, when it is http or https and of sane length; else an empty text."""
    text = url.strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(text) > LINK_LIMIT:
        return ""
    return quote(clean(text), safe="%/:=&?~#+!$,;'@()*[]")


class Verbatim(str):
    """Markdown of our own making, which is not escaped again."""

    __slots__ = ()


def markdown(value: object) -> str:
    """The value as Markdown that shows exactly its characters, on one line; Verbatim passes as it is."""
    if isinstance(value, Verbatim):
        return value
    return _MARKDOWN.sub(r"\\\1", line(value, 2000).replace("&", "&amp;"))


def markdown_link(url: str) -> Verbatim:
    """`<https://…>`, or nothing when it is no web link."""
    link = web_link(url)
    return Verbatim(f"<{link}>" if link else "")


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "apart": apart,
    "lasting": lasting,
    "line": line,
    "link": markdown_link,
    "measured": measured,
    "named": named,
    "web_link": web_link,
    "since": since,
    "subject": subject,
    "time_of_day": time_of_day,
    "until": until,
    "utc": utc,
    "where": where,
    "worst_first": worst_first,
}


def _names(title: str, name: str) -> bool:
    """Whether the title bears the name as a word of its own: `shop` is not named by `shop-api`."""
    known = re.escape(line(name, 100))
    return bool(known) and re.search(rf"(?<![\w-]){known}(?![\w-])", title, re.IGNORECASE) is not None


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
