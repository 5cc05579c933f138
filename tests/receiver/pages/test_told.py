"""An incident's page says what is due to be told or reviewed (B11), and what systems outside were told (P9)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import select, update

from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.settings.actions.posting import StatusPage
from deploywatch.receiver.store.schema import incidents, timeline
from tests.receiver.pages.world import World
from tests.receiver.scene import NOON, alert

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOUR = timedelta(hours=1)


async def opened(world: World, service: str, **labels: Any) -> int:
    """A new critical incident of a service."""
    starts = datetime.now(UTC) - NOON
    await world.fire(alert("Trouble", starts=starts, service=service, severity="critical", **labels))
    row = await world.until(select(incidents.c.id).where(incidents.c.service == service))
    return int(row["id"])


async def seen(world: World, number: int) -> str:
    """The page's text, in one line."""
    page = await world.page(java_script_enabled=False)
    await page.goto(f"{world.url}/incidents/{number}")
    text = " ".join((await page.locator("main").inner_text()).split())
    await page.context.close()
    return text


async def moved(world: World, number: int, **values: Any) -> None:
    """What happened to the incident happened at another time."""
    change = update(incidents).where(incidents.c.id == number).values(**values)
    await world.context.store.write(lambda connection: connection.execute(change))


async def test_a_status_update_that_is_due_and_one_that_is_overdue_are_told_apart(world: World) -> None:
    number = await opened(world, "updates")
    assert "status update" not in (await seen(world, number)).replace("Status update", "")
    await world.post(f"/api/v1/incidents/{number}/acknowledge", {"by": "ann"})
    assert re.search(r"Next status update due in 1\d:", await seen(world, number))
    await moved(world, number, acknowledged_at=datetime.now(UTC) - HOUR)
    assert re.search(r"A status update was due 4\d min ago", await seen(world, number))
    await world.post(f"/api/v1/incidents/{number}/update", {"by": "ann", "note": "we look"})
    assert re.search(r"Next status update due in 1\d:", await seen(world, number))


async def test_a_review_is_due_until_it_is_overdue_and_until_it_is_done(world: World) -> None:
    number = await opened(world, "reviews")
    await world.post(f"/api/v1/incidents/{number}/acknowledge", {"by": "ann"})
    assert "review is due" not in await seen(world, number)
    await world.post(f"/api/v1/incidents/{number}/resolve", {"by": "ann", "hold": "30m"})
    assert "The review is due by " in await seen(world, number)
    await moved(world, number, resolved_at=datetime.now(UTC) - 27 * HOUR)
    assert "The review was due 3 h ago" in await seen(world, number)
    await world.post(f"/api/v1/incidents/{number}/review", {"by": "ann"})
    text = await seen(world, number)
    assert "review was due" not in text
    assert "reviewed after" in text


@asynccontextmanager
async def status_page(world: World, status: int) -> AsyncIterator[None]:
    """A status page that answers so."""

    async def take(_: web.Request) -> web.Response:
        return web.json_response({"url": "https://status.example/7", "id": "7"}, status=status)

    app = web.Application()
    app.router.add_post("/incidents", take)
    async with TestServer(app) as server:
        url = str(server.make_url("/incidents"))
        over = {"url": url, "body": {"over": "{title}"}}
        said = {"url": url, "body": {"name": "{title}"}, "link": "url", "reference": "id", "resolved": over}
        object.__setattr__(world.context.settings, "status_page", StatusPage.model_validate(said))
        yield
        object.__setattr__(world.context.settings, "status_page", None)


async def told(world: World, number: int, kind: Kind) -> None:
    """Wait for this line of the timeline."""
    await world.until(select(timeline.c.id).where(timeline.c.incident_id == number, timeline.c.kind == kind))


async def test_what_the_status_page_says_stands_with_the_incident_and_leads_there(world: World) -> None:
    async with status_page(world, 201):
        untold = await opened(world, "inside-only")
        assert "The status page says nothing of this incident." in await seen(world, untold)
        number = await opened(world, "outside", action="status_page")
        await told(world, number, Kind.STATUS_PAGE_GOOD)
        page = await world.page(java_script_enabled=False)
        await page.goto(f"{world.url}/incidents/{number}")
        assert "will say its end; it hears no updates" in await page.locator("#outside").inner_text()
        assert "The status page will not." in await page.locator("#heard").inner_text()
        link = page.locator("li.outside a")
        assert await link.get_attribute("href") == "https://status.example/7"
        assert "noreferrer" in str(await link.get_attribute("rel"))
        await page.context.close()
        await world.post(f"/api/v1/incidents/{number}/resolve", {"by": "ann", "hold": "30m"})
        await told(world, number, Kind.STATUS_PAGE_END_GOOD)
        assert "The status page says that it is over." in await seen(world, number)


async def test_a_status_page_that_refuses_is_said_to_say_nothing_and_one_not_closed_to_be_closed_by_hand(
    world: World,
) -> None:
    async with status_page(world, 400):
        number = await opened(world, "refusing", action="status_page")
        await told(world, number, Kind.STATUS_PAGE_FAILED)
        text = await seen(world, number)
        assert "The status page says nothing of this incident." in text
        assert "Status page entry failed: " in text
    async with status_page(world, 201):
        number = await opened(world, "not-closing", action="status_page")
        await told(world, number, Kind.STATUS_PAGE_GOOD)
    async with status_page(world, 400):
        await world.post(f"/api/v1/incidents/{number}/resolve", {"by": "ann", "hold": "30m"})
        await told(world, number, Kind.STATUS_PAGE_END_FAILED)
        assert "may still say that there is an incident: close it there by hand" in await seen(world, number)
