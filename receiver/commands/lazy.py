"""A group of commands of which some are imported only when they are called: most calls need none of what those need."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """`later` has by a command's name the module that declares it, its name there, and what the help says of it."""

    def __init__(self, *args: Any, later: Mapping[str, tuple[str, str, str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, imported or not."""
        return sorted({*super().list_commands(ctx), *self.later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now if it was not yet."""
        if cmd_name in self.later:
            module, name, _ = self.later[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name every command without importing it."""
        known = {name: command.get_short_help_str(200) for name, command in self.commands.items() if not command.hidden}
        known |= {name: about for name, (_, _, about) in self.later.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(known.items()))
