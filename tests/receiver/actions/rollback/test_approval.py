"""A person's word: asked for, given by API, by command or by signed link, once and within a time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from deploywatch.access.webconfig import Access
from deploywatch.pages.live import Live
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.api import add_to
from deploywatch.receiver.messages import Message
from deploywatch.receiver.pages import Pages
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import MINUTE, NOON, Scene, alert, ended

SECRET = "0123456789abcdef0123"
ANN = {"by": "ann"}
Serve = Callable[[Scene], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a scene's API."""
    clients = []

    async def served(scene: Scene) -> TestClient[web.Request, web.Application]:
        app = web.Application()
        add_to(app, scene.context, queued=lambda: None)
        Pages(
            scene.context, Access(None), Live(scene.context.store.changes, CollectorRegistry()), queued=lambda: None
        ).add_to(app)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield served
    for client in clients:
        await client.close()


async def asking(ground: Ground, **more: Any) -> Scene:
    """A scene that waits for a person's word."""
    outside = {"external_url": "http://receiver.example"}
    scene = await ground.scene(mode="approve", approval={"within": "15m", "secret": SECRET}, beside=outside, **more)
    await scene.take(critical())
    await scene.drain()
    return scene


def wanted(scene: Scene) -> Message:
    """The message that asks."""
    (message,) = (message for message in scene.channels["team"].messages if message.event is Event.APPROVAL_WANTED)
    return message


def path(scene: Scene, answer: str) -> str:
    """The signed link of the message, as a path here."""
    url = dict(wanted(scene).links)[answer]
    parts = urlsplit(url)
    assert url.startswith("http://receiver.example/")
    return f"{parts.path}?{parts.query}"


async def test_a_person_is_asked_and_nothing_runs(ground: Ground) -> None:
    scene = await asking(ground)
    assert ground.ran == []
    assert wanted(scene).expires == NOON + 15 * MINUTE
    (line,) = await scene.lines("approval_wanted")
    assert line.startswith("a person is asked, until 12:15:00 UTC, to approve the rollback of shop in production from")


async def test_after_a_yes_it_runs_and_the_timeline_says_whose(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    answer = await api.post("/api/v1/incidents/1/approve", json={"by": "ann", "note": "errors are real"})
    assert (answer.status, (await answer.json())["state"]) == (200, "approved")
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert await scene.lines("rollback_approved") == ["approved the rollback to 1.2.2: errors are real"]


async def test_the_incidents_page_has_the_question_its_answer_and_the_rollback(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    before = await (await api.get("/incidents/1")).text()
    assert re.search(r"Asked for a rollback to 1\.2\.2</strong> <span>waiting", before)
    await api.post("/api/v1/incidents/1/approve", json={"by": "ann", "note": "errors are real"})
    await scene.drain()
    page = await (await api.get("/incidents/1")).text()
    assert re.search(r"approved by ann</span>.*errors are real", page)
    assert "Rollback from 1.2.3 to 1.2.2</strong>" in page


async def test_after_a_no_it_does_not_run_and_is_refused_by_name_when_asked_again(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    assert (await api.post("/api/v1/incidents/1/reject", json=ANN)).status == 200
    await scene.take(alert("ServiceDown", severity="critical", action="rollback"))
    await scene.drain()
    assert ground.ran == []
    assert await scene.lines("rollback_rejected") == ["rejected the rollback to 1.2.2"]
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith("rollback refused (rejected): a person said no to rolling back 1.2.3")


async def test_when_nobody_answers_in_time_that_is_told_and_named(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    await scene.after(15 * MINUTE)
    assert ground.ran == []
    assert Event.APPROVAL_EXPIRED in scene.channels["team"].events
    assert await scene.lines("approval_expired") == [
        "nobody approved the rollback to 1.2.2 by 12:15:00 UTC; nothing was rolled back"
    ]
    answer = await (await serve(scene)).post("/api/v1/incidents/1/approve", json=ANN)
    assert (answer.status, await answer.text()) == (
        409,
        "the question about the rollback to 1.2.2 is expired already\n",
    )


async def test_a_yes_in_the_last_moment_before_the_expiry_is_noted_does_not_count(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    scene.clock.advance(15 * MINUTE)
    answer = await (await serve(scene)).post("/api/v1/incidents/1/approve", json=ANN)
    assert (answer.status, await answer.text()) == (409, "the time to answer was over at 2026-05-01 12:15:00 UTC\n")


async def test_a_second_alert_does_not_ask_a_second_time(ground: Ground) -> None:
    scene = await asking(ground)
    await scene.take(alert("ServiceDown", severity="critical", action="rollback"))
    await scene.drain()
    assert len(await scene.lines("approval_wanted")) == 1
    assert "approval_waiting" in (await scene.lines("rollback_refused"))[0]
    assert Event.ROLLBACK_REFUSED not in scene.channels["team"].events


async def test_after_a_yes_the_brakes_are_asked_again(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    await scene.take(ended(critical()))
    assert (await (await serve(scene)).post("/api/v1/incidents/1/approve", json=ANN)).status == 200
    await scene.drain()
    assert ground.ran == []
    assert "incident_over" in (await scene.lines("rollback_refused"))[0]


async def test_an_incident_that_asks_nothing_takes_no_answer(ground: Ground, serve: Serve) -> None:
    scene = await ground.scene(mode="dry-run")
    await scene.take(critical())
    answer = await (await serve(scene)).post("/api/v1/incidents/1/approve", json=ANN)
    assert (answer.status, await answer.text()) == (404, "incident 1 waits for no answer\n")


async def test_opening_a_signed_link_changes_nothing_it_asks(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    page = await api.get(path(scene, "Approve"))
    assert (page.status, '<button class="go">Approve</button>' in await page.text()) == (200, True)
    assert page.headers["Cache-Control"] == "no-store"
    await scene.drain()
    assert ground.ran == []


async def test_a_signed_link_answers_once(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    url = path(scene, "Approve")
    assert (await api.post(url, data={"by": "ann"})).status == 200
    again = await api.post(url, data={"by": "bob"})
    assert (again.status, "answered already: approved" in await again.text()) == (403, True)
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    timeline = (await (await api.get("/api/v1/incidents/1")).json())["timeline"]
    assert [entry["actor"] for entry in timeline if entry["kind"] == "rollback_approved"] == ["ann (signed link)"]


@pytest.mark.parametrize(
    "change",
    [{"answer": "reject"}, {"expires": "9999999999"}, {"id": "2"}, {"signature": "0" * 64}, {"signature": "é"}],
)
async def test_a_link_that_was_changed_is_not_valid(ground: Ground, serve: Serve, change: dict[str, str]) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    url = urlsplit(path(scene, "Approve"))
    forged = f"{url.path}?{urlencode({**dict(parse_qsl(url.query)), **change})}"
    answers = [await api.get(forged), await api.post(forged, data={"by": "mallory"})]
    assert [answer.status for answer in answers] == [403, 403]
    assert await scene.lines("rollback_approved") == []


async def test_a_link_is_not_valid_after_its_time(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    url, api = path(scene, "Approve"), await serve(scene)
    scene.clock.advance(15 * MINUTE)
    answer = await api.post(url, data={"by": "ann"})
    assert (answer.status, "the time to answer was over" in await answer.text()) == (403, True)


async def test_a_link_needs_a_name(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    assert (await (await serve(scene)).post(path(scene, "Approve"), data={"by": " "})).status == 400


async def test_without_a_secret_there_are_no_links(ground: Ground) -> None:
    scene = await ground.scene(mode="approve", beside={"external_url": "http://receiver.example"})
    await scene.take(critical())
    await scene.drain()
    assert not {"Approve", "Reject"} & {name for name, _ in wanted(scene).links}


async def test_neither_the_secret_nor_a_nonce_is_shown(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    (asked,) = await scene.read(lambda c: approval.of_incident(c, 1))
    shown = await (await (await serve(scene)).get("/api/v1/incidents/1/actions")).text()
    assert '"state": "waiting"' in shown
    for secret in (SECRET, asked.nonce):
        assert secret not in shown
        assert secret not in wanted(scene).body
        assert secret not in repr(scene.context.settings)


async def test_a_person_can_ask_for_a_rollback_and_the_same_brakes_hold(ground: Ground, serve: Serve) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert (await (await serve(scene)).post("/api/v1/incidents/1/rollback", json=ANN)).status == 202
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert "already_rolled_back" in (await scene.lines("rollback_refused"))[0]
    assert await scene.lines("rollback_asked") == ["asked for a rollback"]


async def test_resolving_closes_what_waits_and_nobody_hears_that_no_answer_came(ground: Ground) -> None:
    scene = await asking(ground)
    await scene.take(ended(critical()))
    await scene.after(6 * MINUTE)
    assert (await scene.incident()).resolved_at
    await scene.after(120 * MINUTE)
    assert Event.APPROVAL_EXPIRED not in scene.channels["team"].events
    assert scene.channels["team"].events[-1] is Event.RESOLVED


async def test_the_page_behind_the_link_says_what_is_to_be_decided(ground: Ground, serve: Serve) -> None:
    scene = await ground.scene(
        mode="approve", approval={"secret": SECRET}, beside={"external_url": "http://receiver.example"}
    )
    await scene.take(critical())
    await scene.drain()
    (asked,) = await scene.read(lambda c: approval.of_incident(c, 1))
    link = approval.link(scene.context.settings, asked, approval.YES)
    page = await (await (await serve(scene)).get(link.removeprefix("http://receiver.example"))).text()
    for fact in ("shop in production", "from 1.2.3", "to 1.2.2", "incident 1, critical: HighErrorRate", "12:15:00 UTC"):
        assert fact in page


async def test_who_approves_has_the_incident_in_hand(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    await (await serve(scene)).post("/api/v1/incidents/1/approve", json=ANN)
    incident = await scene.incident()
    assert (incident.acknowledged_by, incident.commander) == ("ann", "ann")


async def test_who_approves_by_a_signed_link_has_the_incident_in_hand(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    await (await serve(scene)).post(path(scene, "Approve"), data={"by": "ann"})
    assert (await scene.incident()).acknowledged_by == "ann (signed link)"


async def test_who_rejects_has_not_and_an_answer_that_came_late_takes_nothing(ground: Ground, serve: Serve) -> None:
    scene = await asking(ground)
    api = await serve(scene)
    await api.post("/api/v1/incidents/1/reject", json=ANN)
    await api.post("/api/v1/incidents/1/approve", json=ANN)
    assert (await scene.incident()).acknowledged_at is None


async def test_who_asks_for_a_rollback_has_the_incident_in_hand(ground: Ground, serve: Serve) -> None:
    scene = await ground.scene(mode="dry-run")
    await scene.take(critical())
    await (await serve(scene)).post("/api/v1/incidents/1/rollback", json=ANN)
    assert (await scene.incident()).acknowledged_by == "ann"


@pytest.mark.parametrize("answer", ["expired", "rejected"])
async def test_what_was_said_of_the_smaller_trouble_is_asked_anew_of_the_bigger(
    ground: Ground, serve: Serve, answer: str
) -> None:
    outside = {"external_url": "http://receiver.example"}
    scene = await ground.scene(mode="approve", approval={"within": "15m", "secret": SECRET}, beside=outside)
    await scene.take(alert("Slow", severity="high", action="rollback"))
    await scene.drain()
    api = await serve(scene)
    if answer == "rejected":
        assert (await api.post("/api/v1/incidents/1/reject", json=ANN)).status == 200
        await scene.after(10 * MINUTE)
    else:
        await scene.after(16 * MINUTE)
    await scene.take(alert("Down", severity="critical", starts=10 * MINUTE))
    await scene.drain()
    assert scene.channels["team"].events.count(Event.APPROVAL_WANTED) == 2
    # What was to expire by then is not this question.
    await scene.after(6 * MINUTE)
    assert (await api.post("/api/v1/incidents/1/approve", json=ANN)).status == 200
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_what_nobody_approved_is_not_asked_again_for_another_alert_that_is_no_worse(ground: Ground) -> None:
    scene = await asking(ground)
    await scene.after(15 * MINUTE)
    await scene.take(alert("Other", severity="critical"))
    await scene.after(20 * MINUTE)
    assert scene.channels["team"].events.count(Event.APPROVAL_WANTED) == 1
