"""The shop's front: owns the public port and the running versions, and switches them without losing a request.

    python front.py --listen 127.0.0.1:8080 --state FOLDER --database postgresql://… --redis redis://…

deploy.py asks for another version over the socket `front.sock` in the state folder. The new version is started
beside the old one; when its /health says that it is well and which version it is, requests go to it; the old one
answers what it has begun and is stopped. A canary gets a share of the requests, and the old version the rest. /metrics
has those of all versions that get requests. Versions stop with the front, even when it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click
from aiohttp import web

log = logging.getLogger("front")

STOP_SECONDS = 3.0
POLL_SECONDS = 0.1
NOT_FORWARDED = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"}


class DeployError(Exception):
    """A version could not be put in place; the one before it still runs."""


@dataclass(slots=True)
class Version:
    """One running version of the shop, and how many requests it is answering."""

    name: str
    process: Process
    url: str
    log: Path
    answering: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self.process.returncode is None

    async def stop(self) -> None:
        """Let it answer what it has begun, ask it to end, and kill it when it does not."""
        if self.answering:
            await _within(STOP_SECONDS, self.idle.wait())
        if self.running:
            self.process.terminate()
        if not await _within(STOP_SECONDS, self.process.wait()):
            self.process.kill()
            await self.process.wait()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Counts a request while it is being answered."""
        self.answering += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.answering -= 1
            if not self.answering:
                self.idle.set()


async def _within(seconds: float, awaitable: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True


@dataclass(slots=True)
class Front:
    """Starts, checks, switches and stops versions, one deployment at a time, and forwards requests to them.

    `share` is the canary's part of the requests, from 0 to 1.
    """

    state: Path
    environment: dict[str, str]
    session: aiohttp.ClientSession
    patience: float
    current: Version | None = None
    canary: Version | None = None
    share: float = 0.0
    turn: float = 0.0
    versions: list[Version] = field(default_factory=list)
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: set[asyncio.Task[None]] = field(default_factory=set)

    async def deploy(self, name: str, share: float = 1.0) -> None:
        """Give a version this share of the requests; DeployError, and nothing changed, when it is not well.

        With all of them it takes the place of every other version.
        """
        if not 0 < share <= 1:
            raise DeployError(f"a share lies between 0 and 1, not {share:g}")
        async with self.one_at_a_time:
            old, canary = self.current, self.canary
            if share < 1 and old is None:
                raise DeployError(f"no version runs beside which {name} could be a canary")
            if share < 1 and old is not None and old.name == name:
                raise DeployError(f"{name} has the requests already; it can't be its own canary")
            new = next((shop for shop in (old, canary) if shop and shop.running and shop.name == name), None)
            if new is None:
                new = await self.start(name)
                try:
                    await self.wait_until_well(new)
                except BaseException:
                    await self.stop(new)
                    raise
            if share < 1:
                self.canary, self.share = new, share
            else:
                self.current, self.canary, self.share = new, None, 0.0
            log.info("version %s answers %.0f %% of the requests", name, 100 * share)
            for version in (old, canary):
                if version and version not in (self.current, self.canary):
                    await self.stop(version)

    async def start(self, name: str) -> Version:
        """Start a version on a free port; the socket is opened here, so that nobody else can take the port."""
        file = self.state / f"shop-{name}.log"
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, file.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("shop.py")),
                f"--listen=fd:{listener.fileno()}",
                f"--release={name}",
                "--stop-with-parent",
                stdin=PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                pass_fds=[listener.fileno()],
            )
            version = Version(name, process, f"http://127.0.0.1:{listener.getsockname()[1]}", file)
        self.versions.append(version)
        log.info("version %s started as process %d", name, process.pid)
        return version

    async def stop(self, version: Version) -> None:
        """Stop a version and forget it."""
        await version.stop()
        self.versions.remove(version)
        log.info("version %s stopped", version.name)

    async def wait_until_well(self, version: Version) -> None:
        """Poll its /health until it is healthy and says the version that is wanted."""
        deadline = time.monotonic() + self.patience
        answered = "nothing yet"
        while time.monotonic() < deadline:
            if not version.running:
                tail = "\n".join(version.log.read_text(errors="replace").splitlines()[-3:])
                raise DeployError(f"{version.name} ended with code {version.process.returncode}: {tail}")
            try:
                timeout = aiohttp.ClientTimeout(total=self.patience)
                async with self.session.get(f"{version.url}/health", timeout=timeout) as answer:
                    body: dict[str, Any] = await answer.json()
                    if answer.status == 200 and body["version"] == version.name:
                        return
                    answered = f"{answer.status} {body}"
            except (aiohttp.ClientError, TimeoutError) as error:
                answered = f"{type(error).__name__}: {error}"
            await asyncio.sleep(POLL_SECONDS)
        raise DeployError(f"{version.name} is not healthy after {self.patience:g} s; its /health said: {answered}")

    def next(self) -> Version | None:
        """The version that answers the next request: exactly the canary's share of them is its own."""
        if self.canary is None:
            return self.current
        self.turn += self.share
        if self.turn < 1 - 1e-9:  # ten tenths are one
            return self.current
        self.turn -= 1
        return self.canary

    async def forward(self, request: web.Request) -> web.Response:
        """Answer a request as the version whose turn it is does."""
        version = self.next()
        if version is None:
            return web.json_response({"error": "no version is deployed"}, status=503)
        try:
            with version.request():
                async with self.session.request(
                    request.method,
                    version.url + request.raw_path,
                    headers=[(k, v) for k, v in request.headers.items() if k.lower() not in NOT_FORWARDED],
                    data=await request.read(),
                    allow_redirects=False,
                ) as answer:
                    headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in NOT_FORWARDED]
                    return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("version %s did not answer: %s: %s", version.name, type(error).__name__, error)
            return web.json_response({"error": f"version {version.name} did not answer"}, status=502)

    async def metrics(self, _: web.Request) -> web.Response:
        """The metrics of every version that gets requests, each with its `version` label; 503 when one gives none."""
        versions = [version for version in (self.current, self.canary) if version]
        try:
            pages = [await self.page(version) for version in versions]
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=503, text=f"{type(error).__name__}: {error}\n")
        if not pages:
            return web.Response(status=503, text="no version is deployed\n")
        return web.Response(body=merged(pages).encode(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def page(self, version: Version) -> str:
        async with self.session.get(f"{version.url}/metrics", raise_for_status=True) as answer:
            return await answer.text()

    async def close(self) -> None:
        """Break off what deployments are going on, and stop every version."""
        for task in self.asked:
            task.cancel()
        await asyncio.gather(*self.asked, return_exceptions=True)
        await asyncio.gather(*(version.stop() for version in self.versions))

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Someone asks on the socket."""
        task = asyncio.create_task(self.converse(reader, writer))
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one line of JSON, `{"deploy": VERSION, "share": 0.1}`, and say how it went when it is done."""
        try:
            asked = json.loads(await reader.readline())
            name, share = str(asked["deploy"]), float(asked.get("share", 1))
            await self.deploy(name, share)
            reply = {"ok": True, "version": name}
        except (ValueError, KeyError, TypeError, AttributeError):
            reply = {"ok": False, "error": 'expected one line: {"deploy": "1.2.3", "share": 0.1}'}
        except (DeployError, OSError) as error:
            log.error("not deployed: %s", error)
            reply = {"ok": False, "error": str(error)}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()


def merged(pages: list[str]) -> str:
    """Several pages of metrics as one, in which every family stands once."""
    comments: dict[str, dict[str, None]] = {}
    samples: dict[str, list[str]] = {}
    family = ""
    for line in (line for page in pages for line in page.splitlines()):
        if line.startswith("# "):
            family = line.split(" ", 3)[2]
            comments.setdefault(family, {})[line] = None
        elif line:
            samples.setdefault(family, []).append(line)
    return "".join(f"{line}\n" for name, heads in comments.items() for line in (*heads, *samples.get(name, ())))


async def serve(host: str, port: int, state: Path, environment: dict[str, str], patience: float) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight and stop every version."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        front = Front(state, environment, session, patience)
        app = web.Application()
        app.router.add_get("/metrics", front.metrics)
        app.router.add_route("*", "/{path:.*}", front.forward)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=STOP_SECONDS, access_log=None)
        await runner.setup()
        control: asyncio.Server | None = None
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
            control = await asyncio.start_unix_server(front.answer, state / "front.sock")
            print(f"front listens on {host}:{port}", flush=True)
            await stop.wait()
        finally:
            if control:
                control.close()
            (state / "front.sock").unlink(missing_ok=True)
            await runner.cleanup()
            await front.close()


@click.command()
@click.option("--listen", required=True, help="host:port that the shop is reached by.")
@click.option("--state", type=click.Path(path_type=Path), required=True, help="Folder for the socket and the logs.")
@click.option("--database", envvar="SHOP_DATABASE", required=True, help="PostgreSQL's URL, for the shop.")
@click.option("--redis", envvar="SHOP_REDIS", required=True, help="Redis's URL, for the shop.")
@click.option("--service", default="shop", show_default=True)
@click.option("--environment", default="demo", show_default=True)
@click.option("--patience", default=15.0, show_default=True, help="Seconds for a version to become healthy.")
def main(
    *, listen: str, state: Path, database: str, redis: str, service: str, environment: str, patience: float
) -> None:
    """Own the shop's port, and run the versions that deploy.py asks for."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    host, _, port = listen.rpartition(":")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    # In the environment, because everyone on the machine may read a command line.
    shop = {
        "SHOP_DATABASE": database,
        "SHOP_REDIS": redis,
        "SHOP_SERVICE": service,
        "SHOP_ENVIRONMENT": environment,
    }
    try:
        asyncio.run(serve(host, int(port), state, shop, patience))
    except (OSError, ValueError) as error:
        print(f"front: cannot listen on {listen} or {state / 'front.sock'}: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)


if __name__ == "__main__":
    main()
