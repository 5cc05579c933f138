"""Runs `deploywatch` and other Python in processes that are forked from one that has imported everything already.

A command takes half a second and more to import its part. What is forked has its own environment, folder, streams,
process group and end like any other; how a command starts from nothing, test_imports.py and the end-to-end tests try.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import cast

from deploywatch.demo.processes import Child, Processes

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "deploywatch.cli",
        "deploywatch.exporter.commands",
        "deploywatch.exporter.load.commands",
        "deploywatch.exporter.ports.commands",
        "deploywatch.grafana.commands",
        "deploywatch.receiver.commands.deployments.ledger",
        "deploywatch.receiver.commands.incidents",
        "deploywatch.receiver.commands.migrate",
        "deploywatch.receiver.commands.people",
        "deploywatch.receiver.commands.server",
        "deploywatch.receiver.commands.store",
        # What those import when they are called.
        "deploywatch.receiver.app",
        "deploywatch.receiver.commands.live_check",
        "deploywatch.receiver.commands.template_check",
        "deploywatch.receiver.commands.deployments.watching",
        # What the programs of the demo need besides.
        "asyncpg",
        "redis.asyncio",
        "deploywatch.fakes.inbox",
    ]
)


def run(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run `deploywatch` to its end; raises TimeoutExpired after `timeout` seconds."""
    return python("-m", "deploywatch", *arguments, cwd=cwd, env=env, timeout=timeout)


def python(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run a program or module in Python to its end; raises TimeoutExpired after `timeout` seconds."""
    given = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        about = (given, str(cwd or Path.cwd()), dict(os.environ if env is None else env), str(out), str(err))
        process = SERVER.Process(target=_python, args=about)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(given, timeout)
        return subprocess.CompletedProcess(given, process.exitcode, out.read_text(), err.read_text())


class ForkedProcesses(Processes):
    """Starts children as Processes does; those that run Python are forked."""

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
        """Start a process; its output goes to `<logs>/<name>.log`."""
        if command[0] != sys.executable or command[1] == "-c" or user:
            return super().start(
                name, command, environment=environment, user=user, folder=folder, stop_signal=stop_signal
            )
        log = self.logs / f"{name}.log"
        log.touch()
        given = [str(part) for part in command[1:]]
        about = (given, str(folder or Path.cwd()), {**os.environ, **(environment or {})}, str(log), str(log))
        process = SERVER.Process(target=_python, args=about)
        process.start()
        child = Child(name, log, cast("subprocess.Popen[bytes]", _Running(process, given)), stop_signal)
        self.children.append(child)
        return child


class _Running:
    """A forked process, with what Child and the tests ask of a Popen."""

    def __init__(self, process: ForkServerProcess, arguments: list[str]) -> None:
        assert process.pid is not None
        self.pid, self.args = process.pid, arguments
        self._process = process
        # It is signalled as a group, which it has to have made.
        while self.poll() is None and os.getpgid(self.pid) != self.pid:
            time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        """How it has ended: a status, or a signal below 0."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """How it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Signal it alone, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _python(arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """Do what `python ARGUMENTS` does, as a process group of its own."""
    os.setsid()
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with contextlib.suppress(BrokenPipeError):
        if arguments[:2] == ["-m", "deploywatch"]:
            command(arguments[2:])
        elif arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.modules.pop(arguments[1], None)  # imported ahead, and run afresh as the main module
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(arguments[0]).parent))
            runpy.run_path(arguments[0], run_name="__main__")


def command(arguments: list[str]) -> None:
    """Do what `deploywatch ARGUMENTS` does, in this process."""
    # What is pickled to the child is imported there with the tests' own path; a command has none.
    sys.argv = ["deploywatch", *arguments]
    from deploywatch.cli import main  # noqa: PLC0415 - forked: it is imported already

    main(arguments)
