"""A migration run: one at a time a database, in one transaction that is validated inside; its outcome is true."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import asyncpg

from deploywatch.receiver.database_migration import backup as backups
from deploywatch.receiver.database_migration.backup import BackupError, BackupPoint
from deploywatch.receiver.database_migration.expectation import number
from deploywatch.receiver.database_migration.plan import Database, Plan, Validation
from deploywatch.receiver.database_migration.statements import Statement
from deploywatch.secrets import with_password

_LOCK_SPACE = zlib.crc32(b"deploywatch migrate") & 0x7FFFFFFF
_CONNECT = 10.0
_AGAIN = 0.5

LOST = (
    ConnectionError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    # The server goes away: 57P01, 57P02, 57P03.
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Outcome(StrEnum):
    """How a migration ended; what it means for the database is exactly this."""

    COMMITTED = "committed"
    TRIED = "tried"
    ROLLED_BACK = "rolled_back"
    COMMITTED_NOT_FINISHED = "committed_not_finished"
    NOT_BEGUN = "not_begun"
    HELD = "held"
    UNKNOWN = "unknown"


EXIT_CODES = {
    Outcome.COMMITTED: 0,
    Outcome.TRIED: 0,
    Outcome.ROLLED_BACK: 1,
    Outcome.COMMITTED_NOT_FINISHED: 1,
    Outcome.NOT_BEGUN: 1,
    Outcome.HELD: 3,
    Outcome.UNKNOWN: 4,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome, why, what to do, and the backup that there is."""

    outcome: Outcome
    reason: str = ""
    backup: BackupPoint | None = None
    began: datetime | None = None
    ended: datetime | None = None


class _StopError(Exception):
    """The migration ends here, with this outcome."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


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
        except _StopError as stop:
            outcome, reason = stop.outcome, stop.reason
        except BackupError as error:
            outcome, reason = Outcome.NOT_BEGUN, str(error)
        except (*LOST, asyncpg.PostgresError) as error:
            outcome, reason = self._if_stopped, f"{_words(error)}{_state(self._if_stopped)}"
        except asyncio.CancelledError:
            outcome, reason = self._if_stopped, f"interrupted{_state(self._if_stopped)}"
        return Ended(outcome, reason, self.backup, began, datetime.now(UTC))

    async def _guarded(self) -> tuple[Outcome, str]:
        async with self._session(Outcome.NOT_BEGUN) as session:
            await self._take_turn(session)
            await self._back_up()
            if self.dry:
                await self._transaction(session)
                listed = [statement.origin for statement in (*self.plan.before, *self.plan.after)]
                return Outcome.TRIED, f"not run: {', '.join(listed)}" if listed else ""
            await self._outside(session, self.plan.before, Outcome.NOT_BEGUN)
            await self._transaction(session)
            await self._outside(session, self.plan.after, Outcome.COMMITTED_NOT_FINISHED)
        return Outcome.COMMITTED, ""

    async def _take_turn(self, session: asyncpg.Connection) -> None:
        """One migration a database at a time; the lock goes with the session."""
        if not await session.fetchval("SELECT pg_try_advisory_lock($1, 0)", _LOCK_SPACE):
            raise _StopError(Outcome.HELD, "another migration of this database is under way; wait until it is done")

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
            await self._keep_turn(session)
            await session.execute(f"SET LOCAL lock_timeout = {_ms(settings.lock_timeout)}")
            await session.execute(f"SET LOCAL statement_timeout = {_ms(settings.statement_timeout)}")
            before = {each.name: await _value(session, each) for each in _with_before(settings.validate_)}
            transaction = await self._numbered(session)
            for statement in self.plan.transaction:
                await self._statement(session, statement)
            for validation in settings.validate_:
                await self._validate(session, validation, before.get(validation.name))
            commits = not self.dry
            ended = await self._uninterrupted(session.execute("COMMIT" if commits else "ROLLBACK"))
        except LOST as error:
            if not commits:
                lost = f"the connection was lost before the commit, and nothing stays: {_words(error)}"
                raise _StopError(Outcome.ROLLED_BACK, lost) from error
            await self._resolve(transaction, error)
            return
        except (asyncpg.PostgresError, _FailedError) as error:
            await _roll_back(session)
            raise _StopError(Outcome.ROLLED_BACK, _words(error)) from error
        if commits and ended != "COMMIT":
            raise _StopError(Outcome.ROLLED_BACK, f"PostgreSQL answered {ended} to COMMIT")
        self.tell("committed" if commits else "rolled back, as a dry run is")
        self._stop_if_interrupted()

    async def _keep_turn(self, session: asyncpg.Connection) -> None:
        """A pooler that gives each transaction another session has left the lock behind."""
        held = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
        if not await session.fetchval(held):
            pooled = "the session is not ours alone; connect to PostgreSQL itself, not through a pooler of transactions"
            raise _StopError(Outcome.NOT_BEGUN, pooled)

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
            raise _StopError(self._if_stopped, f"interrupted{_state(self._if_stopped)}")

    async def _numbered(self, session: asyncpg.Connection) -> int:
        """The transaction's number, which no other can get any more, a crash of the server included.

        A number of which nothing reached the disk is given anew after a crash; a later one that is flushed ends that.
        """
        transaction = int(await session.fetchval("SELECT pg_current_xact_id()::text"))
        other = await _connect(self.plan.settings.database)
        try:
            await other.execute("SELECT pg_logical_emit_message(true, 'deploywatch', 'migration begun')")
        finally:
            await other.close()
        return transaction

    async def _statement(self, session: asyncpg.Connection, statement: Statement) -> None:
        started = time.monotonic()
        try:
            await session.execute(statement.sql)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise _FailedError(f"{statement.origin}: {_words(error)}") from error
        self.tell(f"{statement.origin}: done in {time.monotonic() - started:.2f} s")

    async def _validate(self, session: asyncpg.Connection, validation: Validation, before: Decimal | None) -> None:
        value = await _value(session, validation)
        fault = validation.expectation.fault(value, before)
        if fault:
            raise _FailedError(f"validation {validation.name!r}: {fault}")
        self.tell(f"validation {validation.name!r}: {value} is {validation.expect}")

    async def _status(self, transaction: int) -> str | None:
        """How PostgreSQL says that a transaction ended; None while it does not answer."""
        try:
            async with self._session(Outcome.UNKNOWN) as session:
                status: str | None = await session.fetchval("SELECT pg_xact_status($1::text::xid8)", str(transaction))
        except (_StopError, *LOST):
            return None
        except asyncpg.InvalidParameterValueError:
            # The number lies in the future: this server, another one by now, has nothing of it.
            return "aborted"
        return status

    async def _resolve(self, transaction: int, error: BaseException) -> None:
        """Ask how a transaction ended whose COMMIT was not answered; not to know is an outcome too."""
        self.tell(f"the connection was lost in COMMIT ({_words(error)}); asking how transaction {transaction} ended")
        until = time.monotonic() + self.plan.settings.resolve_for.total_seconds()
        while time.monotonic() < until:
            status = await self._status(transaction)
            if status == "committed":
                self.tell("the transaction was committed")
                self._stop_if_interrupted()
                return
            if status == "aborted":
                raise _StopError(Outcome.ROLLED_BACK, "the connection was lost in COMMIT, and nothing stays") from error
            await asyncio.sleep(_AGAIN)
        remedy = f"ask: SELECT pg_xact_status('{transaction}')"
        raise _StopError(Outcome.UNKNOWN, f"whether the transaction was committed is not known; {remedy}") from error

    async def _outside(self, session: asyncpg.Connection, statements: tuple[Statement, ...], if_bad: Outcome) -> None:
        """Statements that cannot run in a transaction; an index that one leaves invalid is named."""
        settings = self.plan.settings
        if not statements:
            return
        if session.is_closed():
            async with self._session(if_bad) as again:
                await self._take_turn(again)
                await self._outside(again, statements, if_bad)
            return
        await session.execute(f"SET lock_timeout = {_ms(settings.lock_timeout)}")
        await session.execute("SET statement_timeout = 0")
        for statement in statements:
            self._if_stopped = Outcome.UNKNOWN
            try:
                await self._statement(session, statement)
            except LOST as error:
                lost = f"{statement.origin}: the connection was lost, and whether it was done is not known"
                raise _StopError(Outcome.UNKNOWN, f"{lost}: {_words(error)}{_state(if_bad)}") from error
            except _FailedError as error:
                raise _StopError(if_bad, f"{error}{await _invalid(session)}{_state(if_bad)}") from error

    @asynccontextmanager
    async def _session(self, if_not: Outcome) -> AsyncIterator[asyncpg.Connection]:
        try:
            session = await _connect(self.plan.settings.database)
        except (*LOST, asyncpg.PostgresError) as error:
            raise _StopError(if_not, f"the database cannot be reached: {_words(error)}") from error
        try:
            yield session
        finally:
            # A statement that nobody waits for would go on, with its locks: it is cancelled before the session ends.
            if session.is_in_transaction():
                await _roll_back(session)
            await _close(session)


class _FailedError(Exception):
    """A statement or a validation of the plan failed."""


async def _connect(database: Database) -> asyncpg.Connection:
    url = database.dsn.get_secret_value()
    if database.password:
        url = with_password(url, database.password.get_secret_value())
    return await asyncpg.connect(url, timeout=_CONNECT, server_settings={"application_name": "deploywatch migrate"})


async def _close(session: asyncpg.Connection) -> None:
    try:
        await session.close(timeout=_CONNECT)
    except LOST:
        session.terminate()


async def _roll_back(session: asyncpg.Connection) -> None:
    try:
        await session.execute("ROLLBACK", timeout=_CONNECT)
    except (*LOST, asyncpg.PostgresError):
        session.terminate()


async def _value(session: asyncpg.Connection, validation: Validation) -> Decimal:
    try:
        return number([tuple(row) for row in await session.fetch(validation.sql)])
    except LOST:
        raise
    except (ValueError, asyncpg.PostgresError) as error:
        raise _FailedError(f"validation {validation.name!r}: {_words(error)}") from error


def _with_before(validations: tuple[Validation, ...]) -> list[Validation]:
    return [validation for validation in validations if validation.expectation.needs_before]


async def _invalid(session: asyncpg.Connection) -> str:
    """The invalid indexes that there are, with how to be rid of them."""
    sql = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    try:
        names = [row[0] for row in await session.fetch(sql)]
    except (*LOST, asyncpg.PostgresError):
        return "; whether an invalid index was left is not known"
    if not names:
        return ""
    remedy = "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in names)
    return f"; invalid indexes are there: {', '.join(names)}; before you try again: {remedy}"


def _state(outcome: Outcome) -> str:
    return {
        Outcome.COMMITTED_NOT_FINISHED: "; the transaction is committed, and not all after it was run",
        Outcome.NOT_BEGUN: "; the transaction was not begun",
        Outcome.ROLLED_BACK: "; nothing of the transaction stays",
    }.get(outcome, "; whether the statement under way was done is not known")


def _ms(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds() * 1000))


def _words(error: BaseException) -> str:
    parts = [str(error) or type(error).__name__]
    parts += [f"{name}: {value}" for name in ("detail", "hint") if (value := getattr(error, name, None))]
    return "; ".join(parts)
