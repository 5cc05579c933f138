"""What people do in PagerDuty comes back: signed events are done here, all others are refused, said and counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.receiver.channels.pagerduty.requests import sign
from deploywatch.receiver.incidents import store
from deploywatch.receiver.intake.pagerduty_webhook import OUTCOMES, PATH, PagerDutyWebhook
from deploywatch.receiver.lifecycle import response
from deploywatch.receiver.store.schema import threads
from deploywatch.secrets import Masked
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

SECRET = "GReRzQnSfBdNvyPcsIqUUbBnVOFyrXKc"
KEY = "deploywatch/production/shop/1"
ANN = {"type": "user_reference", "id": "PANN123", "summary": "Ann Lee"}
US = {"type": "inbound_integration_reference", "id": "PINT456", "summary": "deploywatch"}


class Pager:
    """PagerDuty, as it posts; what became of each event is counted."""

    def __init__(self, scene: Scene, http: TestClient[web.Request, web.Application], counted: list[str]) -> None:
        self.scene, self.http, self.counted = scene, http, counted

    async def post(
        self,
        kind: str,
        *,
        agent: Any = None,
        key: str = KEY,
        secret: str = SECRET,
        others: tuple[str, ...] = (),
        **data: Any,
    ) -> int:
        data = {"id": "Q1", "incident_key": key, **data}
        event = {"id": "01", "event_type": kind, "agent": ANN if agent is None else agent, "data": data}
        body = json.dumps({"event": event}).encode()
        signature = ",".join((*others, sign(Masked(secret), body)))
        async with self.http.post(PATH, data=body, headers={"X-PagerDuty-Signature": signature}) as answer:
            return answer.status

    async def take_here(self, by: str) -> None:
        """Somebody acknowledges it otherwise than in PagerDuty."""
        scene = self.scene

        def write(connection: Any) -> None:
            response.acknowledge(
                connection, scene.context.settings, store.get(connection, 1), scene.clock.now, by=by, note=""
            )

        await scene.context.store.write(write)


@pytest.fixture
async def pager(make_scene: MakeScene) -> AsyncIterator[Pager]:
    """A PagerDuty channel that has heard of an open incident."""
    on_call = {"kind": "pagerduty", "routing_key": "a" * 32, "webhook_secret": SECRET}
    scene = make_scene(settings(channels={"on-call": on_call}))
    await scene.take(alert())
    await scene.drain()
    row = {"incident_id": 1, "channel": "on-call", "reference": KEY}

    def write(connection: Any) -> None:
        connection.execute(threads.delete())
        connection.execute(threads.insert().values(**row))

    await scene.context.store.write(write)
    app, counted = web.Application(), list[str]()
    endpoint = PagerDutyWebhook(scene.context, queued=lambda: None, count=counted.append)
    app.router.add_post(PATH, endpoint.__call__)
    async with TestClient(TestServer(app)) as client:
        yield Pager(scene, client, counted)
    assert set(counted) <= set(OUTCOMES)


async def test_an_acknowledgement_counts_by_the_name_of_the_person(pager: Pager) -> None:
    assert await pager.post("incident.acknowledged") == 200
    incident = await pager.scene.incident()
    assert (incident.acknowledged_by, incident.commander) == ("Ann Lee (PagerDuty PANN123)",) * 2
    assert await pager.post("incident.acknowledged", agent={**ANN, "summary": "Bob"}) == 200
    assert (await pager.scene.incident()).acknowledged_by == "Ann Lee (PagerDuty PANN123)"


async def test_a_resolve_while_alerts_fire_leaves_it_open_and_says_so(pager: Pager) -> None:
    await pager.post("incident.resolved")
    incident = await pager.scene.incident()
    assert incident.resolved_at is None
    (line,) = await pager.scene.lines("acknowledged")
    assert line.startswith("resolved in PagerDuty while HighErrorRate fires: it stays open until that ends")
    assert pager.counted == ["fires_on"]


async def test_a_resolve_when_nothing_fires_ends_it(pager: Pager) -> None:
    await pager.scene.take(ended(alert()))
    await pager.post("incident.resolved")
    assert (await pager.scene.incident()).resolved_by == "Ann Lee (PagerDuty PANN123)"


async def test_what_we_did_ourselves_comes_back_and_changes_nothing(pager: Pager) -> None:
    await pager.post("incident.acknowledged", agent=US)
    await pager.post("incident.resolved", agent=US)
    assert (await pager.scene.incident()).acknowledged_at is None
    assert pager.counted == ["not_a_person"] * 2


@pytest.mark.parametrize(
    ("kind", "key", "outcome"),
    [
        ("incident.annotated", KEY, "unknown_event"),
        ("incident.of_next_year", KEY, "unknown_event"),
        ("pagey.ping", KEY, "ping"),
        ("incident.acknowledged", "of somebody else", "unknown_alert"),
    ],
)
async def test_what_means_nothing_here_is_taken_and_counted(pager: Pager, kind: str, key: str, outcome: str) -> None:
    assert await pager.post(kind, key=key) == 200
    assert (await pager.scene.incident()).acknowledged_at is None
    assert pager.counted == [outcome]


async def test_what_was_said_of_the_smaller_trouble_does_not_count_for_the_bigger(pager: Pager) -> None:
    await pager.scene.take(alert("CheckoutDown", severity="critical"))
    await pager.post("incident.acknowledged")
    assert (await pager.scene.incident()).acknowledged_at is None
    assert pager.counted == ["smaller_trouble"]
    assert "that does not count" in (await pager.scene.lines("action_refused"))[0]


BOB = [{"type": "user_reference", "id": "PBOB456", "summary": "Bob Ray"}]
TRIGGERED = {"status": "triggered", "assignees": BOB}


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("incident.unacknowledged", {"status": "triggered"}, "not acknowledged any more in PagerDuty"),
        ("incident.reopened", {"status": "triggered"}, "reopened in PagerDuty"),
        ("incident.reassigned", TRIGGERED, "reassigned in PagerDuty to Bob Ray"),
        ("incident.escalated", TRIGGERED, "escalated in PagerDuty to Bob Ray"),
        ("incident.delegated", TRIGGERED, "delegated in PagerDuty to Bob Ray"),
        ("incident.reassigned", {}, "reassigned in PagerDuty"),  # what it does not say takes the dangerous meaning
    ],
)
async def test_what_is_given_back_in_pagerduty_is_in_nobodys_hand_and_escalates_anew(
    pager: Pager, kind: str, data: Any, said: str
) -> None:
    scene = pager.scene
    await pager.post("incident.acknowledged")
    await scene.drain()
    scene.clock.advance(MINUTE)
    assert await pager.post(kind, **data) == 200
    assert (await scene.incident()).acknowledged_by is None
    (line,) = await scene.lines("given_back")
    assert line == f"{said}: Ann Lee (PagerDuty PANN123) has it no more, so nobody has it"
    await scene.drain()
    assert scene.channels["on-call"].messages[-1].title.startswith("Nobody has it any more: ")
    await scene.after(HOUR)
    assert any("nobody acknowledged it within" in text for text in await scene.lines("reminded"))
    assert pager.counted == ["done", "done"]


@pytest.mark.parametrize("agent", [{}, [], US, {"type": "service_reference", "id": "PSVC", "summary": "Shop"}])
async def test_an_acknowledgement_that_pagerduty_ends_by_itself_counts_no_more(pager: Pager, agent: Any) -> None:
    await pager.post("incident.acknowledged")
    assert await pager.post("incident.unacknowledged", agent=agent, status="triggered") == 200
    assert (await pager.scene.incident()).waits_for_somebody
    assert pager.counted == ["done", "done"]


@pytest.mark.parametrize("kind", ["incident.reassigned", "incident.escalated", "incident.delegated"])
async def test_what_is_handed_to_somebody_who_has_it_stays_acknowledged_and_is_noted(pager: Pager, kind: str) -> None:
    await pager.post("incident.acknowledged")
    assert await pager.post(kind, status="acknowledged", assignees=BOB) == 200
    assert (await pager.scene.incident()).acknowledged_by == "Ann Lee (PagerDuty PANN123)"
    assert (await pager.scene.lines("comment"))[-1].endswith("in PagerDuty to Bob Ray")
    assert pager.counted == ["done", "noted"]


async def test_whoever_took_it_here_has_it_whatever_pagerduty_forgets(pager: Pager) -> None:
    scene = pager.scene
    await pager.take_here("cleo")
    assert await pager.post("incident.unacknowledged", agent={}) == 200
    assert (await scene.incident()).acknowledged_by == "cleo"
    assert await scene.lines("comment") == [
        "not acknowledged any more in PagerDuty; cleo took it here, and has it still"
    ]
    assert pager.counted == ["noted"]


async def test_a_priority_is_noted_and_is_no_severity(pager: Pager) -> None:
    before = (await pager.scene.incident()).severity
    assert await pager.post("incident.priority_updated", priority={"id": "P1", "summary": "P1"}) == 200
    assert (await pager.scene.incident()).severity == before
    assert await pager.scene.lines("comment") == [
        "given a priority in PagerDuty (P1): the severity stays that of the alerts"
    ]


async def test_a_reopening_of_what_is_over_is_said_and_opens_nothing(pager: Pager) -> None:
    await pager.scene.take(ended(alert()))
    await pager.post("incident.resolved")
    assert await pager.post("incident.reopened") == 200
    (incident,) = await pager.scene.incidents()
    assert incident.resolved_at is not None
    assert await pager.scene.lines("comment") == ["reopened in PagerDuty; it is over here"]
    assert pager.counted == ["done", "is_over"]


async def test_what_is_given_back_twice_changes_nothing_the_second_time(pager: Pager) -> None:
    await pager.post("incident.acknowledged")
    for _ in range(2):
        await pager.post("incident.unacknowledged", agent={})
    assert len(await pager.scene.lines("given_back")) == 1
    assert pager.counted == ["done", "done", "noted"]


async def test_a_forged_request_is_refused_and_one_of_several_signatures_will_do(pager: Pager) -> None:
    assert await pager.post("incident.acknowledged", secret="not the secret of the channel...") == 401
    assert (await pager.scene.incident()).acknowledged_at is None
    assert await pager.post("incident.acknowledged", others=("v1=00", "v0=é")) == 200
    assert pager.counted == ["forged", "done"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": []}', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_event_is_refused(pager: Pager, body: bytes) -> None:
    headers = {"X-PagerDuty-Signature": sign(Masked(SECRET), body)}
    async with pager.http.post(PATH, data=body, headers=headers) as answer:
        assert answer.status == 400
    assert pager.counted == ["malformed"]
