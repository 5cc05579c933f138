"""Private servers for the tests: each started once a session, on a free port, with its data in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from tests.support.examples import register
from tests.support.forked import ForkedProcesses

# The tests start hundreds of commands; where no bytecode may be kept, each compiles all that it imports: half its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run that was started in the background is deaf to Ctrl-C, and so would be whatever it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


register()


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's user can reach too."""
    folder = Path(tempfile.mkdtemp(prefix="deploywatch-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def processes(workshop: Path) -> Iterator[Processes]:
    """Starts children; all are stopped at the end of the session."""
    with ForkedProcesses(workshop / "logs") as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server(processes: Processes, workshop: Path) -> Running:
    """A real PostgreSQL."""
    return servers.postgres(processes, workshop / "postgres")


@pytest.fixture(scope="session")
def redis_server(processes: Processes, workshop: Path) -> Running:
    """A real Redis."""
    return servers.redis(processes, workshop / "redis")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the tests talk to is on this machine."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
