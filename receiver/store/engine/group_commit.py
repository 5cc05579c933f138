"""Commits together what waits to be written at the same time: one transaction, one sync, and each for itself in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

from deploywatch.receiver.store.engine import unit_of_work

T = TypeVar("T")
Work = Callable[[Connection], T]

# An fsync takes as long for 64 as for one; the last of many more would wait too long for its answer.
MOST: Final = 64
"""Works in one transaction."""
PATIENCE: Final = 10.0
"""Seconds for what is under way when it ends."""


class Transaction(Protocol):
    """Runs a function in one transaction and commits it; raises what the function or the commit raised."""

    def __call__(self, work: Work[T]) -> Awaitable[T]:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a work raised, while others of its transaction went on."""

    error: Exception


class GroupCommit:
    """Writes one transaction at a time; what comes meanwhile is the next one.

    Each work has a savepoint, so that one that fails leaves nothing behind and takes nothing with it. `translate` makes
    of a database's error what the caller is told.
    """

    def __init__(
        self,
        transaction: Transaction,
        translate: Callable[[Exception], Exception],
        insert_all: unit_of_work.InsertAll = unit_of_work.insert_each,
    ) -> None:
        self._transaction = transaction
        self._insert_all = insert_all
        self._translate = translate
        self._waiting: deque[tuple[Work[Any], asyncio.Future[Any]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def write(self, work: Work[T]) -> T:
        """Return what the work returned, once it is committed; raise what it or the commit raised."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        # One task for as long as there is something: a transaction begins the moment the one before has ended.
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="store-write")
        return await future

    async def end(self) -> None:
        """Wait until nothing waits any more; give up on a database that does not answer."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=PATIENCE)
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while batch := self._next():
                await self._commit(batch)
        finally:
            self._writing = None

    def _next(self) -> list[tuple[Work[Any], asyncio.Future[Any]]]:
        batch: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < MOST:
            work, future = self._waiting.popleft()
            if not future.done():  # cancelled before its turn
                batch.append((work, future))
        return batch

    async def _commit(self, batch: Sequence[tuple[Work[Any], asyncio.Future[Any]]]) -> None:
        works = [work for work, _ in batch]
        try:
            # Of one alone there is no savepoint: nothing else could go on without it.
            results = await self._transaction(
                self._whole(works[0]) if len(works) == 1 else lambda c: self._each(c, works)
            )
        except BaseException as error:
            # The commit failed for all of them: nobody may be told that theirs is safe.
            for _, future in batch:
                _raise(future, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, [results] if len(works) == 1 else results, strict=True):
            if isinstance(result, _Failed):
                _raise(future, result.error)
            elif not future.done():
                future.set_result(result)

    def _whole(self, work: Work[T]) -> Work[T]:
        return lambda connection: unit_of_work.run(connection, work, self._insert_all)

    def _each(self, connection: Connection, works: Sequence[Work[Any]]) -> list[Any]:
        """By hand, because SQLAlchemy's own savepoints cost four times as much, and have a new name each."""
        results: list[Any] = []
        for work in works:
            connection.exec_driver_sql("SAVEPOINT work")
            try:
                result = unit_of_work.run(connection, work, self._insert_all)
                # Fails where the work has caught a database's error: PostgreSQL then takes nothing more from it.
                connection.exec_driver_sql("RELEASE SAVEPOINT work")
            except Exception as error:
                # Nothing is left to roll back to: all fail, and are tried again by those who asked.
                if not _lives(connection):
                    raise
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
                connection.exec_driver_sql("RELEASE SAVEPOINT work")
                result = _Failed(self._translate(error))
            results.append(result)
        return results


def _raise(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _lives(connection: Connection) -> bool:
    """Whether the transaction goes on: SQLite ends it by itself on a full disk, and a broken connection has none."""
    if connection.invalidated:
        return False
    return bool(getattr(connection.connection.dbapi_connection, "in_transaction", True))
