"""`deploywatch rules init`: a first policy from what a live Prometheus has."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import click

from deploywatch.errors import DeploywatchError
from deploywatch.rules.language.fields import LONGEST_NAME
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
    text = asyncio.run(_drafted(url, token_file, name, webhook_url))
    # Loaded once before it is shown: a draft that does not load would be a poor beginning.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yml"
        path.write_text(text, encoding="utf-8")
        load(path, variables={})
    if out is None:
        say(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeploywatchError(f"cannot write {out}: {error.strerror}") from error
    say(f"{out}: read it, then: deploywatch rules check {out} --prometheus {url}")


async def _drafted(url: str, token_file: Path | None, name: str | None, webhook_url: str) -> str:
    async with asking.connected(url, token_file) as prometheus:
        seen = await survey(prometheus)
        now = await drafting.today(prometheus, seen)
    # A policy's name begins with a letter and has no capitals; services are called as they please.
    own = re.sub(r"[^a-z0-9-]+", "-", (name or seen.services[0]).lower()).strip("-")[:LONGEST_NAME]
    return drafting.draft(seen, now, name=own if own[:1].isalpha() else f"p-{own}"[:LONGEST_NAME], url=webhook_url)
