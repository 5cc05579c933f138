"""Run the receiver, and show a notification as it would be sent."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploywatch import logs
from deploywatch.clock import utc_now
from deploywatch.conventions import RECEIVER_PORT
from deploywatch.receiver.story import Event
from deploywatch.terminal import say
from deploywatch.web import gc_tuning, options
from deploywatch.web.prefix import External

if TYPE_CHECKING:
    from deploywatch.receiver.settings.config import ReceiverConfig


@click.command()
@options.server(RECEIVER_PORT, host="127.0.0.1")
@options.STORAGE
@click.option(
    "--live", is_flag=True, help="With --config.check: try each channel's credentials; tells nobody anything."
)
def receiver(
    *,
    live: bool,
    storage: Path | None,
    external_url: str,
    route_prefix: str | None,
    config_file: Path,
    config_check: bool,
    listen: str,
    web_config: Path | None,
    log_format: str,
    log_level: str,
) -> None:
    """Take Alertmanager's webhook and run the incident."""
    logs.configure(form=log_format, level=log_level)
    if live and not config_check:
        raise click.UsageError("--live goes with --config.check")
    from deploywatch.receiver.settings import config  # noqa: PLC0415 - the servers' libraries load only for the server

    external = External(external_url, route_prefix)
    read = partial(config.load, config_file, storage=storage, external_url=external.url)
    if config_check:
        _check(config_file, read(), listen, web_config, live=live)
        return
    from deploywatch.receiver import app  # noqa: PLC0415 - as above

    gc_tuning.tune()
    asyncio.run(app.run(read, listen, web_config, external))


def _check(config_file: Path, settings: ReceiverConfig, listen: str, web_config: Path | None, *, live: bool) -> None:
    """Say whether a receiver would start and do its work: exit 2 for what is wrong, 1 for what this machine lacks."""
    from deploywatch.access import webconfig  # noqa: PLC0415 - as above
    from deploywatch.receiver.actions import programs  # noqa: PLC0415
    from deploywatch.receiver.channels import connect_all  # noqa: PLC0415
    from deploywatch.receiver.commands import live_check, template_check  # noqa: PLC0415
    from deploywatch.receiver.escalation import coverage  # noqa: PLC0415
    from deploywatch.web import addresses  # noqa: PLC0415

    template_check.templates(settings, utc_now())
    access = webconfig.Access(web_config)
    addresses.refuse_open(listen, access.loaded)
    for credential in access.loaded.settings.described:
        say(f"{web_config}: {credential}")
    lacks = programs.missing(settings)
    for lack in lacks:
        say(f"{config_file}: {lack}", err=True)
    without_links = settings.rollback.without_links(settings.external_url)
    for note in (*filter(None, [without_links]), *coverage.notes(settings.oncall, utc_now())):
        say(f"{config_file}: {note}")
    connected = connect_all(settings.channels)
    tried = asyncio.run(live_check.channels(connected)) if live else []
    for channel in tried:
        say(f"{config_file}: {channel}", err=channel.good is False)
    if lacks or any(channel.good is False for channel in tried):
        sys.exit(1)
    say(f"{config_file}: good")


@click.command()
@click.argument("template", type=click.Choice([*(event.value for event in Event), "postmortem"]), metavar="TEMPLATE")
@click.option("--alert", "alert_file", type=options.FILE, required=True, help="A webhook of Alertmanager's, as JSON.")
@click.option(
    "--config.file", "config_file", type=options.FILE, help="The receiver's configuration, for its templates."
)
def render(template: str, alert_file: Path, config_file: Path | None) -> None:
    """Show a notification or a post-mortem as it would be: one of the templates, with the alerts of a webhook."""

    from deploywatch.receiver.commands.preview import POSTMORTEM, preview, preview_postmortem  # noqa: PLC0415
    from deploywatch.receiver.settings import config  # noqa: PLC0415 - as above

    settings = config.load(config_file) if config_file else config.ReceiverConfig()
    if template == POSTMORTEM:
        say(preview_postmortem(alert_file, settings, utc_now()), nl=False)
        return
    message = preview(Event(template), alert_file, settings, utc_now())
    say("\n".join((message.title, "", message.body, *(f"{name}: {url}" for name, url in message.links))))
