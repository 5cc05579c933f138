"""What an HTTP answer may be asked for: headers, texts, values in JSON, compression; and the gauges that it gives."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.exporter.net.http.judging.assertions import Assertion, parse_assertion
from deploywatch.exporter.net.http.reading.encoding import Coding, decode
from deploywatch.exporter.net.http.reading.response_parser import read_response
from deploywatch.exporter.results import Dropped, Failed, Reason
from tests.exporter.support import Talk, Web, measured, probe
from tests.support.examples import examples

QUEUES = {"a": {"n": 1}, "b": {"n": 2}}
DOCUMENT = {"status": "ok", "total": 3, "ready": True, "none": None, "empty": "", "queues": QUEUES}


async def asked(web: Web, document: object = DOCUMENT, **more: Any) -> Any:
    """Run the probe on a server that answers with this JSON."""
    return await probe(kind="http", url=web.say("/", json.dumps(document), headers={"X-Team": "shop"}), **more)


@pytest.mark.parametrize(
    "assertion",
    [
        "status == ok",
        'status == "ok"',
        "status != down",
        "status =~ ^o[kn]$",
        "total == 3",
        "total < 3.5",
        "total <= 3",
        "total > 2",
        "total >= 3",
        "ready == true",
        "none == null",
        "queues.a.n exists",
        "queues.b.n != 1",
        "ready != 1",
    ],
)
async def test_an_assertion_that_holds_is_a_success(web: Web, assertion: str) -> None:
    result = await asked(web, expect={"values": [assertion]})
    assert result.success, result.detail


@pytest.mark.parametrize(
    ("assertion", "detail"),
    [
        ("status == down", 'status is "ok"; expected: status == down'),
        ("total > 3", "total is 3; expected: total > 3"),
        ("status > 3", 'status is "ok"; expected: status > 3'),
        ("ready < 3", "ready is true; expected: ready < 3"),
        ("total =~ 3", "total is 3; expected: total =~ 3"),
        ("empty exists", 'empty is ""; expected: empty exists'),
        ("none exists", "none is null; expected: none exists"),
        ("nothing exists", "the body has nothing at nothing"),
        ("queues.c.n == 1", "the body has nothing at queues.c.n"),
    ],
)
async def test_an_assertion_that_does_not_hold_is_the_reason(web: Web, assertion: str, detail: str) -> None:
    result = await asked(web, expect={"values": [assertion]})
    assert (result.reason, result.detail) == (Reason.VALUE, detail)


@pytest.mark.parametrize("text", ["", "status", "status = ok", "a < word", "a < true", "a =~ (", "a is b", 3])
async def test_what_is_no_assertion_is_refused_in_the_config(text: object) -> None:
    with pytest.raises(ValidationError):
        await probe(kind="http", url="http://a/", expect={"values": [text]})


@given(
    st.from_regex(r"[a-z]+(\.[a-z0-9]+)*", fullmatch=True),
    st.sampled_from(["==", "!="]),
    st.one_of(st.integers(), st.booleans(), st.none(), st.from_regex(r"[a-df-mo-su-z][a-z ]*[a-z]", fullmatch=True)),
)
def test_an_assertion_reads_back_as_it_is_written(path: str, operator: str, value: object) -> None:
    assertion = Assertion(path, operator, value)
    assert parse_assertion(str(assertion)) == assertion


async def test_a_header_must_match(web: Web) -> None:
    assert (await asked(web, expect={"headers": {"x-team": "^shop$"}})).success
    wrong = await asked(web, expect={"headers": {"X-Team": "^desk$"}})
    assert (wrong.reason, wrong.detail) == (Reason.HEADER, "the header X-Team does not match")
    assert measured(wrong)["probe_failed_due_to_regex"] == 1
    missing = await asked(web, expect={"headers": {"X-Owner": "."}})
    assert (missing.reason, missing.detail) == (Reason.HEADER, "the header X-Owner is missing")


async def test_a_text_that_must_not_be_there_is_the_reason(web: Web) -> None:
    assert (await asked(web, expect={"body_not": "Traceback"})).success
    assert (await asked(web, expect={"body_not": '"ok"'})).reason is Reason.BODY


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*a){20}$", "(a?){30}a{30}$"])
async def test_no_regular_expression_blocks_the_event_loop(web: Web, pattern: str) -> None:
    url = web.say("/", "a" * 300_000 + "!")
    # The time of this thread, as the machine may have other things to do.
    longest, last, running = 0.0, time.thread_time(), True

    async def watch() -> None:
        nonlocal longest, last
        while running:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()

    watcher = asyncio.create_task(watch())
    result = await probe(kind="http", url=url, expect={"body": pattern})
    running = False
    await watcher
    assert result.reason is Reason.BODY, result.detail
    assert longest < 1


async def test_a_regular_expression_that_re2_does_not_know_is_refused_in_the_config() -> None:
    with pytest.raises(ValidationError, match="RE2"):
        await probe(kind="http", url="http://a/", expect={"body": "(?!x)"})


async def test_each_of_several_numbers_becomes_a_series(web: Web) -> None:
    gauges = {"queue_length": {"path": "queues.*.n", "label": "queue_id", "help": "L."}}
    values = measured(await asked(web, gauges=gauges))
    assert values["queue_length{queue_id=a}"] == 1
    assert values["queue_length{queue_id=b}"] == 2
    in_list = measured(await asked(web, {"queues": [{"n": 7}]}, gauges=gauges))
    assert in_list["queue_length{queue_id=0}"] == 7


async def test_more_series_of_a_star_than_are_allowed_are_the_reason_with_their_number(web: Web) -> None:
    gauges = {"size": {"path": "*", "label": "key", "help": "S."}}
    document = {str(number): number for number in range(150)}
    result = await asked(web, document, gauges=gauges)
    assert (result.reason, "150 values" in result.detail) == (Reason.TOO_LARGE, True)
    assert not any(name.startswith("size{") for name in measured(result))
    allowed = await asked(web, document, gauges={"size": {**gauges["size"], "max_series": 150}})
    assert allowed.success, allowed.detail
    assert sum(name.startswith("size{") for name in measured(allowed)) == 150


async def test_every_gauge_is_tried_and_the_bad_ones_are_named(web: Web) -> None:
    gauges = {name: {"path": path, "help": "H."} for name, path in (("a", "a"), ("b", "no"), ("c", "c"), ("d", "no"))}
    result = await asked(web, {"a": 1, "c": 3}, gauges=gauges)
    assert (result.reason, result.detail) == (Reason.VALUE, "gauge b: the body has nothing at no; also failed: d")
    assert measured(result).items() >= {"a": 1, "c": 3}.items()


async def test_labels_that_become_one_when_they_are_cut_are_the_reason(web: Web) -> None:
    document = {"x" * 130: 1, "x" * 131: 2}
    result = await asked(web, document, gauges={"size": {"path": "*", "label": "key", "help": "S."}})
    assert result.reason is Reason.VALUE
    assert "more than one value for size{key='xxx" in result.detail
    assert result.dropped == {Dropped.LABEL_CUT: 2, Dropped.REPEATED_SERIES: 1}


async def test_what_only_rises_is_a_counter(web: Web) -> None:
    gauges = {"revenue_total": {"path": "revenue", "type": "counter", "help": "Revenue in euros."}}
    result = await asked(web, {"revenue": 129.5}, gauges=gauges)
    assert [(s.family.type, s.value) for s in result.samples if s.family.name == "revenue_total"] == [
        ("counter", 129.5)
    ]
    assert (await asked(web, {"revenue": -1}, gauges=gauges)).reason is Reason.VALUE


@pytest.mark.parametrize(("name", "kind"), [("revenue_total", "gauge"), ("revenue", "counter"), ("a_bucket", "gauge")])
async def test_a_name_that_promises_another_type_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ValidationError, match=r"promise|called"):
        await probe(kind="http", url="http://a/", gauges={name: {"path": "a", "help": "S.", "type": kind}})


@pytest.mark.parametrize(
    "gauge", [{"path": "a.*"}, {"path": "a", "label": "b"}, {"path": "*.*", "label": "b"}, {"path": "*", "label": "le"}]
)
async def test_a_star_and_a_label_come_together(gauge: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        await probe(kind="http", url="http://a/", gauges={"size": {"help": "S.", **gauge}})


async def test_what_the_health_body_says_of_resources_becomes_gauges(web: Web) -> None:
    health = {
        "status": "healthy",
        "dependencies": [{"name": "database", "status": "healthy", "responseTime": 3}, {"status": "nameless"}],
        "metrics": {
            "memoryUsage": {"rss": 1000, "heapUsed": 500},
            "cpuUsage": 50,
            "activeConnections": 7,
            "requestsPerMinute": 120,
            "errorRate": 0.01,
        },
    }
    values = measured(await asked(web, health, expect={"format": "health"}))
    assert values["probe_application_memory_bytes"] == 1000
    assert values["probe_application_cpu_ratio"] == 0.5
    assert values["probe_application_connections"] == 7
    assert values["probe_application_requests_per_second"] == 2
    assert values["probe_application_error_ratio"] == 0.01
    assert values["probe_application_check{check=database}"] == 1


async def test_what_is_absurd_of_resources_is_left_out(web: Web) -> None:
    health = {"status": "ok", "cpuUsage": 1e9, "errorRate": 40, "activeConnections": "many", "memoryUsage": 3}
    values = measured(await asked(web, health, expect={"format": "health"}))
    assert not any(name.startswith(("probe_application_cpu", "probe_application_err")) for name in values)


PACK: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "br": brotli.compress, "deflate": zlib.compress}


class TestCompression:
    """Bodies that are compressed."""

    @pytest.mark.parametrize(
        ("coding", "packed"),
        [
            ("gzip", gzip.compress(b"hello")),
            ("gzip", gzip.compress(b"hel") + gzip.compress(b"lo")),
            ("br", brotli.compress(b"hello")),
            ("deflate", zlib.compress(b"hello")),
            ("deflate", zlib.compress(b"hello", wbits=-15)),
            ("identity", b"hello"),
        ],
        ids=["gzip", "two members", "br", "zlib", "raw", "identity"],
    )
    async def test_it_is_asked_for_and_undone(self, web: Web, coding: str, packed: bytes) -> None:
        url = web.say("/", packed)
        result = await probe(kind="http", url=url, compression=coding, expect={"body": "^hello$"})
        assert result.success, result.detail
        assert web.requests[0].headers["Accept-Encoding"] == coding
        assert measured(result)["probe_http_uncompressed_body_length"] == 5

    @pytest.mark.parametrize("coding", PACK)
    async def test_a_bomb_is_not_unpacked_beyond_the_limit(self, web: Web, coding: str) -> None:
        url = web.say("/", PACK[coding](b"0" * 50_000_000))
        result = await probe(kind="http", url=url, compression=coding, max_body="100kB", expect={"format": "json"})
        assert result.reason is Reason.TOO_LARGE
        assert measured(result)["probe_http_uncompressed_body_length"] == 100_000

    @pytest.mark.parametrize("coding", PACK)
    async def test_what_is_not_so_encoded_is_the_reason(self, web: Web, coding: str) -> None:
        plain = await probe(kind="http", url=web.say("/", b"\xffhello"), compression=coding)
        assert (plain.reason, plain.detail) == (Reason.BODY, f"the body is not encoded as {coding}")
        cut_off = await probe(kind="http", url=web.say("/", PACK[coding](bytes(range(256)))[:-20]), compression=coding)
        assert (cut_off.reason, cut_off.detail) == (Reason.BODY, "the compressed body ends in the middle")

    async def test_a_bad_status_explains_a_body_that_is_not_encoded(self, web: Web) -> None:
        result = await probe(kind="http", url=web.say("/", b"down", status=503), compression="br")
        assert result.reason is Reason.STATUS
        assert measured(result)["probe_http_status_code"] == 503

    @pytest.mark.parametrize("asked", ["gzip", "br;q=0", "br; q=0.000, gzip", "*;q=0", ""])
    async def test_a_header_that_asks_for_another_encoding_is_refused_in_the_config(self, asked: str) -> None:
        with pytest.raises(ValidationError, match="compression is br, which accept-encoding does not ask for"):
            await probe(kind="http", url="http://a", compression="br", headers={"accept-encoding": asked})

    @pytest.mark.parametrize("asked", ["br", "gzip, br;q=0.1, *;q=0", "gzip;q=1.0, *", " BR ; q=1 "])
    async def test_a_header_that_asks_for_it_too_is_sent_as_it_is(self, web: Web, asked: str) -> None:
        url = web.say("/", brotli.compress(b"hello"))
        result = await probe(kind="http", url=url, compression="br", headers={"accept-encoding": asked})
        assert result.success, result.detail
        assert web.requests[0].headers["Accept-Encoding"] == asked.strip()

    async def test_nothing_is_asked_for_otherwise(self, web: Web) -> None:
        await probe(kind="http", url=web.say("/"))
        assert "Accept-Encoding" not in web.requests[0].headers

    @given(st.binary(max_size=2000), st.sampled_from(["gzip", "br", "deflate"]), st.integers(1, 1000))
    def test_no_bytes_do_harm(self, body: bytes, coding: Coding, limit: int) -> None:
        with contextlib.suppress(Failed):
            decoded, _ = decode(body, coding, limit, complete=True)
            assert len(decoded) <= limit


@settings(deadline=None, max_examples=examples(200))
@given(data=st.binary(max_size=300), start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
def test_whatever_bytes_come_they_are_an_answer_or_a_failure(data: bytes, start: bytes) -> None:
    async def receive() -> bytes:
        return b""

    async def read() -> None:
        with contextlib.suppress(Failed):
            response = await read_response(start + data, receive, "GET", 100)
            assert 200 <= response.status <= 999 or response.status == 101
            assert len(response.body) <= 100

    asyncio.run(read())


@pytest.mark.parametrize("limit", [0.05, 0.2])
async def test_the_deadline_holds_whatever_the_server_does(tcp: Callable[[Talk], Awaitable[int]], limit: float) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1;" + b"e" * 200 + b"\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)

    result = await probe(limit, kind="http", url=f"http://127.0.0.1:{await tcp(talk)}/")
    assert result.reason in {Reason.DEADLINE, Reason.CONNECT_TIMEOUT}
    assert limit <= result.duration < limit + 60


@pytest.mark.parametrize(("number", "reason"), [("-1", Reason.VALUE), ("1e999", Reason.JSON)])
async def test_a_counter_is_a_number_from_0_up(web: Web, number: str, reason: Reason) -> None:
    gauges = {"sales_total": {"path": "sales", "help": "S.", "type": "counter"}}
    result = await probe(kind="http", url=web.say("/", f'{{"sales": {number}}}'), gauges=gauges)
    assert result.reason is reason, result.detail
