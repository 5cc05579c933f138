"""Every refusal of a rollback reaches the timeline, the API and, where people need to know, their messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import delete, insert, update

from deploywatch.receiver.actions import target_lock
from deploywatch.receiver.actions.rollback.situation import ADVICE, Refusal
from deploywatch.receiver.api import add_to
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.store.action_schema import approvals, rollbacks
from deploywatch.receiver.store.schema import deployments
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import HOUR, MINUTE, Scene, ended

Arrange = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Held:
    """How a brake comes to hold: settings, and what happens `before` the alert and `between` it and the decision."""

    settings: dict[str, Any] = field(default_factory=dict)
    before: Arrange | None = None
    between: Arrange | None = None
    told: bool = True


async def _deployed_earlier(scene: Scene, count: int, *, service: str, state: str, ago: Any = 40 * MINUTE) -> None:
    """Note that so many deployments of a service were rolled back before, with this end."""
    for number in range(count):
        old = await scene.deployed(f"0.{number}", ago=3 * HOUR, service=service)
        row = {
            "deployment_id": old.id,
            "incident_id": 1,
            "service": service,
            "environment": "production",
            "from_version": old.version,
            "to_version": "0",
            "state": state,
            "detail": "",
            "started_at": scene.clock.now - ago,
            "finished_at": scene.clock.now - ago,
        }
        await scene.context.store.write(lambda c, row=row: c.execute(insert(rollbacks).values(**row)))  # type: ignore[misc]


async def _forget_deployments(scene: Scene) -> None:
    gone = {"service": "other"}
    await scene.context.store.write(lambda c: c.execute(update(deployments).values(**gone)))


async def _newer(scene: Scene) -> None:
    scene.clock.advance(MINUTE)
    await scene.deployed("1.2.4", ago=MINUTE / 2)


async def _running(scene: Scene) -> None:
    began = scene.clock.now - MINUTE / 2
    await scene.context.store.write(
        lambda c: ledger.start(c, service="shop", environment="production", version="1.2.4", started_at=began)
    )


async def _no_previous(scene: Scene) -> None:
    gone = deployments.c.version == "1.2.2"
    await scene.context.store.write(lambda c: c.execute(delete(deployments).where(gone)))
    await scene.context.store.write(lambda c: c.execute(update(deployments).values(previous_version=None)))


async def _same_again(scene: Scene) -> None:
    await _no_previous(scene)
    await scene.deployed("1.2.3", ago=MINUTE / 2)


async def _lock(scene: Scene) -> None:
    now = scene.clock.now
    await scene.context.store.write(lambda c: target_lock.take(c, "shop", "production", "somebody", now))


async def _option(scene: Scene) -> None:
    await scene.deployed("--force", ago=MINUTE / 2)
    await scene.deployed("1.2.4", ago=MINUTE / 3)


async def _resolve(scene: Scene) -> None:
    await scene.take(ended(critical()))


def _answered(state: str) -> Arrange:
    async def answer(scene: Scene) -> None:
        now = scene.clock.now
        row = {"incident_id": 1, "deployment_id": 2, "to_version": "1.2.2", "state": state, "note": ""}
        row |= {"asked_at": now, "expires_at": now + MINUTE}
        await scene.context.store.write(lambda c: c.execute(insert(approvals).values(**row)))

    return answer


async def _rolled_back(scene: Scene) -> None:
    now = scene.clock.now
    await scene.context.store.write(lambda c: ledger.undone(c, 2, "1.2.2", now, now))


async def _tried(scene: Scene) -> None:
    await _deployed_earlier(scene, 1, service="shop", state="failed", ago=2 * HOUR)
    await scene.context.store.write(lambda c: c.execute(update(rollbacks).values(deployment_id=2)))


async def _verifying(scene: Scene) -> None:
    await _deployed_earlier(scene, 1, service="shop", state="verifying", ago=2 * HOUR)
    await scene.context.store.write(lambda c: c.execute(update(rollbacks).values(deployment_id=2)))


async def _begun_lately(scene: Scene) -> None:
    await _deployed_earlier(scene, 1, service="shop", state="verified", ago=10 * MINUTE)


async def _capped(scene: Scene) -> None:
    await _deployed_earlier(scene, 3, service="shop", state="verified")


async def _capped_in_all(scene: Scene) -> None:
    await _deployed_earlier(scene, 10, service="search", state="verified")


async def _broken(scene: Scene) -> None:
    await _deployed_earlier(scene, 3, service="shop", state="not_verified", ago=2 * HOUR)


HELD: dict[Refusal, Held] = {
    Refusal.INCIDENT_OVER: Held(between=_resolve, told=False),
    Refusal.NO_TARGET: Held({"target": {"service": "search"}}, told=False),
    Refusal.NO_DEPLOYMENT: Held(before=_forget_deployments),
    Refusal.ALREADY_ROLLED_BACK: Held(between=_rolled_back, told=False),
    Refusal.UNDER_WAY: Held(between=_verifying, told=False),
    Refusal.ALREADY_TRIED: Held(between=_tried),
    Refusal.NEWER_DEPLOYMENT: Held(between=_newer),
    Refusal.DEPLOYMENT_RUNNING: Held(before=_running),
    Refusal.NOT_RECENT: Held({"recent": "30s"}),
    Refusal.NO_PREVIOUS_VERSION: Held(before=_no_previous),
    Refusal.SAME_VERSION: Held(before=_same_again),
    Refusal.BREAKER_OPEN: Held(between=_broken),
    Refusal.LOCKED: Held(between=_lock),
    Refusal.COOLDOWN: Held(between=_begun_lately),
    Refusal.CAP_OF_TARGET: Held(between=_capped),
    Refusal.CAP_IN_ALL: Held(between=_capped_in_all),
    Refusal.NOT_ENOUGH_ISSUES: Held({"decide": {"issues": 2}}),
    Refusal.REJECTED: Held(between=_answered("rejected")),
    Refusal.APPROVAL_EXPIRED: Held(between=_answered("expired")),
    Refusal.APPROVAL_WAITING: Held(between=_answered("waiting"), told=False),
    Refusal.UNSAFE_VALUE: Held(before=_option),
}


def test_every_refusal_is_tried_here() -> None:
    assert set(HELD) == set(Refusal)


@pytest.mark.parametrize("reason", HELD)
async def test_a_refusal_reaches_timeline_api_and_message(ground: Ground, reason: Refusal) -> None:
    held = HELD[reason]
    scene = await ground.scene(**held.settings)
    if held.before:
        await held.before(scene)
    await scene.take(critical())
    if held.between:
        await held.between(scene)
    await scene.drain()
    assert ground.ran == []
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith(f"rollback refused ({reason}): ")
    assert line.endswith(f"; {ADVICE[reason]}; asked for by HighErrorRate")
    assert line in [entry["text"] for entry in await _timeline(scene)]
    told = [message for message in scene.channels["team"].messages if message.event is Event.ROLLBACK_REFUSED]
    assert len(told) == (1 if held.told else 0)
    sentence = line.removeprefix(f"rollback refused ({reason}): ").removesuffix("; asked for by HighErrorRate")
    assert all(sentence in one.body for one in told)


async def test_a_person_lets_a_target_run_again(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await _broken(scene)
    app = web.Application()
    add_to(app, scene.context, queued=lambda: None)
    async with TestClient(TestServer(app)) as api:
        where = {"service": "shop", "environment": "production"}
        assert (await api.post("/api/v1/rollbacks/allow", json={**where, "by": "ann"})).status == 200
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_the_lock_is_given_back_when_the_rollback_is_verified(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert await scene.read(lambda c: target_lock.held_by(c, "shop", "production")) == ""


async def test_the_lock_is_given_back_when_the_command_fails(ground: Ground) -> None:
    scene = await ground.scene("false")
    await scene.take(critical())
    await scene.drain()
    assert await scene.read(lambda c: target_lock.held_by(c, "shop", "production")) == ""


async def test_only_its_holder_gives_a_lock_back(scene: Scene) -> None:
    now = scene.clock.now
    where = ("shop", "production")
    assert await scene.context.store.write(lambda c: target_lock.take(c, *where, "one", now))
    assert not await scene.context.store.write(lambda c: target_lock.take(c, *where, "two", now))
    await scene.context.store.write(lambda c: target_lock.give_back(c, *where, "two"))
    assert await scene.read(lambda c: target_lock.held_by(c, *where)) == "one"


async def _timeline(scene: Scene) -> list[dict[str, Any]]:
    app = web.Application()
    add_to(app, scene.context, queued=lambda: None)
    async with TestClient(TestServer(app)) as api:
        whole: dict[str, Any] = await (await api.get("/api/v1/incidents/1")).json()
    return list(whole["timeline"])
