"""`deploywatch rules explain`: an alert's queries, with today's values."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import click

from deploywatch.config import nearest
from deploywatch.rules.links import runbook_name
from deploywatch.rules.live import asking
from deploywatch.rules.live.explanation import explain as lines_of
from deploywatch.rules.loading import load
from deploywatch.rules.outputs import bucket_alerts, self_alert_list
from deploywatch.rules.outputs.self_alert_list import NAME
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.terminal import say


@click.command()
@click.argument("policy", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("alert")
@click.option("--raw", is_flag=True, help="Show each query on raw series in full, however long it is.")
@asking.options(required=False)
def explain(policy: Path, alert: str, url: str | None, token_file: Path | None, raw: bool) -> None:
    """Say what an alert of a policy asks: each comparison's query and, with --prometheus, its values now."""
    resolved = resolve(load(policy))
    named = {alert.given.alert: alert for alert in resolved.alerts}
    if alert not in named:
        raise click.UsageError(_no_such(policy, resolved, alert, named))
    asyncio.run(_explain(resolved, named[alert], url, token_file, raw=raw))


def _no_such(path: Path, policy: ResolvedPolicy, alert: str, named: Collection[str]) -> str:
    """What is wrong with the alert's name; what is built beside every policy has a page that explains it."""
    if alert == bucket_alerts.ALERT and bucket_alerts.needed(policy):
        page = runbook_name(policy.given, alert)
        return f"{alert} is built beside the policy's own alerts; runbooks/{page} explains it"
    if alert in {own.name for own in self_alert_list.alerts([policy.given])}:
        return f"{alert} is about deploywatch itself, in every build; runbooks/{NAME}.md explains it"
    return f"{path} has no alert {alert!r}{nearest(alert, named)}"


async def _explain(
    policy: ResolvedPolicy, alert: ResolvedAlert, url: str | None, token_file: Path | None, *, raw: bool
) -> None:
    if url is None:
        async for line in lines_of(None, policy, alert, raw=raw):
            say(line)
        return
    async with asking.connected(url, token_file) as prometheus:
        async for line in lines_of(prometheus, policy, alert, raw=raw):
            say(line)
