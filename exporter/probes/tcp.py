"""The `tcp` probe: connect, and if asked, begin TLS and hold a dialogue of lines sent and expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from deploywatch.config import Settings
from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import LabelName
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.connect import AddressField, Reach, encrypt, open_channel, place
from deploywatch.exporter.net.lines import Lines
from deploywatch.exporter.net.pattern import Found, Pattern, search
from deploywatch.exporter.net.starttls import Protocol, beginning, start_tls
from deploywatch.exporter.net.tls import TlsClient
from deploywatch.exporter.probing import Measurement, ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Reason

_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)\})")


class Turn(Settings):
    """Wait for a line that matches `expect`, then `send` one, then perhaps begin TLS; each of them may be left out.

    In `send` and `labels`, `$1` and `$name` stand for what the groups of `expect` captured, and `$$` for a dollar.
    """

    expect: Pattern | None = None
    labels: dict[LabelName, str] = Field(default_factory=dict)
    send: str | None = None
    starttls: bool = False

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.expect is None and self.send is None and not self.starttls:
            raise ValueError("is empty; give it expect, send or starttls")
        if self.labels and self.expect is None:
            raise ValueError("labels are what `expect` captured; give it expect")
        return self


class TcpSettings(ProbeSettings, Reach):
    """A TCP server, and what is said to it."""

    target_key: ClassVar[TargetKey | None] = TargetKey("address", "target.invalid:1")

    kind: Literal["tcp"]
    address: AddressField
    use_tls: bool = False
    starttls: Protocol | None = None
    tls: TlsClient = TlsClient()
    query_response: tuple[Turn, ...] = ()

    @model_validator(mode="after")
    def _one_tls(self) -> Self:
        if self.use_tls + bool(self.starttls) + sum(turn.starttls for turn in self.query_response) > 1:
            raise ValueError("TLS can begin only once; keep one of use_tls, starttls, and starttls in query_response")
        return self

    def probe(self) -> TcpProbe:
        """The probe that does what these settings say."""
        return TcpProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Without TLS and a dialogue there is nothing of theirs to fail by."""
        turns = self.query_response
        secured = self.use_tls or self.starttls or any(turn.starttls for turn in turns)
        never = frozenset[Reason]() if secured else frozenset({Reason.TLS, Reason.TLS_VERIFY})
        listens = bool(self.starttls) or any(turn.expect for turn in turns)
        return never | (frozenset() if listens else {Reason.BODY, Reason.TOO_LARGE, Reason.PROTOCOL})

    def with_target(self, target: str) -> Self:
        """The same dialogue with another `host:port`."""
        return self.with_changes(address=target)


class TcpProbe:
    """Connects, talks, and leaves."""

    def __init__(self, settings: TcpSettings) -> None:
        self.settings = settings
        self.place = place(settings.address)

    async def measure(self, measurement: Measurement) -> None:
        """Connect and hold the dialogue."""
        settings = self.settings
        failed_by_pattern = False
        channel = await open_channel(self.place, settings.route(measurement), measurement)
        try:
            if settings.starttls:
                with measurement.timed("starttls"):
                    await start_tls(channel, settings.starttls)
            if settings.use_tls or settings.starttls:
                begin = beginning(settings.starttls)
                await encrypt(channel, settings.tls, self.place.host, measurement, begin)
            with measurement.timed("dialogue") as passed:
                await self._talk(channel, measurement)
            measurement.add(families.TCP_DURATION, passed(), phase="dialogue")
        except Failed as failed:
            failed_by_pattern = failed.reason is Reason.BODY
            raise
        finally:
            channel.close()
            measurement.add(families.FAILED_DUE_TO_REGEX, failed_by_pattern)

    async def _talk(self, channel: Channel, measurement: Measurement) -> None:
        lines = Lines(channel)
        for number, turn in enumerate(self.settings.query_response, 1):
            measurement.stage = f"dialogue, turn {number}"
            send = turn.send
            if turn.expect is not None:
                match = await _expect(lines, turn.expect, number)
                if turn.labels:
                    measurement.add(families.EXPECT_INFO, 1, **_labels(turn.labels, match, measurement))
                send = expand(send, match) if send is not None else None
            if send is not None:
                await channel.send(send.encode() + b"\n")
            if turn.starttls:
                if lines.left:
                    raise Failed(Reason.PROTOCOL, "the server said more before TLS began than it should")
                await encrypt(channel, self.settings.tls, self.place.host, measurement)


async def _expect(lines: Lines, pattern: str, number: int) -> Found:
    """The first line that matches; Failed(body) when the connection ends before there is one."""
    while (line := await lines.next()) is not None:
        match = await search(pattern, line)
        if match:
            return match
    raise Failed(Reason.BODY, f"turn {number}: the connection ended and no line had matched {pattern!r}")


def expand(text: str, match: Found) -> str:
    """The text with what was captured in place of `$1`, `${1}` and `$name`."""

    def captured(reference: re.Match[str]) -> str:
        key = reference["bare"] or reference["braced"]
        return match.group(key) if key else "$"

    return _REFERENCE.sub(captured, text)


def _labels(labels: Mapping[str, str], match: Found, measurement: Measurement) -> dict[str, str]:
    return {name: measurement.label(expand(value, match)) for name, value in labels.items()}
