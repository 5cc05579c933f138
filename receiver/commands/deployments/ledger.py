"""Deployments from the command line: for pipelines that start and finish them, and for people who look."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.deployments import gate, importing, telling
from deploywatch.receiver.commands.deployments.spool import default_folder
from deploywatch.receiver.commands.deployments.telling import Reference
from deploywatch.receiver.commands.lazy import LazyGroup
from deploywatch.receiver.commands.shared import (
    FORMAT,
    by,
    echo,
    given,
    note,
    pass_client,
    printed,
    show_rows,
    url,
    user_name,
)
from deploywatch.terminal import say

# These two need libraries that take longer to load than `start` takes to run in a pipeline.
_LATER = {
    "slot-swap": (
        "deploywatch.receiver.commands.deployments.slot_swap",
        "slot_swap",
        "Deploy a version to a slot as PLAN says, prove it there, swap it into production, and watch it.",
    ),
    "delivery": (
        "deploywatch.receiver.commands.deployments.delivery",
        "delivery",
        "Measure delivery: DORA's five, and the mean time to recovery. A — is for fewer than five.",
    ),
}


@click.group(cls=LazyGroup, later=_LATER)
@url
@click.pass_context
def deployments(context: click.Context, url: str, token: str | None) -> None:
    """Tell the receiver that a deployment started or finished; list them."""
    context.obj = Client(url, token)


for _command in (*gate.COMMANDS, importing.import_records):
    deployments.add_command(_command)


class _Moment(click.DateTime):
    """A time with its zone; one that is empty counts as not given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The time; None, said on standard error, for `$(git log …)` that gave nothing: it fails no deployment."""
        if isinstance(value, str) and not value.strip():
            telling.warn([f"{param.opts[0] if param else 'a time'} is empty, and counts as not given"])
            return None
        return super().convert(value, param, ctx)


_MOMENT = _Moment(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"])
_STRICT = click.option(
    "--strict", is_flag=True, help="End with 1 or 2 when the receiver cannot be told; else it is kept, and sent later."
)
_SPOOL = click.option(
    "--spool",
    envvar="DEPLOYWATCH_SPOOL",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_folder,
    help="Where what could not be told is kept (DEPLOYWATCH_SPOOL); a folder of the user's when not given.",
)
_TIMESTAMP = click.option(
    "--timestamp", type=_MOMENT, help="When it happened, such as 2026-11-27T22:00:00Z; now when not given."
)


@deployments.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@click.option("--version", required=True)
@click.option("--previous-version", help="What ran before; the last that succeeded when not given.")
@click.option("--deployer", default=user_name, help="Who deploys; the user's name when not given.")
@click.option("--strategy", default="", help="Such as rolling, canary or blue-green.")
@click.option("--port", "ports", type=int, multiple=True, help="A port that it binds; may be given several times.")
@click.option("--artifact", default="", help="What is deployed, such as an image with its digest.")
@click.option("--commit-time", type=_MOMENT, help="When the newest change in it was committed.")
@click.option("--fixes", type=click.IntRange(1), help="The number of the incident that it is meant to end.")
@_TIMESTAMP
@_STRICT
@_SPOOL
@pass_client
def start(
    client: Client,
    /,
    *,
    ports: tuple[int, ...],
    previous_version: str | None,
    commit_time: datetime | None,
    fixes: int | None,
    timestamp: datetime | None,
    strict: bool,
    spool: Path,
    **fields: str,
) -> None:
    """Say that a deployment starts; prints what `finish` takes. Never fails the deployment, unless --strict."""
    moment = telling.timestamp(timestamp)
    body = {
        **{name: value for name, value in fields.items() if value},
        "ports": list(ports),
        "timestamp": moment,
        **({"previous_version": previous_version} if previous_version else {}),
        **({"commit_time": telling.timestamp(commit_time)} if commit_time else {}),
        **({"fixes": fixes} if fixes else {}),
    }
    answer = telling.tell(client, spool, "POST", telling.PATH, body, strict=strict)
    telling.warn_of(answer)
    # What is printed has to end the deployment even if the receiver was away and no number is known.
    reference = Reference(fields["service"], fields["environment"], fields["version"], moment)
    echo(answer["id"] if answer else reference)


@deployments.command()
@click.argument("deployment")
@click.option("--status", type=click.Choice(["success", "failure"]), required=True)
@_TIMESTAMP
@_STRICT
@_SPOOL
@pass_client
def finish(
    client: Client, deployment: str, status: str, *, timestamp: datetime | None, strict: bool, spool: Path
) -> None:
    """Say how a deployment ended; DEPLOYMENT is what `start` printed. Never fails it, unless --strict."""
    moment = telling.timestamp(timestamp)
    # A number is of a receiver that answered `start`; anything else names the deployment by itself.
    if deployment.isdigit():
        method, path, body = "PATCH", f"{telling.PATH}/{deployment}", {"status": status, "timestamp": moment}
    else:
        try:
            reference = Reference.read(deployment)
        except ValueError as error:
            if strict:
                raise click.UsageError(str(error)) from error
            # A typing error here must not fail a deployment that is through.
            telling.warn([f"{error}; the receiver does not know how it ended"])
            return
        method, path, body = "POST", telling.PATH, reference.ended(status, datetime.fromisoformat(moment))
    answer = telling.tell(client, spool, method, path, body, strict=strict)
    if answer:
        echo(f"deployment {answer['id']} of {answer['service']} {answer['version']}: {answer['status']}")


@deployments.command()
@click.argument("deployment", type=int)
@click.argument("name")
@click.option("--force", is_flag=True, help="Although the stage before it was not promoted.")
@pass_client
def stage(client: Client, deployment: int, name: str, *, force: bool) -> None:
    """Begin a stage of the deployment's verification plan: it is watched from now on, and the one before it ends."""
    begun = client.post(f"/deployments/{deployment}/stages", {"stage": name, "force": force})
    from deploywatch.receiver.commands.deployments import watch_table  # noqa: PLC0415 - only commands of stages need it

    lasts = watch_table.lasting(begun["lasts_seconds"])
    echo(
        f"stage {begun['stage']} of deployment {deployment}: {begun['share']:.0%} of the traffic, for at least {lasts}"
    )


@deployments.command()
@click.argument("deployment", type=int)
@click.option("--stage", help="The stage to watch; the newest when not given.")
@click.option("--every", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--patience", type=click.FloatRange(0), default=300.0, show_default=True, help="Seconds of errors.")
@click.option("--timeout", type=click.FloatRange(0), default=0.0, help="Seconds to wait at most; else the stage's end.")
@click.option("--wait", help="While it holds for a person, wait for their word so long, such as 2h.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "junit"]),
    default="table",
    show_default=True,
    help="How to print.",
)
@pass_client
def watch(
    client: Client,
    deployment: int,
    *,
    stage: str | None,
    every: float,
    patience: float,
    timeout: float,
    wait: str | None,
    form: str,
) -> None:
    """Follow a stage to its verdict; ends with 0 promote, 1 roll back, 2 usage, 3 hold, 4 error.

    It only judges: what rolls back is the receiver, with its brakes.
    """
    from deploywatch.receiver.commands.deployments import watching  # noqa: PLC0415 - only this command draws a live table

    person = gate.seconds(wait)
    patient = watching.Patience(every, patience, timeout, person)
    followed = watching.Watch(client, deployment, stage, patient)
    sys.exit(watching.follow(followed, form))


@deployments.command("accept-hold")
@click.argument("deployment", type=int)
@click.option("--why", required=True, help="Why the deployment may go on.")
@by()
@pass_client
def accept_hold(client: Client, deployment: int, *, why: str, by: str) -> None:
    """Let a deployment go on although its stage holds, and say why."""
    accepted = client.post(f"/deployments/{deployment}/accept", {"by": by, "why": why})
    echo(f"stage {accepted['stage']} of deployment {deployment}: accepted by {accepted['accepted_by']}")


@deployments.command()
@click.argument("deployment", type=int)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "html", "json"]),
    default="markdown",
    show_default=True,
    help="How to write it.",
)
@click.option("--performance", is_flag=True, help="Compare the service's signals over days, before and after.")
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How many, with --performance.")
@pass_client
def report(client: Client, deployment: int, *, form: str, performance: bool, days: int) -> None:
    """Write the report on a deployment: the verdict with its numbers, its health, what to do, what was not measured.

    With --performance, how the service performed in the days after it, against the same hours before it.
    """
    if performance:
        if form == "html":
            raise click.UsageError("--performance is written as markdown or json")
        compared = client.get(f"/deployments/{deployment}/performance", format=form, days=str(days))
        say(json.dumps(compared, indent=2) if form == "json" else printed(compared).rstrip("\n"))
        return
    written = client.get(f"/deployments/{deployment}/report", format=form)
    say(json.dumps(written, indent=2) if form == "json" else printed(written).rstrip("\n"))


@deployments.command()
@_SPOOL
@click.option("--kept-for", metavar="URL", help="Send what was kept for this URL, which was wrong.")
@pass_client
def send(client: Client, spool: Path, kept_for: str | None) -> None:
    """Send what could not be told before; ends with 1 while something is left."""
    try:
        taken, left = telling.send_kept(client, spool, kept_for)
    except OSError as error:
        raise click.UsageError(f"--spool {spool}: {error.strerror}") from error
    echo(f"{taken} sent, {left} left")
    if left:
        sys.exit(1)


@deployments.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@by()
@note("What was mended.")
@pass_client
def allow(client: Client, /, **fields: str) -> None:
    """Let a service be rolled back again, whose last rollbacks failed."""
    client.post("/rollbacks/allow", fields)
    echo(f"{fields['service']} in {fields['environment']} may be rolled back again")


@deployments.command("list")
@click.option("--service")
@click.option("--environment")
@FORMAT
@pass_client
def list_deployments(client: Client, service: str | None, environment: str | None, form: str) -> None:
    """List deployments, the newest first."""
    columns = ("id", "service", "environment", "version", "previous_version", "status", "deployer", "timestamp")
    rows = client.rows("/deployments", needs=columns, **given(service=service, environment=environment))
    show_rows(rows, columns, form, empty="no deployments")
