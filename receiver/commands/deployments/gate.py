"""The gate from the command line: asked by pipelines, approved by people, told of what was done before."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any, Final

import click

from deploywatch.errors import UnreachableError
from deploywatch.receiver.client import Client, RefusedError
from deploywatch.receiver.commands.deployments import telling
from deploywatch.receiver.commands.shared import FORMAT, by, echo, minute, note, pass_client, user_name
from deploywatch.terminal import say

EXIT: Final = {"open": 0, "closed": 1, "waiting": 3, "unknown": 4}
_ANSWERED = ("state", "checks")
_POLL_SECONDS = 5.0
_FORBIDDEN = 403
# 403 for a token that may only read; 404 and 405 from a receiver that was there before the gate was asked by POST.
_NOT_PUBLISHED = (_FORBIDDEN, 404, 405)
_SIGNS = {"open": "ok", "closed": "CLOSED", "waiting": "WAITING", "unknown": "UNKNOWN"}
_MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"])


def _target(command: Any) -> Any:
    # From the last to the first, as decorators apply: the help lists them from the top.
    for option in (
        click.option("--artifact", default="", help="What is deployed, such as an image with its digest."),
        click.option("--version", required=True),
        click.option("--environment", required=True),
        click.option("--service", required=True),
    ):
        command = option(command)
    return command


@click.command()
@_target
@click.option("--strategy", default="", help="Such as canary or blue-green.")
@click.option("--deployer", default=user_name, help="Who deploys; the user's name when not given.")
@click.option("--fixes", type=click.IntRange(1), help="The number of the incident that it is meant to end.")
@click.option("--rollback", is_flag=True, help="It goes back to an older version, which is never gated.")
@click.option("--wait", help="While only people's approvals lack, wait for them so long, such as 30m.")
@FORMAT
@pass_client
def gate(client: Client, /, *, wait: str | None, form: str, rollback: bool, fixes: int | None, **asked: str) -> None:
    """Ask whether a deployment may begin: lists everything that lacks, each with what to do.

    Ends with 0 open, 1 closed, 2 usage, 3 waiting for a person, 4 cannot tell.
    """
    patience = seconds(wait)
    query = {name: value for name, value in asked.items() if value}
    query |= {"rollback": "true"} if rollback else {}
    query |= {"fixes": str(fixes)} if fixes else {}
    try:
        answer = _wait(client, query, patience)
    # An exit code of its own: a pipeline must be able to tell "no" from "nobody answered".
    except UnreachableError as error:
        say(f"deploywatch: the gate cannot be asked: {error}", err=True)
        sys.exit(EXIT["unknown"])
    if form == "json":
        say(json.dumps(answer, indent=2))
    else:
        _show(answer)
    sys.exit(EXIT[answer["state"]])


def _wait(client: Client, query: dict[str, str], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while True:
        answer = _ask(client, query)
        left = end - time.monotonic()
        # Only a person's word comes by waiting; what is closed needs somebody to do something first.
        if answer["state"] != "waiting" or left <= 0:
            return answer
        time.sleep(min(_POLL_SECONDS, left))


def seconds(wait: str | None) -> float:
    """The seconds of `--wait`; UsageError for what is no duration."""
    from deploywatch.quantity import parse_duration  # noqa: PLC0415 - quantities are pydantic's types too

    try:
        return parse_duration(wait).total_seconds() if wait else 0.0
    except ValueError as error:
        raise click.UsageError(f"--wait: {error}") from error


def _ask(client: Client, query: dict[str, str]) -> Any:
    """Ask as a pipeline, so that a refusal is published; who may only read, or asks an older receiver, just asks."""
    body = {**query, "rollback": "rollback" in query, **({"fixes": int(query["fixes"])} if "fixes" in query else {})}
    try:
        return client.record("POST", "/gate", body, needs=_ANSWERED)
    except RefusedError as error:
        if error.status not in _NOT_PUBLISHED:
            raise
        why = "the token lacks the scope deploy" if error.status == _FORBIDDEN else "the receiver is an older one"
        echo(f"deploywatch: {why}, so that a refusal is not published as an event", err=True)
        return client.known("/gate", needs=_ANSWERED, **query)


def _show(answer: dict[str, Any]) -> None:
    for check in answer["checks"]:
        echo(f"{_SIGNS[check['standing']]:<8} {check['require']}: {check['detail']}")
        if check["advice"]:
            echo(f"         {check['advice']}")
    what = f"{answer['service']} {answer['version']} into {answer['environment']}"
    state = "cannot tell" if answer["state"] == "unknown" else answer["state"]
    echo(f"the gate for {what}: {state}")


@click.command()
@_target
@click.option("--role", required=True, help="In which role, such as tech-lead.")
@by("Who approves")
@note("What people should know.")
@pass_client
def approve(client: Client, /, **fields: str) -> None:
    """Approve a version and artifact for an environment, in a role."""
    approval = client.post("/gate/approvals", fields)
    who = f"{approval['by']} as {approval['role']}"
    echo(f"approval {approval['id']}: {who} approves {approval['version']}, until {minute(approval['expires_at'])}")


@click.command()
@click.argument("approval", type=int)
@by("Who takes it back")
@pass_client
def withdraw(client: Client, approval: int, *, by: str) -> None:
    """Take an approval back."""
    withdrawn = client.post(f"/gate/approvals/{approval}/withdraw", {"by": by})
    echo(f"approval {approval} of {withdrawn['version']} was withdrawn by {withdrawn['withdrawn_by']}")


@click.command()
@click.option("--service", required=True)
@click.option("--environment", required=True)
@click.option("--kind", required=True, help="What was done, such as backup or security-scan.")
@click.option("--at", type=_MOMENT, help="When, such as 2026-11-27T22:00:00Z; now when not given.")
@click.option("--detail", default="", help="Such as where the backup is.")
@by("Who did it")
@pass_client
def record(client: Client, /, *, at: datetime | None, **fields: str) -> None:
    """Record something that the gate asks for, such as a backup, with its time."""
    made = client.post("/gate/records", {**fields, **({"at": telling.timestamp(at)} if at else {})})
    echo(f"{made['kind']} of {made['service']} in {made['environment']} at {minute(made['at'])} is recorded")


COMMANDS: Final = (gate, approve, withdraw, record)
