"""What the gate can ask for: each requirement finds how it stands, why, and what somebody can do about it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from deploywatch.quantity import format_duration
from deploywatch.receiver.deployments.approvals import GateApproval
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.settings.people.on_call import PRIMARY
from deploywatch.receiver.settings.verification import Verification
from deploywatch.receiver.suppression.windows import Window, occurrence
from deploywatch.receiver.verification import people
from deploywatch.receiver.verification.question import (
    BACKUP,
    STAGING,
    STAGING_WITHIN,
    Asked,
    Finding,
    Question,
    Standing,
)


async def approval(question: Question) -> Finding:
    """Each role's approval, of this version and artifact, by another person each, none of them who deploys."""
    settings = question.context.settings.verification
    valid, refused = _judged_approvals(question)
    # Two roles need two people: whoever has both counts for one of them.
    by_role = people.different(valid, question.wanted.of)
    present = [f"{role} is {approval.by}" for role, approval in by_role.items()]
    lacking = [role for role in question.wanted.of if role not in by_role]
    if not lacking:
        return Finding(Standing.OPEN, ", ".join(present))
    detail = "; ".join([f"{', '.join(lacking)} has not approved it", *present, *refused])
    who = "; ".join(_who(settings, role) for role in lacking)
    advice = f"deploywatch deployments approve {question.asked.options} --role {lacking[0]} ({who})"
    # The approvals are there already; asking for more of them would send people the wrong way.
    if any(why.endswith(people.UNNAMED) for why in refused):
        advice = "ask again with the name of who deploys: --deployer, or `deployer` in the request"
    return Finding(Standing.WAITING, detail, advice)


def _judged_approvals(question: Question) -> tuple[list[GateApproval], list[str]]:
    """The approvals that count, and a sentence about each that does not."""
    settings, asked = question.context.settings.verification, question.asked
    within = timedelta(seconds=question.wanted.within) if question.wanted.within else settings.approvals
    valid, refused = list[GateApproval](), list[str]()
    for approval in question.facts.approvals:
        # Not named among the refused: an approval in another role is not meant for this question.
        if approval.role not in question.wanted.of:
            continue
        why = people.refused(approval, asked.artifact, asked.deployer, settings, now=question.facts.now, within=within)
        if why:
            refused.append(f"{approval.by} as {approval.role}: {why}")
        else:
            valid.append(approval)
    return valid, refused


async def record(question: Question) -> Finding:
    """Something was done for the service lately, such as a backup, and somebody recorded when."""
    kinds = (BACKUP,) if question.wanted.require == BACKUP else question.wanted.of
    within = timedelta(seconds=question.wanted.within or 0)
    lacking, there = [], []
    for kind in kinds:
        newest = next((record for record in question.facts.records if record.kind == kind), None)
        if newest is None:
            lacking.append(f"no {kind} is recorded")
        elif question.facts.now - newest.at > within:
            old, most = format_duration(_whole(question.facts.now - newest.at)), format_duration(within)
            lacking.append(f"the last {kind} is {old} old, and must not be older than {most}")
        else:
            there.append(f"{kind} of {newest.at:%Y-%m-%d %H:%M} UTC by {newest.by}")
    if not lacking:
        return Finding(Standing.OPEN, ", ".join(there))
    advice = f"make it, then: deploywatch deployments record {question.asked.target} --kind {kinds[0]}"
    return Finding(Standing.CLOSED, "; ".join(lacking), advice)


async def on_call(question: Question) -> Finding:
    """Somebody is on call for the service."""
    reached = reach(question.context.settings.oncall, [PRIMARY], question.asked.service, question.facts.now)
    if reached.names:
        return Finding(Standing.OPEN, f"{', '.join(reached.names)} is on call")
    gaps = "; ".join(str(gap) for gap in reached.gaps)
    detail = gaps or f"nobody is on call for {question.asked.service}"
    return Finding(Standing.CLOSED, detail, "name a team and its rotation in oncall, or wait for its hours")


async def rollback_target(question: Question) -> Finding:
    """There is a way back: a target of rollbacks, and a version that was well."""
    target = question.context.settings.rollback.target(question.asked.service, question.asked.environment)
    if target is None:
        return Finding(Standing.CLOSED, "no rollback target covers it", "add one to rollback.targets")
    # Known deployments and none that was well: a rollback would have nowhere to go, and the first time that is normal.
    if question.facts.previous is None and question.facts.known:
        return Finding(
            Standing.CLOSED, "no other version is known that was well", "record the one that runs (deployments import)"
        )
    if question.facts.previous is None:
        return Finding(Standing.OPEN, "it is the first deployment: there is nothing to go back to")
    mode = target.mode or question.context.settings.rollback.mode
    return Finding(Standing.OPEN, f"goes back to {question.facts.previous}; mode {mode}")


async def no_open_incident(question: Question) -> Finding:
    """The service has no open incident, but the one that the deployment fixes."""
    # Else the remedy of an incident could not be deployed while the incident is open.
    others = [incident for incident in question.facts.open_incidents if incident.id != question.asked.fixes]
    if not others:
        return Finding(
            Standing.OPEN,
            f"only incident {question.asked.fixes}, which it fixes" if question.facts.open_incidents else "none",
        )
    listed = "; ".join(f"incident {incident.id} ({incident.severity}): {incident.title}" for incident in others)
    return Finding(Standing.CLOSED, listed, f"resolve it, or say that this fixes it: --fixes {others[0].id}")


async def change_window(question: Question) -> Finding:
    """Changes are allowed now."""
    settings, now = question.context.settings.verification, question.facts.now
    where = (question.asked.service, question.asked.environment)
    frozen = _open_windows(settings.freezes, where, now)
    # A freeze wins over a window: it is the exception that somebody has written down.
    if frozen:
        last = max(frozen, key=lambda window: window.ends_at)
        detail = f"changes are frozen until {last.ends_at:%Y-%m-%d %H:%M} UTC: {last.reason}"
        return Finding(Standing.CLOSED, detail, "wait until then")
    meant = [window for window in settings.change_windows if _is_for(window, *where)]
    open_now = _open_windows(meant, where, now)
    if open_now:
        return Finding(Standing.OPEN, f"{open_now[0].reason}, until {open_now[0].ends_at:%H:%M} UTC")
    if meant:
        names = ", ".join(window.name for window in meant)
        return Finding(Standing.CLOSED, f"no change window is open; there are: {names}", "wait for one")
    return Finding(Standing.OPEN, "changes are allowed at any time")


def _is_for(window: RecurringWindow, service: str, environment: str) -> bool:
    return window.service in ("*", service) and window.environment in ("*", environment)


def _open_windows(windows: Iterable[RecurringWindow], where: tuple[str, str], now: datetime) -> list[Window]:
    open_now = (occurrence(window, now) for window in windows)
    return [window for window in open_now if window and window.covers(*where, now)]


async def verified_before(question: Question) -> Finding:
    """The same version was promoted in another environment lately."""
    within = timedelta(seconds=question.wanted.within) if question.wanted.within else STAGING_WITHIN
    lacking, there = [], []
    for name in question.wanted.of or (STAGING,):
        why = _not_verified(question.facts.verified.get(name), name, question.asked, question.facts.now, within)
        if why:
            lacking.append(why)
        else:
            there.append(f"{question.asked.version} was promoted in {name}")
    if lacking:
        return Finding(
            Standing.CLOSED, "; ".join(lacking), f"deploy {question.asked.version} there first, and watch it"
        )
    return Finding(Standing.OPEN, ", ".join(there))


def _not_verified(deployment: Deployment | None, name: str, asked: Asked, now: datetime, within: timedelta) -> str:
    if deployment is None:
        return f"{asked.version} was never deployed to {name}"
    if deployment.verdict not in ("promote", "accepted") or deployment.status is Status.ROLLED_BACK:
        return f"{asked.version} was not promoted in {name}: {deployment.verdict or deployment.status}"
    if asked.artifact and deployment.artifact and deployment.artifact != asked.artifact:
        return f"another artifact of {asked.version} was promoted in {name}: {deployment.artifact}"
    if deployment.judged_at is None or now - deployment.judged_at > within:
        return f"{asked.version} was promoted in {name} longer than {format_duration(within)} ago"
    return ""


def _who(settings: Verification, role: str) -> str:
    named = settings.roles.get(role)
    return f"{role}: {', '.join(named)}" if named else f"anybody may be {role}; verification.roles can say who is"


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
