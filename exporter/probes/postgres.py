"""The `postgres` probe: connect, SELECT 1, and gauges from queries; one connection, read-only, limited in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import AfterValidator, Field, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import LABEL_LIMIT, Gauge, GaugeName, gauge_name, is_label
from deploywatch.exporter.net import certificates
from deploywatch.exporter.net.databases.session import session_for
from deploywatch.exporter.net.databases.statistics import NOTE, SQL, Statistics
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import TlsClient
from deploywatch.exporter.probing import Measurement, ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Family, Reason
from deploywatch.secrets import Secret, SecretUrl, with_password

_VALUE = "value"
_SERVER_MARGIN = 0.1
# After the deadline the session is left; one that is still there so much later was abandoned.
_ABANDONED_SECONDS = 10.0
_AUTH = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError)


def _dsn(dsn: SecretUrl) -> SecretUrl:
    try:
        parts = urlsplit(dsn.get_secret_value())
        good = parts.scheme in {"postgresql", "postgres"} and (parts.port is None or parts.port > 0)
    except ValueError:
        # Its message could show a part of the password, taken for a port.
        good = False
    if not good:
        raise ValueError("not a PostgreSQL URL; write postgresql://user@host:5432/database")
    return dsn


class Query(Gauge):
    """A query that gives a gauge: the column `value` (or the only one) is the number, the others are its labels.

    With `values`, each of these columns is the number of a gauge of its own, named after the query and the column.
    """

    sql: str = Field(min_length=1)
    values: tuple[str, ...] = ()
    max_rows: int = Field(default=100, ge=1, le=10_000)

    def gauges(self, name: str) -> dict[str, Family]:
        """The gauges by column; of a query without `values` the one that it gives, by the column `value`."""
        if not self.values:
            return {_VALUE: self.family(name)}
        return {column: self.family(f"{name}_{column}") for column in self.values}


class PostgresSettings(ProbeSettings):
    """A PostgreSQL database and what to ask it."""

    target_key: ClassVar[TargetKey | None] = TargetKey("dsn", "postgresql://target.invalid/")

    kind: Literal["postgres"]
    dsn: Annotated[SecretUrl, AfterValidator(_dsn)]
    password: Secret | None = None
    tls: TlsClient | None = None
    collect: tuple[Statistics, ...] = ()
    queries: dict[GaugeName, Query] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _good_names(self) -> Self:
        for family in self.families():
            gauge_name(family.name)
        return self

    def probe(self) -> PostgresProbe:
        """The probe that does what these settings say."""
        return PostgresProbe(self)

    def with_target(self, target: str) -> Self:
        """The same questions to another server or database, `host:port` or a URL, as the same user."""
        given = urlsplit(target if "://" in target else f"postgresql://{target}")
        if given.scheme not in {"postgresql", "postgres"} or "@" in given.netloc or given.query or not given.netloc:
            raise ValueError("not a PostgreSQL target; write host:port or postgresql://host:port/database")
        own = urlsplit(self.dsn.get_secret_value())
        credentials, at, _ = own.netloc.rpartition("@")
        path = given.path if given.path.strip("/") else own.path
        return self.with_changes(dsn=urlunsplit(own._replace(netloc=credentials + at + given.netloc, path=path)))

    def families(self) -> Iterable[Family]:
        """The gauges that the queries give."""
        return [family for name, query in self.queries.items() for family in query.gauges(name).values()]


class PostgresProbe:
    """Connects to a database, asks, and leaves."""

    def __init__(self, settings: PostgresSettings) -> None:
        dsn = settings.dsn.get_secret_value()
        dsn = with_password(dsn, settings.password.get_secret_value()) if settings.password else dsn
        self.session = session_for((dsn, settings.model_dump_json(exclude={"layer", "tags"})), dsn, settings.tls)
        self.collect = dict.fromkeys(settings.collect)
        self.queries = [(name, query, query.gauges(name)) for name, query in settings.queries.items()]

    async def measure(self, measurement: Measurement) -> None:
        """Connect, SELECT 1, then what else is asked for, each in a read-only transaction of its own."""
        try:
            begin = measurement.clock.monotonic()
            async with self.session.open(measurement) as connection:
                measurement.add(families.POSTGRES_CONNECT, measurement.clock.monotonic() - begin)
                self._note_connection(measurement)
                await self._ask(connection, measurement)
        except asyncpg.QueryCanceledError as error:
            raise Failed(Reason.QUERY_TIMEOUT, f"cancelled by statement_timeout at: {measurement.stage}") from error
        except _AUTH as error:
            raise Failed(Reason.AUTH, f"access was denied: {error}") from error
        except (asyncpg.TooManyConnectionsError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError) as error:
            raise Failed(Reason.UNAVAILABLE, f"the server takes no connection now: {error}") from error
        except ConnectionError as error:
            if "SSL upgrade" not in str(error):
                raise
            raise Failed(Reason.TLS, "the server offers no TLS") from error
        except (asyncpg.PostgresConnectionError, asyncpg.InternalClientError) as error:
            raise Failed(Reason.RESET, f"the connection was lost at: {measurement.stage}") from error
        except asyncpg.PostgresError as error:
            raise Failed(Reason.QUERY, f"{measurement.stage}: {error}") from error
        except asyncpg.InterfaceError as error:
            # The server may have ended the session between two statements.
            reason = Reason.RESET if "connection is closed" in str(error) else Reason.PROTOCOL
            raise Failed(reason, f"{measurement.stage}: {error}") from error

    def _note_connection(self, measurement: Measurement) -> None:
        dialer = self.session.dialer
        if dialer and dialer.reached:
            note_address(dialer.reached, measurement)
        if dialer and dialer.shown:
            certificates.note(dialer.shown, measurement)

    async def _ask(self, connection: Any, measurement: Measurement) -> None:
        rows = await _fetch(connection, "SELECT 1", "SELECT 1", families.POSTGRES_SELECT, measurement)
        if [list(row.values()) for row in rows] != [[1]]:
            raise Failed(Reason.VALUE, "SELECT 1 did not give 1")
        for statistics in self.collect:
            NOTE[statistics](
                await _fetch(connection, SQL[statistics], f"collect {statistics}", None, measurement), measurement
            )
        for name, query, gauges in self.queries:
            rows = await _fetch(
                connection, query.sql, f"query {name}", families.POSTGRES_QUERY, measurement, query=name
            )
            if len(rows) > query.max_rows:
                raise Failed(Reason.TOO_LARGE, f"query {name} gives {len(rows)} rows, more than max_rows")
            for row in rows:
                _note(dict(row.items()), name, gauges, measurement)


async def _fetch(
    connection: Any, sql: str, stage: str, family: Family | None, measurement: Measurement, **labels: str
) -> list[Mapping[str, Any]]:
    """The rows of a statement that the server itself ends before our deadline."""
    with measurement.timed(stage) as passed:
        left = measurement.remaining()
        milliseconds = max(1, int((left - min(left * _SERVER_MARGIN, 0.5)) * 1000))
        await connection.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds};"
            f" SET LOCAL idle_in_transaction_session_timeout = {int((left + _ABANDONED_SECONDS) * 1000)}"
        )
        rows: list[Mapping[str, Any]] = await connection.fetch(sql)
        await connection.execute("ROLLBACK")
    if family:
        measurement.add(family, passed(), **labels)
    return rows


def _note(row: dict[str, Any], name: str, gauges: Mapping[str, Family], measurement: Measurement) -> None:
    """Add a row of a query: the numbers that are in it, with its other columns as their labels."""
    if list(gauges) == [_VALUE] and len(row) == 1:
        row = {_VALUE: next(iter(row.values()))}
    if missing := gauges.keys() - row.keys():
        raise Failed(Reason.QUERY, f"query {name} gives no column {min(missing)}; name one so with AS")
    labels = {column: _label(cell) for column, cell in row.items() if column not in gauges}
    for column in labels:
        if not is_label(column):
            raise Failed(Reason.QUERY, f"query {name}: the column {column} cannot be a label; rename it with AS")
    for column, family in gauges.items():
        if row[column] is not None:
            measurement.add(family, _number(row[column], name), **labels)


def _number(cell: Any, name: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError) as error:
        raise Failed(Reason.VALUE, f"query {name} gives {type(cell).__name__}, not a number") from error


def _label(cell: Any) -> str:
    """A column's value as a label, written as PostgreSQL writes it; NULL is the empty label."""
    if cell is None:
        return ""
    return (str(cell).lower() if isinstance(cell, bool) else str(cell))[:LABEL_LIMIT]
