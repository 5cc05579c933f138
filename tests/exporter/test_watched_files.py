"""Files of secrets and certificates that change, are gone for a moment, emptied or half replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.settings.blackbox import http as blackbox_http
from deploywatch.files.watched_files import WATCHED, WatchedFiles
from tests.exporter.certs import Certs
from tests.exporter.support import Web, eventually, probe

Client = TestClient[aiohttp_web.Request, aiohttp_web.Application]


@pytest.fixture
async def running(web: Web, write: Callable[[str], Path], tmp_path: Path) -> AsyncIterator[tuple[Exporter, Client]]:
    """An exporter whose token is in a file, and a client of it."""

    async def asked(request: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        return aiohttp_web.Response(status=200 if request.headers.get("Authorization") == "Bearer second" else 401)

    (tmp_path / "token").write_text("first\n")
    path = write(
        f"services: {{s: {{probes: {{p: {{kind: http, url: '{web.on('/', asked)}', bearer_token_file: token}}}}}}}}"
    )
    exporter = Exporter(path, config.load(path))
    async with TestClient(TestServer(make_server(exporter, listen=":0", web_config=None).app)) as client:
        await eventually(lambda: exporter.not_ready() is None)
        yield exporter, client


@pytest.fixture(autouse=True)
def _no_others() -> None:
    WATCHED.forget()


def succeeded(exporter: Exporter) -> bool:
    (record,) = exporter.board.records.values()
    return record.last is not None and record.last.success


async def metric(client: Client, name: str) -> float:
    async with client.get("/metrics") as response:
        return float(next(line for line in (await response.text()).splitlines() if line.startswith(name)).split()[-1])


async def test_a_secret_is_read_anew_when_its_file_changes(running: tuple[Exporter, Client], tmp_path: Path) -> None:
    exporter, _ = running
    assert not succeeded(exporter)
    # A config that is being written does not come into force with it.
    (tmp_path / "exporter.yml").write_text("nonsense")
    (tmp_path / "token").write_text("second\n")
    await exporter.renew_secrets()
    await eventually(lambda: succeeded(exporter))


def test_a_body_of_a_blackbox_yml_is_watched_and_may_be_empty(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = WatchedFiles()
    monkeypatch.setattr(blackbox_http, "WATCHED", watched)
    body = tmp_path / "body"
    body.write_bytes(b"one")
    config.load(write("modules: {m: {prober: http, http: {method: POST, body_file: body}}}"))
    assert not watched.changed()
    body.write_bytes(b"")
    assert watched.changed()
    body.unlink()
    assert not watched.changed()
    assert [file.path for file in watched.stale()] == [body]


async def test_a_secret_that_is_gone_or_empty_leaves_the_last_one_in_force_and_is_named(
    running: tuple[Exporter, Client], tmp_path: Path
) -> None:
    exporter, client = running
    token = tmp_path / "token"
    token.write_text("second")
    await exporter.renew_secrets()
    await eventually(lambda: succeeded(exporter))
    for spoil in (token.unlink, lambda: token.write_text("")):
        spoil()
        await exporter.renew_secrets()
        assert [file.path for file in WATCHED.stale()] == [token]
        assert await metric(client, "deploywatch_exporter_stale_files") == 1
        async with client.get("/") as response:
            assert f"{token} cannot be used since 20" in await response.text()
        (key,) = exporter.board.records
        assert (await exporter.scheduler.fresh(key)).success
    token.write_text("second")
    await exporter.renew_secrets()
    assert WATCHED.stale() == []


def test_a_secret_without_content_is_a_fault(write: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="token: it is empty"):
        config.load(write("services: {s: {probes: {p: {kind: http, url: 'http://a', bearer_token_file: token}}}}"))


async def test_an_authority_that_is_gone_emptied_or_half_written_leaves_the_last_one_in_force(
    certs: Certs, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    good = certs.authority.cert_pem.bytes()
    authority.write_bytes(good)
    async with Web(tls=certs.server()) as web:
        url = web.say("/", "hello").replace("127.0.0.1", "localhost")
        settings: dict[str, Any] = {"kind": "http", "url": url, "tls": {"ca_file": str(authority)}}
        assert (await probe(**settings)).success
        for spoil in (authority.unlink, lambda: authority.write_text(""), lambda: authority.write_bytes(good[:200])):
            spoil()
            result = await probe(**settings)
            assert result.success, result.detail
            assert [file.path for file in WATCHED.stale()] == [authority]
        authority.write_bytes(good)
        assert (await probe(**settings)).success
        assert WATCHED.stale() == []


async def test_a_file_that_no_config_names_any_more_is_forgotten(
    running: tuple[Exporter, Client], tmp_path: Path
) -> None:
    exporter, _ = running
    (tmp_path / "token").unlink()
    await exporter.renew_secrets()
    assert [file.path for file in WATCHED.stale()] == [tmp_path / "token"]
    (tmp_path / "exporter.yml").write_text("modules: {m: {kind: http}}")
    await exporter.reload()
    await exporter.renew_secrets()
    assert WATCHED.stale() == []


def test_a_file_of_a_config_that_is_refused_is_not_said_to_be_in_force(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError):
        config.load(write("services: {s: {probes: {p: {kind: http, url: 'https://a', tls: {ca_file: nope}}}}}"))
    assert WATCHED.stale() == []
