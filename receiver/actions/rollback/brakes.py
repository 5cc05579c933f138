"""Whether to roll back: a pure decision with a named reason, so that every refusal can be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback.confidence import Advice, weigh
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.settings.actions.rollback import Mode, Rollback, RollbackTarget

HOUR = timedelta(hours=1)


class Refusal(StrEnum):
    """Why a rollback was not done."""

    INCIDENT_OVER = "incident_over"
    NO_TARGET = "no_target"
    NO_DEPLOYMENT = "no_deployment"
    ALREADY_ROLLED_BACK = "already_rolled_back"
    UNDER_WAY = "under_way"
    ALREADY_TRIED = "already_tried"
    NEWER_DEPLOYMENT = "newer_deployment"
    DEPLOYMENT_RUNNING = "deployment_running"
    NOT_RECENT = "not_recent"
    NO_PREVIOUS_VERSION = "no_previous_version"
    SAME_VERSION = "same_version"
    BREAKER_OPEN = "breaker_open"
    LOCKED = "locked"
    COOLDOWN = "cooldown"
    CAP_OF_TARGET = "cap_of_target"
    CAP_IN_ALL = "cap_in_all"
    NOT_ENOUGH_ISSUES = "not_enough_issues"
    REJECTED = "rejected"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_WAITING = "approval_waiting"
    UNSAFE_VALUE = "unsafe_value"


FINAL = frozenset(
    {
        Refusal.ALREADY_ROLLED_BACK,
        Refusal.UNDER_WAY,
        Refusal.ALREADY_TRIED,
        Refusal.REJECTED,
        Refusal.APPROVAL_EXPIRED,
        Refusal.APPROVAL_WAITING,
    }
)
"""Refusals that no new fact about the same deployment changes; every other is decided anew while the incident lasts."""

ADVICE: Mapping[Refusal, str] = {
    Refusal.INCIDENT_OVER: "it is decided again if an alert of the incident fires anew",
    Refusal.NO_TARGET: "add one to rollback.targets, and it is decided again; roll back by hand until then",
    Refusal.NO_DEPLOYMENT: "have the pipeline tell of them (deploywatch deployments start), and roll back by hand",
    Refusal.ALREADY_ROLLED_BACK: "if that does not help, look for another cause",
    Refusal.UNDER_WAY: "wait for its end, which is told",
    Refusal.ALREADY_TRIED: "look whether it worked, and if not, roll back by hand",
    Refusal.NEWER_DEPLOYMENT: "if it is not, roll back by hand",
    Refusal.DEPLOYMENT_RUNNING: "it is decided again when that ends, if an alert fires then; finish it or stop it",
    Refusal.NOT_RECENT: "look for another cause, or roll back by hand",
    Refusal.NO_PREVIOUS_VERSION: "choose a version and roll back by hand",
    Refusal.SAME_VERSION: "look for another cause, or choose a version and roll back by hand",
    Refusal.BREAKER_OPEN: "find out why, then allow it again (deploywatch deployments allow)",
    Refusal.LOCKED: "wait until that is over, then ask again",
    Refusal.COOLDOWN: "ask again then, or roll back by hand",
    Refusal.CAP_OF_TARGET: "find out why so many were needed, and roll back by hand if it must be",
    Refusal.CAP_IN_ALL: "look for a cause that they share, and roll back by hand if it must be",
    Refusal.NOT_ENOUGH_ISSUES: "watch it, or roll back by hand",
    Refusal.REJECTED: "it is asked for again only if the incident becomes worse; roll back by hand if need be",
    Refusal.APPROVAL_EXPIRED: "it is asked for again only if the incident becomes worse; roll back by hand if need be",
    Refusal.APPROVAL_WAITING: "approve or reject it (deploywatch incidents approve, reject)",
    Refusal.UNSAFE_VALUE: "roll back by hand, and have the pipeline use plain names and versions",
}
"""What a person can do about each refusal; part of its sentence."""


class ApprovalState(StrEnum):
    """How a person's word on this deployment in this incident stands."""

    NONE = ""
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision is made from.

    `to_version` is the last different version that was well, `asked_since` when the last alert that asks began. `tried`
    says how a rollback of this very deployment stands ("" for none), `last_rollback` when one of this
    service and environment last began, `failed_in_a_row` how many of its last ones failed since a person allowed it,
    `of_target` and `in_all` how many began within the last hour, `held_by` who has the target's lock ("" for nobody).
    `proof` is the sentence by which the verdict judged this very deployment bad ("" where it did not).
    """

    now: datetime
    service: str
    environment: str
    incident_over: bool
    deployment: Deployment | None
    tried: str
    last_rollback: datetime | None
    to_version: str | None = None
    asked_since: datetime | None = None
    failed_in_a_row: int = 0
    of_target: int = 0
    in_all: int = 0
    held_by: str = ""
    issues: tuple[str, ...] = ()
    word: ApprovalState = ApprovalState.NONE
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """Roll back this deployment to its previous version; `mode` says whether to do it, to ask first, or only to tell.

    `why` is what the evidence says, when it was weighed.
    """

    deployment: Deployment
    target: RollbackTarget
    to_version: str
    mode: Mode
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not roll back; `detail` says why."""

    reason: Refusal
    detail: str

    @property
    def sentence(self) -> str:
        """Why not, and what a person can do about it."""
        return f"{self.detail}; {ADVICE[self.reason]}"


@dataclass(frozen=True, slots=True)
class _Case:
    """A situation that has what every later brake looks at."""

    at: Situation
    deployment: Deployment
    target: RollbackTarget
    settings: Rollback

    @property
    def where(self) -> str:
        return f"{self.at.service} in {self.at.environment}"


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
    case = _Case(situation, deployment, target, settings)
    for brake in _BRAKES:
        if refused := brake(case):
            return refused
    return _permission(case)


def _of_the_past(case: _Case) -> Refused | None:
    deployment, at = case.deployment, case.at
    if deployment.rollback_of is not None or deployment.status is Status.ROLLED_BACK:
        detail = f"{case.where} was rolled back already and runs {deployment.version}"
        return Refused(Refusal.ALREADY_ROLLED_BACK, detail)
    if at.tried in ("running", "verifying"):
        return Refused(Refusal.UNDER_WAY, f"a rollback of {deployment.version} is {at.tried} already")
    if at.tried:
        detail = f"a rollback of {deployment.version} was begun before and is {at.tried}"
        return Refused(Refusal.ALREADY_TRIED, f"{detail}; it is not run a second time")
    return None


def _of_the_deployment(case: _Case) -> Refused | None:
    deployment, at = case.deployment, case.at
    if at.asked_since is not None and deployment.started_at > at.asked_since:
        detail = f"a deployment of {deployment.version} began at {deployment.started_at:%H:%M:%S} UTC"
        return Refused(Refusal.NEWER_DEPLOYMENT, f"{detail}, after the alert that asks; it may be the remedy")
    age = at.now - deployment.started_at
    recent = case.settings.recent
    if age > recent:
        detail = f"the last deployment, {deployment.version}, is {format_duration(_whole(age))} old"
        return Refused(Refusal.NOT_RECENT, f"{detail}; only the last {format_duration(recent)} count")
    # Of a deployment that was judged bad stage by stage it is known what runs.
    if deployment.status is Status.RUNNING and not at.proof:
        detail = f"the deployment of {deployment.version} is still running"
        return Refused(Refusal.DEPLOYMENT_RUNNING, f"{detail}, so nobody knows what runs when")
    return None


def _of_the_version(case: _Case) -> Refused | None:
    deployment = case.deployment
    if case.at.to_version is not None:
        return None
    if deployment.previous_version == deployment.version:
        return Refused(Refusal.SAME_VERSION, f"{deployment.version} ran before as well, and no other version is known")
    return Refused(Refusal.NO_PREVIOUS_VERSION, f"no version that was well before {deployment.version} is known")


def _of_the_target(case: _Case) -> Refused | None:
    at, settings = case.at, case.settings
    if at.held_by:
        return Refused(Refusal.LOCKED, f"{case.where} is in the hands of {at.held_by}")
    if at.failed_in_a_row >= settings.breaker:
        return Refused(Refusal.BREAKER_OPEN, f"the last {at.failed_in_a_row} rollbacks of {case.where} failed")
    if at.last_rollback and at.now < at.last_rollback + settings.cooldown:
        until = at.last_rollback + settings.cooldown
        return Refused(Refusal.COOLDOWN, f"cooldown until {until:%H:%M:%S} UTC")
    return None


def _of_the_hour(case: _Case) -> Refused | None:
    at, caps = case.at, case.settings.caps
    if at.of_target >= caps.target:
        detail = f"{at.of_target} rollbacks of {case.where} began within an hour"
        return Refused(Refusal.CAP_OF_TARGET, f"{detail}; at most {caps.target} may")
    if at.in_all >= caps.total:
        detail = f"{at.in_all} rollbacks of all services began within an hour"
        return Refused(Refusal.CAP_IN_ALL, f"{detail}; at most {caps.total} may")
    return None


def _of_a_person(case: _Case) -> Refused | None:
    version = case.deployment.version
    match case.at.word:
        case ApprovalState.REJECTED:
            return Refused(Refusal.REJECTED, f"a person said no to rolling back {version}")
        case ApprovalState.EXPIRED:
            return Refused(Refusal.APPROVAL_EXPIRED, f"nobody said yes in time to rolling back {version}")
        case ApprovalState.WAITING:
            return Refused(Refusal.APPROVAL_WAITING, f"rolling back {version} waits for a person's word already")
    return None


_BRAKES: tuple[Callable[[_Case], Refused | None], ...] = (
    _of_the_past,
    _of_the_deployment,
    _of_the_version,
    _of_the_target,
    _of_the_hour,
    _of_a_person,
)


_WORDS = (
    "not rolled back before",
    "recent, ended, and older than the alert",
    "a version to go back to",
    "nobody else at it, breaker closed, no cooldown",
    "not too many within an hour",
    "a person's word",
)


def words(situation: Situation, settings: Rollback) -> tuple[tuple[str, Refused | None], ...]:
    """What each brake says now: its name, and why it holds, or None; nothing where `decide` needs none of them."""
    target = settings.target(situation.service, situation.environment)
    if target is None or situation.deployment is None:
        return ()
    case = _Case(situation, situation.deployment, target, settings)
    return tuple((name, brake(case)) for name, brake in zip(_WORDS, _BRAKES, strict=True))


def _permission(case: _Case) -> Go | Refused:
    """No brake holds: what the evidence and the mode allow. A person's yes outweighs both but a dry run."""
    mode: Mode = case.target.mode or case.settings.mode
    to_version = case.at.to_version or ""
    if case.at.word is ApprovalState.APPROVED:
        go_mode: Mode = "dry-run" if mode == "dry-run" else "auto"
        return Go(case.deployment, case.target, to_version, go_mode, "a person approved it")
    if case.settings.decide is None or case.at.proof:
        # Proven on counted requests: how many alerts fire says no more than that.
        return Go(case.deployment, case.target, to_version, mode, case.at.proof)
    verdict = weigh(case.at.issues, case.settings.decide)
    if verdict.advice is Advice.MONITOR:
        return Refused(Refusal.NOT_ENOUGH_ISSUES, verdict.detail)
    careful = verdict.advice is Advice.GRADUAL and mode == "auto"
    return Go(case.deployment, case.target, to_version, "approve" if careful else mode, verdict.detail)


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
