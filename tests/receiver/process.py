"""A receiver as people run it: a process of its own, asked over HTTP."""

from __future__ import annotations

import atexit
import json
import shutil
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploywatch.demo import servers
from deploywatch.demo.processes import Child, Processes, wait_until
from tests.support import forked


def ask(url: str, data: bytes | None = None, *, method: str | None = None) -> tuple[int, str]:
    """Status and text of one request; status 0 when nobody answers."""
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310 - always http on loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def eventually(ready: Callable[[], bool], what: str, child: Child | None = None) -> None:
    """Poll until it is true."""
    wait_until(ready, within=90, what=what, child=child)


@cache
def _empty_store() -> Path:
    """A store with the current schema and nothing in it: to migrate one takes half a second of a core."""
    folder = Path(tempfile.mkdtemp(prefix="deploywatch-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "receiver.yml").write_text("database: sqlite:///store.db\n")
    migrated = forked.run("store", "migrate", "--config.file", "receiver.yml", cwd=folder)
    assert migrated.returncode == 0, migrated.stderr
    return folder / "store.db"


@dataclass(slots=True)
class RealReceiver:
    """One receiver with its folder; it can be killed and started again on the same store and port."""

    processes: Processes
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    child: Child | None = None

    @property
    def file(self) -> Path:
        """The config file; JSON is YAML."""
        return self.folder / "receiver.yml"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, **changes: Any) -> None:
        """Write the config file."""
        self.config |= changes
        self.file.write_text(json.dumps(self.config))

    def launch(self) -> Child:
        """Start it without waiting; a store of SQLite that is not there yet is given to it with its schema."""
        if self.config.get("database") == "sqlite:///store.db" and not (self.folder / "store.db").exists():
            shutil.copy(_empty_store(), self.folder / "store.db")
        self.port = self.port or self.processes.free_port()
        address = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "deploywatch", "receiver", "--config.file", str(self.file)]
        return self.processes.start("receiver", [*command, "--web.listen-address", address], folder=self.folder)

    def start(self) -> Child:
        """Start it and wait until it is ready."""
        self.child = child = self.launch()
        eventually(lambda: self.get("/-/ready")[0] == 200, "start the receiver", child)
        return child

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.child is not None
        self.child.send(signal.SIGKILL)
        self.child.process.wait(90)

    def get(self, path: str) -> tuple[int, str]:
        """GET."""
        return ask(self.url + path)

    def json(self, path: str) -> Any:
        """GET what is JSON and there."""
        status, text = self.get(path)
        assert status == 200, text
        return json.loads(text)

    def post(self, path: str, data: bytes | dict[str, Any]) -> tuple[int, str]:
        """POST."""
        return ask(self.url + path, data if isinstance(data, bytes) else json.dumps(data).encode())

    def deploy(self, *versions: str) -> None:
        """Record these versions of the shop as deployed with success, one after another."""
        for version in versions:
            new = {"service": "shop", "environment": "production", "version": version, "status": "success"}
            assert self.post("/api/v1/deployments", new)[0] == 201

    def timeline(self, kind: str, incident: int = 1) -> list[str]:
        """The texts of one kind in an incident's timeline."""
        entries = self.json(f"/api/v1/incidents/{incident}")["timeline"]
        return [entry["text"] for entry in entries if entry["kind"] == kind]


@dataclass(slots=True)
class Inbox:
    """What stands in for Slack, PagerDuty and a mail server (at `smtp`, host:port), in a process of its own."""

    url: str
    file: Path
    smtp: str

    def titles(self) -> list[str]:
        """The titles of everything received."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line)["title"] for line in lines]

    @property
    def channel(self) -> dict[str, str]:
        """The settings of a channel that ends here."""
        return {"kind": "slack", "token": "xoxb-secret", "channel": "#x", "base_url": f"{self.url}/api/"}


def start_inbox(processes: Processes, folder: Path) -> Inbox:
    """Start an inbox."""
    port, smtp = processes.free_port(), f"127.0.0.1:{processes.free_port()}"
    listen = ["--http", f"127.0.0.1:{port}", "--smtp", smtp]
    command = [sys.executable, "-m", "deploywatch.fakes.inbox", *listen, "--folder", str(folder)]
    running = servers.python_part(processes, "inbox", command, port=port, ready="/")
    return Inbox(running.url, folder / "inbox.jsonl", smtp)


@contextmanager
def healthy_service(version: str) -> Iterator[str]:
    """The URL of a page that says, as the exporter does, that everything is healthy with this version."""
    page = json.dumps({"status": "healthy", "version": version}).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health/services/{{service}}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
