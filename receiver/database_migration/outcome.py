"""How a migration ended, and what that means for the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from deploywatch.receiver.database_migration.backup import BackupPoint

LOST = (
    ConnectionError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    # The server goes away: 57P01, 57P02, 57P03.
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Outcome(StrEnum):
    """How a migration ended; what it means for the database is exactly this."""

    COMMITTED = "committed"
    TRIED = "tried"
    ROLLED_BACK = "rolled_back"
    COMMITTED_NOT_FINISHED = "committed_not_finished"
    NOT_BEGUN = "not_begun"
    HELD = "held"
    UNKNOWN = "unknown"


# As the gate's: 3 is somebody else's turn, and 4 that nobody can tell.
EXIT_CODES = {
    Outcome.COMMITTED: 0,
    Outcome.TRIED: 0,
    Outcome.ROLLED_BACK: 1,
    # Not 0, although the data are migrated: an index that was to follow is missing.
    Outcome.COMMITTED_NOT_FINISHED: 1,
    Outcome.NOT_BEGUN: 1,
    Outcome.HELD: 3,
    Outcome.UNKNOWN: 4,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome, why, what to do, and the backup that there is."""

    outcome: Outcome
    reason: str = ""
    backup: BackupPoint | None = None
    began: datetime | None = None
    ended: datetime | None = None


class StopError(Exception):
    """The migration ends here, with this outcome."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class FailedError(Exception):
    """A statement or a validation of the plan failed."""


def what_stays(outcome: Outcome) -> str:
    return {
        Outcome.COMMITTED_NOT_FINISHED: "; the transaction is committed, and not all after it was run",
        Outcome.NOT_BEGUN: "; the transaction was not begun",
        Outcome.ROLLED_BACK: "; nothing of the transaction stays",
    }.get(outcome, "; whether the statement under way was done is not known")


def error_words(error: BaseException) -> str:
    parts = [str(error) or type(error).__name__]
    parts += [f"{name}: {value}" for name in ("detail", "hint") if (value := getattr(error, name, None))]
    return "; ".join(parts)
