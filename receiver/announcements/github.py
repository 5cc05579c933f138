"""GitHub's webhook: what `deployment_status` says (https://docs.github.com/en/webhooks/webhook-events-and-payloads)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from deploywatch.clock import UtcTime
from deploywatch.receiver.announcements.announced import Announced, Ignored, MalformedError, Payload, Text, told
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.intake import bodies
from deploywatch.receiver.intake.bodies import BodyError
from deploywatch.receiver.settings.announcements import Announcements, GitHub

SIGNATURE: Final = "X-Hub-Signature-256"
EVENT: Final = "X-GitHub-Event"
_STATES: Final[dict[str, Status | None]] = {
    "in_progress": None,
    "success": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "error": Status.FAILED,
}
# GitHub sets `inactive` itself on each earlier deployment of the environment when a new one succeeds.
_WAITS: Final = {"queued", "pending", "waiting", "inactive"}


class _User(Payload):
    login: str = ""


class _Deployment(Payload):
    sha: Text
    ref: Text
    task: str = "deploy"
    environment: Text
    created_at: UtcTime
    creator: _User | None = None
    # Whatever the caller of GitHub's API put in: an object, a string of JSON, an empty string.
    payload: Any = None


class _Status(Payload):
    state: str
    created_at: UtcTime


class _Repository(Payload):
    full_name: Text


class _Event(Payload):
    deployment: _Deployment
    deployment_status: _Status
    repository: _Repository


def parse(kind: str, body: bytes, names: Announcements, github: GitHub) -> Announced | Ignored:
    """What an event of this kind (`X-GitHub-Event`) announces. Raises MalformedError.

    `service` and `version` in the deployment's own payload say it better than the repository and its commit.
    """
    if kind != "deployment_status":
        return Ignored(f"{kind[:40] or 'an event without a kind'} is no deployment_status")
    try:
        event = bodies.read(body, _Event)
    except BodyError as error:
        raise MalformedError("; ".join(error.faults)) from error
    deployment, status = event.deployment, event.deployment_status
    if deployment.task != "deploy":
        return Ignored(f"the task {deployment.task[:40]} deploys nothing")
    if status.state in _WAITS:
        return Ignored(f"a deployment that is {status.state} has not begun, or is over")
    if status.state not in _STATES:
        raise MalformedError(f"$.deployment_status.state: {status.state[:40]!r} is no state that is known")
    payload = deployment.payload if isinstance(deployment.payload, dict) else {}
    # GitHub sends the ref as the workflow wrote it: the same branch comes short and in full.
    ref = deployment.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return Announced(
        service=names.service(_text(payload, "service") or event.repository.full_name),
        environment=names.environment(deployment.environment),
        version=_text(payload, "version") or (deployment.sha if github.version == "sha" else ref),
        status=_STATES[status.state],
        # The two times come from different machines of GitHub; a deployment never ends before it began.
        at=_not_before(status.created_at, deployment.created_at),
        started_at=deployment.created_at,
        deployer=told(deployment.creator.login) if deployment.creator else "",
    )


def _text(payload: dict[str, Any], key: str) -> str:
    value = payload.get(key)
    return value[:200] if isinstance(value, str) else ""


def _not_before(at: datetime, started: datetime) -> datetime:
    return max(at, started)
