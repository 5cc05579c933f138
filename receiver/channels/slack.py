"""Slack: one thread an incident, by chat.postMessage with a bot token."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import aiohttp
from pydantic import Field, StringConstraints
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.secrets import Masked
from receiver.channels import answers
from receiver.channels.answers import HttpUrl, Token
from receiver.messages import DeliveryError, Event, Message

TEXT_LIMIT: Final = 4000
"""Characters of a message's text, from chat.postMessage's page; Slack itself cuts at 40,000."""
TITLE_LIMIT: Final = 1000
LINKS_LIMIT: Final = 1000

SIGNS: Final = {"critical": ":red_circle:", "high": ":large_orange_circle:", "medium": ":large_yellow_circle:"}
RESOLVED_SIGN: Final = ":large_green_circle:"
OTHER_SIGN: Final = ":large_blue_circle:"

CREDENTIALS: Final = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)
REJECTED: Final = frozenset(
    {
        "channel_not_found",
        "channel_type_not_supported",
        "invalid_arg_name",
        "invalid_arguments",
        "invalid_blocks",
        "is_archived",
        "messages_tab_disabled",
        "method_deprecated",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "team_access_not_granted",
    }
)
RATE_LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
TIMEOUT: Final = frozenset({"request_timeout"})
LOST_THREAD: Final = frozenset(
    {"cannot_reply_to_message", "invalid_thread_ts", "message_not_found", "thread_not_found"}
)

# Below this level slack_sdk writes whole messages to the log.
_quiet = logging.getLogger("slack_sdk.deploywatch")
_quiet.setLevel(logging.WARNING)


class SlackSettings(Settings):
    """A channel of a Slack workspace, and the bot that posts to it."""

    kind: Literal["slack"]
    token: Token
    channel: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    base_url: HttpUrl = "https://slack.com/api/"
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")


class SlackChannel:
    """Posts an incident's first message to the channel and what follows into its thread."""

    def __init__(self, name: str, settings: SlackSettings) -> None:
        self.name = name
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the message; the reference is the `ts` of the thread's first message.

        A thread that is gone is begun anew. Raises DeliveryError.
        """
        try:
            return await self._post(message, reference)
        except _LostThreadError:
            return await self._post(message, None)

    async def close(self) -> None:
        """Close the connections to Slack."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, message: Message, thread: str | None) -> str:
        settings = self._settings
        try:
            answer = await self._client().chat_postMessage(
                channel=settings.channel,
                text=text(message),
                thread_ts=thread,
                reply_broadcast=True if thread and message.event is Event.RESOLVED else None,
                link_names=False,
                unfurl_links=False,
                unfurl_media=False,
            )
            first = answer.get("ts")
        except SlackApiError as error:
            # Not from the error: its text is all that the other side said, and that is not masked.
            raise _failure(error, threaded=thread is not None, token=settings.token) from None
        except TimeoutError as error:
            raise answers.timed_out(settings.timeout.total_seconds()) from error
        except aiohttp.ClientResponseError as error:
            raise answers.from_status(error.status, error.message) from error
        except (aiohttp.ClientError, OSError) as error:
            raise answers.unconnected(error, (settings.token,)) from error
        except (SlackClientError, AttributeError, TypeError, ValueError) as error:
            # slack_sdk takes an answer for a dict before it has looked; a proxy's page is none.
            raise DeliveryError("server", "the answer is not Slack's", again=True) from error
        if not isinstance(first, str) or not first:
            raise DeliveryError("server", "the answer bears no ts", again=True)
        return thread or first

    def _client(self) -> AsyncWebClient:
        settings = self._settings
        if self._session is None or self._session.closed:
            timeout = aiohttp.ClientTimeout(total=settings.timeout.total_seconds())
            # The environment's proxies are aiohttp's to find: it heeds NO_PROXY, slack_sdk does not.
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=not answers.is_loopback(settings.base_url))
        client = AsyncWebClient(
            token=settings.token.get_secret_value(),
            base_url=settings.base_url,
            session=self._session,
            retry_handlers=[],
            logger=_quiet,
        )
        client.proxy = None
        return client


def text(message: Message) -> str:
    """The message as Slack's mrkdwn, at most TEXT_LIMIT characters; markup in its data is inert."""
    incident = message.incident
    title = f"*{escape(message.title, TITLE_LIMIT)}*"
    if message.event is Event.RESOLVED:
        head = f"{RESOLVED_SIGN} {title}"
    else:
        sign = SIGNS.get(incident.severity, OTHER_SIGN)
        head = f"{sign} *{escape(incident.severity.upper(), 20)}* · {title}"
    links = _links(message)
    foot = f"\n{links}" if links else ""
    return f"{head}\n{escape(message.body, TEXT_LIMIT - len(head) - len(foot) - 1)}{foot}"


def escape(data: str, limit: int) -> str:
    """The data with &, < and > escaped, at most `limit` characters then, never cut inside an escape."""
    whole = data.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(whole) <= limit:
        return whole
    left = whole[: max(limit - 1, 0)]
    ampersand = left.rfind("&", -4)
    if ampersand >= 0 and ";" not in left[ampersand:]:
        left = left[:ampersand]
    return f"{left.rstrip()}…"


def _links(message: Message) -> str:
    shown, size = [], 0
    for name, url in message.links:
        link = f"<{quote(url, safe='%/:=&?~#+!$,;@()*[]').replace('&', '&amp;')}|{escape(name, 40)}>"
        size += len(link) + 3
        if size > LINKS_LIMIT:
            break
        shown.append(link)
    return " · ".join(shown)


class _LostThreadError(DeliveryError):
    pass


def _failure(error: SlackApiError, *, threaded: bool, token: Masked) -> DeliveryError:
    """What `ok: false`, or a status that is not 200, means."""
    response: Any = error.response
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    detail = answers.scrub(code, (token,))
    if status == 429 or code in RATE_LIMITED:
        return answers.from_status(429, detail, after=answers.retry_after(getattr(response, "headers", {})))
    if status != 200:
        return answers.from_status(status, detail)
    return _refusal(code, detail, threaded=threaded)


def _refusal(code: str, detail: str, *, threaded: bool) -> DeliveryError:
    told = f"Slack says {detail[: answers.DETAIL_LIMIT]}"
    if threaded and code in LOST_THREAD:
        return _LostThreadError("rejected", told, again=True)
    if code in CREDENTIALS:
        return DeliveryError("credentials", told, again=False)
    if code in REJECTED or code in LOST_THREAD:
        return DeliveryError("rejected", told, again=False)
    if code in TIMEOUT:
        return DeliveryError("timeout", told, again=True)
    # internal_error, fatal_error, service_unavailable, and codes that Slack adds later: another try costs little.
    return DeliveryError("server", told if code else "the answer is not Slack's", again=True)
