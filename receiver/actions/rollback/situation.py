"""What a rollback is decided on, and what can come of it: go, or refused with a named reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.settings.actions.rollback import Mode, RollbackTarget

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
