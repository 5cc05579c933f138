"""The port registry: a JSON or YAML file that says which service has which ports in which environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploywatch import config
from deploywatch.config import nearest
from deploywatch.errors import ConfigError
from deploywatch.exporter.ports.claims import PROTOCOLS, Claim, Origin, Range, address_of, checked
from deploywatch.files.document import Document
from deploywatch.files.document import Path as KeyPath

MARKS = ("http", "speaks", "banner", "free")
"""How the exporter's `port` probe knows the service; `deploywatch ports` does not use them."""
_KEYS = ("start", "end", "description", "protocol", "host", *MARKS)


def load(path: Path) -> list[Claim]:
    """The entries of a registry, as claims of kind `registry`; ConfigError carries every fault with its place.

    The file is service → environment → entry, or a list of entries; an entry has `start`, and may have `end`,
    `description`, `protocol` (tcp, udp or sctp), `host` and how the service is known. Source: 003, port-registry.json.
    """
    document = config.read_file(path)
    claims = list(_claims(document))
    if document.problems:
        raise ConfigError(document.problems)
    return claims


def _claims(document: Document) -> Iterator[Claim]:
    if document.data is None:
        if not document.problems:
            document.report((), "is empty; write service: {environment: {start: 8080}}")
        return
    for service, environments in _mapping(document, (), document.data, "a mapping of services"):
        for environment, entries in _mapping(document, (service,), environments, "a mapping of environments"):
            path: KeyPath = (service, environment)
            listed = list(enumerate(entries)) if isinstance(entries, list) else [(None, entries)]
            if not listed:
                document.report(path, "has no entry; write {start: 8080}, or take the environment out")
            for position, entry in listed:
                claim = _claim(document, path if position is None else (*path, position), entry)
                if claim is not None:
                    yield claim


def _mapping(document: Document, path: KeyPath, value: Any, what: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    document.report(path, f"must be {what}, with a `name: value` on each line")
    return []


def _claim(document: Document, path: KeyPath, entry: Any) -> Claim | None:
    if not isinstance(entry, dict):
        document.report(path, "must be a mapping, such as {start: 8080, end: 8089, description: web}")
        return None
    # All faults of an entry are told at once, and then it is left out as a whole.
    before = len(document.problems)
    for key in entry:
        if key not in _KEYS:
            document.report((*path, key), f"unknown key{nearest(key, _KEYS)}")
    ports = _ports(document, path, entry)
    protocol = str(entry.get("protocol") or "tcp").lower()
    if protocol not in PROTOCOLS:
        document.report((*path, "protocol"), f"must be tcp, udp or sctp, not {protocol!r}")
    machine, address = _place(document, path, entry.get("host"))
    if ports is None or len(document.problems) > before:
        return None
    return Claim(
        service=str(path[0]),
        environment=str(path[1]),
        ports=ports,
        protocol=protocol,
        origin=Origin(document.file, *document.place(path)),
        kind="registry",
        machine=machine,
        address=address,
        description=str(entry.get("description") or ""),
        marks={key: entry[key] for key in MARKS if key in entry},
    )


def _ports(document: Document, path: KeyPath, entry: dict[str, Any]) -> Range | None:
    if "start" not in entry:
        document.report(path, "start is required; write start: 8080, and end: 8089 for a range")
        return None
    ends: list[int] = []
    for key in ("start", "end"):
        value = entry.get(key, entry["start"])
        text = "" if isinstance(value, bool) else str(value)
        if not (text.isascii() and text.isdigit()):
            document.report((*path, key), f"{value!r} is not a port; write a number, such as 8080")
        else:
            ends.append(int(text))
    if len(ends) != 2:
        return None
    try:
        return checked(Range(*ends))
    except ValueError as error:
        document.report((*path, "end" if "end" in entry else "start"), str(error))
        return None


def _place(document: Document, path: KeyPath, host: Any) -> tuple[str, str]:
    """The machine and the address that `host` means: an address is bound, a name is a machine."""
    if host is None:
        return "", ""
    if not isinstance(host, str):
        document.report((*path, "host"), "must be the name of a machine, or an address such as 127.0.0.1")
        return "", ""
    try:
        # What reads as an address is one; anything else names a machine.
        return "", address_of(host)
    except ValueError:
        return host.strip().lower(), ""
