"""`deploywatch rules explain`: an alert's queries, with today's values."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploywatch.config import nearest
from deploywatch.rules.live import asking
from deploywatch.rules.live.explanation import explain as lines_of
from deploywatch.rules.loading import load
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.terminal import say


@click.command()
@click.argument("policy", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("alert")
@asking.options(required=False)
def explain(policy: Path, alert: str, url: str | None, token_file: Path | None) -> None:
    """Say what an alert of a policy asks: each comparison's query and, with --prometheus, its values now."""
    resolved = resolve(load(policy))
    named = {alert.given.alert: alert for alert in resolved.alerts}
    if alert not in named:
        raise click.UsageError(f"{policy} has no alert {alert!r}{nearest(alert, named)}")
    asyncio.run(_explain(resolved, named[alert], url, token_file))


async def _explain(policy: ResolvedPolicy, alert: ResolvedAlert, url: str | None, token_file: Path | None) -> None:
    if url is None:
        async for line in lines_of(None, policy, alert):
            say(line)
        return
    async with asking.connected(url, token_file) as prometheus:
        async for line in lines_of(prometheus, policy, alert):
            say(line)
