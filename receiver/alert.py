"""An alert as Alertmanager tells of it, and the source that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

GRAFANA: Final = "grafana"
"""The source of what Grafana posts itself, and no Alertmanager has."""
VERDICT: Final = "verdict"
"""The source of alerts that are verdicts of our own on deployments."""
# Alertmanager's have 16 characters; another sender's may be any text, and is a key of the store.
_FINGERPRINT_LIMIT: Final = 80


# Outside the garbage collector: a webhook brings thousands of them, and none can be part of a circle.
class Alert(msgspec.Struct, frozen=True, gc=False):
    """One alert of a webhook; `starts_at` names its episode, `ends_at` is None while it fires.

    `lowered_to` is the earlier start that Alertmanager has given the same episode later; None where it has not.
    """

    fingerprint: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = ""
    lowered_to: datetime | None = None

    @property
    def since(self) -> datetime:
        """Since when it fires, or fired, as far as anybody says; `starts_at` only names the episode."""
        return self.lowered_to or self.starts_at

    @property
    def name(self) -> str:
        """The alert's name, or what identifies it when it has none."""
        return self.labels.get("alertname") or f"alert {self.fingerprint}"


def source(labels: Mapping[str, str]) -> str:
    """The name of a source whose alerts all bear these labels; empty for the one that adds none."""
    if not labels:
        return ""
    # A byte between them that no label of Prometheus has, so that two different sets cannot read the same.
    named = "\xff".join(f"{name}\xff{value}" for name, value in sorted(labels.items()))
    return sha256(named.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


def within(source: str, fingerprint: str) -> str:
    """The fingerprint as it is known here: two sources may have one for alerts that are not the same."""
    if not source:
        return fingerprint
    # A hash and no beginning of it: two long ones may begin alike.
    if len(fingerprint) > _FINGERPRINT_LIMIT:
        fingerprint = sha256(fingerprint.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return f"{source}~{fingerprint}"


def source_of(fingerprint: str) -> str:
    """The source that `within` put into a fingerprint; empty where there is none."""
    name, separator, _ = fingerprint.partition("~")
    return name if separator else ""


def labelled(alert: Alert, labels: Mapping[str, str]) -> Alert:
    """The alert with the labels of its source, and known within it.

    The source's labels count; one that the alert has with another value is kept as `exported_…`, as Prometheus does.
    """
    if not labels:
        return alert
    own = {
        f"exported_{name}" if labels.get(name, value) != value else name: value for name, value in alert.labels.items()
    }
    known_as = within(source(labels), alert.fingerprint)
    return msgspec.structs.replace(alert, fingerprint=known_as, labels={**own, **labels})
