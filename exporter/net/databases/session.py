"""One session on a PostgreSQL server and never two: the next begins when the one before is gone from the server too.

A server that hangs cannot be asked to give up a session. So an attempt to connect that outlives its deadline is kept,
and the next run waits for that one; and a session is left by waiting, in the background, until the server has ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from typing import Any
from weakref import WeakValueDictionary

import asyncpg

from deploywatch.exporter.net.circles import release
from deploywatch.exporter.net.connect import Reach
from deploywatch.exporter.net.databases.dsn import Dsn, Host
from deploywatch.exporter.net.dial import Dialer, permit
from deploywatch.exporter.net.tls.client import TlsClient, context_for
from deploywatch.exporter.net.tls.starttls import beginning
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed, Reason

PATIENCE = 600.0
"""Seconds after which a session that does not come about, or does not end, is given up.

Ten times PostgreSQL's authentication_timeout: its server has ended such a session itself by then, unless it is stuck
for good; and behind a proxy that forgot the connection, the probe works again at last.
"""

SILENT = "login: the server took the connection and says nothing"
"""The stage of a server that accepts connections and does not answer, as one that is frozen."""

_ANY = Reach()
# Of the deadline, what trying several hosts may take; the rest is for saying which of them failed.
_SHARED = 0.9
_SETTLING = 1.0
_NEXT_HOST = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.exceptions.TargetServerAttributeNotMatched,
)


class Session:
    """The only session of a probe on its database; `dialer` knows where the last connection went."""

    def __init__(self, dsn: Dsn, tls: TlsClient | None = None, reach: Reach = _ANY) -> None:
        self._dsn = dsn
        self._tls = tls
        self._reach = reach
        self._turn = asyncio.Lock()
        self._attempt: asyncio.Task[Any] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.dialer: Dialer | None = None
        self._settled: asyncio.Task[Any] | None = None
        self._wanted = False

    @contextlib.asynccontextmanager
    async def open(self, measurement: Measurement) -> AsyncIterator[Any]:
        """A connection, once the one before is gone; cancelled, it leaves no second one behind."""
        with measurement.timed("wait for the session before to end"):
            await self._turn.acquire()
        try:
            if self._attempt is None:
                # What the run before has seen is not what is true now.
                self.dialer = None
            with measurement.timed("wait for the session before to end"):
                if self._leaving:
                    await asyncio.wait({self._leaving})
            with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT):
                connection = await self._connected(measurement)
            try:
                yield connection
            finally:
                self._leaving = asyncio.create_task(_leave(connection))
        finally:
            self._turn.release()

    async def settled(self) -> None:
        """Wait until the server has ended the session that was left, but not long for one that hangs."""
        if self._leaving:
            await asyncio.wait({self._leaving}, timeout=_SETTLING)

    async def _connected(self, measurement: Measurement) -> Any:
        route = self._reach.route(measurement)
        if self._attempt is None:
            name = self._tls.server_name if self._tls else None
            self.dialer = Dialer(route, server_name=name, begin=beginning("postgres"))
            self._attempt = asyncio.create_task(self._connect(self.dialer, measurement.remaining()))
            self._attempt.add_done_callback(self._ended)
        attempt, dialer = self._attempt, self.dialer
        self._wanted = True
        try:
            await asyncio.wait({attempt})
        except asyncio.CancelledError:
            self._wanted = False
            if dialer and dialer.reached:
                # As `port` tells them apart: somebody listens, and says nothing.
                measurement.stage, measurement.overdue = SILENT, Reason.DEADLINE
            if attempt.done():
                self._ended(attempt)
            elif dialer and dialer.reached is None:
                # The server does not know of it yet.
                self._attempt = None
                attempt.cancel()
            raise
        self._wanted, self._attempt, self._settled = False, None, attempt
        connection = attempt.result()
        if dialer and dialer.reached:
            try:
                permit(dialer.reached, route.allowed)
            except BaseException:
                self._leaving = asyncio.create_task(_leave(connection))
                raise
        return connection

    async def _connect(self, dialer: Dialer, limit: float) -> Any:
        """A connection to the first host that gives one of the kind that is asked for; else the last host's error."""
        dsn = self._dsn
        # With several hosts one that hangs must leave time for the next.
        patience = dsn.connect_timeout or (limit * _SHARED / len(dsn.hosts) if len(dsn.hosts) > 1 else None)
        last: Exception = Failed(Reason.DNS, "the URL names no host")
        for wanted in dsn.wanted:
            for place in dsn.hosts:
                dialer.reached = None
                try:
                    async with asyncio.timeout(patience):
                        return await self._connect_to(place, wanted, dialer)
                except TimeoutError as error:
                    last = self._silent(error, dialer, patience)
                except (OSError, *_NEXT_HOST) as error:
                    last = error
                except Failed as error:
                    last = error
        raise last

    def _silent(self, error: TimeoutError, dialer: Dialer, patience: float | None) -> Exception:
        if patience is None or dialer.reached is None:
            return error
        return Failed(Reason.DEADLINE, f"not done within {patience:g} s; it was at: {SILENT}")

    async def _connect_to(self, place: Host, wanted: str | None, dialer: Dialer) -> Any:
        more: dict[str, Any] = {}
        if self._tls:
            more["ssl"] = context_for(self._tls)
        elif self._dsn.tls:
            more["ssl"] = self._dsn.tls.context()
        if place:
            more |= {"host": place[0], "port": place[1]}
        if "application_name" not in self._dsn.url:
            more["server_settings"] = {"application_name": "deploywatch"}
        if wanted:
            more["target_session_attrs"] = wanted
        return await asyncpg.connect(self._dsn.url, timeout=PATIENCE, statement_cache_size=0, loop=dialer, **more)

    def _ended(self, attempt: asyncio.Task[Any]) -> None:
        """An attempt has come to its end; when nobody waits for it, what came of it is left again, once."""
        if attempt is self._settled or (self._wanted and attempt is self._attempt):
            return
        self._settled = attempt
        if attempt is self._attempt:
            self._attempt = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._leaving = asyncio.create_task(_leave(attempt.result()))


async def _leave(connection: Any) -> None:
    """Say goodbye and wait until the server has gone; a query that is still running was told to stop."""
    try:
        # Should statement_timeout strike while PostgreSQL reads a goodbye, it forgets that and waits for ever; with the
        # transaction ends what can strike.
        with contextlib.suppress(Exception):
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=PATIENCE)
        # Whatever comes of the goodbye, the connection is closed.
        with contextlib.suppress(Exception):
            await connection.close(timeout=PATIENCE)
    finally:
        transport = getattr(connection, "_transport", None)
        connection.terminate()
        release(transport)


_SESSIONS: WeakValueDictionary[Hashable, Session] = WeakValueDictionary()


def session_for(key: Hashable, dsn: Dsn, tls: TlsClient | None, reach: Reach = _ANY) -> Session:
    """The session of this key, the same for all who have the same while one of them lives."""
    session = _SESSIONS.get(key)
    if session is None:
        session = _SESSIONS[key] = Session(dsn, tls, reach)
    return session
