"""What a review is asked to look at: files, of which environment and machine, and which kind each is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from deploywatch.config import nearest
from deploywatch.exporter.ports import compose, kubernetes, systemd
from deploywatch.exporter.ports.claims import Claim
from deploywatch.exporter.ports.files import Files
from deploywatch.exporter.ports.interpolation import read_env_file

_PREFIX = re.compile(r"(?P<environment>[A-Za-z0-9_.-]*)(?:@(?P<machine>[A-Za-z0-9_.-]+))?=(?P<paths>.+)")
COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""What docker compose looks for, in its order; an override of the same name is added."""


@dataclass(frozen=True, slots=True)
class Source:
    """Files that belong together: the first, and what overrides it; of an environment, maybe on one machine of it."""

    paths: tuple[Path, ...]
    environment: str
    machine: str = ""


def parse(text: str, environment: str | None, known: Sequence[str]) -> Source:
    """Read `[ENVIRONMENT[@MACHINE]=]FILE[,OVERRIDE…]`; click.UsageError says what lacks.

    Without an environment it is the one that is asked for, else the only one that the registry knows.
    """
    match = _PREFIX.fullmatch(text)
    named, machine, paths = (match["environment"], match["machine"], match["paths"]) if match else ("", None, text)
    files = tuple(Path(each) for each in paths.split(",") if each)
    chosen = named or environment or (known[0] if len(known) == 1 else "")
    if not chosen and not known:
        chosen = "default"
    if not chosen:
        hint = f"for which environment is it? Write {known[0]}={text}, or give --environment; known: {', '.join(known)}"
        raise click.UsageError(f"{text}: {hint}")
    if known and chosen not in known:
        raise click.UsageError(f"{text}: the registry has no environment {chosen!r}{nearest(chosen, known)}")
    return Source(files, chosen, (machine or "").lower())


def in_folder(folder: Path) -> str | None:
    """The compose file of a folder, with its override, as docker compose finds it."""
    for name in COMPOSE_NAMES:
        path = folder / name
        if path.exists():
            # Docker compose reads the override by itself where no file was named.
            overrides = [path.with_name(f"{path.stem}.override{suffix}") for suffix in (".yml", ".yaml")]
            return ",".join(str(each) for each in (path, *(o for o in overrides if o.exists())))
    return None


@dataclass(frozen=True, slots=True)
class Variables:
    """Where the variables of compose files come from: the environment, over env files, over `.env` beside the file."""

    process: Mapping[str, str]
    env_files: tuple[Path, ...] = ()

    def of(self, source: Source, files: Files) -> dict[str, str]:
        """The variables of a source; faults go to the files' problems."""
        beside = source.paths[0].parent / ".env"
        paths = self.env_files or ((beside,) if beside.exists() else ())
        variables: dict[str, str] = {}
        for path in paths:
            text = files.text(path)
            try:
                variables |= read_env_file(text or "")
            except ValueError as error:
                files.report(path, 0, str(error))
        # The environment wins over the file, as in Docker compose.
        return variables | dict(self.process)


def claims(sources: Sequence[Source], files: Files, variables: Variables | None = None) -> list[Claim]:
    """All claims of all sources; faults go to the files' problems, what cannot be seen to its notes."""
    variables = variables or Variables(os.environ)
    return [claim for source in sources for claim in _of(source, files, variables)]


def _of_compose(source: Source, files: Files, variables: Variables) -> Iterator[Claim]:
    services = compose.Compose(files, variables.of(source, files)).project(list(source.paths))
    for service in services.values():
        if service.host_network:
            files.note(
                f"{service.host_network}: {service.name} is on the host's network; its ports are not in this file"
            )
    yield from compose.claims(services, source.environment, source.machine)


def _of(source: Source, files: Files, variables: Variables) -> Iterator[Claim]:
    first = source.paths[0]
    if first.suffix == ".socket":
        yield from systemd.claims(files, list(source.paths), source.environment, source.machine)
        return
    documents = [document for document in files.documents(first) if document.data is not None]
    # By what is in it: a folder of YAML has no names that one could go by.
    if any(kubernetes.is_manifest(document) for document in documents):
        for path in source.paths:
            yield from kubernetes.claims(files, path, source.environment, source.machine)
        return
    if any(isinstance(each.data, dict) and {"services", "include"} & each.data.keys() for each in documents):
        yield from _of_compose(source, files, variables)
        return
    if not any(document.problems for document in files.documents(first)) and first.is_file():
        files.report(
            first, 1, "is no compose file (services:), no object of Kubernetes (apiVersion:, kind:) and no .socket unit"
        )
