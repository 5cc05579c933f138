"""Every page of the console measured in Chromium: weight, width, targets, accessibility, and what the policy allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from playwright.async_api import Page, Request, expect
from sqlalchemy import update

from deploywatch.receiver.incidents import store
from deploywatch.receiver.store.schema import deployments
from tests.receiver.pages.world import World
from tests.receiver.scene import NOON, alert
from tests.support.measures import COLOURS, TOO_SMALL, WIDTHS, coloured, violations

pytestmark = pytest.mark.asyncio(loop_scope="package")

PATHS = (
    "/",
    "/?tab=over",
    "/incidents/1",
    "/incidents/2",
    "/incidents/3",
    "/incidents/4",
    "/incidents/1/rollback",
    "/incidents/2/rollback",
    "/incidents/1/resolve",
    "/incidents/1/postmortem",
    "/deployments",
    "/deployments/3",
    "/deployments/3/report",
    "/gate",
    "/gate?service=shop&environment=production&version=1",
    "/services/shop/production",
    "/oncall",
    "/maintenance",
    "/audit",
    "/about",
    "/wall",
    "/screens",
    "/incidents/77",
)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def page(world: World) -> AsyncIterator[Page]:
    """One page for all measures."""
    shown = await world.page()
    yield shown
    await shown.context.close()


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_is_wider_than_its_screen_with_names_of_200_characters(
    world: World, page: Page, path: str
) -> None:
    await page.goto(world.url + path)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_in_light_dark_and_forced_colours(world: World, page: Page, path: str) -> None:
    await page.set_viewport_size({"width": 390, "height": 640})
    await page.goto(world.url + path)
    for colours in COLOURS:
        await coloured(page, colours)
        assert await violations(page) == [], colours
    await coloured(page, COLOURS[0])


@pytest.mark.parametrize("path", PATHS)
async def test_whatever_is_touched_is_44_pixels_and_nothing_breaks_the_policy(
    world: World, page: Page, path: str
) -> None:
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    answer = await page.goto(world.url + path)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["referrer-policy"] == "same-origin"
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert await page.evaluate(TOO_SMALL) == []
    assert [text for text in broken if "404" not in text] == []
    assert await page.locator("[style], style, script:not([src])").count() == 0


async def test_an_incidents_first_load_is_small_and_asks_no_other_host(world: World) -> None:
    fresh = await world.page()
    loaded: list[Request] = []

    def finished(request: Request) -> None:
        loaded.append(request)

    fresh.on("requestfinished", finished)
    await fresh.goto(f"{world.url}/incidents/1", wait_until="networkidle")
    sizes = [await request.sizes() for request in loaded]
    weight = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    assert 0 < len(loaded) <= 5
    assert [request.url for request in loaded if not request.url.startswith(world.url)] == []
    assert 0 < weight <= 25 * 1024
    # On a phone, that the page is live takes no line of its own.
    await fresh.set_viewport_size({"width": 360, "height": 640})
    await expect(fresh.locator("#live")).to_have_text("Live", timeout=60_000)
    top, beside = await fresh.locator("header.top nav").bounding_box(), await fresh.locator("#live").bounding_box()
    assert top is not None
    assert beside is not None
    assert top["y"] <= beside["y"] < top["y"] + top["height"]
    await fresh.context.close()


async def test_the_button_is_within_the_first_640_pixels_of_every_phone(world: World, page: Page) -> None:
    await page.goto(f"{world.url}/incidents/1")
    for width in (320, 360, 390):
        await page.set_viewport_size({"width": width, "height": 640})
        box = await page.get_by_role("button", name="I have it").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 640
        assert await page.locator("h1").is_visible()


_SHAPES = """() => [...document.querySelectorAll("#incidents > li .severity")].map((e) =>
  [e.textContent.trim(), e.querySelector("path").getAttribute("d")])"""


async def test_in_grey_each_severity_differs_by_shape_and_word(world: World, page: Page) -> None:
    await page.goto(world.url)
    seen = {tuple(pair) for pair in await page.evaluate(_SHAPES)}
    words, shapes = {word for word, _ in seen}, {shape for _, shape in seen}
    assert words == {"critical", "high", "medium", "low"}
    assert len(shapes) == len(words)


async def test_from_a_message_to_in_hand_are_two_taps_and_less_than_three_seconds_at_400_kbit_and_400_ms(
    world: World,
) -> None:
    """Counted, because a busy machine's clock says nothing: what a phone waits for, and its bytes."""
    await world.fire(alert("Slow phone", starts=datetime.now(UTC) - NOON, service="slow-phone", severity="high"))
    (number,) = [one.id for one in await world.read(store.unresolved) if one.service == "slow-phone"]
    fresh = await world.page(java_script_enabled=False)
    session = await fresh.context.new_cdp_session(fresh)
    slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", slow)
    waited: list[Request] = []

    def finished(request: Request) -> None:
        waited.append(request)

    fresh.on("requestfinished", finished)
    await fresh.goto(f"{world.url}/incidents/{number}")  # the first tap
    await fresh.get_by_role("button", name="I have it").click()  # the second
    assert "ann has it" in await fresh.locator("#who").inner_text()
    # The text may be there before the browser says that the page has come to its end.
    await fresh.wait_for_load_state("networkidle")
    # What stands between a tap and what is seen; the icon and the manifest do not.
    needed = [request for request in waited if request.resource_type in {"document", "stylesheet"}]
    sizes = [await request.sizes() for request in needed]
    weight = sum(size[part] for size in sizes for part in ("responseHeadersSize", "responseBodySize"))
    assert [request.method for request in needed if request.resource_type == "document"] == ["GET", "POST", "GET"]
    connecting = 1
    seconds = (connecting + len(needed)) * 0.4 + weight / 50_000
    assert seconds <= 3, (len(needed), weight)
    await fresh.context.close()


_STATES = """(list) => [...document.querySelectorAll(`${list} > li`)].map((e) => e.innerText.replace(/\\s+/g, " "))"""


async def test_in_grey_each_state_of_a_deployment_differs_by_its_word_and_sign(world: World, page: Page) -> None:
    for status in ("succeeded", "failed", "rolled_back", "running"):
        new = {"service": f"grey-{status}", "environment": "production", "version": "1", "deployer": "ann"}
        made = await world.post("/api/v1/deployments", new)
        changed = update(deployments).where(deployments.c.id == made["id"]).values(status=status)
        await world.context.store.write(lambda c, changed=changed: c.execute(changed))  # type: ignore[misc]
    await page.goto(f"{world.url}/deployments")
    shown = [text for text in await page.evaluate(_STATES, "#deployments") if text.startswith("grey-")]
    signs = {sign for text in shown for sign in "✓✗↩…" if f"{sign} " in text}
    assert signs == set("✓✗↩…")
    words = {word for text in shown for word in ("succeeded", "failed", "rolled back", "running") if word in text}
    assert len(words) == 4


@pytest.mark.heavy
@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_at_any_width_in_any_colours(world: World, page: Page, path: str) -> None:
    await page.goto(world.url + path)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for colours in COLOURS:
            await coloured(page, colours)
            assert await violations(page) == [], (width, colours)
    await coloured(page, COLOURS[0])
