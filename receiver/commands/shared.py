"""What the commands share: where the receiver is, who says so, how rows are printed."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from deploywatch.conventions import RECEIVER_PORT
from deploywatch.pages import moments
from deploywatch.receiver.client import Client
from deploywatch.receiver.rendering.text import clean, line
from deploywatch.terminal import say

F = TypeVar("F", bound=Callable[..., Any])

pass_client = click.make_pass_decorator(Client)
"""Gives the command the client of the receiver that `url` chose."""

NUMBER = click.argument("number", type=int)
FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def url(command: F) -> F:
    """Options that say where the receiver is and how to be let in."""
    where = click.option(
        "--url",
        envvar="DEPLOYWATCH_URL",
        default=f"http://127.0.0.1:{RECEIVER_PORT}",
        show_default=True,
        help="Where the receiver is (DEPLOYWATCH_URL); a token is taken from DEPLOYWATCH_TOKEN.",
    )
    token = click.option("--token", envvar="DEPLOYWATCH_TOKEN", hidden=True)
    return where(token(command))


def user_name() -> str:
    """Who runs this; containers may have users without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"


def by(who: str = "Who says so") -> Callable[[F], F]:
    """An option for the person; the user's name when it is not given."""
    return click.option("--by", default=user_name, help=f"{who}; the user's name when not given.")


def note(about: str = "What people should know.") -> Callable[[F], F]:
    """An option for a remark."""
    return click.option("--note", default="", help=about)


def given(**query: str | None) -> dict[str, str]:
    """The parts of a query that were given."""
    return {name: value for name, value in query.items() if value}


def printed(text: object) -> str:
    """Text of others as a terminal may have it: its lines, without what a terminal obeys."""
    return clean(str(text))


def echo(text: object, *, err: bool = False) -> None:
    """Print what may bear text of others: one line, whatever they wrote."""
    say(" ".join(printed(text).split("\n")), err=err)


def minute(time: object) -> str:
    """A time of the API's as people read it, in UTC; what is no time, as it came."""
    try:
        return f"{moments.moment(str(time)):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(time)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, *, empty: str) -> None:
    """Print rows as a table, or as JSON with all that they have."""
    if form == "json":
        say(json.dumps(rows, indent=2))
        return
    if not rows:
        say(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - only a table needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        # As text: what a row says is nobody's markup, and no terminal's command.
        table.add_row(*(Text("" if row[column] is None else line(row[column], 60)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
