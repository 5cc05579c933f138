"""What queries of the `postgres` probe give: labels as PostgreSQL writes them, counters, and every query its turn."""

from __future__ import annotations

from typing import Any

import pytest

from deploywatch.demo.servers import Running
from deploywatch.exporter.results import Dropped, Reason, Result
from tests.exporter.support import measured, probe


async def asked(server: Running, sql: str, name: str = "rows_seen", **more: Any) -> Result:
    """Run a probe with one query."""
    return await probe(kind="postgres", dsn=server.url, queries={name: {"sql": sql, "help": "H.", **more}})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'a' AS q, 1 AS value UNION ALL SELECT 'a', 9999",
        "SELECT 'a' AS q, 1 AS value UNION ALL SELECT 'a', 1",
        "SELECT NULL AS q, 1 AS value UNION ALL SELECT '', 2",
        "SELECT repeat('a', 128 + n) AS q, n AS value FROM generate_series(1, 2) n",
    ],
)
async def test_rows_whose_labels_are_equal_are_the_reason_and_neither_is_shown(
    postgres_server: Running, sql: str
) -> None:
    result = await asked(postgres_server, sql)
    assert result.reason is Reason.VALUE
    assert 'query rows_seen gives more than one row for {q="' in result.detail
    assert not any(name.startswith("rows_seen") for name in measured(result))


@pytest.mark.parametrize(
    ("expression", "label"),
    [
        ("'r'::\"char\"", "r"),
        ("true", "true"),
        ("NULL::int", ""),
        ("'2026-11-27 21:00+00'::timestamptz", "2026-11-27 21:00:00+00"),
        ("'1 day 2 hours'::interval", "1 day 02:00:00"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'\\xde00'::bytea", "\\xde00"),
        ("ARRAY[1, 2]", "{1,2}"),
        ("ROW(1, 'a')", "(1,a)"),
        ("int4range(1, 5)", "[1,5)"),
        ("0.0000001::numeric", "0.0000001"),
        ("1e20::float8", "1e+20"),
        ("'{\"a\": 1}'::jsonb", '{"a": 1}'),
        ("B'0101'", "0101"),
        ("'pg_class'::regclass", "pg_class"),
        ("'00000000-0000-0000-0000-000000000001'::uuid", "00000000-0000-0000-0000-000000000001"),
    ],
)
async def test_a_label_is_postgresqls_own_text(postgres_server: Running, expression: str, label: str) -> None:
    sql = f"SELECT {expression} AS q, 1 AS value"
    queries = {"rows_seen": {"sql": sql, "help": "H."}}
    result = await probe(kind="postgres", dsn=f"{postgres_server.url}?timezone=UTC", queries=queries)
    assert result.success, result.detail
    assert [name for name in measured(result) if name.startswith("rows_seen")] == [f"rows_seen{{q={label}}}"]


@pytest.mark.parametrize(
    ("expression", "number"),
    [
        ("'1970-01-02 00:00+00'::timestamptz", 86400),
        ("'1970-01-02'::timestamp", 86400),
        ("'1970-01-02'::date", 86400),
        ("'1 day 2 seconds'::interval", 86402),
        ("'5.25'::money", 5.25),
        ("2.5::numeric", 2.5),
        ("true", 1),
    ],
)
async def test_a_moment_is_unix_time_and_an_interval_seconds(
    postgres_server: Running, expression: str, number: float
) -> None:
    for sql in (f"SELECT {expression}", f"SELECT 'x' AS q, {expression} AS value -- a comment"):
        result = await asked(postgres_server, sql)
        assert result.success, result.detail
        assert [value for name, value in measured(result).items() if name.startswith("rows_seen")] == [number]


async def test_every_query_has_its_turn_and_the_bad_ones_are_named(postgres_server: Running) -> None:
    queries = {
        name: {"sql": sql, "help": "H."}
        for name, sql in (
            ("first_rows", "SELECT 1"),
            ("denied_rows", "SELECT count(*) FROM no_such_table"),
            ("third_rows", "SELECT 3"),
            ("many_rows", "SELECT n AS value, n AS q FROM generate_series(1, 150) n"),
            ("last_rows", "SELECT 5"),
        )
    }
    result = await probe(kind="postgres", dsn=postgres_server.url, queries=queries, collect=["size"])
    assert result.reason is Reason.QUERY
    assert result.detail.startswith("query denied_rows: ")
    assert result.detail.endswith("; also failed: query many_rows")
    values = measured(result)
    assert (values["first_rows"], values["third_rows"], values["last_rows"]) == (1, 3, 5)
    assert values["probe_postgres_database_size_bytes"] > 0


async def test_too_many_rows_are_counted(postgres_server: Running) -> None:
    result = await asked(postgres_server, "SELECT n AS value, n AS q FROM generate_series(1, 150) n")
    assert (result.reason, result.detail) == (
        Reason.TOO_LARGE,
        "query rows_seen gives 150 rows, more than max_rows, 100",
    )


async def test_what_only_rises_is_a_counter_and_there_before_it_counts(postgres_server: Running) -> None:
    result = await asked(postgres_server, "SELECT sum(1) WHERE false", "conversions_total", type="counter")
    assert result.success, result.detail
    (sample,) = (sample for sample in result.samples if sample.family.name == "conversions_total")
    assert (sample.family.type, sample.value) == ("counter", 0)
    below = await asked(postgres_server, "SELECT -1", "conversions_total", type="counter")
    assert below.reason is Reason.VALUE


async def test_several_counters_of_one_query_keep_the_ending(postgres_server: Running) -> None:
    result = await asked(
        postgres_server, "SELECT 1 AS orders, 2 AS euros", "shop_total", values=["orders", "euros"], type="counter"
    )
    values = measured(result)
    assert (values["shop_orders_total"], values["shop_euros_total"]) == (1, 2)


@pytest.mark.parametrize("sql", ["SELECT 1 WHERE false", "SELECT 1 AS value WHERE false", "SELECT NULL"])
async def test_no_row_where_one_number_is_asked_for_is_as_null(postgres_server: Running, sql: str) -> None:
    result = await asked(postgres_server, sql)
    assert (result.success, result.dropped) == (True, {Dropped.NULL_VALUE: 1})
    assert measured(await asked(postgres_server, sql, "seen_total", type="counter"))["seen_total"] == 0


@pytest.mark.parametrize("value", ["'NaN'::float8", "'NaN'::numeric", "'1_000'", "1e400::numeric"])
async def test_what_no_alert_would_see_is_no_number(postgres_server: Running, value: str) -> None:
    result = await asked(postgres_server, f"SELECT {value}")
    assert (result.reason, "not a number" in result.detail) == (Reason.VALUE, True)


@pytest.mark.parametrize("end", [";", "; -- a comment", " ;\n;-- one\n-- two", " -- a comment"])
async def test_what_stands_after_a_query_does_no_harm_to_one_whose_labels_are_cast(
    postgres_server: Running, end: str
) -> None:
    result = await asked(postgres_server, "SELECT 'r'::\"char\" AS q, 1 AS value" + end)
    assert measured(result)["rows_seen{q=r}"] == 1


async def test_a_value_that_is_null_is_counted_as_left_out(postgres_server: Running) -> None:
    result = await asked(postgres_server, "SELECT max(1) WHERE false")
    assert (result.success, result.dropped) == (True, {Dropped.NULL_VALUE: 1})


async def test_a_query_that_takes_all_its_time_leaves_some_for_the_others(postgres_server: Running) -> None:
    queries = {
        "slow_rows": {"sql": "SELECT 1 AS value FROM pg_sleep(30)", "help": "H."},
        "quick_rows": {"sql": "SELECT 2", "help": "H."},
    }
    limits = iter((3, 25))  # a slow machine needs longer for what is left
    while "quick_rows" not in measured(
        result := await probe(next(limits), kind="postgres", dsn=postgres_server.url, queries=queries)
    ):
        continue
    assert (result.reason, measured(result).get("quick_rows")) == (Reason.QUERY_TIMEOUT, 2), result.detail
