"""Every page of the console measured in Chromium: weight, width, targets, accessibility, and what the policy allows."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest
import pytest_asyncio
from aiohttp.test_utils import make_mocked_request
from playwright.async_api import Page, Request, expect
from sqlalchemy import update

from deploywatch.access.scopes import ALL_SCOPES
from deploywatch.access.webconfig import Access
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.incidents import store
from deploywatch.receiver.notify import taking_link
from deploywatch.receiver.store.schema import deployments
from tests.receiver.pages.world import LONG, World, configured, served
from tests.receiver.scene import NOON, alert
from tests.support.measures import COLOURS, TOO_SMALL, WIDTHS, coloured, violations

pytestmark = pytest.mark.asyncio(loop_scope="package")

STANDALONE = "/api/v1/deployments/3/report?format=html"
"""A page to be kept as a file: it bears its style within, and has no script."""
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
    "/screen?key={screen}",
    "/screen?key=nothing",
    "/incidents/77",
    "/api/v1/approval?{approval}",
    "/api/v1/approval?signature=forged",
    "/api/v1/taken?{taking}",
    STANDALONE,
    "{guarded}/",
    "{guarded}/sign-in",
    "{guarded}/sign-in?again=1",
    "{guarded}/sessions",
)
"""Every route that gives a page; what is in braces is known once the servers run, `guarded` is where people sign in."""
TOKEN = "of-the-one-with-the-long-name"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def page(world: World) -> AsyncIterator[Page]:
    """One page for all measures."""
    shown = await world.page()
    yield shown
    await shown.context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def places(
    world: World, page: Page, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """What stands for the braces: signed links, a screen's key, and a receiver at which somebody is signed in."""
    folder, settings = tmp_path_factory.mktemp("guarded"), world.context.settings
    shutil.copy(empty_store, folder / "store.db")
    passwords = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
    known = [{"user": "ann", "scopes": ["read"]}, {"name": LONG, "token": TOKEN, "scopes": sorted(ALL_SCOPES)}]
    (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"ann": passwords}, "credentials": known}))
    of_links = settings.model_copy(update={"external_url": world.url})
    asked = await world.read(lambda c: approval.latest(c, 1))
    made = await world.post("/api/v1/screens", {"by": "ann", "name": LONG})
    async with contextlib.AsyncExitStack() as stack:
        config = configured(world.ran, f"sqlite:///{folder}/store.db")
        *_, guarded = await served(stack, config, Access(folder / "web.yml"))
        await page.goto(f"{guarded}/sign-in")
        await page.get_by_label("A token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in with the token").click()
        await page.wait_for_url(f"{guarded}/")
        yield {
            "guarded": guarded,
            "screen": made["url"].partition("key=")[2],
            "approval": approval.link(of_links, asked, approval.YES).partition("?")[2],
            "taking": taking_link.link(of_links, 2, "", asked.expires_at).partition("?")[2],
        }


def address(world: World, places: dict[str, str], path: str) -> str:
    """Where the page of a path is."""
    filled = path.format_map(places)
    return filled if path.startswith("{") else world.url + filled


async def test_every_route_that_gives_a_page_is_measured(world: World, places: dict[str, str]) -> None:
    """Each GET is asked as a browser asks; what answers with HTML has to be above."""
    known = {"id": "1", "service": "shop", "environment": "production"}
    app, pages = world.app, set()
    for resource in app.router.resources():
        if not any(route.method == "GET" for route in resource):
            continue
        path = re.sub(r"{(\w+)}", lambda part: known.get(part[1], "1"), resource.canonical)
        async with world.context.http.get(world.url + path, headers={"Accept": "text/html"}) as answer:
            if answer.content_type == "text/html":
                pages.add(resource.canonical)
    measured = set()
    for path in PATHS:
        asked = make_mocked_request("GET", path.removeprefix("{guarded}").format_map(places))
        measured.add((await app.router.resolve(asked)).route.resource.canonical)  # type: ignore[union-attr]
    assert len(pages) > 20
    assert pages - measured == set()


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_is_wider_than_its_screen_with_names_of_200_characters(
    world: World, page: Page, places: dict[str, str], path: str
) -> None:
    await page.goto(address(world, places, path))
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_in_light_dark_and_forced_colours(
    world: World, page: Page, places: dict[str, str], path: str
) -> None:
    await page.set_viewport_size({"width": 390, "height": 640})
    await page.goto(address(world, places, path))
    for colours in COLOURS:
        await coloured(page, colours)
        assert await violations(page) == [], colours
    await coloured(page, COLOURS[0])


async def test_axe_finds_nothing_on_a_page_that_says_that_it_is_not_live(world: World) -> None:
    fresh = await world.page()
    # Without its script nothing takes the words back while they are looked at.
    await fresh.route("**/console.js*", lambda route: route.abort())
    await fresh.goto(f"{world.url}/incidents/1")
    await fresh.evaluate("document.documentElement.classList.add('stale')")
    await fresh.evaluate("document.getElementById('live').textContent = 'NOT LIVE since 03:03:03 UTC'")
    for colours in COLOURS:
        await coloured(fresh, colours)
        assert await violations(fresh) == [], colours
    await fresh.context.close()


@pytest.mark.parametrize("path", [path for path in PATHS if path != STANDALONE])
async def test_whatever_is_touched_is_44_pixels_and_nothing_breaks_the_policy(
    world: World, page: Page, places: dict[str, str], path: str
) -> None:
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    answer = await page.goto(address(world, places, path))
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["referrer-policy"] == "same-origin"
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert await page.evaluate(TOO_SMALL) == []
    assert [text for text in broken if f"status of {answer.status}" not in text] == []
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


async def test_signing_in_and_out_needs_no_script(world: World, places: dict[str, str]) -> None:
    fresh, guarded = await world.page(java_script_enabled=False), places["guarded"]
    await fresh.goto(f"{guarded}/sessions")
    assert fresh.url == f"{guarded}/sign-in?next=/sessions"
    await fresh.get_by_label("Name", exact=True).fill("ann")
    for password, then in (("wrong", "/sign-in"), ("lovelace", "/sessions")):
        await fresh.get_by_label("Password").fill(password)
        await fresh.get_by_role("button", name="Sign in", exact=True).click()
        assert fresh.url == guarded + then
    await fresh.get_by_role("button", name="Sign out everywhere").click()
    await fresh.goto(f"{guarded}/")
    assert "/sign-in" in fresh.url
    await fresh.context.close()


@pytest.mark.heavy
@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_at_any_width_in_any_colours(
    world: World, page: Page, places: dict[str, str], path: str
) -> None:
    await page.goto(address(world, places, path))
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for colours in COLOURS:
            await coloured(page, colours)
            assert await violations(page) == [], (width, colours)
    await coloured(page, COLOURS[0])
