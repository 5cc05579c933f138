"""Gathers the comparison of a deployment's service before and after: from Prometheus, the ledger and the incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from deploywatch.errors import UnreachableError
from deploywatch.receiver.assessment.amounts import shown
from deploywatch.receiver.assessment.measuring import Asked
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.report.performance import Change, Sample, Span, Times, compare, times
from deploywatch.receiver.store.schema import deployments, incidents
from deploywatch.receiver.verification import counting
from deploywatch.verdict.plan import Plan

# Prometheus refuses a query for more than 11,000 points of a series.
_POINTS: Final = 5000
_STEP: Final = 60.0
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Performance:
    """The comparison; `notes` is what a reader must know of it."""

    deployment: Deployment
    times: Times
    changes: tuple[Change, ...]
    incidents: tuple[int, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        spans = {
            name: {"since": span.since.isoformat(), "until": span.until.isoformat(), "incidents": opened}
            for name, span, opened in zip(
                ("before", "after"), (self.times.before, self.times.after), self.incidents, strict=True
            )
        }
        return {
            "deployment": self.deployment.to_json(),
            **spans,
            "signals": [change.to_json() for change in self.changes],
            "notes": list(self.notes),
        }


async def performance(context: Context, deployment: Deployment, plan: Plan, days: int) -> Performance:
    """Compare; UnreachableError when Prometheus gives no whole answer."""
    now = context.clock()
    following = await context.store.read(lambda c: _next(c, deployment))
    # What comes after the next deployment is the next one's doing.
    until = min(now, following.started_at) if following else now
    compared = times(deployment.started_at, deployment.finished_at or deployment.started_at, until, days)
    asked = Asked(counting.source(context), plan, deployment)
    changes = []
    for signal in plan.health.signals:
        # One after the other: a report has no hurry, and Prometheus has alerts to evaluate.
        before, after = [await _samples(asked, signal.value, span) for span in (compared.before, compared.after)]
        changes.append(compare(signal, before, after, compared.shift))
    opened = await context.store.read(
        lambda c: (_opened(c, deployment, compared.before), _opened(c, deployment, compared.after))
    )
    others = await context.store.read(lambda c: _others(c, deployment, compared.before))
    notes = _notes(deployment, compared, changes, following=following, others=others, days=days)
    return Performance(deployment, compared, tuple(changes), opened, tuple(notes))


def markdown(shown: Performance) -> str:
    """The comparison for people."""
    deployment, after = shown.deployment, shown.times.after
    rows = [
        "| signal | before | after | change | higher in | |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(change) for change in shown.changes),
    ]
    head = f"# {_cell(deployment.service)} {_cell(deployment.version)} in {_cell(deployment.environment)}: performance"
    spans = (
        f"After: {after.since:%Y-%m-%d %H:%M} to {after.until:%Y-%m-%d %H:%M} UTC, {shown.incidents[1]} incidents. "
        f"Before: the same hours {shown.times.shift.days} days earlier, {shown.incidents[0]} incidents."
    )
    notes = [f"- {_cell(note)}" for note in shown.notes]
    return "\n".join([head, "", spans, "", *rows, *(["", *notes] if notes else [])]) + "\n"


def _row(change: Change) -> str:
    unit = change.signal.unit
    before, after = (
        f"{shown(side.median, unit)} (p95 {shown(side.p95, unit)})" if side.hours else "not measured"
        for side in (change.before, change.after)
    )
    moved = f"{change.change:+.0%}" if change.change is not None else ""
    hours = f"{change.higher:.0%} of {change.hours} h" if change.higher is not None else ""
    return f"| {_cell(change.signal.title)} | {before} | {after} | {moved} | {hours} | {change.told} |"


def _cell(text: str) -> str:
    """Text of others in a table: on one line, and no column of its own."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


async def _samples(asked: Asked, name: str, span: Span) -> Sequence[Sample]:
    seconds = (span.until - span.since).total_seconds()
    if not name or seconds <= 0:
        return ()
    try:
        async with asyncio.timeout(asked.source.timeout):
            lines = await asked.source.prometheus.query_range(
                asked.selector([name]),
                start=span.since.timestamp(),
                end=span.until.timestamp() - 1,  # the hour that begins then is not in it
                step=max(_STEP, seconds / _POINTS),
                whole=True,
            )
    except TimeoutError as error:
        raise UnreachableError(f"Prometheus gave no answer within {asked.source.timeout:g} s") from error
    # Of several series nobody can say which one is the service's.
    return lines[0].samples if len(lines) == 1 else ()


def _next(connection: Connection, deployment: Deployment) -> Deployment | None:
    """The deployment of the same target that began next."""
    query = (
        select(deployments.c.id)
        .where(
            deployments.c.service == deployment.service,
            deployments.c.environment == deployment.environment,
            deployments.c.started_at > deployment.started_at,
        )
        .order_by(deployments.c.started_at, deployments.c.id)
        .limit(1)
    )
    number = connection.execute(query).scalar()
    return ledger.get(connection, number) if number is not None else None


def _others(connection: Connection, deployment: Deployment, span: Span) -> list[str]:
    query = select(deployments.c.version).where(
        deployments.c.service == deployment.service,
        deployments.c.environment == deployment.environment,
        deployments.c.started_at.between(span.since, span.until),
        deployments.c.id != deployment.id,
    )
    return [str(version) for version in connection.execute(query.order_by(deployments.c.started_at)).scalars()]


def _opened(connection: Connection, deployment: Deployment, span: Span) -> int:
    query = select(func.count()).where(
        incidents.c.service == deployment.service,
        incidents.c.environment == deployment.environment,
        incidents.c.opened_at.between(span.since, span.until),
    )
    return int(connection.execute(query).scalar_one())


def _short(hours: float, days: int, following: Deployment | None) -> str:
    why = f"{following.version} was deployed then" if following and hours > 0 else "it ended no longer ago"
    return f"after the deployment there are {hours:.0f} hours and not {days} days: {why}"


def _notes(
    deployment: Deployment,
    compared: Times,
    changes: Sequence[Change],
    *,
    following: Deployment | None,
    others: Sequence[str],
    days: int,
) -> list[str]:
    notes = []
    if deployment.finished_at is None:
        notes.append("the deployment has not ended: what it did meanwhile counts as after")
    if compared.after.hours < days * 24:
        notes.append(_short(compared.after.hours, days, following))
    if compared.shift.days % _WEEK:
        notes.append("the days compared are other days of the week; --days 7 compares like with like")
    if others:
        notes.append(f"in the time before, {', '.join(others[:10])} was deployed: it is no one version's")
    if unmeasured := [change.signal.title for change in changes if change.told == "not measured"]:
        notes.append(f"not measured in enough hours of both times: {', '.join(unmeasured)}")
    if not changes:
        notes.append("the policy's health has no signals, so there is nothing to compare")
    return notes
