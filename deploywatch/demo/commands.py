"""The command `deploywatch demo`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import click
from rich.console import Console

from deploywatch.demo.canary_story import CanaryStory
from deploywatch.demo.narrator import Narrator
from deploywatch.demo.pipeline import Pipeline
from deploywatch.demo.processes import Processes
from deploywatch.demo.stage import PORTS, Stage
from deploywatch.demo.story import Story


def _ports(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for value in values:
        name, _equals, number = value.partition("=")
        if name not in PORTS or not number.isdigit() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value!r}; write NAME=NUMBER with one of {', '.join(PORTS)}")
        ports[name] = int(number)
    return ports


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where logs, rules and databases go; a new temporary folder when not given.",
)
@click.option(
    "--port", "ports", multiple=True, callback=_ports, metavar="NAME=NUMBER", help="A port to use; else free ones."
)
def demo(*, keep: bool, folder: Path | None, ports: dict[str, int]) -> int:
    """Run everything at once on this machine, with a deployment that goes wrong, and a canary that does.

    Needs PostgreSQL, Redis, Prometheus and Alertmanager, and no account anywhere. Takes about three minutes.
    """
    where = (folder or Path(tempfile.mkdtemp(prefix="deploywatch-demo-"))).absolute()
    with Processes(where / "logs") as processes:
        stage = Stage(where, processes, ports)
        try:
            return asyncio.run(_run(stage, keep=keep))
        except asyncio.CancelledError as stopped:
            raise click.Abort from stopped
        finally:
            # A second Ctrl-C would leave databases and servers running without anybody knowing.
            with _undisturbed():
                processes.stop()
                stage.clear()


async def _run(stage: Stage, *, keep: bool) -> int:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    # SIGHUP too: a terminal that is closed must not leave ten processes behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel if task else loop.stop)
    console = Console(highlight=False, soft_wrap=True)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        narrator = Narrator(stage, console, session)
        story = Story(narrator)
        await story.tell()
        await CanaryStory(narrator, Pipeline(stage.url("receiver"))).tell()
        await story.show_results()
        story.show_places(running=keep)
        if keep:
            console.print("\nEverything runs until Ctrl-C.")
            console.print(f"[bold]The console[/bold], to look and to act: {stage.url('receiver')}/")
            await asyncio.Event().wait()
    return 0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not keep the first one's cleaning-up from its end."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
