"""Asks a channel's server over HTTP, once: what came back, or a DeliveryError that says whether trying again helps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp

from deploywatch import json_text, responses
from deploywatch.receiver.channels import errors
from deploywatch.receiver.channels.lifetime import Lifetime
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.settings.fields import is_loopback
from deploywatch.secrets import Masked

ANSWER_LIMIT: Final = 64 * 1024
"""Bytes of an answer that are read; more is no answer of a service's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: `text` is what it wrote, without the channel's secrets."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def is_page(self) -> bool:
        """Whether it is written for a browser, which no service does that is asked as a program."""
        return self.text.lstrip()[:1] == "<"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The text as a JSON object; empty when it is none."""
        try:
            parsed = json_text.parse(self.text)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def refusal(self, detail: str | None = None, *, after: timedelta | None = None) -> DeliveryError:
        """The DeliveryError that its status stands for; `Retry-After` counts where nothing else says `after`."""
        text = self.text if detail is None else detail
        return errors.from_status(self.status, text, after=after or errors.retry_after(self.headers))


class HttpClient:
    """One connection pool for one channel; redirects are not followed, and a `secret` shows in no error."""

    def __init__(self, home: str, timeout: timedelta, secrets: tuple[Masked | None, ...]) -> None:
        self._seconds = timeout.total_seconds()
        # HTTP_PROXY of the environment is for the world outside; a stand-in on this machine is not behind it.
        self._proxied = not is_loopback(home)
        self._secrets = secrets
        self._lifetime = Lifetime()
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str, url: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request, with `body` as JSON, or bytes that are JSON; whatever the status, the answer comes back.

        Raises DeliveryError.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
        try:
            async with (
                self._lifetime.message(),
                self._open().request(method, url, data=data, headers=sent, allow_redirects=False) as response,
            ):
                text = (await responses.read_start(response, ANSWER_LIMIT)).decode("utf-8", "replace")
                answer = Answer(response.status, dict(response.headers), errors.scrub(text, self._secrets))
        except TimeoutError as error:
            raise errors.timed_out(self._seconds) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not from the error: its text may bear the URL, and that is not masked.
            raise errors.unconnected(error, self._secrets) from None
        # Slack's, Discord's and their like answer themselves; a redirect is a proxy that wants a sign-in.
        if 300 <= answer.status < 400:
            raise errors.redirected(answer.status)
        return answer

    async def close(self) -> None:
        """Close the connections, once the requests under way are done."""
        await self._lifetime.end()
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                trust_env=self._proxied,
                # Whoever answers cannot make later requests bear anything.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session
