"""The commands `deploywatch exporter` and `deploywatch check`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploywatch import logs
from deploywatch.access.webconfig import Access
from deploywatch.clock import SystemClock
from deploywatch.config import nearest
from deploywatch.conventions import EXPORTER_PORT
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.check import Checked, NothingError, Wanted, all_targets
from deploywatch.exporter.check import check as check_all
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.reports import FORMATS, Show
from deploywatch.exporter.settings.selection import Selection
from deploywatch.exporter.targets import WHOLE, Shard, Target, parse_shard
from deploywatch.exporter.wait import until_ready
from deploywatch.plurals import number_of
from deploywatch.quantity import parse_duration
from deploywatch.terminal import say
from deploywatch.web import gc_tuning, options
from deploywatch.web.prefix import External


def _interval(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    try:
        interval = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if interval <= timedelta(0):
        raise click.BadParameter("must be more than 0s")
    return interval


def _shard(_: click.Context, __: click.Parameter, value: str | None) -> Shard:
    if value is None:
        return WHOLE
    try:
        return parse_shard(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_SHARD = click.option("--shard", callback=_shard, help="Only this part of the targets, such as 2/5 in a fleet of five.")


@click.command()
@options.server(EXPORTER_PORT)
@_SHARD
def exporter(  # noqa: PLR0917 - click passes the options by name
    config_file: Path,
    config_check: bool,
    listen: str,
    web_config: Path | None,
    log_format: str,
    log_level: str,
    external_url: str,
    route_prefix: str | None,
    shard: Shard,
) -> int:
    """Probe services on a schedule; serve /metrics, /probe, /health and their like."""
    external = External(external_url, route_prefix)
    settings = config.load(config_file)
    if config_check:
        return _say_checked(config_file, settings, web_config, shard)
    logs.configure(form=log_format, level=log_level)
    gc_tuning.tune()
    asyncio.run(_serve(Exporter(config_file, settings, shard=shard), listen, web_config, external))
    return 0


def _say_checked(config_file: Path, settings: ExporterSettings, web_config: Path | None, shard: Shard) -> int:
    """Say what a configuration has, and what of it is refused; the exit code, which is 1 where something is."""
    for credential in Access(web_config).loaded.settings.described:
        say(f"{web_config}: {credential}")
    for sentence in settings.unprobed_ports:
        say(sentence)
    for problem in _refused(settings):
        say(problem, err=True)
    bad = f", {len(settings.refused)} refused" if settings.refused else ""
    counts = f"{number_of(len(all_targets(settings, shard)), 'probe')}, {number_of(len(settings.modules), 'module')}"
    say(f"{config_file}: {'partly good' if bad else 'good'}, {counts}{bad}")
    return 1 if bad else 0


def _refused(settings: ExporterSettings) -> list[str]:
    return [str(problem) for problems in settings.refused.values() for problem in problems]


@click.command()
@click.option("--config.file", "config_file", type=options.FILE, required=True, help="The exporter's configuration.")
@click.option("--service", help="Only this service.")
@click.option("--environment", help="Only this environment.")
@click.option("--level", help="Only the probes of a level: basic, detailed, comprehensive, or one of the config's own.")
@click.option("--smoke", help="Only the probes of a smoke suite: critical, full, or one of the config's own.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@_SHARD
@click.option("--watch", callback=_interval, help="Check again this long after, such as 10s, until Ctrl-C.")
@click.option(
    "--wait",
    callback=_interval,
    help="Try again until the level (else basic) is well, then run --smoke once; this long in all, such as 5m.",
)
def check(  # noqa: PLR0917 - click passes the options by name
    config_file: Path,
    service: str | None,
    environment: str | None,
    level: str | None,
    smoke: str | None,
    form: str,
    shard: Shard,
    watch: timedelta | None,
    wait: timedelta | None,
) -> int:
    """Probe everything once. Exit code 0: all well; 1: something is not; 2: the configuration is bad."""
    if wait and watch:
        raise click.UsageError("--wait and --watch: one of them ends, the other does not; keep one")
    settings = config.load(config_file)
    # The table says what fails; a line of the log for each probe would say it twice.
    logs.configure(level="error")
    if wait:
        basic = _named("level", level or "basic", settings.all_levels())
        ready = _chosen(settings, Wanted(service, environment, basic), shard)
        suite = _named("smoke", smoke, settings.all_smoke())
        smoked = _chosen(settings, Wanted(service, environment, suite), shard) if suite else []
        return asyncio.run(_wait(ready, smoked, settings, FORMATS[form], wait))
    selections = (*_named("level", level, settings.all_levels()), *_named("smoke", smoke, settings.all_smoke()))
    chosen = _chosen(settings, Wanted(service, environment, selections), shard)
    # To standard error: standard output may be JSON or JUnit that a program reads.
    for problem in _refused(settings):
        say(problem, err=True)
    checked = asyncio.run(_checks(lambda: _once(chosen, settings), FORMATS[form], watch))
    return 0 if checked.well else 1


def _named(option: str, name: str | None, known: Mapping[str, Selection]) -> tuple[Selection, ...]:
    if name is None:
        return ()
    if name not in known:
        raise click.UsageError(f"--{option} {name}: no such {option}{nearest(name, known)}")
    return (known[name],)


def _chosen(settings: ExporterSettings, wanted: Wanted, shard: Shard) -> list[Target]:
    targets = all_targets(settings, shard)
    chosen = wanted.of(targets)
    if chosen:
        return chosen
    if not Wanted(wanted.service, wanted.environment).of(targets):
        known = {target.key.service for target in targets}
        hint = nearest(wanted.service, known) if wanted.service and wanted.service not in known else ""
        raise click.UsageError(f"nothing to check: no such service or environment{hint}")
    asked = " and ".join(str(selection) for selection in wanted.selections)
    raise NothingError(f"nothing to check: no probe has {asked}; write layer: or tags: at the probes that are meant")


async def _once(chosen: list[Target], settings: ExporterSettings) -> Checked:
    """One check, with a bar on standard error where that is a terminal."""
    columns = (TextColumn("probing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(chosen))
        return await check_all(chosen, settings, clock=SystemClock(), done=lambda _: bar.advance(task))


async def _wait(
    ready: list[Target], smoke: list[Target], settings: ExporterSettings, show: Show, within: timedelta
) -> int:
    """The exit code of a wait and of the smoke suite after it."""
    waited = await until_ready(
        ready,
        smoke,
        look=lambda targets: _once(list(targets), settings),
        clock=SystemClock(),
        within=within.total_seconds(),
        tell=lambda sentence: say(sentence, err=True),
    )
    show(waited.checked)
    _remark(waited.checked)
    if waited.ready_after is None and smoke:
        say("the smoke suite was not run: what it needs is not ready", err=True)
    return 0 if waited.ready_after is not None and waited.checked.well else 1


async def _checks(again: Callable[[], Awaitable[Checked]], show: Show, watch: timedelta | None) -> Checked:
    """One check, or one after the other until Ctrl-C, which cancels this task; the last one."""
    checked = await again()
    show(checked)
    _remark(checked)
    if watch is None:
        return checked
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(watch.total_seconds())
            before, checked = checked, (await again()).after(checked)
            _show_again(before, checked, show)
    return checked


def _remark(checked: Checked) -> None:
    if checked.remark:
        say(checked.remark, err=True)


def _show_again(before: Checked, now: Checked, show: Show) -> None:
    """The whole table anew; what has become better or worse is said on standard error."""
    if sys.stdout.isatty():
        # Only on a terminal: in a file each round stays, as a history.
        click.clear()
    show(now)
    sys.stdout.flush()
    _remark(now)
    for line in changes(before, now):
        say(line, err=True, bell=line.startswith("\a"))


def changes(before: Checked, now: Checked) -> list[str]:
    """What has become better or worse since the check before; a bell with what is worse."""
    earlier = {probe.key: probe for probe in before.probes}
    return [
        f"\a{'/'.join(probe.key)} fails: {probe.error}" if probe.error else f"{'/'.join(probe.key)} works again"
        for probe in now.probes
        if probe.status is not earlier[probe.key].status
    ]


async def _serve(running: Exporter, listen: str, web_config: Path | None, external: External) -> None:
    await make_server(running, listen=listen, web_config=web_config, external=external).run()
