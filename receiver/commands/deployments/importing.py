"""`deployments import`: records of what was deployed before are taken in together, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from deploywatch import json_text
from deploywatch.errors import DeploywatchError
from deploywatch.plurals import number_of
from deploywatch.receiver.client import Client, RefusedError
from deploywatch.receiver.commands.deployments import telling
from deploywatch.receiver.commands.shared import echo, pass_client

_PATH: Final = f"{telling.PATH}/import"
_TOO_MUCH: Final = (413, "split the file, and take in the part with the oldest first")
_PLACE: Final = re.compile(r"\$\.records\[(\d+)\](.*)")
_NOTHING: Final = "nothing was taken in; mend these, and import it again"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file that has something in it: the record, or why it is none."""

    place: str
    record: Any = None
    fault: str = ""


@click.command("import")
@click.argument("file", type=click.File("rb"))
@pass_client
def import_records(client: Client, file: Any) -> None:
    """Take in deployment records, one JSON object a line (- for standard input): all, or none where one is bad.

    A second time changes nothing.
    """
    lines = list(_lines(file))
    records = [line for line in lines if not line.fault]
    if len(records) < len(lines):
        # The receiver judges the others meanwhile, so that all faults are told at once.
        told = _faults(client, records, check=True) if records else ()
        mine = [f"{line.place}: {line.fault}" for line in lines if line.fault]
        raise click.UsageError("\n".join((*mine, *told, _NOTHING)))
    if not records:
        echo("no records to take in")
        return
    if faults := _faults(client, records, check=False):
        raise click.UsageError("\n".join((*faults, _NOTHING)))


def _lines(file: Any) -> Iterator[_Line]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        place = f"{file.name}:{number}"
        try:
            yield _Line(place, json_text.parse(line))
        except ValueError as error:
            yield _Line(place, fault=f"not JSON: {error}")


def _faults(client: Client, lines: Sequence[_Line], *, check: bool) -> Sequence[str]:
    """Send them; what the receiver has against them, each at its line. With `check` it takes nothing in."""
    body = {"records": [line.record for line in lines], "check": check}
    try:
        answer = client.record("POST", _PATH, body, needs=("new", "known", "notices"))
    except RefusedError as error:
        if error.status == _TOO_MUCH[0]:
            raise RefusedError(f"{error}: {_TOO_MUCH[1]}; nothing was taken in", error.status) from error
        if error.status != 400:
            raise
        return [_placed(fault, lines) for fault in error.said.splitlines()]
    except DeploywatchError as error:
        if not check:
            raise
        return [f"the other lines were not judged: {error}"]
    if not check:
        telling.warn(_placed(str(notice), lines) for notice in answer["notices"])
        known = f"; {number_of(answer['known'], 'was', 'were')} known" if answer["known"] else ""
        echo(f"{number_of(answer['new'], 'record')} taken in{known}")
    return ()


def _placed(fault: str, lines: Sequence[_Line]) -> str:
    """The fault at its line in the file, where the receiver told it at a record."""
    at = _PLACE.match(fault)
    if at is None or int(at[1]) >= len(lines):
        return fault
    rest = at[2] if at[2].startswith(":") else f": ${at[2]}"
    return f"{lines[int(at[1])].place}{rest}"
