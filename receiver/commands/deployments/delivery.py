"""`deployments delivery`: DORA's five measures and the mean time to recovery, for people and for tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploywatch.plurals import number_of
from deploywatch.quantity import format_duration
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.shared import FORMAT, echo, given, pass_client
from deploywatch.receiver.rendering.text import line
from deploywatch.terminal import say

_SHOWN: Final = (
    ("change lead time", "change_lead_time_seconds", "lasting"),
    ("deployment frequency", "deployment_frequency_per_day", "often"),
    ("failed deployment recovery time", "failed_deployment_recovery_time_seconds", "lasting"),
    ("change fail rate", "change_fail_rate", "percent"),
    ("deployment rework rate", "deployment_rework_rate", "percent"),
    ("mean time to recovery", "mean_time_to_recovery_seconds", "lasting"),
    ("deployment success rate", "success_rate", "percent"),
)


@click.command()
@click.option("--over", default="90d", show_default=True, help="How far back, such as 30d.")
@click.option("--service")
@click.option("--environment")
@FORMAT
@pass_client
def delivery(client: Client, /, *, over: str, service: str | None, environment: str | None, form: str) -> None:
    """Measure delivery: DORA's five, and the mean time to recovery. A — is for fewer than five."""
    answer = client.known(
        "/delivery", needs=("targets", "notes"), over=over, **given(service=service, environment=environment)
    )
    if form == "json":
        say(json.dumps(answer, indent=2))
        return
    if not answer["targets"]:
        say(f"no deployments in the last {over}")
    for target in answer["targets"]:
        _show(target)
    for text in answer["notes"]:
        echo(text)


def _show(target: Mapping[str, Any]) -> None:
    days = "1 day" if target["days"] == 1 else f"{target['days']:g} days"
    over_now = number_of(target["deployments"], "deployment that is over", "deployments that are over")
    running = f", {target['running']} running" if target["running"] else ""
    echo(
        f"{target['service']} in {target['environment']}, over {days}: "
        f"{over_now}{running}, {number_of(target['rollbacks'], 'rollback')}"
    )
    rows = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for title, name, unit in _SHOWN:
        measure = target[name]
        rows.add_row(
            f"  {title}", Text(_value(measure["value"], unit)), Text(line(f"of {measure['n']} {measure['of']}", 60))
        )
    # In a pipeline rich would take 80 columns and break lines that a log could hold.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(rows)
    for failed in target["failed"][-5:]:
        over = f"over at {failed['recovered'][:16]}" if failed["recovered"] else "not over"
        echo(f"  failed: {line(failed['version'], 60)} at {failed['since'][:16]}: {failed['why']}, {over}")
    if len(target["failed"]) > 5:
        say(f"  and {len(target['failed']) - 5} failed before; --format json has them all")
    for text in target["notes"]:
        echo(f"  {text}")


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "—"
    if unit == "percent":
        return f"{value:.1%}"
    if unit == "often":
        return f"{value:.1f} a day" if value >= 1 else f"{value * 7:.1f} a week"
    return format_duration(timedelta(seconds=int(value)))
