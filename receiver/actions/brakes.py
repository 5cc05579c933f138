"""Whether to roll back: a pure decision with a named reason, so that every refusal can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.quantity import format_duration
from receiver.config import Rollback, RollbackTarget
from receiver.deployments.ledger import Deployment


class Refusal(StrEnum):
    """Why a rollback was not done."""

    INCIDENT_OVER = "incident_over"
    NO_TARGET = "no_target"
    NO_DEPLOYMENT = "no_deployment"
    ALREADY_ROLLED_BACK = "already_rolled_back"
    ALREADY_TRIED = "already_tried"
    NOT_RECENT = "not_recent"
    NO_PREVIOUS_VERSION = "no_previous_version"
    SAME_VERSION = "same_version"
    COOLDOWN = "cooldown"
    UNSAFE_VALUE = "unsafe_value"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision is made from.

    `tried` says how a rollback of this very deployment stands ("" for none), `last_rollback` when one of this
    service and environment last began.
    """

    now: datetime
    service: str
    environment: str
    incident_over: bool
    deployment: Deployment | None
    tried: str
    last_rollback: datetime | None


@dataclass(frozen=True, slots=True)
class Go:
    """Roll back this deployment to its previous version; only say so, in a dry run."""

    deployment: Deployment
    target: RollbackTarget
    to_version: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not roll back; `detail` is the sentence for people."""

    reason: Refusal
    detail: str


def decide(situation: Situation, settings: Rollback) -> Go | Refused:
    """Check the brakes one after another; the first that holds names the refusal."""
    where = f"{situation.service} in {situation.environment}"
    target = settings.target(situation.service, situation.environment)
    deployment = situation.deployment
    if situation.incident_over:
        return Refused(Refusal.INCIDENT_OVER, "every alert has resolved meanwhile")
    if target is None:
        return Refused(Refusal.NO_TARGET, f"no rollback target is configured for {where}")
    if deployment is None:
        return Refused(Refusal.NO_DEPLOYMENT, f"no deployment of {where} is known")
    if deployment.rollback_of is not None or deployment.status == "rolled_back":
        return Refused(Refusal.ALREADY_ROLLED_BACK, f"{where} was rolled back already and runs {deployment.version}")
    if situation.tried:
        detail = f"a rollback of {deployment.version} was begun before and is {situation.tried}"
        return Refused(Refusal.ALREADY_TRIED, f"{detail}; it is not run a second time")
    age = situation.now - deployment.started_at
    if age > settings.recent:
        detail = f"the last deployment, {deployment.version}, is {format_duration(_whole(age))} old"
        return Refused(Refusal.NOT_RECENT, f"{detail}; only the last {format_duration(settings.recent)} count")
    previous = deployment.previous_version
    if previous is None:
        return Refused(Refusal.NO_PREVIOUS_VERSION, f"what ran before {deployment.version} is not known")
    if previous == deployment.version:
        return Refused(Refusal.SAME_VERSION, f"{deployment.version} ran before as well")
    if situation.last_rollback and situation.now < situation.last_rollback + settings.cooldown:
        until = situation.last_rollback + settings.cooldown
        return Refused(Refusal.COOLDOWN, f"cooldown until {until:%H:%M:%S} UTC")
    return Go(deployment, target, previous, dry_run=settings.mode != "auto")


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
