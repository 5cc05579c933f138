"""Reads together what is asked for at the same time: one transaction, in which the same is read once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
Work = Callable[[Connection], T]
Asked = tuple[Work[Any], asyncio.Future[Any]]

# On PostgreSQL a connection is held for all of it, and there are eight.
MOST: Final = 32
"""Works in one transaction: who is first waits for all of them."""


class Read(Protocol):
    """Runs a function on a consistent view."""

    def __call__(self, work: Work[T]) -> Awaitable[T]:
        """Run it."""
        ...


class GroupRead:
    """Gathers the reads of one turn of the event loop, and of the turn after it, into one transaction.

    `translate` makes of a database's error what the caller is told.
    """

    def __init__(self, read: Read, translate: Callable[[Exception], Exception]) -> None:
        self._read = read
        self._translate = translate
        self._asked: list[Asked] = []
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, work: Work[T]) -> T:
        """Return what the work returned; raise what it, or the transaction, raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._asked.append((work, future))
        if len(self._asked) == 1:
            # Jobs that begin together may ask one turn apart, as a message is composed in a task of its own.
            loop.call_soon(loop.call_soon, self._begin)
        return await future

    def _begin(self) -> None:
        while self._asked:
            some, self._asked = self._asked[:MOST], self._asked[MOST:]
            task = asyncio.create_task(self._run(some), name="store-read")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, asked: Sequence[Asked]) -> None:
        try:
            results = await self._read(lambda connection: [_result(connection, work) for work, _ in asked])
        except BaseException as error:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), (result, raised) in zip(asked, results, strict=True):
            if future.done():
                continue
            if raised is None:
                future.set_result(result)
            else:
                future.set_exception(self._translate(raised))


def _result(connection: Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    """What one work returned, or raised; what the database raised ends the transaction for all of them."""
    try:
        return work(connection), None
    except DBAPIError:
        raise
    except Exception as error:
        return None, error
