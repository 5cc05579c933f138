"""`GET /delivery` and `deployments delivery`, over real HTTP."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from click.testing import CliRunner

from deploywatch.receiver.commands.deployments.ledger import deployments
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Front, front_of
from tests.receiver.scene import HOUR, NOON, alert, settings

DEPLOYED = {"environment": "production", "status": "success", "duration_seconds": 600}


async def _six(api: Front) -> None:
    for n in range(6):
        at = NOON - (40 - n) * 24 * HOUR
        body = {"service": "shop", "version": f"1.{n}", "timestamp": at.isoformat(), **DEPLOYED}
        commit = {"commit_time": (at - 2 * HOUR).isoformat()} if n else {}
        assert (await api("POST", "/deployments", {**body, **commit})).status == 201


async def test_each_service_and_environment_is_measured_over_the_time_that_is_asked_for(api: Front) -> None:
    await _six(api)
    answer = (await api("GET", "/delivery?over=90d")).data
    (target,) = answer["targets"]
    assert (target["service"], target["deployments"], target["days"]) == ("shop", 6, 40)
    assert target["change_lead_time_seconds"] == {"value": 7800, "n": 5, "of": "deployments with a commit time"}
    assert target["deployment_frequency_per_day"]["value"] == pytest.approx(6 / 40)
    assert (await api("GET", "/delivery?over=36d")).data["targets"][0]["deployments"] == 2
    assert (await api("GET", "/delivery?over=7d")).data["targets"] == []
    assert (await api("GET", "/delivery?service=other")).data["targets"] == []


async def test_an_incident_soon_after_a_deployment_is_its_failure(api: Front) -> None:
    body = {"service": "shop", "version": "2", "timestamp": (NOON - HOUR).isoformat(), **DEPLOYED}
    await api("POST", "/deployments", body)
    await api.scene.take(alert(severity="critical"))
    (target,) = (await api("GET", "/delivery")).data["targets"]
    (failed,) = target["failed"]
    assert (failed["version"], failed["why"], failed["recovered"]) == ("2", "incident 1", None)


async def test_what_is_no_longer_kept_is_said(make_scene: MakeScene) -> None:
    async with front_of(make_scene(settings(keep_incidents="30d"))) as front:
        notes = (await front("GET", "/delivery?over=90d")).data["notes"]
        assert notes == ["incidents are kept for 4w2d (keep_incidents); those before are not counted"]
        assert (await front("GET", "/delivery?over=30d")).data["notes"] == []


@pytest.mark.parametrize("over", ["0d", "x", "12h", "99999d", "-3d"])
async def test_a_time_that_is_none_is_refused(api: Front, over: str) -> None:
    answer = await api("GET", f"/delivery?over={over}")
    assert answer.status == 400
    assert answer.data.startswith(f"over={over}: ")


async def test_the_command_prints_a_dash_for_fewer_than_five(api: Front) -> None:
    await _six(api)
    url = str(api.http.make_url("/")).rstrip("/")

    async def run(*words: str) -> str:
        done: list[Any] = []
        command = ["--url", url, "delivery", *words]
        thread = threading.Thread(target=lambda: done.append(CliRunner().invoke(deployments, command)))
        thread.start()
        while thread.is_alive():
            await api.http.get("/")  # lets the server answer the thread
        assert done[0].exit_code == 0, done[0].output
        return str(done[0].output)

    lines = [" ".join(line.split()) for line in (await run("--over", "90d")).splitlines()]
    assert lines[0] == "shop in production, over 40 days: 6 deployments that are over, 0 rollbacks"
    assert "change lead time 2h10m of 5 deployments with a commit time" in lines
    assert "deployment frequency 1.1 a week of 6 deployments" in lines
    assert "failed deployment recovery time — of 0 failed deployments that are over" in lines
    assert "change fail rate 0.0% of 6 deployments" in lines
    assert "mean time to recovery — of 0 resolved incidents" in lines
    assert "1 of 6 deployments have no usable commit time (--commit-time)" in lines
    assert json.loads(await run("--format", "json"))["targets"][0]["deployments"] == 6
    assert await run("--over", "2d") == "no deployments in the last 2d\n"
