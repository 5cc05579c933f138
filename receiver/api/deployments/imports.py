"""The past over HTTP: records of deployments are taken in together, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.errors import DeploywatchError
from deploywatch.receiver.api.auditing import entry_of
from deploywatch.receiver.api.deployments.ledger import NewDeployment, beyond, record_of
from deploywatch.receiver.api.routing import Route, read_body
from deploywatch.receiver.api.schemas.deployments import ImportAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments.records import Taken, UnknownDeploymentError
from deploywatch.receiver.intake import deployment_record
from deploywatch.receiver.lifecycle import audit

_MOST = 5000
"""Records at once: they are one transaction, and whoever writes waits for it."""


class PastDeployment(NewDeployment):
    """A deployment that was; its `timestamp` tells a record from its repetition."""

    timestamp: UtcTime


class Import(Settings):
    """Records of deployments, the oldest first; with `check` each is looked at by itself, and none is taken in."""

    records: Annotated[tuple[PastDeployment, ...], Field(max_length=_MOST)]
    check: bool = False


class _FaultyRecordsError(DeploywatchError):
    """Records that the ledger cannot take; the message is a fault a line."""


class Imports:
    """The route of /deployments/import; `queued` is called when there is news to tell."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        path = "/deployments/import"
        return (Route("POST", path, Scope.DEPLOY, self.taken_in, body=Import, answer=ImportAnswer),)

    async def taken_in(self, request: web.Request) -> web.Response:
        """Take in records of deployments, all or none; 400 with every fault at its record, 200 with what was new."""
        sent, now = await read_body(request, Import), self._context.clock()
        alone = [_at(place, fault) for place, record in enumerate(sent.records) for fault in beyond(record, now)]
        if alone:
            raise _refused(alone)
        if sent.check:
            return web.json_response({"new": 0, "known": 0, "notices": []})

        try:
            taken = await self._context.store.write(lambda c: self._take(c, request, sent.records, now))
        except _FaultyRecordsError as error:
            raise _refused([str(error)]) from error
        self._queued()
        new = sum(one.began for one in taken)
        notices = [_at(place, f": {one.notice}") for place, one in enumerate(taken) if one.notice]
        return web.json_response({"new": new, "known": len(taken) - new, "notices": notices})

    def _take(
        self, connection: Connection, request: web.Request, records: Sequence[PastDeployment], now: datetime
    ) -> list[Taken]:
        """Take in all of them; _FaultyRecordsError, which undoes the transaction, where one cannot be."""
        taken, faults = list[Taken](), list[str]()
        for place, sent in enumerate(records):
            record = record_of(sent, now)
            try:
                took = deployment_record.take(connection, self._context, record, now)
            except UnknownDeploymentError as error:
                faults.append(_at(place, str(error)))
                continue
            if took.changed:
                audit.record(connection, entry_of(request, now, by=record.deployer, sent=sent))
            taken.append(took)
        if faults:
            raise _FaultyRecordsError("\n".join(faults))
        return taken


def _at(place: int, fault: str) -> str:
    return f"$.records[{place}]{fault.removeprefix('$')}"


def _refused(faults: Sequence[str]) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text="\n".join(faults) + "\n")
