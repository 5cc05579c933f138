"""The `tls` probe against servers with good and bad certificates, and after STARTTLS."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.exporter.net.connect import place
from deploywatch.exporter.net.tls.certificates import suite
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, Web, cut, mail, measured, probe, scripted, silent, upgrading

Start = Callable[[Talk], Awaitable[int]]
DAY = 86400


async def looked_at(context: ssl.SSLContext, host: str = "127.0.0.1", **settings: Any) -> Result:
    """Run the probe on a server with this context."""
    async with Tcp(silent, tls=context) as port:
        return await probe(kind="tls", address=f"{host}:{port}", **settings)


def problems(result: Result) -> set[str]:
    """What is wrong with the certificate."""
    return {
        label for name in measured(result) if name.startswith("probe_tls_verify") for label in [name.split("=")[1][:-1]]
    }


async def test_a_good_certificate_is_a_success_with_all_that_it_shows(certs: Certs) -> None:
    result = await looked_at(certs.server(), tls={"ca_file": certs.ca_file})
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_ssl_earliest_cert_expiry"] > result.started
    assert values["probe_ssl_last_chain_expiry_timestamp_seconds"] > result.started
    assert values["probe_tls_version_info{version=TLS 1.3}"] == 1
    assert values["probe_tls_cipher_info{cipher=TLS_AES_256_GCM_SHA384}"] == 1
    assert values["probe_tcp_duration_seconds{phase=tls}"] > 0
    assert values["probe_ip_protocol"] == 4
    assert problems(result) == set()


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("expired", "expired"), ("not_yet_valid", "not_yet_valid"), ("self_signed", "self_signed")],
)
async def test_a_bad_certificate_says_what_is_wrong_and_shows_its_expiry(certs: Certs, kind: str, problem: str) -> None:
    result = await looked_at(getattr(certs, kind)(), host="localhost", tls={"ca_file": certs.ca_file})
    assert result.reason is Reason.TLS_VERIFY
    assert result.detail.startswith(f"{problem}: ")
    assert problems(result) == {problem}
    days = (measured(result)["probe_ssl_earliest_cert_expiry"] - result.started) / DAY
    assert {"expired": -2 < days < 0, "not_yet_valid": 8 < days < 10, "self_signed": 29 < days < 31}[kind]
    assert "probe_ssl_last_chain_expiry_timestamp_seconds" not in measured(result)


async def test_a_certificate_for_another_host_says_so(certs: Certs) -> None:
    settings: dict[str, Any] = {"tls": {"ca_file": certs.ca_file}}
    wrong = await looked_at(certs.server("shop.example"), host="localhost", **settings)
    assert (wrong.reason, problems(wrong)) == (Reason.TLS_VERIFY, {"hostname"})
    assert (await looked_at(certs.server("localhost"), host="127.0.0.1", **settings)).reason is Reason.TLS_VERIFY
    named: dict[str, Any] = {"tls": {"ca_file": certs.ca_file, "server_name": "shop.example"}}
    assert (await looked_at(certs.server("shop.example"), **named)).success


async def test_an_unknown_authority_says_so(certs: Certs) -> None:
    result = await looked_at(certs.server())
    assert (result.reason, problems(result)) == (Reason.TLS_VERIFY, {"unknown_authority"})


async def test_the_subject_of_a_certificate_is_shown_as_blackbox_does(certs: Certs) -> None:
    result = await looked_at(certs.self_signed(), host="localhost", tls={"verify": False})
    assert result.success, result.detail
    info = next(sample for sample in result.samples if sample.family.name == "probe_ssl_last_chain_info")
    labels = dict(info.labels)
    assert labels.pop("fingerprint_sha256").isalnum()
    assert labels == {
        "subject": "O=Shop,CN=alone",
        "issuer": "O=Shop,CN=alone",
        "subjectalternative": "localhost,shop.example",
        "serialnumber": "c0ffee",
    }


async def test_the_earliest_of_the_whole_chain_counts(certs: Certs) -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    middle = certs.authority.create_child_ca()
    leaf = middle.issue_cert("127.0.0.1", not_after=soon)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    result = await looked_at(context, tls={"ca_file": certs.ca_file})
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_ssl_earliest_cert_expiry"] == int(soon.timestamp())
    assert values["probe_ssl_last_chain_expiry_timestamp_seconds"] == int(soon.timestamp())


async def test_a_certificate_that_expires_soon_is_the_reason(certs: Certs) -> None:
    context = certs.server("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=5))
    settings: dict[str, Any] = {"tls": {"ca_file": certs.ca_file}}
    result = await looked_at(context, valid_for="14d", **settings)
    assert result.reason is Reason.EXPIRY
    assert "5.0 days, less than 2w" in result.detail
    assert (await looked_at(context, valid_for="4d", **settings)).success


async def test_another_version_than_asked_is_the_reason(certs: Certs) -> None:
    context = certs.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    settings: dict[str, Any] = {"tls": {"ca_file": certs.ca_file}}
    result = await looked_at(context, versions=["TLS 1.3"], **settings)
    assert (result.reason, result.detail) == (Reason.TLS, "the server speaks TLS 1.2, not TLS 1.3")
    good = measured(await looked_at(context, **settings))
    assert any(name.startswith("probe_tls_cipher_info{cipher=TLS_ECDHE_") for name in good)


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
        ("DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
    ],
)
def test_a_cipher_suite_bears_its_name_in_the_registry(openssl: str, iana: str) -> None:
    assert suite(openssl) == iana


async def test_a_client_certificate_is_shown_to_a_server_that_asks(certs: Certs) -> None:
    context = certs.server()
    context.verify_mode = ssl.CERT_REQUIRED
    certs.authority.configure_trust(context)
    ours = certs.folder / "client.pem"
    certs.authority.issue_cert("probe@shop.example").private_key_and_cert_chain_pem.write_to_path(str(ours))
    async with Web(tls=context) as server:
        url = server.say("/")
        with_it = await probe(kind="http", url=url, tls={"ca_file": certs.ca_file, "cert_file": str(ours)})
        without = await probe(kind="http", url=url, tls={"ca_file": certs.ca_file})
    assert with_it.success, with_it.detail
    assert without.reason in {Reason.TLS, Reason.RESET}


@pytest.mark.parametrize("kind", ["expired", "self_signed"])
async def test_the_http_probe_shows_the_expiry_of_a_certificate_that_is_not_trusted(certs: Certs, kind: str) -> None:
    async with Web(tls=getattr(certs, kind)()) as server:
        result = await probe(
            kind="http", url=server.say("/").replace("127.0.0.1", "localhost"), tls={"ca_file": certs.ca_file}
        )
    assert (result.reason, problems(result)) == (Reason.TLS_VERIFY, {kind})
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"])
async def test_a_server_that_speaks_no_tls_is_the_reason(tcp: Start, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()

    result = await probe(kind="tls", address=f"127.0.0.1:{await tcp(talk)}")
    assert result.reason in {Reason.TLS, Reason.RESET}, result.detail


async def test_a_handshake_that_hangs_is_cut_at_the_deadline(tcp: Start) -> None:
    result, limit = await cut("at: tls", kind="tls", address=f"127.0.0.1:{await tcp(silent)}")
    assert (result.reason, result.detail) == (Reason.DEADLINE, f"not done within {limit}; it was at: tls")


async def test_tls_begins_on_a_real_mail_server(certs: Certs) -> None:
    async with mail(certs.server()) as port:
        result = await probe(kind="tls", address=f"127.0.0.1:{port}", starttls="smtp", tls={"ca_file": certs.ca_file})
    assert result.success, result.detail
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > 0


DIALOGUES = {
    "imap": (b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n"),
    "pop3": (b"+OK ready\r\n", b"+OK begin\r\n"),
    "ftp": (b"220-Welcome\r\n text\r\n230 is not the end\r\n220 ready\r\n", b"234 begin\r\n"),
    "smtp": (b"220 ready\r\n", b"250-shop\r\n250 STARTTLS\r\n", b"220 begin\r\n"),
}


@pytest.mark.parametrize("protocol", DIALOGUES)
async def test_tls_begins_after_a_protocols_own_words(certs: Certs, tcp: Start, protocol: str) -> None:
    *first, last = DIALOGUES[protocol]

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(last)
        await upgrading(certs.server())(reader, writer)

    result = await probe(
        kind="tls",
        address=f"127.0.0.1:{await tcp(scripted(*first, then=then))}",
        starttls=protocol,
        tls={"ca_file": certs.ca_file},
    )
    assert result.success, result.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
    ],
)
async def test_tls_begins_on_ldap(certs: Certs, tcp: Start, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readexactly(31)).endswith(b"1.3.6.1.4.1.1466.20037")
        writer.write(answer)
        await upgrading(certs.server())(reader, writer)

    address = f"127.0.0.1:{await tcp(talk)}"
    result = await probe(kind="tls", address=address, starttls="ldap", tls={"ca_file": certs.ca_file})
    assert result.success, result.detail


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3", "ftp", "postgres", "ldap"])
async def test_a_server_that_offers_no_tls_is_the_reason(tcp: Start, protocol: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"NO thank you\r\n")
        await silent(reader, writer)

    result = await probe(kind="tls", address=f"127.0.0.1:{await tcp(talk)}", starttls=protocol)
    assert result.reason is Reason.PROTOCOL, result.detail


@pytest.mark.parametrize("kind", ["tls", "tcp"])
@pytest.mark.parametrize(
    ("protocol", "greeting"),
    [
        ("smtp", "421 mail.example too many connections"),
        ("smtp", "554-no service"),
        ("ftp", "421 too many users"),
        ("imap", "* BYE too many connections"),
        ("pop3", "-ERR [SYS/TEMP] too many sessions"),
    ],
)
async def test_a_server_that_turns_us_away_is_unavailable_in_its_own_words(
    tcp: Start, kind: str, protocol: str, greeting: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting.encode() + b"\r\n")

    result = await probe(kind=kind, address=f"127.0.0.1:{await tcp(talk)}", starttls=protocol)
    text = f"the server takes no connection now: {greeting}"
    assert (result.reason, result.detail) == (Reason.UNAVAILABLE, text)


async def test_what_is_said_before_tls_is_not_believed(tcp: Start) -> None:
    talk = scripted(b"+OK ready\r\n", b"+OK begin\r\n+OK you are logged in\r\n")
    result = await probe(kind="tls", address=f"127.0.0.1:{await tcp(talk)}", starttls="pop3")
    assert (result.reason, result.detail) == (
        Reason.PROTOCOL,
        "the server said more before TLS began than it should",
    )


@pytest.mark.parametrize(
    "address", ["", "shop", "shop:", ":80", "shop:http", "a:b@shop:80", "shop:80/x", "[::1", "shop:0"]
)
async def test_what_is_no_address_is_refused_in_the_config(address: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        await probe(kind="tls", address=address)


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.integers(1, 65535))
def test_an_address_is_read_as_it_is_written(host: str, port: int) -> None:
    assert place(f"{host}:{port}") == (host, port)


def test_an_address_of_ip_version_6_stands_in_brackets() -> None:
    assert place("[::1]:443") == ("::1", 443)


def test_the_request_for_tls_of_postgresql_is_the_documented_one() -> None:
    assert struct.pack("!ii", 8, 80877103) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_an_old_version_is_spoken_when_it_is_asked_for(certs: Certs) -> None:
    server = certs.server()
    server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    old = {"ca_file": certs.ca_file, "min_version": "TLS 1.0"}
    result = await looked_at(server, tls=old, versions=["TLS 1.0"])
    assert result.success, result.detail
    judged = await looked_at(server, tls=old)
    assert judged.detail == "the server speaks TLS 1.0, not TLS 1.2 or TLS 1.3"
    assert measured(judged)["probe_ssl_earliest_cert_expiry"] > judged.started
    assert (await looked_at(server, tls={"ca_file": certs.ca_file})).reason is Reason.TLS


async def test_ciphers_are_those_of_the_config(certs: Certs) -> None:
    server = certs.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    tls = {"ca_file": certs.ca_file, "ciphers": "ALL:@SECLEVEL=0"}
    result = await looked_at(server, tls=tls)
    assert result.success, result.detail
    with pytest.raises(ValidationError, match="ciphers cannot be used"):
        await looked_at(server, tls={"ciphers": "no-such-cipher"})


async def test_a_servers_own_certificate_may_be_the_one_that_is_trusted(certs: Certs) -> None:
    issued = certs.authority.issue_cert("127.0.0.1")
    leaf = certs.folder / "leaf.pem"
    issued.cert_chain_pems[0].write_to_path(str(leaf))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    result = await looked_at(server, tls={"ca_file": str(leaf)})
    assert result.success, result.detail


def unnamed(certs: Certs) -> dict[str, Any]:
    """TLS settings that trust the certificate without names."""
    return {"ca_file": str(certs.folder / "unnamed.pem")}


@pytest.mark.parametrize("kind", ["tls", "http", "tcp", "flow"])
async def test_a_certificate_with_a_common_name_alone_is_refused_as_browsers_do(certs: Certs, kind: str) -> None:
    context = certs.without_names()
    async with Web(tls=context) as server:
        url = server.say("/").replace("127.0.0.1", "localhost")
        ways: dict[str, dict[str, Any]] = {
            "tls": {"address": f"localhost:{server.port}"},
            "http": {"url": url},
            "tcp": {"address": f"localhost:{server.port}", "use_tls": True},
        }
        if kind == "flow":
            result = await probe(kind="flow", steps=[{"name": "s", "url": url, "tls": unnamed(certs)}])
        else:
            result = await probe(kind=kind, tls=unnamed(certs), **ways[kind])
    assert result.reason is Reason.TLS_VERIFY, result.detail
    assert "common name and no subjectAltName" in result.detail
    if kind != "flow":
        assert problems(result) == {"no_san"}
        assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started


async def test_a_name_in_another_field_of_the_certificate_is_still_another_host(certs: Certs) -> None:
    issued = certs.authority.issue_cert("shop.example", common_name="localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    result = await looked_at(context, host="localhost", tls={"ca_file": certs.ca_file})
    assert (result.reason, problems(result)) == (Reason.TLS_VERIFY, {"hostname"})


def old(certs: Certs) -> ssl.SSLContext:
    """A server that speaks TLS 1.0 alone, with a cipher of old."""
    server = certs.server()
    server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    return server


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_expiry_is_shown_also_of_a_server_with_which_we_share_no_version(certs: Certs) -> None:
    result = await looked_at(old(certs), tls={"ca_file": certs.ca_file})
    assert result.reason is Reason.TLS
    assert "the server speaks TLS 1.0 with TLS_ECDHE_" in result.detail
    assert "tls.min_version" in result.detail
    values = measured(result)
    assert values["probe_ssl_earliest_cert_expiry"] > result.started
    assert values["probe_tls_version_info{version=TLS 1.0}"] == 1
    assert "probe_ssl_last_chain_expiry_timestamp_seconds" not in values


async def test_the_expiry_is_shown_also_of_a_server_with_which_we_share_no_cipher(certs: Certs) -> None:
    server = certs.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    tls = {"ca_file": certs.ca_file, "ciphers": "ECDHE-RSA-AES256-GCM-SHA384"}
    result = await looked_at(server, tls=tls)
    assert result.reason is Reason.TLS
    assert "the server speaks TLS 1.2 with TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" in result.detail
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_second_look_says_what_a_protocol_says_before_tls(certs: Certs) -> None:
    async with mail(old(certs)) as port:
        result = await probe(kind="tls", address=f"127.0.0.1:{port}", starttls="smtp", tls={"ca_file": certs.ca_file})
    assert result.reason is Reason.TLS
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started
