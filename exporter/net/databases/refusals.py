"""What PostgreSQL, or a pooler before it, says when it refuses: a reason, and the server's own words."""

from __future__ import annotations

import re

import asyncpg

from deploywatch.exporter.results import Failed, Reason

CONNECT = "connect"
"""The stage at which a server or a pooler may turn us away."""

_AUTH = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError)
_UNAVAILABLE = (
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
# PgBouncer says everything as a violation of the protocol (08P01); its words tell what it is.
_POOLER_AUTH = re.compile(
    r"password|authenticat|SASL|SCRAM|no such user|user not found|not allowed to|permission|pg_hba|login rejected"
    r"|wrong auth",
    re.IGNORECASE,
)
_POOLER_UNKNOWN = re.compile(r"no such database", re.IGNORECASE)
_POOLER_UNAVAILABLE = re.compile(
    r"no more connections|max.?client|too many|max_\w+_connections|login|connect|query_wait|shut|paus|disabled"
    r"|timeout|closed|server (?:conn )?crashed|down|unavailable",
    re.IGNORECASE,
)


def explain(error: asyncpg.PostgresError | asyncpg.InternalClientError | asyncpg.InterfaceError, stage: str) -> Failed:
    """The Failed of an error of the library at a stage."""
    match error:
        case asyncpg.QueryCanceledError():
            return Failed(Reason.QUERY_TIMEOUT, f"cancelled by statement_timeout at: {stage}")
        case _ if isinstance(error, _AUTH):
            return Failed(Reason.AUTH, f"access was denied: {error}")
        case asyncpg.exceptions.TargetServerAttributeNotMatched():
            return Failed(Reason.UNAVAILABLE, "no host is as target_session_attrs asks")
        case _ if isinstance(error, _UNAVAILABLE):
            return Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {error}")
        case asyncpg.PostgresConnectionError():
            # The library makes such errors itself when a connection breaks; what the server said has a severity.
            return _pooler(str(error), stage) if getattr(error, "severity", None) else _lost(stage)
        case asyncpg.InternalClientError():
            return _lost(stage)
        case asyncpg.PostgresError():
            return _no_session(error) if stage == CONNECT else Failed(Reason.QUERY, f"{stage}: {error}")
        case _:
            # The server may have ended the session between two statements.
            reason = Reason.RESET if "connection is closed" in str(error) else Reason.PROTOCOL
            return Failed(reason, f"{stage}: {error}")


def _lost(stage: str) -> Failed:
    return Failed(Reason.RESET, f"the connection was lost at: {stage}")


def _no_session(error: asyncpg.PostgresError) -> Failed:
    """The Failed of who gets no session, for a reason that a statement could be refused for as well."""
    match error:
        case asyncpg.InsufficientPrivilegeError():
            return Failed(Reason.AUTH, f"access was denied: {error}")
        case asyncpg.ObjectNotInPrerequisiteStateError():
            # `ALTER DATABASE … ALLOW_CONNECTIONS false`.
            return Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {error}")
        case asyncpg.InternalServerError():
            # Pgpool-II, Supavisor and hosted poolers refuse with XX000, whatever it is.
            return _pooler(str(error), CONNECT, otherwise=Reason.QUERY)
        case _:
            return Failed(Reason.QUERY, f"{CONNECT}: {error}")


def _pooler(text: str, stage: str, otherwise: Reason = Reason.PROTOCOL) -> Failed:
    if _POOLER_UNKNOWN.search(text):
        return Failed(Reason.QUERY, f"{stage}: the server says: {text}")
    if _POOLER_AUTH.search(text) and "login has been failing" not in text:
        return Failed(Reason.AUTH, f"access was denied: {text}")
    if _POOLER_UNAVAILABLE.search(text):
        return Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {text}")
    return Failed(otherwise, f"{stage}: the server says: {text}")
