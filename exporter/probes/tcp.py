"""The `tcp` probe: connect, and if asked, begin TLS and hold a dialogue of lines sent and expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PlainSerializer, model_validator

from deploywatch.config import Settings
from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import LabelName
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.connect import AddressField, Reach, encrypt, open_channel, place
from deploywatch.exporter.net.lines import Lines
from deploywatch.exporter.net.pattern import Found, Pattern, search
from deploywatch.exporter.net.tls.client import TlsClient
from deploywatch.exporter.net.tls.starttls import Protocol, beginning, start_tls
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Reason

Expected = Literal["expect", "expect_bytes"]


# Of a line that was not expected, so much is told.
_SHOWN = 80


class NotSaidError(Failed):
    """The server did not say what a turn expects."""

    def __init__(self, expected: Expected, detail: str) -> None:
        super().__init__(Reason.BODY, detail)
        self.expected = expected


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


WireText = Annotated[str, PlainSerializer(_shown, return_type=str)]
"""A config field for what goes over the wire, which need not be UTF-8."""

_REFERENCE = re.compile(r"\$(?:\$|(?P<bare>\w+)|\{(?P<braced>\w+)\})")


class Turn(Settings):
    """Wait for a line that matches `expect`, then `send` one, then perhaps begin TLS; each of them may be left out.

    In `send` and `labels`, `$1` and `$name` stand for what the groups of `expect` captured, and `$$` for a dollar.
    `expect_bytes` are the bytes that must come next, whatever lines they are in.
    """

    expect: Pattern | None = None
    expect_bytes: WireText | None = Field(default=None, min_length=1)
    labels: dict[LabelName, str] = Field(default_factory=dict)
    send: WireText | None = None
    starttls: bool = False

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.expect is None and self.expect_bytes is None and self.send is None and not self.starttls:
            raise ValueError("is empty; give it expect, expect_bytes, send or starttls")
        if self.expect is not None and self.expect_bytes is not None:
            raise ValueError("expect and expect_bytes are both given; keep one")
        if self.labels and self.expect is None:
            raise ValueError("labels are what `expect` captured; give it expect")
        return self


class Dialogue(Settings):
    """What is said on a connection, and when TLS begins."""

    use_tls: bool = False
    tls: TlsClient = TlsClient()
    query_response: tuple[Turn, ...] = ()

    @model_validator(mode="after")
    def _one_tls(self) -> Self:
        others = self.use_tls + bool(getattr(self, "starttls", None))
        if others + sum(turn.starttls for turn in self.query_response) > 1:
            raise ValueError("TLS can begin only once; keep one of use_tls, starttls, and starttls in query_response")
        return self

    def unsaid(self) -> frozenset[Reason]:
        """Reasons that cannot occur: without TLS or without a dialogue, those of TLS or of the dialogue."""
        turns, starttls = self.query_response, bool(getattr(self, "starttls", None))
        secured = self.use_tls or starttls or any(turn.starttls for turn in turns)
        never = frozenset[Reason]() if secured else frozenset({Reason.TLS, Reason.TLS_VERIFY})
        listens = starttls or any(turn.expect or turn.expect_bytes for turn in turns)
        never |= frozenset() if starttls else {Reason.UNAVAILABLE}
        return never | (frozenset() if listens else {Reason.BODY, Reason.TOO_LARGE, Reason.PROTOCOL})


class TcpSettings(ProbeSettings, Reach, Dialogue):
    """A TCP server, and what is said to it."""

    target_key: ClassVar[TargetKey | None] = TargetKey("address", "target.invalid:1")

    kind: Literal["tcp"]
    address: AddressField
    starttls: Protocol | None = None

    def probe(self) -> TcpProbe:
        """The probe that does what these settings say."""
        return TcpProbe(self)

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur with this dialogue."""
        return self.unsaid()

    def with_target(self, target: str) -> Self:
        """The same dialogue with another `host:port`."""
        return self.with_changes(address=target)


class TcpProbe:
    """Connects to a server and holds the dialogue."""

    def __init__(self, settings: TcpSettings) -> None:
        self.settings = settings
        self.place = place(settings.address)

    async def measure(self, measurement: Measurement) -> None:
        """Connect and hold the dialogue."""
        settings = self.settings
        channel = await open_channel(self.place, settings.route(measurement), measurement)
        talked = False
        try:
            if settings.starttls:
                with measurement.timed("starttls"):
                    await start_tls(channel, settings.starttls)
            if settings.use_tls or settings.starttls:
                begin = beginning(settings.starttls)
                await encrypt(channel, settings.tls, self.place.host, measurement, begin)
            talked = True
            await hold(channel, settings, self.place.host, measurement)
        finally:
            channel.close()
            if not talked:
                measurement.add(families.FAILED_DUE_TO_REGEX, 0)


async def hold(channel: Channel, dialogue: Dialogue, host: str, measurement: Measurement) -> None:
    """Hold a dialogue; Failed where the server does not say what it must."""
    failed_by: Expected | None = None
    try:
        with measurement.timed("dialogue") as passed:
            await _talk(channel, dialogue, host, measurement)
        measurement.add(families.TCP_DURATION, passed(), phase="dialogue")
    except NotSaidError as error:
        failed_by = error.expected
        raise
    finally:
        measurement.add(families.FAILED_DUE_TO_REGEX, failed_by == "expect")
        if any(turn.expect_bytes for turn in dialogue.query_response):
            measurement.add(families.FAILED_DUE_TO_BYTES, failed_by == "expect_bytes")


async def _talk(channel: Channel, dialogue: Dialogue, host: str, measurement: Measurement) -> None:
    lines = Lines(channel)
    for number, turn in enumerate(dialogue.query_response, 1):
        measurement.stage = f"dialogue, turn {number}"
        send = turn.send
        if turn.expect is not None:
            match = await _expect(lines, turn.expect, number)
            if turn.labels:
                measurement.add(families.EXPECT_INFO, 1, **_labels(turn.labels, match, measurement))
            send = expand(send, match) if send is not None else None
        if turn.expect_bytes is not None:
            await _expect_bytes(lines, turn.expect_bytes.encode("utf-8", "surrogateescape"), number)
        if send is not None:
            await channel.send(send.encode("utf-8", "surrogateescape") + b"\n")
        if turn.starttls:
            # What came in the clear and would be read as if it had come over TLS: a known attack on STARTTLS
            # (CVE-2011-0411).
            if lines.left:
                raise Failed(Reason.PROTOCOL, "the server said more before TLS began than it should")
            await encrypt(channel, dialogue.tls, host, measurement)


async def _expect_bytes(lines: Lines, wanted: bytes, number: int) -> None:
    try:
        got = await lines.exactly(len(wanted))
    except Failed as failed:
        if failed.reason is not Reason.RESET:
            raise
        raise NotSaidError("expect_bytes", f"turn {number}: the connection ended before the bytes were there") from None
    if got != wanted:
        raise NotSaidError("expect_bytes", f"turn {number}: the server sent {got!r}, not {wanted!r}")


async def _expect(lines: Lines, pattern: str, number: int) -> Found:
    """The first line that matches; Failed(body) when the connection ends before there is one."""
    last = b""
    while (line := await lines.next()) is not None:
        match = await search(pattern, line)
        if match:
            return match
        last = line
    last_line = f"; the last was {last[:_SHOWN].decode('utf-8', 'replace')!r}" if last else ""
    raise NotSaidError("expect", f"turn {number}: the connection ended and no line had matched {pattern!r}{last_line}")


def expand(text: str, match: Found) -> str:
    """The text with what was captured in place of `$1`, `${1}` and `$name`."""

    def captured(reference: re.Match[str]) -> str:
        key = reference["bare"] or reference["braced"]
        return match.group(key) if key else "$"

    return _REFERENCE.sub(captured, text)


def _labels(labels: Mapping[str, str], match: Found, measurement: Measurement) -> dict[str, str]:
    return {name: measurement.label(expand(value, match)) for name, value in labels.items()}
