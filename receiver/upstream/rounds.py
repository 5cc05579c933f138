"""The rounds that a receiver makes for itself: compare with Alertmanager, listen for the watchdog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.store import StoreError, UnfitError
from deploywatch.receiver.upstream.reconcile import Healing, Lost, Reconciler, note
from deploywatch.receiver.upstream.watchdog import verdict

log = logs.get("upstream")

# How often it is looked whether the watchdog was heard: short beside the minutes that it may be silent.
_LISTEN = timedelta(seconds=30)
Accept = Callable[[Delivery], Awaitable[None]]


async def compare_for_ever(context: Context, accept: Accept, healed: Callable[[Counter[Lost]], object]) -> None:
    """Compare every few minutes, and take in what was lost as if it had been delivered; `healed` counts it."""
    reconciler = Reconciler(context)
    while True:
        await context.sleep(context.settings.upstream.reconcile.pause / timedelta(seconds=1))
        if context.settings.upstream.alertmanagers:
            try:
                await _heal(context, await reconciler.round(), accept, healed)
            except StoreError as error:
                log.error("open alerts could not be compared", reason=str(error))


async def listen_for_ever(context: Context, accept: Accept) -> None:
    """See again and again whether the watchdog was heard in time."""
    since = context.clock()
    while True:
        await context.sleep(_LISTEN / timedelta(seconds=1))
        settings = context.settings.upstream
        now = context.clock()
        try:
            await _take_in(await context.store.read(lambda c, s=settings, n=now: verdict(c, s, since, n)), accept)  # type: ignore[misc] # mypy sees no types for the defaults
        except StoreError as error:
            log.error("the watchdog could not be checked", reason=str(error))


async def _heal(
    context: Context, healing: Healing | None, accept: Accept, healed: Callable[[Counter[Lost]], object]
) -> None:
    if healing is None:
        return
    now, took = context.clock(), Counter[Lost]()

    def write(connection: Connection) -> None:
        took.clear()  # the transaction may be tried more than once
        took.update(note(connection, healing, now))

    if await _take_in(Delivery(now, b"compared with Alertmanager", healing.alerts, also=write), accept):
        healed(took)


async def _take_in(delivery: Delivery | None, accept: Accept) -> bool:
    if delivery is None:
        return False
    try:
        await accept(delivery)
    except (StoreError, UnfitError) as error:
        log.error("what was found could not be stored; the next round tries again", reason=str(error))
        return False
    return True
