"""PagerDuty's Events API v2 as its documentation has it: alerts and change events."""

from __future__ import annotations

from typing import Any, Final

from deploywatch.fakes.store import Inbox

LIMIT: Final = 512 * 1024
"""Bytes of an event."""
# The limits of PagerDuty's Events API v2; integration keys have 32 characters.
SUMMARY_LIMIT: Final = 1024
DEDUP_KEY_LIMIT: Final = 255
ROUTING_KEY_LENGTH: Final = 32
SEVERITIES: Final = ("critical", "error", "warning", "info")
ACTIONS: Final = ("trigger", "acknowledge", "resolve")

Answered = tuple[int, dict[str, Any]]
"""Status and body."""


def enqueue(body: dict[str, Any] | None, size: int, inbox: Inbox) -> Answered:
    """Answer /v2/enqueue; `size` is the request's in bytes."""
    refusal = _refusal(body, size, _event_errors)
    if body is None or refusal:
        return refusal or (400, {})
    action, payload = body["event_action"], body.get("payload") or {}
    # PagerDuty makes one up where none is given, and says it in its answer.
    key = str(body.get("dedup_key") or inbox.next_ts())
    inbox.keep(
        "pagerduty",
        thread=key,
        title=f"{action}: {payload.get('summary', '')}" if payload else action,
        text=_message(payload),
        raw=_kept(body),
    )
    return 202, {"status": "success", "message": "Event processed", "dedup_key": key}


def enqueue_change(body: dict[str, Any] | None, size: int, inbox: Inbox) -> Answered:
    """Answer /v2/change/enqueue."""
    refusal = _refusal(body, size, _change_errors)
    if body is None or refusal:
        return refusal or (400, {})
    payload = body["payload"]
    inbox.keep("change", thread="", title=f"change: {payload['summary']}", text=_message(payload), raw=_kept(body))
    return 202, {"status": "success", "message": "Change event processed"}


def _refusal(body: dict[str, Any] | None, size: int, find: Any) -> Answered | None:
    if size > LIMIT:
        return 413, {"status": "invalid event", "message": "Event object is too large"}
    errors = ["Event is not a JSON object"] if body is None else find(body)
    answer = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return (400, answer) if errors else None


def _event_errors(body: dict[str, Any]) -> list[str]:
    errors = _key_errors(body)
    action, payload = body.get("event_action"), body.get("payload")
    if action not in ACTIONS:
        errors.append("'event_action' is missing or not one of trigger, acknowledge, resolve")
    if action in ACTIONS[1:] and not body.get("dedup_key"):
        errors.append("'dedup_key' is missing or blank")
    if len(str(body.get("dedup_key", ""))) > DEDUP_KEY_LIMIT:
        errors.append("'dedup_key' is too long (should be at most 255 characters)")
    if action == "trigger":
        errors += _payload_errors(payload) if isinstance(payload, dict) else ["'payload' is missing"]
    return errors


def _key_errors(body: dict[str, Any]) -> list[str]:
    key = body.get("routing_key")
    good = isinstance(key, str) and len(key) == ROUTING_KEY_LENGTH
    return [] if good else ["Length of 'routing_key' is incorrect (should be 32 characters)"]


def _payload_errors(payload: dict[str, Any]) -> list[str]:
    errors = [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)]
    if len(str(payload.get("summary", ""))) > SUMMARY_LIMIT:
        errors.append("'payload.summary' is too long (should be at most 1024 characters)")
    if payload.get("severity") not in SEVERITIES:
        errors.append("'payload.severity' is invalid (must be one of critical, error, warning, info)")
    return errors


def _change_errors(body: dict[str, Any]) -> list[str]:
    errors, payload = _key_errors(body), body.get("payload")
    if not isinstance(payload, dict):
        return [*errors, "'payload' is missing"]
    if not 0 < len(str(payload.get("summary") or "")) <= SUMMARY_LIMIT:
        errors.append("'payload.summary' is missing or too long (should be at most 1024 characters)")
    if "event_action" in body or "dedup_key" in body:
        errors.append("a change event has neither 'event_action' nor 'dedup_key'")
    return errors


def _message(payload: dict[str, Any]) -> str:
    details = payload.get("custom_details") or {}
    return str(details.get("message", "")) if isinstance(details, dict) else str(details)


def _kept(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "routing_key"}
