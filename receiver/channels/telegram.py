"""Telegram: one message after another by a bot, each a reply to the incident's first."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from deploywatch import logs
from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.channels.links import as_text
from deploywatch.receiver.channels.rate_limit import Pace
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import cut, line, uncalled
from deploywatch.receiver.settings.channels.telegram import TelegramSettings
from deploywatch.receiver.story import Event

LIMIT: Final = 4096
"""Characters of a message, as UTF-16 counts them."""
BUTTONS: Final = 8
INTERVAL: Final = timedelta(seconds=3)
"""Between two messages to a chat: Telegram lets a bot send 20 a minute to a group."""
# As in Slack's channel: a longer wait is spent in the queue.
PATIENCE: Final = timedelta(seconds=5)

_log = logs.get("telegram")


class TelegramChannel:
    """Sends plain text, in which nothing of an alert's is markup; `clock` gives monotonic seconds."""

    def __init__(
        self,
        name: str,
        settings: TelegramSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._settings = settings
        self._chat = settings.chat
        self._client = HttpClient(settings.base_url, settings.timeout, (settings.token,))
        self._pace = Pace(INTERVAL, patience=PATIENCE, clock=clock, sleep=sleep)

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Send the message; the reference is the number of the incident's first. Raises DeliveryError."""
        await self._pace.turn()
        answer = await self._call("sendMessage", {"chat_id": self._chat, **payload(message, reference)})
        # Refused with the new number in the answer; the message must not wait until somebody has edited the config.
        if moved := _moved(answer):
            # A group that became a supergroup has a new number for ever.
            _log.warning("the chat has moved; write its new number into the config", channel=self.name, chat=moved)
            self._chat, reference = moved, None
            answer = await self._call("sendMessage", {"chat_id": moved, **payload(message, None)})
        if not answer.is_good:
            error = failure(answer)
            if error.after:
                self._pace.hold(error.after)
            raise error
        sent = answer.fields.get("result")
        number = sent.get("message_id") if isinstance(sent, dict) else None
        if not isinstance(number, int):
            raise DeliveryError("server", "the answer is not Telegram's", again=True, unsure=True)
        return reference or str(number)

    async def find(self, message: Message, reference: str | None) -> str | None:
        """A bot cannot read what it sent. Raises DeliveryError."""
        raise errors.unknowable("a bot of Telegram's cannot look up what it has sent")

    async def check(self) -> str:
        """Ask who the bot is, and about the chat, which sends nothing. Raises DeliveryError."""
        for method, body in (("getMe", {}), ("getChat", {"chat_id": self._chat})):
            answer = await self._call(method, body)
            if not answer.is_good:
                raise failure(answer)
        return "Telegram knows the bot, and the bot the chat"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _call(self, method: str, body: object) -> Answer:
        settings = self._settings
        url = f"{settings.base_url.rstrip('/')}/bot{settings.token.get_secret_value()}/{method}"
        return await self._client.ask("POST", url, body)


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: a description, and `retry_after` where it is too much."""
    reason = line(str(answer.fields.get("description") or answer.text), 200)
    if answer.status == 404:
        return DeliveryError("credentials", f"HTTP 404: {reason}; the token is no bot's", again=False)
    wait = _parameters(answer).get("retry_after")
    return answer.refusal(reason, after=timedelta(seconds=min(wait, 3600)) if isinstance(wait, int) else None)


def payload(message: Message, reference: str | None) -> dict[str, Any]:
    """The message as text without markup: a title in bold by its place, and buttons for the links."""
    # No parse_mode: with one, each underscore of an alert's name could break the message or format it.
    title = f"{signs.sign(message)} {uncalled(line(message.title, 200))}"
    more = as_text(message, after=BUTTONS)
    text = fitted(f"{title}\n\n{uncalled(message.body)}", f"\n{more}" if more else "")
    links = [[{"text": line(name, 60), "url": url}] for name, url in message.links[:BUTTONS]]
    sent: dict[str, Any] = {
        "text": text,
        "entities": [{"type": "bold", "offset": 0, "length": units(title)}],
        "link_preview_options": {"is_disabled": True},
        # What a person need not act on does not wake anybody.
        "disable_notification": not message.calls_somebody and not signs.is_over(message),
    }
    if links:
        sent["reply_markup"] = {"inline_keyboard": links}
    if reference and re.fullmatch(r"[0-9]{1,18}", reference):
        sent["reply_parameters"] = {"message_id": int(reference), "allow_sending_without_reply": True}
    return sent


def units(text: str) -> int:
    """The length as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def fitted(text: str, end: str = "") -> str:
    """The text and what stands at its end, the text cut to what a message may bear."""
    end = cut(end, LIMIT // 2)
    while units(text) + units(end) > LIMIT:
        text = cut(text, len(text) - max((units(text) + units(end) - LIMIT) // 2, 1))
    return f"{text}{end}"


def _moved(answer: Answer) -> str | None:
    chat = _parameters(answer).get("migrate_to_chat_id")
    return str(chat) if isinstance(chat, int) else None


def _parameters(answer: Answer) -> dict[str, Any]:
    given = answer.fields.get("parameters")
    return given if isinstance(given, dict) else {}
