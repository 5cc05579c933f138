"""A client of the receiver's HTTP API, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploywatch import json_text, responses
from deploywatch.errors import DeploywatchError, UnreachableError

_SECONDS = 30.0
_TEXT = "text/markdown"
_NO_SUCH_PLACE, _NO_SUCH_NUMBER = (404, 405), "there is no "
_ANSWER_LIMIT = 256 * 1024**2
OURS = "X-Deploywatch"
"""The header by which a page of the receiver is told from a page of a proxy before it."""


class RefusedError(DeploywatchError):
    """The receiver understood the request and says no, with this `status`, and `said` in its own words."""

    def __init__(self, message: str, status: int = 400, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


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

    def record(self, method: str, path: str, body: dict[str, Any], *, needs: Iterable[str] = ("id",)) -> dict[str, Any]:
        """Have something written down; what the receiver has then, with what it `needs` to say.

        UnreachableError where something else answers, such as another program at a wrong URL.
        """
        try:
            answer = asyncio.run(self._call(method, path, body=body))
        except RefusedError as error:
            if error.status in _NO_SUCH_PLACE and not error.said.startswith(_NO_SUCH_NUMBER):
                raise self._foreign(f"HTTP {error.status}") from error
            raise
        if not isinstance(answer, dict) or (lacks := [name for name in needs if name not in answer]):
            raise self._foreign(f"its answer lacks {', '.join(lacks) if isinstance(answer, dict) else 'every field'}")
        return answer

    def deliver(self, body: dict[str, Any]) -> Any:
        """Deliver alerts as Alertmanager does."""
        return asyncio.run(self._call("POST", "/webhook/alertmanager", body=body, root=""))

    def _foreign(self, why: str) -> UnreachableError:
        return UnreachableError(f"what answers at {self.url} is no receiver: {why}; is --url right?")

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
            raise RefusedError(f"refused ({status}): {str(answer).strip()}", status, str(answer).strip())
        return answer


def _answer(status: int, media: str, content: bytes) -> Any:
    """The JSON or the text; ValueError for what a server before the receiver has said."""
    if media == "application/json" and status < 400:
        return json_text.parse(content)
    # A receiver says no in plain text.
    if media != _TEXT and (status < 400 or media in ("text/html", "application/json")):
        raise ValueError(f"HTTP {status} with {media} is no answer of a receiver's, but of something before it")
    return content.decode("utf-8", "replace")
