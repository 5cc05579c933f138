"""Deployments from the command line: for pipelines that start and finish them, and for people who look."""

from __future__ import annotations

import getpass
import json
from typing import Any

import click

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.shared import FORMAT, NUMBER, by, given, note, pass_client, show_rows, url


@click.group()
@url
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
@pass_client
def start(client: Client, /, ports: tuple[int, ...], **fields: str) -> None:
    """Say that a deployment starts; prints its number, which `finish` takes."""
    deployment = client.post("/deployments", {**fields, "ports": list(ports)})
    click.echo(deployment["id"])


@deployments.command()
@NUMBER
@click.option("--status", type=click.Choice(["success", "failure"]), required=True)
@pass_client
def finish(client: Client, number: int, status: str) -> None:
    """Say how a deployment ended."""
    deployment = client.patch(f"/deployments/{number}", {"status": status})
    click.echo(f"deployment {number} of {deployment['service']} {deployment['version']}: {deployment['status']}")


@deployments.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@by()
@note("What was mended.")
@pass_client
def allow(client: Client, /, **fields: str) -> None:
    """Let a service be rolled back again, whose last rollbacks failed."""
    client.post("/rollbacks/allow", fields)
    click.echo(f"{fields['service']} in {fields['environment']} may be rolled back again")


@deployments.command("list")
@click.option("--service")
@click.option("--environment")
@FORMAT
@pass_client
def list_deployments(client: Client, service: str | None, environment: str | None, form: str) -> None:
    """List deployments, the newest first."""
    found = client.get("/deployments", **given(service=service, environment=environment))
    columns = ("id", "service", "environment", "version", "previous_version", "status", "deployer", "timestamp")
    show_rows(found, columns, form, empty="no deployments")


@deployments.command("import")
@click.argument("file", type=click.File("r"))
@pass_client
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
