"""`deploywatch rules`: build from policies, check, test and compare them; one module a command beyond the first two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from deploywatch.errors import DeploywatchError
from deploywatch.rules.build import Stage, write
from deploywatch.rules.build import build as build_files
from deploywatch.rules.commands.diff import diff
from deploywatch.rules.commands.test import test
from deploywatch.rules.loading import load_all
from deploywatch.rules.outputs import prometheus_rule
from deploywatch.rules.policy import Policy
from deploywatch.terminal import say

BESIDE: list[Stage] = []
"""What stands on the rules adds the files that it makes of a policy here; Grafana's dashboards do."""
FORMS: dict[str, Stage] = {"prometheus-rule": prometheus_rule.files}
"""Further forms of the rules, by the name that `--as` takes."""

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
    loaded = [_instead(policy, receiver=receiver, links=links) for policy in load_all(policies)]
    files = build_files(loaded, more=[*BESIDE, *(FORMS[name] for name in more)])
    try:
        changed = write(files, out)
    except OSError as error:
        raise DeploywatchError(f"cannot write {error.filename or out}: {error.strerror}") from error
    for name in changed:
        say(name)
    say(f"{len(files)} files in {out}, {len(changed)} changed")


@rules.command()
@click.argument("policies", type=POLICY, nargs=-1, required=True, metavar="POLICY...")
def check(policies: tuple[Path, ...]) -> None:
    """Say all that is wrong with the policies, with file:line:column; exit 2 if anything is."""
    for path, policy in zip(policies, load_all(policies), strict=True):
        say(f"{path}: policy {policy.policy}, {len(policy.alerts)} alerts: good")


for command in (diff, test):
    rules.add_command(command)


def _instead(policy: Policy, **sections: dict[str, str | None]) -> Policy:
    """The policy with these values in place of its own, where they are given."""
    changed: dict[str, Any] = {}
    for name, values in sections.items():
        section = getattr(policy, name)
        given = {key: value for key, value in values.items() if value is not None}
        try:
            changed[name] = type(section).model_validate(section.model_dump() | given)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise click.UsageError(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}") from error
    return policy.model_copy(update=changed)
