"""Incidents from the command line: look, take in hand, lead, say how it stands, tick, end, review."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.shared import (
    FORMAT,
    NUMBER,
    by,
    echo,
    given,
    minute,
    note,
    pass_client,
    printed,
    show_rows,
    url,
)
from deploywatch.terminal import say


@click.group()
@url
@click.pass_context
def incidents(context: click.Context, url: str, token: str | None) -> None:
    """List, show and handle incidents; print a post-mortem draft."""
    context.obj = Client(url, token)


@incidents.command("list")
@click.option("--open", "only_open", is_flag=True, help="Leave out the resolved.")
@click.option("--severity", help="One or several, with commas: critical,high.")
@click.option("--service")
@click.option("--environment")
@FORMAT
@pass_client
def list_incidents(client: Client, /, only_open: bool, form: str, **narrow: str | None) -> None:
    """List incidents, the newest first."""
    columns = ("id", "status", "severity", "service", "environment", "commander", "title", "opened_at")
    rows = client.rows("/incidents", needs=columns, **given(status="open" if only_open else None, **narrow))
    show_rows(rows, columns, form, empty="no incidents")


@incidents.command()
@NUMBER
@FORMAT
@pass_client
def show(client: Client, number: int, form: str) -> None:
    """Show one incident with its timeline."""
    incident = client.known(f"/incidents/{number}", needs=("id",))
    if form == "json":
        say(json.dumps(incident, indent=2))
        return
    head = f"#{incident['id']} {incident['title']}: {incident['severity']}, {incident['status']}"
    further = "".join(f", {name}={value}" for name, value in incident["correlation"].items())
    echo(f"{head}, {incident['service']} in {incident['environment']}{further}")
    for name in ("commander", "bridge"):
        if incident[name]:
            echo(f"  {name}: {incident[name]}")
    if incident["maintenance"]:
        echo(f"  maintenance until {minute(incident['maintenance']['until'])}: {incident['maintenance']['reason']}")
    for phase, items in incident["checklist"].items():
        for item in items:
            done = f"  ({item['done_by']})" if item["done_at"] else ""
            echo(f"  [{'x' if item['done_at'] else ' '}] {item['item']} {phase}: {item['text']}{done}")
    for entry in incident["timeline"]:
        echo(f"  {entry['at'][11:19]}  {entry['kind']:<20} {entry['text']}  ({entry['actor']})")


def _word(
    name: str,
    about: str,
    sentence: Callable[[Any], str],
    *,
    why: str = "What people should know.",
    who: str = "Who says so",
) -> None:
    """A command by which one person says one thing; `told` makes of the answer what is printed after the number."""

    # One form for words that differ in nothing else; an option that one of them needs makes it a command of its own.
    @incidents.command(name, help=about)
    @NUMBER
    @by(who)
    @note(why)
    @pass_client
    def command(client: Client, number: int, by: str, note: str) -> None:
        answer = client.post(f"/incidents/{number}/{name}", {"by": by, "note": note})
        echo(f"#{number}{sentence(answer)}")


def _decided(asked: Any) -> str:
    return f": the rollback to {asked['to_version']} is {asked['state']}, by {asked['decided_by']}"


_word(
    "acknowledge",
    "Say that somebody has the incident in hand.",
    lambda incident: f" is {incident['status']}, by {incident['acknowledged_by']}",
    who="Who has it in hand",
)
_word("approve", "Say yes to the rollback that the incident waits for.", _decided, why="Why.")
_word("reject", "Say no to the rollback that the incident waits for.", _decided, why="Why.")
_word(
    "rollback",
    "Ask for a rollback by your own decision; the brakes decide as for an alert.",
    lambda _: ": a rollback is asked for; `show` tells what became of it",
    why="Why.",
)


@incidents.command()
@NUMBER
@click.option("--force", is_flag=True, help="Although its alerts still fire; if they do in an hour, another begins.")
@click.option(
    "--for", "hold", help="Although its alerts still fire; if they do after this time, such as 30m, another begins."
)
@by()
@note("Why it is over.")
@pass_client
def resolve(client: Client, /, number: int, by: str, note: str, **still: Any) -> None:
    """End the incident."""
    sent = {"by": by, "note": note, "force": still["force"], **given(hold=still["hold"])}
    incident = client.post(f"/incidents/{number}/resolve", sent)
    echo(f"#{number} is {incident['status']}, by {incident['resolved_by']}")


@incidents.command()
@NUMBER
@pass_client
def postmortem(client: Client, number: int) -> None:
    """Print the draft of the review as Markdown."""
    say(printed(client.get(f"/incidents/{number}/postmortem")))


@incidents.command()
@NUMBER
@FORMAT
@pass_client
def actions(client: Client, number: int, form: str) -> None:
    """List what was run for the incident, and what was found, which `attachment` prints."""
    actions = client.known(f"/incidents/{number}/actions", needs=("runs", "attachments"))
    if form == "json":
        say(json.dumps(actions, indent=2))
        return
    show_rows(actions["runs"], ("action", "state", "detail", "started_at"), form, empty="nothing was run")
    for attachment in actions["attachments"]:
        echo(f"attachment {attachment['id']}: {attachment['name']}")


@incidents.command()
@NUMBER
@pass_client
def attachment(client: Client, number: int) -> None:
    """Print what was found, by its own number."""
    say(printed(client.get(f"/attachments/{number}")))


@incidents.command()
@NUMBER
@click.argument("text")
@by()
@pass_client
def comment(client: Client, number: int, text: str, by: str) -> None:
    """Add words to the timeline."""
    client.post(f"/incidents/{number}/comment", {"by": by, "note": text})
    echo(f"#{number}: noted")


@incidents.command()
@NUMBER
@click.argument("text")
@click.option("--next-in", help="Within what time people hear again, such as 15m.")
@by()
@pass_client
def update(client: Client, number: int, text: str, next_in: str | None, by: str) -> None:
    """Tell everyone who heard of the incident how it stands."""
    client.post(f"/incidents/{number}/update", {"by": by, "note": text, **given(next_in=next_in)})
    echo(f"#{number}: told")


@incidents.command()
@NUMBER
@click.option("--is", "leader", help="Who leads from now on; you, when nobody is named.")
@by()
@pass_client
def commander(client: Client, number: int, leader: str | None, by: str) -> None:
    """Say who leads the incident."""
    incident = client.post(f"/incidents/{number}/commander", {"by": by, **given(leader=leader)})
    echo(f"#{number} is led by {incident['commander']}")


@incidents.command()
@NUMBER
@click.option("--over", is_flag=True, help="No longer.")
@by()
@note("What is being done.")
@pass_client
def mitigate(client: Client, number: int, over: bool, by: str, note: str) -> None:
    """Say that something is being done against the incident."""
    incident = client.post(f"/incidents/{number}/mitigate", {"by": by, "note": note, "over": over})
    echo(f"#{number} is {incident['status']}")


@incidents.command()
@NUMBER
@click.argument("item", type=int)
@click.option("--undo", is_flag=True, help="It is not done after all.")
@by("Who did it")
@pass_client
def check(client: Client, number: int, item: int, undo: bool, by: str) -> None:
    """Tick an item of the checklist; `show` numbers them."""
    done = client.post(f"/incidents/{number}/check", {"by": by, "item": item, "done": not undo})
    echo(f"[{'x' if done['done_at'] else ' '}] {done['text']}")


@incidents.command()
@NUMBER
@by("Who reviewed it")
@note("Where the review is.")
@pass_client
def review(client: Client, number: int, by: str, note: str) -> None:
    """Say that the review of a resolved incident is done."""
    incident = client.post(f"/incidents/{number}/review", {"by": by, "note": note})
    if not incident["reviewed_at"]:
        raise click.ClickException(f"#{number} is {incident['status']}; a review is done once it is resolved")
    echo(f"#{number} was reviewed by {incident['reviewed_by']}")
