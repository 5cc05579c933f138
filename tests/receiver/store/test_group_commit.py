"""What is written at the same time is committed together, and still each for itself."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection, insert, select

from deploywatch.receiver.store import Store, UnfitError
from deploywatch.receiver.store.schema import quarantine
from tests.receiver.scene import NOON


def _keep(connection: Connection, reason: str, **changes: Any) -> str:
    connection.execute(
        insert(quarantine), [{"received_at": NOON, "reason": reason, "remote": "", "body": b"", **changes}]
    )
    return reason


async def _kept(store: Store) -> list[str]:
    query = select(quarantine.c.reason).order_by(quarantine.c.id)
    return list(await store.read(lambda c: c.execute(query).scalars().all()))


async def _at_once(store: Store, *works: Any) -> list[Any]:
    """What comes of these works, which wait at the same time."""
    return await asyncio.gather(*map(store.write, works), return_exceptions=True)


async def test_many_writes_at_once_are_few_transactions_in_their_order(store: Store) -> None:
    seen: list[int] = []

    def work(number: int) -> Any:
        def run(connection: Connection) -> str:
            seen.append(id(connection))
            return _keep(connection, str(number))

        return run

    found = await _at_once(store, *(work(number) for number in range(100)))
    assert found == [str(number) for number in range(100)]
    assert await _kept(store) == found
    assert len(set(seen)) <= 2


async def test_one_that_fails_leaves_nothing_behind_and_takes_nothing_with_it(store: Store) -> None:
    def broken(connection: Connection) -> None:
        _keep(connection, "half")
        raise RuntimeError("half way")

    def unfit(connection: Connection) -> None:
        _keep(connection, "unfit", received_at="no time")

    found = await _at_once(
        store, lambda c: _keep(c, "a"), broken, lambda c: _keep(c, "b"), unfit, lambda c: _keep(c, "c")
    )
    assert (found[0], found[2], found[4]) == ("a", "b", "c")
    assert repr(found[1]) == "RuntimeError('half way')"
    assert isinstance(found[3], UnfitError)
    assert await _kept(store) == ["a", "b", "c"]


async def test_when_the_transaction_ends_by_itself_nobody_is_told_that_all_is_well(store: Store) -> None:
    ending = "ROLLBACK" if store.is_sqlite else "select pg_terminate_backend(pg_backend_pid())"

    def ends(connection: Connection) -> None:
        connection.exec_driver_sql(ending)
        raise RuntimeError("the disk is full")

    found = await _at_once(store, lambda c: _keep(c, "a"), ends, lambda c: _keep(c, "b"))
    assert all(isinstance(one, Exception) for one in found)
    assert await _kept(store) == []
    assert await store.write(lambda c: _keep(c, "works again")) == "works again"


async def test_one_that_is_cancelled_before_its_turn_is_not_written(store: Store) -> None:
    first = asyncio.create_task(store.write(lambda c: _keep(c, "first")))
    await asyncio.sleep(0)
    second = asyncio.create_task(store.write(lambda c: _keep(c, "second")))
    await asyncio.sleep(0)
    second.cancel()
    await first
    assert await store.write(lambda c: _keep(c, "third")) == "third"
    assert await _kept(store) == ["first", "third"]


async def test_what_waits_is_written_before_the_store_closes(store: Store) -> None:
    writes = [asyncio.create_task(store.write(lambda c, n=number: _keep(c, str(n)))) for number in range(9)]  # type: ignore[misc] # mypy sees no type for the default
    await asyncio.sleep(0)
    await store.close()
    assert [await one for one in writes] == [str(number) for number in range(9)]
