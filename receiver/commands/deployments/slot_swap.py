"""`deployments slot-swap`: a version goes into a slot, is proven there, swapped into production and watched."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path

import aiohttp
import click

from deploywatch.clock import utc_now
from deploywatch.errors import UnreachableError
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.deployments import telling, watching
from deploywatch.receiver.commands.shared import echo, pass_client, user_name
from deploywatch.receiver.executors.plan import Means
from deploywatch.receiver.slot_swap import plan as plans
from deploywatch.receiver.slot_swap.flow import CANNOT_TELL, Asked, Flow, StoppedError
from deploywatch.terminal import say
from deploywatch.web import options

_MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"])
_EVERY_SECONDS = 2.0


@click.command("slot-swap")
@click.argument("plan", type=options.FILE)
@click.option("--version", required=True)
@click.option("--artifact", default="", help="What is deployed, such as an image with its digest.")
@click.option("--commit-time", type=_MOMENT, help="When the newest change in it was committed.")
@click.option("--deployer", default=user_name, help="Who deploys; the user's name when not given.")
@click.option("--fixes", type=click.IntRange(1), help="The number of the incident that it is meant to end.")
@click.option("--check", is_flag=True, help="Only read the plan, and say every fault in it.")
@pass_client
def slot_swap(
    client: Client,
    plan: Path,
    *,
    version: str,
    artifact: str,
    commit_time: datetime | None,
    deployer: str,
    fixes: int | None,
    check: bool,
) -> None:
    """Deploy a version to a slot as PLAN says, prove it there, swap it into production, and watch it.

    Ends with 0 promoted, 1 not (nothing swapped, or swapped back), 2 usage, 3 hold or waiting for a person, 4 cannot
    tell.
    """
    loaded = plans.load(plan)
    if check:
        say(f"{plan}: {loaded.service} in {loaded.environment}, stage {loaded.stage}")
        return
    committed = telling.timestamp(commit_time) if commit_time else ""
    asked = Asked(version, artifact, deployer, committed, fixes)
    try:
        asyncio.run(_run(client, loaded, asked))
    except StoppedError as stopped:
        for line in str(stopped).splitlines():
            echo(f"deploywatch: {line}", err=True)
        sys.exit(stopped.code)
    except UnreachableError as error:
        echo(f"deploywatch: {error}", err=True)
        sys.exit(CANNOT_TELL)


async def _run(client: Client, plan: plans.SlotPlan, asked: Asked) -> None:
    """The flow, which SIGTERM ends as Ctrl-C does: what it started is ended with it."""
    patience, over = watching.Patience(_EVERY_SECONDS, plan.patience.total_seconds(), 0.0), threading.Event()

    def watch(number: int, stage: str) -> tuple[int, str]:
        def sleep(seconds: float) -> None:
            # No time.sleep: a thread cannot be cancelled, and the process would wait for it to the end of its sleep.
            if over.wait(seconds):
                raise InterruptedError("the watch was ended")

        followed = watching.Watch(client, number, stage, patience, sleep=sleep)
        code, answer, trouble = followed.follow(lambda _answer, _trouble: None)
        return int(code), trouble or watching.sentence(answer)

    async with aiohttp.ClientSession() as http:
        means = Means(http, utc_now, asyncio.sleep, plan.variables)
        task = asyncio.ensure_future(Flow(plan, client, means, asked, watch, echo).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        # By the signal's handler alone; what the flow had under way was ended by its own `finally`s.
        except asyncio.CancelledError as error:
            what = "interrupted; see what production runs, and what `deployments list` says"
            raise StoppedError(what, CANNOT_TELL) from error
        finally:
            over.set()
