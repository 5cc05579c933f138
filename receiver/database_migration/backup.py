"""The backup point before a migration: made, read to its end, and how old and how big it is."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.database_migration.plan import Backup, Database, OwnBackup

_ALWAYS = ("PATH", "HOME", "LANG", "TMPDIR")
_SHOWN = 500


class BackupError(DeploywatchError):
    """There is no backup that could be read, and nothing was migrated."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class BackupPoint:
    """A backup that was read to its end: its file, its size in bytes, its age in seconds, and how to restore it."""

    file: Path
    size: int
    age: float
    restore: str

    def __str__(self) -> str:
        return f"{self.file}: {self.size / 1024**2:.1f} MB, {self.age:.0f} s old, and readable"


async def make(backup: Backup, database: Database, name: str, now: datetime) -> BackupPoint:
    """Make the backup and read it; BackupError when that fails, and what was begun is removed."""
    seconds = backup.timeout.total_seconds()
    if backup.own:
        return await _own(backup.own, now, seconds)
    if backup.pg_dump is None:
        raise BackupError("the plan has no backup")
    return await _pg_dump(backup.pg_dump, database, name, now, seconds)


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise BackupError(f"there is no program {program} on this machine; install it, or write backup: own:")


async def _pg_dump(folder: Path, database: Database, name: str, now: datetime, seconds: float) -> BackupPoint:
    _need("pg_dump", "pg_restore")
    url, password = without_password(database)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
    file = folder / f"{safe}-{now:%Y%m%dT%H%M%SZ}.dump"
    partial = file.with_suffix(".partial")
    try:
        # All of the data: nobody else on this machine may read it, whatever the umask.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        dump = ["pg_dump", "--format=custom", "--no-password", f"--file={partial}", f"--dbname={url}"]
        await _run(dump, seconds, {"PGPASSWORD": password} if password else {})
        # Its list alone would not show that the data ends too early.
        await _run(["pg_restore", "--file=/dev/null", str(partial)], seconds)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    restore = f"pg_restore --clean --if-exists --single-transaction --dbname={_shown(url)} {shlex.quote(str(file))}"
    return _point(file, now, restore)


async def _own(own: OwnBackup, now: datetime, seconds: float) -> BackupPoint:
    began = datetime.now(now.tzinfo).timestamp() if own.file.exists() else 0.0
    environment = {name: os.environ[name] for name in own.environment if name in os.environ}
    await _run(own.command, seconds, environment)
    if not own.file.is_file():
        raise BackupError(f"{own.command[0]} succeeded, and {own.file} is not there")
    # A file system may keep whole seconds only.
    if own.file.stat().st_mtime < began - 2:
        raise BackupError(f"{own.command[0]} succeeded, and {own.file} is older than it: it is not this backup")
    await _run(own.verify, seconds, environment)
    return _point(own.file, datetime.now(now.tzinfo), f"as {own.command[0]} needs it, from {own.file}")


def _point(file: Path, now: datetime, restore: str) -> BackupPoint:
    stat = file.stat()
    if stat.st_size == 0:
        raise BackupError(f"the backup {file} is empty")
    return BackupPoint(file, stat.st_size, max(0.0, now.timestamp() - stat.st_mtime), restore)


def bare_environment() -> dict[str, str]:
    """What every program finds of our environment, which has passwords and tokens."""
    return {name: os.environ[name] for name in _ALWAYS if name in os.environ}


async def _run(argv: Sequence[str], seconds: float, variables: dict[str, str] | None = None) -> None:
    """Run a program with an environment of what it needs; it and its children end when we do."""
    environment = bare_environment() | (variables or {})
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise BackupError(f"{argv[0]} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise BackupError(f"{argv[0]} was not done within {seconds:.0f} s, and was stopped") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        reason = errors.decode("utf-8", "replace").strip()[-_SHOWN:]
        raise BackupError(f"{argv[0]} failed ({process.returncode}): {reason}")


def without_password(database: Database) -> tuple[str, str]:
    """The URL without its password, which all users of the machine could read among the arguments; the password."""
    parts = urlsplit(database.dsn.get_secret_value())
    user, _, given = parts.netloc.rpartition("@")[0].partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    given = next((value for name, value in query if name == "password"), unquote(given))
    password = database.password.get_secret_value() if database.password else given
    place = parts.netloc.rpartition("@")[2]
    rest = urlencode([(name, value) for name, value in query if name != "password"], quote_via=quote)
    return urlunsplit(parts._replace(netloc=f"{user}@{place}" if user else place, query=rest)), password


def _shown(url: str) -> str:
    return quote(url, safe="/:@?=&.,[]%-_")
