"""The store from the command line: migrate it, copy it while a receiver runs, put a copy back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from deploywatch.receiver.settings import config
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store, StoreError
from deploywatch.receiver.store import backup as copies
from deploywatch.terminal import say
from deploywatch.web import options

CONFIG = click.option(
    "--config.file", "config_file", type=options.FILE, required=True, help="The receiver's configuration."
)


@click.group()
def store() -> None:
    """Migrate the receiver's store; back it up while the receiver runs, and restore it."""


@store.command()
@CONFIG
@options.STORAGE
def migrate(config_file: Path, storage: Path | None) -> None:
    """Bring the schema to what this version needs; a second time changes nothing.

    SQLite's is migrated when the receiver starts, PostgreSQL's by this command alone.
    """
    revision = asyncio.run(_migrate(config.load(config_file, storage=storage)))
    say(f"the store is at revision {revision}")


@store.command()
@CONFIG
@options.STORAGE
@click.argument("target", type=options.FILE)
def backup(config_file: Path, storage: Path | None, target: Path) -> None:
    """Copy a SQLite store into a new file, while the receiver goes on."""
    size = copies.backup(_file(config_file, storage), target)
    say(f"{target}: {size / 1024**2:.1f} MB")


@store.command()
@CONFIG
@options.STORAGE
@click.argument("source", type=options.FILE)
def restore(config_file: Path, storage: Path | None, source: Path) -> None:
    """Put a copy in the place of a SQLite store; the receiver must be stopped."""
    file = _file(config_file, storage)
    kept = copies.restore(source, file)
    say(f"{file} is what {source} was{f'; what it was before is in {kept}' if kept else ''}")


async def _migrate(settings: ReceiverConfig) -> str:
    opened = Store(settings.database.get_secret_value())
    try:
        return await opened.migrate()
    finally:
        await opened.close()


def _file(config_file: Path, storage: Path | None) -> Path:
    file = Store(config.load(config_file, storage=storage).database.get_secret_value()).file
    if file is None:
        raise StoreError("the store is on PostgreSQL; use its own tools, such as pg_dump and pg_restore")
    return file
