"""A client of the receiver's HTTP API, for the command line.

Python's own: each call of a pipeline waits for what is imported, and aiohttp takes longer than the request.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from deploywatch import json_text
from deploywatch.errors import DeploywatchError, UnreachableError

_SECONDS = 30.0
_TEXT = "text/markdown"
# 404 is said by us about a number, and by any other server about a path that it does not have.
_NO_SUCH_PLACE, _NO_SUCH_NUMBER = (404, 405), "there is no "
_TAKEN = "committed"
_ANSWER_LIMIT = 256 * 1024**2
_CHUNK = 64 * 1024
_SHOWN = 300  # characters of another's address
OURS = "X-Deploywatch"
"""The header by which a page of the receiver is told from a page of a proxy before it."""


class RefusedError(DeploywatchError):
    """The receiver understood the request and says no, with this `status`, and `said` in its own words."""

    def __init__(self, message: str, status: int = 400, answer: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = answer


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one receiver; every call raises UnreachableError or RefusedError when it does not go well."""

    url: str
    token: str | None = None

    @property
    def shown(self) -> str:
        """The URL as it may be printed and kept."""
        return shown(self.url)

    def get(self, path: str, **query: str) -> Any:
        """GET, giving the JSON or the text of the answer."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST a JSON body; the object that is answered. UnreachableError where something else answers."""
        return self._said(self._call("POST", path, body=body), ())

    def record(self, method: str, path: str, body: dict[str, Any], *, needs: Iterable[str] = ("id",)) -> dict[str, Any]:
        """Have something written down; what the receiver has then, with what it `needs` to say.

        UnreachableError where something else answers, such as another program at a wrong URL.
        """
        try:
            answer = self._call(method, path, body=body)
        except RefusedError as error:
            if error.status in _NO_SUCH_PLACE and not error.said.startswith(_NO_SUCH_NUMBER):
                raise self._foreign(f"HTTP {error.status}") from error
            raise
        return self._said(answer, needs)

    def known(self, path: str, *, needs: Iterable[str], **query: str) -> dict[str, Any]:
        """GET what has these fields; UnreachableError where something else answers."""
        return self._said(self.get(path, **query), needs)

    def rows(self, path: str, *, needs: Iterable[str], **query: str) -> list[dict[str, Any]]:
        """GET a list of what has these fields; UnreachableError where something else answers."""
        answer = self.get(path, **query)
        if not isinstance(answer, list):
            raise self._foreign("its answer is no list")
        return [self._said(row, needs) for row in answer]

    def deliver(self, body: dict[str, Any]) -> None:
        """Deliver alerts as Alertmanager does; UnreachableError where something answers that does not say so."""
        answer = self._call("POST", "/webhook/alertmanager", body=body, root="")
        if not isinstance(answer, str) or not answer.startswith(_TAKEN):
            raise self._foreign("it does not say that it has taken the alert")

    def _said(self, answer: Any, needs: Iterable[str]) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise self._foreign("its answer lacks every field")
        if lacks := [name for name in needs if name not in answer]:
            raise self._foreign(f"its answer lacks {', '.join(lacks)}")
        return _Answer(answer, self._foreign)

    def _foreign(self, why: str) -> UnreachableError:
        return UnreachableError(f"what answers at {self.shown} is no receiver: {why}; is --url right?")

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        root: str = "/api/v1",
    ) -> Any:
        try:
            response, content = self._exchange(method, root + path + (f"?{urlencode(query)}" if query else ""), body)
            # A proxy's page is HTML too; only ours bears the header.
            media = _TEXT if OURS in response.headers else response.headers.get_content_type()
            status, answer = response.status, _answer(response.status, media, content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error).strip() or type(error).__name__
            raise UnreachableError(f"the receiver at {self.shown} gave no answer: {reason}; is --url right?") from error
        # It may pass: whoever keeps things for later keeps this.
        if status >= 500:
            raise UnreachableError(f"the receiver at {self.shown} cannot answer now ({status}): {answer}")
        if status >= 400:
            raise RefusedError(f"refused ({status}): {str(answer).strip()}", status, str(answer).strip())
        return answer

    def _exchange(
        self, method: str, target: str, body: dict[str, Any] | None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request and its whole answer; OSError, HTTPException or ValueError where there is none."""
        server = _server(self.url)
        kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
        connection = kind(server.hostname or "", server.port, timeout=_SECONDS)
        headers = {"Accept": "*/*", **self._authorization()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        path = quote(server.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        try:
            connection.connect()
            with _at_most(_SECONDS, connection.sock):
                connection.request(method, path + target, None if body is None else json.dumps(body), headers)
                # Where the server closes, the socket is the response's own, and the connection leaves it open.
                with connection.getresponse() as response:
                    return response, _read_direct(response)
        except TimeoutError as error:
            # The socket's own limit may come first, by a hair, or while it connects.
            raise TimeoutError(f"not within {_SECONDS:g} s") from error
        finally:
            connection.close()

    def _authorization(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        server = urlsplit(self.url)
        if server.username is None:
            return {}
        pair = f"{unquote(server.username)}:{unquote(server.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class _Answer(dict[str, Any]):
    """An object that a receiver answered; one without a field that is looked for is somebody else's."""

    def __init__(self, said: dict[str, Any], foreign: Callable[[str], UnreachableError]) -> None:
        super().__init__(said)
        self._foreign = foreign

    def __missing__(self, name: str) -> NoReturn:
        """Say that the field is not there. Raises UnreachableError."""
        raise self._foreign(f"its answer lacks {name}")


def shown(url: str) -> str:
    """A URL without the name and password in it, and in one line."""
    scheme, sign, rest = url.partition("//")
    return repr(scheme + sign + rest.rpartition("@")[2])[1:-1]


def _server(url: str) -> SplitResult:
    """The URL's parts. Raises ValueError, which repeats nothing of it: there may be a password."""
    try:
        server = urlsplit(url)
        if server.scheme in {"http", "https"} and server.hostname and server.port != 0:
            return server
    except ValueError:
        pass
    raise ValueError("it is no URL of a server, such as http://127.0.0.1:9872")


@contextmanager
def _at_most(seconds: float, sock: socket.socket) -> Iterator[None]:
    """End what waits for the socket after so many seconds, however little comes at a time; TimeoutError then."""
    late = threading.Event()

    def end() -> None:
        late.set()
        # The plain socket's own: TLS would wait for the other side to say goodbye.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    # What was cut off may look like an answer that ends where the connection does.
    if late.is_set():
        raise TimeoutError(f"not within {seconds:g} s")


def _read_direct(response: http.client.HTTPResponse) -> bytes:
    """The whole body. Raises ValueError for a redirect, which is not followed, and for what is too large or cut off."""
    if 300 <= response.status < 400:
        from deploywatch.secrets import redact_url  # noqa: PLC0415 - its types are pydantic's, which take long to import

        where = redact_url(response.headers.get("Location", "nowhere"))[:_SHOWN]
        raise ValueError(f"it redirects ({response.status}) to {where} and is not followed: write the address itself")
    content = bytearray()
    while chunk := response.read(_CHUNK):
        content += chunk
        if len(content) > _ANSWER_LIMIT:
            raise ValueError(f"the answer is larger than {_ANSWER_LIMIT} bytes")
    # `read` with a size says nothing of a body that is shorter than the headers say.
    if response.length:
        raise ValueError(f"the answer was cut off, {response.length} bytes before its end")
    return bytes(content)


def _answer(status: int, media: str, content: bytes) -> Any:
    """The JSON or the text; ValueError for what a server before the receiver has said."""
    if media == "application/json" and status < 400:
        return json_text.parse(content)
    # A receiver says no in plain text.
    if media != _TEXT and (status < 400 or media in ("text/html", "application/json")):
        raise ValueError(f"HTTP {status} with {media} is no answer of a receiver's, but of something before it")
    return content.decode("utf-8", "replace")
