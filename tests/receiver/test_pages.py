"""The pages for people: what a message's link leads to, as Chromium shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page
from sqlalchemy import insert

from deploywatch.receiver.lifecycle import response
from deploywatch.receiver.pages import Pages
from deploywatch.receiver.store.schema import action_runs, attachments
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, NOON, Scene, alert, ended, settings
from tests.support.browser import cells

EVIL = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture
async def url(scene: Scene) -> AsyncIterator[str]:
    """Where the scene's pages are."""
    app = web.Application()
    Pages(scene.context).add_to(app)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


async def test_what_is_open_is_listed_the_worst_first(page: Page, scene: Scene, url: str) -> None:
    await scene.take(alert(service="search", severity="medium"), alert(severity="critical"), alert(service="gone"))
    await scene.take(ended(alert(service="gone")))
    await scene.drain()
    await scene.after(60 * MINUTE)
    await page.goto(url)
    rows = await cells(page, "incidents")
    assert [row[:5] for row in rows] == [
        ["2", "critical", "open", "shop", "production"],
        ["1", "medium", "open", "search", "production"],
    ]
    await page.get_by_role("link", name="All incidents").click()
    assert [row[0] for row in await cells(page, "incidents")] == ["3", "2", "1"]


async def test_the_link_of_a_message_leads_to_all_that_is_known(page: Page, scene: Scene, url: str) -> None:
    runbook = "https://runbooks.example/errors"
    fired = alert(annotations={"summary": "5% of requests fail", "runbook_url": runbook})
    await scene.take(fired, ended(alert("HighLatency")))
    await scene.drain()
    incident = await scene.incident()
    await scene.context.store.write(
        lambda c: response.acknowledge(c, scene.context.settings, incident, NOON + MINUTE, by="ann", note="looking")
    )
    kept = {"name": "logs", "media_type": "text/plain", "body": b"x", "cut": False, "created_at": NOON}
    ran = {"action": "scale", "service": "shop", "environment": "production", "key": "k", "state": "done"}
    times = {"started_at": NOON, "finished_at": NOON + MINUTE}
    await scene.context.store.write(lambda c: c.execute(insert(attachments).values(incident_id=1, **kept)))
    await scene.context.store.write(
        lambda c: c.execute(insert(action_runs).values(incident_id=1, detail="to 4", **ran, **times))
    )

    await page.goto(incident.view(url).url)

    assert await page.locator("h1").inner_text() == "shop: 5% of requests fail"
    facts = dict(await cells(page, "facts"))
    assert (facts["Status"], facts["Where"]) == ("acknowledged, high", "shop in production")
    assert facts["Acknowledged"] == "2026-05-01 12:01:00 UTC by ann"
    (row,) = [row for row in await cells(page, "alerts") if row[0] == "HighErrorRate"]
    assert row[:6] == ["HighErrorRate", "firing", "high", "2026-05-01 12:00:00 UTC", "", "5% of requests fail"]
    assert await page.get_by_role("link", name="Runbook").get_attribute("href") == runbook
    done = ["scale", "done", "2026-05-01 12:00:00 UTC", "2026-05-01 12:01:00 UTC", "to 4"]
    assert done in await cells(page, "actions")
    assert await page.get_by_role("link", name="logs").get_attribute("href") == "/api/v1/attachments/3"
    said = [row[3] for row in await cells(page, "timeline")]
    assert said[0].startswith("opened by HighErrorRate")
    assert any("looking" in line for line in said)
    assert len(await cells(page, "checklist")) > 0


async def test_what_comes_from_outside_is_text_and_never_markup(page: Page, scene: Scene, url: str) -> None:
    links = {"runbook_url": "javascript:document.title='hacked'", "dashboard_url": "data:text/html,x"}
    hostile = alert(EVIL, service=EVIL, annotations={"summary": EVIL, **links})
    await scene.take(msgspec.structs.replace(hostile, fingerprint="f" * 16))
    await page.goto(url)
    assert [row[3:6] for row in await cells(page, "incidents")] == [[EVIL, "production", EVIL]]
    await page.get_by_role("link", name="1", exact=True).click()
    assert await page.locator("h1").inner_text() == f"{EVIL}: {EVIL}"
    assert "hacked" not in (await page.title()).replace(EVIL, "")
    assert await page.get_by_role("link", name="Runbook").count() == 0
    assert await page.get_by_role("link", name="Dashboard").count() == 0


@pytest.mark.parametrize("external", ["https://ops.example/deploywatch/", "https://ops.example/deploywatch"])
async def test_below_a_path_every_link_of_pages_and_messages_leads_there(
    page: Page, make_scene: MakeScene, external: str
) -> None:
    """As behind a proxy that takes the path off."""
    scene = make_scene(settings(external_url=external))
    await scene.take(alert())
    await scene.drain()
    await scene.context.store.write(
        lambda c: c.execute(
            insert(attachments).values(
                incident_id=1, name="logs", media_type="text/plain", body=b"x", cut=False, created_at=NOON
            )
        )
    )
    inner = web.Application()
    Pages(scene.context).add_to(inner)
    outer = web.Application()
    outer.add_subapp("/deploywatch/", inner)
    (message,) = scene.channels["team"].messages
    assert dict(message.links)["Incident"] == "https://ops.example/deploywatch/incidents/1"
    async with TestServer(outer) as server:
        root = str(server.make_url("/deploywatch/"))
        for path in ("", "incidents/1", "incidents/77"):
            await page.goto(f"{root}{path}")
            addresses = await page.locator("a:not(.skip)").evaluate_all(
                "links => links.map(link => link.getAttribute('href'))"
            )
            assert addresses
            assert [address for address in addresses if not address.startswith("/deploywatch/")] == []
        await page.goto(root)
        await page.get_by_role("link", name="1", exact=True).click()
        assert await page.locator("h1").inner_text() == "shop: HighErrorRate"
        await page.get_by_role("link", name="Open incidents").click()
        assert await page.locator("h1").inner_text() == "deploywatch receiver"


@pytest.mark.parametrize("width", [360, 1280])
async def test_no_page_is_wider_than_its_screen(page: Page, scene: Scene, url: str, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    long = "https://runbooks.example/" + "a" * 200
    wide = alert(instance="a" * 120, annotations={"summary": "x" * 200, "runbook_url": long})
    await scene.take(msgspec.structs.replace(wide, fingerprint="f" * 16))
    await scene.drain()
    for path in ("", "/incidents/1"):
        await page.goto(f"{url}{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_an_incident_that_does_not_exist_is_said_so(page: Page, url: str) -> None:
    answer = await page.goto(f"{url}/incidents/77")
    assert answer is not None
    assert (answer.status, await page.locator("h1, p").first.inner_text()) == (
        404,
        "There is no incident 77. All that are open",
    )
