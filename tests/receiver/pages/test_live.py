"""Pages renew themselves: what has changed is put in place, what somebody works in stays, and silence is said."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, expect

from deploywatch.pages import live
from deploywatch.receiver.incidents import store
from tests.receiver.pages.world import World
from tests.receiver.scene import NOON, alert

pytestmark = pytest.mark.asyncio(loop_scope="package")

LIVE = "#live"
SEEN = 60_000
"""Milliseconds within which a busy machine shows what an idle one shows in two seconds."""


async def fire(world: World, service: str, name: str = "Trouble") -> None:
    """An alert of a service."""
    starts = datetime.now(UTC) - NOON
    await world.fire(alert(name, starts=starts, service=service, severity="high", annotations={"summary": service}))


async def listening(world: World, page: Page, path: str) -> None:
    """The page, once it hears what changes."""
    before = await counted(world, "deploywatch_live_streams")
    await page.goto(world.url + path)
    deadline = time.monotonic() + 60
    while await counted(world, "deploywatch_live_streams") <= before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def counted(world: World, name: str) -> float:
    """A figure of the receiver's metrics."""
    async with world.context.http.get(f"{world.url}/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[1])


async def test_a_new_incident_and_who_took_it_are_seen_without_a_reload(world: World) -> None:
    page = await world.page(1280, 900)
    await listening(world, page, "/?service=live-news")
    await fire(world, "live-news")
    card = page.locator("#incidents > li")
    await expect(card).to_contain_text("Nobody has it", timeout=SEEN)
    await expect(page.locator("#nothing")).to_have_count(0, timeout=SEEN)
    number = int(str(await card.get_attribute("data-incident")))
    await world.post(f"/api/v1/incidents/{number}/acknowledge", {"by": "bob"})
    await expect(card).to_contain_text("bob has it", timeout=SEEN)
    assert await page.title() != ""
    assert await page.locator(LIVE).inner_text() == "Live"
    await page.context.close()


async def test_what_is_typed_and_what_has_the_focus_stays_while_the_rest_is_renewed(world: World) -> None:
    await fire(world, "live-typing")
    found = [one for one in await world.read(store.unresolved) if one.service == "live-typing"]
    page = await world.page(1280, 900)
    await listening(world, page, f"/incidents/{found[0].id}")
    note = page.get_by_label("Status update")
    await note.fill("we look at it")
    await page.locator("#checklist button").first.focus()
    ticked = {"by": "bob", "item": 1, "done": True}
    await world.post(f"/api/v1/incidents/{found[0].id}/check", ticked)
    await world.post(f"/api/v1/incidents/{found[0].id}/acknowledge", {"by": "bob"})
    await expect(page.locator("#who")).to_contain_text("bob has it", timeout=SEEN)
    await expect(page.locator("#timeline")).to_contain_text("bob", timeout=SEEN)
    # The part with the focus waits, and that is said.
    await expect(page.locator(LIVE)).to_contain_text("is renewed when you leave it", timeout=SEEN)
    assert await page.evaluate("document.activeElement.closest('#checklist') !== null")
    assert await page.locator("#checklist button").first.get_attribute("aria-pressed") == "false"
    await note.focus()
    await expect(page.locator("#checklist button").first).to_have_attribute("aria-pressed", "true", timeout=SEEN)
    assert await note.input_value() == "we look at it"
    await page.context.close()


async def test_eight_tabs_of_a_browser_share_one_stream_and_outlive_the_tab_that_holds_it(world: World) -> None:
    before = await counted(world, "deploywatch_live_streams")
    first = await world.page(1280, 900)
    pages = [first, *[await first.context.new_page() for _ in range(7)]]
    for page in pages:
        await page.goto(f"{world.url}/?service=live-tabs")
    await fire(world, "live-tabs")
    for page in pages:
        await expect(page.locator("#incidents > li")).to_have_count(1, timeout=SEEN)
    assert await counted(world, "deploywatch_live_streams") - before <= 2
    for page in pages[:4]:
        await page.close()
    await fire(world, "live-tabs", "More")
    (incident,) = [one for one in await world.read(store.unresolved) if one.service == "live-tabs"]
    await world.post(f"/api/v1/incidents/{incident.id}/acknowledge", {"by": "zoe"})
    for page in pages[4:]:
        await expect(page.locator("#incidents > li")).to_contain_text("zoe has it", timeout=SEEN)
    await first.context.close()


async def test_silence_of_35_seconds_is_said_and_greys_the_wall(world: World) -> None:
    page = await world.page(1280, 900)
    await page.clock.install()
    await listening(world, page, "/wall")
    await expect(page.locator(LIVE)).to_have_text("Live")
    await page.context.set_offline(True)
    await page.clock.run_for(34_000)
    await page.clock.run_for(10_000)
    await expect(page.locator(LIVE)).to_contain_text("NOT LIVE since", timeout=SEEN)
    assert "grayscale" in await page.locator("main").evaluate("main => getComputedStyle(main).filter")
    await page.context.close()


async def test_a_stream_is_refused_with_its_reason_where_there_is_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST", 1)
    deadline = time.monotonic() + 60
    while world.live._listening():  # a page that was closed just now
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    async with (
        world.context.http.get(f"{world.url}/live") as first,
        world.context.http.get(f"{world.url}/live") as second,
    ):
        assert first.content_type == "text/event-stream"
        assert (await first.content.readuntil(b"\n\n")).startswith(b'data: {"change": ')
        assert (second.status, second.headers["Retry-After"]) == (503, "5")
        assert "renewed by themselves already" in await second.text()
    async with world.context.http.get(f"{world.url}/metrics") as answer:
        assert 'deploywatch_live_refused_total{reason="full"} 1.0' in await answer.text()


async def test_a_screens_link_shows_the_wall_and_nothing_else_until_it_is_revoked(world: World) -> None:
    page = await world.page(java_script_enabled=False)
    await page.goto(f"{world.url}/screens")
    await page.get_by_label("Which screen").fill("operations room")
    await page.get_by_role("button", name="Make its link").click()
    link = await page.locator("#made pre").inner_text()
    assert link.startswith(f"{world.url}/screen?key=")
    screen = await world.page(1920, 1080)
    await screen.context.clear_cookies()
    shown = await screen.goto(link)
    assert shown is not None
    assert shown.status == 200
    assert await screen.locator("form, a[href]:not(.skip)").count() == 0
    await page.goto(f"{world.url}/screens")
    assert link.partition("key=")[2] not in await page.content()
    async with world.context.http.get(link.replace("/screen?", "/screen/live?")) as stream:
        assert (await stream.content.readuntil(b"\n\n")).startswith(b"data: ")
        await page.locator("#screens li", has_text="operations room").get_by_role("button").click()
        assert await page.locator("#screens li").count() == 0
        rest = await stream.content.read()  # it ends by itself
        assert b"trouble" not in rest
    for path in ("/screen", "/screen/live"):
        async with world.context.http.get(f"{world.url}{path}?key={link.partition('key=')[2]}") as answer:
            assert answer.status == 403
            assert "leads to no screen" in await answer.text()
    for closed in (page, screen):
        await closed.context.close()


async def test_fifty_streams_are_told_by_one_look(world: World) -> None:
    looks = 0
    look = world.context.store.changes

    async def counting() -> Any:
        nonlocal looks
        looks += 1
        return await look()

    world.live._look, kept = counting, world.live._look
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        streams = [await http.get(f"{world.url}/live") for _ in range(50)]
        for stream in streams:
            await stream.content.readuntil(b"\n\n")
        before = looks
        await fire(world, "live-fifty")
        for stream in streams:
            await stream.content.readuntil(b"\n\n")
        assert looks - before < 50
        for stream in streams:
            stream.close()
    world.live._look = kept
