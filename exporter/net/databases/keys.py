"""Gauges from a Redis server: the lengths and values of keys, found by a bounded SCAN, and what INFO tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import LABEL_LIMIT, Gauge, LabelName
from deploywatch.exporter.probing import Measurement
from deploywatch.exporter.results import Failed, Family, Reason

Statistics = Literal["memory", "clients", "replication"]
Word = str | bytes | int

_LENGTH: Mapping[bytes, str] = {
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
    b"hash": "HLEN",
    b"string": "STRLEN",
}
_SCAN_COUNT = 1000
_SCAN_CALLS = 200
_INFO: Mapping[Statistics, Mapping[str, Family]] = {
    "memory": {"used_memory": families.REDIS_MEMORY, "maxmemory": families.REDIS_MEMORY_MAX},
    "clients": {
        "connected_clients": families.REDIS_CLIENTS,
        "blocked_clients": families.REDIS_CLIENTS_BLOCKED,
        "maxclients": families.REDIS_CLIENTS_MAX,
    },
    "replication": {
        "connected_slaves": families.REDIS_REPLICAS,
        "master_last_io_seconds_ago": families.REDIS_LAST_IO,
    },
}


class KeyGauge(Gauge):
    """The length or the value of a key, or of each key of a pattern such as `queue:*`; or how many these are.

    With `label`, what stands in place of the `*` is its value.
    """

    key: str = Field(min_length=1)
    label: LabelName | None = None
    read: Literal["length", "value", "count"] = "length"
    max_keys: int = Field(default=100, ge=1, le=10_000)

    @model_validator(mode="after")
    def _one_star(self) -> Self:
        if self.key.count("*") > 1 or any(character in self.key for character in "?[]\\"):
            raise ValueError("a key is a name with at most one `*` in it, and no other wildcards")
        if self.read == "count" and ("*" not in self.key or self.label):
            raise ValueError("`read: count` counts the keys of a pattern; give it a key with a `*`, and no label")
        if self.read != "count" and ("*" in self.key) is not (self.label is not None):
            raise ValueError("a key with a `*` needs a label for what stands in its place, and one without needs none")
        return self


class Conversation:
    """Commands to a server and their answers, over one connection of the redis library."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def ask(self, *words: Word) -> Any:
        """One command, and its answer."""
        await self.connection.send_command(*words)
        return await self.connection.read_response()

    async def ask_all(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """Several commands at once, and their answers in order."""
        if not commands:
            return []
        await self.connection.send_packed_command(self.connection.pack_commands(commands))
        return [await self.connection.read_response() for _ in commands]


async def note_keys(talk: Conversation, name: str, gauge: KeyGauge, measurement: Measurement) -> None:
    """Add the samples of a gauge; a key that is not there has no value, and the length 0."""
    family = gauge.family(name)
    if "*" not in gauge.key:
        for number in await _numbers(talk, [gauge.key.encode()], gauge):
            if number is not None:
                measurement.add(family, number)
        return
    keys = await _scan(talk, name, gauge)
    if gauge.read == "count":
        measurement.add(family, len(keys))
        return
    before, _, after = gauge.key.encode().partition(b"*")
    label = gauge.label or ""
    for key, number in zip(keys, await _numbers(talk, keys, gauge), strict=True):
        if number is not None:
            middle = key[len(before) : len(key) - len(after)]
            measurement.add(family, number, **{label: middle.decode("utf-8", "replace")[:LABEL_LIMIT]})


async def note_info(talk: Conversation, wanted: Iterable[Statistics], measurement: Measurement) -> None:
    """Add what INFO tells in these sections."""
    for section in wanted:
        text = await talk.ask("INFO", section)
        fields = dict(line.split(":", 1) for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
        for key, family in _INFO[section].items():
            if key in fields:
                measurement.add(family, float(fields[key]))
        if section == "replication":
            replica = fields.get("role") == "slave"
            measurement.add(families.REDIS_REPLICA, replica)
            if replica:
                measurement.add(families.REDIS_LINK_UP, fields.get("master_link_status") == "up")


async def _scan(talk: Conversation, name: str, gauge: KeyGauge) -> list[bytes]:
    keys: dict[bytes, None] = {}
    cursor: Word = 0
    most = 1_000_000 if gauge.read == "count" else gauge.max_keys
    for _ in range(_SCAN_CALLS):
        cursor, page = await talk.ask("SCAN", cursor, "MATCH", gauge.key, "COUNT", _SCAN_COUNT)
        keys |= dict.fromkeys(page)
        if len(keys) > most:
            raise Failed(Reason.TOO_LARGE, f"gauge {name}: more than {most} keys match {gauge.key}")
        if int(cursor) == 0:
            return sorted(keys)
    raise Failed(Reason.TOO_LARGE, f"gauge {name}: more than {_SCAN_CALLS} calls of SCAN would be needed")


async def _numbers(talk: Conversation, keys: Sequence[bytes], gauge: KeyGauge) -> list[float | None]:
    if gauge.read == "value":
        return [_number(value, gauge) for value in await talk.ask_all([("GET", key) for key in keys])]
    types = await talk.ask_all([("TYPE", key) for key in keys])
    commands: list[tuple[Word, ...]] = []
    for key, kind in zip(keys, types, strict=True):
        if kind != b"none" and kind not in _LENGTH:
            raise Failed(
                Reason.VALUE, f"{gauge.key}: a key of the type {kind.decode('utf-8', 'replace')} has no length"
            )
        # A key that is gone is an empty list as well as anything else.
        commands.append((_LENGTH.get(kind, "LLEN"), key))
    return [float(length) for length in await talk.ask_all(commands)]


def _number(value: bytes | None, gauge: KeyGauge) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError as error:
        raise Failed(Reason.VALUE, f"{gauge.key} holds a value that is not a number") from error
