"""Whether to roll back: a pure decision with a named reason, so that every refusal can be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from deploywatch.plurals import number_of
from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback.confidence import Advice, weigh
from deploywatch.receiver.actions.rollback.situation import ApprovalState, Go, Refusal, Refused, Situation
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.settings.actions.rollback import Mode, Rollback, RollbackTarget


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
    # First: a rollback after the trouble is over does harm whatever else is true.
    if situation.incident_over:
        return Refused(Refusal.INCIDENT_OVER, "every alert has resolved meanwhile, or somebody ended the incident")
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
        # Not that this is what runs: something may have put the other version back since.
        detail = f"{case.where} was rolled back already, and no deployment since was told of"
        if deployment.rollback_of is not None:
            detail = (
                f"{case.where} was rolled back to {deployment.version} already, and nothing deployed since is known"
            )
        return Refused(Refusal.ALREADY_ROLLED_BACK, detail)
    if at.tried in ("running", "verifying"):
        return Refused(Refusal.UNDER_WAY, f"a rollback of {deployment.version} is {at.tried} already")
    if at.tried:
        detail = f"a rollback of {deployment.version} was begun before and is {at.tried}"
        return Refused(Refusal.ALREADY_TRIED, f"{detail}; it is not run a second time")
    return None


def _of_the_deployment(case: _Case) -> Refused | None:
    deployment, at = case.deployment, case.at
    # The alert speaks of what ran when it began.
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
    # Before the cooldown: that ends by itself, and an open breaker only by a person.
    if at.failed_in_a_row >= settings.breaker:
        return Refused(
            Refusal.BREAKER_OPEN, f"the last {number_of(at.failed_in_a_row, 'rollback')} of {case.where} failed"
        )
    if at.last_rollback and at.now < at.last_rollback + settings.cooldown:
        until = at.last_rollback + settings.cooldown
        return Refused(Refusal.COOLDOWN, f"cooldown until {until:%H:%M:%S} UTC")
    return None


def _of_the_hour(case: _Case) -> Refused | None:
    at, caps = case.at, case.settings.caps
    if at.of_target >= caps.target:
        detail = f"{number_of(at.of_target, 'rollback')} of {case.where} began within an hour"
        return Refused(Refusal.CAP_OF_TARGET, f"{detail}; at most {caps.target} may")
    # When many services are bad at once, the cause is hardly each one's last deployment.
    if at.in_all >= caps.total:
        detail = f"{number_of(at.in_all, 'rollback')} of all services began within an hour"
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


# From what can never change for this deployment to what a person can still give: the first that holds is what is told.
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
    # Less sure only ever makes it more careful: a mode that asks, or a dry run, stays what it is.
    careful = verdict.advice is Advice.GRADUAL and mode == "auto"
    return Go(case.deployment, case.target, to_version, "approve" if careful else mode, verdict.detail)


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
