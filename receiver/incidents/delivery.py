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
    part: int = 0
    """Which part of a webhook it is, from 0; the first is stored with the whole body."""
    is_last: bool = True

    def slices(self, most: int) -> tuple[Delivery, ...]:
        """The delivery in parts of at most so many alerts, in their order; each can be taken in for itself.

        What is done at its end belongs to the last. Whoever sends all of it again changes nothing.
        """
        if len(self.alerts) <= most:
            return (self,)
        starts = range(0, len(self.alerts), most)
        return tuple(self._slice(number, start, most, starts[-1]) for number, start in enumerate(starts))

    def _slice(self, number: int, start: int, most: int, last: int) -> Delivery:
        return replace(
            self,
            alerts=self.alerts[start : start + most],
            digest=self.digest if number == 0 else _named(self.digest, number),
            also=self.also if start == last else _nothing,
            whole=len(self.alerts) if number == 0 else None,
            part=number,
            is_last=start == last,
        )


def _named(digest: bytes, part: int) -> bytes:
    """A digest for a part, by which it is known when it comes again; none where the whole has none."""
    return hashlib.sha256(digest + part.to_bytes(4)).digest() if digest else b""
