"""Runs `deploywatch` in a process of its own, which is forked from one that has imported everything already.

A command takes half a second and more to import its part. What is forked has its own environment, folder, streams and
end like any other; how a command starts from nothing, test_imports.py and whoever starts a server try.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
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
    ]
)


def run(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run `deploywatch` to its end; raises TimeoutExpired after `timeout` seconds."""
    given = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        about = (given, str(cwd or Path.cwd()), dict(os.environ if env is None else env), str(out), str(err))
        process = _SERVER.Process(target=_command, args=about)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(given, timeout)
        return subprocess.CompletedProcess(given, process.exitcode, out.read_text(), err.read_text())


def _command(arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    # What is pickled to the child is imported there with the tests' own path; a command has none.
    sys.argv = ["deploywatch", *arguments]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    from deploywatch.cli import main  # noqa: PLC0415 - forked: it is imported already

    with contextlib.suppress(BrokenPipeError):
        main(arguments)
