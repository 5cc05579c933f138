"""Command-line options that the servers share, named as Prometheus's own servers name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from deploywatch import logs

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)


STORAGE = click.option(
    "--storage.path",
    "storage",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the receiver's state: relative paths of `database` and `postmortems` are taken from it "
    "instead of from the configuration's.",
)
_CONFIG_FILE = click.option(
    "--config.file", "config_file", type=FILE, required=True, help="The configuration, as YAML."
)
_CONFIG_CHECK = click.option(
    "--config.check",
    "config_check",
    is_flag=True,
    help="Check the configuration and exit: 0 good, 1 something that it needs is missing, 2 bad.",
)
_WEB_CONFIG = click.option(
    "--web.config.file", "web_config", type=FILE, help="TLS and authentication, in exporter-toolkit's format."
)
_EXTERNAL_URL = click.option(
    "--web.external-url",
    "external_url",
    default="",
    metavar="URL",
    help="Where people reach it, such as https://ops.example.com/deploywatch/; its path stands before every path.",
)
_ROUTE_PREFIX = click.option(
    "--web.route-prefix",
    "route_prefix",
    metavar="PATH",
    help="The path before every route here, where it is not that of the external URL: / when a proxy takes it off.",
)
_LOG_FORMAT = click.option(
    "--log.format", "log_format", type=click.Choice(logs.FORMATS), default="logfmt", show_default=True
)
_LOG_LEVEL = click.option("--log.level", "log_level", type=click.Choice(logs.LEVELS), default="info", show_default=True)


_AFTER_LISTEN = (_LOG_LEVEL, _LOG_FORMAT, _ROUTE_PREFIX, _EXTERNAL_URL, _WEB_CONFIG)
"""In the order in which click wants decorators: the help shows the last one first."""


def server(port: int, *, host: str = "") -> Callable[[F], F]:
    """Config file and check, listen address (`host` and `port` by default), web config, external URL, logs."""
    listen = click.option(
        "--web.listen-address", "listen", default=f"{host}:{port}", show_default=True, help="Where to listen."
    )

    def decorate(command: F) -> F:
        for option in (*_AFTER_LISTEN, listen, _CONFIG_CHECK, _CONFIG_FILE):
            command = option(command)
        return command

    return decorate
