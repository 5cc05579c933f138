"""What the gate can ask for: each requirement finds how it stands, why, and what somebody can do about it."""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback import verify
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import approvals, gate_records, ledger
from deploywatch.receiver.deployments.approvals import GateApproval
from deploywatch.receiver.deployments.gate_records import GateRecord
from deploywatch.receiver.deployments.ledger import Deployment, Status
from deploywatch.receiver.escalation.on_call import reach
from deploywatch.receiver.incidents import store as incidents
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.settings.people.on_call import PRIMARY
from deploywatch.receiver.settings.verification import Verification
from deploywatch.receiver.suppression.windows import occurrence
from deploywatch.receiver.verification import counting, people
from deploywatch.verdict.plan import Counts, Plan, Requirement, filled

BACKUP = "backup"
STAGING, STAGING_WITHIN = "staging", timedelta(days=7)
DEFAULT_LEVEL = "comprehensive"
_HOUR = 3600.0
_OPEN_SHOWN = 20


class Standing(StrEnum):
    """How a requirement stands."""

    OPEN = "open"
    CLOSED = "closed"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """The deployment that wants to begin; `fixes` is the incident that it ends, `rollback` that it goes back."""

    service: str
    environment: str
    version: str
    artifact: str = ""
    strategy: str = ""
    deployer: str = ""
    fixes: int | None = None
    rollback: bool = False

    @property
    def options(self) -> str:
        """The deployment as options of a command, ready to paste."""
        artifact = ("--artifact", self.artifact) if self.artifact else ()
        return f"{self.target} {shlex.join(('--version', self.version, *artifact))}"

    @property
    def target(self) -> str:
        """Service and environment as options of a command."""
        return shlex.join(("--service", self.service, "--environment", self.environment))

    def values(self, previous: str) -> dict[str, str]:
        """What stands in queries for placeholders."""
        return {
            "service": self.service,
            "environment": self.environment,
            "version": self.version,
            "previous_version": previous,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """How a requirement stands, why, and what to do where it is not open."""

    standing: Standing
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows, read in one view; `previous` is the version to go back to."""

    now: datetime
    approvals: Sequence[GateApproval]
    records: Sequence[GateRecord]
    open_incidents: Sequence[Incident]
    known: bool
    previous: str | None
    verified: dict[str, Deployment | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One requirement of a plan, asked about one deployment."""

    context: Context
    plan: Plan
    asked: Asked
    facts: Facts
    wanted: Requirement


def facts(connection: Connection, asked: Asked, wanted: Sequence[Requirement], now: datetime) -> Facts:
    """Read what the requirements need to know."""
    where = (asked.service, asked.environment)
    kinds = {BACKUP, *(kind for requirement in wanted if requirement.require == "record" for kind in requirement.of)}
    records = [gate_records.newest(connection, *where, kind) for kind in kinds]
    earlier = {
        name: ledger.with_version(connection, asked.service, name, asked.version, now)
        for requirement in wanted
        if requirement.require == "staging_verified"
        for name in (requirement.of or (STAGING,))
    }
    return Facts(
        now=now,
        approvals=approvals.of_version(connection, *where, asked.version),
        records=[record for record in records if record is not None],
        open_incidents=incidents.recent(
            connection, only_open=True, limit=_OPEN_SHOWN, service=asked.service, environment=asked.environment
        ),
        known=ledger.latest(connection, *where) is not None,
        previous=ledger.well_before(connection, _about_to_begin(asked, now)),
        verified=earlier,
    )


async def approval(question: Question) -> Finding:
    """Each role's approval, of this version and artifact, by another person each, none of them who deploys."""
    settings = question.context.settings.verification
    within = timedelta(seconds=question.wanted.within) if question.wanted.within else settings.approvals
    valid: list[GateApproval] = []
    refused: list[str] = []
    for approval in question.facts.approvals:
        if approval.role not in question.wanted.of:
            continue
        why = people.refused(
            approval, question.asked.artifact, question.asked.deployer, settings, now=question.facts.now, within=within
        )
        if why:
            refused.append(f"{approval.by} as {approval.role}: {why}")
        else:
            valid.append(approval)
    by_role = people.different(valid, question.wanted.of)
    present = [f"{role} is {approval.by}" for role, approval in by_role.items()]
    lacking = [role for role in question.wanted.of if role not in by_role]
    if not lacking:
        return Finding(Standing.OPEN, ", ".join(present))
    detail = "; ".join([f"{', '.join(lacking)} has not approved it", *present, *refused])
    who = "; ".join(_who(settings, role) for role in lacking)
    advice = f"deploywatch deployments approve {question.asked.options} --role {lacking[0]} ({who})"
    if any(why.endswith(people.UNNAMED) for why in refused):
        advice = "ask again with the name of who deploys: --deployer, or `deployer` in the request"
    return Finding(Standing.WAITING, detail, advice)


async def health(question: Question) -> Finding:
    """The exporter finds the service well now."""
    level = question.wanted.level or DEFAULT_LEVEL
    target = question.context.settings.rollback.target(question.asked.service, question.asked.environment)
    url = question.context.settings.verification.health or (target.verify.url if target else "")
    if not url:
        advice = "name the exporter's health check in verification.health"
        return Finding(Standing.UNKNOWN, "nobody says where the service's health is asked for", advice)
    health = await verify.look(
        question.context.http,
        url.replace("{level}", level),
        question.asked.service,
        question.asked.environment,
        version=None,
    )
    if health.good:
        return Finding(Standing.OPEN, health.detail)
    if not health.answered:
        return Finding(Standing.UNKNOWN, question.context.conceal(health.detail), "see to the exporter, and ask again")
    return Finding(Standing.CLOSED, health.detail, f"deploywatch check --level {level} says what fails")


async def capacity(question: Question) -> Finding:
    """A condition on a recorded series is measured, and true."""
    watch = question.wanted.watch
    if watch is None:
        return Finding(Standing.UNKNOWN, "the plan does not say what is asked of capacity", "build the plan again")
    source, query = (
        counting.source(question.context),
        filled(watch.query, question.asked.values(question.facts.previous or "")),
    )
    numbers = [
        number for number in await source.numbers(query, question.facts.now.timestamp()) if not math.isnan(number)
    ]
    if not numbers:
        return Finding(Standing.UNKNOWN, f"{watch.name} has no value", "see why it is not measured")
    bad = [number for number in numbers if not counting.holding(watch.operator, number, watch.threshold)]
    if bad:
        return Finding(Standing.CLOSED, f"{watch.name} does not hold: it is {bad[0]:.4g}", "make room first")
    return Finding(Standing.OPEN, f"{watch.name}: it is {numbers[0]:.4g}")


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
    if question.facts.previous is None and question.facts.known:
        return Finding(
            Standing.CLOSED, "no other version is known that was well", "record the one that runs (deployments import)"
        )
    if question.facts.previous is None:
        return Finding(Standing.OPEN, "it is the first deployment: there is nothing to go back to")
    mode = target.mode or question.context.settings.rollback.mode
    return Finding(Standing.OPEN, f"goes back to {question.facts.previous}; mode {mode}")


async def monitoring(question: Question) -> Finding:
    """Every count query of what runs has a value now, and every watched condition is measured."""
    source, values = counting.source(question.context), question.asked.values(question.facts.previous or "")
    at = question.facts.now.timestamp() - question.plan.scrape
    queries = [(f"{name}: {what}", query) for name, what, query in _counted(question.plan)]
    queries += [(watch.name, watch.query) for watch in question.plan.watch]
    answers = await asyncio.gather(*(source.numbers(filled(query, values), at) for _, query in queries))
    lacking = [
        name
        for (name, _), numbers in zip(queries, answers, strict=True)
        if not numbers or any(math.isnan(number) for number in numbers)
    ]
    if not lacking:
        return Finding(Standing.OPEN, f"{len(queries)} queries have a value")
    detail = f"{len(lacking)} of {len(queries)} queries have no value: {', '.join(lacking)}"
    return Finding(Standing.CLOSED, detail, "see that Prometheus scrapes the service, and loads the policy's rules")


async def baseline(question: Question) -> Finding:
    """What the new version is compared with had traffic in the time before."""
    source, values = counting.source(question.context), question.asked.values(question.facts.previous or "")
    end, span = question.facts.now.timestamp() - question.plan.scrape, question.wanted.within or _HOUR
    lacking = []
    for limit in question.plan.limits:
        counts = limit.old or limit.whole or limit.new
        query = Counts(requests=filled(counts.requests, values), bad=filled(counts.bad, values))
        times = counting.Times(end - span, end, max(question.plan.look, span / 1000))
        earlier = await counting.history(source, query, times)
        if not sum(requests for requests, _ in earlier):
            lacking.append(limit.name)
    lasted = format_duration(timedelta(seconds=span))
    if lacking:
        detail = f"no requests in the last {lasted} for {', '.join(lacking)}"
        return Finding(Standing.CLOSED, detail, "wait until the old version has had traffic")
    return Finding(Standing.OPEN, f"there was traffic in the last {lasted}")


async def no_open_incident(question: Question) -> Finding:
    """The service has no open incident, but the one that the deployment fixes."""
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
    frozen = [
        occurring
        for window in settings.freezes
        if (occurring := occurrence(window, now)) and occurring.covers(*where, now)
    ]
    if frozen:
        last = max(frozen, key=lambda window: window.ends_at)
        detail = f"changes are frozen until {last.ends_at:%Y-%m-%d %H:%M} UTC: {last.reason}"
        return Finding(Standing.CLOSED, detail, "wait until then")
    meant = [
        window
        for window in settings.change_windows
        if window.service in ("*", question.asked.service) and window.environment in ("*", question.asked.environment)
    ]
    open_now = [
        occurring for window in meant if (occurring := occurrence(window, now)) and occurring.covers(*where, now)
    ]
    if open_now:
        return Finding(Standing.OPEN, f"{open_now[0].reason}, until {open_now[0].ends_at:%H:%M} UTC")
    if meant:
        names = ", ".join(window.name for window in meant)
        return Finding(Standing.CLOSED, f"no change window is open; there are: {names}", "wait for one")
    return Finding(Standing.OPEN, "changes are allowed at any time")


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


def _counted(plan: Plan) -> list[tuple[str, str, str]]:
    """The count queries of what runs before the new version is there: of the old one, and of the whole service."""
    queries = []
    for limit in plan.limits:
        roles = (("old version", limit.old), ("service", limit.whole)) if limit.old else (("service", limit.new),)
        for role, counts in roles:
            if counts is not None:
                queries += [
                    (limit.name, f"requests of the {role}", counts.requests),
                    (limit.name, f"bad requests of the {role}", counts.bad),
                ]
    return queries


def _who(settings: Verification, role: str) -> str:
    named = settings.roles.get(role)
    return f"{role}: {', '.join(named)}" if named else f"anybody may be {role}; verification.roles can say who is"


def _about_to_begin(asked: Asked, now: datetime) -> Deployment:
    """The deployment as if it were in the ledger, to ask what would be before it."""
    return Deployment(
        id=2**62,
        service=asked.service,
        environment=asked.environment,
        version=asked.version,
        previous_version=None,
        strategy=asked.strategy,
        deployer=asked.deployer,
        ports=(),
        status=Status.RUNNING,
        started_at=now,
        finished_at=None,
        rollback_of=None,
    )


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=int(age.total_seconds()))
