"""Slack: one thread an incident, by chat.postMessage with a bot token; its first message is kept up to date."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from deploywatch import logs, responses
from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.channels.rate_limit import Pace
from deploywatch.receiver.channels.slack import blocks as slack_blocks
from deploywatch.receiver.channels.slack import search as slack_search
from deploywatch.receiver.channels.slack import text
from deploywatch.receiver.channels.slack.answers import LostThreadError, RefusedBlocksError, failure
from deploywatch.receiver.messages import DeliveryError, Message, Standing
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.fields import is_loopback
from deploywatch.receiver.story import Event

INTERVAL: Final = timedelta(seconds=1)
"""Between two messages to a channel, as Slack's rate limits ask for."""
# A message that would wait longer for its turn goes back to the queue, where others may overtake it.
PATIENCE: Final = timedelta(seconds=5)
BROADCAST: Final = frozenset(
    {
        Event.WORSENED,
        Event.ESCALATED,
        Event.APPROVAL_WANTED,
        Event.ROLLBACK_FAILED,
        Event.ROLLBACK_UNKNOWN,
        Event.RESOLVED,
    }
)
"""What is shown in the channel as well as in the thread, which only those who follow it hear of."""

UPDATES_ONLY: Final = frozenset({Event.ROLLBACK_STARTED})
"""What the first message says once it is changed, and asks nobody to act: it gets no post of its own."""

# Below this level slack_sdk writes whole messages to the log.
_quiet = logging.getLogger("slack_sdk.deploywatch")
_quiet.setLevel(logging.WARNING)
_log = logs.get("slack")


@dataclass(frozen=True, slots=True)
class Place:
    """A message of Slack's: `channel` by its ID, which chat.update insists on, and `ts`."""

    channel: str
    ts: str

    @classmethod
    def of(cls, reference: str | None, channel: str) -> Place | None:
        """The place that a reference names; one without a channel is in `channel`."""
        if not reference:
            return None
        named, slash, ts = reference.rpartition("/")
        return cls(named if slash else channel, ts)

    def __str__(self) -> str:
        """The reference."""
        return f"{self.channel}/{self.ts}"


class SlackChannel:
    """Posts an incident's first message to the channel, keeps it up to date, and posts what follows into its thread.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        settings: SlackSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._lifetime = Lifetime()
        self._pace = Pace(INTERVAL, patience=PATIENCE, clock=clock, sleep=sleep)

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message; the reference names the thread's first message. Raises DeliveryError.

        Where the incident's state has changed, that first message is changed before, so that trying again after a
        failure repeats nothing that people see. A thread that is gone is begun anew.
        """
        thread = Place.of(reference, self._settings.channel)
        async with self._lifetime.message():
            await self._pace.turn()
            try:
                # No turn is waited for between the two: chat.update and chat.postMessage have limits of their own.
                updated = thread and message.standing and await self._update(message, message.standing, thread)
                if thread and updated and message.event in UPDATES_ONLY:
                    return str(thread)
                return await self._post(message, thread)
            except LostThreadError:
                await self._pace.turn()
                return await self._post(message, None)

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Look for the message in its thread, else in the channel. Raises DeliveryError.

        That needs the channel's ID, which a reference bears and a setting may, and a scope to read.
        """
        thread = Place.of(reference, self._settings.channel)
        channel = thread.channel if thread else self._settings.channel
        # chat.postMessage takes a name, conversations.history does not.
        if not slack_search.is_id(channel):
            raise errors.unknowable(f"Slack finds a channel by its ID only, not by {channel}")
        async with self._lifetime.message():
            try:
                ts = await self._search(channel, message, thread)
            except LostThreadError:
                thread, ts = None, await self._search(channel, message, None)
        return str(thread or Place(channel, ts)) if ts else None

    async def check(self) -> str:
        """Ask Slack whose token it is, which posts nothing. Raises DeliveryError."""
        async with self._lifetime.message():
            answer = await self._ask(self._client().auth_test, threaded=False)
        return f"Slack knows the token as {answer.get('user')} of {answer.get('team')}"

    async def close(self) -> None:
        """Close the connections to Slack."""
        await self._lifetime.end()
        if self._session is not None:
            await self._session.close()

    async def _update(self, message: Message, standing: Standing, first: Place) -> bool:
        """Change the incident's first message; whether Slack let it. Raises DeliveryError where another try helps."""
        now = slack_blocks.now_reads(message, standing)
        try:
            await self._call(self._client().chat_update, now, first, channel=first.channel, ts=first.ts)
        except LostThreadError:
            raise
        except DeliveryError as error:
            if error.again:
                raise
            _log.warning("first message not updated", channel=self.name, incident=message.incident.id, error=str(error))
            return False
        return True

    async def _search(self, channel: str, message: Message, thread: Place | None) -> str | None:
        """The ts of the message, in the thread or else in the channel; DeliveryError when that is not certain."""
        client, cursor = self._client(), ""
        for _ in range(slack_search.PAGES):
            await self._pace.turn()
            where = slack_search.where(channel, message, cursor)
            if thread:
                answer = await self._ask(client.conversations_replies, threaded=True, ts=thread.ts, **where)
            else:
                answer = await self._ask(client.conversations_history, threaded=False, **where)
            page = slack_search.read(answer, message)
            if page.ts or not page.cursor:
                return page.ts
            cursor = page.cursor
        raise errors.unknowable("too much was said in Slack since then to look for it")

    async def _post(self, message: Message, thread: Place | None) -> str:
        posted = await self._call(
            self._client().chat_postMessage,
            message,
            thread,
            channel=thread.channel if thread else self._settings.channel,
            thread_ts=thread.ts if thread else None,
            reply_broadcast=True if thread and message.event in BROADCAST else None,
            # Slack would fetch the console's links, and show its sign-in page under each message.
            unfurl_links=False,
            unfurl_media=False,
            mrkdwn=False,
            metadata=slack_search.metadata(message),
        )
        return str(thread or posted)

    async def _call(
        self, call: Callable[..., Awaitable[Any]], message: Message, thread: Place | None, **fields: Any
    ) -> Place:
        """Say it to Slack; where the message stands then. Raises DeliveryError."""
        settings = self._settings
        # chat.update would look for names and links by itself, chat.postMessage would not.
        fields |= {"parse": "none", "link_names": False}
        content = {
            "text": text.text(message, settings.mention),
            "blocks": slack_blocks.blocks(
                message, interactive=settings.signing_secret is not None, mention=settings.mention
            ),
        }
        try:
            answer = await self._ask(call, threaded=thread is not None, **content, **fields)
        except RefusedBlocksError as error:
            _log.error("blocks refused, sent as plain text", channel=self.name, error=str(error))
            words = {"text": content["text"], "blocks": slack_blocks.plain(message, settings.mention)}
            answer = await self._ask(call, threaded=thread is not None, **words, **fields)
        channel, ts = answer.get("channel"), answer.get("ts")
        if not (isinstance(channel, str) and channel and isinstance(ts, str) and ts):
            raise DeliveryError("server", "the answer bears no channel and ts", again=True, unsure=True)
        return Place(channel, ts)

    async def _ask(self, call: Callable[..., Awaitable[Any]], *, threaded: bool, **fields: Any) -> Mapping[str, Any]:
        """Call Slack once; its answer. Raises DeliveryError."""
        settings = self._settings
        try:
            answer = await call(**fields)
            # Looked at here, where an answer that is no dict is still caught.
            answer.get("ok")
        except SlackApiError as error:
            error_of_delivery = failure(error, threaded=threaded, secrets=(settings.token, *settings.signing_secrets))
            if error_of_delivery.after:
                self._pace.hold(error_of_delivery.after)
            # Not from the error: its text is all that the other side said, and that is not masked.
            raise error_of_delivery from None
        except TimeoutError as error:
            raise errors.timed_out(settings.timeout.total_seconds()) from error
        except aiohttp.ClientResponseError as error:
            raise errors.from_status(error.status, error.message) from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.unconnected(error, (settings.token,)) from error
        except (SlackClientError, AttributeError, TypeError, ValueError, RecursionError) as error:
            # slack_sdk takes an answer for a dict before it has looked; a proxy's page is none.
            raise DeliveryError("server", "the answer is not Slack's", again=True, unsure=True) from error
        answered: Mapping[str, Any] = answer
        return answered

    def _client(self) -> AsyncWebClient:
        settings = self._settings
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=settings.timeout.total_seconds())
            # The environment's proxies are aiohttp's to find: it heeds NO_PROXY, slack_sdk does not.
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                trust_env=not is_loopback(settings.base_url),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_following_nobody()],
                response_class=responses.Bounded,
            )
        client = AsyncWebClient(
            token=settings.token.get_secret_value(),
            base_url=settings.base_url,
            session=self._session,
            # The queue tries again, with the whole process in view; a retry in here would hide rate limits from it.
            retry_handlers=[],
            logger=_quiet,
        )
        client.proxy = None
        return client


def _following_nobody() -> aiohttp.TraceConfig:
    """What ends a request that is sent on: slack_sdk has no setting for it."""

    async def refuse(_: aiohttp.ClientSession, __: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        redirect.response.close()
        raise errors.redirected(redirect.response.status)

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config
