"""The report on a deployment: its golden texts, and what it never leaves out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from deploywatch.receiver.deployments import ledger, stages
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.report import gather, rendering
from deploywatch.receiver.report.schema import Report
from deploywatch.verdict.evidence import Look
from tests.receiver.channels.stories import same_as_golden
from tests.receiver.report.story import BAD, WELL, assessed, began, judged, measured, plan
from tests.receiver.scene import HOUR, MINUTE, Scene

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parents[3] / "docs" / "assessment.md"


@pytest.fixture
def store_url(empty_store: Path, tmp_path: Path) -> str:
    """One kind of database is enough for texts."""
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"


async def report_of(scene: Scene, deployment: Deployment) -> Report:
    """The report as it stands now."""
    found: Report | None = await scene.read(
        lambda c: gather.report(c, scene.context.settings, deployment.id, scene.clock.now)
    )
    assert found is not None
    return found


async def bad_canary(scene: Scene) -> Report:
    """A canary that fails 2 % of its requests, and was rolled back."""
    deployment = await began(scene)
    await judged(scene, deployment, BAD, stage=plan("canary-10", 0.1, last=False))
    course = [measured(error_ratio=ratio) for ratio in (0.001, 0.001, 0.003, 0.004, 0.003, 0.054)]
    await assessed(scene, deployment, course)
    return await report_of(scene, deployment)


async def promoted(scene: Scene) -> Report:
    """A version that was promoted stage by stage, and is not watched to the end."""
    deployment = await began(scene, "1.2.5")
    await judged(scene, deployment, WELL, stage=plan("canary-50", 0.5, last=False))
    whole = [replace(look, control_requests=None, control_bad=None) for look in WELL]
    await judged(scene, deployment, whole, stage=plan("full", 1, last=True))
    await scene.context.store.write(lambda c: ledger.finish(c, deployment.id, Status.SUCCEEDED, scene.clock.now))
    await assessed(scene, deployment, [measured(error_ratio=0.001)] * 12)
    return await report_of(scene, deployment)


async def unwatched(scene: Scene) -> Report:
    """One of which nothing is known but that it began."""
    return await report_of(scene, await scene.deployed("1.0.0", ago=HOUR))


STORIES = {"bad_canary": bad_canary, "promoted": promoted, "unwatched": unwatched}


@pytest.mark.parametrize("name", STORIES)
async def test_the_report_is_as_committed(scene: Scene, name: str) -> None:
    found = await STORIES[name](scene)
    same_as_golden(GOLDEN / f"{name}.md", rendering.as_markdown(found))
    same_as_golden(GOLDEN / f"{name}.json", json.dumps(found, indent=2) + "\n")
    same_as_golden(GOLDEN / f"{name}.html", str(rendering.body(found)) + "\n")


async def test_the_example_of_the_docs_is_what_is_written(scene: Scene) -> None:
    assert f"```markdown\n{rendering.as_markdown(await bad_canary(scene))}```\n" in DOCS.read_text()


async def test_the_verdict_is_one_sentence_with_its_numbers(scene: Scene) -> None:
    assert (await bad_canary(scene))["sentence"] == (
        "shop 1.2.4 in production was judged bad in stage canary-10: error_ratio > 0.5%: canary failed 38 of 1,904 "
        "requests, stable 9 of 17,210; worse than 0.5 % proven, wrong once in 100"
    )


async def test_a_hold_that_a_person_accepted_says_who_and_why(scene: Scene) -> None:
    deployment = await began(scene)
    stage = await judged(scene, deployment, [Look(5, 0, 45, 0)] * 4, stage=plan("canary-10", 0.1, last=False))
    held = await report_of(scene, deployment)
    assert held["sentence"].startswith("shop 1.2.4 in production holds in stage canary-10: ")
    assert held["recommendations"][0]["text"].startswith("wait for more requests")
    await scene.context.store.write(
        lambda c: stages.accept(c, stage.id, scene.clock.now, by="ann", why="a small customer")
    )
    report = await report_of(scene, deployment)
    assert "goes on by the word of ann (a small customer), although: " in report["sentence"]
    assert report["stages"][0]["accepted_by"] == "ann"


async def test_what_was_not_measured_is_told_of_stages_conditions_and_health(scene: Scene) -> None:
    deployment = await began(scene)
    counted = [Look(600, 1, 5400, 9), Look(None, None, 5400, 9), Look(600, 1, None, None), Look(600, 0, 5400, 9)]
    await judged(scene, deployment, counted, stage=plan("canary-10", 0.1, last=False), cpu=None)
    report = await report_of(scene, deployment)
    assert report["unmeasured"] == [
        "stage canary-10, error_ratio > 0.5%: 2 of 4 looks have no good count",
        "stage canary-10, latency_p95 > 1s: 2 of 4 looks have no good count",
        "stage canary-10, cpu > 90%: not measured in 4 of 4 looks",
        "its health: it was never assessed",
    ]


async def test_what_people_and_series_say_is_text_in_every_form(scene: Scene) -> None:
    awkward = "<script>alert(1)</script>|*_`[x](javascript:alert(1))\x1b[31m\u202e"
    deployment = await began(scene, awkward, deployer=awkward, artifact=awkward)
    await judged(scene, deployment, BAD, stage=plan(awkward, 0.1, last=False))
    report = await report_of(scene, deployment)
    page, text = rendering.as_html(report), rendering.as_markdown(report)
    assert "<script" not in page
    assert "\x1b" not in page + text
    assert "\u202e" not in page + text
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in rendered
    assert "href=" not in rendered
    assert "&lt;script&gt;" in page


class _Checked(HTMLParser):
    """Every element is closed, and nothing is loaded or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "link", "img", "iframe")
        assert not [name for name in given if name.startswith("on") or name in ("style", "src")]
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_stands_alone_and_draws_the_band(scene: Scene) -> None:
    page = rendering.as_html(await bad_canary(scene))
    checked = _Checked()
    checked.feed(page)
    assert checked.open == []
    assert checked.links
    assert all(link.startswith("https://runbooks.enterprise.example.com/") for link in checked.links)
    assert "<polygon" in page
    assert "1 of them outside what is usual; the last is 5.4 %" in page


async def test_the_deployments_before_are_the_last_five_and_none_that_came_later(scene: Scene) -> None:
    for number in range(7):
        await scene.deployed(f"0.{number}", ago=10 * HOUR - number * MINUTE)
    deployment = await began(scene)
    scene.clock.advance(HOUR)
    await scene.deployed("9.9", ago=MINUTE)
    before = (await report_of(scene, deployment))["before"]
    assert [one["version"] for one in before] == ["0.6", "0.5", "0.4", "0.3", "0.2"]


async def test_silence_is_no_health_one_that_nobody_judged_says_so(scene: Scene) -> None:
    found = await unwatched(scene)
    assert found["sentence"] == "shop 1.0.0 in production has no verdict: none of its stages was begun"
    assert [recommendation["text"] for recommendation in found["recommendations"]] == [
        "nobody judges it: begin its stages (deploywatch deployments stage 1 NAME)"
    ]


async def test_a_version_that_is_gone_has_no_advice(scene: Scene) -> None:
    canary = await bad_canary(scene)
    assert canary["recommendations"][0]["signal"] == "verdict"
    number = canary["deployment"]["id"]
    await scene.context.store.write(lambda c: ledger.undone(c, number, "1.2.2", scene.clock.now, scene.clock.now))
    gone = await scene.read(lambda c: gather.report(c, scene.context.settings, number, scene.clock.now))
    assert gone["recommendations"] == []
    back = await scene.read(lambda c: gather.report(c, scene.context.settings, number + 1, scene.clock.now))
    assert back["sentence"] == f"shop 1.2.2 in production is the rollback of deployment {number}, and was not judged"
