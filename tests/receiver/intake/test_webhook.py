"""The webhook over real HTTP: 200 once it is safe, 400 and quarantine for what can never be right, 503 to try again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.webhook import Endpoint, Intake
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.store import UnfitError
from deploywatch.receiver.store.schema import alerts, quarantine
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import NOON, Scene, alert, alert_json, body, ended, settings, until

LIMIT = 256 * 1024
PATH = "/webhook/alertmanager"


@dataclass(slots=True)
class Front:
    """The endpoint, served; `commits` gathers what was decided in each."""

    scene: Scene
    http: TestClient[web.Request, web.Application]
    intake: Intake
    registry: CollectorRegistry
    commits: list[Counter[tuple[Effect, Reason]]]

    async def post(self, data: bytes, query: str = "") -> tuple[int, str]:
        """Send one body; status and text of the answer."""
        async with self.http.post(f"{PATH}{query}", data=data) as answer:
            return answer.status, await answer.text()

    async def quarantined(self) -> list[tuple[bytes, str]]:
        """Body and reason of everything in quarantine."""
        rows = await self.scene.read(lambda c: c.execute(select(quarantine.c.body, quarantine.c.reason)).all())
        return [tuple(row) for row in rows]


@pytest.fixture
async def front(make_scene: MakeScene) -> AsyncIterator[Front]:
    """The endpoint with a small limit for bodies; its intake does not run yet."""
    scene = make_scene(settings(max_body=LIMIT))
    registry, commits = CollectorRegistry(), list[Counter[tuple[Effect, Reason]]]()
    intake = Intake(scene.context, committed=lambda taken: commits.append(taken.reasons), leasing=scene.worker.leasing)
    app = web.Application(client_max_size=LIMIT)
    app.router.add_post(PATH, Endpoint(scene.context, intake, Counters(registry)).__call__)
    async with TestClient(TestServer(app)) as client:
        yield Front(scene, client, intake, registry, commits)


@pytest.fixture
async def running(front: Front) -> AsyncIterator[Front]:
    """The endpoint with its intake running."""
    task = asyncio.create_task(front.intake.run())
    yield front
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_webhook_is_answered_after_its_commit(front: Front) -> None:
    answered = asyncio.create_task(front.post(body(alert())))
    await until(lambda: front.intake.backlog == 1)
    assert not answered.done()
    committing = asyncio.create_task(front.intake.run())
    assert await answered == (200, "committed\n")
    committing.cancel()
    assert (await front.scene.incident()).service == "shop"


# What a version's webhook has beyond `truncatedAlerts` and the fields before it, which are all that 0.25 has.
FIELDS_SINCE: dict[str, dict[str, Any]] = {
    "0.25": {},
    "0.32": {"notification_reason": "repeat interval elapsed"},
    "0.34": {"notification_reason": "repeat interval elapsed", "routeLabels": {"team": "shop"}},
    "a later one": {"notification_reason": 7, "routeLabels": None, "more": [{"deep": [1, 2]}]},
}


@pytest.mark.parametrize("version", FIELDS_SINCE)
async def test_the_fields_of_every_version_are_taken(running: Front, version: str) -> None:
    later = {**alert_json(alert()), **({"silencedBy": ["x"]} if version == "a later one" else {})}
    status, _ = await running.post(body(alerts=[later], truncatedAlerts=3, **FIELDS_SINCE[version]))
    assert status == 200
    assert (await running.scene.incident()).service == "shop"
    assert running.commits == [{(Effect.OPEN, Reason.FIRST_ALERT): 1, (Effect.RECORD, Reason.TRUNCATED): 3}]


async def test_a_payload_of_alertmanager_0_25_is_taken(running: Front) -> None:
    old = alert_json(alert())
    old["startsAt"], old["endsAt"] = "2026-05-01T14:00:00.123456789+02:00", "0001-01-01T00:00:00Z"
    status, _ = await running.post(body(alerts=[old]))
    (starts_at,) = (await running.scene.read(lambda c: c.execute(select(alerts.c.starts_at)).all()))[0]
    assert status == 200
    assert starts_at == NOON + timedelta(microseconds=123457)  # nanoseconds are rounded


async def test_an_alert_without_annotations_generator_or_end_is_taken(running: Front) -> None:
    bare = {k: v for k, v in alert_json(alert()).items() if k in ("status", "labels", "startsAt", "fingerprint")}
    assert (await running.post(body(alerts=[bare])))[0] == 200


async def test_two_sources_whose_alerts_are_alike_have_incidents_of_their_own(running: Front) -> None:
    fired = alert(environment="")
    for query in ("?environment=production", "?environment=staging"):
        assert (await running.post(body(fired), query))[0] == 200
    await running.post(body(ended(fired)), "?environment=staging")
    production = await running.scene.read(lambda connection: store.get(connection, 1))
    staging = await running.scene.read(lambda connection: store.get(connection, 2))
    assert (production.environment, production.quiet_since) == ("production", None)
    assert (staging.environment, staging.quiet_since) == ("staging", NOON)


async def test_equal_bodies_of_two_sources_are_two(running: Front) -> None:
    for query in ("?region=eu", "?region=us", "?region=eu", ""):
        await running.post(body(alert()), query)
    rows = await running.scene.read(lambda c: c.execute(select(alerts.c.labels)).scalars().all())
    assert sorted(labels.get("region", "") for labels in rows) == ["", "eu", "us"]


async def test_what_the_url_says_counts_and_what_the_alert_said_is_kept(running: Front) -> None:
    await running.post(body(alert()), "?environment=staging")
    (labels,) = await running.scene.read(lambda c: c.execute(select(alerts.c.labels)).scalars().all())
    assert (labels["environment"], labels["exported_environment"]) == ("staging", "production")


@pytest.mark.parametrize("query", ["?environment=", "?environment=a&environment=b"])
async def test_a_url_whose_labels_say_nothing_is_refused(running: Front, query: str) -> None:
    status, text = await running.post(body(alert()), query)
    assert (status, text) == (400, "the webhook's URL: write each label once, with a value, not 'environment'\n")


async def test_a_webhook_without_alerts_is_taken(running: Front) -> None:
    assert (await running.post(body()))[0] == 200


async def test_a_nul_in_a_label_is_replaced_because_not_every_store_keeps_it(running: Front) -> None:
    odd = {**alert_json(alert(service="sh\0op")), "fingerprint": "f" * 16}
    assert (await running.post(body(alerts=[odd])))[0] == 200
    assert (await running.scene.incident()).service == "sh\N{REPLACEMENT CHARACTER}op"


def _with(**changes: Any) -> bytes:
    return body(alerts=[{**alert_json(alert()), **changes}])


def _without(name: str) -> bytes:
    return body(alerts=[{k: v for k, v in alert_json(alert()).items() if k != name}])


BAD = {
    "not JSON": (b"hello", "$: Invalid JSON"),
    "empty": (b"", "$: Invalid JSON"),
    "cut off": (body(alert())[:-20], "$: Invalid JSON"),
    "not UTF-8": (body(alert()).replace(b"shop", b"sh\xffop"), "$.alerts[0]: Invalid JSON"),
    "half a surrogate": (body(alert()).replace(b"shop", b"sh\\ud800op"), "$: Invalid JSON"),
    "too deep": (b'{"version":"4","alerts":' + b"[" * 100_000, "maximum recursion depth"),
    "a list": (b"[]", "$: Input should be an object"),
    "version 3": (body(alert(), version="3"), "$.version: Input should be '4'"),
    "version as a number": (body(alert(), version=4), "$.version: Input should be '4'"),
    "no alerts": (b'{"version":"4"}', "$.alerts: Field required"),
    "alerts as text": (body(alerts="none"), "$.alerts: Input should be a valid"),
    "no labels": (_without("labels"), "$.alerts[0].labels: Field required"),
    "no status": (_without("status"), "$.alerts[0].status: Field required"),
    "no start": (_without("startsAt"), "$.alerts[0].startsAt: Field required"),
    "another status": (_with(status="pending"), "$.alerts[0].status: Input should be 'firing' or 'resolved'"),
    "labels as a list": (_with(labels=[]), "$.alerts[0].labels: Input should be an object"),
    "a start as a number": (_with(startsAt=1777636800), "$.alerts[0].startsAt: Input should be a valid datetime"),
    "a start that is no time": (_with(startsAt="yesterday"), "$.alerts[0].startsAt: Input should be a valid datetime"),
    "a start without zone": (_with(startsAt="2026-05-01T12:00:00"), "$.alerts[0].startsAt: Input should have timezone"),
    "a start before time": (_with(startsAt="0001-01-01T00:00:00+05:00"), "$.alerts[0].startsAt: Value error, is no"),
}


MENDED = {
    "no annotations at all": (_with(annotations=None), {}),
    "numbers and truth values as values": (
        _with(labels={"alertname": "A", "service": "shop", "severity": "high", "canary": True, "shard": 2}),
        {"canary": "true", "shard": "2"},
    ),
    "a label without a value": (_with(labels={"alertname": "A", "service": "shop", "severity": None}), {}),
    "no fingerprint": (_without("fingerprint"), {}),
    "a byte order mark": (b"\xef\xbb\xbf" + body(alert()), {}),
    "no link": (_with(generatorURL=None), {}),
    "a number as link": (_with(generatorURL=7), {}),
    "no labels": (_with(labels=None), {}),
    "a list as a label": (
        _with(labels={"alertname": "A", "service": "shop", "severity": "high", "zones": ["a", "b"]}),
        {"zones": '["a","b"]'},
    ),
    "a long fingerprint": (_with(fingerprint="f" * 101), {}),
    "a number as fingerprint": (_with(fingerprint=57), {}),
    "annotations as a list": (_with(annotations=["it is down"]), {}),
    "a status in capitals": (_with(status="Firing "), {}),
    "an end that is no time": (_with(endsAt=""), {}),
    "an end after time": (_with(endsAt="9999-12-31T23:59:59-05:00"), {}),
    "values as a text": (_with(values="B=0.5"), {}),
}


@pytest.mark.parametrize("name", MENDED)
async def test_what_other_senders_write_is_taken(running: Front, name: str) -> None:
    data, labels = MENDED[name]
    assert await running.post(data) == (200, "committed\n")
    (view,) = await running.scene.read(lambda c: alert_views.views(c, 1))
    assert labels.items() <= view.labels.items()
    assert await running.quarantined() == []


async def test_values_that_are_no_numbers_keep_no_alert_out(running: Front) -> None:
    assert await running.post(_with(values={"B": None, "C": "NaN", "D": 2})) == (200, "committed\n")
    (view,) = await running.scene.read(lambda c: alert_views.views(c, 1))
    assert view.value == "B=None, C=NaN, D=2"


async def test_one_bad_alert_among_many_is_put_aside_and_counted_and_the_others_are_taken(running: Front) -> None:
    bad = {**alert_json(alert("Bad")), "startsAt": "yesterday"}
    data = body(alerts=[alert_json(alert()), bad, alert_json(alert("HighLatency"))])
    status, text = await running.post(data)
    assert (status, text.startswith("committed, but for: $.alerts[1].startsAt: Input should be")) == (200, True)
    assert [view.name for view in await running.scene.read(lambda c: alert_views.views(c, 1))] == [
        "HighErrorRate",
        "HighLatency",
    ]
    ((kept, reason),) = await running.quarantined()
    assert (kept, reason.startswith("$.alerts[1].startsAt: ")) == (data, True)
    assert running.registry.get_sample_value("deploywatch_alerts_unreadable_total") == 1


async def test_grafanas_own_webhook_is_taken_with_its_links_and_values(running: Front) -> None:
    # The fields that Grafana's documentation of its webhook contact point shows.
    fields = {
        "values": {"A": 44.23943737541908, "C": 1},
        "dashboardURL": "https://grafana.example/d/7MeksYbmk",
        "panelURL": "https://grafana.example/d/7MeksYbmk?viewPanel=29",
        "silenceURL": "https://grafana.example/alerting/silence/new?alertmanager=grafana",
        "imageURL": "",
    }
    data = body(
        alerts=[{**alert_json(alert()), **fields}], version="1", orgId=1, state="alerting", title="t", message="m"
    )
    assert await running.post(data) == (200, "committed\n")
    (view,) = await running.scene.read(lambda c: alert_views.views(c, 1))
    assert view.dashboard_url == "https://grafana.example/d/7MeksYbmk?viewPanel=29"
    assert view.value == "A=44.2394, C=1"
    assert view.annotations["silence_url"].startswith("https://grafana.example/alerting/silence/new")


@pytest.mark.parametrize("name", BAD)
async def test_what_can_never_be_right_is_refused_with_its_path_and_kept(running: Front, name: str) -> None:
    data, reason = BAD[name]
    status, text = await running.post(data)
    assert status == 400
    assert reason in text
    assert await running.quarantined() == [(data, text.removesuffix("\n"))]
    assert running.registry.get_sample_value("deploywatch_webhooks_total", {"outcome": "rejected"}) == 1


async def test_every_fault_is_told_at_once(running: Front) -> None:
    _, text = await running.post(_with(status="pending", startsAt="never", labels=[]))
    assert all(path in text for path in ("$.alerts[0].status", "$.alerts[0].startsAt", "$.alerts[0].labels"))


async def test_faults_by_the_thousand_make_a_short_answer(running: Front) -> None:
    bad = {**alert_json(alert()), "startsAt": "\x07" + "k" * 500, "labels": []}
    _, text = await running.post(body(alerts=[bad] * 100))
    assert len(text) < 20_000
    assert text.endswith("; and more\n")
    assert "\x07" not in text


async def test_a_body_over_the_limit_is_refused_without_being_held_in_memory(running: Front) -> None:
    piece = b" " * 65536

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(600):
            yield piece

    tracemalloc.start()
    try:
        with suppress(aiohttp.ClientConnectionError):
            async with running.http.post(PATH, data=endless()) as answer:
                assert (answer.status, await answer.text()) == (
                    400,
                    f"the body is larger than {LIMIT} bytes; lower max_alerts\n",
                )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024**2
    ((_, reason),) = await running.quarantined()
    assert reason.startswith("the body is larger")


@pytest.mark.sqlite_only
async def test_a_locked_database_is_503_and_the_same_webhook_is_taken_later(running: Front, tmp_path: Path) -> None:
    await running.scene.context.store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=20"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        async with running.http.post(PATH, data=body(alert())) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "5"
            assert "database is locked" in await answer.text()
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert (await running.post(body(alert())))[0] == 200
    await running.scene.incident()


@pytest.mark.sqlite_only
async def test_a_full_disk_is_503_and_nothing_is_half_written(running: Front) -> None:
    store = running.scene.context.store
    pages = await store.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    await store.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
    status, text = await running.post(body(alert(annotations={"description": "x" * 100_000})))
    assert status == 503
    assert "full" in text
    assert await running.scene.incidents() == []
    await store.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert (await running.post(body(alert())))[0] == 200
    assert (await running.scene.incident()).service == "shop"


@pytest.mark.sqlite_only
async def test_a_file_that_cannot_be_written_is_503_and_counted(running: Front) -> None:
    store = running.scene.context.store
    # What a file system says that was mounted anew as read-only, or a file whose mode was changed.
    await store.write(lambda c: c.exec_driver_sql("PRAGMA query_only=ON"))
    status, text = await running.post(body(alert()))
    assert (status, text) == (
        503,
        "not stored, send it again: the database failed: attempt to write a readonly database\n",
    )
    assert store.failures["write"] >= 1
    assert await running.scene.incidents() == []


@pytest.mark.sqlite_only
async def test_a_file_that_another_program_has_locked_is_503_until_it_lets_go(running: Front) -> None:
    store = running.scene.context.store
    await store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=50"))
    with sqlite3.connect(str(store.file), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        status, text = await running.post(body(alert()))
        assert (status, text) == (503, "not stored, send it again: the database failed: database is locked\n")
        other.execute("ROLLBACK")
    assert (await running.post(body(alert())))[0] == 200
    assert (await running.scene.incident()).service == "shop"


@pytest.mark.sqlite_only
async def test_a_bad_body_is_refused_even_when_it_cannot_be_kept(running: Front) -> None:
    store = running.scene.context.store
    pages = await store.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    await store.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
    assert (await running.post(b"x" * 100_000))[0] == 400


async def test_webhooks_that_come_together_share_a_commit(front: Front) -> None:
    posts = [asyncio.create_task(front.post(body(alert(service=f"s{number}")))) for number in range(20)]
    await until(lambda: front.intake.backlog == 20)
    running = asyncio.create_task(front.intake.run())
    answers = await asyncio.gather(*posts)
    running.cancel()
    assert {status for status, _ in answers} == {200}
    assert len(front.commits) == 1
    assert len(await front.scene.incidents()) == 20


async def test_a_delivery_that_cannot_be_stored_does_not_take_its_neighbours_with_it(front: Front) -> None:
    before_time = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    poison = msgspec.structs.replace(alert(service="poison"), starts_at=before_time)
    sent = [Delivery(NOON, b"", (one,)) for one in (alert(), poison, alert(service="search"))]
    accepting = [asyncio.create_task(front.intake.accept(each)) for each in sent]
    await until(lambda: front.intake.backlog == 3)
    running = asyncio.create_task(front.intake.run())
    good, bad, good_too = await asyncio.gather(*accepting, return_exceptions=True)
    running.cancel()
    assert (good, good_too) == (None, None)
    assert isinstance(bad, UnfitError)
    assert [incident.service for incident in await front.scene.incidents()] == ["shop", "search"]


@pytest.mark.sqlite_only
async def test_those_who_wait_at_the_end_are_told_to_try_again(front: Front, tmp_path: Path) -> None:
    await front.scene.context.store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=60000"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    committing = asyncio.create_task(front.post(body(alert())))
    await until(lambda: front.intake.backlog == 1)
    task = asyncio.create_task(front.intake.run())
    await until(lambda: front.intake.backlog == 0)
    task.cancel()
    other.close()
    await asyncio.gather(task, return_exceptions=True)
    too_late = await front.post(body(alert()))
    assert [status for status, _ in (await committing, too_late)] == [503, 503]
    assert "shutting down" in too_late[1]


async def test_resolves_are_taken_like_firing_alerts(running: Front) -> None:
    await running.post(body(alert()))
    await running.post(body(ended(alert())))
    assert (await running.scene.incident()).quiet_since == NOON
    assert running.commits[-1] == {(Effect.RESOLVE, Reason.ALERT_RESOLVED): 1}


async def test_answers_are_counted(running: Front) -> None:
    await running.post(body(alert()))
    assert running.registry.get_sample_value("deploywatch_webhooks_total", {"outcome": "accepted"}) == 1
    assert running.registry.get_sample_value("deploywatch_webhook_commit_seconds_count") == 1


def test_the_samples_here_are_what_alertmanager_sends() -> None:
    payload = json.loads(body(alert()))
    assert payload["alerts"][0]["startsAt"] == NOON.astimezone(UTC).isoformat().replace("+00:00", "Z")
