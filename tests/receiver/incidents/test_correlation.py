"""Incidents told apart by more than service and environment: one for each value of the labels that are named."""

from __future__ import annotations

from hashlib import shake_256

import msgspec
import pytest
from sqlalchemy import select

from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.store.schema import incidents
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import MINUTE, Scene, alert, ended, settings

EU, US = alert(region="eu"), alert(region="us")


@pytest.fixture
def apart(make_scene: MakeScene) -> Scene:
    """Regions have incidents of their own."""
    return make_scene(settings(correlate_by=["service", "environment", "region"]))


async def _keys(scene: Scene) -> list[str]:
    found: list[str] = await scene.read(lambda c: list(c.execute(select(incidents.c.open_key)).scalars()))
    return found


async def test_unless_it_is_asked_for_further_labels_tell_nothing_apart(scene: Scene) -> None:
    await scene.take(EU, US)
    assert (await scene.incident()).correlation == {}
    assert await _keys(scene) == ["shop\x1fproduction"]


async def test_a_label_may_have_any_name_that_prometheus_takes(make_scene: MakeScene) -> None:
    scene = make_scene(settings(correlate_by=["service", "environment", "k8s.cluster.name", "größe"]))
    for cluster in ("eu", "us"):
        await scene.take(alert(**{"k8s.cluster.name": cluster, "größe": "klein"}))  # type: ignore[arg-type] # labels only
    assert [incident.correlation for incident in await scene.incidents()] == [
        {"k8s.cluster.name": cluster, "größe": "klein"} for cluster in ("eu", "us")
    ]


async def test_each_value_has_an_incident_of_its_own(apart: Scene) -> None:
    reasons = await apart.take(EU, US, alert("HighLatency", region="eu"))
    assert [incident.correlation for incident in await apart.incidents()] == [{"region": "eu"}, {"region": "us"}]
    assert reasons[Effect.OPEN, Reason.FIRST_ALERT] == 2
    assert reasons[Effect.JOIN, Reason.INCIDENT_IS_OPEN] == 1
    assert await apart.lines("joined", incident=1) == ["HighLatency (high) joined"]


async def test_what_lacks_the_label_belongs_where_it_always_did(apart: Scene) -> None:
    await apart.take(alert(), alert("HighLatency", region=""))
    assert (await apart.incident()).correlation == {}
    assert await _keys(apart) == ["shop\x1fproduction"]


async def test_one_ends_without_the_other(apart: Scene) -> None:
    await apart.take(EU, US)
    await apart.take(ended(EU))
    await apart.after(10 * MINUTE)
    assert [incident.status for incident in await apart.incidents()] == [Status.RESOLVED, Status.OPEN]
    await apart.take(alert("HighLatency", region="us"), alert("HighLatency", region="eu"))
    assert len(await apart.incidents()) == 3


async def test_people_read_which_it_is_and_each_is_known_by_its_own_key(apart: Scene) -> None:
    await apart.take(EU, US)
    await apart.drain()
    first, second = apart.channels["team"].messages
    titles = [f"HighErrorRate (shop in production, region={region})" for region in ("eu", "us")]
    assert sorted((first.title, second.title)) == titles
    assert first.dedup_key != second.dedup_key
    assert (await apart.lines("opened"))[0].endswith(", region=eu")


async def test_the_api_tells_which_it_is(apart: Scene) -> None:
    await apart.take(EU, alert(service="search"))
    async with front_of(apart) as front:
        listed, shown = await front("GET", "/incidents"), await front("GET", "/incidents/1")
    assert [row["correlation"] for row in listed.data] == [{}, {"region": "eu"}]
    assert shown.data["correlation"] == {"region": "eu"}


async def test_long_values_of_many_labels_can_be_stored(make_scene: MakeScene) -> None:
    # Text that no index can make smaller.
    values = {f"label_{number}": shake_256(bytes([number])).hexdigest(250) for number in range(20)}
    scene = make_scene(settings(correlate_by=["service", "environment", *values]))
    fired = alert()
    await scene.take(msgspec.structs.replace(fired, labels={**fired.labels, **values}))
    assert (await scene.incident()).correlation == {name: value[:200] for name, value in values.items()}


def test_the_key_does_not_depend_on_the_order_of_labels_but_on_which_has_which_value() -> None:
    key = store.open_key("shop", "production", {"region": "eu", "cluster": "us"})
    assert key == store.open_key("shop", "production", {"cluster": "us", "region": "eu"})
    assert key != store.open_key("shop", "production", {"cluster": "eu", "region": "us"})
    assert key != store.open_key("shop", "production", {"region": "eu"})
