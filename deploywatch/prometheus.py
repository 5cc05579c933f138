"""A thin client of Prometheus's HTTP API: queries, what they cost, labels, types, alerts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploywatch import json_text, responses
from deploywatch.errors import UnreachableError
from deploywatch.secrets import redact_url
from deploywatch.terminal import brief


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a range query's answer; each sample is a Unix time in seconds and a value."""

    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one evaluation of an expression took: seconds of the engine, and samples that it read.

    `samples` is None where the server does not say, as before Prometheus 2.35.
    """

    seconds: float
    samples: int | None


# A fortnight of thousands of series, which `rules check` asks for; beyond it the machine is at risk.
_ANSWER_LIMIT = 256 * 1024**2
_REMARK = "PromQL info:"
"""What the engine says of an expression, such as that a name is none of a counter; the answer is whole. Where it warns,
as of floats mixed with histograms, it has left series out."""
# A partial answer may bring a warning for each of many stores; a reason of this length says enough.
_SHOWN = 300
_READ, _BEGINNING = 16_384, 80
"""Bytes of a page that are looked at, and characters of its text that are shown."""
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_STATUSES = {
    401: "401 Unauthorized: a password or a bearer token is missing, or wrong",
    403: "403 Forbidden: these credentials may not ask this",
    404: "404 Not Found: below another path, perhaps, such as https://host/prometheus",
}
_LONG = 4000
"""An expression of more characters is posted: a URL may be cut or refused on its way."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asks one server; every method raises UnreachableError when it gives no good answer, or one of `most` bytes."""

    url: str
    session: aiohttp.ClientSession
    most: int = _ANSWER_LIMIT

    async def query(self, expression: str, *, at: float | None = None, whole: bool = False) -> list[Series]:
        """Evaluate an expression now, or at a Unix time; a vector, or a scalar as one series without labels.

        Where the answer must be `whole`, a warning that it is not counts as none: Thanos warns of a store that is away,
        Prometheus of a remote one.
        """
        asked = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        data = await self._get("/api/v1/query", asked, whole=whole)
        with self._understood("/api/v1/query"):
            kind = data["resultType"]
            # `vector(1)` is a vector and `1` a scalar, and policies may say either.
            if kind == "scalar":
                return [Series({}, float(data["result"][1]))]
            # A native histogram has `histogram` and no `value`.
            if kind != "vector" or not all("value" in item for item in data["result"]):
                kind_given = "histograms" if kind == "vector" else f"a {_short(kind)}"
                raise UnreachableError(f"{self._name} gave {kind_given} and not numbers for the query {expression!r}")
            return [Series(_labels(item["metric"]), float(item["value"][1])) for item in data["result"]]

    async def query_range(
        self, expression: str, *, start: float, end: float, step: float, whole: bool = False
    ) -> list[Line]:
        """Evaluate an expression at each `step` seconds from `start` to `end`, both Unix times; `whole` as above."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = await self._get("/api/v1/query_range", {"query": expression, **times}, whole=whole)
        with self._understood("/api/v1/query_range"):
            if data["resultType"] != "matrix":
                kind = _short(data["resultType"])
                raise UnreachableError(f"{self._name} gave a {kind} and not a matrix for {expression!r}")
            return [
                Line(_labels(item["metric"]), tuple((float(at), float(value)) for at, value in item.get("values", ())))
                for item in data["result"]
            ]

    async def cost(self, expression: str) -> Cost:
        """Evaluate an expression now, for what that takes; by the server's own clock where it tells."""
        begun = time.monotonic()
        data = await self._get("/api/v1/query", {"query": expression, "stats": "all"})
        with self._understood("/api/v1/query"):
            took, stats = time.monotonic() - begun, data.get("stats") or {}
            seconds = stats.get("timings", {}).get("execTotalTime", took)
            return Cost(float(seconds), stats.get("samples", {}).get("totalQueryableSamples"))

    async def label_values(self, label: str, *, of: str = "", start: float | None = None) -> list[str]:
        """The values of a label, sorted; of the series that the selector `of` matches, and seen since `start`."""
        about = ({"match[]": of} if of else {}) | ({} if start is None else {"start": f"{start:.3f}"})
        values = await self._get(f"/api/v1/label/{label}/values", about)
        with self._understood("/api/v1/label/…/values"):
            return sorted(map(str, _list(values)))

    async def metadata(self, metric: str = "") -> dict[str, set[str]]:
        """The types that targets declare for each metric, or for one: counter, gauge, histogram, summary …"""
        answer = await self._get("/api/v1/metadata", {"metric": metric} if metric else {})
        with self._understood("/api/v1/metadata"):
            return {name: {str(entry.get("type", "unknown")) for entry in entries} for name, entries in answer.items()}

    async def version(self) -> str:
        """Its version, such as `2.42.0`; nothing where it does not tell, or says that it is another application."""
        build = await self._get("/api/v1/status/buildinfo", {})
        return str(build.get("version", "")) if isinstance(build, dict) and "application" not in build else ""

    async def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts, as the API gives them, each with labels, a state and since when."""
        answer = await self._get("/api/v1/alerts", {})
        with self._understood("/api/v1/alerts"):
            return [{**alert, **_state(alert)} for alert in _list(answer["alerts"])]

    @property
    def _name(self) -> str:
        return f"Prometheus at {redact_url(self.url)}"

    async def _get(self, path: str, parameters: dict[str, str], *, whole: bool = False) -> Any:
        # GET where it fits: proxies cache it, and some in front of Prometheus allow nothing else.
        method, where = ("POST", "data") if len(parameters.get("query", "")) > _LONG else ("GET", "params")
        given: dict[str, Any] = {where: parameters}
        try:
            address = f"{self.url.rstrip('/')}{path}"
            # A proxy that asks people to sign in redirects to a page with 200, which would pass for an answer.
            async with self.session.request(method, address, allow_redirects=False, **given) as response:
                body = await responses.read_direct(response, self.most)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # An invalid URL repeats itself in its error, with its credentials.
            reason = "" if isinstance(error, aiohttp.InvalidURL) else str(error)
            raise UnreachableError(f"{self._name} did not answer {path}: {reason or type(error).__name__}") from error
        try:
            answer = json_text.parse(body)
        except ValueError as error:
            raise UnreachableError(f"{self._name} did not answer {path}: {_instead(response, body, error)}") from error
        # Not by the HTTP status: Prometheus gives its reason in a body with 400 and 422.
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error", answer) if isinstance(answer, dict) else answer
            more = "" if response.ok else f"{_STATUSES.get(response.status, str(response.status))}: "
            raise UnreachableError(f"{self._name} refused {path}: {more}{_short(reason)}")
        if whole and (partial := _partial(answer.get("warnings"))):
            raise UnreachableError(f"{self._name} gave a partial answer: {_short(partial)}")
        return answer.get("data")

    @contextmanager
    def _understood(self, path: str) -> Iterator[None]:
        """Of an answer that is JSON, and not as Prometheus documents it, the one error is made too."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UnreachableError(
                f"{self._name} did not answer {path} as Prometheus does ({_short(repr(error))}); is it one?"
            ) from error


def _short(said: object) -> str:
    """What the server said, on one line, for people."""
    return brief(str(said), _SHOWN)


def _partial(warnings: Any) -> str:
    """What the server warns of, but for remarks on an expression; a warning of another kind counts too."""
    given = warnings if isinstance(warnings, list) else [warnings] if warnings else []
    return "; ".join(str(text) for text in given if not str(text).startswith(_REMARK))


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("labels are no texts")
    return value


def _state(alert: Any) -> dict[str, Any]:
    return {"labels": _labels(alert["labels"]), "state": str(alert["state"]), "activeAt": str(alert["activeAt"])}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} is no list")
    return value


def _instead(response: aiohttp.ClientResponse, body: bytes, error: ValueError) -> str:
    """What came instead of JSON, and what to do about it."""
    begins = " ".join(_MARKUP.sub(" ", body[:_READ].decode(errors="replace")).split())[:_BEGINNING]
    shown = f"; it says {begins!r}" if begins else ""
    if response.status in _STATUSES:
        return _STATUSES[response.status] + shown
    page = "html" in response.content_type
    wrong = "" if page or body.lstrip()[:1] not in (b"{", b"[") else f" ({error})"
    what = "with a page and no JSON, as a proxy or a sign-in gives" if page else f"with what is no JSON{wrong}"
    return f"{response.status} {what}{shown}"
