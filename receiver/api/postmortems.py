"""Post-mortems over HTTP: the draft, or as people have edited it; an edit of what is not the newest is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.config import Settings
from deploywatch.receiver.api.auditing import entry_of
from deploywatch.receiver.api.routing import Name, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.incidents import EditionAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import audit, postmortem_editions, resolution
from deploywatch.receiver.lifecycle.postmortem_editions import Edition

LONGEST = 200_000
"""Characters of a post-mortem."""


class Edit(Settings):
    """A post-mortem as it is to be; `version` is the one that the edit began from, 0 for the draft."""

    by: Name
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]*$")]
    version: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of an edit: the edition that counts now, and whether it is this one."""

    edition: Edition
    sent: Edit
    taken: bool


class Postmortems:
    """The routes of /incidents/{id}/postmortem."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        path = "/incidents/{id}/postmortem"
        return (
            Route("GET", path, Scope.READ, self.postmortem, media="text/markdown"),
            Route("POST", path, Scope.RESPOND, self.edit, body=Edit, answer=EditionAnswer),
        )

    async def postmortem(self, request: web.Request) -> web.Response:
        """The review as Markdown: as it was edited, else the draft; its `ETag` is the version, 0 for the draft."""
        wanted = number(request)

        def read(connection: Connection) -> tuple[str, int] | None:
            if store.find(connection, wanted) is None:
                return None
            edition = postmortem_editions.newest(connection, wanted)
            if edition is not None:
                return edition.text, edition.version
            # A draft is made anew each time until somebody saves it: the incident may still go on.
            return resolution.postmortem(connection, self._context, wanted), 0

        draft = await self._context.store.read(read)
        if draft is None:
            return not_found("incident", wanted)
        text, version = draft
        return web.Response(text=text, content_type="text/markdown", headers={"ETag": f'"{version}"'})

    async def edit(self, request: web.Request) -> web.Response:
        """Edit the review; 409 where somebody has edited it since the version that this edit began from."""
        saved = await self.saved(request)
        if saved is None:
            return not_found("incident", number(request))
        edition = saved.edition
        if not saved.taken:
            return web.Response(status=409, text=f"{stale(saved)}\n")
        answer: EditionAnswer = {"version": edition.version, "at": edition.at.isoformat(), "by": edition.by}
        return web.json_response(answer)

    async def saved(self, request: web.Request) -> Saved | None:
        """What became of the edit; None where there is no such incident."""
        sent, wanted, now = await read_body(request, Edit), number(request), self._context.clock()
        text = sent.text.replace("\r\n", "\n")  # as browsers send what is in a form
        # The audit keeps who edited, and editions keep what: a whole text for each would be kept twice.
        row = entry_of(request, now, by=sent.by, sent=sent.model_copy(update={"text": f"{len(text)} characters"}))

        def write(connection: Connection) -> Saved | None:
            if store.find(connection, wanted) is None:
                return None
            # With the version that was seen, so that of two people who edit at once neither overwrites the other.
            edition, taken = postmortem_editions.save(connection, wanted, text, now, by=sent.by, seen=sent.version)
            if taken:
                audit.record(connection, row)
            return Saved(edition, sent, taken)

        return await self._context.store.write(write)


def stale(saved: Saved) -> str:
    """Why an edit was not taken."""
    edition, seen = saved.edition, saved.sent.version
    if edition.version == 0:
        return f"nothing was saved: there is the draft alone, and your edit began from version {seen}"
    began = f"version {seen}" if seen else "the draft"
    return f"nothing was saved: {edition.by} saved version {edition.version} after you had begun from {began}"
