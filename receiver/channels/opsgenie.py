"""Opsgenie: one alert a trouble, by its alias; notes for what asks nobody to act."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import quote

from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.filters import utc
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.settings.channels.opsgenie import OpsgenieSettings
from deploywatch.receiver.story import Event

# Characters, by Opsgenie's documentation of alert fields.
MESSAGE_LIMIT: Final = 130
DESCRIPTION_LIMIT: Final = 15_000
ALIAS_LIMIT: Final = 512
ENTITY_LIMIT: Final = 512
NOTE_LIMIT: Final = 25_000
SOURCE_LIMIT: Final = 100
PRIORITIES: Final = {"critical": "P1", "high": "P2", "medium": "P3", "low": "P4"}

Action = Literal["create", "acknowledge", "close", "note"]
ACTIONS: Final[dict[Event, Action]] = {
    Event.OPENED: "create",
    Event.WORSENED: "create",
    Event.ESCALATED: "create",
    Event.REMINDER: "create",
    Event.DEGRADATION: "create",
    Event.APPROVAL_WANTED: "create",
    Event.APPROVAL_EXPIRED: "create",
    Event.ROLLBACK_FAILED: "create",
    Event.ROLLBACK_UNKNOWN: "create",
    Event.ROLLBACK_REFUSED: "create",
    Event.ROLLBACK_DRY_RUN: "create",
    Event.ACKNOWLEDGED: "acknowledge",
    Event.RESOLVED: "close",
    # Nobody must act: a note on the alert, which pages nobody.
    Event.ROLLBACK_STARTED: "note",
    Event.ROLLBACK_SUCCEEDED: "note",
    Event.UPDATE: "note",
}


class OpsgenieChannel:
    """Creates, acknowledges and closes one alert at a time for an incident, named by its alias."""

    def __init__(self, name: str, settings: OpsgenieSettings) -> None:
        self.name = name
        self._settings = settings
        self._client = HttpClient(settings.url, settings.timeout, (settings.api_key,))

    def wants(self, event: Event) -> bool:
        """Every event is told, most of them as notes."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Send the event; the reference is the alias of the trouble as it is now. Raises DeliveryError."""
        alias = before = reference or message.dedup_key[:ALIAS_LIMIT]
        action, sign = ACTIONS[message.event], {"source": "deploywatch", "user": "deploywatch"}
        # The alerts of smaller troubles, and of a channel's former life, would else stay open for ever.
        for other in message.other_keys(ALIAS_LIMIT, alias):
            await self._call("POST", _of(other, "close"), {**sign, "note": f"It goes on as {alias}."[:NOTE_LIMIT]})
        if action == "create" or message.acknowledges_no_more:
            if message.event is Event.WORSENED or message.late:
                # A second creation is counted, but pages nobody where somebody acknowledged, and leaves the priority.
                alias = message.trouble_key(ALIAS_LIMIT)
            await self._call("POST", "/v2/alerts", alert(message, self._settings, alias))
            if before != alias:
                note = f"It {'' if message.late else 'got worse, and '}goes on as {alias}."[:NOTE_LIMIT]
                await self._call("POST", _of(before, "close"), {**sign, "note": note})
        else:
            note = cut(f"{message.title}\n\n{message.body}", NOTE_LIMIT)
            path = {"acknowledge": "acknowledge", "close": "close", "note": "notes"}[action]
            await self._call("POST", _of(alias, path), {**sign, "note": note})
        return alias

    async def find(self, message: Message, reference: str | None) -> str | None:
        """None: Opsgenie takes an alert that comes again for the same, by its alias."""
        return None

    async def check(self) -> str:
        """Close an alert that was never there, which changes nothing, and shows that the key is good."""
        await self._call("POST", _of("deploywatch/check", "close"), {"source": "deploywatch"})
        return "Opsgenie takes the key"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _call(self, method: str, path: str, body: object) -> None:
        settings = self._settings
        headers = {"Authorization": f"GenieKey {settings.api_key.get_secret_value()}"}
        answer = await self._client.ask(method, f"{settings.url.rstrip('/')}{path}", body, headers=headers)
        if not answer.is_good:
            raise failure(answer)
        if not answer.fields.get("requestId"):
            raise errors.foreign("Opsgenie's")


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: a message, and which fields it is about."""
    reason, faults = str(answer.fields.get("message") or answer.text), answer.fields.get("errors")
    about = "; ".join(f"{name}: {fault}" for name, fault in faults.items()) if isinstance(faults, dict) else ""
    return answer.refusal(f"{reason}; {about}" if about else reason)


def alert(message: Message, settings: OpsgenieSettings, alias: str) -> dict[str, Any]:
    """What creates the alert, within the API's limits."""
    incident = message.incident
    links = "".join(f"\n{name}: {url}" for name, url in message.links)
    details = {
        "incident": str(incident.id),
        "event": message.event.value,
        "service": line(incident.service, 500),
        "environment": line(incident.environment, 500),
        "severity": line(incident.severity, 40),
        "opened": utc(incident.opened_at),
    }
    made: dict[str, Any] = {
        "message": line(message.title, MESSAGE_LIMIT) or "incident",
        "alias": alias,
        "description": f"{cut(message.body, DESCRIPTION_LIMIT - len(links) - 1)}\n{links}"[:DESCRIPTION_LIMIT],
        "entity": line(incident.service, ENTITY_LIMIT),
        "source": "deploywatch",
        "priority": _priority(message),
        "details": details,
    }
    if settings.team:
        made["responders"] = [{"name": settings.team, "type": "team"}]
    if settings.tags:
        made["tags"] = list(settings.tags)
    return made


def _priority(message: Message) -> str:
    """What nobody knows is taken for high."""
    return PRIORITIES.get(message.incident.severity, "P2")


def _of(alias: str, what: str) -> str:
    return f"/v2/alerts/{quote(alias, safe='')}/{what}?identifierType=alias"
