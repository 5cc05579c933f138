"""What a config says in secret is shown by no page, metric, log or debug output, though others repeat it all."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestServer

from deploywatch import logs
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from tests.exporter.support import Web, eventually

SECRETS = {
    "TOKEN": "hunter2-token",
    "QUERY": "hunter2-query",
    "COOKIE": "hunter2-cookie",
    "CLIENT": "hunter2-client",
    "FORM": "hunter2-form",
}


async def _echo(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
    """Repeat whatever was sent: in the reason, the headers and the body."""
    sent = f"{request.path_qs} {dict(request.headers)} {await request.text()}"
    line = sent.replace("\r", " ").replace("\n", " ")[:3000]
    body = json.dumps({"status": "down", "error": sent, "message": sent, "error_description": sent, "detail": sent})
    return aiohttp_web.Response(status=500, reason=line, headers={"X-Echo": line}, text=body)


@pytest.fixture
async def asked(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[aiohttp.ClientSession, Exporter]]:
    """An exporter whose every secret is repeated to it, by what it probes and by who gives it tokens."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for path in ("/", "/token", "/health"):
        web.on(path, _echo)
    file = tmp_path / "exporter.yml"
    way = "headers: {X-Api-Key: '${TOKEN}', Cookie: 'a=${COOKIE}'}, body: 'f=${FORM}', method: POST"
    oauth = f"oauth2: {{token_url: '{web.url}/token?k=${{QUERY}}', client_id: x, client_secret: '${{CLIENT}}'}}"
    own = f"targets: ['{web.url}/']"
    file.write_text(
        "services:\n  shop:\n    probes:\n"
        f"      plain: {{kind: http, url: '{web.url}/?sig=${{QUERY}}', {way}, expect: {{body: never}}}}\n"
        f"      health: {{kind: http, url: '{web.url}/health?sig=${{QUERY}}', {way}, expect: {{format: health}}}}\n"
        f"      token: {{kind: http, url: '{web.url}/', {oauth}}}\n"
        f"      flow: {{kind: flow, steps: [{{name: one, url: '{web.url}/?sig=${{QUERY}}', {way}}}]}}\n"
        f"modules:\n  web: {{kind: http, {way}, {own}}}\n  token: {{kind: http, {oauth}, {own}}}\n"
        "probe: {allow: [127.0.0.0/8]}\nenvironment: test\n"
    )
    logs.configure(level="debug")
    running = Exporter(file, config.load(file))
    server = make_server(running, listen="127.0.0.1:0", web_config=None)
    async with TestServer(server.app) as served, aiohttp.ClientSession(served.make_url("/")) as session:
        yield session, running


async def test_no_answer_that_repeats_a_secret_shows_it(
    asked: tuple[aiohttp.ClientSession, Exporter], web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    session, running = asked
    await eventually(lambda: len(running.board.history.failures()) >= 4)
    numbers = [entry.number for entry in running.board.history.failures()]
    paths = ["/", "/config", "/metrics", "/health", "/health/services/shop", "/services"]
    paths += [f"/results/{number}" for number in numbers]
    paths += [f"/probe?module={name}&target={web.url}/&debug=true" for name in ("web", "token")]
    shown = []
    for path in paths:
        async with session.get(path) as answer:
            shown.append(await answer.text())
    printed = capsys.readouterr()
    everything = "\n".join([*shown, printed.out, printed.err])
    encoded = b64encode(f"x:{SECRETS['CLIENT']}".encode()).decode()
    assert [value for value in (*SECRETS.values(), encoded) if value in everything] == []
    # It was sent, and repeated: the attack was worth hiding.
    sent = " ".join(f"{one.path_qs} {dict(one.headers)}" for one in web.requests) + str(web.bodies)
    assert [value for value in ({*SECRETS.values(), encoded} - {SECRETS["CLIENT"]}) if value not in sent] == []
