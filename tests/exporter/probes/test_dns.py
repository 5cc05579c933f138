"""The `dns` probe against a server with a zone, and one that is out of its mind."""

from __future__ import annotations

import socket
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from pydantic import ValidationError

from deploywatch.exporter.results import Dropped, Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.dns_server import DnsServer, dns_server
from tests.exporter.support import cut, measured, probe


async def ask(server: DnsServer, name: str = "shop.example.com", kind: str = "A", **more: Any) -> Result:
    address = f"127.0.0.1:{server.tls_port if more.get('dns_over_tls') else server.port}"
    return await probe(kind="dns", address=address, query_name=name, query_type=kind, **more)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_good_answer_is_a_success_with_the_size_of_its_sections(transport: str) -> None:
    async with dns_server() as server:
        result = await ask(server, transport_protocol=transport)
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_dns_query_succeeded"] == 1
    assert [values[f"probe_dns_{section}_rrs"] for section in ("answer", "authority", "additional")] == [2, 1, 1]
    assert values["probe_dns_duration_seconds{phase=request}"] > 0
    assert values["probe_ip_protocol"] == 4
    assert "probe_dns_serial" not in values


async def test_the_serial_of_a_zone_is_told() -> None:
    async with dns_server() as server:
        assert measured(await ask(server, "example.com", "SOA"))["probe_dns_serial"] == 2026112801
        assert "probe_dns_serial" not in measured(await ask(server, "shop.example.com", "SOA"))


async def test_over_tls_the_certificate_is_told_and_checked(certs: Certs) -> None:
    more: dict[str, Any] = {"transport_protocol": "tcp", "dns_over_tls": True}
    async with dns_server(certs.server()) as server:
        result = await ask(server, tls={"ca_file": certs.ca_file}, **more)
        assert result.success, result.detail
        assert measured(result)["probe_tls_version_info{version=TLS 1.3}"] == 1
        result = await ask(server, **more)
    assert result.reason is Reason.TLS_VERIFY
    assert measured(result)["probe_dns_query_succeeded"] == 0


async def test_a_code_that_is_not_valid_says_so() -> None:
    async with dns_server() as server:
        result = await ask(server, "nothing.example.com")
        assert (result.reason, result.detail) == (Reason.STATUS, "the server answered NXDOMAIN, not NOERROR")
        assert measured(result)["probe_dns_query_succeeded"] == 1
        assert (await ask(server, "nothing.example.com", valid_rcodes=["NXDOMAIN"])).success


async def test_the_settings_of_the_query_are_sent() -> None:
    async with dns_server() as server:
        await ask(server, "version.bind", "txt", query_class="ch", recursion_desired=False)
    assert str(server.asked[0].question[0]) == "version.bind. CH TXT"
    assert not server.asked[0].flags & 0x0100


A, B = r"192\.0\.2\.1$", r"192\.0\.2\.2$"


@pytest.mark.parametrize(
    ("rule", "patterns", "name", "good"),
    [
        ("fail_if_matches_regexp", [A], "shop", False),
        ("fail_if_matches_regexp", ["10[.]"], "shop", True),
        ("fail_if_not_matches_regexp", ["192[.]0"], "shop", True),
        ("fail_if_not_matches_regexp", [A], "shop", False),
        ("fail_if_not_matches_regexp", [A], "mail", False),
        ("fail_if_none_matches_regexp", [A], "shop", True),
        ("fail_if_none_matches_regexp", ["10[.]"], "shop", False),
        ("fail_if_none_matches_regexp", [A], "mail", False),
        ("fail_if_all_match_regexp", ["192[.]0"], "shop", True),
        ("fail_if_all_match_regexp", [A], "shop", False),
        ("fail_if_all_match_regexp", [A], "mail", True),
        ("fail_if_not_matches_regexp", ["^shop.example.com.\t300\tIN\tA\t192"], "shop", True),
    ],
)
async def test_the_records_are_held_against_the_rules(rule: str, patterns: list[str], name: str, good: bool) -> None:
    async with dns_server() as server:
        result = await ask(server, f"{name}.example.com", validate_answer_rrs={rule: patterns})
        assert result.success is good, result.detail
        assert result.reason is (None if good else Reason.BODY)


async def test_every_section_has_rules_of_its_own() -> None:
    none = {"fail_if_matches_regexp": ["."]}
    async with dns_server() as server:
        for section in ("answer", "authority", "additional"):
            rules: dict[str, Any] = {f"validate_{section}_rrs": none}
            result = await ask(server, **rules)
            assert (result.reason, result.detail.partition(":")[0]) == (Reason.BODY, section)


async def test_what_belongs_to_another_query_or_is_no_message_is_not_taken_for_the_answer() -> None:
    async with dns_server() as server:
        server.raw = b"\0\1nonsense"
        result = await ask(server, transport_protocol="tcp")
        assert result.reason is Reason.PROTOCOL

        server.cut, server.raw = 20, None
        for transport in ("udp", "tcp"):
            result = await ask(server, transport_protocol=transport)
            assert result.reason is Reason.PROTOCOL
            assert "not a DNS message" in result.detail


async def test_a_server_that_is_not_there_or_silent_is_the_reason() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{quiet.getsockname()[1]}"
        result, _ = await cut("request", kind="dns", address=address, query_name="x.example", query_type="A")
        assert result.reason is Reason.DEADLINE
        assert "request" in result.detail
    result = await probe(kind="dns", address=address, query_name="x.example", query_type="A")
    assert result.reason is Reason.CONNECT_REFUSED
    assert measured(result)["probe_dns_query_succeeded"] == 0
    result = await probe(kind="dns", address="ns.invalid", query_name="x.example")
    assert result.reason is Reason.DNS


async def test_codes_beyond_the_head_are_read() -> None:
    def bad_version(reply: dns.message.Message) -> None:
        reply.use_edns(0)
        reply.set_rcode(dns.rcode.BADVERS)

    async with dns_server() as server:
        server.change = bad_version
        result = await ask(server)
    assert result.detail == "the server answered BADVERS, not NOERROR"
    assert measured(result)["probe_dns_additional_rrs"] == 2, "the OPT record counts, as in blackbox_exporter"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"query_type": "NONSENSE"}, "is not a type of record"),
        ({"query_class": "NONSENSE"}, "is not a class"),
        ({"valid_rcodes": ["FINE"]}, "is not a response code"),
        ({"valid_rcodes": []}, "valid_rcodes is empty"),
        ({"dns_over_tls": True}, "needs transport_protocol: tcp"),
        ({"query_name": "a..b"}, "is not a name"),
        ({"address": "http://ns.example"}, "is not a DNS server"),
        ({"address": "ns.example:x"}, "is not a DNS server"),
        ({"source_ip_address": "here"}, "is not an IP address"),
    ],
)
async def test_a_fault_of_the_settings_says_what_to_do(more: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        await probe(**{"kind": "dns", "address": "127.0.0.1", "query_name": "x.example", **more})


async def test_it_asks_from_the_address_that_it_is_told() -> None:
    async with dns_server() as server:
        for transport in ("udp", "tcp"):
            assert (await ask(server, transport_protocol=transport, source_ip_address="127.0.0.9")).success
            result = await ask(server, transport_protocol=transport, source_ip_address="192.0.2.77")
            assert result.reason is Reason.UNREACHABLE
            result = await ask(server, transport_protocol=transport, source_ip_address="::1")
            assert result.reason is Reason.DNS
            assert "no IPv6 address" in result.detail


async def test_an_answer_that_is_cut_off_is_judged_and_what_is_missing_counted() -> None:
    def cut(reply: dns.message.Message) -> None:
        reply.flags |= dns.flags.TC
        reply.answer.clear()

    async with dns_server() as server:
        server.change = cut
        good = await ask(server)
        bad = await ask(server, validate_answer_rrs={"fail_if_none_matches_regexp": ["192"]})
    assert (good.success, good.dropped) == (True, {Dropped.TRUNCATED_ANSWER: 1})
    assert bad.detail == (
        "there is no record in the answer section; the answer is cut off; transport_protocol: tcp gives all of it"
    )
