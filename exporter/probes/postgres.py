"""The `postgres` probe: connect, SELECT 1, and gauges from queries; one connection, read-only, limited in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import AfterValidator, Field, model_validator

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import GaugeName
from deploywatch.exporter.net.connect import Reach
from deploywatch.exporter.net.databases.dsn import parse_dsn
from deploywatch.exporter.net.databases.queries import Query, note_rows, rows_of
from deploywatch.exporter.net.databases.refusals import explain
from deploywatch.exporter.net.databases.session import session_for
from deploywatch.exporter.net.databases.statistics import NOTE, SQL, Statistics
from deploywatch.exporter.net.resolve import note_address
from deploywatch.exporter.net.tls import certificates
from deploywatch.exporter.net.tls.client import TlsClient
from deploywatch.exporter.probing.measurement import Measurement, Settling
from deploywatch.exporter.probing.settings import ProbeSettings, TargetKey
from deploywatch.exporter.results import Failed, Failures, Family, Reason
from deploywatch.secrets import Secret, SecretUrl, with_password

# The server ends a statement before we do, so that it is told as its timeout and leaves no query running.
# A tenth of the time that is left, so that the server's own words ("canceling statement …") arrive before our deadline.
_SERVER_MARGIN = 0.1
# After the deadline the session is left; one that is still there so much later was abandoned.
_ABANDONED_SECONDS = 10.0


def _dsn(dsn: SecretUrl) -> SecretUrl:
    for file in parse_dsn(dsn.get_secret_value()).files:
        if not Path(file).is_file():
            raise ValueError(f"there is no file {file}, which the URL names")
    return dsn


class PostgresSettings(ProbeSettings, Reach):
    """A PostgreSQL database and what to ask it."""

    target_key: ClassVar[TargetKey | None] = TargetKey("dsn", "postgresql://target.invalid/")

    kind: Literal["postgres"]
    dsn: Annotated[SecretUrl, AfterValidator(_dsn)]
    password: Secret | None = None
    tls: TlsClient | None = None
    collect: tuple[Statistics, ...] = ()
    queries: dict[GaugeName, Query] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _addresses_can_be_chosen(self) -> Self:
        sockets = all(host is None or host[0].startswith("/") for host in parse_dsn(self.dsn.get_secret_value()).hosts)
        if self.preferred_ip_protocol and sockets:
            raise ValueError("preferred_ip_protocol is given for a unix socket, which has no address; remove it")
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

    def shown_target(self) -> str:
        """The URL without its password and parameters, with all its hosts."""
        own = urlsplit(self.dsn.get_secret_value())
        credentials, at, hosts = own.netloc.rpartition("@")
        return f"{own.scheme}://{credentials.partition(':')[0]}{at}{hosts}{own.path}"

    def server(self) -> str | None:
        """The first of its hosts."""
        return parse_dsn(self.dsn.get_secret_value()).place

    def impossible(self) -> frozenset[Reason]:
        """Reasons that cannot occur: only queries of the config give too many rows."""
        return frozenset() if self.queries else frozenset({Reason.TOO_LARGE})

    def families(self) -> Iterable[Family]:
        """The metrics that the queries give."""
        return [family for name, query in self.queries.items() for family in query.gauges(name).values()]


class PostgresProbe(Settling):
    """Connects to a database, runs the statements, and disconnects."""

    def __init__(self, settings: PostgresSettings) -> None:
        dsn = settings.dsn.get_secret_value()
        dsn = with_password(dsn, settings.password.get_secret_value()) if settings.password else dsn
        parsed = parse_dsn(dsn)
        self.session = session_for(
            (dsn, settings.model_dump_json(exclude={"layer", "tags"})), parsed, settings.tls, settings
        )
        self.collect = dict.fromkeys(settings.collect)
        self.queries = [(name, query, query.gauges(name)) for name, query in settings.queries.items()]

    async def measure(self, measurement: Measurement) -> None:
        """Connect, SELECT 1, then what else is asked for, each in a read-only transaction of its own."""
        try:
            begin = measurement.clock.monotonic()
            async with self.session.open(measurement) as connection:
                measurement.add(families.POSTGRES_CONNECT, measurement.clock.monotonic() - begin)
                await self._ask(connection, measurement)
        except (asyncpg.PostgresError, asyncpg.InternalClientError, asyncpg.InterfaceError) as error:
            raise explain(error, measurement.stage) from error
        except ConnectionError as error:
            # asyncpg says by a plain ConnectionError that the server answered N to the request for TLS.
            if "SSL upgrade" not in str(error):
                if "connection_lost" in str(error):
                    # And so, that the server hung up when it was asked for TLS.
                    raise Failed(Reason.RESET, f"the connection was lost at: {measurement.stage}") from error
                raise
            raise Failed(Reason.TLS, "the server offers no TLS") from error
        finally:
            # Also of a server that is not trusted, or that refuses the login.
            self._note_connection(measurement)

    async def settled(self) -> None:
        """Wait until the server knows of no session of ours, so that its room is free for another."""
        await self.session.settled()

    def _note_connection(self, measurement: Measurement) -> None:
        dialer = self.session.dialer
        if dialer and dialer.reached:
            note_address(dialer.reached, measurement)
        if dialer and dialer.shown:
            certificates.note(dialer.shown, measurement)

    async def _ask(self, connection: Any, measurement: Measurement) -> None:
        # A server that takes connections may hang on its disk, or refuse every statement while it starts.
        rows = await _fetch(connection, "SELECT 1", "SELECT 1", families.POSTGRES_SELECT, measurement)
        if [list(row.values()) for row in rows] != [[1]]:
            raise Failed(Reason.VALUE, "SELECT 1 did not give 1")
        failures = Failures()
        for statistics in self.collect:
            stage = f"collect {statistics}"
            with failures.trying(stage), _explained(connection, stage):
                NOTE[statistics](await _fetch(connection, SQL[statistics], stage, None, measurement), measurement)
        for name, query, gauges in self.queries:
            stage = f"query {name}"
            with failures.trying(stage), _explained(connection, stage):
                async with _transaction(connection, stage, measurement) as passed:
                    answer = await rows_of(connection, name, query, gauges)
                measurement.add(families.POSTGRES_QUERY, passed(), query=name)
                note_rows(answer, name, gauges, measurement)
        failures.settle()


@contextmanager
def _explained(connection: Any, stage: str) -> Iterator[None]:
    """What the server refuses becomes a Failed, so that the next query has its turn; a lost connection ends the run."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if connection.is_closed():
            raise
        raise explain(error, stage) from error


@asynccontextmanager
async def _transaction(connection: Any, stage: str, measurement: Measurement) -> AsyncIterator[Callable[[], float]]:
    """A read-only transaction that the server itself ends before our deadline; gives the seconds that it took."""
    with measurement.timed(stage) as passed:
        left = measurement.remaining()
        milliseconds = max(1, int((left - min(left * _SERVER_MARGIN, 0.5)) * 1000))
        await connection.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds};"
            f" SET LOCAL idle_in_transaction_session_timeout = {int((left + _ABANDONED_SECONDS) * 1000)}"
        )
        try:
            yield passed
        except (asyncpg.PostgresError, asyncpg.InterfaceError, Failed):
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        await connection.execute("ROLLBACK")


async def _fetch(
    connection: Any, sql: str, stage: str, family: Family | None, measurement: Measurement, **labels: str
) -> list[Mapping[str, Any]]:
    """The rows of a statement, in a transaction of its own."""
    async with _transaction(connection, stage, measurement) as passed:
        rows: list[Mapping[str, Any]] = await connection.fetch(sql)
    if family:
        measurement.add(family, passed(), **labels)
    return rows
