"""`deploywatch rules check`: all that is wrong with policies, by themselves or held against a live Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from deploywatch import config
from deploywatch.errors import UnreachableError
from deploywatch.files.document import path_text
from deploywatch.plurals import number_of
from deploywatch.prometheus import Prometheus
from deploywatch.quantity import format_duration, parse_duration
from deploywatch.rules.live import asking, buckets, history, parts, presence, quantiles
from deploywatch.rules.live.cost import costs
from deploywatch.rules.live.findings import Finding, Grade
from deploywatch.rules.loading import load_all
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert, ResolvedPolicy
from deploywatch.terminal import as_json, brief, say

_LONGEST = 2000
_WHOLE = 0.95
"""The share of the time for which there are samples that passes for all of it."""
_DEAREST = 5
"""Rules whose cost is told one by one."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A finding with its place in a file."""

    file: str
    line: int
    column: int
    finding: Finding

    @property
    def message(self) -> str:
        """What was found; it may repeat what targets call their labels and types."""
        return brief(self.finding.message, _LONGEST)

    def __str__(self) -> str:
        where = path_text(self.finding.path)
        about = f" {where}:" if where else ""
        return f"{self.file}:{self.line}:{self.column}:{about} {self.finding.grade}: {self.message}"

    def plain(self) -> dict[str, object]:
        """As data."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": path_text(self.finding.path),
            "grade": self.finding.grade,
            "message": self.message,
        }


@click.command()
@click.argument("policies", type=click.Path(dir_okay=False, path_type=Path), nargs=-1, required=True)
@asking.options(required=False)
@click.option("--over", default="7d", show_default=True, help="How far back alerts are tried.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(policies: tuple[Path, ...], url: str | None, token_file: Path | None, over: str, form: str) -> None:
    """Say all that is wrong with the policies, with file:line:column; exit 2 if anything is.

    With --prometheus, hold them against what it has: series, labels, values, types and buckets that are missing; how
    often each alert would have fired; what the rules cost. Exit 1 for faults, 4 where it does not tell.
    """
    loaded = load_all(policies)
    if url is None:
        for path, policy in zip(policies, loaded, strict=True):
            say(f"{path}: policy {policy.policy}, {number_of(len(policy.alerts), 'alert')}: good")
        return
    findings = asyncio.run(_live(list(zip(policies, loaded, strict=True)), url, token_file, _length(over)))
    say(as_json([finding.plain() for finding in findings]) if form == "json" else "\n".join(map(str, findings)))
    grades = {finding.finding.grade for finding in findings}
    # A fault that is known outweighs what could not be asked.
    raise SystemExit(1 if Grade.FAULT in grades else asking.CANNOT_TELL if Grade.UNKNOWN in grades else 0)


def _length(over: str) -> timedelta:
    try:
        length = parse_duration(over)
    except ValueError as error:
        raise click.UsageError(f"--over: {error}") from error
    if not length:
        raise click.UsageError("--over: must be more than nothing")
    return length


async def _live(
    policies: Sequence[tuple[Path, Policy]], url: str, token_file: Path | None, over: timedelta
) -> list[_Told]:
    sentences = []
    async with asking.connected(url, token_file) as prometheus:
        for path, policy in policies:
            document = config.read_file(path)
            async for finding in _findings(prometheus, resolve(policy), over):
                line, column = document.place(finding.path)
                sentences.append(_Told(str(path), line, column, finding))
    return sentences


async def _past(
    prometheus: Prometheus, policy: ResolvedPolicy, alert: ResolvedAlert, now: float, over: timedelta
) -> tuple[Grade, str]:
    """How often an alert would have fired."""
    try:
        past = await history.past(prometheus, policy, alert, now=now, over=over)
    except UnreachableError as error:
        return Grade.UNKNOWN, f": {error}"
    return Grade.WARNING if past.is_noisy(over) else Grade.NOTE, f" {past.told(over)}"


async def _all_past(prometheus: Prometheus, policy: ResolvedPolicy, over: timedelta) -> AsyncIterator[Finding]:
    """How often each alert would have fired since there are samples."""
    now = time.time()
    try:
        since = await history.known_since(prometheus, policy, now=now, over=over)
    except UnreachableError as error:
        yield Finding(Grade.UNKNOWN, ("alerts",), str(error))
        return
    if since is None:
        text = f"there is no sample of the policy's series in the last {format_duration(over)}: no alert was tried"
        yield Finding(Grade.NOTE, ("alerts",), text)
        return
    known = timedelta(minutes=max(0.0, now - since) // 60 + 1)
    if known < over * _WHOLE:
        text = f"samples reach back {format_duration(known)} of the {format_duration(over)}: alerts were tried on these"
        yield Finding(Grade.NOTE, ("alerts",), text)
        over = known
    for number, alert in enumerate(policy.alerts):
        grade, text = await _past(prometheus, policy, alert, now, over)
        yield Finding(grade, ("alerts", number, "alert"), f"{alert.given.alert}{text}")


async def _findings(prometheus: Prometheus, policy: ResolvedPolicy, over: timedelta) -> AsyncIterator[Finding]:
    for room in (presence, buckets, quantiles, parts):
        try:
            async for finding in room.check(prometheus, policy):
                yield finding
        except UnreachableError as error:
            yield Finding(Grade.UNKNOWN, (), str(error))
            return
    async for finding in _all_past(prometheus, policy, over):
        yield finding
    try:
        async for finding in _costs(prometheus, policy):
            yield finding
    except UnreachableError as error:
        yield Finding(Grade.UNKNOWN, ("interval",), f"cost: {error}")


async def _costs(prometheus: Prometheus, policy: ResolvedPolicy) -> AsyncIterator[Finding]:
    every = await costs(prometheus, policy)
    seconds, interval = sum(cost.seconds for cost in every), policy.given.interval
    share = seconds / interval.total_seconds()
    text = (
        f"{len(every)} rules take {seconds * 1000:.0f} ms, {share:.1%} of the interval of {format_duration(interval)}"
    )
    # Rules that read nothing yet cost next to nothing, which would make the sum look better than it will be.
    empty = sum(not cost.is_loaded for cost in every)
    more = f"; {empty} of them read what is not recorded there yet, and will cost more" if empty else ""
    yield Finding(Grade.WARNING if share > 1 else Grade.NOTE, ("interval",), text + more)
    for cost in every[:_DEAREST]:
        samples = f", {cost.samples} samples" if cost.samples is not None else ""
        yield Finding(Grade.NOTE, ("interval",), f"{cost.name}: {cost.seconds * 1000:.1f} ms{samples}")
