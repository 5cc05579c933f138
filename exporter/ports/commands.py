"""The command `deploywatch ports`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from deploywatch.config import nearest
from deploywatch.errors import ConfigError
from deploywatch.exporter.ports import registry as port_registry
from deploywatch.exporter.ports import report, sources
from deploywatch.exporter.ports.claims import Claim
from deploywatch.exporter.ports.conflicts import conflicts, suggestion
from deploywatch.exporter.ports.files import Files
from deploywatch.exporter.ports.report import FORMATS, Review
from deploywatch.terminal import say
from deploywatch.web import options

REGISTRY_NAMES = ("port-registry.json", "port-registry.yml", "port-registry.yaml")


@click.group()
def ports() -> None:
    """Hold the port registry against compose files, Kubernetes manifests and systemd sockets."""


_REGISTRY = click.option(
    "--registry", type=options.FILE, help=f"The registry; else {', '.join(REGISTRY_NAMES)} in this folder."
)
_ENVIRONMENT = click.option("--environment", help="Only this environment; else all.")
_ENV_FILE = click.option(
    "--env-file",
    "env_files",
    type=options.FILE,
    multiple=True,
    help="Variables of compose files; else .env beside them.",
)
_SOURCES = click.argument("files", nargs=-1, metavar="[[ENVIRONMENT[@MACHINE]=]FILE[,OVERRIDE…]]…")


@ports.command()
@_REGISTRY
@_ENVIRONMENT
@click.option(
    "--profile", "profiles", multiple=True, help="Only compose services of these profiles, and of none; else all."
)
@_ENV_FILE
@click.option("--suggest", is_flag=True, help="Name the nearest free ports beside each conflict.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.option("--ci", is_flag=True, help="A plain line a conflict; on GitHub annotations too. No registry is an error.")
@_SOURCES
def check(  # noqa: PLR0917 - click passes the options by name
    registry: Path | None,
    environment: str | None,
    profiles: tuple[str, ...],
    env_files: tuple[Path, ...],
    suggest: bool,
    form: str,
    ci: bool,
    files: tuple[str, ...],
) -> int:
    """Find every conflict of ports. Exit code 0: none; 1: there are some; 2: a file is bad, or nothing to look at."""
    path = _registry(registry)
    # In CI a renamed registry would else make every check pass.
    if ci and path is None:
        raise click.UsageError(
            f"there is no registry to hold the files against; write {REGISTRY_NAMES[0]}, or give --registry"
        )
    read = Files()
    entries, claims = _read(path, environment, files, env_files, read)
    known = {profile for claim in claims for profile in claim.profiles}
    for profile in profiles:
        if profile not in known:
            raise click.UsageError(f"--profile {profile}: no service has it{nearest(profile, known)}")
    met = conflicts(claims, entries, profiles)
    if suggest:
        met = [replace(each, suggestion=suggestion(each, [*entries, *claims])) for each in met]
    review = Review((*entries, *claims), tuple(met), tuple(read.notes))
    if ci and form == "table":
        report.ci(review, annotate=os.environ.get("GITHUB_ACTIONS") == "true")
    else:
        FORMATS[form](review)
    return 1 if met else 0


@ports.command()
@_REGISTRY
@_ENVIRONMENT
@_ENV_FILE
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_SOURCES
def show(
    registry: Path | None, environment: str | None, env_files: tuple[Path, ...], form: str, files: tuple[str, ...]
) -> None:
    """List which service has which ports, and where that is written."""
    read = Files()
    entries, claims = _read(_registry(registry), environment, files, env_files, read)
    if form == "json":
        FORMATS["json"](Review((*entries, *claims), (), tuple(read.notes)))
        return
    report.show([*entries, *claims])
    for note in read.notes:
        say(" ".join(note.splitlines()), err=True)


def _registry(given: Path | None) -> Path | None:
    if given is not None:
        return given
    return next((path for path in map(Path, REGISTRY_NAMES) if path.exists()), None)


def _registered(path: Path | None, read: Files) -> list[Claim]:
    try:
        return port_registry.load(path) if path else []
    except ConfigError as error:
        read.add(error.problems)
        return []


def _read(
    path: Path | None, environment: str | None, files: tuple[str, ...], env_files: tuple[Path, ...], read: Files
) -> tuple[list[Claim], list[Claim]]:
    """The registry's entries and the files' claims, of the environment that is asked for."""
    entries = _registered(path, read)
    known = list(dict.fromkeys(entry.environment for entry in entries))
    if environment and known and environment not in known:
        hint = nearest(environment, known)
        raise click.UsageError(f"--environment {environment}: the registry has no such environment{hint}")
    env_file = sources.in_folder(Path()) if not files else None
    listed = files or ((env_file,) if env_file else ())
    if not listed and path is None:
        raise click.UsageError(f"nothing to look at: no {REGISTRY_NAMES[0]} here, no compose file, and none was given")
    # To guess the environment would put its ports beside another one's entries.
    if env_file and not environment and len(known) > 1:
        listed = ()
        hint = f"Write {known[0]}={env_file}, or give --environment"
        read.note(f"{env_file} was not looked at: for which environment is it? {hint}")
    # Of a registry that is bad nobody knows the environments: the files' own faults are told beside its.
    given = environment or ("unknown" if read.bad else None)
    wanted = [sources.parse(text, given, known) for text in listed]
    wanted = [source for source in wanted if environment in {None, source.environment}]
    claims = sources.claims(wanted, read, sources.Variables(os.environ, env_files))
    # Only now: the faults of all files at once, and not of the first alone.
    read.raise_problems()
    return [entry for entry in entries if environment in {None, entry.environment}], claims
