"""Slack incoming webhooks: each message to the channel that the URL stands for; no threads, no buttons, no token."""

from __future__ import annotations

from typing import Final

from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.channels.slack import blocks as slack_blocks
from deploywatch.receiver.channels.slack import text
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.settings.channels.slack_webhook import SlackWebhookSettings
from deploywatch.receiver.story import Event

CREDENTIALS: Final = frozenset({"action_prohibited", "invalid_token", "no_active_hooks", "no_service", "no_team"})
"""What Slack says when the URL no longer lets anybody post."""
BLOCKS: Final = frozenset({"invalid_blocks", "invalid_payload", "invalid_attachments"})
"""What Slack says against the shape of a message; its words may be taken all the same."""


class SlackWebhookChannel:
    """Posts each message by itself: an incoming webhook knows no thread, and changes nothing that stands."""

    def __init__(self, name: str, settings: SlackWebhookSettings) -> None:
        self.name = name
        self._settings = settings
        self._client = HttpClient(settings.url.get_secret_value(), settings.timeout, (settings.url,))

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message, as plain text where Slack refuses its blocks. Raises DeliveryError."""
        settings = self._settings
        payload = {
            "text": text.text(message, settings.mention),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        blocks = slack_blocks.blocks(message, interactive=False, mention=settings.mention)
        answer = await self._post({**payload, "blocks": blocks})
        if answer.status == 400 and answer.text.strip() in BLOCKS:
            answer = await self._post({**payload, "blocks": slack_blocks.plain(message, settings.mention)})
        if not answer.is_good:
            raise failure(answer)
        # Mattermost says the same word, Rocket.Chat says it in JSON.
        if answer.text.strip() != "ok" and answer.fields.get("success") is not True:
            raise errors.foreign("Slack's")
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked. Raises DeliveryError."""
        raise errors.unknowable("an incoming webhook of Slack's cannot be asked what arrived")

    async def check(self) -> str:
        """Post nothing: a URL that works answers an empty text with `no_text`. Raises DeliveryError."""
        answer = await self._post({"text": ""})
        if answer.status == 400 and answer.text.strip() in {"no_text", "invalid_payload", "missing_text_or_fallback"}:
            return "Slack knows the webhook"
        raise failure(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _post(self, body: object) -> Answer:
        return await self._client.ask("POST", self._settings.url.get_secret_value(), body)


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: Slack says one word of text beside the status."""
    word = answer.text.strip()
    if word in CREDENTIALS or answer.status in (404, 410):
        detail = f"HTTP {answer.status}: {word or 'no such webhook'}; make a new incoming webhook"
        return DeliveryError("credentials", detail[: errors.DETAIL_LIMIT], again=False)
    return answer.refusal()
