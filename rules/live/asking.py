"""A Prometheus to ask, from what a command line says: its URL, and a bearer token from a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click
from yarl import URL

from deploywatch.errors import DeploywatchError, UnreachableError
from deploywatch.prometheus import Prometheus

F = TypeVar("F", bound=Callable[..., Any])

TIMEOUT = 120
"""Seconds for one query: over a week it may take a while."""

CANNOT_TELL = 4
"""The exit code where the server did not tell."""


def options(*, required: bool) -> Callable[[F], F]:
    """`--prometheus` and `--prometheus-token-file`."""
    url = click.option(
        "--prometheus", "url", metavar="URL", required=required, callback=_http, help="The Prometheus that is asked."
    )
    token = click.option(
        "--prometheus-token-file",
        "token_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A bearer token for it.",
    )
    return lambda command: url(token(command))


def _http(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """What is no URL would be taken for a server that is away."""
    try:
        parsed = None if url is None else URL(url)
    except ValueError as error:
        raise click.BadParameter(f"{url!r} is no URL: {error}") from error
    if parsed is not None and (parsed.scheme not in {"http", "https"} or not parsed.host):
        raise click.BadParameter(f"{url!r} is no server's URL; write its scheme too, such as http://prometheus:9090")
    return url


class CannotTellError(UnreachableError):
    """A command's answer is not known, since the server that was asked did not give it."""

    exit_code = CANNOT_TELL


@asynccontextmanager
async def connected(url: str, token_file: Path | None) -> AsyncIterator[Prometheus]:
    """A client of this server. Raises CannotTellError where what is asked within is not answered."""
    headers = {} if token_file is None else {"Authorization": f"Bearer {_token(token_file)}"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        try:
            yield Prometheus(url, session)
        except UnreachableError as error:
            raise CannotTellError(str(error)) from error


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DeploywatchError(f"cannot read {path}: {error}") from error
