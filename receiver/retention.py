"""Forgets what is old: deliveries and what was refused, looks, incidents that are over with what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Column, Connection, Table, and_, delete, exists, func, select

from deploywatch import logs
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.dedup_cache import BODY_STANDS
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.store import StoreError
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.console_schema import sessions
from deploywatch.receiver.store.deployment_schema import (
    deployment_assessments,
    deployment_baselines,
    deployment_looks,
    deployment_verdicts,
)
from deploywatch.receiver.store.event_schema import events
from deploywatch.receiver.store.schema import alerts, deliveries, incidents, jobs, quarantine

log = logs.get("retention")

Lost = Callable[[Connection], None]
# Often, so that each time there is little to forget.
EVERY = timedelta(hours=1)
KEPT_ASSESSMENTS = 5
"""Assessments of a deployment that stay, however old: its report shows their trend."""
# While it deletes, no webhook can be committed: 200 take a few milliseconds.
AT_ONCE = 200
"""Incidents that one transaction forgets."""
_PAUSE_SECONDS = 0.1
_HEARD = "heard:%"  # a watchdog's last sign of life

_BELONGING: Sequence[tuple[Table, Column[int]]] = [
    (table, key.parent)
    # In the order of foreign keys, so that a table that somebody adds is emptied too, without an entry here.
    for table in reversed(metadata.sorted_tables)
    for key in table.foreign_keys
    # A rollback outlives nothing: an incident that has one is not forgotten at all.
    if key.column.table is incidents and table is not rollbacks
]
"""Every table whose rows belong to an incident, with the column that says to which."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were forgotten."""

    deliveries: int = 0
    incidents: int = 0


async def prune(context: Context, *, lost: Lost = lambda _: None, at_once: int = AT_ONCE) -> Pruned:
    """Forget what is older than the configuration says; `lost` is called in each transaction that deletes alerts.

    StoreError when the store fails; what was forgotten until then stays so.
    """
    now, settings = context.clock(), context.settings
    received = await context.store.write(partial(_deliveries, before=now - settings.keep_deliveries - BODY_STANDS))
    before, count = now - settings.keep_incidents, 0
    await context.store.write(partial(_sessions, now=now))
    await context.store.write(partial(_looks, before=before, verdicts_before=now - settings.keep_deliveries))
    # No sink waits for an event any more when it is forgotten.
    kept = max(settings.keep_deliveries, settings.events.give_up_after + timedelta(days=1))
    await context.store.write(partial(_events, before=now - kept))
    while pruned := await context.store.write(partial(_incidents, before=before, at_once=at_once, lost=lost)):
        count += pruned
        await context.sleep(_PAUSE_SECONDS)  # others write in between
    return Pruned(received, count)


async def prune_for_ever(context: Context, *, lost: Lost) -> None:
    """Do so once an hour, until cancelled."""
    while True:
        try:
            pruned = await prune(context, lost=lost)
        except StoreError as error:
            log.error("nothing could be forgotten", reason=str(error))
        else:
            log.debug("pruned", deliveries=pruned.deliveries, incidents=pruned.incidents)
        await context.sleep(EVERY.total_seconds())


def _deliveries(connection: Connection, before: datetime) -> int:
    old = [delete(table).where(table.c.received_at < before) for table in (deliveries, quarantine)]
    return sum(connection.execute(row).rowcount for row in old)


def _sessions(connection: Connection, now: datetime) -> None:
    connection.execute(delete(sessions).where(sessions.c.ends_at <= now))


def _looks(connection: Connection, before: datetime, verdicts_before: datetime) -> None:
    """Forget old looks, and of old verdicts all but the newest of each stage, which is the one that decided."""
    # The last of each stage stays: reports and the ledger's word rest on it.
    newest = select(func.max(deployment_verdicts.c.id)).group_by(deployment_verdicts.c.stage_id)
    old = deployment_verdicts.c.at < verdicts_before
    connection.execute(delete(deployment_verdicts).where(old, deployment_verdicts.c.id.not_in(newest)))
    connection.execute(delete(deployment_looks).where(deployment_looks.c.ends_at < before))
    _assessments(connection, before, verdicts_before)


def _assessments(connection: Connection, before: datetime, details_before: datetime) -> None:
    """Forget old assessments, but for the newest few of each deployment, which its report shows; old baselines."""
    table = deployment_assessments
    newest = select(table.c.deployment_id, func.max(table.c.number).label("number")).group_by(table.c.deployment_id)
    of_each = newest.subquery()
    few = select(of_each.c.number - KEPT_ASSESSMENTS).where(of_each.c.deployment_id == table.c.deployment_id)
    old = table.c.at < details_before
    connection.execute(delete(table).where(old, table.c.number <= few.scalar_subquery()))
    connection.execute(delete(deployment_baselines).where(deployment_baselines.c.learned_at < before))


def _events(connection: Connection, before: datetime) -> None:
    connection.execute(delete(events).where(events.c.recorded_at < before))


def _incidents(connection: Connection, before: datetime, at_once: int, lost: Lost) -> int:
    """Forget some incidents; and with the last of them what belongs to none."""
    lost(connection)
    prunable = select(incidents.c.id).where(
        incidents.c.resolved_at < before,
        # What still fires would open an incident anew.
        ~exists().where(alerts.c.incident_id == incidents.c.id, alerts.c.current, alerts.c.status == "firing"),
        ~exists().where(jobs.c.incident_id == incidents.c.id, jobs.c.state.in_((State.READY, State.RUNNING))),
        # The brakes remember every rollback: a deployment is rolled back once, and failures in a row are counted.
        ~exists().where(rollbacks.c.incident_id == incidents.c.id),
    )
    numbers = list(connection.execute(prunable.order_by(incidents.c.resolved_at).limit(at_once)).scalars())
    for table, column in _BELONGING:
        connection.execute(delete(table).where(column.in_(numbers)))
    connection.execute(delete(incidents).where(incidents.c.id.in_(numbers)))
    if not numbers:
        _strays(connection, before)
    return len(numbers)


def _strays(connection: Connection, before: datetime) -> None:
    """Alerts that were over before they were heard of, and jobs that are done, of no incident."""
    of_none = and_(alerts.c.incident_id.is_(None), alerts.c.status != "firing", alerts.c.updated_at < before)
    connection.execute(delete(alerts).where(of_none, alerts.c.fingerprint.not_like(_HEARD)))
    connection.execute(delete(jobs).where(jobs.c.incident_id.is_(None), jobs.c.finished_at < before))
