"""Gauges from a Redis server: the lengths and values of keys, measurement by a bounded SCAN, and what INFO tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import Gauge, LabelName, number
from deploywatch.exporter.net.databases.conversation import Conversation, Word
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Dropped, Failed, Family, Reason

Statistics = Literal["memory", "clients", "replication"]

_LENGTH: Mapping[bytes, str] = {
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
    b"hash": "HLEN",
    b"string": "STRLEN",
}
# A page takes Redis about a millisecond, in which it answers nobody else.
_SCAN_COUNT = 1000
# With the page size: patterns are searched in at most 200,000 keys a run.
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
        if self.type == "counter" and self.read != "value":
            raise ValueError("a length or a count of keys falls as well, so it is a gauge; a counter needs read: value")
        return self


async def note_keys(talk: Conversation, name: str, gauge: KeyGauge, measurement: Measurement) -> None:
    """Add the samples of a gauge; a key that is not there has no value, the length 0, and as a counter the value 0."""
    family = gauge.family(name)
    if "*" not in gauge.key:
        for held in await _numbers(talk, [gauge.key.encode()], gauge):
            if held is not None:
                measurement.add(family, held)
            # A counter that nobody has counted up yet is 0, so that its first increase shows.
            elif gauge.type == "counter":
                measurement.add(family, 0)
            else:
                measurement.dropped[Dropped.NULL_VALUE] += 1
        return
    keys = await _scan(talk, name, gauge)
    if gauge.read == "count":
        measurement.add(family, len(keys))
        return
    before, _, after = gauge.key.encode().partition(b"*")
    label = gauge.label or ""
    samples: dict[str, float] = {}
    for key, held in zip(keys, await _numbers(talk, keys, gauge), strict=True):
        if held is None:
            # It has expired since it was seen.
            measurement.dropped[Dropped.NULL_VALUE] += 1
            continue
        text = measurement.label(key[len(before) : len(key) - len(after)].decode("utf-8", "replace"))
        if text in samples:
            raise Failed(
                Reason.VALUE, f'gauge {name} has more than one key for {{{label}="{text}"}}; tell them apart in that'
            )
        samples[text] = held
    for text, held in samples.items():
        measurement.add(family, held, **{label: text})


async def note_info(talk: Conversation, wanted: Iterable[Statistics], measurement: Measurement) -> None:
    """Add what INFO tells in these sections."""
    for section in wanted:
        text = await talk.ask("INFO", section)
        fields = dict(line.split(":", 1) for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
        # A managed Redis may have the section and say nothing in it.
        if not fields.keys() & (_INFO[section].keys() | {"role"}):
            raise Failed(Reason.VALUE, f"INFO {section} says nothing here; leave {section} out of collect")
        for key, family in _INFO[section].items():
            if key not in fields:
                continue
            amount = number(fields[key])
            if amount is None:
                raise Failed(Reason.VALUE, f"INFO {section}: {key} is not a number")
            measurement.add(family, amount)
        if section == "replication":
            replica = fields.get("role") == "slave"
            measurement.add(families.REDIS_REPLICA, replica)
            if replica:
                measurement.add(families.REDIS_LINK_UP, fields.get("master_link_status") == "up")


async def _scan(talk: Conversation, name: str, gauge: KeyGauge) -> list[bytes]:
    """The keys of a pattern, of every node of a cluster."""
    keys: dict[bytes, None] = {}
    most = 1_000_000 if gauge.read == "count" else gauge.max_keys
    calls = 0
    for node in await talk.nodes():
        cursor: Word = 0
        while True:
            cursor, page = await node.ask("SCAN", cursor, "MATCH", gauge.key, "COUNT", _SCAN_COUNT)
            keys |= dict.fromkeys(page)
            calls += 1
            if len(keys) > most:
                many = f"gauge {name}: more than {most} keys match {gauge.key}; at least {len(keys)} do"
                raise Failed(Reason.TOO_LARGE, many)
            # SCAN ends by its cursor, never by an empty page.
            if int(cursor) == 0:
                break
            if calls >= _SCAN_CALLS:
                raise Failed(Reason.TOO_LARGE, f"gauge {name}: more than {_SCAN_CALLS} calls of SCAN would be needed")
    return sorted(keys)


async def _numbers(talk: Conversation, keys: Sequence[bytes], gauge: KeyGauge) -> list[float | None]:
    if gauge.read == "value":
        values = await talk.ask_all([("GET", key) for key in keys])
        return [_number(key, value, gauge) for key, value in zip(keys, values, strict=True)]
    types = await talk.ask_all([("TYPE", key) for key in keys])
    commands: list[tuple[Word, ...]] = []
    for key, kind in zip(keys, types, strict=True):
        if kind != b"none" and kind not in _LENGTH:
            shown = key.decode("utf-8", "replace")
            raise Failed(Reason.VALUE, f"{shown}: a key of the type {kind.decode('utf-8', 'replace')} has no length")
        # A key that is gone is an empty list as well as anything else.
        commands.append((_LENGTH.get(kind, "LLEN"), key))
    return [float(length) for length in await talk.ask_all(commands)]


def _number(key: bytes, value: bytes | None, gauge: KeyGauge) -> float | None:
    if value is None:
        return None
    name, held = key.decode("utf-8", "replace"), number(value.decode("utf-8", "replace"))
    if held is None:
        raise Failed(Reason.VALUE, f"{name} holds a value that is not a number")
    if gauge.type == "counter" and not 0 <= held < math.inf:
        raise Failed(Reason.VALUE, f"{name} holds {held:g}, and a counter is a number from 0 up")
    return held
