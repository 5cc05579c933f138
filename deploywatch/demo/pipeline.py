"""The pipeline that the demo plays: the commands that a pipeline calls, each a process of its own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from dataclasses import dataclass

from deploywatch.demo.processes import StartError

# The real commands in processes of their own, as a pipeline has them, and no calls into the library.
_DEPLOYMENTS = (sys.executable, "-m", "deploywatch", "deployments")
_SERVICE = ("--service", "shop", "--environment", "demo")
_APPROVER, _DEPLOYER = "lena", "demo"


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    text: str

    @property
    def decided(self) -> str:
        """What `watch` said at last: the verdict in words, and how it ended."""
        return " → ".join(self.text.strip().splitlines()[-2:])


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Calls `deploywatch deployments` at a receiver."""

    receiver: str

    async def gate(self, version: str) -> Said:
        """Ask whether a version may be deployed."""
        return await self._run("gate", *_SERVICE, "--version", version, "--deployer", _DEPLOYER)

    async def approve(self, version: str) -> str:
        """Someone else approves it."""
        return await self._do("approve", *_SERVICE, "--version", version, "--role", "tech-lead", "--by", _APPROVER)

    async def start(self, version: str) -> str:
        """A canary begins; its number."""
        return await self._do("start", *_SERVICE, "--version", version, "--deployer", _DEPLOYER, "--strategy", "canary")

    async def stage(self, number: str, name: str) -> str:
        """A stage begins."""
        return await self._do("stage", number, name)

    async def watch(self, number: str, show: Callable[[str], None]) -> Said:
        """Follow the newest stage to its verdict; `show` gets each line as it comes."""
        return await self._run("watch", number, "--every", "0.5", "--patience", "120", show=show)

    async def finish(self, number: str, status: str) -> str:
        """The pipeline has come to its end."""
        return await self._do("finish", number, "--status", status)

    async def report(self, number: str) -> str:
        """The report on a deployment, as Markdown."""
        return await self._do("report", number)

    async def _do(self, *words: str) -> str:
        answer = await self._run(*words)
        if answer.code:
            raise StartError(f"deploywatch deployments {' '.join(words)}:\n{answer.text.strip()}")
        return answer.text.strip()

    async def _run(self, *words: str, show: Callable[[str], None] | None = None) -> Said:
        process = await asyncio.create_subprocess_exec(
            *_DEPLOYMENTS, "--url", self.receiver, *words, stdout=PIPE, stderr=STDOUT
        )
        lines = []
        try:
            if process.stdout is not None:
                async for raw in process.stdout:
                    line = raw.decode(errors="replace")
                    lines.append(line)
                    if show is not None:
                        show(line.strip())
            return Said(await process.wait(), "".join(lines))
        finally:
            # Cancelled in between: the child would go on watching by itself.
            if process.returncode is None:
                process.kill()
                await process.wait()
