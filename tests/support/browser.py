"""The machine's Chromium, for pages as people see them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-extensions"]
"""How Chromium is started: without a screen, and asking for nothing by itself."""


@asynccontextmanager
async def new_browser() -> AsyncIterator[Browser]:
    """The browser, which takes a second of a core to start."""
    async with async_playwright() as driver:
        path = shutil.which("chromium")
        assert path, "chromium is not on the PATH; scripts/test installs it"
        browser = await driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def page_of(browser: Browser) -> AsyncIterator[Page]:
    """An empty page, of nobody who has been here before."""
    shown = await browser.new_page()
    shown.set_default_timeout(240_000)
    yield shown
    await shown.close()


@asynccontextmanager
async def new_page() -> AsyncIterator[Page]:
    """An empty page of a browser of its own."""
    async with new_browser() as browser, page_of(browser) as shown:
        yield shown


async def cells(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's rows."""
    return [
        [text.strip() for text in await row.locator("td").all_inner_texts()]
        for row in await page.locator(f"#{table} tbody tr").all()
    ]
