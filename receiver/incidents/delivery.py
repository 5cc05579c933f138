"""One webhook, understood."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.receiver.alert import Alert


def _nothing(_: Connection) -> None:
    """Is done where nothing else is to be done."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that has been understood: its body as it came, its alerts, and how many were left out of it.

    `digest` names the body, so that it is stored once for the same ones; without it each is. `also` is done in the
    transaction that takes it in, at its end. `rejected` says, with JSON paths, which of its alerts could not be read.
    """

    received_at: datetime
    body: bytes
    alerts: tuple[Alert, ...]
    truncated: int = 0
    digest: bytes = b""
    rejected: tuple[str, ...] = ()
    also: Callable[[Connection], None] = _nothing
    whole: int | None = None
    """Of how many alerts this is the first part; None where it is all of them, or a later part."""
    first: int = 0
    """The place of its first alert in the webhook; the part that begins it is stored with the whole body."""
    is_last: bool = True

    def part(self, first: int, most: int) -> Delivery:
        """So many alerts of the delivery at most, from a place on; each part can be taken in for itself.

        What is done at its end belongs to the last. Whoever sends all of it again changes nothing.
        """
        if first == 0 and len(self.alerts) <= most:
            return self
        is_last = first + most >= len(self.alerts)
        return replace(
            self,
            alerts=self.alerts[first : first + most],
            # Each part needs a name of its own, else the second would be taken for a repetition of the first.
            digest=_named(self.digest, first) if first else self.digest,
            also=self.also if is_last else _nothing,
            whole=None if first else len(self.alerts),
            first=first,
            is_last=is_last,
        )

    @property
    def asked(self) -> tuple[bytes, int]:
        """What names these alerts, by which they are known when they come again; nothing where the body has no name."""
        return self.digest, len(self.alerts)


def _named(digest: bytes, first: int) -> bytes:
    """A digest for a part, from its place; none where the whole has none."""
    return hashlib.sha256(digest + first.to_bytes(4)).digest() if digest else b""
