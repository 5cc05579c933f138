"""Child processes with a log each, stopped together and in order, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deploywatch.demo.free_ports import free_port
from deploywatch.errors import DeploywatchError

_POLL_SECONDS = 0.05


class StartError(DeploywatchError):
    """A process did not come up, or ended when it should run; the message ends with its last log lines."""

    exit_code = 1


@dataclass(slots=True)
class Child:
    """One running process, the leader of its own process group."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    stop_signal: int = signal.SIGTERM

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def send(self, number: int) -> None:
        """Signal the process and all that it started; one that has ended already is left alone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, grace: float = 10.0) -> None:
        """Ask it to end, wait `grace` seconds, then kill what is left of its group."""
        if self.running:
            # Only the leader is asked: a server ends its own workers in order.
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        # To the whole group: a child that the leader left behind would keep its port.
        self.send(signal.SIGKILL)
        self.process.wait()


class Processes:
    """Starts children and, on leaving the `with` block, stops them in reverse order."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop every child that still runs, the youngest first."""
        while self.children:
            # The last first: what was started later may still need what was started before.
            self.children.pop().stop()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        folder: Path | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> Child:
        """Start a process; its output goes to `<logs>/<name>.log`. Raises StartError when the program is missing."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    user=user,
                    group=user,
                    # Else the child of another user would keep root's groups.
                    extra_groups=[] if user else None,
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"{name}: cannot run {command[0]}: {error.strerror}") from error
        child = Child(name, log, process, stop_signal)
        self.children.append(child)
        return child

    def free_port(self) -> int:
        """A TCP port of the loopback address that nothing listens on, given to nobody else meanwhile."""
        return free_port()


def wait_until(ready: Callable[[], bool], *, within: float, what: str, child: Child | None = None) -> None:
    """Poll until `ready` is true; StartError after `within` seconds, or as soon as `child` has ended."""
    deadline = time.monotonic() + within
    while not ready():
        tail = f"; its last log lines:\n{child.tail()}" if child else ""
        if child and not child.running:
            raise StartError(f"{what}: {child.name} ended with code {child.process.returncode}{tail}")
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {within:g} s{tail}")
        time.sleep(_POLL_SECONDS)
