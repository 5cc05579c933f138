"""The commands of the receiver's part: run it, and talk to one that runs."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from deploywatch import logs, options
from deploywatch.conventions import RECEIVER_PORT
from deploywatch.errors import DeploywatchError
from receiver.client import Client
from receiver.clock import utc_now
from receiver.messages import Event

_PASS = click.make_pass_decorator(Client)
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def _url(command: Any) -> Any:
    url = click.option(
        "--url",
        envvar="DEPLOYWATCH_URL",
        default=f"http://127.0.0.1:{RECEIVER_PORT}",
        show_default=True,
        help="Where the receiver is (DEPLOYWATCH_URL); a token is taken from DEPLOYWATCH_TOKEN.",
    )
    token = click.option("--token", envvar="DEPLOYWATCH_TOKEN", hidden=True)
    return url(token(command))


@click.command()
@options.server(RECEIVER_PORT)
def receiver(
    *,
    config_file: Path,
    config_check: bool,
    listen: str,
    web_config: Path | None,
    log_format: str,
    log_level: str,
) -> None:
    """Take Alertmanager's webhook and run the incident."""
    from receiver import app, config  # noqa: PLC0415 - the servers' libraries load only for the server
    from receiver.rendering import Templates  # noqa: PLC0415

    logs.configure(form=log_format, level=log_level)
    if config_check:
        settings = config.load(config_file)
        Templates(settings.templates)
        click.echo(f"{config_file}: good")
        return
    asyncio.run(app.run(config_file, listen, web_config))


@click.group()
@_url
@click.pass_context
def incidents(context: click.Context, url: str, token: str | None) -> None:
    """List, show, acknowledge and resolve incidents; print a post-mortem draft."""
    context.obj = Client(url, token)


@incidents.command("list")
@click.option("--open", "only_open", is_flag=True, help="Leave out the resolved.")
@_FORMAT
@_PASS
def list_incidents(client: Client, only_open: bool, form: str) -> None:
    """List incidents, the newest first."""
    found = client.get("/incidents", **({"status": "open"} if only_open else {}))
    columns = ("id", "status", "severity", "service", "environment", "title", "opened_at")
    _print(found, columns, form, empty="no incidents")


@incidents.command()
@click.argument("number", type=int)
@_FORMAT
@_PASS
def show(client: Client, number: int, form: str) -> None:
    """Show one incident with its timeline."""
    incident = client.get(f"/incidents/{number}")
    if form == "json":
        click.echo(json.dumps(incident, indent=2))
        return
    head = f"#{incident['id']} {incident['title']}: {incident['severity']}, {incident['status']}"
    click.echo(f"{head}, {incident['service']} in {incident['environment']}")
    for entry in incident["timeline"]:
        click.echo(f"  {entry['at'][11:19]}  {entry['kind']:<20} {entry['text']}  ({entry['actor']})")


@incidents.command()
@click.argument("number", type=int)
@click.option("--by", default=getpass.getuser, help="Who has it in hand; the user's name when not given.")
@click.option("--note", default="")
@_PASS
def acknowledge(client: Client, number: int, by: str, note: str) -> None:
    """Say that somebody has the incident in hand."""
    incident = client.post(f"/incidents/{number}/acknowledge", {"by": by, "note": note})
    click.echo(f"#{number} is {incident['status']}, by {incident['acknowledged_by']}")


@incidents.command()
@click.argument("number", type=int)
@click.option("--by", default=getpass.getuser, help="Who says so; the user's name when not given.")
@click.option("--note", default="", help="Why it is over.")
@_PASS
def resolve(client: Client, number: int, by: str, note: str) -> None:
    """End the incident."""
    incident = client.post(f"/incidents/{number}/resolve", {"by": by, "note": note})
    click.echo(f"#{number} is {incident['status']}, by {incident['resolved_by']}")


@incidents.command()
@click.argument("number", type=int)
@click.option("--by", default=getpass.getuser, help="Who says so; the user's name when not given.")
@click.option("--note", default="", help="Why.")
@_PASS
def approve(client: Client, number: int, by: str, note: str) -> None:
    """Say yes to the rollback that the incident waits for."""
    asked = client.post(f"/incidents/{number}/approve", {"by": by, "note": note})
    click.echo(f"#{number}: the rollback to {asked['to_version']} is {asked['state']}, by {asked['decided_by']}")


@incidents.command()
@click.argument("number", type=int)
@click.option("--by", default=getpass.getuser, help="Who says so; the user's name when not given.")
@click.option("--note", default="", help="Why.")
@_PASS
def reject(client: Client, number: int, by: str, note: str) -> None:
    """Say no to the rollback that the incident waits for."""
    asked = client.post(f"/incidents/{number}/reject", {"by": by, "note": note})
    click.echo(f"#{number}: the rollback to {asked['to_version']} is {asked['state']}, by {asked['decided_by']}")


@incidents.command()
@click.argument("number", type=int)
@_PASS
def postmortem(client: Client, number: int) -> None:
    """Print the draft of the review as Markdown."""
    click.echo(client.get(f"/incidents/{number}/postmortem"))


@click.group()
@_url
@click.pass_context
def deployments(context: click.Context, url: str, token: str | None) -> None:
    """Tell the receiver that a deployment started or finished; list them."""
    context.obj = Client(url, token)


@deployments.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@click.option("--version", required=True)
@click.option("--deployer", default=getpass.getuser, help="Who deploys; the user's name when not given.")
@click.option("--strategy", default="", help="Such as rolling, canary or blue-green.")
@click.option("--port", "ports", type=int, multiple=True, help="A port that it binds; may be given several times.")
@_PASS
def start(client: Client, /, ports: tuple[int, ...], **fields: str) -> None:
    """Say that a deployment starts; prints its number, which `finish` takes."""
    deployment = client.post("/deployments", {**fields, "ports": list(ports)})
    click.echo(deployment["id"])


@deployments.command()
@click.argument("number", type=int)
@click.option("--status", type=click.Choice(["success", "failure"]), required=True)
@_PASS
def finish(client: Client, number: int, status: str) -> None:
    """Say how a deployment ended."""
    deployment = client.patch(f"/deployments/{number}", {"status": status})
    click.echo(f"deployment {number} of {deployment['service']} {deployment['version']}: {deployment['status']}")


@deployments.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@click.option("--by", default=getpass.getuser, help="Who says so; the user's name when not given.")
@click.option("--note", default="", help="What was mended.")
@_PASS
def allow(client: Client, /, **fields: str) -> None:
    """Let a service be rolled back again, whose last rollbacks failed."""
    client.post("/rollbacks/allow", fields)
    click.echo(f"{fields['service']} in {fields['environment']} may be rolled back again")


@deployments.command("list")
@click.option("--service")
@click.option("--environment")
@_FORMAT
@_PASS
def list_deployments(client: Client, service: str | None, environment: str | None, form: str) -> None:
    """List deployments, the newest first."""
    query = {name: value for name, value in (("service", service), ("environment", environment)) if value}
    found = client.get("/deployments", **query)
    columns = ("id", "service", "environment", "version", "previous_version", "status", "deployer", "timestamp")
    _print(found, columns, form, empty="no deployments")


@deployments.command("import")
@click.argument("file", type=click.File("r"))
@_PASS
def import_records(client: Client, file: Any) -> None:
    """Take in deployment records, one JSON object a line (- for standard input)."""
    records, faults = [], []
    for number, line in enumerate(file, 1):
        try:
            records.extend([json.loads(line)] if line.strip() else [])
        except ValueError as error:
            faults.append(f"{file.name}:{number}: not JSON: {error}")
    if faults:
        raise click.UsageError("\n".join((*faults, "nothing was taken in; mend these lines")))
    for number, record in enumerate(records, 1):
        try:
            client.post("/deployments", record)
        except DeploywatchError as error:
            raise type(error)(f"record {number} of {len(records)}: {error}; those before it were taken in") from error
    click.echo(f"{len(records)} records taken in")


@click.command()
@click.argument("template", type=click.Choice([event.value for event in Event]), metavar="TEMPLATE")
@click.option("--alert", "alert_file", type=options.FILE, required=True, help="A webhook of Alertmanager's, as JSON.")
@click.option(
    "--config.file", "config_file", type=options.FILE, help="The receiver's configuration, for its templates."
)
def render(template: str, alert_file: Path, config_file: Path | None) -> None:
    """Show a notification as it would be sent: one of the templates, with the alerts of a webhook."""
    from receiver import config  # noqa: PLC0415 - as above
    from receiver.preview import preview  # noqa: PLC0415

    settings = config.load(config_file) if config_file else config.ReceiverConfig()
    message = preview(Event(template), alert_file, settings, utc_now())
    click.echo("\n".join((message.title, "", message.body, *(f"{name}: {url}" for name, url in message.links))))


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], form: str, *, empty: str) -> None:
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column])[:60] for column in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
