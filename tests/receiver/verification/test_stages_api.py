"""Stages over HTTP and from the command line: begun in order, watched to a verdict, held by an exit code."""

from __future__ import annotations

import json
import threading
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from sqlalchemy import Connection, insert, select, update

from deploywatch.receiver import api as rooms
from deploywatch.receiver.commands.deployments.ledger import deployments
from deploywatch.receiver.commands.deployments.watching import Exit, Patience, Watch, decided_by, junit
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.store.deployment_schema import deployment_stages, deployment_verdicts
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Front, front_of
from tests.receiver.scene import Scene
from tests.receiver.verification.conftest import Past, Watched, configured


@pytest.fixture
def scene(make_scene: MakeScene, past: Past) -> Scene:
    """A receiver that judges by the plan."""
    return make_scene(configured(past))


async def started(scene: Scene, service: str, *, strategy: str = "") -> Deployment:
    """A deployment that runs."""
    await scene.deployed("1.2.3", ago=scene.clock.now - scene.clock.now.replace(hour=0), service=service)

    def write(connection: Connection) -> Deployment:
        return ledger.start(
            connection,
            service=service,
            environment="production",
            version="1.2.4",
            started_at=scene.clock.now,
            strategy=strategy,
        )

    return await scene.context.store.write(write)


async def begun(front: Front, deployment: Deployment, name: str, **more: Any) -> Any:
    """Begin a stage."""
    return await front("POST", f"/deployments/{deployment.id}/stages", {"stage": name, **more})


async def test_a_stage_is_begun_watched_and_judged(scene: Scene) -> None:
    deployment = await started(scene, "bad")
    async with front_of(scene) as front:
        answer = await begun(front, deployment, "canary-10")
        assert (answer.status, answer.data["state"], answer.data["lasts_seconds"]) == (201, "running", 600)
        before = await front("GET", f"/deployments/{deployment.id}/verdict")
        assert (before.data["verdict"], before.data["over"]) == (None, False)
        stage = await front("GET", f"/deployments/{deployment.id}/stages")
        assert [row["stage"] for row in stage.data] == ["canary-10"]
        await Watched(scene, deployment, None).on(2)  # type: ignore[arg-type] # only its time is needed
        judged = await front("GET", f"/deployments/{deployment.id}/verdict?stage=canary-10")
    document = json.loads(rooms.described())
    schema = {"$ref": "#/components/schemas/VerdictAnswer", "components": document["components"]}
    checked = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert list(checked.iter_errors(judged.data)) == []
    assert judged.data["verdict"]["answer"] == "roll_back"
    assert judged.data["evidence"][0]["bad"] == 1
    assert judged.data["over"]
    assert decided_by(judged.data) is Exit.ROLL_BACK
    assert judged.data["deployment"]["verdict"] == "roll_back"


async def test_a_pipeline_that_runs_again_gets_the_stage_that_it_has(scene: Scene) -> None:
    deployment = await started(scene, "well")
    async with front_of(scene) as front:
        first, again = [await begun(front, deployment, "canary-10") for _ in range(2)]
    assert first.data["id"] == again.data["id"]


async def test_the_next_stage_waits_for_the_verdict_on_the_one_before(scene: Scene) -> None:
    deployment = await started(scene, "well")
    async with front_of(scene) as front:
        await begun(front, deployment, "canary-10")
        early = await begun(front, deployment, "full")
        assert (early.status, "not judged yet" in early.data) == (409, True)
        await Watched(scene, deployment, None).on(5)  # type: ignore[arg-type]
        held = await begun(front, deployment, "full")
        assert (held.status, "is hold (undecided)" in held.data) == (409, True)
        assert (await begun(front, deployment, "full", force=True)).status == 201


@pytest.mark.parametrize(("reason", "status"), [("undecided", 201), ("low_traffic", 201), ("watch", 409), ("gap", 409)])
async def test_a_stage_that_was_promoted_lets_the_next_begin_unless_something_is_worse(
    scene: Scene, reason: str, status: int
) -> None:
    def promoted_once(connection: Connection) -> None:
        row = dict(connection.execute(select(deployment_verdicts)).mappings().first() or {})
        del row["id"]
        connection.execute(insert(deployment_verdicts).values({**row, "look": 0, "answer": "promote"}))
        connection.execute(update(deployment_stages).values(answer="hold", reason=reason))

    deployment = await started(scene, "well")
    async with front_of(scene) as front:
        await begun(front, deployment, "canary-10")
        await Watched(scene, deployment, None).on(5)  # type: ignore[arg-type]
        await scene.context.store.write(promoted_once)
        assert (await begun(front, deployment, "full")).status == status


async def test_a_hold_is_accepted_by_a_person_with_a_reason_and_the_deployment_goes_on(scene: Scene) -> None:
    deployment = await started(scene, "few")
    async with front_of(scene, user="ann") as front:
        await begun(front, deployment, "canary-10")
        await Watched(scene, deployment, None).on(1)  # type: ignore[arg-type]
        unreasoned = await front("POST", f"/deployments/{deployment.id}/accept", {"by": "ann", "why": ""})
        assert unreasoned.status == 400
        accepted = await front("POST", f"/deployments/{deployment.id}/accept", {"by": "ann", "why": "it is night"})
        assert (accepted.data["state"], accepted.data["accepted_why"]) == ("accepted", "it is night")
        again = await front("POST", f"/deployments/{deployment.id}/accept", {"by": "bob", "why": "me too"})
        assert again.status == 409
        found = await front("GET", f"/deployments/{deployment.id}/verdict")
        assert decided_by(found.data) is Exit.PROMOTE
        assert (await begun(front, deployment, "full")).status == 201


@pytest.mark.parametrize(
    ("service", "name", "strategy", "status", "text"),
    [
        ("well", "canary-1", "", 400, "has no stage 'canary-1'; did you mean 'canary-10'?"),
        ("well", "", "", 400, "stage"),
        ("elsewhere", "canary-10", "", 201, ""),
    ],
)
async def test_what_cannot_begin_says_why(
    scene: Scene, service: str, name: str, strategy: str, status: int, text: str
) -> None:
    deployment = await started(scene, service, strategy=strategy)
    async with front_of(scene) as front:
        answer = await begun(front, deployment, name)
    assert answer.status == status
    assert text in str(answer.data)


async def test_what_no_plan_covers_is_not_judged_and_says_so(make_scene: MakeScene, past: Past) -> None:
    scene = make_scene(configured(past, verification={"plans": []}))
    deployment = await started(scene, "well")
    async with front_of(scene) as front:
        answer = await begun(front, deployment, "canary-10")
        assert (answer.status, "no verification plan covers" in answer.data) == (409, True)
        assert (await front("GET", "/deployments/99/verdict")).status == 404
        assert (await front("GET", f"/deployments/{deployment.id}/verdict")).status == 404


def _told(state: str, answer: str | None, reason: str = "", status: str = "running") -> dict[str, Any]:
    verdict = None
    if answer is not None:
        finding = {"name": "error_ratio > 0.5%", "agrees": answer, "counts": {}}
        verdict = {"answer": answer, "reason": reason, "sentences": ["error_ratio > 0.5%: said"], "findings": [finding]}
    stage = {"stage": "canary-10", "state": state, "deployment": 7, "accepted_by": None, "accepted_why": None}
    return {"stage": stage, "verdict": verdict, "evidence": [], "deployment": {"status": status}}


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (_told("running", None), None),
        (_told("running", "hold", "low_traffic"), None),
        (_told("running", "error", "source"), None),
        (_told("running", "promote", "proven_good"), Exit.PROMOTE),
        (_told("promoted", "promote"), Exit.PROMOTE),
        (_told("accepted", "hold"), Exit.PROMOTE),
        (_told("rolled_back", "roll_back"), Exit.ROLL_BACK),
        (_told("ended", "hold", status="rolled_back"), Exit.ROLL_BACK),
        (_told("superseded", "hold"), Exit.HOLD),
        (_told("ended", "hold"), Exit.HOLD),
        (_told("running", "hold", "needs_person"), Exit.HOLD),
    ],
)
def test_the_exit_code_is_the_verdict(data: dict[str, Any], ended: Exit | None) -> None:
    assert decided_by(data) is ended


class _Client:
    """Answers one after the other, the last one for ever."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    def known(self, _path: str, **_query: object) -> dict[str, Any]:
        """The next answer."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    ("answers", "patience", "ended"),
    [
        ([_told("running", "hold"), _told("running", "promote")], Patience(1, 60, 0), Exit.PROMOTE),
        ([_told("running", "error"), _told("running", "promote")], Patience(1, 60, 0), Exit.PROMOTE),
        ([_told("running", "error")], Patience(1, 60, 0), Exit.ERROR),
        ([_told("running", "hold")], Patience(1, 60, 300), Exit.HOLD),
        ([_told("running", "hold", "needs_person")], Patience(1, 60, 0, 300), Exit.HOLD),
        ([_told("running", "hold", "needs_person"), _told("accepted", "hold")], Patience(1, 60, 0, 300), Exit.PROMOTE),
        ([_told("running", "hold", "needs_person"), _told("accepted", "hold")], Patience(1, 60, 0), Exit.HOLD),
        ([_told("running", "hold", "needs_person"), _told("ended", "hold")], Patience(1, 60, 0, 300), Exit.HOLD),
    ],
)
def test_errors_are_waited_out_for_a_time(answers: list[dict[str, Any]], patience: Patience, ended: Exit) -> None:
    now = [0.0]
    watch = Watch(
        _Client(*answers),  # type: ignore[arg-type] # as far as it is asked
        7,
        None,
        patience,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    found, _, _ = watch.follow(lambda _answer, _trouble: None)
    assert found is ended


@pytest.mark.parametrize(("ended", "kind"), [(Exit.PROMOTE, None), (Exit.ROLL_BACK, "failure"), (Exit.ERROR, "error")])
def test_junit_has_a_case_a_limit_and_one_for_the_stage(ended: Exit, kind: str | None) -> None:
    told = _told("running", "roll_back" if ended is Exit.ROLL_BACK else "promote")
    (suite,) = ET.fromstring(junit(told, ended, "").partition("\n")[2])  # noqa: S314 - our own text
    names = [case.get("name") for case in suite]
    assert names == ["canary-10", "error_ratio > 0.5%"]
    assert [child.tag for child in suite[0]] == ([kind] if kind else [])


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The commands, run in this process."""
    monkeypatch.delenv("DEPLOYWATCH_TOKEN", raising=False)
    return CliRunner()


def test_a_receiver_that_cannot_be_reached_is_an_error_and_no_verdict(cli: CliRunner) -> None:
    options = ["--url", "http://127.0.0.1:1", "watch", "7", "--every", "0.1", "--patience", "0.2", "--format", "json"]
    done = cli.invoke(deployments, options)
    assert done.exit_code == Exit.ERROR
    assert "gave no answer" in json.loads(done.output)["trouble"]
    asked = ["gate", "--service", "a", "--environment", "b", "--version", "c"]
    assert cli.invoke(deployments, ["--url", "http://127.0.0.1:1", *asked]).exit_code == Exit.ERROR


async def test_the_commands_begin_watch_and_accept(scene: Scene, cli: CliRunner) -> None:
    deployment = await started(scene, "few")
    async with front_of(scene, user="ann") as front:
        url = str(front.http.make_url("/")).rstrip("/")

        async def run(*words: str) -> tuple[int, str]:
            done: list[Any] = []
            thread = threading.Thread(target=lambda: done.append(cli.invoke(deployments, ["--url", url, *words])))
            thread.start()
            while thread.is_alive():
                await front.http.get("/")  # lets the server answer the thread
            return done[0].exit_code, done[0].output

        number = str(deployment.id)
        assert await run("stage", number, "canary-10") == (
            0,
            f"stage canary-10 of deployment {number}: 10% of the traffic, for at least 10m\n",
        )
        await Watched(scene, deployment, None).on(1.5)  # type: ignore[arg-type]
        code, text = await run("watch", number, "--every", "0.1", "--timeout", "0.2")
        assert code == Exit.HOLD
        assert "more requests" in text
        code, text = await run("gate", "--service", "few", "--environment", "production", "--version", "1.2.5")
        assert code == Exit.ROLL_BACK  # closed: 1
        assert "CLOSED   backup: no backup is recorded" in text
        assert "deployments record --service few --environment production --kind backup" in text
        code, text = await run("accept-hold", number, "--why", "it is night", "--by", "ann")
        assert (code, text) == (0, f"stage canary-10 of deployment {number}: accepted by ann\n")
        code, text = await run("watch", number, "--every", "0.1")
        assert (code, "ann accepted the hold: it is night" in text) == (Exit.PROMOTE, True)
