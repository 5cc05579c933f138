"""What the commands share: where the receiver is, who says so, how rows are printed."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deploywatch.conventions import RECEIVER_PORT
from deploywatch.pages import moments
from deploywatch.receiver.client import Client
from deploywatch.receiver.rendering.text import clean, line
from deploywatch.terminal import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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
    """Print rows as a table, or as JSON with all that they have.

    A terminal that is too narrow gets each as a paragraph: nothing is cut off for want of room.
    """
    if form == "json":
        say(json.dumps(rows, indent=2))
        return
    if not rows:
        say(empty)
        return
    from rich.console import Console  # noqa: PLC0415 - only a table needs it

    print_rows(rows, columns, Console(width=None if sys.stdout.isatty() else 200))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], console: Console) -> None:
    """Print rows as a table, or where that is wider than the console each as a paragraph."""
    from rich.text import Text  # noqa: PLC0415 - only a table needs it

    # As text: what a row says is nobody's markup, and no terminal's command.
    texts = [[Text(_cell(column, row[column])) for column in columns] for row in rows]
    names = [column.replace("_", " ") for column in columns]
    words = [
        [*name.split(), *(word for row in texts for word in row[at].plain.split())] for at, name in enumerate(names)
    ]
    least = [max(map(len, some), default=0) for some in words]
    room = console.width - sum(least)
    if room >= len(least) - 1:
        console.print(_table(names, least, texts, room))
        return
    for row in texts:
        cells = [Text.assemble(f"{name} ", value) for name, value in zip(names, row, strict=True) if value]
        # What goes on below is indented: a line that begins at the margin was begun by us.
        console.print(Text("\n  ").join(Text(", ").join(cells).wrap(console, max(1, console.width - 2))))


def _table(names: Sequence[str], least: Sequence[int], texts: Iterable[Sequence[Text]], room: int) -> Table:
    """A table whose columns are as wide as their longest word at least, with what room there is between them."""
    from rich.table import Column, Table  # noqa: PLC0415 - only a table needs it

    heads = (Column(name, min_width=width) for name, width in zip(names, least, strict=True))
    between = min(2, room // max(1, len(least) - 1))
    table = Table(*heads, box=None, padding=(0, between, 0, 0))
    for row in texts:
        table.add_row(*row)
    return table


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    return line(minute(value) if column == "timestamp" or column.endswith("_at") else value, 60)
