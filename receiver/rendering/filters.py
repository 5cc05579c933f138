"""What templates do to a value, and the cleaning and cutting that every text goes through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.rendering.naming import apart, named, subject, where
from deploywatch.receiver.rendering.text import clean, line
from deploywatch.receiver.story import AlertView, IncidentView

LINK_LIMIT: Final = 2000
"""Characters of a URL; a longer one is no link that a mail client or Slack would open."""

# Each of them begins something in one dialect or another: `$` a formula, `~` a strike, `#` a heading.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#])")


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
    # The two largest units: `3d 4h` says more at a glance than `3d 4h 12m 7s`.
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


def until(moment: datetime | None, at: datetime) -> str:
    """A time to come, and how far from `at` that is: `2026-05-01 14:33:05 UTC (in 30m)`."""
    if moment is None:
        return "unknown"
    ahead = _in_utc(moment) - _in_utc(at)
    return f"{utc(moment)} ({f'in {lasting(ahead)}' if ahead > timedelta() else 'now'})"


def measured(alert: AlertView | None) -> str:
    """The alert's value against its threshold: `5.2%, threshold 1%`; empty when the alert says neither."""
    if alert is None:
        return ""
    value, threshold = line(alert.value, 80), line(alert.threshold, 80)
    if value and threshold:
        return f"{value}, threshold {threshold}"
    return value or (f"threshold {threshold}" if threshold else "")


# What fires before what is over: a message that is cut has then lost what matters least.
def worst_first(alerts: Iterable[AlertView]) -> list[AlertView]:
    """Firing before resolved, then by severity, then the oldest first."""
    rank = {severity: position for position, severity in enumerate(SEVERITIES)}
    return sorted(
        alerts,
        key=lambda alert: (not alert.firing, rank.get(alert.severity, len(rank)), _in_utc(alert.starts_at), alert.name),
    )


# From annotations, which anybody who writes rules may fill: `javascript:` must not become a link.
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


# What is Markdown already, and must not be escaped once more.
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


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
