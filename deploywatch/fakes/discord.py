"""Discord's webhooks as its documentation has them: executed with `wait`, or asked for what they are."""

from __future__ import annotations

from typing import Any, Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.store import Inbox

# Characters, by Discord's documentation of messages.
CONTENT_LIMIT: Final = 2000
LIMITS: Final = {"title": 256, "description": 4096}
# Characters of all embeds of a message together.
EMBED_LIMIT: Final = 6000


def execute(asked: Asked, inbox: Inbox) -> Said:
    """Take a message: 200 with it when `wait` is true, else 204."""
    if refused := _refused(asked):
        return refused
    body = asked.body or {}
    embeds = body.get("embeds") or []
    if faults := _faults(body, embeds):
        return Said({"message": "Invalid Form Body", "code": 50035, "errors": faults}, 400)
    first = embeds[0] if embeds else {}
    title, text = first.get("title", ""), "\n".join((body.get("content") or "", first.get("description", ""))).strip()
    kept = inbox.keep("discord", thread="", title=title, text=text, raw=body, id_=inbox.next_ts())
    return (
        Said({"id": kept.id, "content": body.get("content", "")})
        if asked.query.get("wait") == "true"
        else Said("", 204)
    )


def look(asked: Asked, _: Inbox) -> Said:
    """Say which webhook it is, to whoever has its URL."""
    return _refused(asked) or Said({"id": asked.path["id"], "name": "deploywatch", "channel_id": "1", "type": 1})


def _refused(asked: Asked) -> Said | None:
    if is_wrong(asked.path["id"]):
        return Said({"message": "Unknown Webhook", "code": 10015}, 404)
    if is_wrong(asked.path["token"]):
        return Said({"message": "Invalid Webhook Token", "code": 50027}, 401)
    return None


def _faults(body: dict[str, Any], embeds: list[dict[str, Any]]) -> dict[str, str]:
    faults = {}
    if not body.get("content") and not embeds:
        faults["content"] = "Cannot send an empty message"
    if len(body.get("content") or "") > CONTENT_LIMIT:
        faults["content"] = f"Must be {CONTENT_LIMIT} or fewer in length."
    for embed in embeds:
        for name, limit in LIMITS.items():
            if not 0 < len(embed.get(name, "")) <= limit:
                faults[f"embeds.{name}"] = f"Must be between 1 and {limit} in length."
        if (
            sum(len(embed.get(name, "")) for name in LIMITS) + len(embed.get("footer", {}).get("text", ""))
            > EMBED_LIMIT
        ):
            faults["embeds"] = "Embed size exceeds maximum size of 6000"
    return faults


ROUTES: Final = (
    Route("discord", "POST", "/api/webhooks/{id}/{token}", execute),
    Route("discord", "GET", "/api/webhooks/{id}/{token}", look),
)
