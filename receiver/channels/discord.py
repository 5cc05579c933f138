"""Discord: an embed a message, by a channel's webhook; it mentions nobody but whom the config names."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import Any, Final

from deploywatch.plurals import number_of
from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.channels.links import whole
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.settings.channels.discord import DiscordSettings
from deploywatch.receiver.story import Event

# By Discord's documentation of embeds.
TITLE_LIMIT: Final = 256
DESCRIPTION_LIMIT: Final = 4096
EMBED_LIMIT: Final = 6000
"""Characters of all that an embed bears."""
LINKS_LIMIT: Final = 1500
"""Characters of all links together."""
UNKNOWN_WEBHOOK, INVALID_TOKEN = 10015, 50027
"""Discord's codes for a webhook that is gone, and for a URL whose token is not its own."""

_MARKS = re.compile(r"([\\*_~`|>#\[\](<])")
_LABEL = re.compile(r"^([A-Z][A-Za-z ]{1,24}:)(?= )", re.MULTILINE)


class DiscordChannel:
    """Posts one embed a message, and waits until Discord says that it stands."""

    def __init__(self, name: str, settings: DiscordSettings) -> None:
        self.name = name
        self._settings = settings
        self._client = HttpClient(settings.url.get_secret_value(), settings.timeout, (settings.url,))

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message. Raises DeliveryError."""
        url = self._settings.url.get_secret_value()
        # Without `wait`, Discord answers 204 before it knows whether the message can be kept.
        answer = await self._client.ask("POST", f"{url}?wait=true", payload(message, self._settings.mention))
        if not answer.is_good:
            raise failure(answer)
        if not answer.fields.get("id"):
            raise errors.foreign("Discord's")
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked. Raises DeliveryError."""
        raise errors.unknowable("a webhook of Discord's cannot be asked what arrived")

    async def check(self) -> str:
        """Ask Discord about the webhook, which posts nothing. Raises DeliveryError."""
        answer = await self._client.ask("GET", self._settings.url.get_secret_value())
        if not answer.is_good:
            raise failure(answer)
        return f"Discord knows the webhook {line(str(answer.fields.get('name') or ''), 80)!r}"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: Discord says how long to wait as `retry_after`, in seconds."""
    code, reason = answer.fields.get("code"), str(answer.fields.get("message") or answer.text)
    if answer.status == 404 or code in (UNKNOWN_WEBHOOK, INVALID_TOKEN):
        detail = f"HTTP {answer.status}: {line(reason, 200)}; make a new webhook"
        return DeliveryError("credentials", detail, again=False)
    wait = answer.fields.get("retry_after")
    after = timedelta(seconds=min(float(wait), 3600.0)) if isinstance(wait, int | float) and wait >= 0 else None
    return answer.refusal(reason, after=after)


def payload(message: Message, mention: str | None) -> dict[str, Any]:
    """The message: marks in its data are escaped, and `allowed_mentions` lets only the configured role be called."""
    shown, left = whole(message, LINKS_LIMIT)
    links = "\n".join(f"[{line(name, 60)}](<{_quoted(url)}>)" for name, url in shown)
    links += (
        f"\n{number_of(left, 'more link does', 'more links do')} not fit; the incident's page has them." if left else ""
    )
    title = cut(f"{signs.sign(message)} {escape(line(message.title, 200))}", TITLE_LIMIT)
    room = min(DESCRIPTION_LIMIT, EMBED_LIMIT - len(title)) - len(links) - 2
    embed: dict[str, Any] = {
        "title": title,
        "description": f"{_fitted(message.body, room)}\n\n{links}".strip(),
        "color": signs.color(message),
        "footer": {"text": f"incident {message.incident.id}"},
    }
    if message.incident.url:
        embed["url"] = message.incident.url
    if message.at:
        embed["timestamp"] = message.at.astimezone(UTC).isoformat()
    calls = mention if mention and message.calls_somebody else None
    return {
        "content": f"<@&{calls}>" if calls else "",
        "embeds": [embed],
        # With an empty `parse`, no `@everyone` in an alert's text calls anybody, however it is written.
        "allowed_mentions": {"parse": [], "roles": [calls] if calls else []},
    }


def _quoted(url: str) -> str:
    """The URL without what would end a link."""
    return url.replace("(", "%28").replace(")", "%29").replace(">", "%3E")


def escape(text: str) -> str:
    """The text with Discord's marks escaped, so that it is shown as it is."""
    return _MARKS.sub(r"\\\1", text)


def _fitted(body: str, room: int) -> str:
    """The body with its labels in bold, cut before it is escaped: no mark is left half escaped."""
    # Escaping makes it longer by as much as nobody knows beforehand, so it is tried, shorter each time.
    size = len(body)
    while True:
        shown = _LABEL.sub(r"**\1**", "\n".join(_escaped_line(text) for text in cut(body, size).split("\n")))
        if len(shown) <= room or size <= 0:
            return shown
        size = min(size - 1, size * room // len(shown))


def _escaped_line(text: str) -> str:
    label = _LABEL.match(text)
    return f"{label[1]}{escape(text[label.end() :])}" if label else escape(text)
