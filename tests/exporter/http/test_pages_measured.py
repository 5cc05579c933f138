"""Every page of the exporter measured in Chromium: width, targets, accessibility; with what fails, and long names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from playwright.async_api import Page

from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.health.probes import Status
from deploywatch.exporter.http.landing import _TEMPLATES
from tests.exporter.support import eventually
from tests.support.browser import new_page
from tests.support.measures import COLOURS, TOO_SMALL, WIDTHS, coloured, violations

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "x" * 200
PATHS = (
    "/",
    "/?service=shop",
    f"/?service={quote(LONG)}",
    "/services",
    "/wall",
    "/probes/shop/default/api",
    f"/probes/{quote(LONG)}/default/{quote(LONG)}",
    "/probes/shop/default/nothing",
    "/results/1",
    "/results/999999",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Page, str, web.Application]]:
    """A browser's page, the address and the routes of an exporter with a probe that fails, and one with long names."""
    path = tmp_path_factory.mktemp("exporter") / "exporter.yml"
    path.write_text(f"""
services:
  shop: {{probes: {{api: {{kind: http, url: "http://127.0.0.1:1/{LONG}"}}}}}}
  {LONG}: {{depends_on: [shop], probes: {{{LONG}: {{kind: tcp, address: "127.0.0.1:1"}}}}}}
""")
    running = Exporter(path, config.load(path))
    app = make_server(running, listen=":0", web_config=None).app
    async with TestServer(app) as server, new_page() as page:
        await eventually(lambda: running.not_ready() is None)
        yield page, str(server.make_url("/")).rstrip("/"), app


@pytest.fixture(scope="module")
def shown(world: tuple[Page, str, web.Application]) -> tuple[Page, str]:
    """The page, and the address."""
    return world[:2]


async def test_every_route_that_gives_a_page_is_measured(world: tuple[Page, str, web.Application]) -> None:
    _, url, app = world
    known = {"service": "shop", "environment": "default", "probe": "api", "number": "1"}
    pages = set()
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as http:
        for resource in app.router.resources():
            path = re.sub(r"{(\w+)}", lambda part: known.get(part[1], "1"), resource.canonical)
            async with http.get(url + path) as answer:
                if answer.content_type == "text/html":
                    pages.add(resource.canonical)
    routes = [(await app.router.resolve(make_mocked_request("GET", path))).route for path in PATHS]
    measured = {route.resource.canonical for route in routes if route.resource}
    assert len(pages) >= 5
    assert pages - measured == set()


@pytest.mark.parametrize("path", [*PATHS[:5], PATHS[6], PATHS[8]])
async def test_no_page_is_too_wide_what_is_touched_is_44_pixels_and_axe_finds_nothing(
    shown: tuple[Page, str], path: str
) -> None:
    page, url = shown
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    await page.goto(url + path)
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, width
        assert await page.evaluate(TOO_SMALL) == [], width
    assert [text for text in broken if "404" not in text] == []
    assert await page.locator("[style], style, script:not([src])").count() == 0
    await page.set_viewport_size({"width": 390, "height": 640})
    for colours in COLOURS:
        await coloured(page, colours)
        assert await violations(page) == [], colours


@pytest.mark.heavy
@pytest.mark.parametrize("path", PATHS)
async def test_axe_finds_nothing_at_any_width_in_any_colours(shown: tuple[Page, str], path: str) -> None:
    page, url = shown
    await page.goto(url + path)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for colours in COLOURS:
            await coloured(page, colours)
            assert await violations(page) == [], (width, colours)
        assert await page.evaluate(TOO_SMALL) == [], width


async def test_in_grey_each_status_differs_by_shape_and_word() -> None:
    module = _TEMPLATES.get_template("exporter.html").make_module({"links": (), "here": "/", "change": ""})
    shapes = _TEMPLATES.get_template("parts.html").make_module({"prefix": "", "change": ""}).SHAPES  # type: ignore[attr-defined]
    drawn = {shapes[module.SHAPE_OF[status]] for status in Status}  # type: ignore[attr-defined]
    assert len(drawn) == len(Status)
