"""Flux's events, by its provider `generic-hmac` (https://fluxcd.io/flux/components/notification/providers/).

An event names the revision that was applied. Kustomizations and Helm releases deploy; sources and images do not. Flux
says the same again at each reconciliation that changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from deploywatch.clock import UtcTime
from deploywatch.receiver.announcements.announced import Announced, Ignored, MalformedError, Payload, Text
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError
from deploywatch.receiver.settings.announcements import Announcements, Flux

SIGNATURE: Final = "X-Signature"
_DEPLOYS: Final = {"Kustomization", "HelmRelease"}
_REASONS: Final[dict[str, Status | None]] = {
    "Progressing": None,
    "ReconciliationSucceeded": Status.SUCCEEDED,
    "InstallSucceeded": Status.SUCCEEDED,
    "UpgradeSucceeded": Status.SUCCEEDED,
    "ReconciliationFailed": Status.FAILED,
    "BuildFailed": Status.FAILED,
    "ValidationFailed": Status.FAILED,
    "HealthCheckFailed": Status.FAILED,
    "InstallFailed": Status.FAILED,
    "UpgradeFailed": Status.FAILED,
}


class _Object(Payload):
    kind: str
    name: Text
    namespace: Text


class _Event(Payload):
    involvedObject: _Object  # noqa: N815 - Flux's name
    reason: str
    timestamp: UtcTime
    metadata: Mapping[str, str] = Field(default_factory=dict)


def parse(body: bytes, names: Announcements, flux: Flux) -> Announced | Ignored:
    """What an event announces. Raises MalformedError."""
    event = _event(body)
    about = event.involvedObject
    if about.kind not in _DEPLOYS:
        return Ignored(f"a {about.kind[:40]} deploys nothing")
    if event.reason not in _REASONS:
        return Ignored(f"{event.reason[:40]} says not that a deployment began or ended")
    revision = _revision(event.metadata)
    if not revision:
        return Ignored(f"{event.reason} names no revision")
    return Announced(
        service=names.service(f"{about.namespace}/{about.name}"),
        environment=names.environment(flux.environment),
        version=revision,
        status=_REASONS[event.reason],
        at=event.timestamp,
        deployer="flux",
        settles=True,
    )


def _event(body: bytes) -> _Event:
    try:
        return bodies.read(body, _Event)
    except BodyError as error:
        raise MalformedError("; ".join(error.faults)) from error


def _revision(metadata: Mapping[str, str]) -> str:
    """`main@sha1:731f…` and `main/731f…` are a commit, `1.2.3@sha256:…` is a tag, and a chart has its version."""
    revision = next((value for key, value in metadata.items() if key == "revision" or key.endswith("/revision")), "")
    name, _, digest = revision.partition("@")
    algorithm, _, value = digest.partition(":")
    # A digest of an OCI artifact says nothing that a person would recognise; the tag before it does.
    if algorithm == "sha1":
        return value[:200]
    commit = name.rpartition("/")[2]
    return (commit if not digest and _is_commit(commit) else name)[:200]


def _is_commit(text: str) -> bool:
    return len(text) == 40 and all(letter in "0123456789abcdef" for letter in text)
