"""`POST /webhook/slack`: a press of a button in Slack, verified by its signature, done as by a person's own hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.receiver.actions.rollback import approval, approvers
from deploywatch.receiver.actions.rollback.approvers import Answerer
from deploywatch.receiver.channels.slack.requests import (
    Action,
    Interaction,
    SlackRequestError,
    parse,
    verify,
)
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import audit, response
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.store import StoreError
from deploywatch.secrets import Masked

PATH = "/webhook/slack"

log = logs.get("slack")


class SlackButtons:
    """Needs no credentials: Slack signs its requests with a secret that only the two of us know."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    async def __call__(self, request: web.Request) -> web.Response:
        """200 once it is done, or when there was nothing to do; 401 for a forged request, 400 for a malformed one."""
        context, now = self._context, self._context.clock()
        try:
            # The raw bytes: the signature is over them, and parsed and written again they would be others.
            body = await request.read()
            verify(request.headers, body, self._secrets(), now)
            pressed = parse(body)
        except SlackRequestError as error:
            if error.reason != "malformed":
                return web.Response(status=401, text=f"{error}\n")  # which the server counts, and logs with a limit
            log.warning("a request of Slack's that cannot be read", why=str(error), remote=request.remote)
            return web.Response(status=400, text=f"{error}\n")
        if pressed is None:
            return web.Response()
        try:
            refused = await context.store.write(lambda connection: self._audited(connection, pressed, request, now))
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n")
        self._queued()
        what, who = pressed.action, pressed.who
        log.info("a button was pressed", action=what, incident=pressed.incident, by=who, refused=refused)
        return web.Response()

    def _secrets(self) -> list[Masked]:
        """Those of every Slack channel: a request does not say which one it is about before it is verified."""
        channels = self._context.settings.channels.values()
        return [
            secret for channel in channels if isinstance(channel, SlackSettings) for secret in channel.signing_secrets
        ]

    def _audited(self, connection: Connection, pressed: Interaction, request: web.Request, now: datetime) -> str:
        """Do it, and in the same transaction write down who did; Slack has verified the name."""
        refused = self._do(connection, pressed, now)
        if not refused:
            entry = audit.Entry(
                at=now,
                who=pressed.who,
                verified=True,
                what=f"slack.{pressed.action}",
                path=PATH,
                incident_id=pressed.incident,
                remote=request.remote or "",
            )
            audit.record(connection, entry)
        return refused

    def _do(self, connection: Connection, pressed: Interaction, now: datetime) -> str:
        """Do what was asked; the sentence why it does not count, which is also on the timeline, or empty."""
        incident = store.find(connection, pressed.incident)
        if incident is None:
            return f"there is no incident {pressed.incident}"
        if pressed.action is Action.ACKNOWLEDGE:
            response.acknowledge(connection, self._context.settings, incident, now, by=pressed.who, note="")
            return ""
        refused = self._answer(connection, pressed, now)
        if refused:
            timeline.write(connection, incident.id, now, Kind.ACTION_REFUSED, refused, actor=pressed.who)
        return refused

    def _answer(self, connection: Connection, pressed: Interaction, now: datetime) -> str:
        """A button decides the question that it was sent with, and no later one."""
        asked = [
            asked
            for asked in approval.of_incident(connection, pressed.incident)
            # The question's end names it: one that was asked again has a later one, and an old button decides nothing
            # of it.
            if pressed.expires and int(asked.expires_at.timestamp()) == int(pressed.expires.timestamp())
        ]
        if not asked:
            return "the button is of a question that nobody asks any more"
        yes = pressed.action is Action.APPROVE
        if yes:
            # A name in Slack can be changed by whom it is of; the ID cannot.
            who = Answerer(frozenset({pressed.user_id}), frozenset({pressed.user_name, pressed.who}))
            deployment = ledger.find(connection, asked[-1].deployment_id)
            if refused := approvers.refused(self._context.settings.rollback.approval, who, deployment):
                return refused
        settings = self._context.settings
        return response.approve(connection, settings, asked[-1], yes=yes, by=pressed.who, note="", now=now)
