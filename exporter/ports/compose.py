"""Docker compose files, several of them added up as compose does, and the ports that their services publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploywatch.exporter.ports.claims import Claim, Origin
from deploywatch.exporter.ports.compose_ports import Published, long_form, short_form
from deploywatch.exporter.ports.files import Files
from deploywatch.exporter.ports.interpolation import fill
from deploywatch.files.document import Document
from deploywatch.files.document import Path as KeyPath

LABEL = "deploywatch.service"
"""A compose label that says as which service the registry knows it."""


@dataclass(slots=True)
class Entry:
    """One item of a service's `ports`, and where it stands."""

    published: Published
    origin: Origin


@dataclass(slots=True)
class Service:
    """What compose knows of a service once all files are added up, as far as ports go."""

    name: str
    ports: list[Entry] = field(default_factory=list)
    profiles: frozenset[str] = frozenset()
    aliases: set[str] = field(default_factory=set)
    host_network: Origin | None = None
    count: int = 1
    count_known: bool = True


class Compose:
    """Reads one compose project: its files in order, what they include and extend."""

    def __init__(self, files: Files, variables: Mapping[str, str]) -> None:
        self._files = files
        self._variables = variables
        self._reading: list[tuple[Path, str]] = []

    def project(self, paths: list[Path]) -> dict[str, Service]:
        """The services of the files, the later ones overriding; faults go to the files' problems."""
        services: dict[str, Service] = {}
        for path in paths:
            document = self._files.document(path)
            if document is None or not isinstance(document.data, dict):
                continue
            for included in self._included(document, path):
                for name, service in self.project(included).items():
                    # What is known already stays: an include adds services, and replaces none.
                    services.setdefault(name, service)
            for name, body in _mapping(document, ("services",)).items():
                # Compose's own tags: `!reset` takes away what an earlier file said, `!override` replaces it.
                if document.tags.get(("services", name)) == "!reset":
                    services.pop(name, None)
                    continue
                self._merge(services.setdefault(name, Service(name)), document, path, name, body)
        return services

    def _included(self, document: Document, path: Path) -> Iterator[list[Path]]:
        listed = document.data.get("include")
        for position, entry in enumerate(listed if isinstance(listed, list) else []):
            where: KeyPath = ("include", position)
            names = entry.get("path") if isinstance(entry, dict) else entry
            each = names if isinstance(names, list) else [names]
            files = [path.parent / self._text(document, where, name) for name in each if isinstance(name, str)]
            if len(files) != len(each):
                document.report(where, "must be a path, or a mapping with path")
            # Docker compose refuses a circle too; without this we would read until the stack is full.
            elif any((file, "") in self._reading for file in files):
                document.report(where, "includes a file that includes this one; take one of them out")
            else:
                self._reading += [(file, "") for file in files]
                yield files
                del self._reading[-len(files) :]

    def _merge(self, service: Service, document: Document, path: Path, name: str, body: Any) -> None:
        where: KeyPath = ("services", name)
        if not isinstance(body, dict):
            document.report(where, "must be a mapping, with image: or build:")
            return
        if "extends" in body:
            self._extend(service, document, path, name, body["extends"])
        self._add_ports(service, document, (*where, "ports"), body.get("ports"))
        if "profiles" in body:
            profiles = body["profiles"] if isinstance(body["profiles"], list) else [body["profiles"]]
            service.profiles = frozenset(str(profile) for profile in profiles)
        if isinstance(body.get("container_name"), str):
            service.aliases.add(body["container_name"])
        service.aliases |= _labelled(body.get("labels"))
        if "network_mode" in body:
            # With the host's network `ports` has no effect: the process binds what it likes.
            host = body["network_mode"] == "host"
            service.host_network = _origin(document, (*where, "network_mode")) if host else None
        self._count(service, document, where, body)

    def _extend(self, service: Service, document: Document, path: Path, name: str, extends: Any) -> None:
        where: KeyPath = ("services", name, "extends")
        given = extends if isinstance(extends, dict) else {"service": extends}
        of, file = given.get("service"), given.get("file")
        if not isinstance(of, str):
            document.report(where, "must be the name of a service, or a mapping with service and file")
            return
        there = path.parent / self._text(document, (*where, "file"), file) if isinstance(file, str) else path
        base = document if there == path else self._files.document(there)
        if base is None:
            return
        bodies = _mapping(base, ("services",))
        if of not in bodies:
            document.report(where, f"{there} has no service {of!r}")
        elif (there, of) in self._reading:
            document.report(where, f"{of} extends itself over others; take one extends out")
        else:
            self._reading.append((there, of))
            self._merge(service, base, there, of, bodies[of])
            self._reading.pop()

    def _count(self, service: Service, document: Document, where: KeyPath, body: dict[str, Any]) -> None:
        deploy, key, count = body.get("deploy"), (*where, "scale"), body.get("scale")
        # `scale` is the older word for the same; Docker compose takes no file in which the two differ.
        if isinstance(deploy, dict) and "replicas" in deploy:
            key, count = (*where, "deploy", "replicas"), deploy["replicas"]
        if count is None:
            return
        text = self._text(document, key, str(count))
        if text.isdigit():
            service.count = int(text)
        elif key not in document.unfilled:
            document.report(key, f"{text!r} is not a number of instances")

    def _add_ports(self, service: Service, document: Document, where: KeyPath, listed: Any) -> None:
        if document.tags.get(where) in {"!reset", "!override"}:
            service.ports = []
        if listed is None or document.tags.get(where) == "!reset":
            return
        if not isinstance(listed, list):
            document.report(where, 'must be a list, such as ["8080:80"]')
            return
        for position, item in enumerate(listed):
            if document.tags.get((*where, position)) == "!reset":
                continue
            published = self._published(document, (*where, position), item)
            if published is not None and all(entry.published != published for entry in service.ports):
                service.ports.append(Entry(published, _origin(document, (*where, position))))

    def _published(self, document: Document, path: KeyPath, item: Any) -> Published | None:
        try:
            if isinstance(item, dict):
                text = {
                    key: self._text(document, (*path, key), str(value))
                    for key, value in item.items()
                    if value is not None
                }
                return None if document.unfilled & {(*path, key) for key in text} else long_form(text)
            if isinstance(item, bool) or not isinstance(item, int | str):
                document.report(path, 'must be a text such as "8080:80", or a mapping with target and published')
                return None
            text_item = self._text(document, path, str(item))
            return None if path in document.unfilled else short_form(text_item)
        except ValueError as error:
            document.report(path, str(error))
            return None

    def _text(self, document: Document, path: KeyPath, text: str) -> str:
        try:
            return fill(text, self._variables)
        except ValueError as error:
            document.report(path, str(error))
            document.unfilled.add(path)
            return ""


def _origin(document: Document, path: KeyPath) -> Origin:
    return Origin(document.file, *document.place(path))


def _mapping(document: Document, path: KeyPath) -> dict[str, Any]:
    value: Any = document.data
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _labelled(labels: Any) -> set[str]:
    if isinstance(labels, dict):
        return {str(labels[LABEL])} if LABEL in labels else set()
    pairs = [str(label).partition("=") for label in labels] if isinstance(labels, list) else []
    return {value for name, _, value in pairs if name == LABEL}


def claims(services: Mapping[str, Service], environment: str, machine: str) -> Iterator[Claim]:
    """What a project's services claim; ports that the host chooses are nobody's claim."""
    for service in services.values():
        for entry in service.ports:
            if entry.published.ports is not None and service.count > 0:
                yield Claim(
                    service=service.name,
                    environment=environment,
                    ports=entry.published.ports,
                    protocol=entry.published.protocol,
                    origin=entry.origin,
                    kind="compose",
                    machine=machine,
                    address=entry.published.address,
                    aliases=frozenset(service.aliases),
                    profiles=service.profiles,
                    # A range for one port of the container: the host takes one of it for each instance.
                    count=service.count * len(entry.published.target),
                )
