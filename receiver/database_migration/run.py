"""A migration run: one at a time a database, in one transaction that is validated inside; its outcome is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from deploywatch.receiver.database_migration import backup as backups
from deploywatch.receiver.database_migration.backup import BackupError, BackupPoint
from deploywatch.receiver.database_migration.outcome import (
    LOST,
    Ended,
    FailedError,
    Outcome,
    StopError,
    error_words,
    what_stays,
)
from deploywatch.receiver.database_migration.plan import Plan, Validation
from deploywatch.receiver.database_migration.session import (
    close_session,
    connect,
    invalid_indexes,
    ms,
    roll_back,
    validated_value,
)
from deploywatch.receiver.database_migration.statements import Statement
from deploywatch.receiver.database_migration.turn import keep_turn, numbered, take_turn

_AGAIN = 0.5


@dataclass(slots=True)
class Run:
    """Runs a plan; `tell` hears each step as a sentence."""

    plan: Plan
    tell: Callable[[str], None]
    dry: bool = False
    backup: BackupPoint | None = field(default=None, init=False)
    _if_stopped: Outcome = field(default=Outcome.NOT_BEGUN, init=False)
    _interrupted: bool = field(default=False, init=False)

    async def run(self) -> Ended:
        """The whole migration; nothing that can happen to the connection makes it say what is not so."""
        began = datetime.now(UTC)
        try:
            outcome, reason = await self._guarded()
        except StopError as stop:
            outcome, reason = stop.outcome, stop.reason
        except BackupError as error:
            outcome, reason = Outcome.NOT_BEGUN, str(error)
        except (*LOST, asyncpg.PostgresError) as error:
            outcome, reason = self._if_stopped, f"{error_words(error)}{what_stays(self._if_stopped)}"
        except asyncio.CancelledError:
            outcome, reason = self._if_stopped, f"interrupted{what_stays(self._if_stopped)}"
        return Ended(outcome, reason, self.backup, began, datetime.now(UTC))

    async def _guarded(self) -> tuple[Outcome, str]:
        async with self._session(Outcome.NOT_BEGUN) as session:
            await take_turn(session)
            await self._back_up()
            if self.dry:
                await self._transaction(session)
                listed = [statement.origin for statement in (*self.plan.before, *self.plan.after)]
                return Outcome.TRIED, f"not run: {', '.join(listed)}" if listed else ""
            await self._outside(session, self.plan.before, Outcome.NOT_BEGUN)
            await self._transaction(session)
            await self._outside(session, self.plan.after, Outcome.COMMITTED_NOT_FINISHED)
        return Outcome.COMMITTED, ""

    async def _back_up(self) -> None:
        settings = self.plan.settings
        if self.dry:
            self.tell("backup: not made, since nothing stays")
        elif settings.backup.none:
            self.tell(f"backup: none, because {settings.backup.none}")
        else:
            self.backup = await backups.make(settings.backup, settings.database, settings.name, datetime.now(UTC))
            self.tell(f"backup: {self.backup}")

    async def _transaction(self, session: asyncpg.Connection) -> None:
        settings, commits, transaction = self.plan.settings, False, 0
        self._if_stopped = Outcome.ROLLED_BACK
        try:
            await session.execute("BEGIN")
            await keep_turn(session)
            await session.execute(f"SET LOCAL lock_timeout = {ms(settings.lock_timeout)}")
            await session.execute(f"SET LOCAL statement_timeout = {ms(settings.statement_timeout)}")
            compared = [each for each in settings.validate_ if each.expectation.needs_before]
            before = {each.name: await validated_value(session, each) for each in compared}
            transaction = await numbered(session, settings.database)
            for statement in self.plan.transaction:
                await self._statement(session, statement)
            for validation in settings.validate_:
                await self._validate(session, validation, before.get(validation.name))
            commits = not self.dry
            ended = await self._uninterrupted(session.execute("COMMIT" if commits else "ROLLBACK"))
        except LOST as error:
            if not commits:
                lost = f"the connection was lost before the commit, and nothing stays: {error_words(error)}"
                raise StopError(Outcome.ROLLED_BACK, lost) from error
            await self._resolve(transaction, error)
            return
        except (asyncpg.PostgresError, FailedError) as error:
            await roll_back(session)
            raise StopError(Outcome.ROLLED_BACK, error_words(error)) from error
        if commits and ended != "COMMIT":
            raise StopError(Outcome.ROLLED_BACK, f"PostgreSQL answered {ended} to COMMIT")
        self.tell("committed" if commits else "rolled back, as a dry run is")
        self._stop_if_interrupted()

    async def _uninterrupted(self, ending: Coroutine[None, None, str]) -> str:
        """What a COMMIT answers, also when somebody wants to stop meanwhile: it cannot be taken back."""
        task = asyncio.ensure_future(ending)
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                self._interrupted = True
        return task.result()

    def _stop_if_interrupted(self) -> None:
        self._if_stopped = Outcome.COMMITTED_NOT_FINISHED
        if self._interrupted and self.plan.after:
            raise StopError(self._if_stopped, f"interrupted{what_stays(self._if_stopped)}")

    async def _statement(self, session: asyncpg.Connection, statement: Statement) -> None:
        started = time.monotonic()
        try:
            await session.execute(statement.sql)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise FailedError(f"{statement.origin}: {error_words(error)}") from error
        self.tell(f"{statement.origin}: done in {time.monotonic() - started:.2f} s")

    async def _validate(self, session: asyncpg.Connection, validation: Validation, before: Decimal | None) -> None:
        value = await validated_value(session, validation)
        fault = validation.expectation.fault(value, before)
        if fault:
            raise FailedError(f"validation {validation.name!r}: {fault}")
        self.tell(f"validation {validation.name!r}: {value} is {validation.expect}")

    async def _status(self, transaction: int) -> str | None:
        """How PostgreSQL says that a transaction ended; None while it does not answer."""
        try:
            async with self._session(Outcome.UNKNOWN) as session:
                status: str | None = await session.fetchval("SELECT pg_xact_status($1::text::xid8)", str(transaction))
        except (StopError, *LOST):
            return None
        except asyncpg.InvalidParameterValueError:
            # The number lies in the future: this server, another one by now, has nothing of it.
            return "aborted"
        return status

    async def _resolve(self, transaction: int, error: BaseException) -> None:
        """Ask how a transaction ended whose COMMIT was not answered; not to know is an outcome too."""
        self.tell(
            f"the connection was lost in COMMIT ({error_words(error)}); asking how transaction {transaction} ended"
        )
        until = time.monotonic() + self.plan.settings.resolve_for.total_seconds()
        while time.monotonic() < until:
            status = await self._status(transaction)
            if status == "committed":
                self.tell("the transaction was committed")
                self._stop_if_interrupted()
                return
            if status == "aborted":
                raise StopError(Outcome.ROLLED_BACK, "the connection was lost in COMMIT, and nothing stays") from error
            await asyncio.sleep(_AGAIN)
        remedy = f"ask: SELECT pg_xact_status('{transaction}')"
        raise StopError(Outcome.UNKNOWN, f"whether the transaction was committed is not known; {remedy}") from error

    async def _outside(self, session: asyncpg.Connection, statements: tuple[Statement, ...], if_bad: Outcome) -> None:
        """Statements that cannot run in a transaction; an index that one leaves invalid is named."""
        settings = self.plan.settings
        if not statements:
            return
        if session.is_closed():
            async with self._session(if_bad) as again:
                await take_turn(again)
                await self._outside(again, statements, if_bad)
            return
        await session.execute(f"SET lock_timeout = {ms(settings.lock_timeout)}")
        await session.execute("SET statement_timeout = 0")
        for statement in statements:
            self._if_stopped = Outcome.UNKNOWN
            try:
                await self._statement(session, statement)
            except LOST as error:
                lost = f"{statement.origin}: the connection was lost, and whether it was done is not known"
                raise StopError(Outcome.UNKNOWN, f"{lost}: {error_words(error)}{what_stays(if_bad)}") from error
            except FailedError as error:
                raise StopError(if_bad, f"{error}{await invalid_indexes(session)}{what_stays(if_bad)}") from error

    @asynccontextmanager
    async def _session(self, if_not: Outcome) -> AsyncIterator[asyncpg.Connection]:
        try:
            session = await connect(self.plan.settings.database)
        except (*LOST, asyncpg.PostgresError) as error:
            raise StopError(if_not, f"the database cannot be reached: {error_words(error)}") from error
        try:
            yield session
        finally:
            # A statement that nobody waits for would go on, with its locks: it is cancelled before the session ends.
            if session.is_in_transaction():
                await roll_back(session)
            await close_session(session)
