"""How pages say times: how long ago, and the time of day in UTC. A time is a datetime, or ISO 8601 as in the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SIZES = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def ago(at: datetime | str, now: datetime) -> str:
    """`12 min ago`, `1 d ago`; `just now` within five seconds, `in 3 min` for what is to come."""
    seconds = (now - moment(at)).total_seconds()
    if seconds < 0:
        return ahead(at, now)
    return "just now" if seconds < 5 else f"{_largest(seconds)} ago"


def ahead(at: datetime | str, now: datetime) -> str:
    """`in 3 min`; `now` when it is not ahead any more."""
    seconds = (moment(at) - now).total_seconds()
    return f"in {_largest(seconds)}" if seconds >= 1 else "now"


def countdown(at: datetime | str, now: datetime) -> str:
    """`3:41` until then, in minutes and seconds, `1:03:41` from an hour on; `0:00` when it is over."""
    seconds = max(0, int((moment(at) - now).total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours}:{minutes % 60:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def clock(at: datetime | str, now: datetime) -> str:
    """`03:03 UTC` today, `Mon 03:03 UTC` on one of the next six days, `2026-11-27 03:03 UTC` on any other."""
    exact = moment(at)
    if 0 < (exact.date() - now.astimezone(UTC).date()).days < 7:
        return f"{exact:%a %H:%M} UTC"
    return f"{exact:%H:%M} UTC" if exact.date() == now.astimezone(UTC).date() else f"{exact:%Y-%m-%d %H:%M} UTC"


def utc(at: datetime | str | None) -> str:
    """`2026-11-28 03:03:07 UTC`; empty where there is no time."""
    return f"{moment(at):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def iso(at: datetime | str) -> str:
    """The time as HTML's `datetime` attribute wants it."""
    return moment(at).isoformat()


def lasting(duration: timedelta | float | None) -> str:
    """The two largest parts of a duration, or of as many seconds: `4 min 10 s`; empty where there is none."""
    if duration is None:
        return ""
    left = max(0, int(duration.total_seconds() if isinstance(duration, timedelta) else duration))
    parts: list[tuple[int, str]] = []
    for unit, size in _SIZES:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"


def moment(at: datetime | str) -> datetime:
    """The time in UTC; one without a zone is in UTC already."""
    exact = datetime.fromisoformat(at) if isinstance(at, str) else at
    return exact.replace(tzinfo=UTC) if exact.tzinfo is None else exact.astimezone(UTC)


def _largest(seconds: float) -> str:
    unit, size = next(((unit, size) for unit, size in _SIZES if seconds >= size), ("s", 1))
    return f"{int(seconds // size)} {unit}"
