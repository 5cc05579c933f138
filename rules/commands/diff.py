"""`deploywatch rules diff`: what changes for people when one policy takes the place of another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from deploywatch.files.document import path_text
from deploywatch.rules.difference.changes import changes
from deploywatch.rules.loading import load
from deploywatch.terminal import as_json, say

POLICY = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("old", type=POLICY)
@click.argument("new", type=POLICY)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--exit-code", is_flag=True, help="Exit 1 when something changes.")
def diff(old: Path, new: Path, form: str, exit_code: bool) -> None:
    """Say in words what changes for people when the policy NEW takes the place of OLD.

    To compare with what is committed: git show main:checkout.yml > /tmp/old.yml, then diff /tmp/old.yml checkout.yml.
    """
    differences = changes(load(old), load(new))
    if form == "json":
        say(as_json([asdict(change) | {"path": path_text(change.path)} for change in differences]))
    else:
        for change in differences:
            say(change.said)
        if not differences:
            say("nothing changes for anybody")
    if differences and exit_code:
        raise SystemExit(1)
