"""A person's word on rollbacks over HTTP: approve, reject, by signed link too; ask for one; let a target run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection, select

from deploywatch.access.scopes import Scope
from deploywatch.config import Settings
from deploywatch.pages.answer import page
from deploywatch.pages.environment import templates_in
from deploywatch.receiver.actions.rollback import approval, approvers, history, rollback
from deploywatch.receiver.actions.rollback.approval import NO, YES, Approval
from deploywatch.receiver.api.acting import acting, answerer
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import PREFIX, Name, Remark, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.actions import ActionsAnswer, AllowedAnswer, ApprovalAnswer, AskedAnswer
from deploywatch.receiver.api.serializers import actions_json, approval_json
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import response
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.store.action_schema import attachments

_NAME_LIMIT = 200
_TEMPLATES = templates_in(Path(__file__).parent / "templates")


class Answer(Settings):
    """Who answers, and what they say."""

    by: Name
    note: Remark = ""


class AnswerToQuestion(Answer):
    """An answer to the question that was seen: its number and the version to go back to, where they are said.

    Where another question is asked by now, or another version, it is 409.
    """

    question: Annotated[int, Field(ge=1, le=2**53)] | None = None
    to_version: Name | None = None

    def stale(self, asked: Approval) -> str:
        """Why it is not an answer to this question, or empty."""
        if self.question is not None and self.question != asked.id:
            return f"question {self.question} is not asked any more; look what is asked now, and answer that"
        if self.to_version is not None and self.to_version != asked.to_version:
            return f"the question is about {asked.to_version} by now, and not about {self.to_version}"
        return ""


class Allowed(Answer):
    """Which target may be rolled back again."""

    service: Name
    environment: Name


class Approvals:
    """The routes by which people decide about rollbacks; `queued` is called when an answer may have queued a job."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        page = approval.PAGE.removeprefix(PREFIX)
        signed = ("id", "answer", "expires", "signature")
        return (
            Route(
                "POST",
                "/incidents/{id}/approve",
                Scope.APPROVE,
                self.approve,
                body=AnswerToQuestion,
                answer=ApprovalAnswer,
            ),
            Route(
                "POST",
                "/incidents/{id}/reject",
                Scope.APPROVE,
                self.reject,
                body=AnswerToQuestion,
                answer=ApprovalAnswer,
            ),
            Route(
                "POST",
                "/incidents/{id}/rollback",
                Scope.APPROVE,
                self.ask_for,
                body=Answer,
                status=202,
                answer=AskedAnswer,
            ),
            Route("GET", "/incidents/{id}/actions", Scope.READ, self.actions, answer=ActionsAnswer),
            Route("GET", "/attachments/{id}", Scope.READ, self.attachment, media="*/*"),
            Route("POST", "/rollbacks/allow", Scope.APPROVE, self.allow, body=Allowed, answer=AllowedAnswer),
            Route("GET", page, Scope.APPROVE, self.page, query=signed, media="text/html"),
            Route("POST", page, Scope.APPROVE, self.answer_page, query=signed, media="text/html"),
        )

    async def approve(self, request: web.Request) -> web.Response:
        """Say yes to the rollback that the incident waits for; every brake is asked again before it runs."""
        return await self._answer(request, yes=True)

    async def reject(self, request: web.Request) -> web.Response:
        """Say no to the rollback that the incident waits for."""
        return await self._answer(request, yes=False)

    async def ask_for(self, request: web.Request) -> web.Response:
        """Ask for a rollback by a person's decision; the brakes decide as for an alert, the timeline says how."""
        person, wanted, now = await read_body(request, Answer), number(request), self._context.clock()

        def write(connection: Connection) -> tuple[bool, str]:
            incident = store.find(connection, wanted)
            if incident is None:
                return False, ""
            # In the transaction that writes the answer: who deployed last may change in between.
            refused = self._refused(request, ledger.latest(connection, incident.service, incident.environment))
            if refused:
                timeline.write(connection, incident.id, now, Kind.ACTION_REFUSED, refused, actor=person.by)
            else:
                rollback.queue_for(connection, incident, person.by, now)
                # Whoever asks for it has the incident in hand, and hears how it ends.
                text = "asked for a rollback, and so has it in hand"
                response.acknowledge(connection, self._context.settings, incident, now, by=person.by, note=text)
            return True, refused

        done = audited(request, now, write, by=person.by, sent=person, changed=lambda result: result == (True, ""))
        asked, refused = await self._context.store.write(done)
        self._queued()
        if refused:
            return web.Response(status=403, text=f"{refused}\n")
        return web.json_response({"incident": wanted}, status=202) if asked else not_found("incident", wanted)

    async def actions(self, request: web.Request) -> web.Response:
        """What was asked, run and found for an incident: approvals, runs and attachments."""
        wanted = number(request)
        whole = await self._context.store.read(lambda c: actions_json(c, wanted))
        return web.json_response(whole) if whole is not None else not_found("incident", wanted)

    async def attachment(self, request: web.Request) -> web.Response:
        """One attachment as it was found; never shown by a browser as anything but text."""
        wanted = number(request)
        query = select(attachments).where(attachments.c.id == wanted)
        row = await self._context.store.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            return not_found("attachment", wanted)
        # It is what a command printed, perhaps HTML from an attacker's service, on the console's own origin.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
        return web.Response(body=row["body"], content_type=row["media_type"], charset="utf-8", headers=headers)

    async def allow(self, request: web.Request) -> web.Response:
        """Close the circuit breaker of a target, so that it may be rolled back again."""
        wanted, now = await read_body(request, Allowed), self._context.clock()
        where = (wanted.service, wanted.environment)

        def write(connection: Connection) -> str:
            refused = self._refused(request, ledger.latest(connection, *where))
            if not refused:
                history.allow_again(connection, *where, now, by=wanted.by, note=wanted.note)
            return refused

        done = audited(request, now, write, by=wanted.by, sent=wanted, changed=lambda refused: not refused)
        if refused := await self._context.store.write(done):
            return web.Response(status=403, text=f"{refused}\n")
        return web.json_response(
            {"service": wanted.service, "environment": wanted.environment, "allowed_by": wanted.by}
        )

    async def page(self, request: web.Request) -> web.Response:
        """Where a signed link leads: it asks, and changes nothing."""
        query, now = request.query, self._context.clock()
        asked = await self._context.store.read(lambda c: _asked(c, query))
        refused = approval.refused_link(self._context.settings, asked, query, now)
        if refused or asked is None:
            return _page("This link cannot be used", refused, status=403)
        verb = "Approve" if query.get("answer") == YES else "Reject"
        facts = await self._context.store.read(lambda c: _facts(c, asked))
        return _page(f"{verb} the rollback?", facts, verb=verb)

    async def answer_page(self, request: web.Request) -> web.Response:
        """Take the answer of a signed link: once, and within its time."""
        query, now = request.query, self._context.clock()
        try:
            fields = await request.post()
        except (ValueError, LookupError):  # bytes that are not of its charset, a charset that nobody knows, no boundary
            return _page("This form cannot be read", "Open the link again, and send it from there.", status=400)
        claimed, note = line(fields.get("by", ""), _NAME_LIMIT), str(fields.get("note", ""))[:4000]
        if not claimed or "\0" in note:
            return _page("Your name is missing", "Go back and write who you are.", status=400)

        by = f"{acting(request, claimed)} (signed link)"

        def write(connection: Connection) -> tuple[Approval | None, str]:
            asked = _asked(connection, query)
            refused = approval.refused_link(self._context.settings, asked, query, now)
            if not refused and asked is not None:
                yes = query.get("answer") == YES
                # A link says that its holder could read the message, and not who that is.
                refused = self._refused(request, ledger.find(connection, asked.deployment_id)) if yes else ""
                refused = refused or response.approve(
                    connection, self._context.settings, asked, yes=yes, by=by, note=note, now=now
                )
            return asked, refused

        asked, refused = await self._context.store.write(audited(request, now, write, by=by, changed=_taken))
        self._queued()
        if refused or asked is None:
            return _page("This link cannot be used", refused, status=403)
        return _page("Thank you", f"Your answer about the rollback to {asked.to_version} is taken.")

    def _refused(self, request: web.Request, deployment: Deployment | None) -> str:
        """Why this request's yes does not count, or empty."""
        return approvers.refused(self._context.settings.rollback.approval, answerer(request), deployment)

    async def _answer(self, request: web.Request, *, yes: bool) -> web.Response:
        person, wanted, now = await read_body(request, AnswerToQuestion), number(request), self._context.clock()

        def write(connection: Connection) -> tuple[Approval | None, str]:
            asked = approval.latest(connection, wanted)
            if asked is None:
                return None, ""
            if stale := person.stale(asked):
                return asked, stale
            # Only a yes can do harm: anybody who may answer at all may say no.
            refused = self._refused(request, ledger.find(connection, asked.deployment_id)) if yes else ""
            if refused:
                timeline.write(connection, wanted, now, Kind.ACTION_REFUSED, refused, actor=person.by)
            else:
                refused = response.approve(
                    connection, self._context.settings, asked, yes=yes, by=person.by, note=person.note, now=now
                )
            return approval.latest(connection, wanted), refused

        done = audited(request, now, write, by=person.by, sent=person, changed=_taken)
        asked, refused = await self._context.store.write(done)
        self._queued()
        if asked is None:
            return web.Response(status=404, text=f"incident {wanted} waits for no answer\n")
        return web.Response(status=409, text=f"{refused}\n") if refused else web.json_response(approval_json(asked))


def _taken(result: tuple[Approval | None, str]) -> bool:
    """Whether an answer was taken."""
    asked, refused = result
    return asked is not None and not refused


def _asked(connection: Connection, query: Mapping[str, str]) -> Approval | None:
    text = query.get("id", "")
    # Under 19 digits it fits the column; a longer one would be an error of the database's and a 500.
    known = text.isascii() and text.isdigit() and len(text) < 19 and query.get("answer") in (YES, NO)
    return approval.find(connection, int(text)) if known else None


def _facts(connection: Connection, asked: Approval) -> str:
    """What is to be decided, in a sentence each: where, from which version to which, why, and until when."""
    incident = store.get(connection, asked.incident_id)
    bad = ledger.find(connection, asked.deployment_id)
    began = f", deployed {bad.started_at:%Y-%m-%d %H:%M} UTC by {bad.deployer or 'nobody named'}" if bad else ""
    return (
        f"{incident.service} in {incident.environment}: from {bad.version if bad else 'an unknown version'}{began}, "
        f"to {asked.to_version}. Why: incident {incident.id}, {incident.severity}: {incident.title}. "
        f"The answer counts until {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC."
    )


def _page(title: str, text: str, *, verb: str = "", status: int = 200) -> web.Response:
    return page(
        _TEMPLATES, "signed_link.html", status=status, title=title, text=text, verb=verb, name_limit=_NAME_LIMIT
    )
