"""The schema's revision: brought to what this version needs, or compared with it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from deploywatch.errors import DeploywatchError

_MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(DeploywatchError):
    """The database's schema is not what this version works with; the message says what to run."""

    exit_code = 1


def upgrade(connection: Connection) -> str:
    """Migrate to the revision that this version needs, and return it; SchemaError when the database is beyond it."""
    revision, needed = current(connection), _scripts().get_current_head() or ""
    _known(revision)
    if revision == needed:
        return needed
    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")  # a large table takes its time
    command.upgrade(settings, "head")
    return needed


def check(connection: Connection) -> None:
    """SchemaError unless the database is at the revision that this version needs."""
    revision, needed = current(connection), _scripts().get_current_head()
    _known(revision)
    if revision != needed:
        stands = f"is at revision {revision}" if revision else "has no tables yet"
        raise SchemaError(
            f"the database {stands}, and this version needs {needed}; "
            "run once: deploywatch store migrate --config.file FILE"
        )


def current(connection: Connection) -> str | None:
    """The revision of the database; None when it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def _known(revision: str | None) -> None:
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise SchemaError(
            f"the database is at revision {revision}, which this version does not know: a newer deploywatch "
            "has migrated it; run that one, or restore a backup"
        )


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_MIGRATIONS))
