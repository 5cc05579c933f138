"""Rolling back, from the decision through a real command to the proof that the service is well."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from deploywatch.receiver.actions.rollback import rollback
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.jobs.claim import claim
from deploywatch.receiver.jobs.job import NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.schema import deployments, timeline
from deploywatch.receiver.store.schema import jobs as job_table
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, MovingClock, Scene, alert, ended, settings


async def _state(scene: Scene) -> str:
    (row,) = await scene.rollbacks()
    return str(row["state"])


async def test_unless_told_otherwise_a_rollback_is_only_announced(ground: Ground) -> None:
    scene = await ground.scene(mode="dry-run")
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == []
    assert await scene.rollbacks() == []
    assert Event.ROLLBACK_DRY_RUN in scene.channels["team"].events
    (line,) = await scene.lines("rollback_dry_run")
    assert line.startswith("dry run: would roll back shop in production from 1.2.3 to 1.2.2: ")


async def test_a_rollback_runs_is_verified_and_told(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert await _state(scene) == "verified"
    events = scene.channels["team"].events
    assert events.index(Event.ROLLBACK_STARTED) < events.index(Event.ROLLBACK_SUCCEEDED)
    assert await scene.lines("rollback_verified") == ["rollback verified: shop is healthy with 1.2.2, for 10s"]
    assert ground.exporter.asked[0] == "/health/services/shop?environment=production"


async def test_the_ledger_knows_what_was_rolled_back_and_what_runs_now(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    now, bad, _ = await scene.read(lambda c: ledger.recent(c, limit=9))
    assert (now.version, now.status, now.rollback_of) == ("1.2.2", "succeeded", bad.id)
    assert (bad.version, bad.status) == ("1.2.3", "rolled_back")


async def test_three_alerts_that_ask_for_it_run_it_once(ground: Ground) -> None:
    scene = await ground.scene()
    asking = [alert(name, severity="critical", action="rollback") for name in ("A", "B", "C")]
    for one in asking:
        await scene.take(one)
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    refused = await scene.lines("rollback_refused")
    assert len(refused) == 2
    assert all("under_way" in line for line in refused)
    assert Event.ROLLBACK_REFUSED not in scene.channels["team"].events


async def test_two_incidents_of_one_service_do_not_roll_it_back_twice(ground: Ground) -> None:
    scene = await ground.scene(beside={"correlate_by": ["service", "environment", "region"]})
    await scene.take(*(alert(severity="critical", region=region) for region in ("eu", "us")))
    await scene.after(HOUR)
    assert [incident.correlation for incident in await scene.incidents()] == [{"region": "eu"}, {"region": "us"}]
    assert ground.ran == ["1.2.2 shop"]
    assert len(await scene.rollbacks()) == 1
    (refused,) = await scene.lines("rollback_refused", incident=2)
    assert "under_way" in refused


async def test_the_next_incident_of_the_same_deployment_does_not_roll_back_again(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    await scene.take(ended(critical()))
    await scene.after(10 * MINUTE)
    await scene.take(alert(severity="critical", starts=10 * MINUTE))
    await scene.after(HOUR)
    assert len(await scene.incidents()) == 2
    assert ground.ran == ["1.2.2 shop"]
    (refused, *_) = await scene.lines("rollback_refused", incident=2)
    assert "already_rolled_back" in refused


async def test_a_command_that_fails_is_told_escalated_and_not_tried_again(ground: Ground) -> None:
    scene = await ground.scene("sh", "-c", f"echo run >> {ground.runs}; echo no such release; exit 4")
    await scene.take(alert("A", severity="critical"))
    await scene.take(alert("B", action="rollback"))
    await scene.after(10 * MINUTE)
    assert ground.ran == ["run"]
    assert await _state(scene) == "failed"
    assert await scene.lines("rollback_failed") == ["rollback failed: exit code 4: no such release"]
    assert Event.ROLLBACK_FAILED in scene.channels["team"].events
    assert any("the rollback to 1.2.2 failed" in line for line in await scene.lines("escalated"))
    assert "already_tried" in (await scene.lines("rollback_refused"))[0]


async def test_a_command_that_hangs_is_ended_and_counts_as_failed(ground: Ground) -> None:
    scene = await ground.scene("sh", "-c", "sleep 600 & wait", timeout="300ms")
    await scene.take(critical())
    await scene.drain()
    assert await scene.lines("rollback_failed") == ["rollback failed: was ended at its time limit"]
    assert await _state(scene) == "failed"


async def test_a_program_that_is_not_there_is_a_failed_rollback(ground: Ground) -> None:
    scene = await ground.scene("no-such-program")
    await scene.take(critical())
    await scene.drain()
    assert (await scene.lines("rollback_failed"))[0].startswith("rollback failed: exit code 127: cannot run no-such")


async def test_a_version_that_could_mean_more_is_not_passed_to_the_command(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.deployed("--force", ago=30 * SECOND)
    await scene.deployed("1.2.4", ago=20 * SECOND)
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == []
    assert "unsafe_value" in (await scene.lines("rollback_refused"))[0]
    assert Event.ROLLBACK_REFUSED in scene.channels["team"].events


async def test_an_incident_that_ends_within_the_delay_is_not_rolled_back(ground: Ground) -> None:
    scene = await ground.scene(delay="1m")
    await scene.take(critical())
    await scene.after(30 * SECOND)
    await scene.take(ended(critical()))
    await scene.after(30 * SECOND)
    assert ground.ran == []
    assert (await scene.lines("rollback_refused"))[0].startswith("rollback refused (incident_over)")


async def test_after_the_delay_it_runs(ground: Ground) -> None:
    scene = await ground.scene(delay="1m")
    await scene.take(critical())
    await scene.after(59 * SECOND)
    assert ground.ran == []
    await scene.after(SECOND)
    assert ground.ran == ["1.2.2 shop"]


async def _crash_while_it_runs(scene: Scene) -> None:
    """Leave the store as a process does that is killed while the command runs."""
    now = scene.clock.now
    (job,) = (
        one for one in await scene.context.store.write(lambda c: claim(c, now, "test", 99)) if one.kind == rollback.KIND
    )
    assert await scene.context.store.write(lambda c: rollback._begin(c, scene.context, job)) is not None
    scene.clock.advance(MINUTE)


async def test_a_rollback_that_was_interrupted_is_unknown_told_checked_and_never_run_again(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await _crash_while_it_runs(scene)
    await scene.drain()
    assert ground.ran == []
    assert Event.ROLLBACK_UNKNOWN in scene.channels["team"].events
    assert len(await scene.lines("rollback_unknown")) == 1
    assert any("is unknown" in line for line in await scene.lines("escalated"))
    assert await _state(scene) == "verified"
    (now, *_) = await scene.read(lambda c: ledger.recent(c, limit=9))
    assert (now.version, now.rollback_of) == ("1.2.2", 2)


async def test_an_interrupted_rollback_that_did_not_happen_is_found_out(ground: Ground) -> None:
    ground.exporter.answers = [{"status": "healthy", "version": "1.2.3"}]
    scene = await ground.scene()
    await scene.take(critical())
    await _crash_while_it_runs(scene)
    await scene.drain()
    assert ground.ran == []
    assert await _state(scene) == "not_verified"
    (now, *_) = await scene.read(lambda c: ledger.recent(c, limit=9))
    assert (now.version, now.status) == ("1.2.3", "succeeded")


async def test_a_job_that_was_lost_before_it_began_runs_the_command(ground: Ground, clock: MovingClock) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.context.store.write(lambda c: claim(c, clock.now, "a process that dies now", 99))
    await scene.after(MINUTE)
    assert ground.ran == ["1.2.2 shop"]


NOT_WELL = {
    "unhealthy": ({"status": "unhealthy", "version": "1.2.2"}, "shop is unhealthy"),
    "another version": ({"status": "healthy", "version": "1.2.3"}, "shop runs 1.2.3, not 1.2.2"),
    "no status": ({"version": "1.2.2"}, "the exporter's answer says no status (HTTP 503)"),
    "a page": ("<html>oops</html>", "the exporter gave no answer"),
    "a list": ("[1]", "the exporter's answer says no status (HTTP 200)"),
}


@pytest.mark.parametrize("name", NOT_WELL)
async def test_a_service_that_is_not_proven_well_in_time_is_told_and_escalated(ground: Ground, name: str) -> None:
    answer, said = NOT_WELL[name]
    ground.exporter.answers = [answer]
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert await _state(scene) == "not_verified"
    (line,) = await scene.lines("rollback_not_verified")
    assert line.startswith(f"rollback not verified: not healthy within 1m: {said}")
    assert Event.ROLLBACK_FAILED in scene.channels["team"].events
    assert any("could not be verified" in line for line in await scene.lines("escalated"))


async def test_an_exporter_that_cannot_be_reached_proves_nothing(ground: Ground) -> None:
    ground.exporter.url = "http://127.0.0.1:1/health"
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert "the exporter gave no answer" in (await scene.lines("rollback_not_verified"))[0]


async def test_a_service_that_recovers_in_time_is_verified_from_then_on(ground: Ground) -> None:
    bad, good = {"status": "unhealthy"}, {"status": "healthy", "version": "1.2.2"}
    ground.exporter.answers = [bad, good, good, bad, good]
    scene = await ground.scene()
    began = scene.clock.now
    await scene.take(critical())
    await scene.drain()
    assert await _state(scene) == "verified"
    assert scene.clock.now - began == 30 * SECOND  # well again after 20 s, and then for 10 s


async def test_a_verification_goes_on_after_a_restart(ground: Ground, make_scene: MakeScene) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await scene.context.store.write(lambda c: enqueue(c, NOON, NewJob("note", "x", "x", NOON)))
    await scene.drain()
    await scene.context.store.write(lambda c: c.execute(update(rollbacks).values(state="verifying")))
    await scene.context.store.write(
        lambda c: c.execute(
            update(job_table)
            .where(job_table.c.kind == rollback.VERIFY)
            .values(state="running", leased_by="gone", leased_until=NOON)
        )
    )
    await scene.after(MINUTE)
    assert await _state(scene) == "verified"
    assert ground.ran == ["1.2.2 shop"]


async def test_a_target_that_is_gone_from_the_config_leaves_the_rollback_unproven(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(critical())
    await _crash_while_it_runs(scene)
    scene.context.settings = settings()
    await scene.drain()
    assert "no rollback target is configured any more" in (await scene.lines("rollback_not_verified"))[0]


async def test_an_action_label_alone_asks_for_a_rollback(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(alert(action="rollback"))
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert (await scene.incident()).status is Status.OPEN


async def test_a_rollback_of_one_service_does_not_wait_for_another(ground: Ground) -> None:
    # The shop's waits until the other's has run, which it never does if it has to wait for the shop's.
    until = f"for i in $(seq 300); do grep -qs search {ground.runs} && break; sleep 0.1; done"
    scene = await ground.scene("sh", "-c", f"test {{service}} = search || {until}; echo {{service}} >> {ground.runs}")
    target = scene.context.settings.rollback.targets[0].model_copy(update={"service": "*"})
    changed = scene.context.settings.rollback.model_copy(update={"targets": (target,)})
    scene.context.settings = scene.context.settings.model_copy(update={"rollback": changed})
    await scene.deployed("7", ago=HOUR, service="search")
    await scene.deployed("8", ago=MINUTE, service="search")
    await scene.take(critical(), alert(service="search", severity="critical"))
    await scene.drain()
    assert ground.ran == ["search", "shop"]


@pytest.mark.sqlite_only
async def test_the_row_is_written_before_the_command_runs(ground: Ground, tmp_path: Path) -> None:
    look = (
        "import pathlib, sqlite3, sys;"
        "row = sqlite3.connect(sys.argv[1]).execute('select state from rollbacks').fetchone();"
        "pathlib.Path(sys.argv[2]).write_text(row[0])"
    )
    scene = await ground.scene(sys.executable, "-c", look, str(tmp_path / "store.db"), str(ground.runs))
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["running"]
    states = await scene.read(lambda c: c.execute(select(rollbacks.c.state)).scalars().all())
    assert states == ["verified"]


async def test_a_secret_that_the_command_prints_is_told_to_nobody(ground: Ground) -> None:
    (ground.runs.parent / "said").write_text("denied for very-secret")
    headers = {"Authorization": "very-secret"}
    ticket = {"url": "https://tickets.example", "headers": headers, "body": {"title": "{title}"}}
    command = ("sh", "-c", f"cat {ground.runs.parent / 'said'}; exit 1")
    scene = await ground.scene(*command, beside={"ticket": ticket})
    await scene.take(critical())
    await scene.drain()
    told = "".join(str(message) for message in scene.channels["team"].messages)
    lines = await scene.read(lambda c: c.execute(select(timeline.c.text)).scalars().all())
    kept = await scene.read(lambda c: c.execute(select(rollbacks.c.detail)).scalars().all())
    for text in (told, " ".join(lines), " ".join(kept)):
        assert "denied for ***" in text
        assert "very-secret" not in text


async def test_slacks_first_message_says_how_the_rollback_went(ground: Ground) -> None:
    scene = await ground.scene("false")
    await scene.take(critical())
    await scene.drain()
    by_event = {message.event: message.standing for message in scene.channels["team"].messages}
    started, failed = by_event[Event.ROLLBACK_STARTED], by_event[Event.ROLLBACK_FAILED]
    assert started
    assert failed
    assert "Now: rollback failed: exit code 1" in failed.body
    await scene.take(ended(critical()))
    await scene.after(HOUR)
    resolved = scene.channels["team"].messages[-1].standing
    assert resolved
    assert "Now: rollback failed: exit code 1" in resolved.body


async def test_slacks_first_message_says_why_there_was_no_rollback(ground: Ground) -> None:
    scene = await ground.scene(recent="30s")
    await scene.take(alert(action="rollback"))
    await scene.drain()
    (refused,) = (message for message in scene.channels["team"].messages if message.event is Event.ROLLBACK_REFUSED)
    assert refused.standing
    assert "Now: rollback refused (" in refused.standing.body


async def test_nothing_is_said_of_rollbacks_where_none_are_set_up(make_scene: MakeScene) -> None:
    scene = make_scene(settings())
    await scene.take(alert(severity="critical"))
    await scene.drain()
    assert await scene.lines("rollback_refused") == []
    assert Event.ROLLBACK_REFUSED not in scene.channels["team"].events


async def test_a_service_that_is_no_target_is_news_only_where_its_alert_asks_for_a_rollback(ground: Ground) -> None:
    scene = await ground.scene(target={"service": "search"})
    await scene.take(critical())
    await scene.drain()
    assert len(await scene.lines("rollback_refused")) == 1
    assert Event.ROLLBACK_REFUSED not in scene.channels["team"].events
    await scene.take(alert(service="other", severity="critical", action="rollback"))
    await scene.drain()
    assert Event.ROLLBACK_REFUSED in scene.channels["team"].events


async def test_a_lingering_smaller_alert_does_not_keep_a_bad_deployment_from_being_rolled_back(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.take(alert("DiskFilling", severity="low"))
    await scene.after(10 * MINUTE)
    await scene.deployed("1.2.4", ago=2 * MINUTE)
    await scene.take(alert(severity="critical", starts=9 * MINUTE))
    await scene.drain()
    assert ground.ran == ["1.2.3 shop"]


async def test_a_deployment_that_began_after_the_alert_is_left_alone_however_late_the_webhook_comes(
    ground: Ground,
) -> None:
    scene = await ground.scene()
    await scene.after(10 * MINUTE)
    await scene.deployed("1.2.4", ago=2 * MINUTE)
    await scene.take(critical())  # it began ten minutes ago
    await scene.drain()
    assert ground.ran == []
    assert "newer_deployment" in (await scene.lines("rollback_refused"))[0]


async def test_it_goes_back_to_the_last_different_version_that_was_not_rolled_back_itself(ground: Ground) -> None:
    # A hotfix is deployed while 1.2.3 is rolled back: the pipeline took 1.2.3 for what ran well before it.
    scene = await ground.scene(cooldown="1s")
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    await scene.take(ended(critical()))
    await scene.after(10 * MINUTE)
    hotfix = await scene.deployed("1.2.4", ago=MINUTE)

    def mistake(connection: Connection) -> None:
        connection.execute(update(deployments).where(deployments.c.id == hotfix.id).values(previous_version="1.2.3"))

    await scene.context.store.write(mistake)
    await scene.take(alert(severity="critical", starts=scene.clock.now - NOON))
    await scene.drain()
    assert ground.ran == ["1.2.2 shop", "1.2.2 shop"]


async def test_the_same_version_deployed_again_goes_back_to_the_last_different_one(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.deployed("1.2.3", ago=30 * SECOND)
    await scene.take(critical())
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_the_ledger_says_what_was_proven(ground: Ground) -> None:
    ground.exporter.answers = [{"status": "unhealthy"}]
    scene = await ground.scene()
    await scene.take(critical())
    await scene.drain()
    assert await _state(scene) == "not_verified"
    latest, *_ = await scene.read(lambda c: ledger.recent(c, limit=9))
    assert (latest.version, latest.status, latest.rollback_of) == ("1.2.3", "succeeded", None)


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        ("not_enough_issues", {"decide": {"issues": 2, "confidence": 0}}),
    ],
)
async def test_a_refusal_that_a_second_alert_changes_is_decided_anew(
    ground: Ground, refusal: str, changes: dict[str, Any]
) -> None:
    scene = await ground.scene(**changes)
    await scene.take(critical())
    await scene.drain()
    assert refusal in (await scene.lines("rollback_refused"))[0]
    await scene.after(4 * SECOND)
    await scene.take(alert("HighLatency", severity="high", starts=4 * SECOND))
    await scene.after(30 * SECOND)
    assert ground.ran == ["1.2.2 shop"]


async def test_a_record_of_the_ledger_that_comes_late_is_decided_about(ground: Ground) -> None:
    scene = await ground.scene()
    await scene.context.store.write(lambda c: c.execute(update(deployments).values(service="other")))
    await scene.take(critical())
    await scene.drain()
    assert "no_deployment" in (await scene.lines("rollback_refused"))[0]
    await scene.context.store.write(lambda c: c.execute(update(deployments).values(service="shop")))
    await scene.after(30 * SECOND)
    assert ground.ran == ["1.2.2 shop"]


async def test_the_end_of_a_cooldown_is_not_waited_for_in_vain(ground: Ground) -> None:
    scene = await ground.scene(cooldown="30m")
    other = await scene.deployed("0.9", ago=3 * HOUR)
    row = {"deployment_id": other.id, "incident_id": 1, "service": "shop", "environment": "production", "detail": ""}
    row |= {"from_version": "0.9", "to_version": "0.8", "state": "verified", "started_at": NOON - 10 * MINUTE}
    await scene.take(critical())
    await scene.context.store.write(lambda c: c.execute(insert(rollbacks).values(**row)))
    await scene.drain()
    assert "cooldown" in (await scene.lines("rollback_refused"))[0]
    await scene.after(21 * MINUTE)
    assert ground.ran == ["1.2.2 shop"]
