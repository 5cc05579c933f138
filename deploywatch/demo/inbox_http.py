"""Slack's chat.postMessage and PagerDuty's Events v2 as their documentation has them, and a view of the inbox."""

from __future__ import annotations

import asyncio
import html
import json
from dataclasses import asdict
from typing import Any, Final, Literal

from aiohttp import web

from deploywatch.demo.inbox_store import Answer, Inbox, Received

SLACK_TEXT_LIMIT: Final = 40_000
PAGERDUTY_LIMIT: Final = 512 * 1024
"""Bytes of an event."""
SUMMARY_LIMIT: Final = 1024
DEDUP_KEY_LIMIT: Final = 255
ROUTING_KEY_LENGTH: Final = 32
SEVERITIES: Final = ("critical", "error", "warning", "info")
ACTIONS: Final = ("trigger", "acknowledge", "resolve")

_TITLE_LIMIT = 300
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Inbox</title>
<style>body{{font-family:sans-serif;margin:2em;max-width:60em}}
td,th{{text-align:left;vertical-align:top;padding:.3em 1em .3em 0}}
pre{{white-space:pre-wrap;margin:.3em 0 1em}}</style></head>
<body><h1>Inbox</h1><p>Stands in for Slack, PagerDuty and a mail server. {count} messages, the newest first.</p>
<table><tr><th>time</th><th>channel</th><th>message</th></tr>
{rows}
</table></body></html>
"""


class Closing:
    """Lets answers that keep their client waiting go when the inbox closes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()


def application(inbox: Inbox, closing: Closing, *, slack_token: str | None = None) -> web.Application:
    """The HTTP side; `slack_token` is the one good token, else any that begins with `xoxb-` is."""

    async def slack(request: web.Request) -> web.StreamResponse:
        scripted = inbox.next_answer("slack")
        if scripted:
            return await _scripted(request, scripted, closing)
        return web.json_response(await _post_message(request, inbox, slack_token))

    async def pagerduty(request: web.Request) -> web.StreamResponse:
        scripted = inbox.next_answer("pagerduty")
        if scripted:
            return await _scripted(request, scripted, closing)
        return await _enqueue(request, inbox)

    async def messages(_: web.Request) -> web.Response:
        return web.json_response([asdict(received) for received in inbox.received])

    async def page(_: web.Request) -> web.Response:
        rows = "\n".join(_row(received) for received in reversed(inbox.received))
        return web.Response(text=_PAGE.format(count=len(inbox.received), rows=rows), content_type="text/html")

    app = web.Application(client_max_size=4 * PAGERDUTY_LIMIT)
    app.router.add_post("/api/chat.postMessage", slack)
    app.router.add_post("/v2/enqueue", pagerduty)
    app.router.add_get("/inbox", messages)
    app.router.add_get("/", page)
    return app


async def _scripted(request: web.Request, answer: Answer, closing: Closing) -> web.StreamResponse:
    if answer.wait:
        await closing.event.wait()
    if answer.reset and request.transport:
        request.transport.abort()
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, text=answer.body, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)


async def _post_message(request: web.Request, inbox: Inbox, good_token: str | None) -> dict[str, Any]:
    """Slack answers 200 even when it refuses: `ok` says which."""
    body = await _fields(request)
    if body is None:
        return _refused("invalid_json")
    authorization = request.headers.get("Authorization", "")
    token = authorization.removeprefix("Bearer ").strip() or str(body.get("token", ""))
    channel, text, thread = (str(body.get(name) or "") for name in ("channel", "text", "thread_ts"))
    refusal = _slack_refusal(token, good_token, channel, text, has_blocks=bool(body.get("blocks")))
    if refusal:
        return _refused(refusal)
    ts = inbox.next_ts()
    inbox.keep("slack", thread=thread or ts, title=_first_line(text), text=text, raw=_without(body, "token"))
    return {"ok": True, "channel": channel, "ts": ts, "message": {"type": "message", "text": text, "ts": ts}}


def _slack_refusal(token: str, good: str | None, channel: str, text: str, *, has_blocks: bool) -> str | None:
    if not token:
        return "not_authed"
    if token != good if good else not token.startswith("xoxb-"):
        return "invalid_auth"
    if not channel.startswith(("#", "C", "D", "G")):
        return "channel_not_found"
    if not text and not has_blocks:
        return "no_text"
    return "msg_too_long" if len(text) > SLACK_TEXT_LIMIT else None


def _refused(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error}


async def _enqueue(request: web.Request, inbox: Inbox) -> web.Response:
    raw = await request.read()
    if len(raw) > PAGERDUTY_LIMIT:
        return web.json_response({"status": "invalid event", "message": "Event object is too large"}, status=413)
    body = await _fields(request)
    errors = ["Event is not a JSON object"] if body is None else _event_errors(body)
    if body is None or errors:
        answer = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return web.json_response(answer, status=400)
    action, payload = body["event_action"], body.get("payload") or {}
    key = str(body.get("dedup_key") or inbox.next_ts())
    details = payload.get("custom_details") or {}
    inbox.keep(
        "pagerduty",
        thread=key,
        title=f"{action}: {payload.get('summary', '')}" if payload else action,
        text=str(details.get("message", "")) if isinstance(details, dict) else str(details),
        raw=_without(body, "routing_key"),
    )
    return web.json_response({"status": "success", "message": "Event processed", "dedup_key": key}, status=202)


def _event_errors(body: dict[str, Any]) -> list[str]:
    errors = []
    key, action, payload = body.get("routing_key"), body.get("event_action"), body.get("payload")
    if not isinstance(key, str) or len(key) != ROUTING_KEY_LENGTH:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if action not in ACTIONS:
        errors.append("'event_action' is missing or not one of trigger, acknowledge, resolve")
    if action in ACTIONS[1:] and not body.get("dedup_key"):
        errors.append("'dedup_key' is missing or blank")
    if len(str(body.get("dedup_key", ""))) > DEDUP_KEY_LIMIT:
        errors.append("'dedup_key' is too long (should be at most 255 characters)")
    if action == "trigger":
        errors += _payload_errors(payload) if isinstance(payload, dict) else ["'payload' is missing"]
    return errors


def _payload_errors(payload: dict[str, Any]) -> list[str]:
    errors = [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)]
    if len(str(payload.get("summary", ""))) > SUMMARY_LIMIT:
        errors.append("'payload.summary' is too long (should be at most 1024 characters)")
    if payload.get("severity") not in SEVERITIES:
        errors.append("'payload.severity' is invalid (must be one of critical, error, warning, info)")
    return errors


async def _fields(request: web.Request) -> dict[str, Any] | None:
    """The body's fields, from JSON or a form; None when it is neither."""
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post())
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _without(body: dict[str, Any], secret: Literal["token", "routing_key"]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != secret}


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0][:_TITLE_LIMIT]


def _row(received: Received) -> str:
    cells = (received.at[11:19], received.channel)
    told = f"<strong>{html.escape(received.title)}</strong><pre>{html.escape(received.text)}</pre>"
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + f"<td dir='auto'>{told}</td></tr>"
