"""What a web page of another origin, a compressed body and crowds of silent connections can do: nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import re
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import trustme

from deploywatch.web.admission import REQUEST_BYTES
from deploywatch.web.connections import limit_of
from tests.deploywatch.conftest import PROGRAM, Sample, Start

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


async def ask(sample: Sample, method: str, path: str, body: bytes | io.BytesIO | None = None, **headers: str) -> int:
    """The status of one request with these headers; `_` stands for `-` in their names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(skip_auto_headers=("Content-Type",)) as session,
        session.request(method, f"http://{sample.address}{path}", data=body, headers=named) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": ""},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[::1"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
async def test_a_page_of_another_origin_changes_nothing(start: Start, headers: dict[str, str]) -> None:
    sample = start()
    assert await ask(sample, "POST", "/-/reload", None, **headers) == 403
    assert not (sample.folder / "reloaded").exists()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_another_origin_has_nothing_read_but_by_a_link(start: Start, site: str) -> None:
    sample = start()
    for mode, kind in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("navigate", ""), ("", "")):
        sent = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": kind}
        assert await ask(sample, "GET", "/metrics", None, **sent) == 403, sent
        assert await ask(sample, "GET", "/metrics", None, **(sent | {"Sec_Fetch_Site": "same-origin"})) == 200, sent
    by_link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert await ask(sample, "GET", "/metrics", None, **by_link) == 200


async def test_our_own_pages_and_programs_change_things(start: Start) -> None:
    sample = start()
    ours = f"http://{sample.address}"
    for headers in (
        {},
        {"Origin": ours},
        {"Sec_Fetch_Site": "same-origin", "Origin": ours},
        {"Sec_Fetch_Site": "none"},
    ):
        assert await ask(sample, "POST", "/-/reload", None, **headers) == 200


async def test_a_name_that_was_made_to_point_here_is_not_served(start: Start) -> None:
    sample = start()
    port = sample.address.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "[::1"):
        assert await ask(sample, "GET", "/metrics", Host=host) == 403, host
    for host in (f"localhost:{port}", "LOCALHOST", f"127.0.0.1:{port}", "[::1]", "sample.localhost"):
        assert await ask(sample, "GET", "/metrics", Host=host) == 200, host


async def test_with_credentials_the_name_does_not_matter(start: Start, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("bearer_tokens: [secret]\n")
    sample = start("--web.config.file", tmp_path / "web.yml")
    assert await ask(sample, "GET", "/metrics", Host="metrics.example", Authorization="Bearer secret") == 200


@pytest.mark.parametrize("kind", ["text/plain", FORM, "multipart/form-data; boundary=x", "application/json5", ""])
async def test_json_is_taken_as_json_only(start: Start, kind: str) -> None:
    sample = start()
    assert await ask(sample, "POST", "/-/reload", b"{}", **({"Content_Type": kind} if kind else {})) == 415
    assert await ask(sample, "POST", "/-/reload", b"{}", Content_Type=JSON) == 200


async def test_open_paths_take_forms_and_json_and_nothing_else(start: Start) -> None:
    sample = start()
    for kind, status in ((FORM, 405), (JSON, 405), ("text/plain", 415), ("multipart/form-data; boundary=x", 415)):
        assert await ask(sample, "POST", "/open", b"{}", Content_Type=kind) == status


async def test_a_charset_that_nobody_knows_is_refused(start: Start) -> None:
    sample = start()
    for charset in ("no-such", "utf-16", "idna", "zlib"):
        assert await ask(sample, "POST", "/-/reload", b"{}", Content_Type=f"{JSON}; charset={charset}") == 415


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "GZIP", "gzip, br"])
async def test_bodies_are_not_decompressed(start: Start, coding: str) -> None:
    sample = start()
    bomb = gzip.compress(bytes(50 * 1024**2))
    before = _memory(sample)
    for path, method in (("/open", "POST"), ("/-/reload", "POST"), ("/metrics", "GET"), ("/-/healthy", "GET")):
        headers = {"Content_Encoding": coding, "Content_Type": FORM if path == "/open" else JSON}
        assert await ask(sample, method, path, bomb, **headers) == 415
    assert _memory(sample) - before < 30 * 1024


CODED = {
    "named in a second line": b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
    "named after an empty line": b"Content-Encoding:\r\nContent-Encoding: gzip\r\n",
    "named before another": b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n",
    "named in a folded line": b"Content-Encoding: identity,\r\n gzip\r\n",
    "with a space in its name": b"Content-Encoding : gzip\r\n",
    "by its older name": b"Content-Encoding: x-gzip\r\n",
    "by the transfer": b"Transfer-Encoding: gzip, chunked\r\n",
    "by a second transfer": b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
}


async def test_bodies_are_not_decompressed_however_their_coding_is_named(start: Start) -> None:
    sample = start()
    bomb = gzip.compress(bytes(50 * 1024**2))
    before = _memory(sample)
    for name, line in CODED.items():
        for target, kind in (("/open", FORM), ("/-/reload", JSON)):
            head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n".encode()
            if b"Transfer" in line:
                body = b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(bomb), bomb)
            else:
                body = b"Content-Length: %d\r\n\r\n%b" % (len(bomb), bomb)
            answer = await _raw(sample, head + line + body)
            assert not answer or answer.split()[1] in {b"400", b"415", b"501"}, (name, answer)
            assert not (sample.folder / "reloaded").exists(), (name, answer)
    assert _memory(sample) - before < 30 * 1024


async def test_a_stranger_s_body_is_bounded_in_size(start: Start, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("bearer_tokens: [secret]\n")
    sample = start("--web.config.file", tmp_path / "web.yml")
    assert await ask(sample, "POST", "/open", b"x" * 64 * 1024, Content_Type=FORM) == 405
    assert await ask(sample, "POST", "/open", b"x" * (64 * 1024 + 1), Content_Type=FORM) == 413


async def test_a_stranger_s_body_and_head_are_bounded_in_time(start: Start) -> None:
    sample = start()
    host, port = sample.address.split(":")
    head = f"POST /open HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: 99\r\n\r\n"
    silent, dripping, slow = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    slow[1].write(head.encode())

    async def drip() -> None:
        for letter in "GET /metrics HTTP/1.1\r\nX: " + "x" * 1000:
            dripping[1].write(letter.encode())
            await asyncio.sleep(0.2)

    dripper = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        assert await silent[0].read() == b""
        with suppress(ConnectionResetError):  # closed while it still drips
            assert await dripping[0].read() == b""
        assert b" 408 " in (await slow[0].read()).splitlines()[0]
    dripper.cancel()
    for _, writer in (silent, dripping, slow):
        writer.close()


@pytest.fixture
def few_descriptors(start: Start, tmp_path: Path) -> Sample:
    """The sample with 200 descriptors."""
    program = tmp_path / "few.py"
    program.write_text(
        "import resource, runpy\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    return start(program=program)


async def test_silent_connections_keep_nobody_from_being_answered(few_descriptors: Sample) -> None:
    host, port = few_descriptors.address.split(":")
    with _crowd(host, int(port), 500):
        for _ in range(20):
            async with asyncio.timeout(120):
                assert await ask(few_descriptors, "POST", "/-/reload") == 200
        text = (await few_descriptors.ask("/metrics")).text
        assert _descriptors(few_descriptors) < 200 - 40
    assert 'deploywatch_http_connections_closed_total{reason="silent"}' in text
    assert "Too many open files" not in few_descriptors.child.log.read_text()


def test_descriptors_are_kept_for_our_own_work() -> None:
    assert [limit_of(number) for number in (64, 200, 1024, 1_000_000)] == [16, 96, 920, 1000]


class _crowd:  # noqa: N801 - used as a function
    """Connections that say nothing."""

    def __init__(self, host: str, port: int, number: int) -> None:
        self._where, self._number = (host, port), number
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> None:
        self._sockets = [socket.create_connection(self._where, timeout=60) for _ in range(self._number)]

    def __exit__(self, *_: object) -> None:
        for connection in self._sockets:
            connection.close()


def _descriptors(sample: Sample) -> int:
    """How many descriptors the server's process has open."""
    return sum(1 for _ in Path(f"/proc/{sample.child.process.pid}/fd").iterdir())


def _memory(sample: Sample) -> int:
    """Resident memory of the server's process in KiB."""
    status = Path(f"/proc/{sample.child.process.pid}/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith("VmRSS")).split()[1])


HIDDEN = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED = {
    "both a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN),
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a length of other digits": "Content-Length: ٠\r\n\r\n".encode(),
    "chunks by another name": b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 0\r\n\r\n",
    "a chunk of negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
}


async def _raw(sample: Sample, sent: bytes) -> bytes:
    host, port = sample.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    writer.write_eof()
    try:
        async with asyncio.timeout(120):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", SMUGGLED)
async def test_no_request_hides_in_the_body_of_another(start: Start, name: str) -> None:
    sample = start()
    head = b"POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM.encode() + b"\r\n"
    answer = await _raw(sample, head + SMUGGLED[name] + HIDDEN)
    assert b"reloaded" not in answer
    assert not (sample.folder / "reloaded").exists()


async def test_a_request_that_does_not_hide_is_done(start: Start) -> None:
    sample = start()
    await _raw(sample, HIDDEN)
    assert (sample.folder / "reloaded").exists()


async def test_a_body_with_a_credential_is_bounded_too(start: Start, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("bearer_tokens: [secret]\n")
    sample = start("--web.config.file", tmp_path / "web.yml")
    before = _memory(sample)
    for size, status in ((REQUEST_BYTES, 200), (REQUEST_BYTES + 1, 413)):
        sent = io.BytesIO(b" " * size)
        assert await ask(sample, "POST", "/-/reload", sent, Authorization="Bearer secret", Content_Type=JSON) == status
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    head = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
    head += b"Content-Type: application/json\r\n"
    answer = await _raw(sample, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 200)
    assert not answer or b" 413 " in answer.splitlines()[0]
    assert _memory(sample) - before < 30 * 1024


@pytest.fixture
def few_descriptors_with_tls(start: Start, tmp_path: Path) -> Sample:
    """The sample with 200 descriptors, over TLS."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    program = tmp_path / "few.py"
    program.write_text(
        "import resource, runpy\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    return start("--web.config.file", tmp_path / "web.yml", program=program)


async def test_handshakes_that_are_never_finished_keep_nobody_from_being_answered(
    few_descriptors_with_tls: Sample, tmp_path: Path
) -> None:
    sample = few_descriptors_with_tls
    host, port = sample.address.split(":")
    trusted = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with _crowd(host, int(port), 500):
        for _ in range(20):
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"https://{sample.address}/-/reload", ssl=trusted) as answer,
            ):
                assert answer.status == 200
        assert _descriptors(sample) < 200 - 40
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://{sample.address}/metrics", ssl=trusted) as answer,
        ):
            text = await answer.text()
    closed = re.search(r'^deploywatch_http_connections_closed_total\{reason="silent"\} (\S+)$', text, re.MULTILINE)
    assert closed is not None
    assert float(closed[1]) > 300
    assert "Too many open files" not in sample.child.log.read_text()
