"""The file of registered ports that `deploywatch ports` reads too, taken into the config's `ports`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from deploywatch.config import RelativePath, Settings, nearest
from deploywatch.errors import ConfigError, Problem
from deploywatch.exporter.ports import registry
from deploywatch.exporter.ports.claims import Claim
from deploywatch.exporter.probes.port import Entry
from deploywatch.files.document import Document


class PortRegistry(Settings):
    """Where the file is, and on which host ports are whose entry names none."""

    file: RelativePath
    host: str | None = Field(default=None, min_length=1)


def take_in(document: Document, base: Path) -> tuple[str, ...]:
    """Put what the file registers for the config's environment into the document's `ports`; faults go to its problems.

    What comes back says which entries are not probed, and why: a range is an allocation of which any part may be in
    use, and only TCP can be asked whether somebody listens.
    """
    data = document.data if isinstance(document.data, dict) else {}
    given = data.get("port_registry")
    if not isinstance(given, dict) or not isinstance(given.get("file"), str):
        return ()
    path = base / Path(given["file"]).expanduser()
    try:
        claims = registry.load(path)
    except ConfigError as error:
        document.problems += error.problems
        return ()
    environment = str(data.get("environment", "default"))
    known = list(dict.fromkeys(claim.environment for claim in claims))
    if environment not in known:
        document.report(
            ("port_registry", "file"), f"{path} has no environment {environment!r}{nearest(environment, known)}"
        )
        return ()
    # Other environments' ports are not reachable from here, or they are somebody else's.
    mine = [claim for claim in claims if claim.environment == environment]
    ports = data.setdefault("ports", {})
    for name, claim, entry in _entries(document, mine, given.get("host")):
        # Neither wins in silence: two places that say the same today differ tomorrow.
        if isinstance(ports, dict) and name in ports:
            document.report(("ports", name), f"is registered at {claim.origin} too; take one of them out")
        elif isinstance(ports, dict):
            ports[name] = entry
    return tuple(f"{claim.origin}: {claim} is not probed: {why}" for claim in mine if (why := _unprobed(claim)))


def _unprobed(claim: Claim) -> str:
    if claim.protocol != "tcp":
        return f"whether somebody listens on {claim.protocol} cannot be asked"
    return "it is a range, of which any part may be in use" if len(claim.ports) > 1 else ""


def _problems(claim: Claim, error: ValidationError) -> Iterator[Problem]:
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        yield Problem(*claim.origin, f"{claim.service}.{place}".rstrip("."), message)


def _entries(
    document: Document, claims: Sequence[Claim], default: Any
) -> Iterator[tuple[str, Claim, dict[str, object]]]:
    probed = [claim for claim in claims if not _unprobed(claim)]
    for claim in probed:
        host = claim.machine or claim.address or default
        if not host:
            message = f"give port_registry a host: {claim.origin} registers {claim} on no host of its own"
            document.report(("port_registry",), message)
            continue
        several = sum(other.service == claim.service for other in probed) > 1
        name = f"{claim.service}-{claim.ports}" if several else claim.service
        bracketed = f"[{host}]" if ":" in str(host) else host
        entry = {"address": f"{bracketed}:{claim.ports}", **(claim.marks or {"listens": True})}
        try:
            Entry.model_validate(entry)
        except ValidationError as error:
            document.problems += _problems(claim, error)
            continue
        yield name, claim, entry
