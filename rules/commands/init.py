"""`deploywatch rules init`: a first policy from what a live Prometheus has."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from deploywatch.errors import DeploywatchError
from deploywatch.rules.language.fields import LONGEST_NAME, PolicyName, Url
from deploywatch.rules.live import asking, drafting
from deploywatch.rules.live.survey import survey
from deploywatch.rules.loading import load
from deploywatch.terminal import say

RECEIVER = "http://deploywatch:9872/webhook/alertmanager"


@click.command()
@asking.options(required=True)
@click.option("--name", help="The policy's name; that of its first service, when not given.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it here, where nothing is yet.")
@click.option("--webhook-url", default=RECEIVER, show_default=True, help="Where the receiver takes alerts.")
def init(url: str, token_file: Path | None, name: str | None, out: Path | None, webhook_url: str) -> None:
    """Draft a policy from what a Prometheus has: its series, labels, buckets and services, and limits with room.

    What is drafted loads and builds. Read it: a machine does not know what you promised to your users.
    """
    if out is not None and out.exists():
        raise click.UsageError(f"{out} is there already; give another --out")
    _held("--webhook-url", Url, webhook_url)
    if name is not None:
        _held("--name", PolicyName, name)
    text = asyncio.run(_drafted(url, token_file, name, webhook_url))
    _require_loadable(text)
    if out is None:
        say(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeploywatchError(f"cannot write {out}: {error.strerror}") from error
    say(f"{out}: read it, then: deploywatch rules check {out} --prometheus {url}")


def _held(option: str, kind: Any, value: str) -> None:
    """Refuse a value that the policy would be refused for, while it can still be said where it stands."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"{option}: {message}") from error


def _require_loadable(text: str) -> None:
    """Load it once before it is shown: a draft that does not load would be a poor beginning."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yml"
        path.write_text(text, encoding="utf-8")
        load(path, variables={})


async def _drafted(url: str, token_file: Path | None, name: str | None, webhook_url: str) -> str:
    async with asking.connected(url, token_file) as prometheus:
        seen = await survey(prometheus)
        now = await drafting.today(prometheus, seen)
    return drafting.draft(seen, now, name=name or _name_of(seen.services[0]), url=webhook_url)


def _name_of(service: str) -> str:
    """A policy's name begins with a letter and has no capitals; services are called as they please."""
    own = re.sub(r"[^a-z0-9-]+", "-", service.lower()).strip("-")[:LONGEST_NAME]
    return own if own[:1].isalpha() else f"service-{own}".strip("-")[:LONGEST_NAME]
