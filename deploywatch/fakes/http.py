"""The inbox's HTTP side: what stands in for Slack, PagerDuty and a webhook's receiver, and a view of the inbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from deploywatch.fakes import discord, ntfy, opsgenie, routes, teams, telegram
from deploywatch.fakes import pagerduty as pagerduty_module
from deploywatch.fakes import webhook as webhook_module
from deploywatch.fakes.slack import methods, reading
from deploywatch.fakes.slack import webhook as slack_webhook
from deploywatch.fakes.store import Answer, Inbox, Scripted
from deploywatch.pages.answer import page as shown
from deploywatch.pages.environment import templates_in
from deploywatch.pages.static import add_static

SERVICES: Final = (slack_webhook, teams, discord, telegram, opsgenie, ntfy)
"""The services that stand-ins answer for by a table of routes."""
# More than any service takes, so that the refusal is the service's own and not the server's.
BODY_LIMIT: Final = 4 * pagerduty_module.LIMIT

_TEMPLATES: Final = templates_in(Path(__file__).parent / "templates")


class Closing:
    """Lets answers that keep their client waiting go when the inbox closes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()


def application(
    inbox: Inbox, closing: Closing, *, slack_token: str | None = None, webhook_secret: str | None = None
) -> web.Application:
    """The HTTP side; `slack_token` is the one good token, else any that begins with `xoxb-` is.

    With `webhook_secret`, what comes to /webhook must be signed with it.
    """

    async def pagerduty(request: web.Request) -> web.Response:
        size = len(await request.read())
        status, answer = pagerduty_module.enqueue(await _fields(request), size, inbox)
        return web.json_response(answer, status=status)

    async def change(request: web.Request) -> web.Response:
        size = len(await request.read())
        status, answer = pagerduty_module.enqueue_change(await _fields(request), size, inbox)
        return web.json_response(answer, status=status)

    async def webhook(request: web.Request) -> web.Response:
        status, answer = webhook_module.receive(await request.read(), request.headers, inbox, webhook_secret)
        return web.json_response(answer, status=status)

    app = web.Application(client_max_size=BODY_LIMIT)
    for channel, path, handler in (
        ("pagerduty", "/v2/enqueue", pagerduty),
        ("pagerduty", "/v2/change/enqueue", change),
        ("webhook", "/webhook", webhook),
    ):
        app.router.add_post(path, _unless_scripted(channel, handler, inbox, closing))
    _add_slack(app, inbox, closing, slack_token)
    for route in (route for service in SERVICES for route in service.ROUTES):
        answering = _unless_scripted(route.channel, partial(_answered, route, inbox), inbox, closing)
        app.router.add_route(route.method, route.path, answering)
    _add_views(app, inbox)
    return app


def _add_slack(app: web.Application, inbox: Inbox, closing: Closing, slack_token: str | None) -> None:
    async def slack_post(request: web.Request) -> web.Response:
        body, authorization = await _fields(request), request.headers.get("Authorization", "")
        return web.json_response(methods.post_message(body, authorization, inbox, slack_token))

    async def slack_auth(request: web.Request) -> web.Response:
        body, authorization = await _fields(request), request.headers.get("Authorization", "")
        return web.json_response(methods.auth_test(body, authorization, slack_token))

    async def slack_update(request: web.Request) -> web.Response:
        body, authorization = await _fields(request), request.headers.get("Authorization", "")
        return web.json_response(methods.update(body, authorization, inbox, slack_token))

    async def slack_history(request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        return web.json_response(reading.history(request.query, authorization, inbox, slack_token))

    async def slack_replies(request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        return web.json_response(reading.replies(request.query, authorization, inbox, slack_token))

    for path, handler in (
        ("/api/chat.postMessage", slack_post),
        ("/api/chat.update", slack_update),
        ("/api/auth.test", slack_auth),
    ):
        app.router.add_post(path, _unless_scripted("slack", handler, inbox, closing))
    for path, handler in (("/api/conversations.history", slack_history), ("/api/conversations.replies", slack_replies)):
        app.router.add_get(path, _unless_scripted("slack", handler, inbox, closing))


async def _answered(route: routes.Route, inbox: Inbox, request: web.Request) -> web.Response:
    return await routes.answer(route, request, inbox)


def _add_views(app: web.Application, inbox: Inbox) -> None:
    async def messages(_: web.Request) -> web.Response:
        return web.json_response([asdict(received) for received in inbox.received])

    async def page(_: web.Request) -> web.Response:
        return shown(_TEMPLATES, "inbox.html", received=list(reversed(inbox.received)))

    app.router.add_get("/inbox", messages)
    app.router.add_get("/", page)
    add_static(app)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _unless_scripted(channel: Scripted, handler: Handler, inbox: Inbox, closing: Closing) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        # Asked at each request, also where nothing is scripted: that is how calls are counted.
        scripted = inbox.next_answer(channel)
        return await (_scripted(request, scripted, closing) if scripted else handler(request))

    return answer


async def _scripted(request: web.Request, answer: Answer, closing: Closing) -> web.StreamResponse:
    if answer.wait:
        await closing.event.wait()
    # abort() drops the connection as it is, where close() would first send what is buffered.
    if answer.reset and request.transport:
        request.transport.abort()
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, text=answer.body, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)


async def _fields(request: web.Request) -> dict[str, Any] | None:
    """The body's fields, from JSON or a form; None when it is neither."""
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post())
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
