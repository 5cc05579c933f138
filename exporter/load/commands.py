"""The command `deploywatch load`."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import aiohttp
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploywatch import json_text
from deploywatch.clock import SystemClock
from deploywatch.errors import ConfigError, Problem
from deploywatch.exporter import config
from deploywatch.exporter.load import report
from deploywatch.exporter.load import requests as wanted
from deploywatch.exporter.load.options import duration_option, header_option, share_option
from deploywatch.exporter.load.requests import Mix, Request
from deploywatch.exporter.load.result import Difference, Result, as_data, compare, from_data, measured
from deploywatch.exporter.load.run import Loop, asker
from deploywatch.terminal import as_json, say
from deploywatch.web import options

# Of fewer, the 95th percentile rests on less than five requests.
ENOUGH = 100
"""Requests below which a 95th percentile says nothing: with fewer, five would decide."""
_TICK = 0.25


@click.command()
@click.argument("url", required=False)
@click.option("--requests", "request_file", type=options.FILE, help="Several requests with weights, in place of URL.")
@click.option(
    "--duration", callback=duration_option, default="60s", show_default=True, help="How long, after the warm-up."
)
@click.option("--warm-up", callback=duration_option, default="5s", show_default=True, help="How long before it counts.")
@click.option("--users", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many at once.")
@click.option(
    "--slow", callback=duration_option, default="2s", show_default=True, help="The 95th percentile that is too slow."
)
@click.option(
    "--errors", callback=share_option, default="5%", show_default=True, help="The share of errors that is too many."
)
@click.option(
    "--timeout", callback=duration_option, default="30s", show_default=True, help="How long an answer may take."
)
@click.option("--method", default="GET", show_default=True, help="With URL.")
@click.option(
    "--header", "headers", multiple=True, callback=header_option, help="'Name: value', with URL; may be repeated."
)
@click.option("--body", help="With URL; @FILE reads it from a file.")
@click.option("--baseline", type=options.FILE, help="A saved result to compare with.")
@click.option("--save", type=options.FILE, help="Where to save the result, as a baseline of later runs.")
@click.option(
    "--strict", is_flag=True, help="Exit 1 when it is too slow, has too many errors, or got worse; else a warning."
)
@click.option(
    "--config.file", "config_file", type=options.FILE, help="The exporter's config: what its probes ask may be loaded."
)
@click.option("--yes", is_flag=True, help="Load what the config does not have, too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def load(  # noqa: PLR0917 - click passes the options by name
    url: str | None,
    request_file: Path | None,
    duration: timedelta,
    warm_up: timedelta,
    users: int,
    slow: timedelta,
    errors: float,
    timeout: timedelta,
    method: str,
    headers: dict[str, str],
    body: str | None,
    baseline: Path | None,
    save: Path | None,
    strict: bool,
    config_file: Path | None,
    yes: bool,
    form: str,
) -> int:
    """Send requests in a closed loop, and say how long answers take and which fail.

    Exit code 0: measured; 1: too slow, too many errors or worse than the baseline, with --strict; 2: usage; 3: too few
    requests to say anything; 4: not one request was answered; 130: interrupted, with what was measured so far.
    """
    if (url is None) == (request_file is None):
        raise click.UsageError("give a URL, or --requests FILE")
    if duration == timedelta(0):
        raise click.UsageError("--duration: must be more than 0s")
    requests = wanted.load(request_file) if request_file else (_single(url or "", method.upper(), headers, body),)
    # A load test against somebody else's server is an attack: what no probe knows has to be confirmed.
    if not yes:
        wanted.refuse_strangers(requests, config.load(config_file) if config_file else None)
    before = _baseline(baseline)
    # Before the load: after ten minutes of it, a typing error in a path would lose the result.
    _can_be_saved(save)
    loop = Loop(Mix(requests), users, duration.total_seconds(), warm_up.total_seconds(), SystemClock())
    whole = asyncio.run(_run(loop, timeout.total_seconds()))
    result = measured(loop.answers, users, min(max(loop.passed, 0.0), loop.duration))
    differences = compare(before, result) if before else []
    say(_printed(result, loop, differences, form, whole=whole))
    if no_result := _says_nothing(result, loop, whole=whole, saves=save is not None):
        return no_result
    faults = _faults(result, slow, errors) + _worsened(differences)
    for fault in faults:
        say(f"{'failed' if strict else 'warning'}: {fault}", err=True)
    if save:
        _save(save, result, faults)
    return 1 if strict and faults else 0


def _printed(result: Result, loop: Loop, differences: list[Difference], form: str, *, whole: bool) -> str:
    if form != "json":
        return report.text(result, loop.answers, differences)
    compared = {each.name: {"before": each.before, "now": each.now, "noise": each.noise} for each in differences}
    return as_json({**as_data(result), "interrupted": not whole, "compared": compared})


def _can_be_saved(path: Path | None) -> None:
    """click.UsageError before a minute of load, and not after it."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise click.UsageError(f"--save {path}: cannot be written; name a file in a folder that is there")


def _save(path: Path, result: Result, faults: list[str]) -> None:
    """Keep the result; one that is bad does not replace a baseline, or the next run would be held against it."""
    # Else a bad run would become the measure of the next.
    if faults and path.exists():
        say(f"not saved: {path} is kept, as this run is bad; remove it to begin anew", err=True)
        return
    path.write_text(as_json(as_data(result)) + "\n", encoding="utf-8")


def _worsened(differences: list[Difference]) -> list[str]:
    """What is worse than in the baseline, beyond noise: fewer requests a second, more of anything else."""
    beyond = [each for each in differences if not each.within_noise]
    worse = [
        each for each in beyond if (each.now < each.before if each.name == "requests/s" else each.now > each.before)
    ]
    return [f"{each.name} got worse than the baseline" for each in worse]


def _single(url: str, method: str, headers: dict[str, str], body: str | None) -> Request:
    if body is not None and body.startswith("@"):
        try:
            body = Path(body[1:]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise click.UsageError(f"--body {body}: cannot be read: {error}") from error
    try:
        return Request(url=url, method=method, headers=headers, body=body)
    except ValueError as error:
        message = str(error.errors()[0]["msg"]) if hasattr(error, "errors") else str(error)
        raise click.UsageError(message.removeprefix("Value error, ")) from error


def _baseline(path: Path | None) -> Result | None:
    if path is None:
        return None
    try:
        return from_data(json_text.parse(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except (ValueError, TypeError) as error:
        raise ConfigError([Problem(str(path), 0, 0, "", str(error))]) from error


def _faults(result: Result, slow: timedelta, errors: float) -> list[str]:
    faults = []
    if result.p95 > slow.total_seconds():
        faults.append(f"the 95th percentile is {result.p95:.2f} s, more than {slow.total_seconds():g} s")
    if result.error_share > errors:
        faults.append(f"{result.error_share * 100:.1f} % of requests failed, more than {errors * 100:g} %")
    return faults


async def _run(loop: Loop, timeout: float) -> bool:  # noqa: ASYNC109 - of each request
    """Whether it ran to its end; Ctrl-C cancels it, and what was measured stays."""
    # aiohttp's own limit of 100 connections would be measured in place of the server.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        bar = asyncio.create_task(_progress(loop))
        try:
            await loop.run(asker(session, timeout))
        # Ctrl-C: what was measured until then is still worth showing.
        except asyncio.CancelledError:
            return False
        finally:
            bar.cancel()
            with suppress(asyncio.CancelledError):
                await bar
    return True


async def _progress(loop: Loop) -> None:
    """A bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("loading"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[requests]} requests"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=loop.duration, requests=0)
        while True:
            bar.update(task, completed=max(0.0, loop.passed), requests=len(loop.answers))
            await asyncio.sleep(_TICK)


def _says_nothing(result: Result, loop: Loop, *, whole: bool, saves: bool) -> int:
    """Say why a run measured nothing that counts; its exit code, or 0 when it did."""
    if not whole:
        say("interrupted: these are the figures so far, and nothing was saved", err=True)
        return 130
    if not any(answer.came for answer in loop.answers):
        say("not one request was answered: nothing was measured, and nothing saved", err=True)
        return 4
    if result.requests < ENOUGH:
        few = f"too few requests to say anything: {result.requests} of {ENOUGH}; give more users or time"
        say(f"{few}; nothing was saved" if saves else few, err=True)
        return 3
    return 0
