"""systemd's socket units, with their drop-ins, and the ports that they listen on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from deploywatch.exporter.ports.claims import Claim, Origin, Range, address_of, checked
from deploywatch.exporter.ports.files import Files

_LISTENS = {"ListenStream": "tcp", "ListenDatagram": "udp"}
_SUFFIX = ".socket"


class _Line(NamedTuple):
    file: Path
    number: int
    key: str
    value: str


def claims(files: Files, paths: list[Path], environment: str, machine: str) -> Iterator[Claim]:
    """What a socket unit and its drop-ins claim; those in `NAME.socket.d` are read by themselves, as systemd does."""
    unit = paths[0]
    drop_ins = sorted(unit.with_name(unit.name + ".d").glob("*.conf"))
    lines = [line for path in (unit, *drop_ins, *paths[1:]) for line in _socket(files, path)]
    name = unit.name.removesuffix(_SUFFIX).removesuffix("@")
    aliases = {line.value.removesuffix(".service").removesuffix("@") for line in lines if line.key == "Service"}
    sctp = any(line.key == "SocketProtocol" and line.value == "sctp" for line in lines)
    for line in _listened(lines):
        try:
            place = _place(line.value)
        except ValueError as error:
            files.report(line.file, line.number, f"{line.key}: {error}")
            continue
        if place is None:
            continue
        address, port = place
        yield Claim(
            service=name,
            environment=environment,
            ports=Range(port, port),
            protocol="sctp" if sctp else _LISTENS[line.key],
            origin=Origin(str(line.file), line.number, 1),
            kind="systemd",
            machine=machine,
            address=address,
            aliases=frozenset(aliases),
        )


def _joined(content: str) -> Iterator[tuple[int, str]]:
    """Whole lines, each with the number where it begins; comments are left out."""
    begun, number = "", 0
    for position, raw in enumerate(content.splitlines(), 1):
        text = raw.strip()
        if not begun:
            number = position
        # Also between continued lines: systemd skips comments there.
        if text.startswith(("#", ";")) or (not text and not begun):
            continue
        if text.endswith("\\"):
            begun += text[:-1] + " "
            continue
        yield number, begun + text
        begun = ""


def _socket(files: Files, path: Path) -> Iterator[_Line]:
    """The assignments of the file's [Socket] sections; a line that ends with a backslash goes on in the next."""
    section = ""
    for number, whole in _joined(files.text(path) or ""):
        if whole.startswith("["):
            section = whole.strip("[]")
            continue
        key, sign, value = whole.partition("=")
        if not sign:
            files.report(path, number, "is neither [Section] nor Key=value")
        elif section == "Socket":
            yield _Line(path, number, key.strip(), value.strip())


def _listened(lines: list[_Line]) -> list[_Line]:
    """The listening lines that count: an empty one takes back all before it."""
    kept: list[_Line] = []
    for line in lines:
        # An empty assignment takes back all before it, as systemd does; drop-ins begin with one.
        if line.key in {*_LISTENS, "ListenSequentialPacket"} and not line.value:
            kept = []
        elif line.key in _LISTENS:
            kept.append(line)
    return kept


def _place(value: str) -> tuple[str, int] | None:
    """Address and port of a listening line; None for sockets of files and of virtual machines."""
    # Sockets of files and of machines have no port.
    if value.startswith(("/", "@", "vsock:", "%t", "%S", "%h")):
        return None
    # A number alone is a port on all addresses.
    address, _, port = value.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"{value!r} has no port that can be read here; write a number, or address:number")
    number = checked(Range(int(port), int(port))).start
    return address_of(address.partition("%")[0]), number
