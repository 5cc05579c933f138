"""How alerts and incidents are named: what tells them apart, where they are, in one line."""

from __future__ import annotations

import re
from typing import Final

from deploywatch.plurals import number_of
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.story import AlertView, IncidentView

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
# In the order of how much they tell a person who is woken.
_TELLING: Final = ("instance", "host", "node", "pod", "container", "device", "mountpoint", "endpoint")
"""What people look for first."""


def apart(alert: AlertView, incident: IncidentView) -> str:
    """The labels that tell the alert apart from others of the incident: `instance=10.0.0.9:9100, device=sda`.

    Not those that the message says anyway, nor those that say who watches. Where there are more than fit, it says so.
    """
    known = {incident.service, incident.environment, *incident.correlation.values()}
    labels = {
        name: value
        for name, value in alert.labels.items()
        if name not in _SAID_ANYWAY and value and not (name in _PLACES and value in known)
    }
    first = [name for name in _TELLING if name in labels]
    names = [*first, *(name for name in sorted(labels) if name not in first)]
    shown = [value_line(name, labels[name]) for name in names[:APART_LABELS]]
    left = len(names) - len(shown)
    return ", ".join([*shown, f"and {number_of(left, 'more label')}"] if left else shown)


def named(alert: AlertView, incident: IncidentView) -> str:
    """The alert by its name and what tells it apart: `DiskFull, instance=10.0.0.9:9100`."""
    return ", ".join(part for part in (line(alert.name, 100), apart(alert, incident)) if part)


def where(incident: IncidentView) -> str:
    """`shop in production`, or `shop in production, region=eu` where incidents are told apart by more."""
    service = line(incident.service, 100) or "unknown service"
    environment = line(incident.environment, 60)
    place = f"{service} in {environment}" if environment else service
    return ", ".join((place, *(value_line(*pair) for pair in incident.correlation.items())))


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
    unsaid += [value_line(name, value) for name, value in incident.correlation.items() if not _names(title, value)]
    return f"{title} ({cut(', '.join(unsaid), PLACE_LIMIT)})" if unsaid else title


def value_line(name: str, value: str) -> str:
    return f"{line(name, 60)}={line(value, 60)}"


# As a word of its own: `shop` is not named by `workshop` or `shop-api`.
def _names(title: str, name: str) -> bool:
    """Whether the title bears the name as a word of its own: `shop` is not named by `shop-api`."""
    known = re.escape(line(name, 100))
    return bool(known) and re.search(rf"(?<![\w-]){known}(?![\w-])", title, re.IGNORECASE) is not None
