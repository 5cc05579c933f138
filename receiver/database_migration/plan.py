"""The plan of a migration: a file that says what is run, what is validated, and what is backed up before."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from deploywatch import config
from deploywatch.config import RelativePath, Settings
from deploywatch.errors import ConfigError, Problem
from deploywatch.files.document import Document
from deploywatch.files.document import Path as KeyPath
from deploywatch.files.editor_schema import DIALECT, finished
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.database_migration import expectation
from deploywatch.receiver.database_migration.expectation import Expectation
from deploywatch.receiver.database_migration.statements import Statement, split
from deploywatch.secrets import Secret, SecretUrl

SCHEMA = Path(__file__).parent / "schema.json"


class Database(Settings):
    """Which database; the password apart, if the URL has none."""

    dsn: SecretUrl
    password: Secret | None = None

    @model_validator(mode="after")
    def _no_other_password(self) -> Self:
        # libpq takes this one by no other way than the argument, and pg_dump's are read by everybody on the machine.
        if "sslpassword=" in self.dsn.get_secret_value():
            raise ValueError("dsn: sslpassword would be an argument of pg_dump; use a key without a password")
        return self


class OwnBackup(Settings):
    """A command that makes a backup file, and one that reads it to its end; argv lists, never a shell."""

    command: tuple[str, ...] = Field(min_length=1)
    file: RelativePath
    # A dump that nobody has read back is a hope.
    verify: tuple[str, ...] = Field(min_length=1)
    environment: tuple[str, ...] = ()


class Backup(Settings):
    """The backup point: `pg_dump` into a folder, an `own` command, or `none` with the reason."""

    pg_dump: RelativePath | None = None
    own: OwnBackup | None = None
    none: str | None = Field(default=None, min_length=1)
    timeout: Duration = parse_duration("1h")

    @model_validator(mode="after")
    def _one(self) -> Self:
        # Going without a backup has to be written down, with its reason; it is never what happens by default.
        if sum(value is not None for value in (self.pg_dump, self.own, self.none)) != 1:
            raise ValueError("write one of pg_dump: FOLDER, own: {command, file, verify} and none: WHY")
        return self


class Script(Settings):
    """SQL here, or in a file."""

    sql: str | None = Field(default=None, min_length=1)
    file: RelativePath | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.sql is None) == (self.file is None):
            raise ValueError("write either sql or file")
        return self


def _expectation(text: str) -> str:
    expectation.parse(text)
    return text


class Validation(Settings):
    """A query that gives one number, and what the number has to be."""

    name: str = Field(min_length=1)
    sql: str = Field(min_length=1)
    expect: Annotated[str, AfterValidator(_expectation)]

    @property
    def expectation(self) -> Expectation:
        """What the number is compared with."""
        return expectation.parse(self.expect)


class PlanSettings(Settings):
    """The file as it is written."""

    name: str = Field(min_length=1, max_length=200)
    service: str = Field(min_length=1)
    environment: str = "default"
    database: Database
    backup: Backup
    lock_timeout: Duration = parse_duration("5s")
    statement_timeout: Duration = parse_duration("5m")
    # How long it is tried to learn whether the COMMIT took effect, where its answer was lost.
    resolve_for: Duration = parse_duration("60s")
    # For what cannot run in a transaction, such as CREATE INDEX CONCURRENTLY; it stays when the transaction is rolled
    # back.
    before: tuple[Script, ...] = ()
    transaction: tuple[Script, ...] = Field(min_length=1)
    validate_: tuple[Validation, ...] = Field(alias="validate", min_length=1)
    after: tuple[Script, ...] = ()

    @model_validator(mode="after")
    def _timeouts(self) -> Self:
        for name in ("lock_timeout", "statement_timeout"):
            if getattr(self, name) < timedelta(milliseconds=1):
                raise ValueError(f"{name} must be at least 1ms; PostgreSQL takes 0 for no limit")
        return self


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan whose scripts are read: `before` and `after` run outside of the transaction, a statement each."""

    settings: PlanSettings
    before: tuple[Statement, ...]
    transaction: tuple[Statement, ...]
    after: tuple[Statement, ...]


def load(path: Path) -> Plan:
    """Read a plan and its scripts; ConfigError carries every fault, those of the SQL too."""
    document = config.read_file(path, os.environ)
    settings = config.build(document, PlanSettings, base=path.parent)
    problems: list[Problem] = []
    parts = {part: _scripts(part, settings, document, problems) for part in ("before", "transaction", "after")}
    if problems:
        raise ConfigError(problems)
    return Plan(settings, **parts)


def _scripts(part: str, settings: PlanSettings, document: Document, problems: list[Problem]) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    for position, script in enumerate(getattr(settings, part)):
        path: KeyPath = (part, position)
        try:
            statements += _read(script, document, path)
        except ConfigError as error:
            problems += error.problems
    for statement in statements:
        message = _fault(part, statement)
        if message:
            problems.append(Problem(*_split_origin(statement.origin), 1, "", message))
    return tuple(statements)


def _read(script: Script, document: Document, path: KeyPath) -> list[Statement]:
    if script.file is not None:
        text, name, line = _text(script.file), str(script.file), 1
    else:
        text, name = script.sql or "", document.file
        # A block of text in YAML begins on the line after its key; faults name the line in the file.
        line = document.place((*path, "sql"))[0] + (0 if (*path, "sql") in document.texts else 1)
    statements = split(text, name, line)
    if not statements:
        raise ConfigError([Problem(name, line, 1, "", "has no statement; take it out of the plan")])
    return statements


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"is not UTF-8 at byte {error.start}")]) from error


def _fault(part: str, statement: Statement) -> str:
    if statement.ends:
        return "begins or ends a transaction, which the plan does; take it out"
    if part == "transaction" and statement.alone:
        return f"{statement.alone} cannot run in a transaction; move it to before: or after:"
    if part != "transaction" and not statement.alone:
        return f"can run in the transaction, where it can be rolled back; move it from {part}: to transaction:"
    return ""


def _split_origin(origin: str) -> tuple[str, int]:
    file, _, line = origin.rpartition(":")
    return file, int(line)


def schema() -> dict[str, Any]:
    """The JSON Schema of plans, for editors."""
    made = PlanSettings.model_json_schema(by_alias=True)
    made["$defs"]["Database"]["properties"]["password_file"] = {"type": "string", "minLength": 1}
    return {
        "$schema": DIALECT,
        "title": "Plan of deploywatch migrate",
        **finished({key: value for key, value in made.items() if key != "title"}),
    }


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
