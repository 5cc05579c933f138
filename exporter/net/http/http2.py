"""One HTTP/2 request on a connection: what is sent, and the answer with its trailers. The frames are h2's affair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.circles import dissolve
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.http.reading.response_parser import HEAD_LIMIT
from deploywatch.exporter.results import Failed, Reason

ALPN = ("h2", "http/1.1")
_CONFIG = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=True)
_WINDOW = 1024 * 1024
_FRAME_HEAD, _TYPE, _SETTINGS = 9, 3, 4
# Of what is no HTTP/2, so much is told.
_SHOWN = 80

Headers = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Http2:
    """One request and its answer; Failed(protocol) where the server breaks the rules, Failed(reset) where it ends."""

    channel: Channel
    limit: int
    connection: h2.connection.H2Connection = field(init=False)
    fields: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    preface: bytes = b""
    seen: int = 0
    done: bool = False

    def __post_init__(self) -> None:
        self.connection = h2.connection.H2Connection(_CONFIG)
        codes = h2.settings.SettingCodes
        self.connection.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                # Nobody here would read what is pushed.
                codes.ENABLE_PUSH: 0,
                codes.INITIAL_WINDOW_SIZE: _WINDOW,
                codes.MAX_HEADER_LIST_SIZE: HEAD_LIMIT,
            },
        )
        self.connection.decoder.max_header_list_size = HEAD_LIMIT

    def close(self) -> None:
        """Let go of h2's connection, whose parts refer to each other."""
        dissolve(self.connection, *self.connection.streams.values())

    async def send(self, headers: Headers, body: bytes) -> None:
        """Send the request, pseudo-headers first, and wait until the answer has begun."""
        self.connection.initiate_connection()
        self.connection.send_headers(
            1, [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers], not body
        )
        await self._flush()
        while body and not self.done:
            room = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size)
            # The server's window is full; it opens by a frame that we have to read.
            if room <= 0:
                await self._receive()
                continue
            piece, body = body[:room], body[room:]
            self.connection.send_data(1, piece, end_stream=not body)
            await self._flush()
        # Some servers answer before they have the whole body; the rest is then no longer sent.
        while not (self.fields or self.done):
            await self._receive()

    async def finish(self) -> Response:
        """Read to the end, or as much of the body as the limit lets."""
        while not self.done:
            await self._receive()
        headers: dict[str, str] = {}
        for name, value in self.fields:
            # RFC 9110: fields of one name are joined by commas, but for Set-Cookie, whose dates have commas.
            between = "\n" if name == "set-cookie" else ", "
            headers[name] = headers[name] + between + value if name in headers else value
        return Response(
            int(headers.pop(":status")),
            "2",
            headers,
            body=b"".join(self.pieces)[: self.limit],
            complete=self.seen <= self.limit,
            bytes_read=self.seen,
            fields=[(name, value) for name, value in self.fields if name != ":status"],
        )

    async def _flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            await self.channel.send(data)

    async def _receive(self) -> None:
        data = await self.channel.receive()
        if not data:
            raise Failed(Reason.RESET, "the connection was closed before the answer was complete")
        self._check_preface(data)
        try:
            events = self.connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise Failed(Reason.PROTOCOL, f"the answer is not good HTTP/2: {error}") from error
        for event in events:
            self._take(event)
        # h2 answers pings and settings by itself, but sends nothing.
        await self._flush()

    def _check_preface(self, data: bytes) -> None:
        """Failed(protocol) when the server does not begin with SETTINGS, as RFC 9113 has it: it speaks no HTTP/2.

        h2 would wait for as many bytes as another language's letters seem to announce.
        """
        if len(self.preface) < _FRAME_HEAD:
            self.preface += data[:_FRAME_HEAD]
            if len(self.preface) > _TYPE and self.preface[_TYPE] != _SETTINGS:
                beginning = (data if data.startswith(self.preface) else self.preface)[:_SHOWN].partition(b"\r\n")[0]
                raise Failed(Reason.PROTOCOL, f"the server does not speak HTTP/2; it says {beginning!r}")

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.fields = _text(event.headers)
            case h2.events.TrailersReceived():
                self.trailers = _text(event.headers)
            case h2.events.DataReceived():
                self._keep(event.data)
                # Else the server stops at the end of the window, and the probe waits for its deadline.
                self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
            case h2.events.StreamEnded():
                self.done = True
            case h2.events.StreamReset():
                code = _name(event.error_code)
                raise Failed(Reason.RESET, f"the server has broken off the request: {code}")
            case h2.events.ConnectionTerminated() if event.error_code != h2.errors.ErrorCodes.NO_ERROR:
                raise Failed(Reason.RESET, f"the server has ended the connection: {_name(event.error_code)}")

    def _keep(self, data: bytes) -> None:
        if self.seen <= self.limit:
            self.pieces.append(data)
        self.seen += len(data)
        self.done = self.done or self.seen > self.limit


def _text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in headers]


def _name(code: object) -> str:
    return str(getattr(code, "name", code))
