"""Runs one command: argv only, values checked before they go in, its whole process group ended at its time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

PLACEHOLDERS = frozenset({"service", "environment", "from_version", "to_version"})
_OUTPUT_LIMIT = 64 * 1024
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,199}")
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its exit code (None when it was ended at the limit), and the end of its output."""

    code: int | None
    output: str

    @property
    def good(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.code == 0

    def __str__(self) -> str:
        if self.code is None:
            end = "was ended at its time limit"
        elif self.code < 0:
            end = f"was ended by {signal.Signals(-self.code).name}"
        else:
            end = f"exit code {self.code}"
        last = self.output.strip().splitlines()[-3:]
        return f"{end}: {' / '.join(last)}" if last else end


def check_template(command: Sequence[str]) -> None:
    """ValueError when an argument has a placeholder that nobody fills in, or braces that do not close."""
    for argument in command:
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(argument) if name is not None}
        except ValueError as error:
            raise ValueError(f"{argument!r}: {error}; write {{{{ and }}}} for literal braces") from error
        unknown = sorted(names - PLACEHOLDERS)
        if unknown:
            raise ValueError(f"{argument!r}: unknown {{{unknown[0]}}}; known: {', '.join(sorted(PLACEHOLDERS))}")


def fill(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put the values into the arguments; ValueError for one that could mean more than itself.

    A value starts with a letter, digit or underscore (so it is never read as an option) and has no spaces, quotes,
    path traversal or control characters.
    """
    for name, value in values.items():
        if not _SAFE.fullmatch(value) or ".." in value:
            raise ValueError(f"{name} {value[:80]!r} has characters that are not passed to a command")
    return [argument.format_map(dict(values)) for argument in command]


async def run(command: Sequence[str], limit: timedelta) -> Ran:
    """Run it without a shell or standard input, in a process group of its own that never outlives this call.

    A program that cannot be started gives code 127, as a shell would say.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(127, f"cannot run {command[0]}: {error.strerror}")
    output = bytearray()
    try:
        async with asyncio.timeout(limit.total_seconds()):
            await _collect(process, output)
            await process.wait()
        code = process.returncode
    except TimeoutError:
        code = None
    finally:
        await _end(process)
    return Ran(code, output.decode(errors="replace"))


async def _collect(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Keep the last 64 KiB of what it writes, however much that is."""
    if process.stdout is None:
        return
    while chunk := await process.stdout.read(_OUTPUT_LIMIT):
        output += chunk
        del output[:-_OUTPUT_LIMIT]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _KILL_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
