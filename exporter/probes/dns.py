"""The `dns` probe: one query to one server, and whether its answer is what it must be."""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar, Literal, Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
from pydantic import AfterValidator, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.connect import Place, Reach
from deploywatch.exporter.net.dial import connect
from deploywatch.exporter.net.dns import additional, over_channel, over_udp, query, records, udp_socket
from deploywatch.exporter.net.dns_records import RecordRules, known_class, known_rcode, known_type
from deploywatch.exporter.net.resolve import Address, note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient, context_for
from deploywatch.exporter.net.tls.handshake import secure
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Dropped, Failed, Reason


def server_place(address: str, port: int) -> Place:
    """Read `host`, `host:port`, `::1` or `[::1]:53`; ValueError for anything else."""
    host, given = address, ""
    if address.startswith("["):
        host, _, given = address[1:].partition("]")
        given = given.removeprefix(":")
    # More than one colon is an IPv6 address without brackets, which has no port.
    elif address.count(":") == 1:
        host, _, given = address.partition(":")
    number = int(given) if given.isascii() and given.isdigit() else port
    if (
        not host
        or any(letter in host for letter in "/@ \t\r\n\\?#[]")
        or not 0 < number < 65_536
        or (given and not given.isdigit())
    ):
        raise ValueError(f"{address!r} is not a DNS server; write host or host:port, such as 192.0.2.53:53")
    return Place(host, number)


def _server(address: str) -> str:
    server_place(address, 53)
    return address


class DnsSettings(ProbeSettings, Reach):
    """A DNS server, what it is asked, and what it must answer."""

    target_key: ClassVar[TargetKey | None] = TargetKey("address", "target.invalid")

    kind: Literal["dns"]
    address: Annotated[str, AfterValidator(_server)]
    query_name: str
    # blackbox_exporter's own default, so that its modules mean the same here.
    query_type: Annotated[str, AfterValidator(known_type)] = "ANY"
    query_class: Annotated[str, AfterValidator(known_class)] = "IN"
    recursion_desired: bool = True
    transport_protocol: Literal["udp", "tcp"] = "udp"
    dns_over_tls: bool = False
    tls: TlsClient = TlsClient()
    valid_rcodes: tuple[Annotated[str, AfterValidator(known_rcode)], ...] = ("NOERROR",)
    validate_answer_rrs: RecordRules = RecordRules()
    validate_authority_rrs: RecordRules = RecordRules()
    validate_additional_rrs: RecordRules = RecordRules()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dns_over_tls and self.transport_protocol != "tcp":
            raise ValueError("dns_over_tls needs transport_protocol: tcp; add it")
        if not self.valid_rcodes:
            raise ValueError("valid_rcodes is empty; no answer would be good. Write one such as NOERROR")
        # Built once to see that it can be: a name of 300 characters is a fault of the file, not of the server.
        query(self.query_name, self.query_type, self.query_class, recursion=self.recursion_desired)
        return self

    @property
    def place(self) -> Place:
        """Host and port of the server."""
        return server_place(self.address, 853 if self.dns_over_tls else 53)

    def server(self) -> str | None:
        """The server, with its port."""
        return f"{self.place.host}:{self.place.port}"

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: over UDP nothing is connected, and without rules no record is wrong."""
        udp = self.transport_protocol == "udp"
        never = frozenset({Reason.CONNECT_TIMEOUT, Reason.RESET, Reason.TOO_LARGE}) if udp else frozenset[Reason]()
        never |= frozenset() if self.dns_over_tls else {Reason.TLS, Reason.TLS_VERIFY}
        rules = (self.validate_answer_rrs, self.validate_authority_rrs, self.validate_additional_rrs)
        return never | (frozenset() if any(rule != RecordRules() for rule in rules) else {Reason.BODY})

    def probe(self) -> DnsProbe:
        """The probe that does what these settings say."""
        return DnsProbe(self)

    def with_target(self, target: str) -> Self:
        """The same query to another server."""
        return self.with_changes(address=target)


class DnsProbe:
    """Asks one server."""

    def __init__(self, settings: DnsSettings) -> None:
        self.settings = settings

    async def measure(self, measurement: Measurement) -> None:
        """Ask, note the sizes of the answer's sections, and judge it."""
        phases, answer = dict.fromkeys(("resolve", "connect", "request"), 0.0), None
        try:
            answer = await self._ask(phases, measurement)
        finally:
            # All of them, those that were not reached as 0: a series that comes and goes cannot be summed.
            for phase, seconds in phases.items():
                measurement.add(families.DNS_DURATION, seconds, phase=phase)
            measurement.add(families.DNS_QUERY_SUCCEEDED, answer is not None)
        await self._judge(answer, measurement)

    async def _ask(self, phases: dict[str, float], measurement: Measurement) -> dns.message.Message:
        settings, place = self.settings, self.settings.place
        message = query(
            settings.query_name, settings.query_type, settings.query_class, recursion=settings.recursion_desired
        )
        with measurement.timed("resolve", overdue=Reason.DNS) as passed:
            addresses = await settings.route(measurement).addresses(*place)
        phases["resolve"] = passed()
        measurement.add(families.DNS_LOOKUP, passed())
        if settings.transport_protocol == "udp":
            note_address(addresses[0], measurement)
            with measurement.timed("request") as passed, udp_socket(addresses[0], settings.source_ip_address) as sock:
                answer = await over_udp(sock, message)
            phases["request"] = passed()
            return answer
        with measurement.timed("connect", overdue=Reason.CONNECT_TIMEOUT) as passed:
            channel = await self._connect(addresses, measurement)
        phases["connect"] = passed()
        try:
            if settings.dns_over_tls:
                with measurement.timed("tls") as passed:
                    await self._secure(channel, measurement)
                # As blackbox_exporter, whose phase `connect` has the handshake in it.
                phases["connect"] += passed()
            with measurement.timed("request") as passed:
                answer = await over_channel(channel, message)
            phases["request"] = passed()
        finally:
            channel.close()
        return answer

    async def _connect(self, addresses: list[Address], measurement: Measurement) -> Channel:
        settings, reached = self.settings, addresses[0]
        try:
            sock, reached = await connect(addresses, source=settings.source_ip_address)
        finally:
            note_address(reached, measurement)
        return Channel(sock)

    async def _secure(self, channel: Channel, measurement: Measurement) -> None:
        tls = self.settings.tls
        name = tls.server_name or self.settings.place.host
        await secure(channel, context_for(tls), name, lambda shown: certificates.note(shown, measurement))

    async def _judge(self, answer: dns.message.Message, measurement: Measurement) -> None:
        settings = self.settings
        sections = {
            "answer": (list(records(answer.answer)), families.DNS_ANSWER_RRS, settings.validate_answer_rrs),
            "authority": (list(records(answer.authority)), families.DNS_AUTHORITY_RRS, settings.validate_authority_rrs),
            "additional": (additional(answer), families.DNS_ADDITIONAL_RRS, settings.validate_additional_rrs),
        }
        for lines, family, _ in sections.values():
            measurement.add(family, len(lines))
        if settings.query_type == "SOA":
            for rdata in itertools.chain.from_iterable(answer.answer):
                if isinstance(rdata, dns.rdtypes.ANY.SOA.SOA):
                    measurement.add(families.DNS_SERIAL, rdata.serial)
        if answer.flags & dns.flags.TC:
            # As blackbox_exporter, what came is judged; that it is not all must be seen.
            measurement.dropped[Dropped.TRUNCATED_ANSWER] += 1
            measurement.remarks.append("the answer is cut off; transport_protocol: tcp gives all of it")
        code = dns.rcode.to_text(answer.rcode())
        if code not in settings.valid_rcodes:
            raise Failed(Reason.STATUS, f"the server answered {code}, not {' or '.join(settings.valid_rcodes)}")
        for section, (lines, _, rules) in sections.items():
            await rules.check(section, lines)
