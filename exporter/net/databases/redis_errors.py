"""What Redis says when it refuses: a reason, and the server's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from deploywatch.exporter.probing.os_errors import from_os_error
from deploywatch.exporter.results import Failed, Reason

# By the first word of the server's own text, as redis-py has no class for each of them.
_AUTH = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")
_UNAVAILABLE = (
    *("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "NOREPLICAS", "NOGOODSLAVE"),
    # Of proxies that have no server behind them: Envoy, twemproxy.
    *("no upstream host", "upstream failure", "Connection refused", "Connection timed out", "Host is down"),
)


_TAKES_NO_WRITES = (
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)


def explain(error: exceptions.RedisError, stage: str) -> Failed:
    """The Failed of an error of the library at a stage."""
    match error:
        case exceptions.AuthenticationError() | exceptions.AuthorizationError():
            return Failed(Reason.AUTH, f"access was denied: {error}")
        case exceptions.AuthenticationWrongNumberOfArgsError() | exceptions.NoPermissionError():
            return Failed(Reason.AUTH, f"{stage}: {error}")
        case exceptions.BusyLoadingError():
            return Failed(Reason.UNAVAILABLE, "the server is loading its data")
        case _ if isinstance(error, _TAKES_NO_WRITES):
            return Failed(Reason.UNAVAILABLE, f"{stage}: {error}")
        case exceptions.ConnectionError():
            return _lost(error, stage)
        case exceptions.ResponseError():
            return _said(str(error), stage)
        case _:
            return Failed(Reason.PROTOCOL, f"{stage}: {error}")


def _lost(error: exceptions.ConnectionError, stage: str) -> Failed:
    # Redis says this on a connection that it has already closed, so it may come as either kind of error.
    if "max number of clients" in str(error):
        return Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {error}")
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Failed):
        return cause
    if isinstance(cause, OSError):
        return from_os_error(cause)
    if isinstance(cause, exceptions.RedisError):
        return explain(cause, stage)
    return Failed(Reason.RESET, f"{stage}: {error}")


def _said(text: str, stage: str) -> Failed:
    if "max number of clients" in text:
        return Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {text}")
    if text.startswith(_AUTH):
        return Failed(Reason.AUTH, f"access was denied: {text}" if text.startswith("DENIED") else f"{stage}: {text}")
    if text.startswith(_UNAVAILABLE):
        return Failed(Reason.UNAVAILABLE, f"{stage}: {text}")
    if "unknown command" in text and stage == "SET and GET":
        return Failed(
            Reason.QUERY, f"{stage}: {text}; where nothing is stored, as in a Sentinel, write round_trip: false"
        )
    return Failed(Reason.QUERY, f"{stage}: {text}")


_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.NoPermissionError,
)
"""Errors of the library's ConnectionError after which the connection goes on."""


@contextmanager
def explained(stage: str) -> Iterator[None]:
    """What the server refuses becomes a Failed, so that the next has its turn; a lost connection ends the run."""
    try:
        yield
    except exceptions.ConnectionError as error:
        # redis-py makes them connection errors, though the connection is good and the answer is the server's.
        if isinstance(error, _REFUSED):
            raise explain(error, stage) from error
        raise
    except exceptions.RedisError as error:
        raise explain(error, stage) from error
