"""Runs commands: argv only, never a shell, each in a process group that is ended at the time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.settings.executors.plan import Steps

# PATH finds programs, HOME has kubectl's and git's configuration, LANG the letters of their messages.
_ALWAYS = ("PATH", "HOME", "LANG")
# Bytes from the end of the output, where a command says why it failed.
_OUTPUT_LIMIT = 64 * 1024
# Between asking a command to end and killing it: kubectl and helm give back their locks meanwhile.
_KILL_SECONDS = 5.0
# What a command left running may hold its output open for ever.
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


async def perform(steps: Steps, means: Means, limit: timedelta) -> Result:
    """Run the steps until one is not good, all within one time limit."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit.total_seconds()
    ran = Ran(0, "")
    for number, argv in enumerate(steps.commands, 1):
        left = timedelta(seconds=max(end - loop.time(), 0))
        ran = await run(argv, left, environment=means.environment, variables=steps.variables)
        if not ran.good:
            where = f"step {number} of {len(steps.commands)}, {argv[0]}: " if len(steps.commands) > 1 else ""
            return Result(good=False, detail=f"{where}{ran}")
    return Result(good=True, detail=str(ran))


async def run(
    command: Sequence[str],
    limit: timedelta,
    *,
    grace: float = _KILL_SECONDS,
    environment: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Run it without a shell or standard input, in a process group of its own that never outlives this call.

    Of our own environment, which has tokens, it finds PATH, HOME, LANG and what `environment` names; beside these,
    `variables` are set.

    It is over when the program itself is, whatever it leaves behind. A program that cannot be started gives code 127,
    as a shell would say. At the limit it is asked to end, and after `grace` seconds more it is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A group of its own: a signal then reaches the children too, and Ctrl-C at our terminal does not.
            start_new_session=True,
            env={**_inherited(environment), **(variables or {})},
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
        # Also after a good end: children that it left behind are ended with it.
        await _end(process, grace)
        await asyncio.wait([collecting], timeout=_DRAIN_SECONDS)
        collecting.cancel()
        process._transport.close()  # type: ignore[attr-defined] # one that left the group may hold the pipe open for ever
    return Ran(code, output.decode(errors="replace"))


def _inherited(named: Sequence[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in (*_ALWAYS, *named) if name in os.environ}


async def _collect(process: asyncio.subprocess.Process, output: bytearray) -> None:
    """Keep the last 64 KiB of what it writes, however much that is."""
    if process.stdout is None:
        return
    # Read on even when enough is known: a full pipe would stop the command.
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
    # To the group, always: the program may be gone and its children not.
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
