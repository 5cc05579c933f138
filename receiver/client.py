"""A client of the receiver's HTTP API, for the command line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploywatch import json_text, responses
from deploywatch.errors import DeploywatchError, UnreachableError

_SECONDS = 30.0
_TEXT = "text/markdown"
_ANSWER_LIMIT = 256 * 1024**2
OURS = "X-Deploywatch"
"""The header by which a page of the receiver is told from a page of a proxy before it."""


class RefusedError(DeploywatchError):
    """The receiver understood the request and says no; the message is its own, `status` the answer's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one receiver; every call raises UnreachableError or RefusedError when it does not go well."""

    url: str
    token: str | None = None

    def get(self, path: str, **query: str) -> Any:
        """GET, giving the JSON or the text of the answer."""
        return asyncio.run(self._call("GET", path, query=query))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST a JSON body."""
        return asyncio.run(self._call("POST", path, body=body))

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """PATCH with a JSON body."""
        return asyncio.run(self._call("PATCH", path, body=body))

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """The same by any method."""
        return asyncio.run(self._call(method, path, body=body))

    def deliver(self, body: dict[str, Any]) -> Any:
        """Deliver alerts as Alertmanager does."""
        return asyncio.run(self._call("POST", "/webhook/alertmanager", body=body, root=""))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        root: str = "/api/v1",
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"{self.url.rstrip('/')}{root}{path}"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), headers=headers) as session,
                session.request(method, address, json=body, params=query, allow_redirects=False) as response,
            ):
                content = await responses.read_direct(response, _ANSWER_LIMIT)
                media = _TEXT if OURS in response.headers else response.content_type
                status, answer = response.status, _answer(response.status, media, content)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"the receiver at {self.url} gave no answer: {reason}; is --url right?") from error
        if status >= 500:
            raise UnreachableError(f"the receiver at {self.url} cannot answer now ({status}): {answer}")
        if status >= 400:
            raise RefusedError(f"refused ({status}): {str(answer).strip()}", status)
        return answer


def _answer(status: int, media: str, content: bytes) -> Any:
    """The JSON or the text; ValueError for what a server before the receiver has said."""
    if media == "application/json":
        return json_text.parse(content)
    if media != _TEXT and (status < 400 or media == "text/html"):
        raise ValueError(f"HTTP {status} with {media} is no answer of a receiver's, but of something before it")
    return content.decode("utf-8", "replace")
