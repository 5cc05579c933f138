"""What others announce goes into the ledger once, however often and in whichever order it comes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ruamel.yaml import YAML

from deploywatch.receiver.announcements.announced import Became, Source
from deploywatch.receiver.announcements.signatures import sign
from deploywatch.receiver.announcements.webhooks import Announcements
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.secrets import Masked
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import NOON, Scene, settings

SECRET = "a-secret-of-twenty-characters"
PAGE = (Path(__file__).parents[3] / "docs" / "announcements.md").read_text()
NAMES = {
    "services": {"octo-org/storefront": "shop", "apps/webapp": "shop"},
    "environments": {"prod": "production"},
    "github": {"secret": SECRET},
    "flux": {"secret": SECRET, "environment": "production"},
}
Body = dict[str, Any]


@dataclass(slots=True)
class Front:
    """The webhooks of a receiver."""

    scene: Scene
    client: TestClient[web.Request, web.Application]
    counted: Counter[tuple[str, str]]

    async def __call__(self, source: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Post a body, signed; the status and the answer."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = sign(Masked(SECRET), sent)
        signed = {"X-Signature": signature, "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(f"/webhook/{source}", data=sent, headers={**signed, **given}) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()

    async def ledger(self) -> list[Deployment]:
        """Every deployment, the oldest first."""
        found: list[Deployment] = await self.scene.read(lambda c: ledger.recent(c, limit=100))
        return found[::-1]


@pytest.fixture
async def front(make_scene: MakeScene) -> AsyncIterator[Front]:
    """A receiver that takes announcements."""
    scene, app, counted = make_scene(settings(announcements=NAMES)), web.Application(), Counter[tuple[str, str]]()

    def count(source: Source, became: Became) -> None:
        counted[source, became] += 1

    Announcements(scene.context, queued=lambda: None, count=count).add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield Front(scene, client, counted)


def at(minute: int) -> str:
    """A time around noon."""
    return f"2026-05-01T11:{minute:02}:00Z"


def github(state: str, minute: int, **more: Any) -> Body:
    """A `deployment_status` as GitHub documents it, shortened."""
    deployment = {
        "id": 42,
        "sha": "a" * 40,
        "ref": "refs/tags/v1.2.4",
        "task": "deploy",
        "payload": {},
        "environment": "prod",
        "created_at": at(0),
        "creator": {"login": "octocat", "type": "User"},
    }
    status = {"id": 1, "state": state, "created_at": at(minute), "environment": "prod", "description": ""}
    repository = {"id": 3, "name": "storefront", "full_name": "octo-org/storefront"}
    return {
        "action": "created",
        "deployment_status": status,
        "deployment": {**deployment, **more},
        "repository": repository,
        "sender": {"login": "octocat"},
    }


def argocd(phase: str, finished: int | None = None, **more: Any) -> Body:
    """What the page's template makes."""
    return {
        "application": "shop",
        "environment": "production",
        "version": "1.2.4",
        "phase": phase,
        "startedAt": at(0),
        "finishedAt": at(finished) if finished else None,
        **more,
    }


def flux(reason: str, minute: int, *, kind: str = "Kustomization", revision: str = "main@sha1:" + "b" * 40) -> Body:
    """An event as Flux documents it."""
    about = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": kind, "name": "webapp", "namespace": "apps"}
    return {
        "involvedObject": about,
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": revision} if revision else {},
        "severity": "info",
        "reason": reason,
        "message": "Reconciliation finished",
        "reportingController": "kustomize-controller",
        "timestamp": at(minute),
    }


def cdevent(kind: str = "service.deployed.0.3.0", minute: int = 5, **content: Any) -> Body:
    """A CDEvent of another tool's."""
    context = {
        "specversion": "0.5.1",
        "id": "1",
        "source": "/ci",
        "type": f"dev.cdevents.{kind}",
        "timestamp": at(minute),
    }
    told = {"environment": {"id": "prod"}, "artifactId": "pkg:oci/shop@sha256%3A0b31?tag=1.2.4", **content}
    return {"context": context, "subject": {"id": "shop", "content": told}}


async def test_github_begins_and_ends_a_deployment_and_says_it_twice_for_nothing(front: Front) -> None:
    became = [
        (await front("github", github(state, minute), X_GitHub_Event="deployment_status"))[1]["became"]
        for state, minute in (
            ("queued", 0),
            ("in_progress", 1),
            ("in_progress", 1),
            ("success", 4),
            ("success", 4),
            ("in_progress", 1),
            ("failure", 6),
            ("inactive", 9),
        )
    ]
    assert became == ["ignored", "began", "known", "ended", "known", "known", "contradicts", "ignored"]
    (deployment,) = await front.ledger()
    assert (deployment.service, deployment.environment, deployment.version) == ("shop", "production", "a" * 40)
    assert (deployment.deployer, deployment.status) == ("octocat", "succeeded")
    assert deployment.finished_at is not None
    assert (deployment.finished_at - deployment.started_at).total_seconds() == 240
    assert front.counted["github", "known"] == 3


async def test_what_comes_in_another_order_is_the_same_in_the_end(front: Front) -> None:
    for state, minute in (("failure", 4), ("in_progress", 1)):
        await front("github", github(state, minute), X_GitHub_Event="deployment_status")
    for reason, minute in (("ReconciliationSucceeded", 20), ("Progressing", 19)):
        await front("flux", flux(reason, minute))
    for phase, finished in (("Succeeded", 3), ("Running", None)):
        await front("argocd", argocd(phase, finished))
    assert [(d.version[:5], d.status) for d in await front.ledger()] == [
        ("aaaaa", "failed"),
        ("1.2.4", "succeeded"),
        ("bbbbb", "succeeded"),
    ]


async def test_a_deployments_own_payload_names_service_and_version(front: Front) -> None:
    body = github("success", 4, payload={"service": "cart", "version": "1.2.4"})
    await front("github", body, X_GitHub_Event="deployment_status")
    (deployment,) = await front.ledger()
    assert (deployment.service, deployment.version) == ("cart", "1.2.4")


@pytest.mark.parametrize(
    ("source", "body", "headers", "why"),
    [
        ("github", {"zen": "Design for failure."}, {"X_GitHub_Event": "ping"}, "ping is no deployment_status"),
        ("github", github("success", 1, task="deploy:migrations"), {}, "the task deploy:migrations deploys nothing"),
        ("argocd", argocd("Terminating"), {}, "not over yet"),
        ("flux", flux("Progressing", 1, kind="GitRepository"), {}, "a GitRepository deploys nothing"),
        ("flux", flux("DependencyNotReady", 1), {}, "DependencyNotReady says not"),
        ("flux", flux("Progressing", 1, revision=""), {}, "names no revision"),
        ("cdevents", cdevent("pipelinerun.finished.0.3.0"), {}, "announces no deployment"),
    ],
)
async def test_an_event_that_announces_nothing_is_counted_and_answered_plainly(
    front: Front, source: str, body: Body, headers: dict[str, str], why: str
) -> None:
    status, answer = await front(source, body, **{"X_GitHub_Event": "deployment_status", **headers})
    assert (status, answer["became"]) == (200, "ignored")
    assert why in answer["why"]
    assert front.counted[source, "ignored"] == 1
    assert await front.ledger() == []


@pytest.mark.parametrize("source", ["github", "flux"])
async def test_who_does_not_sign_is_not_believed(front: Front, source: str) -> None:
    body = github("success", 4) if source == "github" else flux("Progressing", 1)
    for wrong in ("", "sha256=" + "0" * 64, sign(Masked("another-secret-of-theirs"), json.dumps(body).encode()), "é"):
        status, answer = await front(source, body, X_Signature=wrong, X_Hub_Signature_256=wrong)
        assert status == 401, answer
    assert front.counted[source, "forged"] == 4
    assert await front.ledger() == []


async def test_without_a_configured_secret_nobodys_signature_is_good(make_scene: MakeScene) -> None:
    scene, app = make_scene(settings()), web.Application()
    Announcements(scene.context, queued=lambda: None, count=lambda *_: None).add_to(app)
    async with TestClient(TestServer(app)) as client:
        front = Front(scene, client, Counter())
        status, answer = await front("github", github("success", 4), X_GitHub_Event="deployment_status")
    assert (status, "no announcements.github.secret is configured" in answer) == (401, True)


@pytest.mark.parametrize(
    ("source", "body", "text"),
    [
        ("github", b"{", "$: Invalid JSON"),
        ("github", github("exploded", 4), "$.deployment_status.state: 'exploded' is no state"),
        ("github", github("success", 4, environment="", sha=""), "$.deployment.sha: String should have at least 1"),
        ("argocd", argocd("Done", 3), "$.phase: 'Done' is no phase"),
        ("argocd", {}, "$.application: Field required"),
        ("flux", {}, "$.involvedObject: Field required"),
        ("cdevents", cdevent(artifactId="shop"), "$.subject.content.artifactId: a package URL with its version"),
        ("cdevents", {}, "$.context: Field required"),
        ("cdevents", cdevent() | {"subject": {"id": "shop"}}, "$.subject.content: Field required"),
    ],
)
async def test_what_is_not_as_documented_is_refused_with_its_place(
    front: Front, source: str, body: Any, text: str
) -> None:
    status, answer = await front(source, body, X_GitHub_Event="deployment_status")
    assert (status, front.counted[source, "malformed"]) == (400, 1)
    assert text in answer


async def test_a_time_in_the_future_is_no_time(front: Front) -> None:
    body = cdevent()
    body["context"]["timestamp"] = "2026-05-02T12:00:00Z"
    assert await front("cdevents", body) == (400, "2026-05-02T12:00:00+00:00 is in the future\n")


async def test_cdevents_come_structured_binary_and_in_batches(front: Front) -> None:
    envelope = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t"}
    first, second = cdevent(minute=5), cdevent(minute=6, artifactId="pkg:generic/shop@1.2.5")
    structured = await front("cdevents", {**envelope, "data": first}, Content_Type="application/cloudevents+json")
    binary = await front("cdevents", first, ce_specversion="1.0", ce_type=first["context"]["type"])
    batch = [{**envelope, "data": first}, {**envelope, "data": second}]
    status, answers = await front("cdevents", batch, Content_Type="application/cloudevents-batch+json")
    assert [structured[1]["became"], binary[1]["became"]] == ["ended", "known"]
    assert (status, [answer["became"] for answer in answers]) == (200, ["known", "ended"])
    assert [deployment.version for deployment in await front.ledger()] == ["1.2.4", "1.2.5"]
    wrong = await front("cdevents", [{}], Content_Type="application/cloudevents-batch+json")
    assert wrong == (400, "$[0]: a CloudEvent has specversion 1.0, and the CDEvent as data\n")


async def test_a_cdevent_ends_what_its_pipeline_began(front: Front) -> None:
    running = await front.scene.context.store.write(
        lambda c: ledger.start(
            c, service="shop", environment="production", version="1.2.4", started_at=NOON.replace(hour=11)
        )
    )
    _, answer = await front("cdevents", cdevent())
    assert (answer["became"], answer["deployment"]["id"]) == ("ended", running.id)


async def test_a_rollback_is_recorded_as_one_once(front: Front) -> None:
    await front("cdevents", cdevent(minute=1, artifactId="pkg:generic/shop@1.2.3"))
    await front("cdevents", cdevent(minute=5, artifactId="pkg:generic/shop@1.2.4"))
    back = cdevent("service.rolledback.0.3.0", 9, artifactId="pkg:generic/shop@1.2.3")
    assert [(await front("cdevents", back))[1]["became"] for _ in range(2)] == ["ended", "known"]
    first, bad, undo = await front.ledger()
    assert (first.status, bad.status, undo.rollback_of) == ("succeeded", "rolled_back", bad.id)


async def test_our_own_events_do_not_come_back(make_scene: MakeScene) -> None:
    scene, app = make_scene(settings(external_url="https://ops.example.com/")), web.Application()
    Announcements(scene.context, queued=lambda: None, count=lambda *_: None).add_to(app)
    body = cdevent()
    body["context"]["source"] = "https://ops.example.com/"
    async with TestClient(TestServer(app)) as client:
        _, answer = await Front(scene, client, Counter())("cdevents", body)
    assert answer == {"became": "ignored", "why": "the event is our own"}


async def test_flux_says_the_same_again_of_what_runs_and_nothing_was_deployed(front: Front) -> None:
    said = [("Progressing", 1), ("ReconciliationSucceeded", 2), ("ReconciliationSucceeded", 12), ("Progressing", 1)]
    became = [(await front("flux", flux(reason, minute)))[1]["became"] for reason, minute in said]
    assert became == ["began", "ended", "known", "known"]
    chart = flux("UpgradeSucceeded", 30, kind="HelmRelease", revision="6.5.0")
    assert (await front("flux", chart))[1]["became"] == "ended"
    assert [deployment.version for deployment in await front.ledger()] == ["b" * 40, "6.5.0"]


@pytest.mark.parametrize(
    ("revision", "version"),
    [
        ("main/" + "c" * 40, "c" * 40),
        ("main@sha1:" + "c" * 40, "c" * 40),
        ("1.2.4@sha256:" + "c" * 64, "1.2.4"),
        ("feature/new", "feature/new"),
    ],
)
async def test_a_revision_is_a_commit_or_a_tag(front: Front, revision: str, version: str) -> None:
    _, answer = await front("flux", flux("ReconciliationSucceeded", 1, revision=revision))
    assert answer["deployment"]["version"] == version


def test_the_pages_configuration_is_good(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(announcements:.*?)```", PAGE, re.DOTALL)
    loaded = YAML(typ="safe").load(text)["announcements"]
    assert set(loaded) == set(NAMES)
    assert loaded["services"] == NAMES["services"]


def test_the_pages_template_makes_what_is_read() -> None:
    (body,) = re.findall(r"body: \|\n(.*?)\ntrigger", PAGE, re.DOTALL)
    made = json.loads(re.sub(r"\{\{.*?\}\}", '"x"', body))
    assert set(made) == set(argocd("Running"))


async def test_the_pages_cdevent_is_taken(front: Front) -> None:
    (body,) = re.findall(r"--data @- <<'END'\n(.*?)END", PAGE, re.DOTALL)
    _, answer = await front("cdevents", json.loads(body))
    assert (answer["became"], answer["deployment"]["version"]) == ("ended", "1.2.4")
