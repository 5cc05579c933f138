"""`deploywatch rules`: build from policies, check, test and compare them; one module a command beyond the first two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError

from deploywatch.config import Settings
from deploywatch.errors import DeploywatchError
from deploywatch.rules.build import ROUTES, Stage, write
from deploywatch.rules.build import build as build_files
from deploywatch.rules.commands.check import check
from deploywatch.rules.commands.diff import diff
from deploywatch.rules.commands.explain import explain
from deploywatch.rules.commands.init import init
from deploywatch.rules.commands.test import test
from deploywatch.rules.loading import load_all
from deploywatch.rules.outputs import prometheus_rule
from deploywatch.rules.policy import Links, Receiver
from deploywatch.terminal import say

BESIDE: list[Stage] = []
"""What stands on the rules adds the files that it makes of a policy here; Grafana's dashboards do."""
FORMS: dict[str, Stage] = {"prometheus-rule": prometheus_rule.files}
"""Further forms of the rules, by the name that `--as` takes."""

S = TypeVar("S", bound=Settings)

POLICY = click.Path(dir_okay=False, path_type=Path)


@click.group()
def rules() -> None:
    """Build Prometheus rules, their tests, routes, runbooks and dashboards from policies."""


@rules.command()
@click.argument("policies", type=POLICY, nargs=-1, required=True, metavar="POLICY...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where to write.")
@click.option("--webhook-url", help="Send alerts here instead of where the policies say.")
@click.option("--webhook-token-file", help="Bearer token for it, as a path that Alertmanager can read.")
@click.option("--runbook-url", help="Runbooks are served below this URL.")
@click.option("--grafana-url", help="The root of Grafana.")
@click.option(
    "--as",
    "more",
    type=click.Choice(sorted(FORMS)),
    multiple=True,
    help="Write this too: prometheus-rule is the resource of the Prometheus operator.",
)
def build(policies: tuple[Path, ...], out: Path, more: tuple[str, ...], **instead: str | None) -> None:
    """Write rules/*.yml, tests/*.yml, alertmanager.yml, runbooks/*.md and dashboards/*.json below --out.

    The folder then holds what these policies build to; files that have not changed are left alone.
    """
    receiver = {"url": instead["webhook_url"], "token_file": instead["webhook_token_file"]}
    links = {"runbooks": instead["runbook_url"], "grafana": instead["grafana_url"]}
    loaded = [
        policy.model_copy(
            update={
                "receiver": _instead(Receiver, policy.receiver, receiver),
                "links": _instead(Links, policy.links, links),
            }
        )
        for policy in load_all(policies)
    ]
    files = build_files(loaded, more=[*BESIDE, *(FORMS[name] for name in more)])
    try:
        changed = write(files, out)
    except OSError as error:
        raise DeploywatchError(f"cannot write {error.filename or out}: {error.strerror}") from error
    for name in changed:
        say(name)
    if ROUTES not in files:
        say(f"no {ROUTES}: no policy has a receiver, and there is no --webhook-url")
    say(f"{len(files)} files in {out}, {len(changed)} changed")


for command in (init, check, diff, explain, test):
    rules.add_command(command)


def _instead(kind: type[S], section: S | None, values: Mapping[str, str | None]) -> S | None:
    """A section of a policy with these values in place of its own, where they are given."""
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        return section
    try:
        return kind.model_validate((section.model_dump() if section is not None else {}) | given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise click.UsageError(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}") from error
