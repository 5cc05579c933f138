"""What a database must do for the store, and what went wrong in it as an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.store.errors import StoreError, UnfitError

T = TypeVar("T")
Work = Callable[[Connection], T]
# Labels and annotations of every alert go through these.
JSON_CODEC: dict[str, Any] = {
    "json_serializer": lambda value: msgspec.json.encode(value).decode(),
    "json_deserializer": msgspec.json.decode,
}
CHANGES = "SELECT number FROM changes"


class Backend(Protocol):
    """One database."""

    async def write(self, work: Work[T]) -> T:
        """Run the function in a transaction and commit it to the disk."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run the function on a consistent view."""
        ...

    def opened(self) -> None:
        """The schema is the one of this version."""
        ...

    async def changes(self) -> str:
        """A text that differs once what pages show has changed, by any replica."""
        ...

    async def close(self) -> None:
        """Give up every connection."""
        ...


def told(error: Exception) -> Exception:
    """What a caller is told of an error of its own work."""
    if not isinstance(error, SQLAlchemyError | OSError):
        return error
    translated = as_store_error(error)
    # Given to somebody who waits for it elsewhere, and so not raised `from`.
    translated.__cause__ = error
    return translated


def as_store_error(error: SQLAlchemyError | OSError) -> DeploywatchError:
    """Trouble that may pass is a StoreError, values that will never fit are an UnfitError."""
    if isinstance(error, DBAPIError):
        return (UnfitError if _unfit(error) else StoreError)(f"the database failed: {error.orig}")
    if isinstance(error, StatementError):
        return UnfitError(f"a value cannot be stored: {error.orig}")
    return failure(error)


def failure(error: Exception) -> StoreError:
    """What went wrong in words: some errors, such as a timeout, have none of their own."""
    return StoreError(f"the database failed: {str(error) or type(error).__name__}")


def _unfit(error: DBAPIError) -> bool:
    """Whether the values are at fault: SQLSTATE class 22 is PostgreSQL's "data exception", ValueError its driver's."""
    state = getattr(error.orig, "sqlstate", None) or ""
    cause = error.orig.__cause__ if error.orig else None
    return isinstance(error, DataError) or state.startswith("22") or isinstance(cause, ValueError)
