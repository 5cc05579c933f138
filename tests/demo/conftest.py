"""The sample shop's programs, run as people run them, on a database and a cache of their own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from deploywatch.demo.processes import Child, Processes, wait_until
from deploywatch.demo.servers import Running
from tests.support import forked
from tests.support.forked import ForkedProcesses

DEMO = Path(__file__).parents[2] / "examples" / "demo"


def ask(url: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers in lower case, and body of one request; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as answer:  # noqa: S310 - always http on loopback
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()
    except OSError:
        return 0, {}, ""


@dataclass(frozen=True, slots=True)
class Served:
    """A process that serves the shop's pages: the shop alone, or the front with a shop behind it."""

    child: Child
    url: str
    state: Path
    port: int

    def get(self, path: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        return ask(self.url + path)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        _, _, text = self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def deploy(self, version: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run deploy.py as a person or a rollback does."""
        where = ["--state", str(self.state), "--shop-port", str(self.port)]
        return forked.python(DEMO / "deploy.py", version, *where, *options)

    def shops(self) -> list[int]:
        """The processes of all versions that the front has ever started."""
        return [int(number) for number in re.findall(r"started as process (\d+)", self.child.log.read_text())]


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Processes]:
    """Children of one test, stopped at its end."""
    with ForkedProcesses(tmp_path / "logs") as running:
        yield running


@pytest.fixture(scope="session")
def storage(postgres_server: Running, redis_server: Running) -> list[str]:
    """The options that give the shop a database of its own in PostgreSQL, and in Redis."""

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        await connection.execute("create database shop_tests")
        await connection.close()

    asyncio.run(create())
    database = postgres_server.url.removesuffix("/postgres") + "/shop_tests"
    return ["--database", database, "--redis", redis_server.url.removesuffix("/0") + "/9"]


@pytest.fixture
def cache(storage: list[str]) -> Iterator[Redis]:
    """The shop's Redis, empty at the start."""
    with Redis.from_url(storage[-1]) as client:
        client.flushdb()
        yield client


Shop = Callable[..., Served]


@pytest.fixture
def shop(children: Processes, storage: list[str], cache: Redis, tmp_path: Path) -> Shop:
    """Starts shop.py alone, as a version."""

    def start(version: str, *options: str, port: int | None = None) -> Served:
        port = port or children.free_port()
        program: list[str | Path] = [sys.executable, DEMO / "shop.py", f"--listen=127.0.0.1:{port}"]
        child = children.start(f"shop-{version}", [*program, f"--release={version}", *storage, *options])
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: ask(f"{url}/health")[0] != 0, within=90, what="start the shop", child=child)
        return Served(child, url, tmp_path, port)

    return start


@pytest.fixture
def front(children: Processes, storage: list[str], cache: Redis, tmp_path: Path) -> Served:
    """front.py with nothing deployed yet; a version has eight seconds to become healthy."""
    port = children.free_port()
    state = tmp_path / "state"
    child = children.start(
        "front",
        [sys.executable, DEMO / "front.py", f"--listen=127.0.0.1:{port}", "--state", state, "--patience=8", *storage],
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: ask(f"{url}/health")[0] != 0, within=90, what="start the front", child=child)
    return Served(child, url, state, port)


@dataclass(frozen=True, slots=True)
class Traffic:
    """load.py at work."""

    child: Child

    def totals(self) -> dict[str, float]:
        """The last totals that it has printed."""
        lines = [line for line in self.child.log.read_text().splitlines() if line.startswith("sent=")]
        return {k: float(v) for k, _, v in (pair.partition("=") for pair in (lines or ["sent=0"])[-1].split())}

    def wait_for(self, more: int) -> None:
        """Wait until this many more requests have been sent."""
        goal = self.totals()["sent"] + more
        wait_until(lambda: self.totals()["sent"] >= goal, within=90, what=f"send {goal:g}", child=self.child)

    def stop(self) -> dict[str, float]:
        """Stop it, and give its last totals."""
        self.child.stop()
        return self.totals()


@pytest.fixture
def load(children: Processes) -> Callable[[str], Traffic]:
    """Starts load.py against a URL."""

    def start(url: str) -> Traffic:
        program: list[str | Path] = [sys.executable, DEMO / "load.py"]
        return Traffic(children.start("load", [*program, "--url", url, "--rate=60/s", "--every=0.2", "--verbose"]))

    return start
