"""ntfy: a push message to whoever follows a topic, on ntfy.sh or a server of yours."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.channels.links import as_text
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.settings.channels.ntfy import NtfySettings
from deploywatch.receiver.story import Event

LIMIT: Final = 4096
"""Bytes of a message; a longer one would become an attachment."""
TITLE_LIMIT: Final = 200
# ntfy shows three buttons, and refuses more.
ACTIONS: Final = 3
URGENT, HIGH, USUAL, LOW = 5, 4, 3, 2
PRIORITIES: Final = {"critical": URGENT, "high": HIGH, "medium": USUAL, "low": LOW}


class NtfyChannel:
    """Publishes each message to a topic; how loud it is follows the severity, where somebody is to act."""

    def __init__(self, name: str, settings: NtfySettings) -> None:
        self.name = name
        self._settings = settings
        self._client = HttpClient(settings.url, settings.timeout, (settings.token, settings.topic))

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Publish the message. Raises DeliveryError."""
        topic = self._settings.topic.get_secret_value()
        answer = await self._ask("POST", "/", {"topic": topic, **payload(message)})
        if not answer.is_good:
            raise failure(answer)
        # A captive portal answers 200 too.
        if not answer.fields.get("id"):
            raise errors.foreign("ntfy's")
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked. Raises DeliveryError."""
        raise errors.unknowable("an ntfy server may keep nothing of what it has passed on")

    async def check(self) -> str:
        """Ask whether the topic may be read with the token, which publishes nothing. Raises DeliveryError."""
        answer = await self._ask("GET", f"/{quote(self._settings.topic.get_secret_value(), safe='')}/auth", None)
        if not answer.is_good:
            raise failure(answer)
        return "the server knows the topic, and takes the token" if self._settings.token else "the topic is open"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _ask(self, method: str, path: str, body: object) -> Answer:
        settings = self._settings
        headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
        return await self._client.ask(method, f"{settings.url.rstrip('/')}{path}", body, headers=headers)


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: a code of ntfy's, and its `error`."""
    return answer.refusal(line(str(answer.fields.get("error") or answer.text), 200))


def payload(message: Message) -> dict[str, Any]:
    """The message as plain text; a press opens the incident, and the first links are buttons."""
    loud = message.calls_somebody
    sent: dict[str, Any] = {
        "title": f"{signs.sign(message)} {line(message.title, TITLE_LIMIT)}",
        "message": fitted(message.body, as_text(message, after=ACTIONS)),
        "priority": PRIORITIES.get(message.incident.severity, HIGH) if loud else LOW,
        "tags": ["deploywatch"],
    }
    if message.links:
        sent["click"] = message.links[0][1]
        sent["actions"] = [
            {"action": "view", "label": line(name, 60), "url": url} for name, url in message.links[:ACTIONS]
        ]
    return sent


def fitted(text: str, end: str = "") -> str:
    """The text and what stands at its end, the text cut to what a message may bear, never inside a character."""
    end = f"\n{_cut(end, LIMIT // 2)}" if end else ""
    return f"{_cut(text, LIMIT - len(end.encode()))}{end}"


def _cut(text: str, size: int) -> str:
    raw = text.encode()
    # Cut by bytes, as ntfy counts; what is left of a letter at the cut is dropped.
    return text if len(raw) <= size else f"{raw[: size - len('…'.encode())].decode('utf-8', 'ignore').rstrip()}…"
