"""PagerDuty: one alert an incident, and a change event a deployment, by Events v2."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Literal

import httpx2
import pagerduty
from pagerduty import EventsApiV2Client

from deploywatch import json_text
from deploywatch.receiver.channels import errors as errors_module
from deploywatch.receiver.channels.http_client import HttpClient
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.channels.pagerduty import events as pagerduty_events
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.story import DeploymentView, Event

# The library blocks a thread for each request; more of them would only meet PagerDuty's rate limit sooner.
# Each holds a thread for as long as PagerDuty takes; more than these would only meet its rate limit sooner.
CONCURRENT: Final = 4

ACTIONS: Final[dict[Event, Literal["trigger", "acknowledge", "resolve"] | None]] = {
    Event.OPENED: "trigger",
    Event.WORSENED: "trigger",
    Event.ESCALATED: "trigger",
    Event.ACKNOWLEDGED: "acknowledge",
    Event.RESOLVED: "resolve",
    # A person must act. On an open alert this adds to its log and pages nobody again; where somebody closed the
    # alert in PagerDuty meanwhile, it opens a new one, and that is wanted.
    Event.ROLLBACK_FAILED: "trigger",
    Event.ROLLBACK_UNKNOWN: "trigger",
    Event.ROLLBACK_REFUSED: "trigger",
    Event.ROLLBACK_DRY_RUN: "trigger",
    Event.APPROVAL_WANTED: "trigger",
    Event.APPROVAL_EXPIRED: "trigger",
    Event.DEGRADATION: "trigger",
    Event.REMINDER: "trigger",
    # Nobody must act. Delivered late, after the resolve, these would page somebody about a thing of the past.
    Event.ROLLBACK_STARTED: None,
    Event.ROLLBACK_SUCCEEDED: None,
    Event.UPDATE: None,
}


# A line for each request is noise.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class PagerDutyChannel:
    """Triggers, acknowledges and resolves one PagerDuty alert an incident, named by its dedup_key."""

    def __init__(self, name: str, settings: PagerDutySettings) -> None:
        self.name = name
        self._settings = settings
        # Threads of its own: an Events API that hangs must not use up those of the rest of the process.
        self._threads = ThreadPoolExecutor(CONCURRENT, thread_name_prefix=f"pagerduty-{name}")
        self._client = _OneAttempt(settings)
        self._lifetime = Lifetime()

    def wants(self, event: Event) -> bool:
        """Whether a person must act on it; the rest is not PagerDuty's."""
        return ACTIONS[event] is not None

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Send the event, once; the reference is the dedup_key of the trouble as it is now. Raises DeliveryError.

        Events that ask nobody to act are not sent, and `reference` comes back as it was.
        """
        action = ACTIONS[message.event]
        if message.late is not None:
            return await self._stand(message, reference)
        if action is None:
            return reference
        key = before = reference or pagerduty_events.dedup_key(message)
        if message.event is Event.WORSENED:
            # An alert that somebody acknowledged pages nobody when it is triggered again: the bigger trouble begins
            # under a name of its own, and then the smaller one ends.
            key = pagerduty_events.dedup_key(message, new=True)
        event = pagerduty_events.alert(message, self._settings.client_url) if action == "trigger" else {}
        await self._call(lambda: self._client.send_event(action, dedup_key=key, **event))
        # After the new one is there: failing in between leaves both open, and never none.
        if before != key:
            await self._call(lambda: self._client.send_event("resolve", dedup_key=before))
        return key

    async def _stand(self, message: Message, reference: str | None) -> str:
        """Bring its alerts to what is true now: an incident that is over has none open, another one the current one."""
        key = reference or pagerduty_events.dedup_key(message)
        others = message.other_keys(pagerduty_events.DEDUP_KEY_LIMIT, key)
        if message.incident.resolved_at:
            others.append(key)
        elif message.acknowledges_no_more:
            # An acknowledgement cannot be taken back: what nobody has in hand begins under a new name.
            others.append(key)
            key = pagerduty_events.dedup_key(message, new=True)
            event = pagerduty_events.alert(message, self._settings.client_url)
            await self._call(lambda: self._client.send_event("trigger", dedup_key=key, **event))
        for other in others:
            await self._call(partial(self._client.send_event, "resolve", dedup_key=other))
        return key

    async def find(self, message: Message, reference: str | None) -> str | None:
        """None: PagerDuty takes an event that comes again for the same, by its dedup_key."""
        return None

    async def change(self, deployment: DeploymentView) -> None:
        """Tell of a deployment, which pages nobody; nothing is sent with `changes: false`. Raises DeliveryError."""
        if self._settings.changes:
            event = pagerduty_events.change(deployment)
            await self._call(lambda: self._client.send_change_event(**event))

    async def check(self) -> str:
        """Resolve an alert that was never there, which PagerDuty drops, and which shows that the key is good."""
        # The Events API has no request that only asks; this one changes nothing.
        await self._call(lambda: self._client.send_event("resolve", dedup_key="deploywatch/check"))
        return "PagerDuty takes the routing key"

    async def close(self) -> None:
        """Let go of threads and connections; a thread that waits in vain ends with the request's timeout."""
        await self._lifetime.end()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        await self._client.http.close()

    async def _call(self, call: Callable[[], object]) -> None:
        """Run one call of the client's in a thread, within the timeout; DeliveryError says what went wrong."""
        seconds = self._settings.timeout.total_seconds()
        self._client.loop = loop = asyncio.get_running_loop()
        try:
            async with self._lifetime.message(), asyncio.timeout(seconds):
                await loop.run_in_executor(self._threads, call)
        except TimeoutError as error:
            raise errors_module.timed_out(seconds) from error
        except (pagerduty.HttpError, RecursionError):
            # Not from the error: its text is what the other side said, and that is not masked.
            raise DeliveryError("server", "the answer is not PagerDuty's", again=True) from None
        except pagerduty.Error as error:
            raise errors_module.unconnected(error.__cause__ or error, (self._settings.routing_key,)) from error


_OF_TRANSPORT: Final = frozenset({"content-encoding", "content-length", "host", "transfer-encoding"})
"""Headers of a connection, and not of what is said."""


class _Transport(httpx2.BaseTransport):
    """Hands each request of the client to a function."""

    def __init__(self, ask: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self._ask = ask

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Its answer."""
        return self._ask(request)


class _OneAttempt(EventsApiV2Client):
    """PagerDuty's client without its own retries, which sleep in the thread and for 429 have no end: the queue retries.

    The client insists on https; here a URL is what the config says, so that a server on this machine will do. Its
    requests are made by `http`, in `loop`: its own way has a limit for each piece of an answer and none for the whole,
    so that four answers that drip would hold every thread for ever.
    """

    max_network_attempts = 0
    url = ""
    loop: asyncio.AbstractEventLoop

    def __init__(self, settings: PagerDutySettings) -> None:
        self._key = settings.routing_key
        self.http = HttpClient(settings.url, settings.timeout, (settings.routing_key,))
        super().__init__(self._key.get_secret_value(), transport=_Transport(self._asked), trust_env=False)
        self.url = settings.url

    def _asked(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to a request, which is a thread's."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_TRANSPORT}
        asking = self.http.ask(request.method, str(request.url), request.read(), headers=headers)
        answer = asyncio.run_coroutine_threadsafe(asking, self.loop).result()
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_TRANSPORT}
        return httpx2.Response(answer.status, headers=kept, text=answer.text)

    def postprocess(self, response: Any) -> None:
        """Turn an answer that is no success into a DeliveryError, before the client would try again."""
        if not response.is_success:
            detail = errors_module.scrub(_reasons(response), (self._key,))
            raise errors_module.from_status(
                response.status_code, detail, after=errors_module.retry_after(response.headers)
            )


def _reasons(response: Any) -> str:
    """What the API says against the event: its `errors`, else its `message`, else the text."""
    try:
        body = json_text.parse(response.text)
    except ValueError:
        return str(response.text)
    if not isinstance(body, dict):
        return str(body)
    errors = body.get("errors")
    listed = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    return listed or str(body.get("message") or "")
