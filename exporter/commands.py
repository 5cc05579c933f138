"""The commands `deploywatch exporter` and `deploywatch check`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console

from deploywatch import logs, options
from deploywatch.config import nearest
from deploywatch.conventions import EXPORTER_PORT
from exporter import config
from exporter.app import make_server
from exporter.check import check as check_all
from exporter.clock import SystemClock
from exporter.exporter import Exporter
from exporter.targets import targets

_PIPED_WIDTH = 200


@click.command()
@options.server(EXPORTER_PORT)
def exporter(  # noqa: PLR0917 - click passes the options by name
    config_file: Path, config_check: bool, listen: str, web_config: Path | None, log_format: str, log_level: str
) -> None:
    """Probe services on a schedule; serve /metrics, /health and their like."""
    settings = config.load(config_file)
    if config_check:
        click.echo(f"{config_file}: good, {sum(1 for _ in targets(settings))} probes")
        return
    logs.configure(form=log_format, level=log_level)
    asyncio.run(_serve(Exporter(config_file, settings), listen, web_config))


@click.command()
@click.option("--config.file", "config_file", type=options.FILE, required=True, help="The exporter's configuration.")
@click.option("--service", help="Only this service.")
@click.option("--environment", help="Only this environment.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(config_file: Path, service: str | None, environment: str | None, form: str) -> int:
    """Probe everything once. Exit code 0: all well; 1: something is not; 2: the configuration is bad."""
    settings = config.load(config_file)
    chosen = [
        target
        for target in targets(settings)
        if service in {None, target.key.service} and environment in {None, target.key.environment}
    ]
    if not chosen:
        known = {target.key.service for target in targets(settings)}
        hint = nearest(service, known) if service and service not in known else ""
        raise click.UsageError(f"nothing to check: no such service or environment{hint}")
    logs.configure(level="error")
    found = asyncio.run(check_all(chosen, concurrency=settings.concurrency, clock=SystemClock()))
    if form == "json":
        click.echo(found.json())
    else:
        found.show(Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPED_WIDTH))
    return 0 if found.well else 1


async def _serve(running: Exporter, listen: str, web_config: Path | None) -> None:
    await make_server(running, listen=listen, web_config=web_config).run()
