"""The command `deploywatch migrate`: a guarded migration of a service's database."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deploywatch import secrets
from deploywatch.errors import DeploywatchError
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.shared import by, echo
from deploywatch.receiver.database_migration import plan as plans
from deploywatch.receiver.database_migration.lint import lint
from deploywatch.receiver.database_migration.outcome import EXIT_CODES, Ended, Outcome
from deploywatch.receiver.database_migration.run import Run
from deploywatch.terminal import as_json, say
from deploywatch.web import options

_LONGEST = 2000
_SENTENCES = {
    Outcome.COMMITTED: "committed: the migration is done",
    Outcome.TRIED: "the migration would commit: everything ran, was valid, and was rolled back",
    Outcome.ROLLED_BACK: "rolled back: nothing of the transaction stays",
    Outcome.COMMITTED_NOT_FINISHED: "committed, but what has to follow was not all done",
    Outcome.NOT_BEGUN: "not begun: nothing of the transaction was run",
    Outcome.HELD: "held: another migration is under way",
    Outcome.UNKNOWN: "outcome unknown: look before you do anything else",
}


@click.command()
@click.argument("plan", type=options.FILE)
@click.option("--dry-run", "dry", is_flag=True, help="Run the transaction and its validation, and roll back.")
@click.option(
    "--url", envvar="DEPLOYWATCH_URL", help="The receiver that records it and tells people (DEPLOYWATCH_URL)."
)
@click.option("--token", envvar="DEPLOYWATCH_TOKEN", hidden=True)
@by("Who migrates")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def migrate(plan: Path, *, dry: bool, url: str | None, token: str | None, by: str, form: str) -> int:
    """Migrate a database as PLAN says: backup, one transaction, validation inside it, commit; else roll back.

    Exit code 0: committed; 1: rolled back, or not begun, or not finished; 2: the plan is bad; 3: another one is under
    way; 4: the outcome is not known. squawk's warnings about the SQL are shown where it is installed.
    """
    loaded = plans.load(plan)

    def conceal(text: str) -> str:
        # The receiver tells people, and pipelines keep what is printed.
        own = loaded.settings.backup.own
        return secrets.conceal(text, loaded.settings, secrets.named(own.environment if own else ()))

    for sentence in lint(loaded):
        echo(conceal(sentence), err=True)
    # With JSON the story goes to standard error, so that standard output is one document.
    ended = asyncio.run(_run(Run(loaded, lambda sentence: say(conceal(sentence), err=form == "json"), dry)))
    ended = replace(ended, reason=conceal(ended.reason))
    if form == "json":
        say(as_json(_data(loaded, ended)))
    else:
        say(f"{_SENTENCES[ended.outcome]}{f' ({ended.reason})' if ended.reason else ''}")
    # Said also where nothing seems to be lost: whoever needs it at night should not have to look it up.
    if ended.backup and ended.outcome is not Outcome.COMMITTED:
        say(f"to restore what was before, which loses what was written since: {ended.backup.restore}", err=True)
    # The other migration records itself; this one has done nothing.
    if not dry and ended.outcome is not Outcome.HELD:
        _record(Client(url, token) if url else None, loaded, ended, by)
    return EXIT_CODES[ended.outcome]


def _body(plan: plans.Plan, ended: Ended, by: str) -> dict[str, Any]:
    settings = plan.settings
    return {
        "by": by,
        "service": settings.service,
        "environment": settings.environment,
        "name": settings.name,
        "outcome": str(ended.outcome),
        "reason": ended.reason[:_LONGEST],
        "restore": ended.backup.restore[:_LONGEST] if ended.backup else "",
        "started_at": ended.began.isoformat() if ended.began else None,
        "finished_at": ended.ended.isoformat() if ended.ended else None,
    }


def _record(client: Client | None, plan: plans.Plan, ended: Ended, by: str) -> None:
    """Tell the receiver; what became of the database does not depend on whether that works."""
    if client is None:
        say("not recorded, and nobody is told: give the receiver's --url, or DEPLOYWATCH_URL", err=True)
        return
    try:
        number = client.record("POST", "/migrations", _body(plan, ended, by))["id"]
    except DeploywatchError as error:
        # No other exit code: the migration itself went as it says.
        echo(f"NOT RECORDED, and nobody is told: {error}", err=True)
    else:
        say(f"recorded as database migration {number}", err=True)


async def _run(run: Run) -> Ended:
    """The run, which SIGTERM ends as Ctrl-C does."""
    task = asyncio.ensure_future(run.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    return await task


def _data(plan: plans.Plan, ended: Ended) -> dict[str, object]:
    return {
        "name": plan.settings.name,
        "service": plan.settings.service,
        "environment": plan.settings.environment,
        "outcome": str(ended.outcome),
        "reason": ended.reason,
        "backup": {
            "file": str(ended.backup.file),
            "bytes": ended.backup.size,
            "age_seconds": ended.backup.age,
            "restore": ended.backup.restore,
        }
        if ended.backup
        else None,
        "began": ended.began.isoformat() if ended.began else None,
        "ended": ended.ended.isoformat() if ended.ended else None,
    }
