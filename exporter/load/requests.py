"""What a load test asks: one URL, or a file of weighted requests."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Annotated, Final
from urllib.parse import urlsplit

import click
from pydantic import AfterValidator, Field

from deploywatch import config
from deploywatch.config import Settings
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.targets import targets

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of a header. Source: RFC 9110, 5.6.2."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is no URL to load; write http://host/path or https://host/path")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} has no good port: {error}") from error
    return text


def _header(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header; write letters, digits and -")
        if _CONTROL.search(value):
            raise ValueError(f"{name}: a header's value has no line ends and no control characters")
    return headers


class Request(Settings):
    """One request, sent with a probability of its weight among all weights."""

    url: Annotated[str, AfterValidator(_url)]
    method: str = Field(default="GET", pattern="^[A-Z]+$")
    headers: Annotated[dict[str, str], AfterValidator(_header)] = Field(default_factory=dict)
    body: str | None = None
    weight: float = Field(default=1.0, gt=0)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        # Spelled out: http://a and http://a:80 are one server.
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        return f"{parts.scheme}://{parts.hostname}:{port}"


class RequestFile(Settings):
    """The file of `--requests`."""

    requests: tuple[Request, ...] = Field(min_length=1, max_length=1000)


def load(path: Path) -> tuple[Request, ...]:
    """Read a file of requests; ConfigError carries every fault."""
    return config.load(path, RequestFile).requests


class Mix:
    """Requests in the proportion of their weights; the same seed gives the same order."""

    def __init__(self, requests: tuple[Request, ...], seed: int = 0) -> None:
        self._requests = requests
        self._weights = [request.weight for request in requests]
        # The same order in each run, so that two runs can be compared.
        self._random = Random(seed)  # noqa: S311 - an order, no secret

    def next(self) -> Request:
        """The next one."""
        return self._random.choices(self._requests, self._weights)[0]


def refuse_strangers(requests: tuple[Request, ...], settings: ExporterSettings | None) -> None:
    """click.UsageError for an origin that no probe of the config asks: load on a stranger's server is an attack."""
    known: set[str] = set()
    for target in targets(settings) if settings else ():
        parts = urlsplit(target.shown)
        if parts.scheme in {"http", "https"} and parts.hostname:
            known.add(Request(url=target.shown).origin)
    strangers = sorted({request.origin for request in requests} - known)
    if strangers:
        where = "no probe of the config asks" if settings else "without --config.file nothing is known of"
        raise click.UsageError(f"{where} {', '.join(strangers)}; give --yes if it is yours to load")
