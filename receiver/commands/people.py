"""Who is on call, who changed what, maintenance windows, and screens with a link, from the command line."""

from __future__ import annotations

import json
from typing import Any

import click

from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.shared import FORMAT, NUMBER, by, echo, given, minute, pass_client, show_rows, url
from deploywatch.terminal import say


@click.command()
@url
@click.option("--at", help="Another time than now, such as 2026-05-01T12:00:00Z.")
@FORMAT
def oncall(url: str, token: str | None, at: str | None, form: str) -> None:
    """Say who is on call."""
    needs = ("on_call", "management", "contacts")
    duties = Client(url, token).known("/oncall", needs=needs, **given(at=at))
    if form == "json":
        say(json.dumps(duties, indent=2))
        return
    columns = ("team", "role", "person", "since", "until", "stands_in")
    nobody = "" if duties["gaps"] else ": the receiver has no teams with rotations"
    show_rows(duties["on_call"], columns, form, empty=f"nobody is on call{nobody}")
    for gap in duties["gaps"]:
        echo(f"nobody is {gap['role']} of {gap['team']} until {minute(gap['until'])}")
    if duties["management"]:
        echo(f"management: {', '.join(duties['management'])}")
    for name, about in duties["contacts"].items():
        echo(f"{name}: {about}")


@click.command()
@url
@click.option("--incident", help="Of one incident, by its number.")
@click.option("--who", help="By one person.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@FORMAT
def audit(url: str, token: str | None, limit: int, form: str, **narrow: str | None) -> None:
    """List who changed what, the newest first."""
    columns = ("id", "at", "who", "verified", "what", "incident_id", "path", "remote")
    entries = Client(url, token).rows("/audit", needs=columns, limit=str(limit), **given(**narrow))
    show_rows(entries, columns, form, empty="nobody changed anything")


@click.group()
@url
@click.pass_context
def maintenance(context: click.Context, url: str, token: str | None) -> None:
    """Hold actions and messages back for a while: begin, end and list windows."""
    context.obj = Client(url, token)


@maintenance.command("list")
@FORMAT
@pass_client
def list_windows(client: Client, form: str) -> None:
    """List the windows that are open or to come."""
    columns = ("id", "open", "service", "environment", "starts_at", "ends_at", "tell", "reason", "created_by")
    show_rows(client.rows("/maintenance", needs=columns), columns, form, empty="no maintenance")


@maintenance.command()
@click.option("--service", required=True, help="A name, or * for any.")
@click.option("--environment", default="*", show_default=True)
@click.option("--for", "lasts", help="For how long, such as 30m.")
@click.option("--until", "ends_at", help="Or until when, such as 2026-05-01T12:00:00Z.")
@click.option("--from", "starts_at", help="From when; now, when not given.")
@click.option("--tell", is_flag=True, help="People are told as ever; only actions wait.")
@click.option("--reason", default="", help="Why; shown wherever something is held.")
@by()
@pass_client
def start(client: Client, /, tell: bool, **fields: Any) -> None:
    """Begin a window; prints its number, which `end` takes."""
    echo(client.record("POST", "/maintenance", {**given(**fields), "tell": tell})["id"])


@maintenance.command()
@NUMBER
@by()
@pass_client
def end(client: Client, number: int, by: str) -> None:
    """End a window before its time; what it held is done where it is still needed."""
    window = client.post(f"/maintenance/{number}/end", {"by": by})
    echo(f"maintenance {number} of {window['service']} in {window['environment']} ended at {minute(window['ends_at'])}")


@click.group()
@url
@click.pass_context
def screens(context: click.Context, url: str, token: str | None) -> None:
    """Give screens a link to the wall, which shows what waits and nothing else; list them, revoke one."""
    context.obj = Client(url, token)


@screens.command("list")
@FORMAT
@pass_client
def list_screens(client: Client, form: str) -> None:
    """List the screens that have a link."""
    columns = ("id", "name", "made_by", "made_at")
    show_rows(client.rows("/screens", needs=columns), columns, form, empty="no screen has a link")


@screens.command()
@click.argument("name")
@by()
@pass_client
def make(client: Client, name: str, by: str) -> None:
    """Make a link for the screen NAME; prints it, this once."""
    made = client.record("POST", "/screens", {"by": by, "name": name}, needs=("id", "url"))
    echo(f"screen {made['id']}; this link is shown this once:")
    echo(made["url"])


@screens.command()
@NUMBER
@by()
@pass_client
def revoke(client: Client, number: int, by: str) -> None:
    """Take a screen's link away."""
    gone = client.post(f"/screens/{number}/revoke", {"by": by})
    echo(f"the link of screen {number}, {gone['name']}, leads nowhere any more")
