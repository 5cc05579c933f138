"""Every page of the console measured in Chromium: weight, width, targets, accessibility, and what the policy allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page, Request

from tests.receiver.pages.world import World

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
WIDTHS = (320, 360, 390, 1280, 1920)


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
    for scheme, forced in (("light", "none"), ("dark", "none"), ("dark", "active")):
        await page.emulate_media(color_scheme=scheme, forced_colors=forced)  # type: ignore[arg-type]
        assert await violations(page) == [], (scheme, forced)
    await page.emulate_media(color_scheme="light", forced_colors="none")


async def violations(page: Page) -> list[str]:
    """What axe-core finds: the rule, and the elements. It is run beside the page's own scripts."""
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE_FILE_PATH.read_text())
    result: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


_SMALL = """() => [...document.querySelectorAll("a[href], button, select, textarea, summary, input:not([type=hidden])")]
  .filter((e) => e.checkVisibility() && !e.matches(".skip, p a, dd a.in"))
  .map((e) => (e.matches("[type=checkbox]") ? e.closest("label") ?? e : e))
  .filter((e) => e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 44)
  .map((e) => e.outerHTML.slice(0, 120))"""


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
    assert await page.evaluate(_SMALL) == []
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
