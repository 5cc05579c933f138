"""Jobs as values: what is to be done, what is in hand, how urgent it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any


class State(StrEnum):
    """The life of a job."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Urgency(IntEnum):
    """What runs first of all that is due; a lower number comes before a higher one, however long that has waited.

    A queue has a limit of what runs at a time, so what is less urgent has room beside the queues of what is more so.
    """

    # Numbers, because the database sorts by them.
    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    """Digests, drafts, reminders of paperwork, and what is published to other systems."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """Something to do: once for each `key`, one after another within a `serial_key`, not before `run_at`.

    Of one `queue` (the kind, when it is empty) only `QUEUE_LIMIT` run at a time.
    """

    kind: str
    key: str
    serial_key: str
    run_at: datetime
    incident_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""
    urgency: Urgency = Urgency.NORMAL


@dataclass(frozen=True, slots=True)
class Job:
    """A job in hand; `attempts` counts this one.

    `uncertain_attempts` counts the attempts of which nobody knows whether they did it, because they were cut off.
    """

    id: int
    kind: str
    key: str
    incident_id: int
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime
    queue: str = ""
    uncertain_attempts: int = 0
    urgency: Urgency = Urgency.NORMAL
