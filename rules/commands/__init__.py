"""`deploywatch rules`: build from policies, check, test and compare them; one module a command beyond `build`.

Each of these is imported when it is called: those that ask a Prometheus need a client, which takes long to import.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError

from deploywatch.config import Settings
from deploywatch.errors import DeploywatchError
from deploywatch.plurals import number_of
from deploywatch.rules.build import ROUTES, Files, Stage, write
from deploywatch.rules.build import build as build_files
from deploywatch.rules.loading import load_all
from deploywatch.rules.outputs import operator_resources
from deploywatch.rules.outputs.operator_resources import Metadata
from deploywatch.rules.policy import Links, Receiver
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.terminal import say

# Filled by grafana, which stands above rules and may not be imported from here.
BESIDE: list[Stage] = []
"""What stands on the rules adds the files that it makes of a policy here; Grafana's dashboards do."""

Form = Callable[[Sequence[ResolvedPolicy], Files, Metadata], Iterable[tuple[str, str]]]
FORMS: dict[str, Form] = {
    "prometheus-rule": lambda policies, _, given: operator_resources.prometheus_rules(policies, given),
    "alertmanager-config": lambda policies, _, given: operator_resources.alertmanager_configs(policies, given),
    "grafana-configmap": lambda _, files, given: operator_resources.dashboard_config_maps(
        {name: text for name, text in files.items() if name.startswith("dashboards/")}, given
    ),
}
"""Further forms of what is built, by the name that `--as` takes."""

S = TypeVar("S", bound=Settings)

POLICY = click.Path(dir_okay=False, path_type=Path)

# Loaded when they are asked for: `build` needs no HTTP client, and starts in a pipeline.
_LATER = ("init", "check", "diff", "explain", "test")


class _Rules(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Rules)
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
    help="Write this too: the resources of the Prometheus operator, or ConfigMaps for Grafana's sidecar.",
)
@click.option("--namespace", default="", help="Where the resources of --as stand; alerts bear it as a label.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of the resources of --as.")
def build(
    *,
    policies: tuple[Path, ...],
    out: Path,
    more: tuple[str, ...],
    namespace: str,
    labels: tuple[str, ...],
    **instead: str | None,
) -> None:
    """Write rules/*.yml, tests/*.yml, alertmanager.yml, runbooks/*.md and dashboards/*.json below --out.

    The folder then holds what these policies build to; files that have not changed are left alone.
    """
    given = operator_resources.metadata(namespace, labels)
    if (namespace or labels) and not more:
        raise click.UsageError("--namespace and --label are about the resources that --as writes; add --as")
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
    files = dict(build_files(loaded, more=BESIDE))
    resolved = [resolve(policy) for policy in loaded] if more else []
    files |= {name: text for form in more for name, text in FORMS[form](resolved, dict(files), given)}
    try:
        changed = write(files, out)
    except OSError as error:
        raise DeploywatchError(f"cannot write {error.filename or out}: {error.strerror}") from error
    for name in changed:
        say(name)
    # Said, as an Alertmanager without the routes looks well and tells nobody.
    if ROUTES not in files:
        say(f"no {ROUTES}: no policy has a receiver, and there is no --webhook-url")
    say(f"{number_of(len(files), 'file')} in {out}, {len(changed)} changed")


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
