"""What happened, as the data of an event: one function for each kind of fact.

An event of CDEvents' own has the content that its schema allows, and everything else in `customData`; an event of ours
has all in its content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.incidents.incident import Incident

_DIGEST = re.compile(r"^(?P<path>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})$")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened at a time; `subject` names what it happened to, such as `deployment/7`."""

    type: EventType
    service: str
    environment: str
    subject: str
    at: datetime
    content: Mapping[str, Any]
    custom: Mapping[str, Any] = field(default_factory=dict)


def deployment_started(deployment: Deployment) -> Fact:
    """A deployment began."""
    place, subject = _place(deployment), _named(deployment)
    return Fact(EventType.DEPLOYMENT_STARTED, *place, subject, deployment.started_at, _content(deployment))


def deployment_ended(deployment: Deployment) -> Fact:
    """A deployment ended: the service is deployed, or was rolled back by a deployment, or the deployment failed."""
    at = deployment.finished_at or deployment.started_at
    if deployment.status is Status.FAILED:
        subject = _named(deployment)
        return Fact(EventType.DEPLOYMENT_FAILED, *_place(deployment), subject, at, _content(deployment))
    # CDEvents tells of a rollback by the version that is back, and not by the one that went.
    if deployment.status is Status.ROLLED_BACK:
        return rolled_back(deployment, deployment.previous_version or "", at)
    kind = EventType.DEPLOYED if deployment.rollback_of is None else EventType.ROLLED_BACK
    running = package(deployment.service, deployment.version, deployment.artifact)
    return Fact(kind, *_place(deployment), deployment.service, at, _running(deployment, running), _content(deployment))


def rolled_back(deployment: Deployment, version: str, at: datetime) -> Fact:
    """A deployment was undone: `version` runs again, where that is known."""
    running = _running(deployment, package(deployment.service, version))
    known = {**_content(deployment), "rolled_back_to": version}
    return Fact(EventType.ROLLED_BACK, *_place(deployment), deployment.service, at, running, known)


def stage_entered(deployment: Deployment, stage: RunningStage) -> Fact:
    """A deployment entered a stage of its verification plan."""
    content = {
        **_content(deployment),
        "stage": stage.name,
        "position": stage.position,
        "share": stage.plan.share,
        "policy": stage.plan.policy,
    }
    return Fact(EventType.STAGE_ENTERED, *_place(deployment), _named(deployment), stage.started_at, content)


def verdict_given(
    deployment: Deployment, stage: RunningStage, at: datetime, *, answer: str, reason: str, sentences: Sequence[str]
) -> Fact:
    """A stage was judged otherwise than before, or a person accepted its hold (`accepted`)."""
    content = {
        **_content(deployment),
        "stage": stage.name,
        "policy": stage.plan.policy,
        "answer": answer,
        "reason": reason,
        "sentences": list(sentences),
    }
    return Fact(EventType.VERDICT_GIVEN, *_place(deployment), _named(deployment), at, content)


def hold_accepted(deployment: Deployment, stage: RunningStage, at: datetime, *, by: str, why: str) -> Fact:
    """A person let a deployment go on although its stage holds: a verdict of theirs, `accepted`."""
    sentences = (f"{by} accepted the hold: {why}",)
    return verdict_given(deployment, stage, at, answer="accepted", reason="accepted", sentences=sentences)


def assessment_completed(deployment: Deployment, at: datetime, assessment: Mapping[str, Any]) -> Fact:
    """The time after a deployment was assessed; `assessment` is what came of it, as the API gives it."""
    content = {**_content(deployment), "assessment": dict(assessment)}
    return Fact(EventType.ASSESSMENT_COMPLETED, *_place(deployment), _named(deployment), at, content)


def gate_refused(
    service: str, environment: str, at: datetime, *, version: str, state: str, lacking: Sequence[Mapping[str, str]]
) -> Fact:
    """A gate did not let a deployment begin: it is closed, waits for a person, or cannot tell."""
    content = {
        "service": service,
        "environment": environment,
        "version": version,
        "state": state,
        "lacking": [dict(check) for check in lacking],
    }
    return Fact(EventType.GATE_REFUSED, service, environment, f"gate/{service}/{environment}", at, content)


def incident_opened(incident: Incident) -> Fact:
    """An incident opened."""
    return _incident(EventType.INCIDENT_OPENED, incident, incident.opened_at)


def incident_worsened(incident: Incident, at: datetime, before: str) -> Fact:
    """An incident became worse: of higher severity than `before`, or as bad as that again."""
    return _incident(EventType.INCIDENT_WORSENED, incident, at, severity_before=before)


def incident_acknowledged(incident: Incident, at: datetime) -> Fact:
    """Somebody has an incident in hand."""
    return _incident(EventType.INCIDENT_ACKNOWLEDGED, incident, at, acknowledged_by=incident.acknowledged_by or "")


def incident_resolved(incident: Incident, at: datetime, why: str) -> Fact:
    """An incident is over."""
    return _incident(EventType.INCIDENT_RESOLVED, incident, at, resolved_by=incident.resolved_by or "", why=why)


def package(service: str, version: str, artifact: str = "") -> str:
    """A package URL of what runs: the artifact where it is an image with its digest or a package URL, else by name."""
    # CDEvents asks for a package URL; a pipeline that knows its own knows it better than we could build it.
    if artifact.startswith("pkg:"):
        return artifact
    if image := _DIGEST.match(artifact):
        folder, slash, name = image["path"].rpartition("/")
        # The tag: with the digest beside it, it names nothing more.
        name = name.partition(":")[0]
        repository = f"?repository_url={quote(folder + slash + name, safe='/.:')}" if slash else ""
        return f"pkg:oci/{quote(name, safe='')}@{quote(image['digest'], safe='')}{repository}"
    name = quote(service, safe="")
    return f"pkg:generic/{name}@{quote(version, safe='')}" if version else f"pkg:generic/{name}"


def _incident(kind: EventType, incident: Incident, at: datetime, **more: str) -> Fact:
    known = {
        "title": incident.title,
        "severity": incident.severity,
        "type": incident.type,
        "status": incident.status,
        "opened_at": incident.opened_at.isoformat(),
        "correlation": dict(incident.correlation),
        **more,
    }
    place = (incident.service, incident.environment)
    subject = f"incident/{incident.id}"
    content = {
        "description": incident.title,
        "environment": {"id": incident.environment},
        "service": {"id": incident.service},
    }
    if kind.is_ours:
        return Fact(kind, *place, subject, at, {**content, **known})
    return Fact(kind, *place, subject, at, content, known)


def _running(deployment: Deployment, what: str) -> dict[str, Any]:
    return {"environment": {"id": deployment.environment}, "artifactId": what}


def _place(deployment: Deployment) -> tuple[str, str]:
    return deployment.service, deployment.environment


def _named(deployment: Deployment) -> str:
    return f"deployment/{deployment.id}"


def _content(deployment: Deployment) -> dict[str, Any]:
    """The deployment as the API gives it, under names of its own."""
    known = deployment.to_json()
    # `id` and `timestamp` are the event's own in the envelope; the same words here would be read as those.
    return {**known, "deployment": known.pop("id"), "started_at": known.pop("timestamp")}
