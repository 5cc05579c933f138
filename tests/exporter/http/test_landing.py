"""The landing page, as Chromium shows it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.board.history import LIMIT
from deploywatch.exporter.board.strip import KEPT
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.http.landing_rows import MOST_ROWS
from tests.exporter.support import Web, eventually
from tests.support.browser import cells, new_browser, page_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = "<img src=x onerror=\"document.title='hacked'\">"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all."""
    async with new_browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of the machine's Chromium."""
    async with page_of(browser) as shown:
        yield shown


@pytest_asyncio.fixture(loop_scope="module")
async def web() -> AsyncIterator[Web]:
    """What is probed, in the loop of the browser."""
    async with Web() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def exporter(web: Web, tmp_path: Path) -> AsyncIterator[tuple[Exporter, str]]:
    """An exporter with a good probe, a bad one, and one whose name is no good; and its address."""
    path = tmp_path / "exporter.yml"
    web.say("/evil", EVIL)
    name, pattern = json.dumps(EVIL), json.dumps(EVIL.replace("img", "i"))
    path.write_text(f"""
environment: demo
probe: {{allow: [127.0.0.0/8]}}
modules: {{http_2xx: {{kind: http}}}}
services:
  shop:
    probes:
      health: {{kind: http, url: "{web.say("/", "hello")}"}}
      api: {{kind: http, url: "{web.url}/nothing"}}
  {name}:
    probes:
      {name}: {{kind: http, url: "{web.url}/evil", expect: {{body: {pattern}}}}}
""")
    running = Exporter(path, config.load(path))
    server = TestServer(make_server(running, listen=":0", web_config=None).app)
    async with server:
        await eventually(lambda: running.not_ready() is None)
        yield running, str(server.make_url("/")).rstrip("/")


async def cards(page: Page) -> list[list[str]]:
    """Of each card: the status, the probe, where it is, and what is wrong."""
    texts = []
    for card in await page.locator("#probes > li").all():
        named = (".severity", ".row a", ".row a + span")
        parts = [await card.locator(name).first.inner_text() for name in named]
        texts.append([*(part.strip() for part in parts), *await card.locator(".says").all_inner_texts()])
    return texts


async def test_every_probe_is_shown_what_fails_first_and_why(page: Page, exporter: tuple[Exporter, str]) -> None:
    await page.goto(exporter[1])
    assert await page.locator("#summary").inner_text() == "3 probes: 2 unhealthy, 1 healthy."
    shown = await cards(page)
    assert [card[0] for card in shown] == ["unhealthy", "unhealthy", "healthy"]
    assert shown[-1][1:3] == ["shop / health", "demo · http"]
    why = "It answers with another status than expected: status 404, not 2xx"
    assert ["unhealthy", "shop / api", "demo · http", why] in [card[:4] for card in shown]
    color = await page.locator("#probes .severity").first.evaluate("row => getComputedStyle(row).color")
    assert color == "rgb(163, 20, 11)"


async def test_a_failure_leads_to_its_debug_output(page: Page, exporter: tuple[Exporter, str]) -> None:
    await page.goto(exporter[1])
    await page.locator("#failures tr", has_text="shop/demo/api").get_by_role("link").click()
    assert await page.locator("h1").inner_text() == "shop/demo/api: failed"
    output = await page.locator("pre").inner_text()
    assert "probe_http_status_code{} = 404" in output
    assert "probe failed: status: status 404, not 2xx" in output
    await page.get_by_role("link", name="All probes").click()
    assert page.url == exporter[1] + "/"


async def test_the_last_failure_stays_when_the_probe_works_again(
    page: Page, exporter: tuple[Exporter, str], web: Web
) -> None:
    running, url = exporter
    web.say("/nothing", "there it is")
    key = next(key for key in running.board.records if key.probe == "api")
    for _ in range(LIMIT + 1):
        await running.scheduler.fresh(key)
    await page.goto(url)
    card = page.locator("#probes > li", has_text="/ api")
    assert "healthy" in await card.inner_text()
    await card.get_by_role("link", name="Last failure").click()
    assert "status 404" in await page.locator("pre").inner_text()


async def test_probes_are_filtered_without_a_script(page: Page, exporter: tuple[Exporter, str]) -> None:
    await page.goto(exporter[1])
    await page.get_by_label("Service").select_option("shop")
    await page.get_by_label("Status").select_option("unhealthy")
    await page.get_by_role("button", name="Filter").click()
    assert [card[1:3] for card in await cards(page)] == [["shop / api", "demo · http"]]
    assert await page.get_by_label("Service").input_value() == "shop"


async def test_names_and_answers_are_text_and_never_markup(page: Page, exporter: tuple[Exporter, str]) -> None:
    await page.goto(exporter[1])
    assert f"{EVIL} / {EVIL}" in [card[1] for card in await cards(page)]
    assert await page.locator("img").count() == 0
    await page.goto(f"{exporter[1]}/?service=%22%3E%3Cimg%20src=x%3E&status=%3Cimg%20src=x%3E")
    assert await page.locator("img").count() == 0
    for entry in exporter[0].board.history.failures():
        await page.goto(f"{exporter[1]}/results/{entry.number}")
        assert await page.locator("img").count() == 0
        assert await page.title() != "hacked"


async def test_what_was_asked_of_probe_is_among_the_last_results(
    page: Page, exporter: tuple[Exporter, str], web: Web
) -> None:
    response = await page.goto(f"{exporter[1]}/probe?target={web.url}/nowhere&debug=true")
    assert response
    assert response.status == 200
    await page.goto(exporter[1])
    await page.get_by_text("Show").click()
    assert f"http_2xx/{web.url}/nowhere" in [row[1] for row in await cells(page, "results")]


async def test_a_result_that_is_not_kept_is_404(page: Page, exporter: tuple[Exporter, str]) -> None:
    response = await page.goto(f"{exporter[1]}/results/999999")
    assert response
    assert response.status == 404
    assert "not kept any more" in await page.locator("main").inner_text()


async def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script_but_ours(
    page: Page, exporter: tuple[Exporter, str]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    response = await page.goto(exporter[1])
    assert response
    assert [url for url in asked if not url.startswith((f"{exporter[1]}/static/", f"{exporter[1]}/"))] == []
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert await page.locator("script:not([src])").count() == 0


async def test_thousands_of_probes_are_cut_to_what_a_browser_takes(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    probes = ", ".join(f"p{n}: {{kind: redis, url: 'redis://127.0.0.1:1'}}" for n in range(MOST_ROWS + 7))
    path.write_text(f"services: {{many: {{probes: {{{probes}}}}}}}")
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await page.goto(str(server.make_url("/")))
        assert f"The first {MOST_ROWS} of {MOST_ROWS + 7} are shown." in await page.locator("#summary").inner_text()
        assert await page.locator("#probes > li").count() == MOST_ROWS


async def test_the_facts_at_3_in_the_morning_are_on_the_page(page: Page, web: Web, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    web.say("/health", '{"status": "degraded"}')
    path.write_text(f"""
services:
  front: {{depends_on: [shop], probes: {{health: {{kind: http, url: "{web.url}/health", expect: {{format: health}}}}}}}}
  shop: {{probes: {{api: {{kind: http, url: "http://ann:hush@{web.url.removeprefix("http://")}/no"}}}}}}
""")
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await eventually(lambda: running.not_ready() is None)
        await page.goto(str(server.make_url("/")))
        assert await page.locator("#summary").inner_text() == "2 probes: 1 unhealthy, 1 degraded, 0 healthy."
        bad, degraded = page.locator("#probes > li").first, page.locator("#probes > li").last
        target = f"http://ann:***@{web.url.removeprefix('http://')}/no"
        assert re.fullmatch(r"(\d+ min )?\d+ s, since [\d-]+ [\d:]+Z", await bad.locator(".since").inner_text())
        assert await bad.locator(".needed").inner_text() == "front"
        assert await bad.locator(".target").inner_text() == target
        assert (await cards(page))[1][:4] == ["degraded", "front / health", "default · http", "it says: degraded"]
        assert "healthy" not in await degraded.locator(".severity").inner_text()
        assert "hush" not in await page.content()
        await bad.get_by_role("link", name="Debug output").click()
        assert "probe failed: status: status 404, not 2xx" in await page.locator("pre").inner_text()
        assert await page.locator("p.unhealthy").inner_text() == "status: status 404, not 2xx"
        facts = dict(await cells(page, "facts"))
        assert facts["Needed by"] == "front"
        assert facts["Target"] == target
        assert facts["Now"] == "unhealthy, status: status 404, not 2xx"
        assert " s, since " in facts["Failing since"]


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_cut_off_on_a_phone_and_what_others_need_comes_first(
    page: Page, web: Web, tmp_path: Path, width: int
) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(f"""
services:
  a-front: {{depends_on: [database], probes: {{health: {{kind: http, url: "{web.url}/{"x" * 60}"}}}}}}
  database: {{probes: {{health: {{kind: http, url: "{web.url}/no"}}}}}}
""")
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await eventually(lambda: running.not_ready() is None)
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto(str(server.make_url("/")))
        assert [card[1].split(" / ")[0] for card in await cards(page)] == ["database", "a-front"]
        too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(too_wide)
        await page.locator("#failures").get_by_role("link").first.click()
        assert not await page.evaluate(too_wide)
        assert not await page.locator("pre").evaluate("pre => pre.scrollWidth > pre.clientWidth")


async def test_what_is_not_probed_is_said(page: Page, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('[{"targets": ["127.0.0.1:1", "ftp://x"]}]')
    path = tmp_path / "exporter.yml"
    path.write_text(
        "modules: {http_2xx: {kind: http}}\ndiscover: [{files: [one.json], module: http_2xx, service: web}]\n"
    )
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await page.goto(str(server.make_url("/")))
        assert "ftp://x: not a target of http" in await page.locator("#not-probed").inner_text()


async def test_each_probe_has_a_strip_of_its_last_sixty_results_a_page_and_a_wall(
    page: Page, exporter: tuple[Exporter, str], web: Web
) -> None:
    running, url = exporter
    key = next(key for key in running.board.records if key.probe == "api")
    for _ in range(3):
        await running.scheduler.fresh(key)
    web.say("/nothing", "there it is")
    for _ in range(KEPT):
        await running.scheduler.fresh(key)
    web.say("/nothing", status=404)
    for _ in range(2):
        await running.scheduler.fresh(key)
    await page.goto(url)
    card = page.locator("#probes > li", has_text="/ api")
    assert await card.get_by_role("img").get_attribute("aria-label") == f"2 of the last {KEPT} runs failed"
    # In grey too: what failed is higher.
    widths = await card.locator(".strip path").evaluate_all("all => all.map(one => one.getAttribute('stroke-width'))")
    assert widths == ["6", "14"]
    await card.get_by_role("link", name="shop / api").click()
    assert await page.locator("#results tbody tr").count() == KEPT
    assert await page.locator("#results .bad").count() == 2
    assert "probe failed: status: status 404" in await page.locator("#debug").inner_text()
    await page.goto(f"{url}/wall")
    assert await page.locator("#probes > li").count() == 2
    assert await page.locator("form, a[href]:not(.skip)").count() == 0


async def test_services_stand_with_what_they_need_and_what_load_balancers_hear(
    page: Page, web: Web, tmp_path: Path
) -> None:
    path = tmp_path / "exporter.yml"
    web.say("/health", '{"status": "healthy", "version": "1.2.3", "uptime": 90}')
    path.write_text(f"""
services:
  front: {{depends_on: [shop], probes: {{health: {{kind: http, url: "{web.url}/health", expect: {{format: health}}}}}}}}
  shop: {{probes: {{api: {{kind: http, url: "{web.url}/no"}}}}}}
""")
    running = Exporter(path, config.load(path))
    async with TestServer(make_server(running, listen=":0", web_config=None).app) as server:
        await eventually(lambda: running.not_ready() is None)
        await page.goto(str(server.make_url("/services")))
        shop, front = [await one.inner_text() for one in await page.locator("#services > li").all()]
        assert "unhealthy" in shop
        assert "0 of 1 probe is well · needed by front" in shop
        assert "version 1.2.3 · up 1 min 30 s" in front
        assert "status: status 404, not 2xx" in front
        heard = {row[0]: row[1:] for row in await cells(page, "health")}
        assert heard["/health"] == ["503", "unhealthy"]
        assert heard["/health/live"] == ["200", "healthy"]
        assert heard["/health/redis"][0] == "404"


async def test_a_probe_that_fails_is_seen_without_a_reload(
    page: Page, exporter: tuple[Exporter, str], web: Web
) -> None:
    running, url = exporter
    web.say("/nothing", "there it is")
    key = next(key for key in running.board.records if key.probe == "api")
    await page.goto(url)
    await page.get_by_label("Status").select_option("unhealthy")
    await running.scheduler.fresh(key)
    await expect(page.locator("#summary")).to_have_text("3 probes: 1 unhealthy, 2 healthy.", timeout=120_000)
    assert await page.get_by_label("Status").input_value() == "unhealthy"
