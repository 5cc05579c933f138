"""The report over HTTP and from the command line, in each form, and as people see it on a phone."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from deploywatch.receiver import api as rooms
from deploywatch.receiver.commands.deployments.ledger import deployments
from deploywatch.receiver.report import rendering
from tests.receiver.front import Front, front_of
from tests.receiver.report.test_report import bad_canary, promoted
from tests.receiver.scene import Scene
from tests.support.browser import new_page


@pytest.fixture
def store_url(empty_store: Path, tmp_path: Path) -> str:
    """One kind of database is enough here."""
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"


def checked(answer: object, name: str) -> None:
    """An answer is as the OpenAPI document says."""
    document = json.loads(rooms.described())
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert list(validator.iter_errors(answer)) == []


async def test_each_form_is_answered_and_json_is_as_documented(scene: Scene) -> None:
    canary = await bad_canary(scene)
    path = f"/deployments/{canary['deployment']['id']}"
    async with front_of(scene) as front:
        given = await front("GET", f"{path}/report")
        assert (given.status, given.data) == (200, canary)
        checked(given.data, "Report")
        text = await front("GET", f"{path}/report?format=markdown")
        assert text.data == rendering.as_markdown(canary)
        page = await front("GET", f"{path}/report?format=html")
        assert page.data == rendering.as_html(canary)
        listed = await front("GET", f"{path}/assessments?limit=2")
        assert [row["number"] for row in listed.data] == [6, 5]
        checked(listed.data[0], "AssessmentAnswer")


async def test_what_is_not_there_or_no_form_is_refused(scene: Scene) -> None:
    async with front_of(scene) as front:
        assert (await front("GET", "/deployments/7/report")).status == 404
        assert (await front("GET", "/deployments/7/assessments")).status == 404
        refused = await front("GET", "/deployments/7/report?format=pdf")
        assert (refused.status, refused.data) == (400, "format=pdf: write one of json, markdown, html\n")


def _commands(front: Front, number: int) -> Iterator[tuple[str, int, str]]:
    url = str(front.http.make_url("/"))
    for form in ("markdown", "html", "json"):
        done = CliRunner().invoke(deployments, ["--url", url, "report", str(number), "--format", form])
        yield form, done.exit_code, done.output
    done = CliRunner().invoke(deployments, ["--url", url, "report", "99"])
    yield "missing", done.exit_code, str(done.exception)


async def test_the_command_writes_what_the_api_gives(scene: Scene) -> None:
    found = await promoted(scene)
    async with front_of(scene) as front:
        ran = await asyncio.to_thread(lambda: list(_commands(front, found["deployment"]["id"])))
    by_form = {form: (code, output) for form, code, output in ran}
    assert by_form["markdown"] == (0, rendering.as_markdown(found))
    assert by_form["html"] == (0, rendering.as_html(found))
    assert json.loads(by_form["json"][1]) == found
    assert by_form["missing"][0] != 0
    assert "refused (404)" in by_form["missing"][1]


async def test_the_page_fits_a_phone_of_360_pixels_and_its_policy_lets_its_own_style_in(scene: Scene) -> None:
    canary = await bad_canary(scene)
    async with front_of(scene) as front, new_page() as page:
        await page.set_viewport_size({"width": 360, "height": 800})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        url = front.http.make_url(f"/api/v1/deployments/{canary['deployment']['id']}/report?format=html")
        await page.goto(str(url))
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        # On a narrow page each cell bears its title, which only our style can do.
        shown = await page.evaluate("getComputedStyle(document.querySelector('table.kinds thead')).display")
        assert shown == "none"
        assert problems == []
        assert await page.locator("svg.chart").is_visible()
