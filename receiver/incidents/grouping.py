"""Which incident an alert belongs to: the key of its service's incident, and those whose victim it may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deploywatch.conventions import AlertAnnotation
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.dependencies import causes
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.targets import correlation

Likeness = tuple[tuple[tuple[str, str], ...], str | None, str | None, str]


def likeness(alert: Alert, settings: ReceiverConfig) -> Likeness:
    """All of an alert that decides what it does to an open incident: those that share it do the same."""
    annotations, deciding = alert.annotations, settings.deciding_labels
    return (
        # A list within the tuple is quicker than a generator; this runs for each alert of a storm.
        tuple([label for label in alert.labels.items() if label[0] in deciding]),
        annotations.get(AlertAnnotation.CHANNELS),
        annotations.get(AlertAnnotation.ESCALATE_AFTER),
        alert.name,
    )


def key_of(alert: Alert, settings: ReceiverConfig) -> str:
    """Where the alert belongs."""
    return store.open_key(*settings.target(alert), correlation(alert, settings.further_labels))


def cause_keys(alert: Alert, settings: ReceiverConfig) -> Iterator[str]:
    """Where the alert may belong as a victim, the nearest service first.

    Of one service the incident with the alert's own further values, then the one that has none: it is about all of
    them. One with other values is another matter.
    """
    (service, environment), own = settings.target(alert), correlation(alert, settings.further_labels)
    for cause in causes(service, settings.dependencies):
        if own:
            yield store.open_key(cause, environment, own)
        yield store.open_key(cause, environment)


def keys_of(alerts: Iterable[Alert], settings: ReceiverConfig) -> set[str]:
    """Where these alerts may belong: to their service's incident, or to that of a service that it depends on."""
    keys = {key_of(alert, settings): alert for alert in alerts}
    if not settings.dependencies:
        return set(keys)
    return {*keys, *(key for alert in keys.values() for key in cause_keys(alert, settings))}
