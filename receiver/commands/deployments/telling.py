"""Tells the receiver of a deployment without ever failing it: what cannot be told is kept, and said so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from deploywatch.errors import DeploywatchError, UnreachableError
from deploywatch.receiver.client import Client, RefusedError
from deploywatch.receiver.commands.deployments.spool import ANSWERED, PASSING, Entry, Flushed, Spool
from deploywatch.receiver.commands.shared import echo
from deploywatch.utc import in_utc, utc_now

PATH: Final = "/deployments"
_ASIDE: Final = "the receiver does not take what was kept, and it is put aside: {}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A deployment by what names it everywhere: what `start` prints when the receiver gave it no number."""

    service: str
    environment: str
    version: str
    timestamp: str

    def __str__(self) -> str:
        """One word: `shop/production/1.2.3@2026-11-27T22:00:00+00:00`."""
        # Quoted, as a version such as `feature/x` would add a part to it.
        names = "/".join(quote(name, safe="") for name in (self.service, self.environment, self.version))
        return f"{names}@{self.timestamp}"

    @classmethod
    def read(cls, text: str) -> Reference:
        """The reference that was printed; ValueError for anything else."""
        names, at, timestamp = text.rpartition("@")
        parts = [unquote(name) for name in names.split("/")]
        if not at or len(parts) != 3 or not all(parts):
            raise ValueError(f"{text!r} is neither a deployment's number nor what `start` printed")
        datetime.fromisoformat(timestamp)
        service, environment, version = parts
        return cls(service, environment, version, timestamp)

    def ended(self, status: str, now: datetime) -> dict[str, Any]:
        """The whole record of the deployment, which ended now."""
        # The clock may have been set back in between; a deployment took no time less than none.
        took = max((now - in_utc(datetime.fromisoformat(self.timestamp))).total_seconds(), 0.0)
        return {
            "service": self.service,
            "environment": self.environment,
            "version": self.version,
            "timestamp": self.timestamp,
            "status": status,
            "duration_seconds": took,
        }


def tell(client: Client, folder: Path, method: str, path: str, body: dict[str, Any], *, strict: bool) -> Any:
    """Send it after what is kept; the answer, or None when it is kept instead, which standard error says.

    With `strict`, what goes wrong is raised, also with what was kept before, and nothing more is kept.
    """
    spool, entry = Spool(folder), Entry(client.shown, method, path, body)
    try:
        with spool.locked():
            return _strictly(client, spool, entry) if strict else _in_turn(client, spool, entry)
    except OSError as error:
        warn([f"what cannot be told cannot be kept in {folder}: {error.strerror or error}; give another --spool"])
    # Without a folder there is no order to keep: what happens now is told now or never.
    return client.record(method, path, body, needs=ANSWERED) if strict else _now_or_never(client, entry)


def send_kept(client: Client, folder: Path, kept_for: str | None = None) -> tuple[int, int]:
    """Send what is kept for the receiver, or for another URL: how many it took, how many are left. Raises OSError."""
    spool, url = Spool(folder), kept_for or client.url
    with spool.locked():
        flushed = spool.flush(client, url)
        waiting = spool.waiting()
    _say_flushed(flushed)
    if flushed.stopped:
        warn([flushed.stopped])
    return flushed.taken, len(waiting.of(url))


def warn_of(answer: Any) -> None:
    """Say what the receiver wants the pipeline to know."""
    if answer and answer.get("notice"):
        warn([answer["notice"]])


def warn(sentences: Iterable[str]) -> None:
    """Say it on standard error, where a pipeline's log shows it."""
    for sentence in sentences:
        echo(f"deploywatch: {sentence}", err=True)


def timestamp(given: datetime | None, now: Callable[[], datetime] = utc_now) -> str:
    """The time as the API takes it: the one that was given, or now."""
    return (in_utc(given) if given else now()).isoformat()


def _say_flushed(flushed: Flushed) -> None:
    warn(map(_ASIDE.format, flushed.refused))
    warn(
        f"{count} kept for {url}, and not sent: give that --url; if it was wrong, `deployments send --kept-for {url}`"
        for url, count in flushed.others.items()
    )


def _strictly(client: Client, spool: Spool, entry: Entry) -> Any:
    flushed = spool.flush(client, client.url)
    _say_flushed(flushed)
    if flushed.trouble:
        raise flushed.trouble
    return client.record(entry.method, entry.path, entry.body, needs=ANSWERED)


def _in_turn(client: Client, spool: Spool, entry: Entry) -> Any:
    flushed = spool.flush(client, client.url)
    _say_flushed(flushed)
    reason = flushed.stopped
    if not reason:
        try:
            return client.record(entry.method, entry.path, entry.body, needs=ANSWERED)
        except UnreachableError as error:
            reason = str(error)
        except RefusedError as error:
            if error.status not in PASSING:
                warn([f"the receiver does not take it, and the deployment goes on: {error}"])
                return None
            reason = str(error)
    path = spool.keep(entry)
    warn([f"{reason}; kept in {path}, and sent with the next call"])
    return None


def _now_or_never(client: Client, entry: Entry) -> Any:
    try:
        return client.record(entry.method, entry.path, entry.body, needs=ANSWERED)
    except DeploywatchError as error:
        warn([f"the receiver does not know of it, and the deployment goes on: {error}"])
    return None
