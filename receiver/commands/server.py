"""Run the receiver, and show a notification as it would be sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploywatch import logs, options
from deploywatch.conventions import RECEIVER_PORT
from receiver.clock import utc_now
from receiver.messages import Event


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
    from receiver.actions import programs  # noqa: PLC0415
    from receiver.rendering import Templates  # noqa: PLC0415

    logs.configure(form=log_format, level=log_level)
    if config_check:
        settings = config.load(config_file)
        Templates(settings.templates)
        for lack in programs.missing(settings):
            click.echo(f"{config_file}: {lack}", err=True)
        click.echo(f"{config_file}: good")
        return
    asyncio.run(app.run(config_file, listen, web_config))


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
