"""What was lost between Alertmanager and the receiver is healed, and absence alone heals nothing."""

from __future__ import annotations

import json
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.errors import UnreachableError
from deploywatch.receiver.alert import source, within
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.intake.payload import understand
from deploywatch.receiver.settings.upstream import Alertmanager, Reconcile
from deploywatch.receiver.upstream.alertmanager import Seen, look
from deploywatch.receiver.upstream.reconcile import Reconciler, compare
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, Scene, alert, settings
from tests.support.processes import fetch, poll

SETTINGS = Reconcile()
LONG_AGO = NOON - 24 * HOUR
BEFORE = NOON - SETTINGS.every
ONE, OTHER = alert(starts=-HOUR), alert("HighLatency", starts=-HOUR)


def test_an_alert_that_never_came_is_taken_in() -> None:
    healing = compare([], [Seen((ONE,), LONG_AGO)], {}, NOON, SETTINGS)
    assert healing.firing == (ONE,)


def test_an_alert_that_is_still_on_its_way_is_waited_for() -> None:
    young = alert(starts=-MINUTE)
    assert compare([], [Seen((young,), LONG_AGO)], {}, NOON, SETTINGS).alerts == ()


def test_an_alert_that_both_have_is_left_alone() -> None:
    assert compare([ONE], [Seen((ONE,), LONG_AGO)], {}, NOON, SETTINGS).alerts == ()


def test_a_newer_episode_that_never_came_is_taken_in() -> None:
    newer = alert(starts=-10 * MINUTE)
    assert compare([ONE], [Seen((newer,), LONG_AGO)], {}, NOON, SETTINGS).firing == (newer,)


def test_an_alert_that_is_missing_once_is_only_remembered() -> None:
    healing = compare([ONE, OTHER], [Seen((OTHER,), LONG_AGO)], {}, NOON, SETTINGS)
    assert healing.alerts == ()
    assert healing.missing == {ONE.fingerprint: NOON}


@pytest.mark.parametrize("name", ["grafana", source({"environment": "staging"})])
def test_an_alert_of_another_source_is_not_missed(name: str) -> None:
    foreign = msgspec.structs.replace(ONE, fingerprint=within(name, ONE.fingerprint))
    healing = compare([foreign], [Seen((), LONG_AGO)], {foreign.fingerprint: BEFORE}, NOON, SETTINGS)
    assert (healing.alerts, healing.missing) == ((), {})


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({}, None),
        ({"token": "s3cret"}, "Bearer s3cret"),
        ({"username": "ann", "password": "s3cret"}, "Basic YW5uOnMzY3JldA=="),
        ({"headers": {"Authorization": "Special s3cret"}}, "Special s3cret"),
    ],
)
async def test_an_alertmanager_is_told_who_asks_and_its_labels_are_the_webhooks(
    login: dict[str, Any], header: str | None
) -> None:
    listed = {"fingerprint": "f", "labels": {"alertname": "Down"}, "startsAt": "2026-05-01T12:00:00Z"}
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers.get("Authorization"), request.headers.get("X-Scope-OrgID")))
        return web.json_response([listed] if request.path.endswith("alerts") else {"uptime": "2026-05-01T12:00:00Z"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    labels = {"environment": "staging"}
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        headers = {"X-Scope-OrgID": "shop", **login.get("headers", {})}
        config = {"url": str(server.make_url("/")), "labels": labels, **login, "headers": headers}
        known = Alertmanager.model_validate(config)
        seen = await look(http, known, ".*")
    body = json.dumps({"version": "4", "alerts": [{**listed, "status": "firing"}]}).encode()
    assert [(alert.fingerprint, alert.labels) for alert in seen.alerts] == [
        (alert.fingerprint, alert.labels) for alert in understand(body, NOON, labels).alerts
    ]
    assert set(asked) == {(header, "shop")}


@pytest.mark.parametrize(
    "login",
    [
        {"username": "ann"},
        {"token": "t", "username": "ann", "password": "p"},
        {"token": "t", "headers": {"authorization": "Basic x"}},
    ],
)
def test_half_a_login_or_two_of_them_are_refused(login: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"write (username and password together|either (token|the header))"):
        Alertmanager.model_validate({"url": "http://alertmanager:9093", **login})


def test_an_alert_that_is_missing_for_as_long_as_is_set_has_resolved() -> None:
    healing = compare([ONE], [Seen((), LONG_AGO)], {ONE.fingerprint: BEFORE}, NOON, SETTINGS)
    assert [(one.fingerprint, one.firing, one.ends_at) for one in healing.resolved] == [(ONE.fingerprint, False, NOON)]


def test_an_alert_that_is_missing_for_a_shorter_time_is_waited_for() -> None:
    since = BEFORE + SECOND
    healing = compare([ONE], [Seen((), LONG_AGO)], {ONE.fingerprint: since}, NOON, SETTINGS)
    assert (healing.alerts, healing.missing) == ((), {ONE.fingerprint: since})


def test_comparisons_lie_no_further_apart_than_what_is_on_its_way_may_take() -> None:
    assert SETTINGS.pause == SETTINGS.settle < SETTINGS.every
    assert Reconcile(every=MINUTE).pause == MINUTE
    assert Reconcile(settle=0 * SECOND).pause == SECOND


def test_an_alertmanager_that_has_just_started_resolves_nothing() -> None:
    restarted = Seen((), NOON - 9 * MINUTE)
    healing = compare([ONE], [Seen((), LONG_AGO), restarted], {ONE.fingerprint: BEFORE}, NOON, SETTINGS)
    assert healing.alerts == ()
    assert healing.missing == {ONE.fingerprint: BEFORE}


def test_an_alert_that_one_of_two_still_has_is_not_over() -> None:
    seen = [Seen((), LONG_AGO), Seen((ONE,), LONG_AGO)]
    assert compare([ONE], seen, {ONE.fingerprint: BEFORE}, NOON, SETTINGS).alerts == ()


@pytest.fixture(scope="module")
def alertmanager(processes: Processes, workshop: Path) -> Running:
    """A real Alertmanager whose receivers reach nobody."""
    folder = workshop / uuid.uuid4().hex
    folder.mkdir()
    config = folder / "alertmanager.yml"
    config.write_text(
        "route:\n  receiver: elsewhere\n  routes:\n"
        "    - matchers: ['policy=\"demo\"']\n      receiver: deploywatch-demo\n"
        "receivers:\n  - name: elsewhere\n  - name: deploywatch-demo\n"
        "inhibit_rules:\n  - source_matchers: ['severity=\"high\"']\n    target_matchers: ['severity=\"low\"']\n"
        "    equal: [service]\n"
    )
    return servers.alertmanager(processes, folder / "data", config)


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - of this test
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - as above


def _silence(alertmanager: Running, service: str) -> None:
    times = {"startsAt": datetime.now(UTC).isoformat(), "endsAt": (datetime.now(UTC) + HOUR).isoformat()}
    matchers = [{"name": "service", "value": service, "isRegex": False}]
    silence = {"matchers": matchers, **times, "createdBy": "ann", "comment": "the disk is swapped"}
    _post(f"{alertmanager.url}/api/v2/silences", json.dumps(silence).encode())


def _send(alertmanager: Running, name: str, **labels: str) -> None:
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    whole = {"alertname": name, "service": "shop", "environment": "production", "severity": "high", **labels}
    body = json.dumps([{"labels": whole, "startsAt": began}]).encode()
    _post(f"{alertmanager.url}/api/v2/alerts", body)
    poll(lambda: name in str(fetch(f"{alertmanager.url}/api/v2/alerts")) or None, within=90, what=f"{name} arrives")


async def test_only_the_alerts_of_our_routes_are_looked_at(alertmanager: Running) -> None:
    _send(alertmanager, "Ours", policy="demo")
    _send(alertmanager, "Theirs")
    async with aiohttp.ClientSession() as http:
        seen = await look(http, Alertmanager(url=alertmanager.url), "deploywatch.*")
    assert "Ours" in {alert.name for alert in seen.alerts}
    assert "Theirs" not in {alert.name for alert in seen.alerts}
    assert seen.up_since < datetime.now(UTC)


async def test_an_alertmanager_that_is_away_is_said_to_be_without_its_password() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(UnreachableError, match=r"Alertmanager at http://ann:\*\*\*@127.0.0.1:1 did not answer"):
            await look(http, Alertmanager(url="http://ann:hidden@127.0.0.1:1"), ".*")


async def test_a_round_opens_the_incident_of_a_webhook_that_was_lost(
    alertmanager: Running, make_scene: MakeScene
) -> None:
    _send(alertmanager, "LostOnTheWay", policy="demo", service="lost")
    scene: Scene = make_scene(settings(upstream={"alertmanagers": [alertmanager.url]}))
    scene.clock.now = datetime.now(UTC)
    delivery = await Reconciler(scene.context).round()
    assert delivery is not None
    await scene.take(*delivery.alerts)
    assert "lost" in {incident.service for incident in await scene.incidents() if incident.status is Status.OPEN}


async def test_what_is_silenced_or_inhibited_from_its_start_is_not_lost_and_what_was_told_before_is_not_over(
    alertmanager: Running, make_scene: MakeScene
) -> None:
    _silence(alertmanager, "silenced")
    _send(alertmanager, "Silenced", policy="demo", service="silenced")
    _send(alertmanager, "Inhibited", policy="demo", service="worse", severity="low")
    _send(alertmanager, "Worse", policy="demo", service="worse")
    scene: Scene = make_scene(settings(upstream={"alertmanagers": [alertmanager.url]}))
    scene.clock.now = datetime.now(UTC)
    reconciler = Reconciler(scene.context)
    taken_in = await reconciler.round()
    assert taken_in is not None
    assert {"Worse"} == {one.name for one in taken_in.firing} & {"Silenced", "Inhibited", "Worse"}
    (silenced,) = (alert for alert in (await _listed(alertmanager)).alerts if alert.name == "Silenced")
    await scene.take(silenced)  # it came before the silence was set
    await reconciler.round()
    assert silenced.fingerprint not in reconciler._missing


async def _listed(alertmanager: Running) -> Seen:
    async with aiohttp.ClientSession() as http:
        return await look(http, Alertmanager(url=alertmanager.url), "deploywatch.*")


@pytest.mark.parametrize(
    ("muted_by", "taken_in"),
    [
        ([["weekend"]], False),
        ([[]], True),
        ([None], True),  # before 0.28
        ([["weekend"], []], True),  # another route of ours sends it
        (None, True),  # it is not answered
    ],
)
async def test_what_a_route_mutes_by_time_is_not_lost(
    make_scene: MakeScene, muted_by: list[list[str] | None] | None, taken_in: bool
) -> None:
    listed = {"fingerprint": "f", "labels": {"alertname": "Down"}, "startsAt": LONG_AGO.isoformat()}

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("status"):
            return web.json_response({"uptime": LONG_AGO.isoformat()})
        if not request.path.endswith("groups"):
            return web.json_response([listed])
        if muted_by is None:
            raise web.HTTPNotFound
        assert request.query["receiver"] == "deploywatch.*"
        stati = [{"state": "active", **({} if by is None else {"mutedBy": by})} for by in muted_by]
        return web.json_response([{"alerts": [{**listed, "status": status}]} for status in stati])

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        known = {"url": str(server.make_url("/")), "labels": {"environment": "staging"}}
        scene: Scene = make_scene(settings(upstream={"alertmanagers": [known]}))
        healing = await Reconciler(scene.context).round()
    assert (healing is not None) is taken_in


def test_what_one_of_two_alertmanagers_sends_is_not_meant_to_be_kept() -> None:
    kept = Seen((ONE,), LONG_AGO, withheld=frozenset({ONE.fingerprint}))
    assert compare([], [kept, kept], {}, NOON, SETTINGS).firing == ()
    assert compare([], [kept, Seen((ONE,), LONG_AGO)], {}, NOON, SETTINGS).firing == (ONE,)


async def test_a_round_concludes_nothing_when_an_alertmanager_is_away(make_scene: MakeScene) -> None:
    scene: Scene = make_scene(settings(upstream={"alertmanagers": ["http://127.0.0.1:1"]}))
    await scene.take(alert())
    assert await Reconciler(scene.context).round() is None


async def test_an_alert_that_fires_again_while_alertmanager_is_asked_is_not_taken_for_over(
    make_scene: MakeScene,
) -> None:
    async def alerts(_: web.Request) -> web.Response:
        await scene.take(alert(starts=SECOND))
        return web.json_response([])

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"uptime": LONG_AGO.isoformat()})

    app = web.Application()
    app.router.add_get("/api/v2/alerts", alerts)
    app.router.add_get("/api/v2/status", status)
    async with TestServer(app) as server:
        scene: Scene = make_scene(settings(upstream={"alertmanagers": [str(server.make_url("/"))]}))
        reconciler = Reconciler(scene.context)
        await scene.take(alert())
        reconciler._missing = {alert().fingerprint: LONG_AGO}  # the end of the first episode was on its way then
        delivery = await reconciler.round()
        assert delivery is not None
        await scene.take(*delivery.alerts)
    assert (await scene.incident()).status is Status.OPEN
