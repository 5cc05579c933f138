"""A page of another origin, in a real browser, tries every route of both servers; and strangers crowd the webhook."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.demo.processes import Processes
from tests.receiver.process import RealReceiver, ask, eventually
from tests.receiver.scene import alert, body
from tests.support.browser import new_page
from tests.support.routes import exporter_server, receiver_server, routes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SOON = aiohttp.ClientTimeout(total=1)
"""As SECURITY.md promises it to Alertmanager."""
OWN_WORK = ("jobs", "changes", "tallies", "deliveries")
"""Tables that the receiver changes by itself; what a job does stands in others."""
PERSON = {"by": "mallory", "note": "x"}
DEPLOYMENT = {"service": "shop", "environment": "production", "version": "evil", "deployer": "mallory"}
WINDOW = {"by": "mallory", "service": "shop", "environment": "production", "for": "1h"}
ATTACK = """
async ({url, method, body}) => {
  const form = (enctype) => new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.name = 'f' + Math.random();
    const form = document.createElement('form');
    Object.assign(form, {action: url, method: 'POST', enctype, target: frame.name});
    const field = document.createElement('input');
    // Sent as text, name=value is the JSON of the body with one more key.
    field.name = body.slice(0, -1) + ',"x":"'; field.value = '"}';
    form.append(field); document.body.append(frame, form);
    frame.onload = done; setTimeout(done, 3000); form.submit();
  });
  const image = () => new Promise((done) => {
    const image = new Image(); image.onload = image.onerror = done; setTimeout(done, 3000); image.src = url;
  });
  const tries = [image()];
  for (const kind of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) tries.push(form(kind));
  for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded'])
    for (const mode of ['no-cors', 'cors'])
      for (const verb of new Set(['POST', method]))
        tries.push(fetch(url, {method: verb, mode, body: verb === 'GET' ? undefined : body, credentials: 'include',
                               headers: {'Content-Type': type}}).catch(() => null));
  tries.push(Promise.resolve(navigator.sendBeacon(url, new Blob([body], {type: 'text/plain'}))));
  await Promise.all(tries);
}
"""


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver on loopback without authentication, with an incident."""
    with Processes(tmp_path / "logs") as processes:
        running = RealReceiver(processes, tmp_path)
        running.configure(database="sqlite:///store.db")
        running.start()
        assert running.post("/webhook/alertmanager", body(alert())) == (200, "committed\n")
        yield running


@pytest.fixture
def exporter(receiver: RealReceiver, tmp_path: Path) -> str:
    """The exporter's address."""
    port = receiver.processes.free_port()
    (tmp_path / "exporter.yml").write_text("modules: {web: {kind: http}}\n")
    command = [sys.executable, "-m", "deploywatch", "exporter", "--config.file", str(tmp_path / "exporter.yml")]
    child = receiver.processes.start("exporter", [*command, "--web.listen-address", f"127.0.0.1:{port}"])
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: ask(f"{url}/-/healthy")[0] == 200, "start the exporter", child)
    return url


def _state(receiver: RealReceiver, exporter: str) -> dict[str, Any]:
    """Everything that somebody can change: all that is stored, and when the configurations were loaded."""
    state: dict[str, Any] = {}
    with contextlib.closing(sqlite3.connect(f"file:{receiver.folder}/store.db?mode=ro", uri=True)) as stored:
        for (table,) in stored.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            state[table] = sorted(map(repr, stored.execute(f'SELECT * FROM "{table}"')))  # noqa: S608 - of our own
    assert set(state) > {"incidents", "gate_approvals", "gate_records", "sessions", "database_migrations", "screens"}
    for table in OWN_WORK:
        del state[table]
    for url in (receiver.url, exporter):
        text = ask(f"{url}/metrics")[1]
        state[url] = re.findall(r"^deploywatch_config_last_reload_success_timestamp_seconds \S+$", text, re.MULTILINE)
        assert state[url]
    return state


def _bodies(path: str) -> dict[str, Any]:
    if path.endswith("/deployments"):
        return DEPLOYMENT
    if path.endswith("/maintenance"):
        return WINDOW
    if path.startswith("/webhook/alertmanager"):
        return dict(json.loads(body(alert(service="forged"))))
    return PERSON


@asynccontextmanager
async def _foreign() -> AsyncIterator[str]:
    """An origin of its own."""
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>evil</title>", content_type="text/html")

    app.router.add_get("/", page)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_a_page_of_another_origin_changes_nothing(receiver: RealReceiver, exporter: str, tmp_path: Path) -> None:
    before = await asyncio.to_thread(_state, receiver, exporter)
    tried = [(receiver.url, route.method, route.concrete) for route in routes(await receiver_server(tmp_path))]
    tried += [(exporter, route.method, route.concrete) for route in routes(exporter_server(tmp_path))]
    assert {("POST", "/webhook/slack"), ("POST", "/webhook/pagerduty"), ("GET", "/incidents/1")} < {
        route[1:] for route in tried
    }
    assert len(tried) > 50
    async with _foreign() as foreign, new_page() as page:
        for origin in (foreign, foreign.replace("127.0.0.1", "localhost")):
            await page.goto(origin)
            for server, method, path in tried:
                arguments = {"url": server + path, "method": method, "body": json.dumps(_bodies(path))}
                await page.evaluate(ATTACK, arguments)
    assert await asyncio.to_thread(_state, receiver, exporter) == before
    # The same is done for who may: the attack was worth refusing.
    answer = await asyncio.to_thread(
        ask, f"{receiver.url}/api/v1/incidents/1/rollback", json.dumps(PERSON).encode(), method="POST"
    )
    assert answer[0] == 202
    assert await asyncio.to_thread(_state, receiver, exporter) != before


async def test_scrapes_are_answered_while_silent_connections_crowd_a_process_of_200_descriptors(tmp_path: Path) -> None:
    (tmp_path / "exporter.yml").write_text("modules: {web: {kind: http}}\n")
    with Processes(tmp_path / "logs") as processes:
        port = processes.free_port()
        child = processes.start(
            "few",
            [
                *_few(tmp_path),
                "exporter",
                "--config.file",
                str(tmp_path / "exporter.yml"),
                "--web.listen-address",
                f"127.0.0.1:{port}",
            ],
        )
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: ask(f"{url}/-/ready")[0] == 200, "start the exporter", child)
        with ExitStack() as crowd:
            for _ in range(500):
                crowd.enter_context(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 20))
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                for path in (*["/metrics"] * 10, "/-/healthy", "/"):
                    async with session.get(f"{url}{path}", timeout=SOON) as answer:
                        assert answer.status == 200
                        assert await answer.text()
        assert "Too many open files" not in child.log.read_text()


def _few(folder: Path) -> list[str]:
    """The command of a process with 200 descriptors."""
    program = folder / "few.py"
    program.write_text(
        "import resource, runpy, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "sys.argv[0] = 'deploywatch'\nrunpy.run_module('deploywatch', run_name='__main__')\n"
    )
    return [sys.executable, str(program)]


async def test_webhooks_are_answered_while_silent_connections_crowd_a_process_of_200_descriptors(
    receiver: RealReceiver, tmp_path: Path
) -> None:
    receiver.kill()
    port = receiver.processes.free_port()
    command = [*_few(tmp_path), "receiver", "--config.file", str(receiver.file)]
    child = receiver.processes.start(
        "few", [*command, "--web.listen-address", f"127.0.0.1:{port}"], folder=receiver.folder
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: ask(f"{url}/-/ready")[0] == 200, "start the receiver", child)
    with ExitStack() as crowd:
        for _ in range(500):
            crowd.enter_context(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 20))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            for number in range(10):
                sent = body(alert(service=f"s{number}"))
                headers = {"Content-Type": "application/json"}
                async with session.post(
                    f"{url}/webhook/alertmanager", data=sent, headers=headers, timeout=SOON
                ) as answer:
                    assert answer.status == 200
            async with session.get(f"{url}/metrics") as answer:
                text = await answer.text()
    # Silent ones made room: none of it came of waiting until they had been silent for too long.
    closed = re.search(r'^deploywatch_http_connections_closed_total\{reason="silent"\} (\S+)$', text, re.MULTILINE)
    assert closed is not None
    assert float(closed[1]) > 100
    assert "Too many open files" not in child.log.read_text()
