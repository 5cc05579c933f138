"""Runs one command: argv only, values checked before they go in, its whole process group ended at its time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

PLACEHOLDERS = frozenset({"service", "environment", "from_version", "to_version"})
_OUTPUT_LIMIT = 64 * 1024
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,199}")
_KILL_SECONDS = 5.0
_DRAIN_SECONDS = 2.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its exit code (None when it was ended at the limit), and the end of its output."""

    code: int | None
    output: str

    @property
    def good(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.code == 0

    @property
    def end(self) -> str:
        """How it ended, without its output."""
        if self.code is None:
            return "was ended at its time limit"
        return f"was ended by {_signal_name(-self.code)}" if self.code < 0 else f"exit code {self.code}"

    def __str__(self) -> str:
        last = self.output.strip().splitlines()[-3:]
        return f"{self.end}: {' / '.join(last)}" if last else self.end


def check_template(command: Sequence[str], known: Collection[str] = PLACEHOLDERS) -> None:
    """ValueError when an argument has a placeholder that nobody fills in, or braces that do not close."""
    for argument in command:
        try:
            parts = [part[1:] for part in string.Formatter().parse(argument) if part[1] is not None]
        except ValueError as error:
            raise ValueError(f"{argument!r}: {error}; write {{{{ and }}}} for literal braces") from error
        for name, spec, conversion in parts:
            if name not in known:
                raise ValueError(f"{argument!r}: unknown {{{name}}}; known: {', '.join(sorted(known))}")
            if spec or conversion:
                raise ValueError(f"{argument!r}: only {{{name}}} itself is filled in, without a format")


def check_values(values: Mapping[str, str]) -> None:
    """ValueError for a value that could mean more than itself where it is put.

    A value starts with a letter, digit or underscore (so it is never read as an option) and has no spaces, quotes,
    path traversal or control characters.
    """
    for name, value in values.items():
        if not _SAFE.fullmatch(value) or ".." in value:
            raise ValueError(f"{name} {value[:80]!r} has characters that are not passed to a command")


def fill(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put the values into the arguments; ValueError for one that could mean more than itself."""
    check_values(values)
    return [argument.format_map(dict(values)) for argument in command]


async def run(
    command: Sequence[str],
    limit: timedelta,
    *,
    grace: float = _KILL_SECONDS,
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Run it without a shell or standard input, in a process group of its own that never outlives this call.

    `variables` are set in its environment, beside our own.

    It is over when the program itself is, whatever it leaves behind. A program that cannot be started gives code 127,
    as a shell would say. At the limit it is asked to end, and after `grace` seconds more it is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **variables} if variables else None,
        )
    except OSError as error:
        return Ran(127, f"cannot run {command[0]}: {error.strerror}")
    output = bytearray()
    collecting = asyncio.create_task(_collect(process, output))
    try:
        async with asyncio.timeout(limit.total_seconds()):
            await _exited(process)
        code = process.returncode
    except TimeoutError:
        code = None
    finally:
        await _end(process, grace)
        await asyncio.wait([collecting], timeout=_DRAIN_SECONDS)
        collecting.cancel()
        process._transport.close()  # type: ignore[attr-defined] # one that left the group may hold the pipe open for ever
    return Ran(code, output.decode(errors="replace"))


async def _collect(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Keep the last 64 KiB of what it writes, however much that is."""
    if process.stdout is None:
        return
    while chunk := await process.stdout.read(_OUTPUT_LIMIT):
        output += chunk
        del output[:-_OUTPUT_LIMIT]


async def _exited(process: asyncio.subprocess.Process) -> None:
    """Wait for the program itself; asyncio's `wait` may also wait for all who hold its output open."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio has no event for this alone
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_exited(process), grace)
    _signal(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_exited(process), _KILL_SECONDS)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or runs as another user by now
        os.killpg(group, number)
