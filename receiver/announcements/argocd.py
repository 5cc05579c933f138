"""Argo CD's notification, by the template on docs/announcements.md: a sync that began or ended."""

from __future__ import annotations

from typing import Final

from deploywatch.clock import UtcTime
from deploywatch.receiver.announcements.announced import Announced, Ignored, MalformedError, Payload, Text
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError
from deploywatch.receiver.settings.announcements import Announcements

_PHASES: Final[dict[str, Status | None]] = {
    "Running": None,
    "Succeeded": Status.SUCCEEDED,
    "Failed": Status.FAILED,
    "Error": Status.FAILED,
}


class _Event(Payload):
    application: Text
    environment: Text
    version: Text
    phase: str
    startedAt: UtcTime  # noqa: N815 - Argo CD's name
    finishedAt: UtcTime | None = None  # noqa: N815
    image: str = ""


def parse(body: bytes, names: Announcements) -> Announced | Ignored:
    """What a notification announces. Raises MalformedError."""
    try:
        event = bodies.read(body, _Event)
    except BodyError as error:
        raise MalformedError("; ".join(error.faults)) from error
    if event.phase == "Terminating":
        return Ignored("a sync that is terminating is not over yet")
    if event.phase not in _PHASES:
        raise MalformedError(f"$.phase: {event.phase[:40]!r} is no phase of an operation")
    return Announced(
        service=names.service(event.application),
        environment=names.environment(event.environment),
        version=event.version,
        status=_PHASES[event.phase],
        at=max(event.finishedAt or event.startedAt, event.startedAt),
        started_at=event.startedAt,
        artifact=event.image[:1000],
        deployer="argocd",
    )
