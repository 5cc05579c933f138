"""Command-line options that the servers share, named as Prometheus's own servers name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploywatch import logs

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)


def server(port: int) -> Callable[[F], F]:
    """Config file and check, listen address (on `port` by default), web config, log format and level."""

    def decorate(command: F) -> F:
        for option in reversed(
            [
                click.option(
                    "--config.file",
                    "config_file",
                    type=FILE,
                    required=True,
                    help="The configuration, as YAML.",
                ),
                click.option(
                    "--config.check",
                    "config_check",
                    is_flag=True,
                    help="Check the configuration and exit: 0 good, 2 bad.",
                ),
                click.option(
                    "--web.listen-address",
                    "listen",
                    default=f":{port}",
                    show_default=True,
                    help="Where to listen.",
                ),
                click.option(
                    "--web.config.file",
                    "web_config",
                    type=FILE,
                    help="TLS and authentication, in exporter-toolkit's format.",
                ),
                click.option(
                    "--log.format",
                    "log_format",
                    type=click.Choice(logs.FORMATS),
                    default="logfmt",
                    show_default=True,
                ),
                click.option(
                    "--log.level",
                    "log_level",
                    type=click.Choice(logs.LEVELS),
                    default="info",
                    show_default=True,
                ),
            ]
        ):
            command = option(command)
        return command

    return decorate
