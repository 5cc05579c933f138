"""Opsgenie's alert API as its documentation has it: 202 for what will be done, 422 for what is not understood."""

from __future__ import annotations

from typing import Any, Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.store import Inbox

LIMITS: Final = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100, "note": 25_000}
PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
ACCEPTED: Final = {
    "result": "Request will be processed",
    "took": 0.1,
    "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120",
}


def create(asked: Asked, inbox: Inbox) -> Said:
    """Take an alert; one with the alias of an open alert is counted with it."""
    body = asked.body or {}
    if refused := _refused(asked, body, needed="message"):
        return refused
    inbox.keep("opsgenie", thread=body["alias"], title=f"create: {body['message']}", text=body["description"], raw=body)
    return Said(ACCEPTED, 202)


def change(asked: Asked, inbox: Inbox) -> Said:
    """Take what is done to an alert, whether or not there is one: that comes out later."""
    body, what = asked.body or {}, asked.path["what"]
    if refused := _refused(asked, body, needed={"priority": "priority", "notes": "note"}.get(what, "")):
        return refused
    known = any(received.thread == asked.path["alias"] for received in inbox.of("opsgenie"))
    if known:
        text = str(body.get("note", body.get("priority", "")))
        inbox.keep("opsgenie", thread=asked.path["alias"], title=what, text=text, raw=body)
    return Said(ACCEPTED, 202)


def _refused(asked: Asked, body: dict[str, Any], *, needed: str) -> Said | None:
    if is_wrong(asked.headers.get("Authorization", "").removeprefix("GenieKey ")):
        return Said({"message": "Could not authenticate", "took": 0.0, "requestId": "r"}, 401)
    faults = {
        name: f"must be at most {limit}" for name, limit in LIMITS.items() if len(str(body.get(name, ""))) > limit
    }
    if needed and not body.get(needed):
        faults[needed] = "may not be empty"
    if body.get("priority", "P3") not in PRIORITIES:
        faults["priority"] = "must be one of P1 to P5"
    if not faults:
        return None
    return Said({"message": "Request body is not processable.", "errors": faults, "took": 0.0, "requestId": "r"}, 422)


ROUTES: Final = (
    Route("opsgenie", "POST", "/v2/alerts", create),
    Route("opsgenie", "POST", "/v2/alerts/{alias}/{what}", change),
    Route("opsgenie", "PUT", "/v2/alerts/{alias}/{what}", change),
)
