"""Writes the reference page of the command line from the command line itself: every command and option there is."""

from __future__ import annotations

from collections.abc import Iterator

import click

from deploywatch.cli import cli
from deploywatch.reference.phrases import cell, inert

_HEAD = """# Reference

Every command and option, as `--help` says it. This page is made by `python -m deploywatch.reference`; a test holds it.

What the files may say, key by key: [exporter.yml](reference/exporter.md), [receiver.yml](reference/receiver.md),
[policies](reference/policy.md), [the verification plan](reference/verification-plan.md); and [web.yml](scopes.md). What
is asked over HTTP: [the API](reference/api.md), and [scopes](scopes.md) for each route.

Exit codes: 0 all well; 1 not well; 2 usage or configuration; 3 hold, or waiting for a person; 4 cannot tell.
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join((_HEAD, *_command(cli, ("deploywatch",), None)))


def _command(command: click.Command, path: tuple[str, ...], parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1], parent=parent)
    if isinstance(command, click.Group):
        if len(path) > 1:
            yield _heading(path, command)
            yield from _options(command, context)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _command(below, (*path, name), context)
        return
    yield _heading(path, command)
    yield f"    {' '.join((*path, *command.collect_usage_pieces(context)))}\n"
    yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """The table of a command's options; those of a group stand before the name of the command below it."""
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if not options:
        return
    if isinstance(command, click.Group):
        yield f"    {context.command_path} [OPTIONS] COMMAND ...\n"
    yield "| option | default | |\n| --- | --- | --- |"
    yield "\n".join(_option(option, context) for option in options) + "\n"


def _heading(path: tuple[str, ...], command: click.Command) -> str:
    help_text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines())
    return f"{'#' * min(len(path), 4)} {' '.join(path)}\n\n{inert(help_text)}\n"


def _option(option: click.Option, context: click.Context) -> str:
    metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
    names = ", ".join((*option.opts, *option.secondary_opts))
    default = option.default
    shown = (
        default if isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != "" else ""
    )
    needed = "required" if option.required else (f"`{shown}`" if shown != "" else "")
    return f"| `{names}{cell(metavar)}` | {cell(needed)} | {cell(inert(option.help or ''))} |"
