"""SQL scripts as statements, read by PostgreSQL's own parser: what may run in a transaction, and what must not."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deploywatch.errors import ConfigError, DeploywatchError, Problem

# By PostgreSQL's documentation: "cannot be executed inside a transaction block".
_ALONE = {
    "VacuumStmt": "VACUUM",
    "CreatedbStmt": "CREATE DATABASE",
    "DropdbStmt": "DROP DATABASE",
    "AlterSystemStmt": "ALTER SYSTEM",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "DropSubscriptionStmt": "DROP SUBSCRIPTION",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, and where it begins: `file:line`, or the plan's key and the line in it.

    `alone` names what cannot run in a transaction; `ends` what would end ours.
    """

    sql: str
    origin: str
    alone: str = ""
    ends: bool = False


def split(sql: str, name: str, first_line: int = 1) -> list[Statement]:
    """The statements of a script; ConfigError tells the place of a syntax error."""
    parse_sql = _parser()
    try:
        parsed = parse_sql(sql)
    except Exception as error:
        # pglast's error has the place in its arguments, and not always.
        message, position = (*error.args, 0)[:2]
        line, column = _place(sql, int(position or 0), first_line)
        raise ConfigError([Problem(name, line, column, "", f"not valid SQL: {message}")]) from error
    return list(_statements(sql, name, first_line, parsed))


def _statements(sql: str, name: str, first_line: int, parsed: Any) -> Iterator[Statement]:
    # PostgreSQL's parser counts bytes, Python characters.
    raw = sql.encode()
    for item in parsed:
        start = item.stmt_location
        end = start + item.stmt_len if item.stmt_len else len(raw)
        body = raw[start:end].decode()
        skipped = len(body) - len(body.lstrip())
        line, _ = _place(sql, len(raw[:start].decode()) + skipped, first_line)
        kind = type(item.stmt).__name__
        yield Statement(body.strip(), f"{name}:{line}", _alone(item.stmt, kind), kind == "TransactionStmt")


def _alone(node: Any, kind: str) -> str:
    if kind in _ALONE:
        return _ALONE[kind]
    names = {parameter.defname for parameter in getattr(node, "params", None) or ()}
    if getattr(node, "concurrent", False) or "concurrently" in names:
        return {"IndexStmt": "CREATE INDEX", "DropStmt": "DROP INDEX"}.get(kind, "REINDEX") + " CONCURRENTLY"
    return ""


def _place(text: str, position: int, first_line: int) -> tuple[int, int]:
    before = text[:position].split("\n")
    return first_line + len(before) - 1, len(before[-1]) + 1


def _parser() -> Callable[[str], Any]:
    try:
        # An extra: it is compiled C, which most installations do without.
        module = importlib.import_module("pglast")
    except ImportError as error:
        message = "reading SQL needs PostgreSQL's parser; install it with: pip install 'deploywatch[migrate]'"
        raise DeploywatchError(message) from error
    parse_sql: Callable[[str], Any] = module.parse_sql
    return parse_sql
